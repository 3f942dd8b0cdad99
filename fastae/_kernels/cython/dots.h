/* Products of rows with rows, for batches of few samples: weights are read where they lie, once.
 *
 *     y[s*ldy + o] = bias[o] + sum over k of w[o*ldw + k] * x[s*ldx + k]         s < samples, o < n_out, k < n
 *
 * A sum is kept as sixteen interleaved ones, whatever LANES is, which are added as a tree: 8 apart, then 4, 2 and 1. Four outputs
 * are summed side by side: four chains of multiply-adds hide their latency, and one tree adds up all four.
 *
 * Vectors that lie across two lines of the cache come at half the pace, and NumPy's arrays begin anywhere in a line. So rows are read
 * from the last whole vector before them on, as if `skew` zeros stood there. The sixteen sums then lie further on, in a circle, and the
 * tree adds the same pairs.
 */
#define PARTS (16 / LANES)
#define QUARTER (LANES / 4)
#define HALF_LOW(l, s) ((l) < LANES / 2 ? (l) : (l) + LANES / 2)
#define HALF_HIGH(l, s) ((l) < LANES / 2 ? (l) + LANES / 2 : (l) + LANES)
#define QUARTER_EVEN(l, s) ((l) % QUARTER + ((l) / QUARTER * 2 < 4 ? (l) / QUARTER * 2 * QUARTER : LANES + ((l) / QUARTER * 2 - 4) * QUARTER))
#define QUARTER_ODD(l, s) (QUARTER_EVEN(l, s) + QUARTER)
#define ACROSS(l, s) ((l) ^ (s))

/* The sums of the lanes of four rows, row i in sum[i]. */
INLINE void N(add_lanes)(vec row[4][PARTS], REAL *sum)
{
    UNROLL for (int step = PARTS / 2; step > 0; step /= 2)
        UNROLL for (int i = 0; i < 4; i++) UNROLL for (int p = 0; p < step; p++) row[i][p] += row[i][p + step];
    vec ab = SHUFFLE(row[0][0], row[1][0], LIST(HALF_LOW, 0, 0)) + SHUFFLE(row[0][0], row[1][0], LIST(HALF_HIGH, 0, 0));
    vec cd = SHUFFLE(row[2][0], row[3][0], LIST(HALF_LOW, 0, 0)) + SHUFFLE(row[2][0], row[3][0], LIST(HALF_HIGH, 0, 0));
#if LANES == 2
    UNROLL for (int i = 0; i < 2; i++) sum[i] = ab[i], sum[i + 2] = cd[i];
#else
    ab = SHUFFLE(ab, cd, LIST(QUARTER_EVEN, 0, 0)) + SHUFFLE(ab, cd, LIST(QUARTER_ODD, 0, 0));
#if LANES == 16
    ab += SHUFFLE(ab, ab, LIST(ACROSS, 0, 2));
#endif
#if LANES >= 8
    ab += SHUFFLE(ab, ab, LIST(ACROSS, 0, 1));
#endif
    UNROLL for (int i = 0; i < 4; i++) sum[i] = ab[i * QUARTER];
#endif
}

/* Rows and samples at a time: as many sums as registers hold. */
#define DOT_ROWS (PARTS <= 2 ? 4 : 8 / PARTS)
#define DOT_SAMPLES (VECTOR_BYTES == 64 ? 4 / PARTS : 1)

#define ADD_BLOCK(load_w, load_x)                                                                                      \
    UNROLL for (int p = 0; p < PARTS; p++)                                                                             \
    {                                                                                                                  \
        vec b[DOT_SAMPLES];                                                                                            \
        UNROLL for (int s = 0; s < samples; s++) b[s] = load_x(x + s * ldx + k + p * LANES);                           \
        UNROLL for (int i = 0; i < DOT_ROWS; i++) {                                                                    \
            const vec a = load_w(row[i] + k + p * LANES);                                                              \
            UNROLL for (int s = 0; s < samples; s++) acc[s][i0 + i][p] += a * b[s];                                    \
        }                                                                                                              \
    }

/* Four outputs of a constant number of samples. Rows from the one that is last on are the last one again; they are left out at the end. */
INLINE void N(dots_of)(int samples, ptrdiff_t last, ptrdiff_t n, const REAL *w, ptrdiff_t ldw, const REAL *x, ptrdiff_t ldx,
                       const REAL *bias, REAL *y, ptrdiff_t ldy, ptrdiff_t skew)
{
    vec acc[DOT_SAMPLES][4][PARTS] = {{{{0}}}};
    UNROLL for (int i0 = 0; i0 < 4; i0 += DOT_ROWS) {
        const REAL *row[DOT_ROWS];
        UNROLL for (int i = 0; i < DOT_ROWS; i++) row[i] = w + (i0 + i < last ? i0 + i : last) * ldw;
        ptrdiff_t k = -skew;
#define AFTER_SKEW(from) N(load_from)(from, skew - p * LANES)
        if (skew > 0) {
            ADD_BLOCK(AFTER_SKEW, AFTER_SKEW)
            k += 16;
        }
        for (; k + 16 <= n; k += 16) ADD_BLOCK(N(load), N(load))
        if (k < n) UNROLL for (int p = 0; p < PARTS; p++) {
            const ptrdiff_t left = n - k - p * LANES;
            if (left > 0) UNROLL for (int i = 0; i < DOT_ROWS; i++) {
                const vec a = N(load_upto)(row[i] + k + p * LANES, left);
                UNROLL for (int s = 0; s < samples; s++) acc[s][i0 + i][p] += a * N(load_upto)(x + s * ldx + k + p * LANES, left);
            }
        }
    }
    UNROLL for (int s = 0; s < samples; s++) {
        REAL sum[4], *out = y + s * ldy;
        N(add_lanes)(acc[s], sum);
        for (int i = 0; i < 4 && i <= last; i++) out[i] = bias ? bias[i] + sum[i] : sum[i];
    }
}

static void N(dots)(ptrdiff_t samples, ptrdiff_t n_out, ptrdiff_t n, const REAL *w, ptrdiff_t ldw, const REAL *x, ptrdiff_t ldx,
                    const REAL *bias, REAL *y, ptrdiff_t ldy)
{
    const int aligns = VECTOR_BYTES > 16 && n >= 64 && ldw * REAL_BYTES % VECTOR_BYTES == 0;
    const ptrdiff_t skew = aligns ? (ptrdiff_t)((uintptr_t)w % VECTOR_BYTES / REAL_BYTES) : 0;
    for (ptrdiff_t o = 0; o < n_out; o += 4) {
        const ptrdiff_t last = n_out - o - 1;
        const REAL *rows = w + o * ldw, *b = bias ? bias + o : NULL;
        ptrdiff_t s = 0;
        for (; s + DOT_SAMPLES <= samples; s += DOT_SAMPLES)
            N(dots_of)(DOT_SAMPLES, last, n, rows, ldw, x + s * ldx, ldx, b, y + s * ldy + o, ldy, skew);
        for (; DOT_SAMPLES > 2 && s + 2 <= samples; s += 2)
            N(dots_of)(DOT_SAMPLES > 2 ? 2 : 1, last, n, rows, ldw, x + s * ldx, ldx, b, y + s * ldy + o, ldy, skew);
        for (; DOT_SAMPLES > 1 && s < samples; s++)
            N(dots_of)(1, last, n, rows, ldw, x + s * ldx, ldx, b, y + s * ldy + o, ldy, skew);
    }
}

#undef ADD_BLOCK
#undef AFTER_SKEW
#undef DOT_ROWS
#undef DOT_SAMPLES
#undef PARTS
#undef QUARTER
#undef HALF_LOW
#undef HALF_HIGH
#undef QUARTER_EVEN
#undef QUARTER_ODD
#undef ACROSS
