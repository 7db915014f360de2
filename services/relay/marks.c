/* marks.c - see marks.h. */
#include "services/relay/marks.h"

#include "lib/bytes.h"

unsigned marks_bits(uint32_t sessions_max)
{
    unsigned bits = MARKS_BITS_MIN;

    while ((UINT64_C(1) << bits) < sessions_max)
        bits++;
    return bits;
}

uint64_t marks_path(const uint8_t path[static 8]) { return get_u64(path); }

uint64_t marks_source(const struct addr *a)
{
    if (a->len == 4)
        return (get_u64(a->ip) >> 32) << 16 | a->port;
    return ((get_u64(a->ip) * MARKS_MIX) ^ get_u64(a->ip + 8)) * MARKS_MIX ^ a->port;
}

/* The cell of its set that holds this key, or NULL; key 0 is a free one. */
static uint64_t *find(const struct marks *k, uint64_t key, uint64_t wanted)
{
    uint64_t *set = k->cells + (key * MARKS_MIX >> (64 - k->bits)) * MARKS_WAYS;

    for (unsigned i = 0; i < MARKS_WAYS; i++)
        if (set[i] == wanted)
            return &set[i];
    return NULL;
}

/* Whole cells, since the kernel reads them meanwhile. */
static void put(uint64_t *cell, uint64_t key) { __atomic_store_n(cell, key, __ATOMIC_RELAXED); }

void marks_add(struct marks *k, uint64_t key)
{
    uint64_t *cell;

    if (!k->cells || key == 0 || find(k, key, key))
        return;
    cell = find(k, key, 0);
    if (cell)
        put(cell, key);
}

void marks_remove(struct marks *k, uint64_t key)
{
    uint64_t *cell = k->cells && key != 0 ? find(k, key, key) : NULL;

    if (cell)
        put(cell, 0);
}
