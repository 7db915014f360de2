/*
 * workers_shell.h - the relay's workers: each a core with its sockets and its loop in a thread of its own.
 *
 * The first one is the process's main thread, which has the bus's inbox, the signals and the admin socket
 * beside it.  They share no session, so that no lock guards one; what they do share is listed in relay.h.
 */
#ifndef RELAY_WORKERS_SHELL_H
#define RELAY_WORKERS_SHELL_H

#include "services/relay/plane_shell.h"
#include "services/relay/steer_shell.h"

#include <pthread.h>

struct worker {
    struct workers *all;
    struct service *svc; /* the process's, or own */
    struct service own;
    struct relay core;
    struct outputs out;
    struct plane plane;
    void *memory, *buffers;
    int bell; /* eventfd: look at stop and draining */
    pthread_t thread;
};

struct workers {
    unsigned n;
    struct worker *v[STEER_WORKERS_MAX];
    struct plane_door doors[STEER_WORKERS_MAX];
    struct relay_load load;
    pthread_barrier_t started;
    bool stop, draining;
};

/* As many as conf->n_workers, the first one on socket sock of s; dies with a line.  steer may have the sockets
 * of one without a queue for sessions. */
void workers_open(struct workers *w, struct service *s, uint8_t sock, const struct steer *steer,
                  const struct relay_conf *conf);

/* Start their threads, which have no capabilities then; before cage_calls. */
void workers_start(struct workers *w);

/* Take no new sessions. */
void workers_drain(struct workers *w);

/* What any of them carries. */
uint32_t workers_sessions(const struct workers *w);

/* Of one, or of all of them: each is a word that one thread writes. */
struct relay_counters workers_counters(const struct workers *w, unsigned worker);
struct relay_counters workers_counters_sum(const struct workers *w);
struct service_counters workers_shell_sum(const struct workers *w);

/* After the loop of the first one has ended. */
void workers_close(struct workers *w);

#endif
