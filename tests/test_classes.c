/*
 * test_classes.c - the 27 classes of NATs (mapping x allocation x filtering) in virtual time: what the
 * suite says of each against what the model is.
 *
 * Exact up to what an outsider can observe, and never wrong; unknown at most 2 % of the time.  What an
 * outsider can't observe: a NAT that keeps ports and lets mappings to different remotes share one looks
 * ei, and a firewall that lets everything in once something has gone out looks like none.
 * An assertion prints its seed; SEED=n runs that one alone, RUNS=n so many of each kind.
 */
#include "tests/matrix/matrix.h"
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { RUNS = 20, SECOND = 1000000 };

static struct world w;

TestSuite(classes, .timeout = 3000);

struct tally {
    size_t all, unknown, hairpins;
};

/* The model's word for what the profile should say. */
static struct profile truth(const struct nat_conf *n)
{
    bool shared = n->allocation == ALLOC_PRESERVE && n->overload;

    return (struct profile){.mapping = (uint8_t)(shared ? NAT_EI : n->mapping),
                            .filtering = (uint8_t)n->filtering,
                            .allocation = (uint8_t)n->allocation,
                            .delta = (int16_t)(n->allocation == ALLOC_CONTIGUOUS ? n->delta : 0)};
}

static void judge(size_t peer, uint64_t seed, const char *name, struct tally *t)
{
    const struct executor *x = &w.peers[peer].core;
    const struct profile *p = &x->profile;
    struct nat_conf open = {
        .mapping = NAT_NONE, .filtering = NAT_NONE, .allocation = ALLOC_PRESERVE};
    struct profile is = truth(w.nats[peer] ? &w.nats[peer]->conf : &open);

    if (is.mapping == NAT_NONE && is.filtering == NAT_EI) /* has let us out before it is asked */
        is.filtering = NAT_NONE;
    cr_assert(x->profile_known, "seed %lu: %s: no profile", seed, name);
    cr_assert(p->mapping == is.mapping || p->mapping == NAT_UNKNOWN,
              "seed %lu: %s: mapping said to be %s", seed, name, behaviour_name[p->mapping]);
    cr_assert(p->filtering == is.filtering || p->filtering == NAT_UNKNOWN,
              "seed %lu: %s: filtering said to be %s", seed, name, behaviour_name[p->filtering]);
    cr_assert(p->allocation == is.allocation || p->allocation == ALLOC_UNKNOWN,
              "seed %lu: %s: allocation said to be %s", seed, name, allocation_name[p->allocation]);
    cr_assert(p->allocation != ALLOC_CONTIGUOUS || p->delta == is.delta,
              "seed %lu: %s: delta said to be %d, not %d", seed, name, p->delta, is.delta);
    /* Behind a NAT with a port for each remote nobody can be sent to where a prober saw him. */
    uint8_t hairpin = w.nats[peer] ? (uint8_t)(HAIRPIN_NONE + w.nats[peer]->conf.hairpin) : 0;
    cr_assert(p->hairpin == hairpin || p->hairpin == HAIRPIN_UNKNOWN ||
                  (p->hairpin == HAIRPIN_NONE && is.mapping != NAT_EI),
              "seed %lu: %s: hairpin said to be %s", seed, name, hairpin_name[p->hairpin]);
    t->hairpins += p->hairpin == hairpin;
    t->all++;
    bool unknown =
        p->mapping == NAT_UNKNOWN || p->filtering == NAT_UNKNOWN || p->allocation == ALLOC_UNKNOWN;
    t->unknown += unknown;
    if (unknown)
        printf("seed %lu: %s: %s/%s/%s\n", seed, name, behaviour_name[p->mapping],
               allocation_name[p->allocation], behaviour_name[p->filtering]);
}

/* Peers behind some of the classes, each behind a NAT of its own; and let the suite see them. */
static void run(uint64_t seed, uint32_t loss_ppm, size_t first, size_t n, struct tally *t)
{
    static const int32_t deltas[] = {1, 1, 2, -1};
    struct world_conf c = {.seed = seed, .n_peers = n, .loss_ppm = loss_ppm};
    struct rng r;

    rng_seed(&r, seed ^ 0xc1a55);
    c.delay_us = 5000 + (int64_t)rng_below(&r, 80000);
    c.jitter_us = (int64_t)rng_below(&r, 10000);
    for (size_t i = 0; i < n; i++) {
        c.peers[i] = world_nat(matrix_class((unsigned)(first + i)).text);
        c.peers[i].nat.delta = deltas[rng_below(&r, 4)];
        c.peers[i].nat.hairpin = (enum nat_hairpin)((first + i + seed) % 3);
    }
    world_open(&w, &c);
    world_run(&w, 8 * SECOND);
    for (size_t i = 0; i < n; i++)
        judge(i, seed, matrix_class((unsigned)(first + i)).text, t);
    world_close(&w);
}

static uint64_t runs(void)
{
    const char *text = getenv("RUNS");

    return text ? strtoull(text, NULL, 10) : 20;
}

static struct tally run_all(uint64_t first_seed, uint32_t loss_ppm)
{
    const char *only = getenv("SEED");
    struct tally t = {0};

    for (uint64_t seed = first_seed; seed < first_seed + runs(); seed++)
        if (!only || strtoull(only, NULL, 10) == seed) {
            run(seed, loss_ppm, 0, MATRIX_CLASSES / 2, &t);
            run(seed, loss_ppm, MATRIX_CLASSES / 2, MATRIX_CLASSES - MATRIX_CLASSES / 2, &t);
        }
    printf("%zu of %zu with something unknown; of %zu the hairpin exactly\n", t.unknown, t.all,
           t.hairpins);
    return t;
}

/* What has no class: no NAT, with a firewall or without, and NATs that keep ports and share none. */
static void run_others(uint64_t seed, uint32_t loss_ppm, struct tally *t)
{
    static const char *const others[] = {
        "open",           "none/preserve/ei", "none/preserve/ad", "none/preserve/apd",
        "ei/preserve/ei", "ad/preserve/ad",   "apd/preserve/apd", "apd/preserve/ei"};
    struct world_conf c = {.seed = seed, .n_peers = 8, .loss_ppm = loss_ppm, .delay_us = 20000};

    for (size_t i = 0; i < c.n_peers; i++) {
        c.peers[i] = world_nat(others[i]);
        c.peers[i].nat.overload = false;
    }
    world_open(&w, &c);
    world_run(&w, 8 * SECOND);
    for (size_t i = 0; i < c.n_peers; i++)
        judge(i, seed, others[i], t);
    for (size_t i = 2; i < 4; i++)
        cr_assert_str_eq(profile_display(&w.peers[i].core.profile), "firewalled");
    world_close(&w);
}

Test(classes, a_firewalled_host_is_never_called_reachable)
{
    struct tally t = {0};

    for (uint64_t seed = 300; seed < 300 + runs(); seed++)
        run_others(seed, seed % 2 ? 50000 : 0, &t);
    cr_assert_leq(t.unknown * 100, t.all * 2);
}

Test(classes, filtering_stays_unknown_where_the_prober_has_one_address)
{
    struct world_conf c = world_two("open", "apd/random/ei", 400);
    struct tally t = {0};

    c.one_address = true;
    world_open(&w, &c);
    world_run(&w, 8 * SECOND);
    for (size_t i = 0; i < c.n_peers; i++) {
        judge(i, c.seed, "one address", &t);
        cr_assert_eq(w.peers[i].core.profile.filtering, NAT_UNKNOWN);
        cr_assert_str_neq(profile_display(&w.peers[i].core.profile), "open");
    }
    world_close(&w);
}

Test(classes, all_are_told_exactly_on_a_good_line)
{
    struct tally t = run_all(100, 0);

    cr_assert_eq(t.unknown, 0);
}

Test(classes, none_is_told_wrongly_at_five_percent_loss_and_few_not_at_all)
{
    struct tally t = run_all(200, 50000);

    cr_assert_leq(t.unknown * 100, t.all * 2);
}

/* ---- the first word ----------------------------------------------------------------------------------- */

/* How many are not known by it, of those whose NATs give out ports one after the other. */
static unsigned unknown_at_first(uint64_t seed, int64_t *latest_us)
{
    struct world_conf c = {.seed = seed, .delay_us = 20000, .loss_ppm = 50000};
    int64_t attached_us[MATRIX_CLASSES] = {0};
    bool known[MATRIX_CLASSES] = {false};
    unsigned unknown = 0;
    size_t left;

    for (size_t i = 0; i < MATRIX_CLASSES; i++) {
        struct world_peer_conf p = world_nat(matrix_class((unsigned)i).text);
        p.nat.delta = (int32_t)(seed % 3) + 1;
        if (p.nat.allocation == ALLOC_CONTIGUOUS)
            c.peers[c.n_peers++] = p;
    }
    left = c.n_peers;
    world_open(&w, &c);
    while (left > 0 && w.now_us < 20 * SECOND) {
        world_run(&w, w.now_us + 10000);
        for (size_t i = 0; i < c.n_peers; i++) {
            const struct executor *x = &w.peers[i].core;
            if (x->attached && attached_us[i] == 0)
                attached_us[i] = w.now_us;
            if (known[i] || !x->profile_known)
                continue;
            known[i] = true;
            left--;
            unknown += x->profile.allocation != ALLOC_CONTIGUOUS;
            cr_assert(x->profile.allocation == ALLOC_UNKNOWN ||
                          x->profile.delta == c.peers[i].nat.delta,
                      "seed %lu, peer %zu", seed, i);
            if (w.now_us - attached_us[i] > *latest_us)
                *latest_us = w.now_us - attached_us[i];
        }
    }
    cr_assert_eq(left, 0, "seed %lu", seed);
    world_close(&w);
    return unknown;
}

Test(classes, steps_are_known_by_the_first_word_at_five_percent_loss)
{
    unsigned unknown = 0, all = 0;
    int64_t latest_us = 0;

    for (uint64_t seed = 600; seed < 600 + runs(); seed++, all += 9)
        unknown += unknown_at_first(seed, &latest_us);
    printf("%u of %u not known at first, the latest word after %ld ms\n", unknown, all,
           latest_us / 1000);
    cr_assert_leq(unknown * 50, all);
}
