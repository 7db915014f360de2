/*
 * allocation.h - how a NAT chooses the ports of new mappings, told from those that it chose.  Pure.
 *
 * What a small block's ports would show by luck once in 100,000 times proves nothing; what steps that others interrupt
 * might have shown disproves nothing either.  Between the two it is unknown, until more ports are seen
 * (services/executor/range.c).
 */
#ifndef ALLOCATION_H
#define ALLOCATION_H

#include "lib/msg.h"

enum {
    DELTA_MAX = 16,         /* a larger step is no step */
    RANDOM_MAPPINGS_MIN = 3 /* with fewer there is no telling */
};

/* New mappings, in the order of sending: the first sight of a socket at an address. */
struct mappings {
    size_t n;
    struct mapping {
        uint8_t sock;
        uint16_t port, local_port;
    } v[OBSERVATIONS_MAX];
};

/* Those of a report. */
struct mappings allocation_mappings(const struct observation_list *l);

/* How they were chosen; *delta is the step of a contiguous NAT. */
enum allocation allocation_of(const struct mappings *m, int16_t *delta);

/* Between the lowest port and the highest; there is a mapping. */
int allocation_spread(const struct mappings *m);

/* Has each the port of its socket, or one above it that such a NAT takes when that one serves another mapping? */
bool allocation_all_kept(const struct mappings *m);

#endif
