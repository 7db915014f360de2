/*
 * test_ladder.c - two peers meet through losses, in virtual time: the rungs of `make compare`, with lines that lose
 * the same packets in the same way, and so many runs that one failure in a thousand shows.
 *
 * RUNS=n has n of each rung, and prints the figures.
 */
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MS = 1000,
    SECOND = 1000 * MS,
    WARM_US = 12 * SECOND, /* attached, and filtering known */
    TIMEOUT_US = 15 * SECOND,
    LATE_US = 10 * SECOND, /* a connection to the coordinator that took so long leaves too little */
    RUNS_MAX = 20000,
};

TestSuite(ladder, .timeout = 3000);

struct rung {
    const char *what;
    int64_t delay_us;
    struct net_link losses; /* of one access line, each way */
    bool both;              /* of both lines; else of one, by turns */
    unsigned runs;
    int64_t p99_us; /* until this side has proof, of those that have a path */
};

static struct world w;

static struct {
    unsigned n, direct, late;
    int64_t us[RUNS_MAX]; /* of direct ones, until they were proven */
    int64_t packets[RUNS_MAX];
} seen;

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int64_t quantile(int64_t *v, size_t n, double q)
{
    qsort(v, n, sizeof *v, by_value);
    return n ? v[(size_t)(q * (double)(n - 1) + 0.5)] : 0;
}

/* What the two have sent to each other. */
static int64_t packets(void)
{
    const struct net *n = w.net;
    uint64_t sum = 0;

    for (size_t i = 0; i < 2; i++)
        sum += n->sent[w.peers[i].host][n->hosts[w.peers[!i].host].line].packets;
    return (int64_t)sum;
}

/* Did a side get its order so late, or not at all? */
static bool is_late(const struct world_result *r)
{
    const struct attempt *callee = world_other_side(&w, r);

    return !callee || callee->asked_us - r->began_us > LATE_US || r->at.attempts == 0;
}

static void run(const struct rung *r, unsigned number)
{
    struct world_conf c = {.seed = 1000 + number, .delay_us = r->delay_us, .n_peers = 2};
    size_t from = number / 2 % 2;

    c.peers[0] = world_nat("ei/preserve/apd");
    c.peers[1] = world_nat("ei/random/apd");
    world_open(&w, &c);
    w.forgets = true;
    world_run(&w, WARM_US + (int64_t)rng_below(&w.rng, SECOND));
    for (size_t i = 0; i < 2; i++)
        if (r->both || number % 2 == i)
            world_losses(&w, i, &r->losses);
    size_t at = world_connect(&w, from, !from, POLICY_AUTO, TIMEOUT_US);
    const struct world_result *result = &w.results[at];
    while (!result->settled && w.now_us < result->began_us + TIMEOUT_US + SECOND)
        world_run(&w, w.now_us + 10 * MS);
    const struct attempt *a = &result->at;
    bool direct = result->settled && a->state == ATTEMPT_DIRECT;
    if (direct)
        seen.us[seen.direct++] = a->way[WAY_DIRECT].confirmed_us - a->asked_us;
    else if (is_late(result))
        seen.late++;
    else
        printf("%s, run %u: %s\n", r->what, number, verdict_name(a->verdict));
    seen.packets[seen.n++] = packets();
    world_close(&w);
}

static void climb(const struct rung *r)
{
    const char *text = getenv("RUNS");
    unsigned runs = text ? (unsigned)atoi(text) : r->runs;

    cr_assert_leq(runs, RUNS_MAX);
    for (unsigned i = 0; i < runs; i++)
        run(r, i);
    int64_t p99_us = quantile(seen.us, seen.direct, 0.99);
    printf("%-32s  direct %u of %u, late %u  median %ld ms  p99 %ld ms  most %ld ms  packets %ld, "
           "most %ld\n",
           r->what, seen.direct, seen.n, seen.late, (long)quantile(seen.us, seen.direct, 0.5) / MS,
           (long)p99_us / MS, (long)quantile(seen.us, seen.direct, 1) / MS,
           (long)quantile(seen.packets, seen.n, 0.5), (long)quantile(seen.packets, seen.n, 1));
    fflush(stdout);
    cr_assert_leq((seen.n - seen.late - seen.direct) * 1000, seen.n);
    cr_assert_leq(seen.late * 100, seen.n);
    cr_assert_leq(p99_us, r->p99_us, "%ld ms", (long)p99_us / MS);
}

Test(ladder, five_percent_over_300_ms)
{
    climb(&(struct rung){"5 %, 300 ms", 150 * MS, {.loss_ppm = 50000}, false, 100, 3 * SECOND});
}

Test(ladder, twelve_percent_in_bursts_of_250_ms_over_450_ms)
{
    climb(&(struct rung){
        "12 % in bursts of 250 ms, 450 ms",
        225 * MS,
        {.burst_us = 250 * MS, .pause_us = 1833 * MS},
        false,
        100,
        3 * SECOND
    });
}

Test(ladder, twenty_five_percent_in_bursts_of_400_ms_over_800_ms)
{
    climb(&(struct rung){
        "25 % in bursts of 400 ms, 800 ms",
        400 * MS,
        {.burst_us = 400 * MS, .pause_us = 1200 * MS},
        false,
        400,
        6400 * MS
    });
}

Test(ladder, twenty_percent_on_both_lines_over_80_ms)
{
    climb(&(struct rung){
        "20 % on each line, 80 ms", 40 * MS, {.loss_ppm = 200000}, true, 200, SECOND});
}
