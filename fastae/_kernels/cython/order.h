/* The Feistel network of order.pxi, many values side by side. */
#define FEISTEL_ROUNDS 8
#if VECTOR_BYTES > 16
typedef uint64_t Values __attribute__((vector_size(VECTOR_BYTES)));
#else
typedef uint64_t Values; /* two at a time are slower than one after the other: there is no product of 64 bits */
#endif

/* 32 bits of half a number and a round's key. */
INLINE Values feistel_round(Values x, uint64_t key)
{
    x = (x ^ key) * 0xBF58476D1CE4E5B9;
    return ((x ^ (x >> 32)) * 0x94D049BB133111EB) >> 32;
}

/* Each of n values of left and right bits, permuted; the last vector may go beyond n. */
static void feistel(const uint64_t *keys, int right_bits, uint64_t left_mask, uint64_t right_mask, ptrdiff_t n, uint64_t *values)
{
    for (ptrdiff_t i = 0; i < n; i += (ptrdiff_t)(sizeof(Values) / 8)) {
        Values x, left, right;
        memcpy(&x, values + i, sizeof x);
        left = x >> right_bits, right = x & right_mask;
        UNROLL for (int r = 0; r < FEISTEL_ROUNDS; r += 2) {
            left ^= feistel_round(right, keys[r]) & left_mask;
            right ^= feistel_round(left, keys[r + 1]) & right_mask;
        }
        x = left << right_bits | right;
        memcpy(values + i, &x, sizeof x);
    }
}
