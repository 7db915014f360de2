/*
 * test_sim_pairs.c - two peers in virtual time: which path every two NATs have, how fast, and why.
 */
#include "tests/matrix/matrix.h"
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { SECOND = 1000000 };

static struct world w;

TestSuite(sim_pairs, .timeout = 300);

Test(sim_pairs, two_port_restricted_peers_are_direct_within_the_physics)
{
    struct world_conf c = world_two("ei/preserve/apd", "ei/random/apd", 1);
    const struct world_result *r = world_pair(&w, &c, POLICY_AUTO);
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

Test(sim_pairs, two_random_nats_are_relayed_at_once_and_say_why)
{
    struct world_conf c = world_two("apd/random/apd", "apd/random/apd", 2);
    const struct world_result *r = world_pair(&w, &c, POLICY_AUTO);

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

Test(sim_pairs, the_relay_policy_sends_nothing_from_peer_to_peer)
{
    struct world_conf c = world_two("ei/preserve/ei", "open", 3);
    const struct world_result *r = world_pair(&w, &c, POLICY_RELAY);

    cr_assert_eq(r->at.state, ATTEMPT_RELAYED);
    cr_assert_eq(r->at.verdict, VERDICT_relay_policy);
    cr_assert_eq(peer_to_peer(&w), 0);
    world_close(&w);
}

Test(sim_pairs, data_flows_both_ways_on_either_path)
{
    static const char *const pairs[][2] = {
        {"ei/preserve/apd", "ei/preserve/apd"},
        {"apd/random/apd",  "apd/random/apd" }
    };

    for (size_t i = 0; i < 2; i++) {
        struct world_conf c = world_two(pairs[i][0], pairs[i][1], 4 + i);
        const struct world_result *r = world_pair(&w, &c, POLICY_AUTO);
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

Test(sim_pairs, one_random_nat_meets_a_known_port_by_birthday)
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
            struct world_conf c = world_two(pairs[i][0], pairs[i][1], 100 * seed + i);
            const struct world_result *r = world_pair(&w, &c, POLICY_AUTO);
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
/* ---- every pair of classes ------------------------------------------------------------------- */

/* The port is the same towards everybody: by its mapping, or since it is kept and may be shared. */
static bool stable(const struct matrix_class *c)
{
    return c->mapping == NAT_EI || c->allocation == ALLOC_PRESERVE;
}

/* Heard from wherever, and its answer gets back: by the same port, or since the other doesn't mind. */
static bool answers(const struct matrix_class *heard, const struct matrix_class *other)
{
    return heard->filtering != NAT_APD && (heard->mapping == NAT_AD || other->filtering != NAT_APD);
}

static enum verdict expected_of_two_moving(const struct matrix_class *a,
                                           const struct matrix_class *b)
{
    const struct matrix_class *steps = a->allocation == ALLOC_CONTIGUOUS ? a : b,
                              *random = steps == a ? b : a;

    if ((a->filtering == NAT_EI && b->filtering != NAT_APD) ||
        (b->filtering == NAT_EI && a->filtering != NAT_APD))
        return VERDICT_direct_send_first; /* to where probers see the one that lets in everybody */
    if (a->allocation == ALLOC_CONTIGUOUS && b->allocation == ALLOC_CONTIGUOUS)
        return VERDICT_direct_prediction;
    if (a->allocation == ALLOC_RANDOM && b->allocation == ALLOC_RANDOM)
        return answers(a, b) || answers(b, a) ? VERDICT_direct_birthday : VERDICT_both_random;
    if (steps->filtering != NAT_APD)
        return answers(steps, random) || random->mapping == NAT_AD ? VERDICT_direct_prediction
                                                                   : VERDICT_one_random;
    return steps->mapping == NAT_AD || answers(random, steps) ? VERDICT_direct_birthday
                                                              : VERDICT_one_random;
}

/* What comes of a pair whose mapping, allocation and filtering are all known. */
static enum verdict expected(const struct matrix_class *a, const struct matrix_class *b)
{
    const struct matrix_class *fixed = stable(a) ? a : b;

    if (stable(a) &&
        stable(b)) /* a port that is kept looks like an ei mapping: hence either is right */
        return a->filtering == NAT_EI || b->filtering == NAT_EI ? VERDICT_direct_reversal
                                                                : VERDICT_direct_synchronous;
    if (!stable(a) && !stable(b))
        return expected_of_two_moving(a, b);
    if (fixed->filtering == NAT_EI)
        return VERDICT_direct_reversal;
    if (fixed->filtering == NAT_AD)
        return VERDICT_direct_send_first;
    const struct matrix_class *moving = stable(a) ? b : a;
    return moving->allocation == ALLOC_RANDOM ? VERDICT_direct_birthday : VERDICT_direct_prediction;
}

Test(sim_pairs, every_pair_of_classes_has_the_path_and_the_reason_that_theory_allows)
{
    for (unsigned i = 0; i < MATRIX_CLASSES; i++)
        for (unsigned j = i; j < MATRIX_CLASSES; j++) {
            struct matrix_class a = matrix_class(i), b = matrix_class(j);
            struct world_conf c = world_two(a.text, b.text, 100 + MATRIX_CLASSES * i + j);
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
