/* What the processor and the operating system offer, asked once at import. Not by __builtin_cpu_supports: its tables are in a
 * library of the compiler that clang-cl does not link. */
#ifdef __x86_64__
static void cpu_ask(unsigned leaf, unsigned r[4]) /* r: eax, ebx, ecx, edx */
{
    __asm__("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

/* Whether leaf 7 has all these bits in ebx and the system saves all these registers' states (Intel SDM 1, 14.3 and 15.2). */
static int cpu_has(unsigned features, unsigned states)
{
    const unsigned base = 1u << 12 | 1u << 27 | 1u << 28; /* FMA, xgetbv, AVX: none implies another */
    unsigned r[4], low, high;
    cpu_ask(0, r);
    if (r[0] < 7) return 0;
    cpu_ask(1, r);
    if ((r[2] & base) != base) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    cpu_ask(7, r);
    return (r[1] & features) == features && (low & states) == states;
}

static int cpu_has_avx2(void) { return cpu_has(1u << 5, 0x6); }
static int cpu_has_avx512(void) { return cpu_has(1u << 5 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, 0xe6); } /* F DQ BW VL */
#else
static int cpu_has_avx2(void) { return 0; }
static int cpu_has_avx512(void) { return 0; }
#endif

static int cpu_has_neon(void)
{
#ifdef __aarch64__
    return 1; /* part of the base architecture */
#else
    return 0;
#endif
}
