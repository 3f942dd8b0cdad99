/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3), sixteen counters side by side. */
#ifndef FASTAE_PHILOX
#define FASTAE_PHILOX
typedef uint64_t Wide __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t Narrow __attribute__((vector_size(VECTOR_BYTES / 2), aligned(4), may_alias));
#define WIDE_LANES (VECTOR_BYTES / 8)
#define WIDES (16 / WIDE_LANES)

/* The 64 bits of the product of the lower halves. */
INLINE Wide product(Wide a, uint32_t b)
{
#if defined(__AVX512F__)
    return (Wide)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
#elif defined(__AVX2__)
    return (Wide)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#else
    return (a & 0xffffffff) * b;
#endif
}

/* words[j][l] = word j of the counter whose word `counting` (2 or 3) is l more than given. The upper halves of lanes hold rubbish,
 * which product leaves out. */
static void philox(uint64_t key, const uint32_t *counter, int counting, uint32_t words[4][16])
{
    const uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    UNROLL for (int p = 0; p < WIDES; p++) {
        Wide c[4], number;
        UNROLL for (int i = 0; i < 4; i++) c[i] = (Wide){0} + counter[i];
        for (int l = 0; l < WIDE_LANES; l++) number[l] = (uint64_t)(p * WIDE_LANES + l);
        c[counting] += number;
        UNROLL for (uint32_t r = 0; r < 10; r++) {
            const Wide first = product(c[0], 0xD2511F53), second = product(c[2], 0xCD9E8D57);
            c[0] = (second >> 32) ^ c[1] ^ (k0 + r * 0x9E3779B9u);
            c[2] = (first >> 32) ^ c[3] ^ (k1 + r * 0xBB67AE85u);
            c[1] = second, c[3] = first;
        }
        UNROLL for (int i = 0; i < 4; i++) *(Narrow *)(words[i] + p * WIDE_LANES) = __builtin_convertvector(c[i], Narrow);
    }
}

/* The uniform number of a feature alone, counter as before the first one. */
static double chance(uint64_t key, const uint32_t *counter, ptrdiff_t feature)
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], (uint32_t)(feature / 64 * 16 + feature % 16)};
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int r = 0; r < 10; r++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        const uint64_t first = (uint64_t)c[0] * 0xD2511F53, second = (uint64_t)c[2] * 0xCD9E8D57;
        c[0] = (uint32_t)(second >> 32) ^ c[1] ^ k0, c[1] = (uint32_t)second;
        c[2] = (uint32_t)(first >> 32) ^ c[3] ^ k1, c[3] = (uint32_t)first;
    }
    return (c[feature / 16 % 4] >> 8) * 0x1p-24;
}
#undef WIDES
#undef WIDE_LANES
#endif
