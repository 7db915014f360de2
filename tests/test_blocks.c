/*
 * test_blocks.c - two NATs that draw random ports from a block for each subscriber: met in virtual time when both sides
 * agreed to that, within the share of the block that they agreed to; else told at once why not.
 *
 * RUNS=n: so many attempts of each kind, for figures.
 */
#include "tests/matrix/play.h"
#include "tests/matrix/tally.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND = 1000000, PERCENT = 100 };

static struct world w;
static struct matrix m;
static struct matrix_run runs[MATRIX_RUNS_MAX];

TestSuite(blocks, .timeout = 600);

static struct matrix_class class(const char *text)
{
    unsigned i = 0;

    while (i < MATRIX_CLASSES && strcmp(matrix_class(i).text, text) != 0)
        i++;
    cr_assert_lt(i, MATRIX_CLASSES, "%s", text);
    return matrix_class(i);
}

static unsigned times(unsigned usual)
{
    const char *text = getenv("RUNS");

    return text ? (unsigned)strtoul(text, NULL, 10) : usual;
}

/* So many attempts, each side's in turn; those that were not direct have this reason, but for a few whose block was not told. */
static struct tally met(const struct play_conf *conf, const char *from, const char *to, unsigned n,
                        enum verdict missed)
{
    struct matrix_class a = class(from), b = class(to);
    unsigned untold = 0;

    cr_assert_leq(n, MATRIX_RUNS_MAX);
    m.n = n;
    for (unsigned k = 0; k < n; k++) {
        struct matrix_run *r = &runs[k];
        *r = play(&w, conf, k % 2 ? &b : &a, k % 2 ? &a : &b, 500 + k);
        bool left_again = r->verdict == VERDICT_direct_block_birthday; /* and is found once more */
        untold += !r->direct && r->verdict != missed && !left_again;
    }
    struct tally t = tally_cell(&m, &(struct matrix_cell){.runs = runs});
    printf("%s to %s, blocks of %u, %u %%, %s: %u of %u, %.1f to %.1f %%, ms p50 %.0f, p90 %.0f, "
           "p99 %.0f\n",
           from, to, conf->block, conf->share, conf->reuse ? "shared ports" : "a port each",
           t.direct, n, t.low * PERCENT, t.high * PERCENT, t.ms_p50, t.ms_p90, t.ms_p99);
    cr_assert_leq(untold * 250, n, "%u had another reason", untold);
    return t;
}

Test(blocks, two_random_sides_meet_when_both_try_the_others_block)
{
    struct play_conf conf = {.delay_us = 20000, .share = 255, .reuse = true};
    unsigned n = times(10);

    for (conf.block = 256; conf.block <= 1024; conf.block *= 2) {
        struct tally t = met(&conf, "apd/random/apd", "apd/random/apd", n, VERDICT_block_missed);
        cr_assert_geq(t.direct * 10, n * 9);
        cr_assert_leq(t.ms_p99, 10000);
    }
}

/* 63 of 100 at best (scan.c); of few attempts less may be direct. */
Test(blocks, where_each_mapping_takes_a_port_there_is_one_chance_until_they_expire)
{
    struct play_conf conf = {.delay_us = 20000, .share = PERCENT};
    unsigned n = times(30), least = n >= 200 ? 55 : 40;

    for (conf.block = 256; conf.block <= 1024; conf.block *= 2)
        cr_assert_geq(
            met(&conf, "apd/random/apd", "apd/random/apd", n, VERDICT_block_missed).direct *
                PERCENT,
            n * least);
}

/* So the others try those last (test_scan.c). */
Test(blocks, ports_that_probers_saw_are_told_as_taken)
{
    struct world_conf c = {.seed = 31, .n_peers = 1, .delay_us = 20000};

    c.peers[0] = world_nat("apd/random/apd");
    c.peers[0].nat.block = 256;
    world_open(&w, &c);
    world_run(&w, 4 * SECOND);
    const struct profile *p = &w.peers[0].core.profile;
    cr_assert_geq(profile_taken(p), 10);
    for (size_t i = 0; i < profile_taken(p); i++) {
        const struct nat_mapping *mapping;
        bool found = false;
        for (size_t cursor = 0; (mapping = nat_next_mapping(w.nats[0], w.now_us, &cursor));)
            found = found || mapping->external.port == p->taken[i];
        cr_assert(found, "%u", p->taken[i]);
    }
    world_close(&w);
}

Test(blocks, a_side_that_lets_in_any_port_or_keeps_its_own_for_an_address_is_met_too)
{
    struct play_conf conf = {.delay_us = 20000, .share = 255, .reuse = true, .block = 256};
    static const struct {
        const char *from, *to;
    } pairs[] = {
        {"ad/random/apd", "ad/random/apd" },
        {"ad/random/apd", "apd/random/ei" },
        {"ad/random/apd", "apd/random/ad" },
        {"ad/random/apd", "apd/random/apd"},
        {"apd/random/ei", "apd/random/apd"},
        {"apd/random/ad", "apd/random/apd"}
    };
    unsigned n = times(6);

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        cr_assert_geq(met(&conf, pairs[i].from, pairs[i].to, n, VERDICT_block_missed).direct * 3,
                      n * 2);
}

/* The second and third try come when the NATs have forgotten the mappings of the one before. */
Test(blocks, what_missed_is_tried_again_when_its_ports_are_free_again)
{
    unsigned n = times(0), direct = 0;

    if (n == 0)
        cr_skip_test("RUNS=n plays n sessions of ten minutes");
    for (unsigned k = 0; k < n; k++) {
        struct world_conf c = {.seed = 900 + k, .n_peers = 2, .delay_us = 20000};
        for (size_t i = 0; i < 2; i++) {
            c.peers[i] = world_nat("apd/random/apd");
            c.peers[i].nat.block = (uint16_t)(256u << k % 3);
            c.peers[i].blocks = PERCENT;
        }
        world_open(&w, &c);
        world_run(&w, 4 * SECOND);
        world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND);
        const struct attempt *a = &w.peers[0].core.attempts[0];
        while (w.now_us < 900 * (int64_t)SECOND && a->state != ATTEMPT_DIRECT && a->attempts <= 3)
            world_run(&w, w.now_us + SECOND);
        direct += a->state == ATTEMPT_DIRECT;
        world_close(&w);
    }
    printf("in three tries: %u of %u\n", direct, n);
    cr_assert_geq(direct * 10, n * 8);
}

/* One attempt of both kinds; returns the world's verdict, with the world still open. */
static const struct attempt *attempt(uint16_t block, uint8_t mine, uint8_t theirs)
{
    struct world_conf c = {.seed = 9, .n_peers = 2, .delay_us = 20000};

    for (size_t i = 0; i < 2; i++) {
        c.peers[i] = world_nat("apd/random/apd");
        c.peers[i].nat.block = block;
    }
    c.peers[0].blocks = mine;
    c.peers[1].blocks = theirs;
    world_open(&w, &c);
    world_run(&w, 4 * SECOND);
    size_t n = world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND);
    for (int k = 0; k < 15 && !w.results[n].settled; k++)
        world_run(&w, w.now_us + SECOND);
    return &w.results[n].at;
}

Test(blocks, what_is_not_agreed_or_has_no_end_is_told_at_once_and_nothing_is_tried)
{
    static const struct {
        uint16_t block;
        uint8_t mine, theirs;
        enum verdict why;
    } rows[] = {
        {256, 0,  0,  VERDICT_blocks_closed},
        {256, 50, 0,  VERDICT_blocks_closed},
        {256, 0,  50, VERDICT_blocks_closed},
        {0,   50, 50, VERDICT_range_wide   },
        {0,   50, 0,  VERDICT_both_random  }
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct attempt *a = attempt(rows[i].block, rows[i].mine, rows[i].theirs);
        cr_assert_str_eq(verdict_name(a->verdict), verdict_name(rows[i].why), "row %zu: %s", i,
                         verdict_name(a->verdict));
        cr_assert_leq(a->settled_us - a->asked_us, SECOND / 2);
        for (size_t p = 0; p < 2; p++)
            cr_assert(w.peers[p].core.n.guesses == 0 && w.peers[p].core.pool_opened == 0);
        world_close(&w);
    }
}

Test(blocks, no_more_of_the_own_block_is_used_than_was_agreed_to)
{
    for (unsigned seed = 0; seed < 2; seed++) {
        attempt(512, seed ? 50 : 25, 50);
        cr_assert_leq(w.peers[0].core.n.guesses, 512u * (seed ? 50 : 25) / PERCENT);
        cr_assert_leq(w.peers[1].core.n.guesses, 256);
        for (size_t s = POOL_FIRST; s < KEPT_FIRST; s++)
            cr_assert_eq(w.peers[0].sockets[s].port, 0, "the pool is closed");
        world_close(&w);
    }
}
