/* test_deadlines.c - the heap of deadlines against an array searched from end to end. */
#include "lib/deadlines.h"
#include "lib/rng.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

TestSuite(deadlines, .timeout = 60);

/* Exactly the promised bytes, so that ASan sees a touch behind them. */
static void *open_deadlines(struct deadlines *d, uint32_t capacity)
{
    void *memory = malloc(deadlines_bytes(capacity));

    cr_assert(memory);
    memset(memory, 0xa5, deadlines_bytes(capacity)); /* init may not count on zeroes */
    deadlines_init(d, capacity, memory);
    return memory;
}

static int64_t first_of(const int64_t *at, uint32_t n)
{
    int64_t first = DEADLINE_NEVER;

    for (uint32_t i = 0; i < n; i++)
        if (at[i] < first)
            first = at[i];
    return first;
}

static void random_operations(uint32_t slots, int64_t span, uint64_t seed)
{
    struct deadlines d;
    struct rng r;
    int64_t at[64], now = 0;
    void *memory = open_deadlines(&d, slots);

    rng_seed(&r, seed);
    for (uint32_t i = 0; i < slots; i++)
        at[i] = DEADLINE_NEVER;
    for (int i = 0; i < 40000; i++) {
        uint32_t slot = (uint32_t)rng_below(&r, slots);
        switch (rng_below(&r, 4)) {
        case 0:
        case 1: /* set or move, into the past too */
            at[slot] = now - span / 4 + (int64_t)rng_below(&r, (uint64_t)span);
            deadlines_set(&d, slot, at[slot]);
            break;
        case 2:
            at[slot] = DEADLINE_NEVER;
            deadlines_set(&d, slot, DEADLINE_NEVER);
            break;
        case 3:
            now += (int64_t)rng_below(&r, (uint64_t)span / 2);
            for (uint32_t due; (due = deadlines_pop(&d, now)) != UINT32_MAX;) {
                cr_assert_lt(due, slots);
                cr_assert_eq(at[due], first_of(at, slots), "earliest first");
                cr_assert_leq(at[due], now);
                at[due] = DEADLINE_NEVER;
            }
            cr_assert_gt(first_of(at, slots), now, "all that were due came");
            break;
        }
        cr_assert_eq(deadlines_first(&d), first_of(at, slots));
    }
    free(memory);
}

Test(deadlines, behave_as_an_array_of_times)
{
    random_operations(64, 1000, 1);
    random_operations(64, 8, 2); /* many equal times */
    random_operations(37, INT64_C(1) << 40, 3);
    random_operations(2, 10, 4);
    random_operations(1, 10, 5);
}

Test(deadlines, nothing_set_is_never)
{
    struct deadlines d;
    void *memory = open_deadlines(&d, 4);

    cr_assert_eq(deadlines_first(&d), DEADLINE_NEVER);
    cr_assert_eq(deadlines_pop(&d, INT64_MAX), UINT32_MAX);
    deadlines_set(&d, 2, DEADLINE_NEVER); /* clearing what is not set */
    cr_assert_eq(deadlines_first(&d), DEADLINE_NEVER);
    deadlines_set(&d, 2, 5);
    deadlines_set(&d, 2, DEADLINE_NEVER);
    cr_assert_eq(deadlines_pop(&d, INT64_MAX), UINT32_MAX);
    free(memory);
}

Test(deadlines, come_at_their_time_and_not_before)
{
    struct deadlines d;
    void *memory = open_deadlines(&d, 3);

    deadlines_set(&d, 1, 100);
    deadlines_set(&d, 0, INT64_MIN);
    deadlines_set(&d, 2, INT64_MAX - 1);
    cr_assert_eq(deadlines_pop(&d, 99), 0);
    cr_assert_eq(deadlines_pop(&d, 99), UINT32_MAX);
    cr_assert_eq(deadlines_pop(&d, 100), 1);
    cr_assert_eq(deadlines_pop(&d, INT64_MAX - 2), UINT32_MAX);
    cr_assert_eq(deadlines_pop(&d, INT64_MAX - 1), 2);
    cr_assert_eq(deadlines_first(&d), DEADLINE_NEVER);
    free(memory);
}

Test(deadlines, a_slot_has_one_and_moving_replaces_it)
{
    struct deadlines d;
    void *memory = open_deadlines(&d, 4);

    deadlines_set(&d, 0, 10), deadlines_set(&d, 1, 20), deadlines_set(&d, 2, 30);
    deadlines_set(&d, 2, 5); /* earlier */
    cr_assert_eq(deadlines_first(&d), 5);
    deadlines_set(&d, 2, 40); /* later */
    cr_assert_eq(deadlines_first(&d), 10);
    cr_assert_eq(deadlines_pop(&d, 1000), 0);
    cr_assert_eq(deadlines_pop(&d, 1000), 1);
    cr_assert_eq(deadlines_pop(&d, 1000), 2);
    cr_assert_eq(deadlines_pop(&d, 1000), UINT32_MAX);
    free(memory);
}

Test(deadlines, of_equal_times_each_slot_comes_once)
{
    enum { N = 1000 };
    struct deadlines d;
    bool seen[N] = {false};
    void *memory = open_deadlines(&d, N);

    for (uint32_t i = 0; i < N; i++)
        deadlines_set(&d, i, 7);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t slot = deadlines_pop(&d, 7);
        cr_assert(slot < N && !seen[slot]);
        seen[slot] = true;
    }
    cr_assert_eq(deadlines_pop(&d, 7), UINT32_MAX);
    free(memory);
}

/* A heap that degenerates into a list would take minutes here. */
Test(deadlines, a_hundred_thousand_come_in_order)
{
    enum { N = 100000 };
    struct deadlines d;
    void *memory = open_deadlines(&d, N);
    int64_t *at = malloc(N * sizeof *at), last = INT64_MIN;

    for (uint32_t i = 0; i < N; i++) /* sorted backwards: each one becomes the first */
        deadlines_set(&d, i, at[i] = N - (int64_t)i);
    for (uint32_t i = 0; i < N; i += 3)
        deadlines_set(&d, i, at[i] = (int64_t)i * 7919 % N);
    for (uint32_t i = 1; i < N; i += 3)
        deadlines_set(&d, i, DEADLINE_NEVER);
    uint32_t n = 0;
    for (uint32_t slot; (slot = deadlines_pop(&d, N)) != UINT32_MAX; n++) {
        cr_assert_neq(slot % 3, 1);
        cr_assert_geq(at[slot], last);
        last = at[slot];
    }
    cr_assert_eq(n, N - N / 3);
    free(at);
    free(memory);
}
