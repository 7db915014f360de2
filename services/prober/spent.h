/*
 * spent.h - which sources have no budget for more than the plain answer, so that a program at the hook can
 * give it to them (xdp/stun.bpf.c).  Pure.
 *
 * In memory that the shell shares with that program.  A source is in one cell, found by a hash; who comes
 * later takes it over, and the earlier one's next request goes to the process, which puts it there again.
 * It is there for SPENT_MS, so that a source that regains something has it soon.
 */
#ifndef PROBER_SPENT_H
#define PROBER_SPENT_H

#include "lib/addr.h"
#include "lib/xdp/slots.h"

enum { SPENT_BITS = 14, SPENT_MS = 100 };

struct spent {
    struct xdp_place place;
    uint8_t refused_ports[(UINT16_MAX + 1) / 8];
    struct {
        _Alignas(64) uint64_t n;
    } answered[XDP_CPUS];
    uint64_t sources[1 << SPENT_BITS]; /* ip, in the network's order, and until when, in ms */
};

static inline uint32_t spent_cell(uint32_t ip)
{
    return (uint32_t)(ip * UINT32_C(0x9e3779b9)) >> (32 - SPENT_BITS);
}

/* Times wrap after 49 days: one that is further ahead than any is put is a past one. */
static inline bool spent_is(uint64_t cell, uint32_t ip, uint64_t now_ms)
{
    uint32_t left_ms = (uint32_t)cell - (uint32_t)now_ms;

    return (uint32_t)(cell >> 32) == ip && left_ms != 0 && left_ms <= SPENT_MS + 10;
}

/* s may be NULL.  Only IPv4 is kept. */
void spent_note(struct spent *s, const struct addr *src, int64_t now_us);

/* How many answers the hook has given. */
uint64_t spent_answered(const struct spent *s);

#endif
