/*
 * familiar.h - which sources peers have come from, so that what they send needn't wait among what strangers do
 * (familiar_shell.h).  Pure.
 *
 * In memory that the kernel reads too.  A source is an ip (of IPv6: a /56) and has one cell, found by a hash; who comes
 * later takes it over, and the earlier one is a stranger until it is noted again.
 */
#ifndef FAMILIAR_H
#define FAMILIAR_H

#include "lib/addr.h"

#define FAMILIAR_MIX UINT64_C(0x9e3779b97f4a7c15)
#define FAMILIAR_CELL(key) ((uint32_t)((key)*FAMILIAR_MIX >> (64 - FAMILIAR_BITS)))

enum { FAMILIAR_V4 = 1, FAMILIAR_V6 = 2 }; /* the low byte of a key, which is never 0 */
enum { FAMILIAR_BITS = 17, FAMILIAR_CELLS = 1 << FAMILIAR_BITS };

struct familiar {
    uint64_t *cells; /* NULL: none are kept */
};

/* a has been where a peer is.  Nothing without a table, or an address. */
void familiar_note(struct familiar *f, const struct addr *a);

#endif
