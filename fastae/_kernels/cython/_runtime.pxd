cdef extern from "team.h":
    ctypedef struct Team:
        int size
    ctypedef void (*TeamFunction)(void* job, Team* team, int member) noexcept nogil

cdef void run_team(TeamFunction function, void* job, int n_threads) noexcept nogil
cdef void run_small_team(TeamFunction function, void* job, int n_threads) noexcept nogil
cdef void sync(Team* team) noexcept nogil
cdef double seconds() noexcept nogil
cdef void* take_memory(size_t size) noexcept nogil      # aligned to 64 bytes or to a huge page; NULL: there is none
cdef void give_memory(void* p) noexcept nogil
