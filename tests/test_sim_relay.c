/*
 * test_sim_relay.c - a numbered flow of 1,000 packets a second each way over a relay that drains, or dies and is started
 * again, in virtual time: what is lost, and for how long nothing arrives, to the microsecond.
 *
 * With real programs, where the machine counts too, it is in test_relay_flow.c.
 */
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <string.h>

enum {
    SECOND = 1000000,
    PACE_US = 1000,
    GAP_US = 20000,
    DELAY_US = 15000,
    BEFORE = 500, /* packets each way before it happens */
    AFTER = 6000, /* and in all */
};

static struct world w;

/* What one side has heard. */
static struct ear {
    bool came[AFTER];
    unsigned in_all;
    int64_t last_us, gap_us;
} ears[2];

TestSuite(sim_relay, .timeout = 120);

static void hear(struct world *world, size_t peer, const uint8_t *data, size_t len)
{
    struct ear *e = &ears[peer];
    unsigned number;

    cr_assert_eq(len, sizeof number);
    memcpy(&number, data, sizeof number);
    cr_assert(number < AFTER && !e->came[number]);
    e->came[number] = true;
    e->in_all++;
    if (e->last_us > 0 && world->now_us - e->last_us > e->gap_us)
        e->gap_us = world->now_us - e->last_us;
    e->last_us = world->now_us;
}

/* The index of a side's attempt. */
static uint32_t path_of(size_t peer)
{
    for (uint32_t i = 0; i < ATTEMPTS_MAX; i++)
        if (w.peers[peer].core.attempts[i].state == ATTEMPT_RELAYED)
            return i;
    cr_assert_fail("peer %zu has no relayed session", peer);
    return 0;
}

static bool one_way; /* only peer 0 sends */

static void send_numbers(unsigned from, unsigned to)
{
    uint32_t path[2] = {path_of(0), path_of(1)};

    for (unsigned i = from; i < to; i++) {
        world_send(&w, 0, path[0], &i, sizeof i);
        if (!one_way)
            world_send(&w, 1, path[1], &i, sizeof i);
        world_run(&w, w.now_us + PACE_US);
    }
}

/* A flow that has gone on for a while; the relay that carries it. */
static size_t open_flow(uint64_t seed, bool two_relays)
{
    struct world_conf c = {
        .seed = seed, .delay_us = DELAY_US, .n_peers = 2, .two_relays = two_relays};

    c.peers[0] = c.peers[1] = world_nat("apd/random/apd");
    memset(ears, 0, sizeof ears);
    world_open(&w, &c);
    w.on_data = hear;
    world_run(&w, 4 * SECOND);
    world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND);
    world_run(&w, w.now_us + 4 * SECOND);
    send_numbers(0, BEFORE);
    size_t relay = w.relays[0].core.n.forwarded_packets < w.relays[1].core.n.forwarded_packets;
    cr_assert_geq(w.relays[relay].core.n.forwarded_packets, BEFORE);
    return relay;
}

static void close_flow(void)
{
    world_run(&w, w.now_us + SECOND); /* all have arrived */
    for (size_t i = 0; i < 2; i++) {
        cr_assert(ears[i].came[AFTER - 1] || (one_way && i == 0));
        cr_assert_eq(w.peers[i].core.attempts[path_of(i)].state, ATTEMPT_RELAYED);
    }
    world_close(&w);
}

Test(sim_relay, a_relay_that_drains_hands_its_sessions_over_and_nothing_is_lost_or_late)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        size_t relay = open_flow(seed, true);
        relay_drain(&w.relays[relay].core);
        send_numbers(BEFORE, AFTER);
        uint64_t carried = w.relays[!relay].core.n.forwarded_packets;
        cr_assert_geq(carried, 2 * (AFTER - BEFORE) - 1000, "%u by the other one",
                      (unsigned)carried);
        close_flow();
        for (size_t i = 0; i < 2; i++) {
            cr_assert_eq(ears[i].in_all, AFTER, "%u of %d", ears[i].in_all, AFTER);
            cr_assert_leq(ears[i].gap_us, GAP_US, "%ld us", (long)ears[i].gap_us);
        }
    }
}

/* For so long that peers have noticed or not: what is missing is of that time, and of one round trip. */
Test(sim_relay, a_relay_that_is_started_again_has_all_bound_again_one_round_trip_later)
{
    static const int64_t down_us[] = {0, 30000, 400000, 2600000, 4000000};

    for (size_t k = 0; k < sizeof down_us / sizeof *down_us; k++) {
        size_t relay = open_flow(10 + k, false);
        world_crash_relay(&w, relay, down_us[k]);
        send_numbers(BEFORE, AFTER);
        close_flow();
        for (size_t i = 0; i < 2; i++) {
            int64_t gap_us = ears[i].gap_us - down_us[k];
            cr_assert_leq(gap_us, 2 * DELAY_US + 2 * PACE_US, "down for %ld us: %ld more",
                          (long)down_us[k], (long)gap_us);
            cr_assert_geq(gap_us, 0);
        }
    }
}

/* Who only hears asks when it is quiet, and binds as at first, which takes two and a half round trips. */
Test(sim_relay, who_only_hears_is_bound_again_soon_after_as_well)
{
    static const int64_t down_us[] = {0, 5000, 30000, 120000};

    one_way = true;
    for (size_t k = 0; k < sizeof down_us / sizeof *down_us; k++) {
        size_t relay = open_flow(20 + k, false);
        world_crash_relay(&w, relay, down_us[k]);
        send_numbers(BEFORE, AFTER);
        close_flow();
        int64_t gap_us = ears[1].gap_us - down_us[k];
        cr_assert_leq(gap_us, HUSH_MIN_US + 5 * DELAY_US + 2 * PACE_US, "down for %ld us: %ld more",
                      (long)down_us[k], (long)gap_us);
    }
}

/* Each look is a datagram more, and only while nothing comes. */
Test(sim_relay, a_flow_that_ends_is_asked_after_a_few_times_and_no_more)
{
    one_way = true;
    size_t relay = open_flow(30, false);
    uint64_t kept = w.relays[relay].core.n.kept;
    world_run(&w, w.now_us + SECOND);
    kept = w.relays[relay].core.n.kept - kept;
    cr_assert(kept >= HUSH_LOOKS && kept <= HUSH_LOOKS + 6, "%u", (unsigned)kept);
    kept = w.relays[relay].core.n.kept;
    world_run(&w, w.now_us + SECOND);
    cr_assert_leq(w.relays[relay].core.n.kept - kept, 6);
    world_close(&w);
}
