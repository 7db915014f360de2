/*
 * conns_shell.h - how many TCP connections the coordinator's doors hold, and of whom.
 *
 * libzmq takes every connection, and with no descriptor left it spins on the one that it can't take.  So a
 * connection beyond a limit is shut at once, before its handshake: of all together, which leaves a reserve
 * of descriptors, and of one ip (IPv6: one /56).  Who is shut sees the end of the connection and tries again.
 */
#ifndef CONNS_SHELL_H
#define CONNS_SHELL_H

#include "lib/service.h"

enum {
    CONNS_RESERVE = 256,    /* descriptors for everything else */
    CONNS_ENROLLING = 1024, /* connections of who is not attached, beside the peers' */
    CONNS_PER_IP = 4096,
};

struct conns_counters {
    uint64_t refused_all, refused_ip; /* shut for either limit */
    uint32_t now;
};

/* Raise the limit of descriptors towards what so many peers need.  all 0: what that leaves. */
void conns_open(uint32_t peers, uint32_t all, uint32_t per_ip);

/* Watch a door; before it is bound. */
void conns_watch(struct service *s, zsock_t *door);
void conns_close(void);

const struct conns_counters *conns_counters(void);

#endif
