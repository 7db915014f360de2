/*
 * workers_shell.h - the relay's workers: each a core with its sockets in a thread of its own (lib/service_crew.h).
 *
 * They share no session, so that no lock guards one; what they do share is listed in relay.h.
 */
#ifndef RELAY_WORKERS_SHELL_H
#define RELAY_WORKERS_SHELL_H

#include "lib/service_crew.h"
#include "services/relay/plane_shell.h"
#include "services/relay/steer_shell.h"

struct relay_worker {
    struct relay core;
    struct outputs out;
    struct plane plane;
    void *memory, *buffers;
};

struct relay_workers {
    unsigned n;
    struct crew crew;
    struct relay_worker *v[STEER_WORKERS_MAX];
    struct plane_door doors[STEER_WORKERS_MAX];
    struct relay_load load;
};

/* As many as conf->n_workers, the first one on socket sock of s; dies with a line.  A steer that is not open has
 * no sockets for more than one, and none for sessions. */
void relay_workers_open(struct relay_workers *w, struct service *s, uint8_t sock,
                        const struct steer *steer, const struct relay_conf *conf);

/* Start their threads; before cage_calls. */
void relay_workers_start(struct relay_workers *w);

/* Take no new sessions. */
void relay_workers_drain(struct relay_workers *w);

/* What they carry. */
uint32_t relay_workers_sessions(const struct relay_workers *w);

/* Of one, or of all of them. */
struct relay_counters relay_workers_counters(const struct relay_workers *w, unsigned worker);
struct relay_counters relay_workers_sum(const struct relay_workers *w);

void relay_workers_close(struct relay_workers *w);

#endif
