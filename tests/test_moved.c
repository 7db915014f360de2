/*
 * test_moved.c - words between peers about their direct path, one input at a time: that it was left, and that one of
 * them is elsewhere; and what a peer that lies gets.
 */
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>

TestSuite(moved, .init = executor_bed_open, .timeout = 10);

#define X executor_bed
#define ATTEMPT (X.attempts[0])

static struct msg order;
static const struct addr elsewhere = {
    4, {198, 51, 100, 77},
     4321
};
static const struct addr victim = {
    4, {203, 0, 113, 66},
     53
};
static uint64_t counter;

/* Sealed with the bench's keys, which are zeroes. */
static void say(int64_t ms, const struct addr *from, enum data_kind kind, const void *payload,
                size_t len)
{
    static const uint8_t key[32];
    uint8_t data[DATA_BYTES_MAX];
    struct path_id to = ATTEMPT.own_path;

    executor_bed_datagram(ms, from, data, data_seal(kind, payload, len, ++counter, &to, key, data));
}

/* Both ways proven, the flow direct, at 260 ms. */
static void start_on(uint16_t side)
{
    uint8_t packet[PUNCH_BYTES];

    counter = 0;
    order = executor_bed_start(side, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    ATTEMPT.has_keys = true;
    ATTEMPT.relay.addr = executor_bed_relay;
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(250, &executor_bed_relay, packet, sizeof packet);
    executor_bed_punch(&order, PACKET_PONG, 2, EXECUTOR_BED_ECHO, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(260, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT);
}

static void start(void) { start_on(1); }

static void left(int64_t ms, const struct addr *from, uint32_t times)
{
    uint8_t payload[4] = {0, 0, 0, (uint8_t)times};

    say(ms, from, DATA_LEFT, payload, sizeof payload);
}

static void moved(int64_t ms, const struct msg_token *token)
{
    say(ms, &executor_bed_relay, DATA_MOVED, token->b, token->len);
}

/* Datagrams that leave for there until then. */
static size_t sent_until(int64_t ms, const struct addr *to)
{
    size_t n = 0;

    do
        for (size_t i = 0; i < executor_bed_out.n; i++)
            n += executor_bed_out.v[i].kind == OUT_DATAGRAM &&
                 addr_eq(&executor_bed_out.v[i].dgram.dst, to);
    while (executor_deadline(&X) <= ms * 1000 && (executor_bed_tick(), true));
    return n;
}

Test(moved, a_peer_that_says_that_it_left_is_followed_once)
{
    start();
    left(500, &executor_bed_peer_addr, 1);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT, "said on the path itself it makes no sense");
    left(510, &executor_bed_relay, 1);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
    cr_assert_eq(ATTEMPT.flow, WAY_RELAY);
    ATTEMPT.state = ATTEMPT_DIRECT; /* as if it had come back */
    ATTEMPT.way[WAY_DIRECT].confirmed = true;
    left(520, &executor_bed_relay, 1);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT, "a copy");
    left(530, &executor_bed_relay, 2);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
}

Test(moved, words_about_the_path_before_do_not_end_the_one_that_was_proven_meanwhile)
{
    struct msg_token t =
        executor_bed_token(&executor_bed_peer, &executor_bed_peer_addr, executor_bed_wall(300));

    start(); /* at 260 ms */
    moved(260 + LEAVE_BUSY_US / 1000 - 2, &t);
    left(260 + LEAVE_BUSY_US / 1000 - 1, &executor_bed_relay, 1);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT, "sooner than anything could be missing");
    left(260 + LEAVE_BUSY_US / 1000 + 1, &executor_bed_relay, 1);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT, "a copy of that");
    left(600, &executor_bed_relay, 2);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
}

Test(moved, a_peer_that_is_elsewhere_by_a_probers_word_is_punched_there)
{
    struct msg_token t = executor_bed_token(&executor_bed_peer, &elsewhere, executor_bed_wall(300));

    start();
    moved(500, &t);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
    cr_assert_gt(sent_until(3500, &elsewhere), 10);
    cr_assert_leq(ATTEMPT.candidate_packets[0], PACKETS_MAX);
}

Test(moved, addresses_that_no_prober_vouches_for_get_nothing)
{
    struct msg_token forged =
        executor_bed_token(&executor_bed_peer, &victim, executor_bed_wall(300));
    struct msg_token others =
        executor_bed_token(&executor_bed.conf.id, &victim, executor_bed_wall(300));

    start();
    forged.b[TOKEN_BYTES - 1] ^= 1;
    moved(500, &forged);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT);
    cr_assert_eq(sent_until(3000, &victim), 0);
    moved(3000, &others);
    cr_assert_eq(sent_until(6000, &victim), 0);
    others.len = 7;
    moved(6000, &others);
    cr_assert_eq(sent_until(9000, &victim), 0);
    cr_assert_eq(ATTEMPT.n_candidates, 1, "and what was vouched for is as it was");
}

Test(moved, a_peer_that_moves_without_end_has_no_more_packets_sent_than_one_that_is_tried_anew)
{
    size_t n = 0;

    start();
    for (int64_t ms = 300; ms < 10300; ms += 10) {
        struct msg_token t =
            executor_bed_token(&executor_bed_peer, &elsewhere, executor_bed_wall(ms));
        n += sent_until(ms, &elsewhere);
        executor_bed_forget();
        moved(ms, &t);
    }
    cr_assert_leq(n, 6 * PACKETS_MAX, "%zu in ten seconds", n);
    cr_assert_gt(n, PACKETS_MAX);
}

/* What the coordinator is asked for is bounded for each peer, and the other sessions need it, too. */
Test(moved, a_peer_that_moves_without_end_does_not_use_up_what_this_one_may_ask_for)
{
    size_t n = 0;

    start_on(0);
    ATTEMPT.technique = TECHNIQUE_BIRTHDAY;
    for (int64_t ms = 300; ms < 60300; ms += 50) {
        struct msg_token t =
            executor_bed_token(&executor_bed_peer, &elsewhere, executor_bed_wall(ms));
        while (executor_deadline(&X) <= ms * 1000) {
            executor_bed_tick();
            for (size_t i = 0; i < executor_bed_out.n; i++)
                n += executor_bed_out.v[i].kind == OUT_MSG &&
                     executor_bed_out.v[i].msg.type == MSG_punch_request;
        }
        executor_bed_forget();
        moved(ms, &t);
    }
    cr_assert_gt(n, 1);
    cr_assert_leq(n, 10, "%zu in a minute without an answer", n);
}
