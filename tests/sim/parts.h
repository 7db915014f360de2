/* parts.h - what the files of the simulated world share; not for tests. */
#ifndef WORLD_PARTS_H
#define WORLD_PARTS_H

#include "tests/sim/world.h"

#define WORLD_WALL_MS (INT64_C(1000) * 1700000000) /* when the clock on the wall began */

/* events.c: what is to happen, the earliest first. */
void world_push(struct world *w, struct world_event e);
struct world_event world_pop(struct world *w);
void world_mix(struct world *w, uint64_t v); /* into the hash of all that happened */
struct input world_input(const struct world *w, enum input_kind kind); /* stamped now */

/* conns.c: peers' connections to the coordinator. */
/* When a message sent now, up to the coordinator or down to the peer, arrives: in order, and later when a segment was
 * lost on a line. */
int64_t world_tcp_arrival(struct world *w, const struct world_peer *p, bool up, int64_t *last_us);
void world_link_up_later(struct world *w, size_t i, int64_t after_us);
void world_link_down(struct world *w, size_t i, int64_t after_us);

/* emit.c: a step of one core, and what becomes of its outputs. */
void world_step_peer(struct world *w, size_t i, const struct input *in);
void world_step_coordinator(struct world *w, const struct input *in);
void world_step_service(struct world *w, enum role to, const struct input *in);
void world_step_relay(struct world *w, size_t i, const struct input *in);
static inline size_t world_relays(const struct world *w) { return w->conf.two_relays ? 2 : 1; }

/* open.c: processes begin, for the first time or again. */
void world_start_coordinator(struct world *w);
void world_start_relay(struct world *w, size_t i);
void world_start_peer(struct world *w, size_t i);
void world_bind_sockets(struct world *w,
                        struct world_peer *p); /* new ones, of the system's choice */

#endif
