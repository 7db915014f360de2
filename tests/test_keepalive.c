/*
 * test_keepalive.c - what keeps a direct path that nobody uses, in virtual time: as few packets as the NATs' memory
 * allows, which is learned, and no mapping is lost.
 *
 * HOURS=n is how long each path rests.
 */
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SECOND = 1000000,
    HOUR_S = 3600,
    KEPT_US = 102600 * 1000,      /* where mappings last 120 s: nine tenths of 114 s */
    KEPT_MOST_US = 256500 * 1000, /* and where they last for ever */
};

TestSuite(keepalive, .timeout = 300);

static struct world w;
static struct sid session;

static struct attempt *side(size_t peer) { return world_attempt(&w, peer, &session); }

/* Two peers with a direct path, whose NATs keep mappings so long. */
static void begin(const char *a, const char *b, int64_t a_keeps_s, int64_t b_keeps_s,
                  bool inbound_counts)
{
    struct world_conf c = world_two(a, b, (uint64_t)a_keeps_s);

    c.peers[0].nat.lifetime_us = a_keeps_s * SECOND;
    c.peers[1].nat.lifetime_us = b_keeps_s * SECOND;
    c.peers[0].nat.inbound_refreshes = c.peers[1].nat.inbound_refreshes = inbound_counts;
    world_open(&w, &c);
    world_run(&w, 4 * SECOND);
    size_t r = world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND);
    world_run(&w, w.now_us + 2 * SECOND);
    cr_assert_eq(w.results[r].at.state, ATTEMPT_DIRECT);
    session = w.results[r].at.session;
}

/* From peer to peer, past the senders' NATs. */
static uint64_t sent(void)
{
    const struct net *n = w.net;
    uint64_t sum = 0;

    for (size_t h = 0; h < n->n_hosts; h++)
        for (size_t l = 0; l < n->n_lines; l++)
            if (h != w.suite && l != n->hosts[w.suite].line)
                sum += n->sent[h][l].packets;
    return sum;
}

/* Let it rest for hours; percent of what both sides would send in a schedule of 15 s. */
static unsigned rest(int64_t hours)
{
    uint64_t before = sent(), fixed = (uint64_t)(2 * hours * HOUR_S / 15);

    for (int64_t i = 0; i < hours * HOUR_S / 10; i++) {
        world_run(&w, w.now_us + 10 * (int64_t)SECOND);
        for (size_t s = 0; s < 2; s++)
            cr_assert_eq(side(s)->flow, WAY_DIRECT, "left after %" PRId64 " s", i * 10);
    }
    for (size_t s = 0; s < 2; s++)
        cr_assert_eq(side(s)->fault.times, 0);
    return (unsigned)((sent() - before) * 100 / fixed);
}

static int64_t hours(void)
{
    const char *text = getenv("HOURS");

    return text ? strtol(text, NULL, 10) : 3;
}

Test(keepalive, is_a_fifth_of_a_packet_every_fifteen_seconds_and_loses_no_mapping)
{
    static const struct {
        int64_t a_keeps_s, b_keeps_s;
        unsigned percent; /* at most; a NAT of less than two minutes needs more */
    } nats[] = {
        {120, 120, 20},
        {120, 300, 20},
        {180, 120, 20},
        {300, 300, 20},
        {60,  120, 30},
        {30,  120, 60},
    };

    for (size_t i = 0; i < sizeof nats / sizeof *nats; i++) {
        bool inbound_counts = i % 2 == 0;
        begin("ei/random/apd", "ei/random/apd", nats[i].a_keeps_s, nats[i].b_keeps_s,
              inbound_counts);
        unsigned first = rest(1), then = rest(hours() - 1);
        printf("mappings of %" PRId64 " and %" PRId64 " s: %u %% of a packet every 15 s in the "
               "first hour, then %u %%; kept every %" PRId64 " and %" PRId64 " s\n",
               nats[i].a_keeps_s, nats[i].b_keeps_s, first, then, w.peers[0].core.keep_us / SECOND,
               w.peers[1].core.keep_us / SECOND);
        cr_assert_leq(then, nats[i].percent);
        for (size_t s = 0; s < 2; s++)
            cr_assert_lt(w.peers[s].core.keep_us,
                         (s ? nats[i].b_keeps_s : nats[i].a_keeps_s) * SECOND);
        world_close(&w);
    }
}

Test(keepalive, learning_costs_few_packets_and_ends)
{
    begin("ei/random/apd", "open", 120, 120, true);
    world_run(&w, w.now_us + 1200 * (int64_t)SECOND);
    cr_assert_eq(w.peers[0].core.lifetime.state, LIFETIME_KNOWN);
    cr_assert_eq(w.peers[0].core.keep_us, KEPT_US);
    cr_assert_eq(w.peers[1].core.keep_us, KEPT_MOST_US, "where there is no NAT nothing expires");
    world_close(&w);
}

Test(keepalive, what_was_learned_is_forgotten_with_the_network)
{
    begin("ei/random/apd", "ei/random/apd", 120, 120, true);
    world_run(&w, w.now_us + 1200 * (int64_t)SECOND);
    cr_assert_eq(w.peers[0].core.keep_us, KEPT_US);
    world_move_peer(&w, 0);
    cr_assert_eq(w.peers[0].core.keep_us, KEEP_US);
    world_run(&w, w.now_us + 1200 * (int64_t)SECOND);
    cr_assert_eq(w.peers[0].core.keep_us, KEPT_US);
    world_close(&w);
}

Test(keepalive, a_peer_that_dies_while_the_path_sleeps_is_found_out_by_the_keepalive)
{
    begin("ei/random/apd", "ei/random/apd", 120, 120, true);
    world_run(&w, w.now_us + 1200 * (int64_t)SECOND);
    w.peers[1].up = false;
    const struct attempt *a = side(0);
    world_run(&w, w.now_us + KEPT_US + CONSENT_LATE_US + 2 * SECOND);
    cr_assert(a->state == ATTEMPT_CLOSED || a->state == ATTEMPT_FREE);
    world_close(&w);
}
