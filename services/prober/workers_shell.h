/*
 * workers_shell.h - the prober's workers: each a core with its sockets in a thread of its own (lib/service_crew.h).
 *
 * They share every port (SO_REUSEPORT), and a small program in the kernel chooses by the source's ip, of IPv6 by
 * its /56, as budgets do: so a source is one worker's, which knows its own cookies, and has its budgets once.
 * Anybody may load that program.  A prober with partners has one worker: what they borrow is one table.
 */
#ifndef PROBER_WORKERS_SHELL_H
#define PROBER_WORKERS_SHELL_H

#include "lib/service_crew.h"
#include "services/prober/answers_shell.h"

struct prober_worker {
    struct prober core;
    struct outputs out;
    struct answers answers;
};

struct prober_workers {
    unsigned n;
    struct crew crew;
    struct prober_worker *v[CREW_MAX];
};

/* n of them on the sockets of s; dies with a line. */
void prober_workers_open(struct prober_workers *w, struct service *s, unsigned n,
                         const struct prober_conf *conf);

/* Start their threads; before cage_calls. */
void prober_workers_start(struct prober_workers *w);

struct prober_counters prober_workers_sum(const struct prober_workers *w);

/* A gateway that all of them suspect; or NULL. */
const struct gateway *prober_workers_gateway(const struct prober_workers *w);

void prober_workers_close(struct prober_workers *w);

/* Have what comes to the sockets that share fd's port go to them by source, in the order in which they joined it;
 * false with errno. */
bool prober_workers_spread(int fd, unsigned n, uint32_t key);

#endif
