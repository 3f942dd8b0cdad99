# Memory, threads for an amount of work, and the checks of arrays at the door.

cdef enum:
    MAX_TEAM = 256
    WORK_PER_THREAD = 1 << 20       # floating-point operations that outweigh waking a thread, some 10 us
    AWAKE = 8                       # and this part of them, sharing them with a thread that is awake, 1 us
    PACK_OPERATIONS = 16            # in the time of which one element of B is packed


cdef inline void* align(void* p) noexcept nogil:
    return <void*>((<uintptr_t>p + 63) & ~<uintptr_t>63)


cdef inline int team_size(double operations, int n_threads) noexcept nogil:
    return max(1, min(n_threads, MAX_TEAM, <int>min(operations / WORK_PER_THREAD, MAX_TEAM)))


cdef inline void run_for(double operations, int n_threads, TeamFunction function, void* job) noexcept nogil:
    """Runs a job on as many threads as it is worth, at most n_threads."""
    cdef int n = team_size(operations, n_threads)
    if n > 1:
        run_team(function, job, n)
    else:
        run_small_team(function, job, team_size(AWAKE * operations, n_threads))


cdef class Arena:
    """Aligned memory, taken piece by piece from one block."""
    cdef char* block
    cdef size_t size, used

    cdef int reserve(self, size_t size) except -1:
        """Room for size bytes, zeroed where it is new, nothing of it taken yet."""
        cdef void* p = NULL
        if size > self.size:
            give_memory(self.block)
            self.block, self.size = NULL, 0
            p = take_memory(size)
            if p == NULL:
                raise MemoryError(f"no memory for {size} bytes of buffers")
            memset(p, 0, size)
            self.block, self.size = <char*>p, size
        self.used = 0
        return 0

    cdef void* take(self, size_t size):
        """The next size bytes, aligned to 64; of an empty arena NULL, so that sizes can be summed up first."""
        cdef void* p = NULL if self.block == NULL else self.block + self.used
        self.used += (size + 63) // 64 * 64
        return p

    def __dealloc__(self):
        give_memory(self.block)


cdef list spare = []                # arenas of finished calls; the GIL guards the list


# ---- checks: what an array must be ----

cdef bint is_double(cnp.ndarray a) except -1:
    if a is None:
        raise TypeError("an array is needed, got None")
    if cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT64:
        return True
    if cnp.PyArray_TYPE(a) != cnp.NPY_FLOAT32:
        raise TypeError(f"float32 or float64 is needed, got {a.dtype}")
    return False


cdef void* checked(cnp.ndarray a, bint double_, int ndim, Py_ssize_t d0, Py_ssize_t d1) except NULL:
    """The address of an array of this type and shape, whatever its strides."""
    if is_double(a) != double_ or cnp.PyArray_NDIM(a) != ndim or cnp.PyArray_DIM(a, 0) != d0 or (
            ndim == 2 and cnp.PyArray_DIM(a, 1) != d1):
        needed = f"an array of float{64 if double_ else 32} {(d0, d1)[:ndim]}"
        raise ValueError(f"{needed} is needed, got {a.dtype} {(<object>a).shape}")
    if not cnp.PyArray_ISALIGNED(a) or not cnp.PyArray_ISNOTSWAPPED(a):
        raise ValueError("an aligned array of native byte order is needed")
    return cnp.PyArray_DATA(a)


cdef void* contiguous(cnp.ndarray a, bint double_, int ndim, Py_ssize_t d0, Py_ssize_t d1) except NULL:
    cdef void* p = checked(a, double_, ndim, d0, d1)
    if not cnp.PyArray_IS_C_CONTIGUOUS(a):
        raise ValueError("a C-contiguous array is needed")
    return p


cdef void* writable(cnp.ndarray a, bint double_, int ndim, Py_ssize_t d0, Py_ssize_t d1) except NULL:
    is_double(a)
    if not cnp.PyArray_ISWRITEABLE(a):
        raise ValueError("a writable array is needed")
    return contiguous(a, double_, ndim, d0, d1)


cdef Py_ssize_t columns(cnp.ndarray a) except -1:
    if cnp.PyArray_NDIM(a) != 2:
        raise ValueError(f"an array of two dimensions is needed, got shape {(<object>a).shape}")
    return cnp.PyArray_DIM(a, 1)


cdef void* vector(cnp.ndarray a, bint double_, Py_ssize_t n) except NULL:
    return writable(a, double_, 1, n, 0)


cdef bint is_own(int slot, int number, bint double_) noexcept:
    return 0 <= number < MOST_OWN and own[slot][number][double_] != NULL


cdef int check_activation(int activation, bint double_) except -1:
    if not (0 <= activation < OWN_ACTIVATION or is_own(VALUE, activation - OWN_ACTIVATION, double_)):
        raise IndexError(f"there is no activation {activation}")
    return activation


cdef int check_loss(int loss, bint double_) except -1:
    if not (0 <= loss < OWN_LOSS or is_own(TERMS, loss - OWN_LOSS, double_)):
        raise IndexError(f"there is no loss {loss}")
    return loss


cdef cnp.int64_t* rows_of(cnp.ndarray order, Py_ssize_t first, Py_ssize_t last, Py_ssize_t n) except NULL:
    """Row numbers, those of order[first:last] checked to be in 0 .. n-1."""
    cdef Py_ssize_t i
    if cnp.PyArray_TYPE(order) != cnp.NPY_INT64 or cnp.PyArray_NDIM(order) != 1 or not cnp.PyArray_IS_C_CONTIGUOUS(order):
        raise TypeError("order must be a contiguous vector of int64")
    cdef cnp.int64_t* p = <cnp.int64_t*>cnp.PyArray_DATA(order)
    for i in range(first, last):
        if not 0 <= p[i] < n:
            raise IndexError(f"order[{i}] is {p[i]}, the data have {n} rows")
    return p
