/*
 * flows.h - what the generator says to each kind of server, and the sessions it opens there.
 *
 * Session i is between 10.77.1.1 (left) and 10.77.2.1 (right), both at port FLOW_PORT + i.  `up` goes from
 * left to right, `down` back.  With the relay both sides bind with a coordinator's ticket, as peers do.
 * With coturn left is a TURN client with an allocation and a channel of its own, and right a peer
 * without: one server, one packet in, one out, and so the cheapest way that coturn has.
 */
#ifndef BENCH_FLOWS_H
#define BENCH_FLOWS_H

#include "tests/bench/servers.h"
#include "tests/bench/wire.h"

enum { FLOW_PORT = 12000, SESSIONS_MAX = 10000, FLOOD_PORT = 30000, FLOOD_FLOWS = 10000 };

/* Each way of a server's sessions, and where in a datagram of it the generator's stamp is. */
struct way {
    struct flow flow[SESSIONS_MAX];
    size_t extra; /* bytes beyond the payload in what is sent */
    size_t stamp_sent, stamp_seen;
};

struct target {
    const char *name;
    pid_t pid;
    struct way up, down;
    void (*set_size)(struct target *t, size_t size); /* before a run with this payload; or NULL */
    void (*keep)(struct target *t);                  /* keep the sessions open; or NULL */
};

/* Open n sessions at a server that runs; they die with a line where they can't. */
void flows_relay(struct target *t, const struct servers_keys *keys, unsigned n);
void flows_coturn(struct target *t, unsigned n);
void flows_bare(struct target *t, enum bare_kind kind, unsigned n);

/* No sessions and no server: from left to right and back through the server's kernel, which routes. */
void flows_forwarded(struct target *t, unsigned n);

/* No sessions: Binding requests of 20 bytes from n ports. */
void flows_stun(struct target *t, uint16_t port, unsigned n);

/* No sessions: strangers, each with a path id of its own that is nobody's, or (binds) asking for a cookie. */
void flows_strangers(struct way *w, uint16_t port);
void flows_binds(struct way *w, uint16_t port);

/* The datagram that a run of this size sends over way w. */
static inline size_t way_len(const struct way *w, size_t size) { return size + w->extra; }

#endif
