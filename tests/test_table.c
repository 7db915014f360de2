/* test_table.c - the hash table against an array searched from end to end, and at its limits. */
#include "lib/rng.h"
#include "lib/table.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t secret[16] = {7};

static void setup(void) { cr_assert_geq(sodium_init(), 0); }

TestSuite(table, .init = setup, .timeout = 60);

/* Exactly the promised bytes, so that ASan sees a touch behind them. */
static void *open_table(struct table *t, uint32_t capacity, uint32_t key_bytes)
{
    void *memory = malloc(table_bytes(capacity, key_bytes));

    cr_assert(memory);
    table_init(t, capacity, key_bytes, secret, memory);
    return memory;
}

/* 16-byte keys whose interesting part is anywhere. */
static void key_of(uint32_t n, uint8_t key[16])
{
    memset(key, 0, 16);
    memcpy(key + n % 13, &n, sizeof n);
}

enum { KEYS = 300 };

/* slots[k] is where key k is, TABLE_NONE when it is not in. */
static void agrees(const struct table *t, const uint32_t slots[KEYS])
{
    uint32_t n = 0, used = 0;

    for (uint32_t k = 0; k < KEYS; k++) {
        uint8_t key[16];
        key_of(k, key);
        cr_assert_eq(table_find(t, key), slots[k], "key %u", k);
        if (slots[k] == TABLE_NONE)
            continue;
        n++;
        cr_assert(table_used(t, slots[k]));
        cr_assert_eq(memcmp(table_key(t, slots[k]), key, 16), 0);
    }
    for (uint32_t s = 0; s < t->capacity; s++)
        used += table_used(t, s);
    cr_assert_eq(n, t->n);
    cr_assert_eq(used, n);
}

static void random_operations(uint32_t capacity, uint64_t seed, unsigned operations)
{
    struct table t;
    struct rng r;
    uint32_t slots[KEYS];
    void *memory = open_table(&t, capacity, 16);
    bool filling = true;

    rng_seed(&r, seed);
    for (uint32_t k = 0; k < KEYS; k++)
        slots[k] = TABLE_NONE;
    for (unsigned i = 0; i < operations; i++) {
        uint32_t k = (uint32_t)rng_below(&r, KEYS);
        uint8_t key[16];
        key_of(k, key);
        if (rng_below(&r, 500) == 0)
            filling = !filling; /* so that it is full and empty at times */
        cr_assert_eq(table_find(&t, key), slots[k]);
        if (slots[k] == TABLE_NONE && (filling || rng_below(&r, 4) == 0)) {
            bool full = t.n == capacity;
            slots[k] = table_insert(&t, key);
            cr_assert_eq(slots[k] == TABLE_NONE, full);
            for (uint32_t j = 0; j < KEYS && !full; j++)
                cr_assert(j == k || slots[j] != slots[k], "a slot in use was handed out");
        } else if (slots[k] != TABLE_NONE && (!filling || rng_below(&r, 4) == 0)) {
            table_remove(&t, slots[k]);
            cr_assert(!table_used(&t, slots[k]));
            slots[k] = TABLE_NONE;
        }
        if (i % 256 == 0)
            agrees(&t, slots);
    }
    agrees(&t, slots);
    free(memory);
}

Test(table, behaves_as_an_array_of_keys)
{
    random_operations(256, 1, 100000);
    random_operations(200, 2, 50000);
    random_operations(64, 3, 30000);
    random_operations(2, 4, 10000);
    random_operations(1, 5, 10000);
}

Test(table, a_full_table_refuses_and_works_on)
{
    struct table t;
    void *memory = open_table(&t, 100, 4);
    uint32_t extra = 100;

    for (uint32_t k = 0; k < 100; k++)
        cr_assert_lt(table_insert(&t, &k), 100);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(table_insert(&t, &extra), TABLE_NONE);
    cr_assert_eq(t.n, 100);
    cr_assert_eq(table_find(&t, &extra), TABLE_NONE);
    for (uint32_t k = 0; k < 100; k++)
        cr_assert_neq(table_find(&t, &k), TABLE_NONE);
    uint32_t gone = 42, slot = table_find(&t, &gone);
    table_remove(&t, slot);
    cr_assert_eq(table_insert(&t, &extra), slot, "the one free slot");
    cr_assert_eq(table_insert(&t, &gone), TABLE_NONE);
    free(memory);
}

Test(table, has_no_slot_beyond_its_capacity)
{
    struct table t;
    void *memory = open_table(&t, 3, 4);

    cr_assert(!table_used(&t, 3));
    cr_assert(!table_used(&t, TABLE_NONE));
    free(memory);
}

/*
 * The longest run of cells is where a removal moves others: take its entries out in many orders, and
 * whoever stays must be found across the hole.
 */
Test(table, removal_inside_a_run_loses_nobody)
{
    enum { N = 512 };
    struct rng r;

    rng_seed(&r, 9);
    for (int round = 0; round < 40; round++) {
        struct table t;
        void *memory = open_table(&t, N, 4);
        uint32_t mask = t.n_cells - 1, best = 0, best_n = 0, run[N];
        for (uint32_t k = 0; k < N; k++)
            cr_assert_neq(table_insert(&t, &k), TABLE_NONE);
        for (uint32_t c = 0; c < t.n_cells; c++) {
            uint32_t n = 0;
            while (t.cells[(c + n) & mask] != 0)
                n++;
            if (n > best_n)
                best = c, best_n = n;
        }
        cr_assert_gt(best_n, 5);
        for (uint32_t i = 0; i < best_n; i++)
            run[i] = t.cells[(best + i) & mask] - 1;
        for (uint32_t left = best_n; left > 0; left--) {
            uint32_t i = (uint32_t)rng_below(&r, left), found = 0;
            table_remove(&t, run[i]);
            run[i] = run[left - 1];
            for (uint32_t k = 0; k < N; k++)
                found += table_find(&t, &k) != TABLE_NONE;
            cr_assert_eq(found, t.n);
        }
        free(memory);
    }
}

/* The most cells that any search walks over: what "constant time" means here. */
static uint32_t longest_run(const struct table *t)
{
    uint32_t longest = 0, n = 0;

    for (uint32_t c = 0; c < 2 * t->n_cells; c++) {
        n = t->cells[c & (t->n_cells - 1)] != 0 ? n + 1 : 0;
        if (n > longest)
            longest = n;
    }
    return longest;
}

Test(table, keys_that_a_peer_chose_do_not_pile_up_at_a_hundred_thousand)
{
    enum { N = 100000 };
    struct table t;
    void *memory = open_table(&t, N, 32);
    uint8_t key[32] = {0};

    /* Sequential, then equal in their low bits, as one would against a table that hashes poorly. */
    for (uint32_t k = 0; k < N; k++) {
        uint64_t v = k < N / 2 ? k : (uint64_t)k << 20;
        memcpy(key, &v, sizeof v);
        cr_assert_neq(table_insert(&t, key), TABLE_NONE);
    }
    cr_assert_lt(longest_run(&t), 200);
    for (uint32_t k = 0; k < N; k++) {
        uint64_t v = k < N / 2 ? k : (uint64_t)k << 20;
        memcpy(key, &v, sizeof v);
        uint32_t slot = table_find(&t, key);
        cr_assert(slot != TABLE_NONE);
        if (k % 2)
            table_remove(&t, slot);
    }
    cr_assert_eq(t.n, N / 2);
    for (uint32_t k = 0; k < N; k++) {
        uint64_t v = k < N / 2 ? k : (uint64_t)k << 20;
        memcpy(key, &v, sizeof v);
        cr_assert_eq(table_find(&t, key) == TABLE_NONE, k % 2 == 1);
    }
    free(memory);
}

Test(table, where_a_key_lies_depends_on_the_secret)
{
    struct table a, b;
    void *memory_a = open_table(&a, 1000, 4), *memory_b = malloc(table_bytes(1000, 4));
    uint8_t other[16] = {8};
    unsigned same = 0;

    table_init(&b, 1000, 4, other, memory_b);
    for (uint32_t k = 0; k < 1000; k++)
        table_insert(&a, &k), table_insert(&b, &k);
    for (uint32_t c = 0; c < a.n_cells; c++)
        same += a.cells[c] != 0 && a.cells[c] == b.cells[c];
    cr_assert_lt(same, 20);
    free(memory_a);
    free(memory_b);
}
