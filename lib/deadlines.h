/*
 * deadlines.h - a binary heap of deadlines, one per slot, over memory that the caller hands in.
 *
 * Set, move and clear in O(log n); the earliest in O(1).  Pure.
 */
#ifndef DEADLINES_H
#define DEADLINES_H

#include <stddef.h>
#include <stdint.h>

#define DEADLINE_NEVER INT64_MAX

struct deadlines {
    uint32_t capacity, n;
    int64_t *at_us;  /* capacity: by slot */
    uint32_t *heap;  /* capacity: slots */
    uint32_t *where; /* capacity: a slot's place in the heap + 1, or 0 */
};

size_t deadlines_bytes(uint32_t capacity); /* of memory aligned as for int64_t */
void deadlines_init(struct deadlines *d, uint32_t capacity, void *memory);

/* Set slot's one deadline, replacing an earlier one; DEADLINE_NEVER clears it. */
void deadlines_set(struct deadlines *d, uint32_t slot, int64_t at_us);

int64_t deadlines_first(const struct deadlines *d); /* DEADLINE_NEVER when none is set */

/* A slot whose deadline has come, with it cleared; or UINT32_MAX. */
uint32_t deadlines_pop(struct deadlines *d, int64_t now_us);

#endif
