/* What the processor and the operating system offer, asked once at import. __builtin_cpu_supports checks both. */
static int cpu_has_avx2(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); /* neither implies the other */
#else
    return 0;
#endif
}

static int cpu_has_avx512(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    return cpu_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
#else
    return 0;
#endif
}

static int cpu_has_neon(void)
{
#ifdef __aarch64__
    return 1; /* part of the base architecture */
#else
    return 0;
#endif
}
