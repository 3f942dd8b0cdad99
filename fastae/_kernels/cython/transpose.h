/* target[j * ldt + i] = source[i * lds + j] for a square of LANES x LANES, in registers: at step s the pairs of rows i and i + s
 * exchange the columns whose bit s differs (Eklundh, "A fast computer method for matrix transposing", IEEE ToC 21, 1972).
 */
#define UPPER(l, s) ((l) & (s) ? LANES + (l) - (s) : (l))
#define LOWER(l, s) ((l) & (s) ? LANES + (l) : (l) + (s))
#define EXCHANGE(s, n)                                                \
    UNROLL for (int i = 0; i < n; i++) if (!(i & s))                  \
    {                                                                 \
        const vec upper = SHUFFLE(r[i], r[i + s], LIST(UPPER, 0, s)); \
        r[i + s] = SHUFFLE(r[i], r[i + s], LIST(LOWER, 0, s));        \
        r[i] = upper;                                                 \
    }
#if LANES == 2
#define EXCHANGE_HALVES(n)
#elif LANES == 4
#define EXCHANGE_HALVES(n) EXCHANGE(1, n)
#elif LANES == 8
#define EXCHANGE_HALVES(n) EXCHANGE(1, n) EXCHANGE(2, n)
#else
#define EXCHANGE_HALVES(n) EXCHANGE(1, n) EXCHANGE(2, n) EXCHANGE(4, n)
#endif
#define HALF (LANES / 2)

static void N(transpose)(const REAL *source, ptrdiff_t lds, REAL *target, ptrdiff_t ldt)
{
    vec r[LANES];
    UNROLL for (int i = 0; i < LANES; i++) r[i] = N(load)(source + i * lds);
    EXCHANGE_HALVES(LANES)
    EXCHANGE(HALF, LANES)
    UNROLL for (int i = 0; i < LANES; i++) N(store)(target + i * ldt, r[i]);
}

/* The first half of the columns alone: half as many exchanges. */
static void N(transpose_narrow)(const REAL *source, ptrdiff_t lds, REAL *target, ptrdiff_t ldt)
{
    vec r[HALF];
    UNROLL for (int i = 0; i < HALF; i++)
        r[i] = SHUFFLE(N(load)(source + i * lds), N(load)(source + (i + HALF) * lds), LIST(UPPER, 0, HALF));
    EXCHANGE_HALVES(HALF)
    UNROLL for (int i = 0; i < HALF; i++) N(store)(target + i * ldt, r[i]);
}

/* The first half of the rows, the others being zeros. */
static void N(transpose_low)(const REAL *source, ptrdiff_t lds, REAL *target, ptrdiff_t ldt)
{
    const vec zero = {0};
    vec r[HALF];
    UNROLL for (int i = 0; i < HALF; i++) r[i] = N(load)(source + i * lds);
    EXCHANGE_HALVES(HALF)
    UNROLL for (int i = 0; i < HALF; i++) {
        N(store)(target + i * ldt, SHUFFLE(r[i], zero, LIST(UPPER, 0, HALF)));
        N(store)(target + (i + HALF) * ldt, SHUFFLE(r[i], zero, LIST(LOWER, 0, HALF)));
    }
}

/* out[o] = the sum of the n numbers of row o of w, as dots.h adds them up. Of LANES rows at a time the sums of sixteen turn, half of them
 * at each step, into one vector of all sums. */
static void N(add_rows)(ptrdiff_t rows, ptrdiff_t n, const REAL *w, ptrdiff_t ld, REAL *out)
{
    for (ptrdiff_t o = 0; o < rows; o += LANES) {
        vec r[LANES];
        UNROLL for (int i = 0; i < LANES; i++) {
            const REAL *row = w + (o + i < rows ? o + i : rows - 1) * ld;
            vec sum[16 / LANES] = {{0}};
            ptrdiff_t k = 0;
            NO_UNROLL for (; k + 16 <= n; k += 16)
                UNROLL for (int p = 0; p < 16 / LANES; p++) sum[p] += N(load)(row + k + p * LANES);
            UNROLL for (int p = 0; p < 16 / LANES; p++)
                if (n - k > p * LANES) sum[p] += N(load_upto)(row + k + p * LANES, n - k - p * LANES);
            UNROLL for (int s = 8 / LANES; s > 0; s /= 2) UNROLL for (int p = 0; p < s; p++) sum[p] += sum[p + s];
            r[i] = sum[0];
        }
#define ADD(s) \
        UNROLL for (int i = 0; i < s; i++) \
            r[i] = SHUFFLE(r[i], r[i + s], LIST(UPPER, 0, s)) + SHUFFLE(r[i], r[i + s], LIST(LOWER, 0, s));
#if LANES == 16
        ADD(8)
#endif
#if LANES >= 8
        ADD(4)
#endif
#if LANES >= 4
        ADD(2)
#endif
        ADD(1)
#undef ADD
        N(store_upto)(out + o, r[0], rows - o);
    }
}

#undef UPPER
#undef LOWER
#undef EXCHANGE
#undef EXCHANGE_HALVES
#undef HALF
