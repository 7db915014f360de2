/*
 * table.h - an open-addressing hash table from fixed-size keys to slot numbers, over memory that the
 * caller hands in.  Constant time at 100,000 entries, no allocation.  Pure.
 *
 * The caller keeps its records in an array and the table maps a key to an index in it; free slots are
 * chained inside the table, so that insert hands out an unused one.  Keys are hashed with SipHash
 * (crypto_shorthash) under a secret, since peers choose some of them.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_NONE UINT32_MAX

struct table {
    uint32_t capacity; /* records */
    uint32_t n;        /* records in use */
    uint32_t n_cells;  /* power of two, at least twice the capacity */
    uint32_t free;     /* head of the chain of unused slots */
    uint32_t key_bytes;
    uint8_t secret[16];
    uint32_t *cells; /* n_cells: slot + 1, or 0 */
    uint32_t *next;  /* capacity: chain of free slots, TABLE_NONE for a slot in use */
    uint8_t *keys;   /* capacity * key_bytes */
};

/* Bytes of memory that table_init needs, aligned as for uint32_t.  capacity 1 to 2^26. */
size_t table_bytes(uint32_t capacity, uint32_t key_bytes);
void table_init(struct table *t, uint32_t capacity, uint32_t key_bytes,
                const uint8_t secret[static 16], void *memory);

/* The slot of key, or TABLE_NONE. */
uint32_t table_find(const struct table *t, const void *key);

/* A fresh slot for key, which must not be in the table; TABLE_NONE when the table is full. */
uint32_t table_insert(struct table *t, const void *key);

/* Forget a slot in use; its number may be handed out again at once. */
void table_remove(struct table *t, uint32_t slot);

/* Is there an entry in this slot?  And its key, which is the table's own memory. */
bool table_used(const struct table *t, uint32_t slot);
const void *table_key(const struct table *t, uint32_t slot);

#endif
