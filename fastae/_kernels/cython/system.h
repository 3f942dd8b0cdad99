/* What operating systems do differently: locks, threads, time, memory. Windows here, POSIX below, under the same names. */
#ifndef FASTAE_SYSTEM
#define FASTAE_SYSTEM
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define STACK_BYTES (1 << 20) /* some systems give threads less than a plan needs by default */

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#include <malloc.h>

#define EXPORTED __declspec(dllexport)
#define THREAD(name, argument) static DWORD WINAPI name(void *argument)
typedef LPTHREAD_START_ROUTINE ThreadFunction;
typedef SRWLOCK Lock;
typedef CONDITION_VARIABLE Condition;
#define LOCK_FREE SRWLOCK_INIT
#define CONDITION_UNKNOWN CONDITION_VARIABLE_INIT

static inline void lock_take(Lock *lock) { AcquireSRWLockExclusive(lock); }
static inline void lock_give(Lock *lock) { ReleaseSRWLockExclusive(lock); }
static inline void condition_wait(Condition *c, Lock *lock) { SleepConditionVariableSRW(c, lock, INFINITE, 0); }
static inline void condition_wake_one(Condition *c) { WakeConditionVariable(c); }
static inline void condition_wake_all(Condition *c) { WakeAllConditionVariable(c); }

static int thread_start(ThreadFunction function, void *argument) /* whether it could be started */
{
    HANDLE thread = CreateThread(NULL, STACK_BYTES, function, argument, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    return thread != NULL && CloseHandle(thread);
}

static int64_t nanoseconds(void)
{
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&per_second);
    const int64_t t = ticks.QuadPart, f = per_second.QuadPart;
    return t / f * 1000000000 + t % f * 1000000000 / f; /* t * 1e9 alone would overflow */
}

static void *memory_take(size_t size) { return _aligned_malloc(size, 64); }
static void memory_give(void *p) { _aligned_free(p); }
#else
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define EXPORTED __attribute__((visibility("default")))
#define THREAD(name, argument) static void *name(void *argument)
typedef void *(*ThreadFunction)(void *);
typedef pthread_mutex_t Lock;
typedef pthread_cond_t Condition;
#define LOCK_FREE PTHREAD_MUTEX_INITIALIZER
#define CONDITION_UNKNOWN PTHREAD_COND_INITIALIZER

static inline void lock_take(Lock *lock) { pthread_mutex_lock(lock); }
static inline void lock_give(Lock *lock) { pthread_mutex_unlock(lock); }
static inline void condition_wait(Condition *c, Lock *lock) { pthread_cond_wait(c, lock); }
static inline void condition_wake_one(Condition *c) { pthread_cond_signal(c); }
static inline void condition_wake_all(Condition *c) { pthread_cond_broadcast(c); }

static int thread_start(ThreadFunction function, void *argument) /* with all signals blocked; whether it could be started */
{
    sigset_t all, old;
    pthread_attr_t detached;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, STACK_BYTES);
    const int refused = pthread_create(&thread, &detached, function, argument);
    pthread_attr_destroy(&detached);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return !refused;
}

static int64_t nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * (int64_t)1000000000 + t.tv_nsec;
}

/* Huge pages where the system has them: a plan of some megabytes then takes a few entries of the TLB instead of thousands. */
static void *memory_take(size_t size)
{
    void *p = NULL;
    if (posix_memalign(&p, size >= HUGE_PAGE ? HUGE_PAGE : 64, size) != 0) return NULL;
#ifdef MADV_HUGEPAGE
    if (size >= HUGE_PAGE) madvise(p, size, MADV_HUGEPAGE); /* a refusal costs speed only */
#endif
    return p;
}
static void memory_give(void *p) { free(p); }
#endif
#endif
