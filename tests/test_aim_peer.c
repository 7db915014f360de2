/*
 * test_aim_peer.c - the executor's fences against a hostile peer that has its own keys: it lies about where it is, has ports
 * guessed, or takes all the places there are.
 */
#include "tests/lib/aim_bed.h"
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>

TestSuite(aim_peer, .init = executor_bed_open, .timeout = 20);

#define X executor_bed
#define ATTEMPT (X.attempts[0])

static struct msg order;
static uint8_t packet[PUNCH_BYTES];
/* ---- a peer that lies about where it is ------------------------------------------------------ */

static void start(uint16_t side)
{
    order = executor_bed_start(side, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    ATTEMPT.has_keys = true; /* the bench's are zeroes */
}

static void data_from(int64_t ms, const struct addr *from, enum data_kind kind, uint64_t counter)
{
    static const uint8_t key[32];
    uint8_t data[DATA_BYTES_MAX];
    struct path_id to = ATTEMPT.own_path;

    executor_bed_datagram(ms, from, data,
                          data_seal(kind, (const uint8_t *)"12345678", 8, counter, &to, key, data));
}

Test(aim_peer, an_authentic_punch_from_an_ip_that_no_prober_vouched_for_is_not_answered)
{
    start(1);
    for (uint8_t i = 1; i < 100; i++) {
        executor_bed_punch(&order, i % 2 ? PACKET_PUNCH : PACKET_PONG, i, EXECUTOR_BED_ECHO,
                           PUNCH_CONFIRMED, packet);
        executor_bed_datagram(250, &aim_bed_victim, packet, sizeof packet);
        cr_assert_eq(aim_bed_sent(&aim_bed_victim), 0);
    }
    cr_assert_eq(X.n.strangers, 99);
    cr_assert_not(ATTEMPT.way[WAY_DIRECT].heard);
    cr_assert_eq(aim_bed_sent_until(3000, &aim_bed_victim), 0);
}

Test(aim_peer, data_from_an_ip_that_no_prober_vouched_for_draws_nothing_there)
{
    start(1);
    for (uint8_t i = 1; i < 100; i++) {
        data_from(250 + i, &aim_bed_victim, i % 2 ? DATA_APP : DATA_PING, i);
        cr_assert_eq(aim_bed_sent(&aim_bed_victim), 0);
    }
    executor_bed_app(360, APP_SEND, 0, "x", 1);
    cr_assert_eq(aim_bed_sent(&aim_bed_victim), 0);
    cr_assert_eq(aim_bed_sent_until(5000, &aim_bed_victim), 0);
}

Test(aim_peer, a_pong_proves_the_address_that_was_asked_wherever_it_comes_from)
{
    struct addr to, lie = executor_bed_peer_addr;

    start(1);
    lie.port = 4711; /* a neighbour's, behind the same NAT */
    executor_bed_punch(&order, PACKET_PONG, 1, EXECUTOR_BED_ECHO, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(250, &lie, packet, sizeof packet);
    cr_assert(addr_eq(&ATTEMPT.way[WAY_DIRECT].remote, &executor_bed_peer_addr));
    executor_bed_app(260, APP_SEND, 0, "x", 1);
    if (executor_bed_count(PACKET_DATA, &to) > 0)
        cr_assert(addr_eq(&to, &executor_bed_peer_addr), "and not to whom it names");
    while (executor_deadline(&X) <= 5000000) {
        executor_bed_tick();
        for (size_t i = 0; i < executor_bed_out.n; i++)
            cr_assert_not(executor_bed_out.v[i].kind == OUT_DATAGRAM &&
                          addr_eq(&executor_bed_out.v[i].dgram.dst, &lie));
    }
}

Test(aim_peer, an_address_gets_no_more_than_forty_packets_in_an_attempt_however_loud_the_peer_is)
{
    size_t n = 0;

    start(1);
    n = executor_bed_count(PACKET_PUNCH, NULL);
    for (uint8_t i = 1; i < 200; i++) {
        executor_bed_punch(&order, PACKET_PUNCH, i, 0, 0, packet);
        executor_bed_datagram(250 + i, &executor_bed_peer_addr, packet, sizeof packet);
        n += executor_bed_count(PACKET_PUNCH, NULL) + executor_bed_count(PACKET_PONG, NULL);
    }
    n += aim_bed_sent_until(3600, &executor_bed_peer_addr);
    cr_assert_eq(n, PACKETS_MAX);
}

Test(aim_peer, pongs_that_return_no_ping_keep_no_path_alive)
{
    uint64_t counter = 1;
    int64_t ms = 260;

    start(1);
    ATTEMPT.relay.addr = executor_bed_relay;
    executor_bed_punch(&order, PACKET_PONG, 1, EXECUTOR_BED_ECHO, 0, packet);
    executor_bed_datagram(ms, &executor_bed_peer_addr, packet, sizeof packet);
    data_from(261, &executor_bed_relay, DATA_PING, counter++);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT);
    for (ms = 300; ms < 12000 && ATTEMPT.state == ATTEMPT_DIRECT; ms += 100) {
        executor_bed_run_to(ms);
        data_from(ms, &executor_bed_peer_addr, DATA_PONG, counter++);
    }
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED, "who lies about its source has not seen the ping");
}

/* ---- guesses --------------------------------------------------------------------------------- */

static struct profile theirs; /* what the coordinator says that the peer's NAT is like */

/* The peer's NAT draws random ports: this side tries them, at the ip of these tokens. */
static void try_ports(int64_t ms, uint8_t session, size_t n_tokens)
{
    struct addr second = executor_bed_peer_addr;

    second.port = 9999;
    order = executor_bed_order(1, TECHNIQUE_BIRTHDAY, POLICY_AUTO);
    order.punch_coordinate.session.b[0] = session;
    order.punch_coordinate.plan.v[0].role = 0;
    order.punch_coordinate.plan.v[0].span_us = 20 * 1000000;
    order.punch_coordinate.deadline_ms = 30000;
    order.punch_coordinate.theirs = (struct msg_token_list){
        (uint8_t)n_tokens, {aim_bed_token(&executor_bed_peer_addr), aim_bed_token(&second)}
    };
    order.punch_coordinate.their_profile = theirs;
    executor_bed_msg(ms, &order);
}

Test(aim_peer, ports_are_guessed_only_where_two_fresh_tokens_name_the_ip)
{
    executor_bed_ready();
    try_ports(240, 1, 1);
    cr_assert_leq(aim_bed_sent_until(1240, &executor_bed_peer_addr), PACKETS_MAX);
    cr_assert_eq(X.n.guesses, 0);
    try_ports(1250, 2, 2);
    aim_bed_sent_until(2250, &aim_bed_victim);
    cr_assert_gt(X.n.guesses, 400);
}

/* There is no stride for such a walk. */
Test(aim_peer, a_block_of_one_port_is_none_to_guess_in)
{
    theirs = (struct profile){.mapping = NAT_APD,
                              .allocation = ALLOC_RANDOM,
                              .port_lo = 5000,
                              .port_hi = 5100,
                              .block_lo = 5000,
                              .block_hi = 5000};
    executor_bed_ready();
    try_ports(240, 1, 2);
    aim_bed_sent_until(1240, &aim_bed_victim);
    cr_assert_gt(X.n.guesses, 400);
}

Test(aim_peer, several_attempts_together_guess_no_faster_at_one_ip_than_one)
{
    executor_bed_ready();
    for (uint8_t i = 1; i <= 5; i++)
        try_ports(240, i, 2);
    aim_bed_sent_until(2240, &aim_bed_victim);
    cr_assert_leq(X.n.guesses, 2 * 500 + 2 * 8, "500 a second, and a batch");
    cr_assert_geq(X.n.guesses, 900);
}

Test(aim_peer, guesses_at_one_ip_end_after_three_thousand_and_never_go_below_port_1024)
{
    size_t low = 0;

    executor_bed_ready();
    for (uint8_t i = 1; i <= 5; i++)
        try_ports(240, i, 2);
    while (executor_deadline(&X) <= 20 * 1000000) {
        executor_bed_forget();
        executor_bed_tick();
        for (size_t i = 0; i < executor_bed_out.n; i++)
            low += executor_bed_out.v[i].kind == OUT_DATAGRAM &&
                   executor_bed_out.v[i].dgram.dst.port < 1024;
    }
    cr_assert_eq(low, 0);
    cr_assert_eq(X.n.guesses, GUESSES_MAX);
    cr_assert_gt(X.n.guesses_refused, 0);
}

Test(aim_peer, one_attempt_ends_with_1220_ports_as_both_sides_packets_are_1500)
{
    executor_bed_ready();
    try_ports(240, 1, 2);
    aim_bed_sent_until(8000, &aim_bed_victim);
    cr_assert_eq(X.n.guesses, 1500 - POOL_SOCKETS - 24);
}

/* ---- who is served --------------------------------------------------------------------------- */

/* As many calls as are let in, from keys numbered from first on, seen at this ip; every key calls so often. */
static size_t calls(uint8_t first, size_t n, size_t each, uint8_t ip)
{
    struct addr at = executor_bed_peer_addr;
    size_t in = 0;

    at.ip[3] = ip;
    for (size_t i = 0; i < n; i++) {
        uint64_t refused = X.n.orders_refused;
        order = executor_bed_order(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
        memset(order.punch_coordinate.peer.b, first + (int)(i / each), 32);
        order.punch_coordinate.theirs.v[0] =
            executor_bed_token(&order.punch_coordinate.peer, &at, AIM_BED_WALL_MS + 80);
        rng_bytes(&X.rng, order.punch_coordinate.session.b, sizeof order.punch_coordinate.session);
        executor_bed_msg(240, &order);
        in += X.n.orders_refused == refused;
    }
    return in;
}

Test(aim_peer, one_key_cannot_fill_the_slots_of_a_listener)
{
    executor_bed_ready();
    cr_assert_eq(calls(1, 2 * ATTEMPTS_MAX, 2 * ATTEMPTS_MAX, 9), ATTEMPTS_MAX - RESERVED_ATTEMPTS);
    cr_assert_eq(calls(2, 1, 1, 10), 1, "another one is served");
}

Test(aim_peer, many_keys_at_one_ip_cannot_fill_the_slots_of_a_listener)
{
    executor_bed_ready();
    size_t taken = calls(1, 200, 1, 9);
    cr_assert_leq(taken, ATTEMPTS_MAX - RESERVED_ATTEMPTS + RESERVED_BY_IP);
    cr_assert_eq(calls(201, RESERVED_BY_KEY + 1, 9, 10), RESERVED_BY_KEY);
}
