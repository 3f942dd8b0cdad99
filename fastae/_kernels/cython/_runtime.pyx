"""What all instruction sets share: the system's threads, time and memory, and which instruction sets this machine has."""
import os
from libc.stdint cimport int64_t

cdef extern from "pool.h" nogil:
    void pool_init(int processors)
    void pool_run(TeamFunction function, void* job, int n)
    void pool_run_small(TeamFunction function, void* job, int n)
    void team_sync(Team* team)

cdef extern from "system.h" nogil:
    int64_t nanoseconds()
    void* memory_take(size_t size)
    void memory_give(void* p)

cdef extern from "cpu.h":
    bint cpu_has_avx2()
    bint cpu_has_avx512()
    bint cpu_has_neon()


cdef void run_team(TeamFunction function, void* job, int n_threads) noexcept nogil:
    pool_run(function, job, n_threads)


cdef void run_small_team(TeamFunction function, void* job, int n_threads) noexcept nogil:
    pool_run_small(function, job, n_threads)


cdef void sync(Team* team) noexcept nogil:
    team_sync(team)


cdef double seconds() noexcept nogil:
    return 1e-9 * nanoseconds()


cdef void* take_memory(size_t size) noexcept nogil:
    return memory_take(size)


cdef void give_memory(void* p) noexcept nogil:
    memory_give(p)


def machine_isas():
    """Names of the instruction sets that this machine can run, the fastest first."""
    has = {"avx512": cpu_has_avx512(), "avx2": cpu_has_avx2(), "neon": cpu_has_neon(), "baseline": True}
    return [name for name, present in has.items() if present]


pool_init(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
