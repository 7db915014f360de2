/* table.c - linear probing with backward-shift deletion, so that no tombstones pile up; see table.h. */
#include "lib/table.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

static uint32_t cells_for(uint32_t capacity)
{
    uint32_t n = 4;

    while (n < 2 * capacity)
        n *= 2;
    return n;
}

size_t table_bytes(uint32_t capacity, uint32_t key_bytes)
{
    return (size_t)cells_for(capacity) * sizeof(uint32_t) + (size_t)capacity * sizeof(uint32_t) +
           (size_t)capacity * key_bytes;
}

void table_init(struct table *t, uint32_t capacity, uint32_t key_bytes,
                const uint8_t secret[static 16], void *memory)
{
    assert(capacity > 0 && capacity <= 1u << 26 && key_bytes > 0);
    *t = (struct table){
        .capacity = capacity, .n_cells = cells_for(capacity), .key_bytes = key_bytes};
    memcpy(t->secret, secret, sizeof t->secret);
    t->cells = memory;
    t->next = t->cells + t->n_cells;
    t->keys = (uint8_t *)(t->next + capacity);
    memset(t->cells, 0, t->n_cells * sizeof *t->cells);
    for (uint32_t i = 0; i < capacity; i++) /* the last one's successor, capacity, ends the chain */
        t->next[i] = i + 1;
}

static uint8_t *key_of(const struct table *t, uint32_t slot)
{
    return t->keys + (size_t)slot * t->key_bytes;
}

static uint32_t home(const struct table *t, const void *key)
{
    uint64_t h;
    uint8_t out[crypto_shorthash_BYTES];

    crypto_shorthash(out, key, t->key_bytes, t->secret);
    memcpy(&h, out, sizeof h);
    return (uint32_t)h & (t->n_cells - 1);
}

static uint32_t find_cell(const struct table *t, const void *key)
{
    uint32_t c = home(t, key);

    while (t->cells[c] != 0 && memcmp(key_of(t, t->cells[c] - 1), key, t->key_bytes) != 0)
        c = (c + 1) & (t->n_cells - 1);
    return c;
}

uint32_t table_find(const struct table *t, const void *key)
{
    uint32_t v = t->cells[find_cell(t, key)];

    return v == 0 ? TABLE_NONE : v - 1;
}

uint32_t table_insert(struct table *t, const void *key)
{
    uint32_t slot = t->free;

    if (slot == t->capacity)
        return TABLE_NONE;
    uint32_t c = find_cell(t, key);
    assert(t->cells[c] == 0);
    t->free = t->next[slot];
    t->next[slot] = TABLE_NONE;
    memcpy(key_of(t, slot), key, t->key_bytes);
    t->cells[c] = slot + 1;
    t->n++;
    return slot;
}

void table_remove(struct table *t, uint32_t slot)
{
    assert(table_used(t, slot));
    uint32_t mask = t->n_cells - 1;
    uint32_t hole = find_cell(t, key_of(t, slot));

    /* Move back every later entry of the run that may not be reached across the hole. */
    for (uint32_t c = (hole + 1) & mask; t->cells[c] != 0; c = (c + 1) & mask) {
        uint32_t at = home(t, key_of(t, t->cells[c] - 1));
        if (((c - at) & mask) >= ((c - hole) & mask)) {
            t->cells[hole] = t->cells[c];
            hole = c;
        }
    }
    t->cells[hole] = 0;
    t->next[slot] = t->free;
    t->free = slot;
    t->n--;
}

bool table_used(const struct table *t, uint32_t slot)
{
    return slot < t->capacity && t->next[slot] == TABLE_NONE;
}

const void *table_key(const struct table *t, uint32_t slot) { return key_of(t, slot); }
