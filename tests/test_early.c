/*
 * test_early.c - packets that come too early: what is said of a NAT that lets them take its ports, which TTL passes
 * the own NATs, and what pairs come of it; in virtual time, and of the kernel's NATs with real programs.
 *
 * SEED=n measures by that one alone, RUNS=n so often.
 */
#include "tests/lib/ground.h"
#include "tests/sim/parts.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND = 1000000, RUNS = 10, TRIES = 40, PACKETS = 54 };

static struct world w;
static struct ground ground;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

TestSuite(early, .timeout = 3000);

/* ---- what is measured ------------------------------------------------------------------------------- */

/* More than its class: of linux-open, of a NAT that gives up mappings, of one that a spent TTL opens. */
enum trait { PLAIN, CLAIMS, KILLS, EXPIRED_MAPS, REJECTS, SMALL_BLOCK, NESTED, ALONE };

static struct world_peer_conf nat(const char *text, enum trait t)
{
    struct world_peer_conf c = world_nat(text);

    c.nat.claims = t == CLAIMS;
    c.nat.errors = t == KILLS ? NAT_ERRORS_KILL : NAT_ERRORS_PASS;
    c.nat.expired_maps = t == EXPIRED_MAPS;
    c.nat.rejects = t == REJECTS;
    c.nat.block = t == SMALL_BLOCK ? 64 : 0;
    c.nat.overload = (c.nat.overload && t != ALONE) || t == SMALL_BLOCK;
    c.has_carrier = t == NESTED;
    if (c.has_carrier)
        c.carrier = world_nat("ei/random/apd").nat;
    return c;
}

static const struct kind {
    const char *class;
    enum trait trait;
    enum clash clash;
    uint8_t ttl;
    bool kills;
} kinds[] = {
    {"apd/preserve/apd",  CLAIMS,       CLASH_CLAIMS,  2, false},
    {"apd/preserve/ad",   CLAIMS,       CLASH_CLAIMS,  2, false},
    {"apd/preserve/apd",  PLAIN,        CLASH_NONE,    2, false},
    {"ei/random/apd",     CLAIMS,       CLASH_NONE,    2, false}, /* its one mapping is there already */
    {"ei/preserve/ad",    PLAIN,        CLASH_NONE,    2, false},
    {"ei/preserve/ei",    PLAIN,        CLASH_UNKNOWN, 0, false}, /* nothing comes unasked */
    {"apd/random/apd",    PLAIN,        CLASH_UNKNOWN, 2, false}, /* no port is the one that was told */
    {"apd/contiguous/ad", PLAIN,        CLASH_UNKNOWN, 2, false},
    {"ei/random/apd",     KILLS,        CLASH_NONE,    0, true },
    {"apd/random/apd",    KILLS,        CLASH_UNKNOWN, 0, true },
    {"ei/preserve/apd",   EXPIRED_MAPS, CLASH_NONE,    2, false},
    {"none/preserve/apd", PLAIN,        CLASH_NONE,    2, false},
    {"apd/random/apd",    SMALL_BLOCK,  CLASH_UNKNOWN, 2, false},
    {"apd/preserve/apd",  ALONE,        CLASH_UNKNOWN, 2, false},
    {"ei/preserve/apd",   NESTED,       CLASH_NONE,    4, false},
    {"open",              PLAIN,        CLASH_UNKNOWN, 0, false},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Wrong is what is neither so nor unknown. */
struct tally {
    unsigned all, unknown, wrong;
};

static void judge(size_t i, uint64_t seed, struct tally *t)
{
    const struct kind *k = &kinds[i];
    const struct executor *x = &w.peers[i].core;
    uint8_t clash = x->profile.clash;
    bool exact = clash == k->clash && x->early.ttl == k->ttl && x->early.kills == k->kills;
    bool wrong = (clash != k->clash && clash != CLASH_UNKNOWN) ||
                 (x->early.ttl != k->ttl && x->early.ttl != 0) || (x->early.kills && !k->kills);

    cr_assert_eq(x->early.state, EARLY_KNOWN, "seed %lu, kind %zu", seed, i);
    for (size_t s = 0; s < EARLY_SOCKETS; s++)
        cr_assert_eq(w.peers[i].sockets[EARLY_FIRST + s].port, 0, "its sockets are closed");
    if (!exact)
        printf("seed %lu: %s (%d): %s: clash %s, ttl %u, kills %d\n", seed, k->class, k->trait,
               wrong ? "WRONG" : "unknown", clash_name[clash], x->early.ttl, x->early.kills);
    t->all++;
    t->wrong += wrong;
    t->unknown += !exact && !wrong;
}

static void measure(uint64_t seed, uint32_t loss_ppm, struct tally *t)
{
    struct world_conf c = {
        .seed = seed, .n_peers = KINDS, .delay_us = 20000, .jitter_us = 5000, .loss_ppm = loss_ppm};

    for (size_t i = 0; i < KINDS; i++)
        c.peers[i] = nat(kinds[i].class, kinds[i].trait);
    world_open(&w, &c);
    world_run(&w, 8 * SECOND);
    for (size_t i = 0; i < KINDS; i++) {
        judge(i, seed, t);
        uint64_t sent = 0;
        for (size_t l = 0; l < NET_LINES_MAX; l++)
            sent += w.net->sent[w.peers[i].host][l].udp;
        cr_assert(loss_ppm > 0 || sent <= PACKETS, "kind %zu: %lu packets", i, sent);
    }
    world_close(&w);
}

/* From the environment, or that. */
static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

static struct tally measure_all(uint64_t first_seed, uint32_t loss_ppm)
{
    struct tally t = {0};
    uint64_t first = number("SEED", first_seed), n = number("RUNS", getenv("SEED") ? 1 : RUNS);

    for (uint64_t seed = first; seed < first + n; seed++)
        measure(seed, loss_ppm, &t);
    printf("%u of %u wrong, %u not known\n", t.wrong, t.all, t.unknown);
    return t;
}

Test(early, what_comes_unasked_and_what_a_ttl_opens_is_told_exactly_on_a_good_line)
{
    struct tally t = measure_all(1, 0);

    cr_assert_eq(t.wrong + t.unknown, 0);
}

Test(early, nothing_is_told_wrongly_at_five_percent_loss)
{
    struct tally t = measure_all(100, 50000);

    cr_assert_eq(t.wrong, 0);
    cr_assert_leq(t.unknown * 100, t.all * 3);
}

/* ---- what it opens ---------------------------------------------------------------------------------- */

/* The first n of the prober's addresses are all that there are from now on. */
static void change_network(size_t peer, uint8_t n_addrs, bool moves)
{
    struct executor *x = &w.peers[peer].core;
    struct input in = {.kind = IN_NETWORK, .now_us = w.now_us};

    x->probers.v[0].n_addrs = n_addrs;
    if (moves)
        world_move_peer(&w, peer);
    else
        world_step_peer(&w, peer, &in);
}

/* Of those that are opened to ask probers by. */
static size_t count_open(size_t peer)
{
    size_t n = 0;

    for (size_t s = EARLY_FIRST; s < POOL_FIRST; s++)
        n += w.peers[peer].sockets[s].port != 0;
    return n;
}

static bool is_looking(size_t peer)
{
    const struct executor *x = &w.peers[peer].core;

    return x->early.state == EARLY_ASKING || x->range.state == RANGE_ASKING;
}

/* Behind a NAT whose block is asked for too, or not; and it may be another one from then on, and probers silent. */
static size_t change_at(int64_t ms, bool moves, uint8_t n_addrs, bool deaf)
{
    struct world_conf c = {.seed = 500 + (uint64_t)ms, .n_peers = 2, .delay_us = 20000};
    size_t caught = 0;

    c.peers[0] = nat("apd/random/apd", SMALL_BLOCK);
    c.peers[1] = nat("ei/random/apd", PLAIN);
    world_open(&w, &c);
    world_run(&w, ms * 1000);
    for (size_t i = 0; i < c.n_peers; i++) {
        caught += count_open(i);
        change_network(i, n_addrs, moves);
    }
    w.prober_deaf = deaf;
    while (w.now_us < 12 * SECOND) {
        world_run(&w, w.now_us + 50000);
        for (size_t i = 0; i < c.n_peers; i++)
            cr_assert(count_open(i) == 0 || is_looking(i), "changed at %ld ms, moves %d, %u, %d",
                      ms, moves, n_addrs, deaf);
    }
    world_close(&w);
    return caught;
}

Test(early, no_socket_stays_open_when_the_network_changes_at_any_moment_of_the_look)
{
    size_t caught = 0;

    for (int64_t ms = 20; ms < 4000; ms += 180)
        for (unsigned i = 0; i < 8; i++)
            caught += change_at(ms, i & 1, i & 2 ? 4 : 2, i & 4);
    cr_assert_gt(caught, 150);
}

/* ---- what comes of it --------------------------------------------------------------------------------- */

/* Attached; then one order in four is late by 200 ms, or 400. */
static bool is_direct(const struct world_peer_conf *a, const struct world_peer_conf *b,
                      uint64_t seed, bool may_prime)
{
    struct world_conf c = {
        .seed = seed, .n_peers = 2, .delay_us = 20000, .jitter_us = 10000, .peers = {*a, *b}
    };

    world_open(&w, &c);
    world_run(&w, 5 * SECOND);
    w.late_ppm = 2 * 120000;
    for (size_t i = 0; i < 2 && !may_prime; i++) {
        w.peers[i].core.early.ttl = 0;
        w.peers[i].core.early.kills = false;
    }
    size_t r = world_connect(&w, seed % 2, !(seed % 2), POLICY_AUTO, 4 * SECOND);
    world_run(&w, w.now_us + 5 * SECOND);
    bool direct = w.results[r].settled && w.results[r].at.path == PATH_DIRECT;
    world_close(&w);
    return direct;
}

static unsigned count(const char *a, enum trait ta, const char *b, enum trait tb, bool may_prime)
{
    struct world_peer_conf na = nat(a, ta), nb = nat(b, tb);
    unsigned direct = 0;

    for (uint64_t seed = 1; seed <= TRIES; seed++)
        direct += is_direct(&na, &nb, seed, may_prime);
    return direct;
}

static void compare(const char *a, enum trait ta, const char *b, enum trait tb, unsigned percent)
{
    unsigned with = count(a, ta, b, tb, true), without = count(a, ta, b, tb, false);

    printf("%s and %s: %u of %d direct, %u without\n", a, b, with, TRIES, without);
    cr_assert_geq(with * 100, percent * TRIES);
    cr_assert_gt(with, without);
}

Test(early, a_peer_whose_nat_clashes_is_reached_however_late_its_order_comes)
{
    compare("ei/random/apd", PLAIN, "apd/preserve/apd", CLAIMS, 100);
}

Test(early, two_nats_that_clash_are_opened_one_after_the_other)
{
    compare("apd/preserve/apd", CLAIMS, "apd/preserve/apd", CLAIMS, 90);
}

Test(early, many_sockets_are_opened_without_a_clash)
{
    compare("apd/random/apd", PLAIN, "apd/preserve/apd", CLAIMS, 97);
}

Test(early, who_loses_a_mapping_by_a_refusal_lets_the_other_side_begin)
{
    compare("ei/random/apd", KILLS, "ei/preserve/apd", REJECTS, 90);
}

/* ---- with real programs ------------------------------------------------------------------------------- */

Test(early, a_real_router_without_an_input_filter_is_told_from_one_with_it)
{
    static const char *const hosts[][2] = {
        {"linux",  "none"   },
        {"open",   "claims" },
        {"nested", "claims" }, /* by its carrier's */
        {"model",  "claims" },
        {"cone",   "unknown"},
        {"random", "unknown"},
    };
    enum { HOSTS = sizeof hosts / sizeof *hosts };
    struct ground_run run[HOSTS];
    int status;

    ground_open(&ground, ARGS("--delay", "20ms", "linux=linux", "open=linux-open", "isp=linux-open",
                              "nested=linux@isp", "model=apd/preserve/apd,overload=on,early=claims",
                              "cone=ei/preserve/ei", "random=apd/random/apd"));
    for (size_t i = 0; i < HOSTS; i++)
        run[i] = ground_start(&ground, hosts[i][0], "netcheck", ARGS("--timeout", "10"));
    for (size_t i = 0; i < HOSTS; i++) {
        json_t *line = ground_result(&run[i], &status);
        cr_assert_eq(status, 0);
        cr_assert_str_eq(ground_text(json_object_get(line, "profile"), "clash"), hosts[i][1], "%s",
                         hosts[i][0]);
        json_decref(line);
    }
    ground_close(&ground);
}
