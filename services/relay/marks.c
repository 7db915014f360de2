/* marks.c - see marks.h. */
#include "services/relay/marks.h"

#include "lib/bytes.h"

#include <stdbool.h>

unsigned marks_bits(uint32_t sessions_max)
{
    unsigned bits = MARKS_BITS_MIN;

    while ((UINT64_C(1) << bits) < sessions_max)
        bits++;
    return bits;
}

uint64_t marks_path(const uint8_t path[static 8]) { return get_u64(path) & MARKS_KEY; }

uint64_t marks_source(const struct addr *a)
{
    if (a->len == 4)
        return ((get_u64(a->ip) >> 32) << 16 | a->port) << 8;
    return (((get_u64(a->ip) * MARKS_MIX ^ get_u64(a->ip + 8)) * MARKS_MIX) & MARKS_KEY) ^
           (uint64_t)a->port << 8;
}

static uint64_t *set_of(const struct marks *k, uint64_t key)
{
    return k->cells + (key * MARKS_MIX >> (64 - k->bits)) * MARKS_WAYS;
}

/* Whole cells, since the kernel and other workers use them meanwhile. */
static uint64_t get(const uint64_t *cell) { return __atomic_load_n(cell, __ATOMIC_RELAXED); }

static bool change(uint64_t *cell, uint64_t from, uint64_t to)
{
    return __atomic_compare_exchange_n(cell, &from, to, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* The cell of its set that holds this key, or a free one for key 0; NULL. */
static uint64_t *find(uint64_t *set, uint64_t key)
{
    for (unsigned i = 0; i < MARKS_WAYS; i++)
        if ((key != 0 ? get(&set[i]) & MARKS_KEY : get(&set[i])) == key)
            return &set[i];
    return NULL;
}

void marks_add(struct marks *k, uint64_t key)
{
    if (!k->cells || key == 0)
        return;
    uint64_t *set = set_of(k, key), *cell = find(set, key);
    uint64_t was = cell ? get(cell) : 0;
    if (cell && (was & MARKS_KEY) == key && change(cell, was, key | k->worker))
        return;
    while ((cell = find(set, 0)) != NULL)
        if (change(cell, 0, key | k->worker)) /* else another worker was faster */
            return;
}

/* What another worker has taken over stays. */
void marks_remove(struct marks *k, uint64_t key)
{
    uint64_t *cell = k->cells && key != 0 ? find(set_of(k, key), key) : NULL;

    if (cell)
        change(cell, key | k->worker, 0);
}

int marks_worker(const struct marks *k, uint64_t key)
{
    const uint64_t *cell = k->cells && key != 0 ? find(set_of(k, key), key) : NULL;

    return cell ? (int)(get(cell) & ~MARKS_KEY) : -1;
}
