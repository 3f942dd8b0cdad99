# The order of an epoch's rows: a permutation of 0 .. n-1 in which every place can be asked for alone, so that no array of
# n is kept. A Feistel network permutes the numbers of b bits, 2^b the first power of two that is not below n; what comes
# out at n or above goes in again, until it is below (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA
# 2002).

cdef extern from "engine.h" nogil:
    enum: FEISTEL_ROUNDS
    void feistel(const uint64_t* keys, int right_bits, uint64_t left_mask, uint64_t right_mask, Py_ssize_t n, uint64_t* values)


cdef inline uint64_t splitmix(uint64_t x) noexcept nogil:
    """A well-mixed number from any (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014)."""
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
    return x ^ (x >> 31)


cdef void permute(uint64_t key, uint64_t epoch, uint64_t n, uint64_t first, Py_ssize_t count, cnp.int64_t* out) noexcept nogil:
    cdef uint64_t keys[FEISTEL_ROUNDS]
    cdef uint64_t values[64 + 8]            # some at a time, so that no value waits for a branch; and a vector
    cdef Py_ssize_t places[64]              # of theirs in out
    cdef uint64_t right_mask, left_mask
    cdef Py_ssize_t start, i, size, left
    cdef int bits = 2, low, j
    while bits < 63 and (<uint64_t>1 << bits) < n:
        bits += 1
    low = bits // 2
    right_mask, left_mask = (<uint64_t>1 << low) - 1, (<uint64_t>1 << (bits - low)) - 1
    for j in range(FEISTEL_ROUNDS):
        keys[j] = splitmix(key + (epoch * FEISTEL_ROUNDS + j + 1) * <uint64_t>0x9E3779B97F4A7C15)
    memset(values, 0, sizeof(values))
    for start in range(0, count, 64):
        size = min(64, count - start)
        for i in range(size):
            values[i], places[i] = first + start + i, start + i
        while size > 0:
            feistel(keys, low, left_mask, right_mask, size, values)
            left = 0
            for i in range(size):           # what came out at n or above goes in again
                out[places[i]] = values[i]
                values[left], places[left] = values[i], places[i]
                left += values[left] >= n
            size = left


def shuffled(key, epoch, Py_ssize_t n, Py_ssize_t first, cnp.ndarray rows):
    """rows (int64) := the rows at the places from first on, of n rows in the order of an epoch."""
    cdef uint64_t key_ = key, epoch_ = epoch
    if not 0 <= first <= first + len(rows) <= n:
        raise ValueError(f"places {first} to {first + len(rows)} are not among {n} rows")
    if cnp.PyArray_TYPE(rows) != cnp.NPY_INT64 or cnp.PyArray_NDIM(rows) != 1 or not cnp.PyArray_ISCARRAY(rows):
        raise TypeError("rows must be a contiguous, writable vector of int64")
    with nogil:
        permute(key_, epoch_, n, first, cnp.PyArray_DIM(rows, 0), <cnp.int64_t*>cnp.PyArray_DATA(rows))
