/* The thread pool: a team of threads runs one function together (SPMD), meeting at barriers.
 *
 * Workers are started when first needed, and wait by spinning for SPIN_NANOSECONDS, then by sleeping on a condition variable, so
 * a team that is used again at once meets within a microsecond and an idle process uses no processor time. The caller is
 * member 0. There is one team at a time in a process: whoever finds it taken (another Python thread, a nested call) runs alone,
 * with the same result, since no kernel's order of summation depends on the number of threads. After fork the child has no
 * workers and starts its own. Workers block all signals and never touch Python.
 */
#include <stdatomic.h>
#ifdef __linux__
#include <sched.h>
#endif
#include "system.h"
#include "team.h"

#define MAX_THREADS 256
#define SPIN_NANOSECONDS 50000
#define COUNT_NANOSECONDS 100000000 /* between counts of the processors */
#define JUDGE_NANOSECONDS 20000000  /* several turns of a scheduler */
#define ALONE_NANOSECONDS 200000000 /* ten times as much, so that trying again costs little */

typedef struct Worker {
    atomic_uint ticket; /* raised by the caller for each job */
    atomic_int asleep;
    Lock lock;
    Condition wake;
    int member;
} Worker;

typedef struct Barrier {
    _Atomic int64_t spin;   /* nanoseconds; 0 where there are more members than processors */
    _Atomic int64_t waited; /* nanoseconds that all members together spent in barriers where they slept */
    atomic_int arrived, sleepers;
    atomic_uint generation;
    Lock lock;
    Condition wake;
} Barrier;

static struct {
    atomic_flag taken;
    int workers, processors;
    int64_t looked;      /* when processors was counted */
    int64_t time, limit; /* of jobs since the last judgement: how long they took, and may have waited; see judge */
    _Atomic int64_t alone_until, ended; /* ended: when the last job did */
    TeamFunction function;
    void *job;
    Team team;
    Barrier barrier; /* of the team, which is the only one of more than one member */
    Worker worker[MAX_THREADS];
} pool = {.taken = ATOMIC_FLAG_INIT, .barrier.lock = LOCK_FREE, .barrier.wake = CONDITION_UNKNOWN};

EXPORTED const char fastae_pool = 1; /* by this threadpoolctl knows the library */

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Spins while *value is old: 0, or where the time is up, when it began. The clock is read after every 32 pauses. */
static int64_t spin_while(atomic_uint *value, unsigned old, int64_t spin)
{
    for (int64_t start = 0;;) {
        for (int i = 0; i < 32; i++) {
            if (atomic_load_explicit(value, memory_order_acquire) != old) return 0;
            relax();
        }
        const int64_t now = nanoseconds();
        if (start == 0) start = now;
        if (now - start >= spin) return start;
    }
}

/* All members wait here for each other. What each wrote before is seen by all after. */
static void team_sync(Team *team)
{
    const int size = team->size; /* read before arriving: once all have, the caller may change it for the next job */
    if (size == 1) return;
    Barrier *b = &pool.barrier;
    const unsigned generation = atomic_load(&b->generation);
    int64_t start;
    if (atomic_fetch_add(&b->arrived, 1) + 1 == size) {
        atomic_store(&b->arrived, 0);
        atomic_fetch_add(&b->generation, 1);
        if (atomic_load(&b->sleepers) > 0) { /* sleepers and generation are sequentially consistent: one sees the other */
            lock_take(&b->lock);
            condition_wake_all(&b->wake);
            lock_give(&b->lock);
        }
    } else if ((start = spin_while(&b->generation, generation, b->spin)) != 0) {
        lock_take(&b->lock);
        atomic_fetch_add(&b->sleepers, 1);
        while (atomic_load(&b->generation) == generation) condition_wait(&b->wake, &b->lock);
        atomic_fetch_sub(&b->sleepers, 1);
        lock_give(&b->lock);
        atomic_fetch_add(&b->waited, nanoseconds() - start);
    }
}

THREAD(worker_main, arg)
{
    Worker *self = arg;
    for (unsigned ticket = 0;; ticket++) {
        if (spin_while(&self->ticket, ticket, pool.barrier.spin) != 0) {
            lock_take(&self->lock);
            atomic_store(&self->asleep, 1);
            while (atomic_load(&self->ticket) == ticket) condition_wait(&self->wake, &self->lock);
            atomic_store(&self->asleep, 0);
            lock_give(&self->lock);
        }
        pool.function(pool.job, &pool.team, self->member);
        team_sync(&pool.team);
    }
    return 0;
}

/* Starts workers until there are n; fewer where the system refuses. */
static void pool_grow(int n)
{
    while (pool.workers < n) {
        Worker *w = &pool.worker[pool.workers];
        *w = (Worker){.lock = LOCK_FREE, .wake = CONDITION_UNKNOWN, .member = pool.workers + 1};
        if (!thread_start(worker_main, w)) break;
        pool.workers++;
    }
}

/* The processors that this thread may use now: the affinity of a process can change. */
static void count_processors(int64_t now)
{
#ifdef __linux__
    cpu_set_t set;
    if (now - pool.looked < COUNT_NANOSECONDS) return;
    pool.looked = now;
    if (sched_getaffinity(0, sizeof set, &set) == 0) pool.processors = CPU_COUNT(&set);
#endif
}

/* Where other processes take the processors in turns, members rarely run at the same time: each barrier then lasts until the
 * scheduler's next turn, milliseconds, and a team is many times slower than one thread. Of a team that has its processors at
 * least one member is at work at any time, so that together they wait for at most size - 1 times the time. A team that waited for
 * more than size - 1/2 times it had less than half a processor; the jobs that follow run alone, until it is tried again. */
static void judge(int64_t start, int64_t now, int size)
{
    pool.time += now - start;
    pool.limit += (now - start) * (2 * size - 1) / 2;
    if (pool.time < JUDGE_NANOSECONDS) return;
    if (atomic_exchange(&pool.barrier.waited, 0) > pool.limit) atomic_store(&pool.alone_until, now + ALONE_NANOSECONDS);
    pool.time = pool.limit = 0;
}

/* Runs function(job, team, 0 .. size-1) on at most n threads, and returns when all have finished. */
static void pool_run(TeamFunction function, void *job, int n)
{
    const int64_t start = n > 1 ? nanoseconds() : 0;
    if (n > MAX_THREADS) n = MAX_THREADS;
    if (n > 1 && start >= atomic_load(&pool.alone_until) && !atomic_flag_test_and_set(&pool.taken)) {
        count_processors(start);
        pool_grow(n - 1);
        if (pool.workers < n - 1) n = pool.workers + 1;
        pool.function = function;
        pool.job = job;
        pool.team.size = n;
        pool.barrier.spin = n > pool.processors ? 0 : SPIN_NANOSECONDS;
        for (int i = 0; i < n - 1; i++) {
            Worker *w = &pool.worker[i];
            atomic_fetch_add(&w->ticket, 1);
            if (atomic_load(&w->asleep)) {
                lock_take(&w->lock);
                condition_wake_one(&w->wake);
                lock_give(&w->lock);
            }
        }
        function(job, &pool.team, 0);
        team_sync(&pool.team);
        const int64_t now = nanoseconds();
        judge(start, now, n);
        atomic_store_explicit(&pool.ended, now, memory_order_relaxed);
        atomic_flag_clear(&pool.taken);
    } else {
        Team alone = {.size = 1};
        function(job, &alone, 0);
    }
}

/* The same for a job too small to be worth waking sleeping workers: together only where jobs follow each other so closely that
 * workers spin in between, else alone. */
static void pool_run_small(TeamFunction function, void *job, int n)
{
    const int close = n > 1 && nanoseconds() - atomic_load(&pool.ended) < SPIN_NANOSECONDS;
    pool_run(function, job, close ? n : 1);
    if (n > 1 && !close) atomic_store(&pool.ended, nanoseconds()); /* the next one may follow closely */
}

#ifndef _WIN32
static void pool_after_fork(void) /* in the child, where only the calling thread lives on */
{
    atomic_flag_clear(&pool.taken);
    pool.workers = 0;
    pool.looked = pool.time = pool.limit = 0;
    atomic_store(&pool.alone_until, 0);
    atomic_store(&pool.ended, 0);
    pool.barrier = (Barrier){.lock = LOCK_FREE, .wake = CONDITION_UNKNOWN};
}
#endif

static void pool_init(int processors)
{
    pool.processors = processors;
#ifndef _WIN32 /* which has no fork */
    pthread_atfork(NULL, NULL, pool_after_fork);
#endif
}
