/*
 * budget.h - how often a source may have something dearer than the plain answer: a token bucket per
 * source ip (IPv6: per /56, which one customer gets), in a table of fixed size.
 *
 * Set-associative: a source has a place in one set only, found by a keyed hash that strangers can't
 * steer.  A bucket that is full again is as good as none, so its place is free; when every place of a
 * set is in use, a newcomer is refused, and pays nothing but the dearer answer.  Pure.
 */
#ifndef BUDGET_H
#define BUDGET_H

#include "lib/addr.h"

enum { BUDGET_SETS = 512, BUDGET_WAYS = 8, BUDGET_V6_BYTES = 7 };

struct budget {
    int64_t cost_us;   /* a unit is regained in this time */
    int64_t window_us; /* all are */
    uint8_t secret[16];
    struct bucket {
        uint8_t ip[16];
        uint8_t len;
        int64_t full_us; /* when it is full again; in the past: free */
    } buckets[BUDGET_SETS][BUDGET_WAYS];
};

/* So many units at once, regained in window_us; secret keys the hash, so that nobody can aim at a set. */
void budget_init(struct budget *b, uint32_t units, int64_t window_us,
                 const uint8_t secret[static 16]);

/* Take one unit.  False when the source has none left, or the table no place for it. */
bool budget_take(struct budget *b, const struct addr *src, int64_t now_us);

/* How long until it could; 0 when it can. */
int64_t budget_wait_us(struct budget *b, const struct addr *src, int64_t now_us);

#endif
