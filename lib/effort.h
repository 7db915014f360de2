/*
 * effort.h - what a technique may take, from the one table of schemas/efforts.def.  Pure.
 */
#ifndef EFFORT_H
#define EFFORT_H

#include "lib/strategy.h"

/* clang-format off */
enum { /* for arrays */
#define EFFORT(id, when, round_trips, span_min_ms, span_max_ms, sockets, ports, again_ms, again_max_ms) \
    EFFORT_SOCKETS_##id = sockets, EFFORT_PORTS_##id = ports,
#include "schemas/efforts.def"
};
/* clang-format on */

/* How long it is tried, for a round trip that may not be known (0). */
uint32_t effort_span_us(enum technique t, uint32_t rtt_us);

/* How long after the last try it is tried again; gap_us is what was waited before that, 0 the first time. */
int64_t effort_again_us(enum technique t, int64_t gap_us);

#endif
