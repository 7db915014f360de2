/*
 * test_blocked.c - a host whose UDP goes nowhere, in virtual time: both sides are told so as soon as it
 * is certain, and a dead prober or relay alone is not taken for it.
 */
#include "tests/sim/world.h"

#include <criterion/criterion.h>

enum { SECOND = 1000000, DELAY_US = 20000 };
enum {
    CERTAIN_US = 2700000
}; /* a round of probes in vain and a second of binds, and round trips */

static struct world w;

TestSuite(blocked, .timeout = 60);

static void open_world(bool first, bool second)
{
    struct world_conf c = {.seed = 7, .delay_us = DELAY_US, .n_peers = 2};

    for (size_t i = 0; i < 2; i++) {
        c.peers[i] = world_nat("ei/preserve/apd");
        c.peers[i].nat.udp_blocked = i == 0 ? first : second;
    }
    world_open(&w, &c);
}

static const struct world_result *connect_and_wait(enum policy policy)
{
    const struct world_result *r = &w.results[world_connect(&w, 0, 1, policy, 15 * SECOND)];

    world_run(&w, w.now_us + 16 * SECOND);
    cr_assert(r->settled);
    return r;
}

static void expect_failed(const struct world_result *r, const char *kind, enum verdict verdict,
                          int64_t within_us)
{
    cr_assert_eq(r->at.state, ATTEMPT_FAILED);
    cr_assert_eq(r->at.verdict, verdict, "%s", verdict_name(r->at.verdict));
    cr_assert_str_eq(r->at.kind, kind);
    cr_assert_leq(r->settled_us - r->began_us, within_us, "after %ld ms",
                  (long)(r->settled_us - r->began_us) / 1000);
}

Test(blocked, a_cold_connect_says_so_when_probes_and_binds_were_in_vain)
{
    for (enum policy p = POLICY_AUTO; p <= POLICY_RELAY; p++) {
        open_world(true, false);
        world_run(&w, SECOND); /* attached, and probing */
        expect_failed(connect_and_wait(p), "unreachable", VERDICT_udp_blocked, CERTAIN_US);
        world_close(&w);
    }
}

Test(blocked, a_warm_connect_says_so_within_a_second_of_binds)
{
    open_world(true, false);
    world_run(&w, 4 * SECOND);
    cr_assert(w.peers[0].core.udp_silent);
    expect_failed(connect_and_wait(POLICY_AUTO), "unreachable", VERDICT_udp_blocked,
                  SECOND + 8 * DELAY_US);
    world_close(&w);
}

Test(blocked, who_calls_such_a_host_is_told_as_soon)
{
    open_world(false, true);
    world_run(&w, 4 * SECOND);
    expect_failed(connect_and_wait(POLICY_AUTO), "peer-not-reachable", VERDICT_peer_udp_blocked,
                  SECOND + 8 * DELAY_US);
    world_close(&w);
}

Test(blocked, a_relay_that_answers_where_no_prober_does_is_used)
{
    open_world(false, false);
    w.prober_deaf = true;
    world_run(&w, 4 * SECOND);
    cr_assert(w.peers[0].core.udp_silent);
    const struct world_result *r = &w.results[world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND)];
    world_run(&w, w.now_us + SECOND / 2);
    cr_assert_not(w.peers[0].core.udp_silent);
    world_run(&w, w.now_us + 15 * SECOND);
    cr_assert_eq(r->at.state, ATTEMPT_RELAYED, "%s", verdict_name(r->at.verdict));
    world_close(&w);
}

Test(blocked, a_dead_relay_is_not_taken_for_it)
{
    open_world(false, false);
    world_run(&w, 4 * SECOND);
    world_crash_relay(&w, 0, 5 * SECOND);
    const struct world_result *r = connect_and_wait(POLICY_RELAY);
    cr_assert_eq(r->at.state, ATTEMPT_RELAYED, "%s", verdict_name(r->at.verdict));
    world_close(&w);
}

Test(blocked, it_is_noticed_when_udp_is_let_through_again)
{
    open_world(true, false);
    world_run(&w, 4 * SECOND);
    cr_assert(w.peers[0].core.udp_silent);
    w.nats[0]->conf.udp_blocked = false;
    world_run(&w, w.now_us + 7 * SECOND);
    cr_assert_not(w.peers[0].core.udp_silent);
    const struct world_result *r = connect_and_wait(POLICY_AUTO);
    cr_assert_eq(r->at.state, ATTEMPT_DIRECT, "%s", verdict_name(r->at.verdict));
    world_close(&w);
}
