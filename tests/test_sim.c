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
#include "tests/matrix/matrix.h"
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { PEERS = 6, SESSIONS = 10, SECOND = 1000000 };

static struct world w;

TestSuite(sim, .timeout = 300);

static const char *const nats[] = {"open",           "ei/preserve/apd", "ei/random/apd",
                                   "ei/preserve/ei", "ei/random/ad",    "apd/random/apd",
                                   "apd/random/ei",  "ad/random/ad",    "apd/preserve/apd"};
enum { NATS = sizeof nats / sizeof *nats };

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
    case 1: world_crash_relay(&w, 0, down_us); break;
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
static const char *any_class(struct rng *r, char text[static MATRIX_TEXT])
{
    uint64_t mapping = below(r, 3), filtering = below(r, 3);

    if (below(r, 28) == 0)
        return "open";
    struct matrix_class c = matrix_class((unsigned)(9 * mapping + 3 * below(r, 3) + filtering));
    memcpy(text, c.text, sizeof c.text);
    return text;
}

enum population { COMMON, CLASSES };

static uint64_t run(uint64_t seed, bool crashes, enum population population)
{
    struct rng r;
    const char *kind[PEERS];
    char text[PEERS][MATRIX_TEXT];
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
