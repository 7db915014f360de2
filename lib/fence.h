/*
 * fence.h - which addresses that come from outside a packet may be sent to: one judgement, for whoever takes one.
 *
 * Every address has one kind, by the IANA special-purpose registries (RFC 6890).  An address that is no
 * single host's, that other addresses hide in (mapped, translated, tunnelled) or that has no port is
 * ADDR_REFUSED, always.  Of the others, public ones are admitted, and those of the kinds that the suite
 * itself lives among: a suite on the loopback, in a company's network or in a laboratory serves its like,
 * and nobody who has joined a public one can be aimed at a host inside somebody's network.  Pure.
 */
#ifndef FENCE_H
#define FENCE_H

#include "lib/addr.h"

enum addr_kind {
    ADDR_REFUSED,
    ADDR_PUBLIC,
    ADDR_LOOPBACK,   /* RFC 1122, RFC 4291 */
    ADDR_LINK_LOCAL, /* RFC 3927, RFC 4291 */
    ADDR_PRIVATE,    /* RFC 1918, RFC 4193 */
    ADDR_SHARED,     /* RFC 6598: the inside of a carrier's NAT */
    ADDR_LABORATORY, /* documentation and benchmarks (RFC 5737, 2544, 3849, 9637, 5180): natlab's public ones */
};

/* Of what kind the ip is; the port doesn't count. */
enum addr_kind addr_kind(const struct addr *a);

struct fence {
    uint8_t kinds; /* a set: bits by enum addr_kind */
};

/* The fence of a suite that is reached at these addresses, which the caller trusts. */
struct fence fence_of(const struct addr *suite, size_t n);

/* May a packet go there?  The port counts. */
bool fence_admits(struct fence f, const struct addr *a);

/* Does it lead nowhere but to the own network?  As a peer's local address has to. */
bool addr_is_local(const struct addr *a);

#endif
