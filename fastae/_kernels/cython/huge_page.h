/* Huge pages where the system has them: a plan of some megabytes then takes a few entries of the TLB instead of thousands. */
#include <stddef.h>
#ifdef __linux__
#include <sys/mman.h>
#endif
#define HUGE_PAGE ((size_t)2 << 20)

static void advise_huge(void *p, size_t size)
{
#ifdef MADV_HUGEPAGE
    if (size >= HUGE_PAGE) madvise(p, size, MADV_HUGEPAGE); /* a refusal costs speed only */
#else
    (void)p, (void)size;
#endif
}
