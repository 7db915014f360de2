/* deadlines.c - see deadlines.h. */
#include "lib/deadlines.h"

#include <assert.h>
#include <string.h>

size_t deadlines_bytes(uint32_t capacity)
{
    return (size_t)capacity * (sizeof(int64_t) + 2 * sizeof(uint32_t));
}

void deadlines_init(struct deadlines *d, uint32_t capacity, void *memory)
{
    *d = (struct deadlines){.capacity = capacity, .at_us = memory};
    d->heap = (uint32_t *)(d->at_us + capacity);
    d->where = d->heap + capacity;
    memset(d->where, 0, capacity * sizeof *d->where);
}

static void place(struct deadlines *d, uint32_t i, uint32_t slot)
{
    d->heap[i] = slot;
    d->where[slot] = i + 1;
}

static void up(struct deadlines *d, uint32_t i)
{
    uint32_t slot = d->heap[i];

    while (i > 0 && d->at_us[d->heap[(i - 1) / 2]] > d->at_us[slot]) {
        place(d, i, d->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(d, i, slot);
}

static void down(struct deadlines *d, uint32_t i)
{
    uint32_t slot = d->heap[i];

    for (;;) {
        uint32_t c = 2 * i + 1;
        if (c >= d->n)
            break;
        if (c + 1 < d->n && d->at_us[d->heap[c + 1]] < d->at_us[d->heap[c]])
            c++;
        if (d->at_us[d->heap[c]] >= d->at_us[slot])
            break;
        place(d, i, d->heap[c]);
        i = c;
    }
    place(d, i, slot);
}

static void take_out(struct deadlines *d, uint32_t i)
{
    d->where[d->heap[i]] = 0;
    d->n--;
    if (i == d->n)
        return;
    place(d, i, d->heap[d->n]);
    up(d, i);
    down(d, d->where[d->heap[i]] - 1);
}

void deadlines_set(struct deadlines *d, uint32_t slot, int64_t at_us)
{
    assert(slot < d->capacity);
    if (at_us == DEADLINE_NEVER) {
        if (d->where[slot] != 0)
            take_out(d, d->where[slot] - 1);
        return;
    }
    d->at_us[slot] = at_us;
    if (d->where[slot] == 0)
        place(d, d->n++, slot);
    uint32_t i = d->where[slot] - 1;
    up(d, i);
    down(d, d->where[slot] - 1);
}

int64_t deadlines_first(const struct deadlines *d)
{
    return d->n == 0 ? DEADLINE_NEVER : d->at_us[d->heap[0]];
}

uint32_t deadlines_pop(struct deadlines *d, int64_t now_us)
{
    if (d->n == 0 || d->at_us[d->heap[0]] > now_us)
        return UINT32_MAX;
    uint32_t slot = d->heap[0];
    take_out(d, 0);
    return slot;
}
