/* A team of threads that runs one function together; see pool.h. */
#ifndef FASTAE_TEAM
#define FASTAE_TEAM
typedef struct Team {
    int size;
} Team;
typedef void (*TeamFunction)(void *job, Team *team, int member);
#endif
