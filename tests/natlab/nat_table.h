/*
 * nat_table.h - the mappings and filters of a NAT, found by hash; nat.c decides what they mean.
 *
 * Pure.  Nothing here looks at what kind of NAT it is, except whether a full table may evict.
 */
#ifndef NATLAB_NAT_TABLE_H
#define NATLAB_NAT_TABLE_H

#include "tests/natlab/nat.h"

bool nat_expired(const struct nat *n, uint8_t proto, int64_t refreshed_us, int64_t now_us);

/* An expired mapping is removed on the way and not found; an expired filter is found. */
struct nat_mapping *nat_find_mapping(struct nat *n, int64_t now_us, uint8_t proto,
                                     const struct addr *internal, const struct addr *remote);
struct nat_filter *nat_find_filter(struct nat *n, const struct nat_mapping *m,
                                   const struct addr *remote);

/* The chain, through next_outside, in which all mappings with this outside address are. */
uint32_t *nat_outside(struct nat *n, uint8_t proto, const struct addr *external);

/* Make room in a full table: what has expired first, else, if so configured, the oldest entry. */
bool nat_room_for_mapping(struct nat *n, int64_t now_us);
bool nat_room_for_filter(struct nat *n, int64_t now_us);

/* There must be room. */
struct nat_mapping *nat_add_mapping(struct nat *n, int64_t now_us, uint8_t proto,
                                    const struct addr *internal, const struct addr *remote,
                                    const struct addr *external);
struct nat_filter *nat_add_filter(struct nat *n, struct nat_mapping *m, const struct addr *remote);

void nat_remove_mapping(struct nat *n, uint32_t slot); /* and its filters */

#endif
