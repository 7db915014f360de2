/*
 * marks.h - what tells that a packet is of a session that is open here, and which worker has it: path ids, and
 * the sources of raw sides.  Pure.
 *
 * A table of sets in memory of the shell, who shares it with a program in the kernel that sorts packets
 * before they are queued (steer_shell.h).  All workers write it, each cell at once.  An entry that finds its set
 * full is left out: its packets are handed to their worker, or forwarded from the queue of all others.
 */
#ifndef RELAY_MARKS_H
#define RELAY_MARKS_H

#include "lib/addr.h"

#include <stddef.h>
#include <stdint.h>

enum { MARKS_WAYS = 8, MARKS_BITS_MIN = 4, MARKS_WORKERS = 256 };
#define MARKS_MIX \
    UINT64_C(0x9e3779b97f4a7c15) /* 2^64 over the golden ratio: the top bits of products vary */

/* A key's low byte is 0: there a cell has the worker. */
#define MARKS_KEY (~UINT64_C(0xff))

struct marks {
    uint64_t *cells; /* 2^bits sets of MARKS_WAYS keys; 0 is a free cell */
    unsigned bits;
    uint8_t worker; /* whose sessions are added */
};

/* For a table of this many sessions: 2^bits sets, of which a fourth of the cells is used by path ids at most. */
unsigned marks_bits(uint32_t sessions_max);
static inline size_t marks_bytes(unsigned bits)
{
    return ((size_t)1 << bits) * MARKS_WAYS * sizeof(uint64_t);
}

/* Keys.  The kernel's program makes the same ones of a packet. */
uint64_t marks_path(const uint8_t path[static 8]);
uint64_t marks_source(const struct addr *a);

/* Without cells nothing is kept.  Who adds a key that another worker has takes it over. */
void marks_add(struct marks *k, uint64_t key);
void marks_remove(struct marks *k, uint64_t key);

/* Which worker has it; -1: none. */
int marks_worker(const struct marks *k, uint64_t key);

#endif
