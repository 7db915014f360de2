/*
 * workers_shell.h - the prober's workers: each a core with its sockets in a thread of its own (lib/service_crew.h).
 *
 * They share every port (doors_shell.h).  A prober with partners has one worker: what they borrow is one table.
 */
#ifndef PROBER_WORKERS_SHELL_H
#define PROBER_WORKERS_SHELL_H

#include "lib/service_crew.h"
#include "services/prober/answers_shell.h"
#include "services/prober/doors_shell.h"

struct prober_worker {
    struct prober core;
    struct outputs out;
    struct answers answers;
};

struct prober_workers {
    unsigned n;
    struct crew crew;
    struct doors doors;
    struct prober_worker *v[CREW_MAX];
};

/* n of them on the sockets of s; dies with a line. */
void prober_workers_open(struct prober_workers *w, struct service *s, unsigned n,
                         const struct prober_conf *conf);

/* Start their threads; before cage_calls. */
void prober_workers_start(struct prober_workers *w);

/* The counters of all together. */
struct prober_counters prober_workers_sum(const struct prober_workers *w);

/* A gateway that all of them suspect; or NULL. */
const struct gateway *prober_workers_gateway(const struct prober_workers *w);

/* Ends their threads and waits for them; s stays the caller's. */
void prober_workers_close(struct prober_workers *w);

#endif
