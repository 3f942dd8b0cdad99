/* target[j * ldt + i] = source[i * lds + j] for a square of LANES x LANES, in registers: at step s the pairs of rows i and i + s
 * exchange the columns whose bit s differs (Eklundh, "A fast computer method for matrix transposing", IEEE ToC 21, 1972).
 */
#define UPPER(l, s) ((l) & (s) ? LANES + (l) - (s) : (l))
#define LOWER(l, s) ((l) & (s) ? LANES + (l) : (l) + (s))
#define LIST2(f, l, s) f(l, s), f(l + 1, s)
#define LIST4(f, l, s) LIST2(f, l, s), LIST2(f, l + 2, s)
#define LIST8(f, l, s) LIST4(f, l, s), LIST4(f, l + 4, s)
#define LIST16(f, l, s) LIST8(f, l, s), LIST8(f, l + 8, s)
#if LANES == 16
#define LIST LIST16
#elif LANES == 8
#define LIST LIST8
#elif LANES == 4
#define LIST LIST4
#else
#define LIST LIST2
#endif
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
#undef LIST
#undef LIST2
#undef LIST4
#undef LIST8
#undef LIST16
#undef EXCHANGE
