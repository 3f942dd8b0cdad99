/* The thread pool: a team of threads runs one function together (SPMD), meeting at barriers.
 *
 * Workers are started when first needed, and wait by spinning for SPIN_NANOSECONDS, then by sleeping on a condition variable, so
 * a team that is used again at once meets within a microsecond and an idle process uses no processor time. The caller is
 * member 0. There is one team at a time in a process: whoever finds it taken (another Python thread, a nested call) runs alone,
 * with the same result, since no kernel's order of summation depends on the number of threads. After fork the child has no
 * workers and starts its own. Workers block all signals and never touch Python.
 */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include "team.h"

#define MAX_THREADS 256
#define SPIN_NANOSECONDS 50000
#define COUNT_NANOSECONDS 100000000 /* between counts of the processors */
#define JUDGE_NANOSECONDS 20000000  /* several turns of a scheduler */
#define ALONE_NANOSECONDS 200000000 /* ten times as much, so that trying again costs little */

typedef struct Worker {
    atomic_uint ticket; /* raised by the caller for each job */
    atomic_int asleep;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int member;
} Worker;

static struct {
    atomic_flag taken;
    int workers, processors;
    long looked;                    /* when processors was counted */
    long time, limit;               /* of jobs since the last judgement: how long they took, and may have waited; see judge */
    atomic_long alone_until, ended; /* ended: when the last job did */
    TeamFunction function;
    void *job;
    Team team;
    Worker worker[MAX_THREADS];
} pool = {.taken = ATOMIC_FLAG_INIT, .team.lock = PTHREAD_MUTEX_INITIALIZER, .team.wake = PTHREAD_COND_INITIALIZER};

/* By this threadpoolctl knows the library. */
__attribute__((visibility("default"))) const char fastae_pool = 1;

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static long nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

/* Spins while *value is old: 0, or where the time is up, when it began. The clock is read after every 32 pauses. */
static long spin_while(atomic_uint *value, unsigned old, long spin)
{
    for (long start = 0;;) {
        for (int i = 0; i < 32; i++) {
            if (atomic_load_explicit(value, memory_order_acquire) != old) return 0;
            relax();
        }
        const long now = nanoseconds();
        if (start == 0) start = now;
        if (now - start >= spin) return start;
    }
}

/* All members wait here for each other. What each wrote before is seen by all after. */
static void team_sync(Team *team)
{
    const int size = team->size; /* read before arriving: once all have, the caller may change it for the next job */
    if (size == 1) return;
    const unsigned generation = atomic_load(&team->generation);
    long start;
    if (atomic_fetch_add(&team->arrived, 1) + 1 == size) {
        atomic_store(&team->arrived, 0);
        atomic_fetch_add(&team->generation, 1);
        if (atomic_load(&team->sleepers) > 0) { /* sleepers and generation are sequentially consistent: one sees the other */
            pthread_mutex_lock(&team->lock);
            pthread_cond_broadcast(&team->wake);
            pthread_mutex_unlock(&team->lock);
        }
    } else if ((start = spin_while(&team->generation, generation, team->spin)) != 0) {
        pthread_mutex_lock(&team->lock);
        atomic_fetch_add(&team->sleepers, 1);
        while (atomic_load(&team->generation) == generation) pthread_cond_wait(&team->wake, &team->lock);
        atomic_fetch_sub(&team->sleepers, 1);
        pthread_mutex_unlock(&team->lock);
        atomic_fetch_add(&team->waited, nanoseconds() - start);
    }
}

static void *worker_main(void *arg)
{
    Worker *self = arg;
    for (unsigned ticket = 0;; ticket++) {
        if (spin_while(&self->ticket, ticket, pool.team.spin) != 0) {
            pthread_mutex_lock(&self->lock);
            atomic_store(&self->asleep, 1);
            while (atomic_load(&self->ticket) == ticket) pthread_cond_wait(&self->wake, &self->lock);
            atomic_store(&self->asleep, 0);
            pthread_mutex_unlock(&self->lock);
        }
        pool.function(pool.job, &pool.team, self->member);
        team_sync(&pool.team);
    }
    return NULL;
}

/* Starts workers until there are n; fewer where the system refuses. */
static void pool_grow(int n)
{
    sigset_t all, old;
    pthread_attr_t detached;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, 1 << 20); /* some systems give less than a plan needs by default */
    while (pool.workers < n) {
        Worker *w = &pool.worker[pool.workers];
        memset(w, 0, sizeof *w);
        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->wake, NULL);
        w->member = pool.workers + 1;
        pthread_t thread;
        if (pthread_create(&thread, &detached, worker_main, w) != 0) break;
        pool.workers++;
    }
    pthread_attr_destroy(&detached);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* The processors that this thread may use now: the affinity of a process can change. */
static void count_processors(long now)
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
static void judge(long start, long now, int size)
{
    pool.time += now - start;
    pool.limit += (now - start) * (2 * size - 1) / 2;
    if (pool.time < JUDGE_NANOSECONDS) return;
    if (atomic_exchange(&pool.team.waited, 0) > pool.limit) atomic_store(&pool.alone_until, now + ALONE_NANOSECONDS);
    pool.time = pool.limit = 0;
}

/* Runs function(job, team, 0 .. size-1) on at most n threads, and returns when all have finished. */
static void pool_run(TeamFunction function, void *job, int n)
{
    const long start = n > 1 ? nanoseconds() : 0;
    if (n > MAX_THREADS) n = MAX_THREADS;
    if (n > 1 && start >= atomic_load(&pool.alone_until) && !atomic_flag_test_and_set(&pool.taken)) {
        count_processors(start);
        pool_grow(n - 1);
        if (pool.workers < n - 1) n = pool.workers + 1;
        pool.function = function;
        pool.job = job;
        pool.team.size = n;
        pool.team.spin = n > pool.processors ? 0 : SPIN_NANOSECONDS;
        for (int i = 0; i < n - 1; i++) {
            Worker *w = &pool.worker[i];
            atomic_fetch_add(&w->ticket, 1);
            if (atomic_load(&w->asleep)) {
                pthread_mutex_lock(&w->lock);
                pthread_cond_signal(&w->wake);
                pthread_mutex_unlock(&w->lock);
            }
        }
        function(job, &pool.team, 0);
        team_sync(&pool.team);
        const long now = nanoseconds();
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

static void pool_after_fork(void) /* in the child, where only the calling thread lives on */
{
    atomic_flag_clear(&pool.taken);
    pool.workers = 0;
    pool.looked = pool.time = pool.limit = 0;
    atomic_store(&pool.alone_until, 0);
    atomic_store(&pool.ended, 0);
    memset(&pool.team, 0, sizeof pool.team);
    pthread_mutex_init(&pool.team.lock, NULL);
    pthread_cond_init(&pool.team.wake, NULL);
}

static void pool_init(int processors)
{
    pool.processors = processors;
    pthread_atfork(NULL, NULL, pool_after_fork);
}
