/* A team of threads that runs one function together; see pool.h. */
#ifndef FASTAE_TEAM
#define FASTAE_TEAM
#include <pthread.h>
#include <stdatomic.h>

typedef struct Team {
    int size;
    atomic_long spin;   /* nanoseconds; 0 where there are more members than processors */
    atomic_long waited; /* nanoseconds that all members together spent in barriers where they slept */
    atomic_int arrived, sleepers;
    atomic_uint generation;
    pthread_mutex_t lock;
    pthread_cond_t wake;
} Team;
typedef void (*TeamFunction)(void *job, Team *team, int member);
#endif
