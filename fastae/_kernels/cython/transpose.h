/* target[j * ldt + i] = source[i * lds + j] for a square of LANES x LANES, in registers: at step s the pairs of rows i and i + s
 * exchange the columns whose bit s differs (Eklundh, "A fast computer method for matrix transposing", IEEE ToC 21, 1972).
 */
#define UPPER(l, s) ((l) & (s) ? LANES + (l) - (s) : (l))
#define LOWER(l, s) ((l) & (s) ? LANES + (l) : (l) + (s))
#define EXCHANGE(s)                                                  \
    UNROLL for (int i = 0; i < LANES; i++) if (!(i & s))             \
    {                                                                \
        const vec upper = SHUFFLE(r[i], r[i + s], LIST(UPPER, 0, s)); \
        r[i + s] = SHUFFLE(r[i], r[i + s], LIST(LOWER, 0, s));       \
        r[i] = upper;                                                \
    }

static void N(transpose)(const REAL *source, ptrdiff_t lds, REAL *target, ptrdiff_t ldt)
{
    vec r[LANES];
    UNROLL for (int i = 0; i < LANES; i++) r[i] = N(load)(source + i * lds);
    EXCHANGE(1)
#if LANES > 2
    EXCHANGE(2)
#endif
#if LANES > 4
    EXCHANGE(4)
#endif
#if LANES > 8
    EXCHANGE(8)
#endif
    UNROLL for (int i = 0; i < LANES; i++) N(store)(target + i * ldt, r[i]);
}

#undef UPPER
#undef LOWER
#undef EXCHANGE
