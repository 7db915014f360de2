/*
 * net_link.h - one direction of an access line: how late a packet arrives, if it does.
 *
 * Pure.
 */
#ifndef NATLAB_NET_LINK_H
#define NATLAB_NET_LINK_H

#include "lib/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net_link {
    int64_t delay_us;
    int64_t jitter_us; /* added, uniform from 0: packets overtake each other */
    uint32_t loss_ppm, dup_ppm;
    uint32_t reorder_ppm; /* of the packets, are late by */
    int64_t reorder_us;
    int64_t burst_us,
        pause_us; /* nothing passes for the one, then the other; each half more or less */
    int64_t rate_bps, queue_us; /* 0: no limit; what had to wait longer is dropped */
};

struct net_link_state {
    int64_t busy_until_us, turn_us; /* the latter: when burst or pause ends */
    bool burst;
};

enum net_link_result { NET_LINK_PASS, NET_LINK_LOST, NET_LINK_CONGESTED };

/* Does it matter for later packets when this one gets to the link? */
bool net_link_has_state(const struct net_link *l);

/* A packet of that length gets to the link.  With NET_LINK_PASS it leaves it at *out_us. */
enum net_link_result net_link_cross(const struct net_link *l, struct net_link_state *s,
                                    struct rng *rng, int64_t now_us, size_t len, int64_t *out_us);

/* Is it doubled, and when does the double arrive that gets to the link at now_us? */
bool net_link_double(const struct net_link *l, struct rng *rng, int64_t now_us, int64_t *out_us);

#endif
