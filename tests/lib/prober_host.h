/*
 * prober_host.h - a prober's workers on real sockets of two ports of one address, without a bus: the first one is the
 * test's own thread.
 */
#ifndef PROBER_HOST_H
#define PROBER_HOST_H

#include "services/prober/workers_shell.h"

struct prober_host {
    struct service svc;
    struct prober_workers workers;
    struct prober_conf conf;
    bool open;
};

void prober_host_open(struct prober_host *h, const struct addr *ip, unsigned n_workers);
void prober_host_close(struct prober_host *h); /* nothing when it is not open */

/* A socket of this source that sends to the first port. */
int prober_host_client(const struct prober_host *h, const struct addr *source);

#endif
