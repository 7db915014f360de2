/*
 * test_warm.c - how soon a path is there whose ports are known, against what physics allows, in virtual time: between
 * any two classes of NAT that need no guessing, near and far.
 *
 * With all at d from each other a request is heard by the peer's first packet after F = 3 d at the soonest, and both
 * directions are proven after F + d.  RUNS=n plays all pairs n times each; else some once.
 */
#include "tests/matrix/matrix.h"
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SECOND = 1000000,
    MS = 1000,
    WARM_US = 9 * SECOND, /* until filtering is known at 400 ms */
    TIMEOUT_US = 15 * SECOND,
    KINDS = MATRIX_CLASSES + 2,
    MEDIAN_PERCENT = 115,
    P99_PERCENT = 150,
    SOME = 19, /* of so many pairs one is played when all are too many */
    TIMES_MAX = 200000,
};

TestSuite(warm, .timeout = 1500);

static struct world w;

/* Percent of the least possible. */
static struct times {
    size_t n;
    int64_t percent[TIMES_MAX];
} connects, confirms;

static void add(struct times *t, int64_t us, int64_t floor_us)
{
    cr_assert_lt(t->n, TIMES_MAX);
    t->percent[t->n++] = us * 100 / floor_us;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int64_t quantile(struct times *t, size_t percent)
{
    cr_assert_gt(t->n, 0);
    qsort(t->percent, t->n, sizeof *t->percent, by_value);
    return t->percent[(t->n * percent + 99) / 100 - 1];
}

static struct world_peer_conf kind(size_t i, char text[MATRIX_TEXT])
{
    static const char *const others[] = {"open", "none/preserve/apd"};

    snprintf(text, MATRIX_TEXT, "%s",
             i < MATRIX_CLASSES ? matrix_class((unsigned)i).text : others[i - MATRIX_CLASSES]);
    return world_nat(text);
}

static bool is_known(enum verdict v)
{
    return v == VERDICT_direct_reversal || v == VERDICT_direct_synchronous ||
           v == VERDICT_direct_send_first;
}

static void one(size_t from, size_t to, int64_t d_us, uint64_t seed)
{
    char text[2][MATRIX_TEXT];
    struct world_conf c = {.seed = seed, .delay_us = d_us, .jitter_us = d_us / 20, .n_peers = 2};

    c.peers[0] = kind(from, text[0]);
    c.peers[1] = kind(to, text[1]);
    world_open(&w, &c);
    world_run(&w, WARM_US);
    const struct world_result *r = &w.results[world_connect(&w, 0, 1, POLICY_AUTO, TIMEOUT_US)];
    while (!r->settled)
        world_run(&w, w.now_us + 50 * MS);
    const struct attempt *a = &r->at;
    const struct way_state *direct = &a->way[WAY_DIRECT];
    if (is_known(a->verdict)) {
        cr_assert(a->warm);
        add(&connects, direct->first_heard_us - a->asked_us, 3 * d_us);
        add(&confirms, direct->confirmed_us - a->asked_us, 4 * d_us);
    }
    world_close(&w);
}

Test(warm, a_path_that_needs_no_guessing_is_there_in_hardly_more_than_physics_asks_for)
{
    static const int64_t ways_us[] = {5 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS};
    const char *text = getenv("RUNS");
    size_t runs = text ? strtoul(text, NULL, 10) : 0, n = 0;

    for (size_t k = 0; k < sizeof ways_us / sizeof *ways_us; k++) {
        connects.n = confirms.n = 0;
        for (size_t i = 0; i < (runs ? runs : 1) * KINDS * KINDS; i++, n++)
            if (runs > 0 || n % SOME == 0)
                one(i % KINDS, i / KINDS % KINDS, ways_us[k], 40000 + n);
        printf("round trips of %ld ms: %zu paths, connected after %ld %% of F (p99 %ld %%), "
               "confirmed after %ld %% of F + d (p99 %ld %%)\n",
               (long)(2 * ways_us[k] / MS), connects.n, (long)quantile(&connects, 50),
               (long)quantile(&connects, 99), (long)quantile(&confirms, 50),
               (long)quantile(&confirms, 99));
        fflush(stdout);
        cr_assert_leq(quantile(&connects, 50), MEDIAN_PERCENT);
        cr_assert_leq(quantile(&connects, 99), P99_PERCENT);
        cr_assert_leq(quantile(&confirms, 50), MEDIAN_PERCENT);
        cr_assert_leq(quantile(&confirms, 99), P99_PERCENT);
    }
}
