/*
 * service_crew.h - the workers of a process: threads with a service each, that share no table.
 *
 * The first one is the process's main thread, which has the bus's inbox, the signals and the admin socket
 * beside its part of the work.
 */
#ifndef SERVICE_CREW_H
#define SERVICE_CREW_H

#include "lib/service.h"

#include <pthread.h>

enum { CREW_MAX = 64 };

struct crew {
    unsigned n;
    struct crew_worker {
        struct crew *crew;
        unsigned number;
        struct service *svc; /* the process's, or own */
        struct service own;
        int bell; /* eventfd: rung by crew_tell and crew_end */
        pthread_t thread;
    } * v[CREW_MAX];
    pthread_barrier_t started;
    void (*work)(struct crew *c, unsigned worker); /* its loop, until service_wait says so */
    void (*told)(struct crew *c, unsigned worker); /* in its thread, after crew_tell; or NULL */
    void *arg;                                     /* the caller's */
    bool stop;
};

/* n workers, of which the first has s; the others' services know no inbox (service_open_worker). */
void crew_open(struct crew *c, struct service *s, unsigned n);

/* Start the others' threads, which have no capabilities then; before cage_calls. */
void crew_start(struct crew *c);

/* Have told() called for each of the others. */
void crew_tell(struct crew *c);

/* Of all of them: each counter is a word that one thread writes. */
struct service_counters crew_counters(const struct crew *c);
void crew_sum(uint64_t *sum, const void *counters, size_t n);

/* The others end; then what is theirs may be freed, and their services closed. */
void crew_end(struct crew *c);
void crew_close(struct crew *c);

#endif
