/*
 * test_sim.c - the whole system in virtual time: every core, modelled NATs, a bad network, crashes.
 *
 * Whatever is lost, duplicated, reordered or killed:
 *   1. every attempt settles by its deadline, with a verdict that is not "unknown";
 *   2. when things have calmed down, both sides of a session that lives say the same of it;
 *   3. under the relay policy no packet goes from peer to peer;
 *   4. a pair whose NATs allow it is direct when nothing was killed, and a pair of two random ones is not;
 *   5. the same seed gives the same run.
 * An assertion prints its seed; SEED=n runs that one alone.  SIM_SESSIONS=n is how many go over all pairs
 * of classes; `make check` has 10,000 of them in release mode.
 */
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { PEERS = 6, SESSIONS = 10, SECOND = 1000000 };

static struct world w;

static const char *const nats[] = {"open",           "ei/preserve/apd", "ei/random/apd",
                                   "ei/preserve/ei", "ei/random/ad",    "apd/random/apd",
                                   "apd/random/ei",  "ad/random/ad",    "apd/preserve/apd"};
enum { NATS = sizeof nats / sizeof *nats };

static struct world_conf two(const char *a, const char *b, uint64_t seed)
{
    struct world_conf c = {.seed = seed, .delay_us = 20000, .n_peers = 2};

    c.peers[0] = world_nat(a);
    c.peers[1] = world_nat(b);
    return c;
}

/* Warm both, connect, and return how it ended. */
static const struct world_result *pair(const struct world_conf *c, enum policy policy)
{
    world_open(&w, c);
    world_run(&w, 2 * SECOND);
    size_t r = world_connect(&w, 0, 1, policy, 15 * SECOND);
    world_run(&w, w.now_us + 16 * SECOND);
    return &w.results[r];
}

TestSuite(sim, .timeout = 300);

Test(sim, two_port_restricted_peers_are_direct_within_the_physics)
{
    struct world_conf c = two("ei/preserve/apd", "ei/random/apd", 1);
    const struct world_result *r = pair(&c, POLICY_AUTO);
    const struct way_state *direct = &r->at.way[WAY_DIRECT];
    int64_t d = c.delay_us, floor_us = 2 * d + d; /* F = max(2a, a + b) + d */

    cr_assert(r->settled);
    cr_assert_eq(r->at.state, ATTEMPT_DIRECT, "%s", verdict_name(r->at.verdict));
    cr_assert(r->at.warm);
    cr_assert_leq(direct->first_heard_us - r->at.asked_us, floor_us * 135 / 100);
    cr_assert_leq(direct->confirmed_us - r->at.asked_us, (floor_us + d) * 135 / 100);
    cr_assert_eq(world_other_side(&w, r)->state, ATTEMPT_DIRECT);
    world_close(&w);
}

Test(sim, two_random_nats_are_relayed_at_once_and_say_why)
{
    struct world_conf c = two("apd/random/apd", "apd/random/apd", 2);
    const struct world_result *r = pair(&c, POLICY_AUTO);

    cr_assert(r->settled);
    cr_assert_eq(r->at.state, ATTEMPT_RELAYED);
    cr_assert_eq(r->at.verdict, VERDICT_both_random, "%s", verdict_name(r->at.verdict));
    cr_assert_lt(r->settled_us - r->began_us, SECOND);
    cr_assert_eq(r->at.way[WAY_DIRECT].punches_sent, 0);
    world_close(&w);
}

static uint64_t peer_to_peer(const struct world *world)
{
    const struct net *n = world->net;
    uint64_t sum = 0;

    for (size_t h = 0; h < n->n_hosts; h++)
        for (size_t l = 0; l < n->n_lines; l++)
            if (h != world->suite && l != n->hosts[world->suite].line)
                sum += n->sent[h][l].packets;
    return sum;
}

Test(sim, the_relay_policy_sends_nothing_from_peer_to_peer)
{
    struct world_conf c = two("ei/preserve/ei", "open", 3);
    const struct world_result *r = pair(&c, POLICY_RELAY);

    cr_assert_eq(r->at.state, ATTEMPT_RELAYED);
    cr_assert_eq(r->at.verdict, VERDICT_relay_policy);
    cr_assert_eq(peer_to_peer(&w), 0);
    world_close(&w);
}

Test(sim, data_flows_both_ways_on_either_path)
{
    static const char *const pairs[][2] = {
        {"ei/preserve/apd", "ei/preserve/apd"},
        {"apd/random/apd",  "apd/random/apd" }
    };

    for (size_t i = 0; i < 2; i++) {
        struct world_conf c = two(pairs[i][0], pairs[i][1], 4 + i);
        const struct world_result *r = pair(&c, POLICY_AUTO);
        const struct attempt *other = world_other_side(&w, r);
        cr_assert_not_null(other);
        uint32_t here = 0, there = (uint32_t)(other - w.peers[1].core.attempts);
        while (!sid_eq(&w.peers[0].core.attempts[here].session, &r->at.session))
            here++;
        for (int k = 0; k < 50; k++) {
            world_send(&w, 0, here, "ping", 4);
            world_send(&w, 1, there, "pong", 4);
            world_run(&w, w.now_us + SECOND / 20);
        }
        cr_assert_eq(w.peers[0].received, 50);
        cr_assert_eq(w.peers[1].received, 50);
        world_close(&w);
    }
}

/* ---- fallback and upgrade --------------------------------------------------------------------------------------- */

static struct attempt *attempt_of(size_t peer, const struct sid *session)
{
    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        struct attempt *a = &w.peers[peer].core.attempts[i];
        if (a->state != ATTEMPT_FREE && sid_eq(&a->session, session))
            return a;
    }
    cr_assert_fail("no such session");
    return NULL;
}

/* Both sides are in this state by then; how many seconds it took. */
static int until_both(const struct sid *session, enum attempt_state state, int seconds)
{
    for (int i = 0; i < seconds; i++) {
        struct attempt *a = attempt_of(0, session), *b = attempt_of(1, session);
        if (a->state == state && b->state == state)
            return i;
        world_run(&w, w.now_us + SECOND);
    }
    cr_assert_fail("not %s: %s and %s", attempt_state_name[state],
                   attempt_state_name[attempt_of(0, session)->state],
                   attempt_state_name[attempt_of(1, session)->state]);
    return seconds;
}

/* What one side sends now arrives at the other. */
static void check_flow(const struct sid *session)
{
    for (size_t from = 0; from < 2; from++) {
        uint64_t before = w.peers[!from].received;
        world_send(&w, from, (uint32_t)(attempt_of(from, session) - w.peers[from].core.attempts),
                   "hello", 5);
        world_run(&w, w.now_us + SECOND);
        cr_assert_eq(w.peers[!from].received, before + 1);
    }
}

Test(sim, a_path_that_dies_goes_on_over_the_relay_and_is_direct_again_later)
{
    struct world_conf c = two("ei/random/apd", "ei/random/apd", 60);
    const struct world_result *r = pair(&c, POLICY_AUTO);
    struct sid session = r->at.session;

    cr_assert_eq(r->at.state, ATTEMPT_DIRECT);
    w.wall = true;
    until_both(&session, ATTEMPT_RELAYED, 30);
    check_flow(&session);
    world_run(&w, w.now_us + 20 * SECOND);
    cr_assert_geq(w.coordinator.n.upgrades_attempted, 2, "it is tried in vain");
    check_flow(&session);
    w.wall = false;
    until_both(&session, ATTEMPT_DIRECT, 90);
    check_flow(&session);
    cr_assert_eq(attempt_of(0, &session)->flow, WAY_DIRECT);
    cr_assert_leq(w.coordinator.n.upgrades_succeeded, w.coordinator.n.upgrades_attempted);
    world_close(&w);
}

Test(sim, a_peer_that_moves_measures_its_nat_anew_and_its_session_moves_with_it)
{
    static const char *const movers[] = {"ei/random/apd", "open", "ei/preserve/ad"};

    for (size_t i = 0; i < sizeof movers / sizeof *movers; i++)
        for (size_t who = 0; who < 2; who++) {
            struct world_conf c = two(who ? "ei/random/apd" : movers[i],
                                      who ? movers[i] : "ei/random/apd", 70 + 2 * i + who);
            const struct world_result *r = pair(&c, POLICY_AUTO);
            struct sid session = r->at.session;
            cr_assert_eq(r->at.state, ATTEMPT_DIRECT);
            struct addr was = w.peers[who].core.reflexive;
            world_move_peer(&w, who);
            cr_assert_not(w.peers[who].core.profile_known, "what was known was of another NAT");
            world_run(&w, w.now_us + 15 * SECOND);
            check_flow(&session); /* over the relay, or where the other side now hears it */
            cr_assert(w.peers[who].core.profile_known);
            cr_assert(addr_ip_eq(&w.peers[who].core.reflexive, &w.peers[who].outside[0]));
            cr_assert_not(addr_ip_eq(&w.peers[who].core.reflexive, &was));
            until_both(&session, ATTEMPT_DIRECT, 90);
            check_flow(&session);
            cr_assert(addr_ip_eq(&attempt_of(!who, &session)->way[WAY_DIRECT].remote,
                                 &w.peers[who].outside[0]));
            world_close(&w);
        }
}

Test(sim, a_session_that_began_on_the_relay_is_upgraded_when_it_can_be)
{
    struct world_conf c = two("ei/preserve/apd", "ei/random/apd", 62);

    world_open(&w, &c);
    w.wall = true;
    world_run(&w, 4 * SECOND);
    size_t n = world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND);
    world_run(&w, w.now_us + 16 * SECOND);
    cr_assert_eq(w.results[n].at.state, ATTEMPT_RELAYED);
    cr_assert_eq(w.results[n].at.verdict, VERDICT_punch_unanswered);
    w.wall = false;
    until_both(&w.results[n].at.session, ATTEMPT_DIRECT, 90);
    cr_assert_eq(attempt_of(0, &w.results[n].at.session)->verdict, VERDICT_direct_synchronous);
    check_flow(&w.results[n].at.session);
    world_close(&w);
}

Test(sim, tries_in_vain_become_rare_and_what_cannot_work_is_not_tried)
{
    struct world_conf c = two("ei/preserve/apd", "ei/random/apd", 63);

    world_open(&w, &c);
    w.wall = true;
    world_run(&w, 4 * SECOND);
    world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND);
    world_run(&w, w.now_us + 600 * SECOND);
    /* after 4, 8, 16, 32 and then every 64 s, a quarter more or less */
    cr_assert_geq(w.coordinator.n.upgrades_attempted, 10);
    cr_assert_leq(w.coordinator.n.upgrades_attempted, 16);
    cr_assert_eq(w.coordinator.n.upgrades_succeeded, 0);
    world_close(&w);
    c = two("apd/random/apd", "apd/random/apd", 64);
    world_open(&w, &c);
    world_run(&w, 4 * SECOND);
    world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND);
    world_run(&w, w.now_us + 600 * SECOND);
    cr_assert_eq(w.coordinator.n.upgrades_attempted, 0);
    cr_assert_geq(w.peers[0].core.n.upgrades_asked, 10);
    world_close(&w);
}

/* ---- many at once ------------------------------------------------------------------------------------------------ */

/* What is held for sessions anywhere: attempts, sessions that live, relay bindings, sockets past the first ones. */
static size_t held(void)
{
    size_t n = w.relay.by_sid.n;

    for (size_t p = 0; p < w.conf.n_peers; p++) {
        const struct executor *x = &w.peers[p].core;
        for (size_t i = 0; i < ATTEMPTS_MAX; i++)
            n += x->attempts[i].state != ATTEMPT_FREE;
        n += x->pool_owner != ATTEMPTS_MAX;
        for (size_t i = POOL_FIRST; i < WORLD_SOCKETS; i++)
            n += w.peers[p].sockets[i].port != 0;
    }
    for (uint32_t i = 0; i < w.coordinator.conf.sessions_max; i++)
        n += table_used(&w.coordinator.sessions_by_id, i) &&
             w.coordinator.sessions[i].state != COORD_CLOSED;
    return n;
}

Test(sim, a_hundred_attempts_at_once_of_which_fifty_are_cancelled_leave_nothing)
{
    struct world_conf c = two("apd/random/apd", "ei/preserve/apd", 70);

    c.n_peers = 3; /* a key has 60 requests a minute */
    c.peers[2] = world_nat("ei/random/apd");
    world_open(&w, &c);
    world_run(&w, 4 * SECOND);
    cr_assert_eq(held(), 0);
    for (size_t i = 0; i < 50; i++)
        for (size_t from = 0; from < 2; from++)
            world_connect(&w, from, 2, POLICY_AUTO, 15 * SECOND);
    for (uint32_t i = 0; i < 50;
         i += 2) /* asked for, ordered, punching, direct: one after the other */
        for (size_t from = 0; from < 2; from++) {
            world_end(&w, from, i, APP_CANCEL);
            world_run(&w, w.now_us + 4000);
        }
    world_run(&w, w.now_us + 16 * SECOND);
    size_t lives = 0;
    for (size_t r = 0; r < w.n_results; r++) {
        cr_assert(w.results[r].settled);
        lives +=
            w.results[r].at.state == ATTEMPT_DIRECT || w.results[r].at.state == ATTEMPT_RELAYED;
    }
    cr_assert_geq(lives, 50);
    cr_assert_gt(held(), 100);
    for (uint32_t i = 1; i < 50; i += 2)
        for (size_t from = 0; from < 2; from++)
            world_end(&w, from, i, APP_CLOSE);
    world_run(&w, w.now_us + 120 * SECOND); /* the relay forgets who is silent after a minute */
    cr_assert_eq(held(), 0);
    cr_assert_eq(w.coordinator.n.punching_now, 0);
    cr_assert_eq(w.coordinator.n.relayed_now, 0);
    world_close(&w);
}

/* ---- every pair of classes ------------------------------------------------------------------------------------ */

enum { CLASSES_N = 27 };
static const char *const scope_names[] = {"ei", "ad", "apd"};
static const char *const allocation_names[] = {"preserve", "contiguous", "random"};

struct nat_class {
    unsigned mapping, allocation, filtering;
    char text[32];
};

static struct nat_class class(unsigned i)
{
    struct nat_class c = {.mapping = i / 9, .allocation = i / 3 % 3, .filtering = i % 3};

    snprintf(c.text, sizeof c.text, "%s/%s/%s", scope_names[c.mapping],
             allocation_names[c.allocation], scope_names[c.filtering]);
    return c;
}

/* The port is the same towards everybody: by its mapping, or since it is kept and may be shared. */
static bool stable(const struct nat_class *c) { return c->mapping == 0 || c->allocation == 0; }

/* Heard from wherever, and its answer gets back: by the same port, or since the other doesn't mind. */
static bool answers(const struct nat_class *heard, const struct nat_class *other)
{
    return heard->filtering < 2 && (heard->mapping == 1 || other->filtering < 2);
}

static enum verdict expected_of_two_moving(const struct nat_class *a, const struct nat_class *b)
{
    const struct nat_class *steps = a->allocation == 1 ? a : b, *random = steps == a ? b : a;

    if ((a->filtering == 0 && b->filtering < 2) || (b->filtering == 0 && a->filtering < 2))
        return VERDICT_direct_send_first; /* to where probers see the one that lets in everybody */
    if (a->allocation == 1 && b->allocation == 1)
        return VERDICT_direct_prediction;
    if (a->allocation == 2 && b->allocation == 2)
        return answers(a, b) || answers(b, a) ? VERDICT_direct_birthday : VERDICT_both_random;
    if (steps->filtering < 2)
        return answers(steps, random) || random->mapping == 1 ? VERDICT_direct_prediction
                                                              : VERDICT_one_random;
    return steps->mapping == 1 || answers(random, steps) ? VERDICT_direct_birthday
                                                         : VERDICT_one_random;
}

/* What comes of a pair whose mapping, allocation and filtering are all known. */
static enum verdict expected(const struct nat_class *a, const struct nat_class *b)
{
    const struct nat_class *fixed = stable(a) ? a : b;

    if (stable(a) &&
        stable(b)) /* a port that is kept looks like an ei mapping: hence either is right */
        return a->filtering == 0 || b->filtering == 0 ? VERDICT_direct_reversal
                                                      : VERDICT_direct_synchronous;
    if (!stable(a) && !stable(b))
        return expected_of_two_moving(a, b);
    if (fixed->filtering == 0)
        return VERDICT_direct_reversal;
    if (fixed->filtering == 1)
        return VERDICT_direct_send_first;
    const struct nat_class *moving = stable(a) ? b : a;
    return moving->allocation == 2 ? VERDICT_direct_birthday : VERDICT_direct_prediction;
}

Test(sim, every_pair_of_classes_has_the_path_and_the_reason_that_theory_allows)
{
    for (unsigned i = 0; i < CLASSES_N; i++)
        for (unsigned j = i; j < CLASSES_N; j++) {
            struct nat_class a = class(i), b = class(j);
            struct world_conf c = two(a.text, b.text, 100 + CLASSES_N * i + j);
            enum verdict why = expected(&a, &b);
            bool direct = why != VERDICT_both_random && why != VERDICT_one_random;
            world_open(&w, &c);
            world_run(&w, 4 * SECOND); /* filtering takes that long */
            size_t n = world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND);
            for (int k = 0; k < 15 && !w.results[n].settled; k++)
                world_run(&w, w.now_us + SECOND);
            const struct attempt *at = &w.results[n].at;
            cr_assert_eq(at->verdict, why, "%s to %s: %s, not %s", a.text, b.text,
                         verdict_name(at->verdict), verdict_name(why));
            cr_assert_eq(at->state, direct ? ATTEMPT_DIRECT : ATTEMPT_RELAYED, "%s to %s", a.text,
                         b.text);
            world_close(&w);
        }
}

/* ---- a thousand sessions ------------------------------------------------------------------------------------- */

static uint64_t below(struct rng *r, uint64_t n) { return rng_below(r, n); }

/* Which pairs must open when nothing is killed: no side's port is a secret, or one side hides nothing. */
static bool must_be_direct(const char *a, const char *b)
{
    bool a_random = strncmp(a, "apd/random", 10) == 0 || strncmp(a, "ad/random", 9) == 0;
    bool b_random = strncmp(b, "apd/random", 10) == 0 || strncmp(b, "ad/random", 9) == 0;

    if (strcmp(a, "open") == 0 || strcmp(b, "open") == 0)
        return true;
    return !a_random && !b_random;
}

static bool must_be_relayed(const char *a, const char *b)
{
    return strcmp(a, "apd/random/apd") == 0 && strcmp(b, "apd/random/apd") == 0;
}

static void crash_something(struct rng *r)
{
    int64_t down_us = 100000 + (int64_t)below(r, 2 * SECOND);

    switch (below(r, 4)) {
    case 0: world_crash_coordinator(&w, down_us); break;
    case 1: world_crash_relay(&w, down_us); break;
    default: world_crash_peer(&w, below(r, PEERS), down_us);
    }
}

/* The first session that lives and of which the sides do not say the same; n_results when there is none. */
static size_t disagreement(void)
{
    for (size_t i = 0; i < w.n_results; i++) {
        const struct world_result *r = &w.results[i];
        const struct attempt *mine = NULL;
        for (size_t k = 0; k < ATTEMPTS_MAX; k++) {
            const struct attempt *a = &w.peers[r->from].core.attempts[k];
            if (a->side == 0 && a->nonce == r->nonce && sid_eq(&a->session, &r->at.session))
                mine = a;
        }
        const struct attempt *other = world_other_side(&w, r);
        if (mine && other && (mine->state == ATTEMPT_DIRECT || mine->state == ATTEMPT_RELAYED) &&
            mine->state != other->state)
            return i;
    }
    return w.n_results;
}

/* Where packets are lost one side may take the path for dead for a moment; the other's pings mend that. */
static void check_agreement(uint64_t seed)
{
    size_t i = w.n_results;

    for (int tries = 0; tries < 5; tries++) {
        i = disagreement();
        if (i == w.n_results)
            return;
        world_run(&w, w.now_us + 6 * SECOND);
    }
    cr_assert_eq(i, w.n_results, "seed %lu: the sides of session %zu don't agree", seed, i);
}

/* Any of the 27 classes, and sometimes no NAT. */
static const char *any_class(struct rng *r, char text[static 32])
{
    static const char *const scope[] = {"ei", "ad", "apd"};
    static const char *const allocation[] = {"preserve", "contiguous", "random"};
    uint64_t mapping = below(r, 3), filtering = below(r, 3);

    if (below(r, 28) == 0)
        return "open";
    snprintf(text, 32, "%s/%s/%s", scope[mapping], allocation[below(r, 3)], scope[filtering]);
    return text;
}

enum population { COMMON, CLASSES };

static uint64_t run(uint64_t seed, bool crashes, enum population population)
{
    struct rng r;
    const char *kind[PEERS];
    char text[PEERS][32];
    struct world_conf c = {.seed = seed, .n_peers = PEERS};

    rng_seed(&r, seed ^ 0x5eed);
    c.delay_us = 2000 + (int64_t)below(&r, 100000);
    c.jitter_us = (int64_t)below(&r, 20000);
    c.loss_ppm = (uint32_t)below(&r, crashes ? 60000 : 30000);
    c.dup_ppm = (uint32_t)below(&r, 50000);
    for (size_t i = 0; i < PEERS; i++) {
        kind[i] = population == COMMON ? nats[below(&r, NATS)] : any_class(&r, text[i]);
        c.peers[i] = world_nat(kind[i]);
    }
    world_open(&w, &c);
    world_run(&w, 4 * SECOND);
    for (size_t i = 0; i < SESSIONS; i++) {
        size_t from = below(&r, PEERS), to = (from + 1 + below(&r, PEERS - 1)) % PEERS;
        enum policy policy = below(&r, 8) == 0 ? POLICY_RELAY : POLICY_AUTO;
        if (w.peers[from].up)
            world_connect(&w, from, to, policy, 15 * SECOND);
        if (crashes && below(&r, 3) == 0)
            crash_something(&r);
        world_run(&w, w.now_us + (int64_t)below(&r, 2 * SECOND));
    }
    world_run(&w, w.now_us + 16 * SECOND);
    for (size_t i = 0; i < w.n_results; i++) {
        const struct world_result *res = &w.results[i];
        if (res->failed_by_crash)
            continue;
        cr_assert(res->settled, "seed %lu: attempt %zu has no end", seed, i);
        cr_assert_neq(res->at.verdict, VERDICT_unknown, "seed %lu: attempt %zu", seed, i);
        if (crashes || res->at.policy == POLICY_RELAY || population == CLASSES)
            continue;
        if (must_be_direct(kind[res->from], kind[res->to]))
            cr_assert_eq(res->at.state, ATTEMPT_DIRECT, "seed %lu: %s to %s is %s: %s", seed,
                         kind[res->from], kind[res->to], attempt_state_name[res->at.state],
                         verdict_name(res->at.verdict));
        if (must_be_relayed(kind[res->from], kind[res->to]))
            cr_assert_eq(res->at.state, ATTEMPT_RELAYED, "seed %lu: %s", seed,
                         verdict_name(res->at.verdict));
    }
    world_run(&w, w.now_us + 60 * SECOND); /* consent has ended what lost its other side */
    check_agreement(seed);
    uint64_t hash = w.hash;
    world_close(&w);
    return hash;
}

static void run_many(uint64_t first, uint64_t n, bool crashes, enum population population)
{
    const char *only = getenv("SEED");

    for (uint64_t seed = first; seed < first + n; seed++)
        if (!only || strtoull(only, NULL, 10) == seed)
            run(seed, crashes, population);
}

Test(sim, five_hundred_sessions_on_bad_lines_end_as_their_nats_allow)
{
    run_many(1000, 500 / SESSIONS, false, COMMON);
}

Test(sim, five_hundred_sessions_with_crashes_all_end_in_a_verdict)
{
    run_many(2000, 500 / SESSIONS, true, COMMON);
}

/* Half of them on lines that only lose packets, half with crashes too. */
Test(sim, sessions_over_all_pairs_of_classes_end_in_a_verdict)
{
    const char *text = getenv("SIM_SESSIONS");
    uint64_t worlds = (text ? strtoull(text, NULL, 10) : 200) / SESSIONS;

    run_many(10000, worlds / 2, false, CLASSES);
    run_many(20000, worlds / 2, true, CLASSES);
}

Test(sim, same_seed_same_run)
{
    uint64_t first = run(42, true, COMMON);

    cr_assert_eq(first, run(42, true, COMMON));
    cr_assert_neq(first, run(43, true, COMMON));
}

Test(sim, one_random_nat_meets_a_known_port_by_birthday)
{
    static const char *const pairs[][2] = {
        {"apd/random/apd",  "ei/random/apd"  },
        {"ei/preserve/apd", "apd/random/apd" },
        {"ad/random/apd",   "ei/preserve/apd"}
    };
    unsigned direct = 0, runs = 0;
    uint64_t sent = 0;

    for (uint64_t seed = 1; seed <= 20; seed++)
        for (size_t i = 0; i < 3; i++, runs++) {
            struct world_conf c = two(pairs[i][0], pairs[i][1], 100 * seed + i);
            const struct world_result *r = pair(&c, POLICY_AUTO);
            cr_assert(r->settled);
            const struct attempt *other = world_other_side(&w, r); /* what missed is tried again */
            cr_assert_not_null(other);
            if (r->at.state == ATTEMPT_DIRECT) {
                direct++;
                cr_assert_eq(r->at.verdict, VERDICT_direct_birthday,
                             "seed %lu %s to %s: %s %d/%d %d/%d", seed, pairs[i][0], pairs[i][1],
                             verdict_name(r->at.verdict), r->at.own_profile.mapping,
                             r->at.own_profile.allocation, r->at.their_profile.mapping,
                             r->at.their_profile.allocation);
                cr_assert_eq(other->state, ATTEMPT_DIRECT);
            } else {
                cr_assert_eq(r->at.verdict, VERDICT_birthday_missed, "%s",
                             verdict_name(r->at.verdict));
            }
            for (size_t p = 0; p < 2; p++) {
                cr_assert_leq(w.peers[p].core.n.guesses,
                              1501 * other->attempts); /* 3 s, both ends */
                sent += w.peers[p].core.n.guesses;
                for (size_t s = POOL_FIRST; s < KEPT_FIRST; s++)
                    cr_assert_eq(w.peers[p].sockets[s].port, 0, "the pool is closed");
            }
            world_close(&w);
        }
    printf("birthday: %u of %u direct, %.0f tries on average\n", direct, runs, (double)sent / runs);
    cr_assert_geq(direct * 100, runs * 95);
}
