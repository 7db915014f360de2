/*
 * nat_ports.h - which public address and port a new mapping gets: pools, blocks, ranges, allocation.
 *
 * Pure.
 */
#ifndef NATLAB_NAT_PORTS_H
#define NATLAB_NAT_PORTS_H

#include "tests/natlab/nat.h"

/* What wants a mapping. */
struct nat_request {
    int64_t now_us;
    uint8_t proto;
    const struct addr *internal;
    const struct addr *remote; /* as far as the mapping depends on it */
    const struct addr *dst;    /* all of it */
};

/* NAT_PASS, NAT_NO_PORT, or NAT_TABLE_FULL for too many subscribers. */
enum nat_result nat_choose(struct nat *n, const struct nat_request *q, struct addr *external);

#endif
