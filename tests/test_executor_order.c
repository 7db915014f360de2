/*
 * test_executor_order.c - what an order makes the executor do: punches on schedule and within bounds, to
 * addresses that somebody vouched for; and which orders it refuses.
 */
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>

TestSuite(executor_order, .init = executor_bed_open, .timeout = 10);

#define X executor_bed
#define ATTEMPT (X.attempts[0])

static struct msg order;
static uint8_t packet[PUNCH_BYTES];

Test(executor_order, carries_out_an_order_on_both_ways_at_once)
{
    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_expect("[  240] free -> executing: ordered\n"
                        "[  240] 0 > 198.51.100.2:4000 punch\n"
                        "[  240] 0 > 203.0.113.10:3480 bind\n");
}

Test(executor_order,
     punches_at_0_20_40_80_160_320_ms_then_every_100_ms_and_seldom_once_nobody_is_heard)
{
    static const int64_t at_ms[] = {0,   20,  40,  80,  160,  320,  420, 520,
                                    620, 720, 820, 920, 1020, 1120, 1220};
    size_t n = 0, total = 1;

    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_DIRECT);
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, NULL), 1);
    for (n = 1; n < sizeof at_ms / sizeof *at_ms;) {
        int64_t due = executor_deadline(&X);
        executor_bed_tick();
        if (executor_bed_count(PACKET_PUNCH, NULL) == 0)
            continue;
        cr_assert_eq(due / 1000 - 240, at_ms[n], "punch %zu after %ld ms", n,
                     (long)(due / 1000 - 240));
        n++, total++;
    }
    while (ATTEMPT.state == ATTEMPT_EXECUTING) {
        executor_bed_tick();
        total += executor_bed_count(PACKET_PUNCH, NULL);
    }
    cr_assert_eq(total, 27, "%zu: the others are for a peer that comes late", total);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_direct_only);
    cr_assert_str_eq(ATTEMPT.kind, "punch-failed");
}

/* The way is open then, and only losses keep the pong away. */
Test(executor_order, asks_more_often_for_a_while_once_the_peer_is_heard)
{
    static const int64_t at_ms[] = {40, 80, 120, 160, 200, 240, 280, 380, 480};
    const int64_t heard_ms = 440; /* five were sent */

    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_DIRECT);
    executor_bed_run_to(heard_ms);
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, 0, packet);
    executor_bed_datagram(heard_ms, &executor_bed_peer_addr, packet, sizeof packet);
    for (size_t n = 0; n < sizeof at_ms / sizeof *at_ms;) {
        int64_t due = executor_deadline(&X);
        executor_bed_tick();
        if (executor_bed_count(PACKET_PUNCH, NULL) == 0)
            continue;
        cr_assert_eq(due / 1000 - heard_ms, at_ms[n], "punch %zu after %ld ms", n,
                     (long)(due / 1000 - heard_ms));
        n++;
    }
}

Test(executor_order, never_sends_more_than_forty_packets_to_an_address_in_one_attempt)
{
    const struct way_state *direct = &ATTEMPT.way[WAY_DIRECT];

    executor_bed_ready();
    order = executor_bed_order(1, TECHNIQUE_SYNCHRONOUS, POLICY_DIRECT);
    order.punch_coordinate.plan.v[0].span_us = 60000000;
    order.punch_coordinate.deadline_ms = 61000;
    executor_bed_msg(240, &order);
    for (int64_t ms = 250, i = 1; ATTEMPT.state == ATTEMPT_EXECUTING; ms += 100, i++) {
        executor_bed_run_to(ms);
        if (i % 10 == 0) { /* few of the peer's come, and none of ours */
            executor_bed_punch(&order, PACKET_PUNCH, (uint64_t)i, 0, 0, packet);
            executor_bed_datagram(ms, &executor_bed_peer_addr, packet, sizeof packet);
        }
    }
    cr_assert_eq(direct->punches_sent, PACKETS_MAX);
}

Test(executor_order, counts_its_pongs_too_and_answers_at_few_addresses)
{
    uint8_t punch[PUNCH_BYTES];
    struct addr from = executor_bed_peer_addr;
    size_t total = 0, addresses = 0;

    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    total += executor_bed_count(PACKET_PUNCH, NULL);
    for (uint64_t i = 1; i <= 100; i++) { /* a peer whose packets come and ours don't */
        executor_bed_punch(&order, PACKET_PUNCH, i, 0, 0, punch);
        executor_bed_datagram(241, &from, punch, sizeof punch);
        total += executor_bed_count(PACKET_PUNCH, NULL) + executor_bed_count(PACKET_PONG, NULL);
    }
    cr_assert_eq(total, PACKETS_MAX);
    for (uint64_t i = 101; i <= 200; i++) { /* or one that makes up where they come from */
        from.port++;
        executor_bed_punch(&order, PACKET_PUNCH, i, 0, 0, punch);
        executor_bed_datagram(242, &from, punch, sizeof punch);
        addresses += executor_bed_count(PACKET_PONG, NULL);
    }
    cr_assert_eq(addresses, CANDIDATES_MAX - 1);
}

/* An order for two behind one public address, with this local address of the peer's. */
static void order_host(const struct addr *their_local, const struct addr *their_public)
{
    executor_bed_open();
    executor_bed_ready();
    order = executor_bed_order(1, TECHNIQUE_HOST, POLICY_AUTO);
    order.punch_coordinate.their_local = *their_local;
    order.punch_coordinate.theirs = (struct msg_token_list){
        1, {executor_bed_token(&executor_bed_peer, their_public, 1700000000 + 80)}};
    executor_bed_msg(240, &order);
}

Test(executor_order, tries_the_hairpin_at_once_where_it_is_known_to_work)
{
    struct addr local = addr_v4(192, 168, 7, 7, 4000), shared;

    executor_bed_open();
    executor_bed_ready();
    shared = X.reflexive;
    shared.port = 5000;
    order_host(&local, &shared);
    struct msg hairpins = order;
    hairpins.punch_coordinate.their_profile.hairpin = HAIRPIN_EXTERNAL;
    executor_bed_open();
    executor_bed_ready();
    executor_bed_msg(240, &hairpins);
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, NULL), 2);
}

Test(executor_order, tries_the_local_address_first_and_the_hairpin_after_40_ms)
{
    struct addr local = addr_v4(192, 168, 7, 7, 4000), shared, to;

    executor_bed_open();
    executor_bed_ready();
    shared = X.reflexive;
    shared.port = 5000;
    order_host(&local, &shared);
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, &to), 1);
    cr_assert(addr_eq(&to, &local));
    executor_bed_run_to(260);
    executor_bed_run_to(280);
    cr_assert_eq(ATTEMPT.candidate_packets[0], 3);
    cr_assert_eq(ATTEMPT.candidate_packets[1], 1);
    cr_assert(addr_eq(&ATTEMPT.candidates[1], &shared));
}

Test(executor_order, takes_no_local_address_without_a_shared_public_one_or_outside_the_own_network)
{
    struct addr local = addr_v4(192, 168, 7, 7, 4000), world = addr_v4(8, 8, 8, 8, 53);
    struct addr loopback = addr_v4(127, 0, 0, 1, 53), shared, other;

    executor_bed_open();
    executor_bed_ready();
    shared = other = X.reflexive;
    other.ip[3] ^= 1;
    const struct {
        struct addr local, public;
    } cases[] = {
        {local,    other },
        {world,    shared},
        {loopback, shared},
        {{0},      shared}
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        order_host(&cases[i].local, &cases[i].public);
        executor_bed_run_to(300);
        cr_assert_eq(ATTEMPT.n_candidates, 1, "case %zu", i);
        cr_assert(addr_eq(&ATTEMPT.candidates[0], &cases[i].public));
    }
}

Test(executor_order, sends_nothing_to_an_address_that_no_prober_of_the_pinned_authority_vouched_for)
{
    struct addr other = executor_bed_peer_addr;
    other.port++;
    struct msg_token good = executor_bed_token(&executor_bed_peer, &other, 1700000000 + 80);
    struct msg_token bad[3] = {
        executor_bed_token(&X.conf.id, &other, 1700000000 + 80),                   /* another's */
        executor_bed_token(&executor_bed_peer, &other, 1700000000 - TOKEN_TTL_MS), /* old */
        good,
    };

    bad[2].b[40] ^= 1; /* forged */
    for (size_t i = 0; i < 3; i++) {
        executor_bed_open();
        executor_bed_ready();
        order = executor_bed_order(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
        order.punch_coordinate.theirs = (struct msg_token_list){1, {bad[i]}};
        executor_bed_msg(240, &order);
        cr_assert_eq(ATTEMPT.n_candidates, 0, "token %zu", i);
        cr_assert_eq(executor_bed_count(PACKET_PUNCH, NULL), 0, "token %zu", i);
    }
    executor_bed_open();
    executor_bed_ready();
    order.punch_coordinate.theirs = (struct msg_token_list){1, {good}};
    executor_bed_msg(240, &order);
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, NULL), 1, "and the good one counts");
}

Test(executor_order, sends_nothing_to_multicast_or_to_no_address)
{
    static const struct addr bad[] = {
        {4, {224, 0, 0, 1},       4000},
        {4, {255, 255, 255, 255}, 4000},
        {4, {0, 0, 0, 0},         4000}
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        executor_bed_open();
        executor_bed_ready();
        order = executor_bed_order(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
        order.punch_coordinate.theirs.v[0] =
            executor_bed_token(&executor_bed_peer, &bad[i], 1700000000 + 80);
        executor_bed_msg(240, &order);
        cr_assert_eq(executor_bed_count(PACKET_PUNCH, NULL), 0);
    }
}

Test(executor_order, refuses_orders_that_make_no_sense_and_tells_the_coordinator)
{
    for (int i = 0; i < 8; i++) {
        executor_bed_open();
        executor_bed_ready();
        order = executor_bed_order(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
        struct msg_punch_coordinate *c = &order.punch_coordinate;
        switch (i) {
        case 0: c->side = 2; break;
        case 1: c->side = 0, c->nonce = 8; break; /* an answer to nothing */
        case 2: c->peer = X.conf.id; break;
        case 3: c->mode = MODE_RAW; break;
        case 4: c->policy = POLICY_COUNT; break;
        case 5: c->plan.v[0].technique = TECHNIQUE_COUNT; break;
        case 6: c->plan.v[0].span_us = UINT32_MAX; break;
        case 7: c->ticket.len = 3; break;
        }
        executor_bed_msg(240, &order);
        executor_bed_expect("[  240] punch_cancel session=55555555555555555555555555555555 "
                            "kind=bad-request\n");
        cr_assert_eq(ATTEMPT.state, ATTEMPT_FREE);
    }
}

Test(executor_order, an_order_beyond_its_room_is_refused_as_overload)
{
    executor_bed_ready();
    order = executor_bed_order(1, TECHNIQUE_RELAYED, POLICY_AUTO);
    for (uint8_t i = 0; i < ATTEMPTS_MAX; i++) {
        order.punch_coordinate.session.b[0] = i;
        executor_bed_msg(240, &order);
    }
    executor_bed_forget();
    memset(order.punch_coordinate.session.b, 0x55, sizeof order.punch_coordinate.session.b);
    order.punch_coordinate.session.b[1] = 0;
    executor_bed_msg(240, &order);
    executor_bed_expect("[  240] punch_cancel session=55005555555555555555555555555555 "
                        "kind=overloaded\n");
}

Test(executor_order, a_callers_order_is_ended_with_the_reason_that_the_other_side_gave)
{
    struct msg m = {.type = MSG_punch_cancel, .punch_cancel = {.kind = "overloaded"}};

    order = executor_bed_start(0, TECHNIQUE_RELAYED, POLICY_AUTO);
    m.punch_cancel.session = order.punch_coordinate.session;
    executor_bed_msg(300, &m);
    cr_assert_str_eq(ATTEMPT.kind, "overloaded");
    cr_assert_eq(ATTEMPT.verdict, VERDICT_overloaded);
}

Test(executor_order, takes_an_order_that_comes_twice_once)
{
    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_forget();
    executor_bed_msg(250, &order);
    executor_bed_expect("");
}

Test(executor_order, a_caller_is_not_ordered_to_somebody_it_did_not_ask_for)
{
    executor_bed_ready();
    executor_bed_connect(200, "bob", POLICY_RELAY, 15000);
    order = executor_bed_order(0, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO); /* another policy */
    executor_bed_msg(240, &order);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_REQUESTED);
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, NULL), 0);
}

static void from_relay(int64_t ms, enum relay_op op, enum relay_status status)
{
    struct relay_control c = {.op = op, .status = status, .path = ATTEMPT.own_path};
    uint8_t data[RELAY_CONTROL_MAX];

    memcpy(c.nonce, ATTEMPT.relay.nonce, sizeof c.nonce);
    executor_bed_datagram(ms, &executor_bed_relay, data, relay_encode(&c, data));
}

static void prove_relay(int64_t ms)
{
    ATTEMPT.has_keys = true;
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(ms, &executor_bed_relay, packet, sizeof packet);
    cr_assert(ATTEMPT.way[WAY_RELAY].confirmed);
}

/* Over a bad line either may take long, and the order of the other side too. */
Test(executor_order,
     punches_on_until_the_relay_is_proven_and_for_most_of_the_span_once_the_peer_is_bound)
{
    const int64_t ready_ms = 5000;
    const int64_t until_ms = ready_ms + 3000 * 3 / 4;

    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    from_relay(250, RELAY_BOUND, RELAY_WAITING);
    executor_bed_run_to(ready_ms);
    cr_assert_not(ATTEMPT.direct_over, "there is nothing else yet");
    cr_assert_leq(ATTEMPT.candidate_packets[0], PACKETS_MAX * 3 / 4, "and little of it is spent");
    from_relay(ready_ms, RELAY_KEPT, RELAY_READY);
    prove_relay(ready_ms);
    executor_bed_run_to(until_ms - 10);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_EXECUTING);
    executor_bed_run_to(until_ms + 10);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
}

Test(executor_order,
     gives_up_at_once_when_the_relay_is_proven_after_the_span_and_the_peer_was_there)
{
    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    from_relay(250, RELAY_BOUND, RELAY_READY);
    executor_bed_run_to(4000);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_EXECUTING);
    prove_relay(4010);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
}

/* What it kept for that is of no use once the relay is taken. */
Test(executor_order, a_peer_that_comes_late_is_punched_to_at_once_however_long_there_was_to_wait)
{
    const int64_t ready_ms = 20100;

    executor_bed_ready();
    order = executor_bed_order(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    order.punch_coordinate.deadline_ms = 60000;
    executor_bed_msg(240, &order);
    from_relay(250, RELAY_BOUND, RELAY_WAITING);
    executor_bed_run_to(ready_ms);
    cr_assert_not(ATTEMPT.direct_over);
    from_relay(ready_ms, RELAY_KEPT, RELAY_READY);
    uint64_t before = ATTEMPT.way[WAY_DIRECT].punches_sent;
    executor_bed_run_to(ready_ms + 1000);
    uint64_t n = ATTEMPT.way[WAY_DIRECT].punches_sent - before;
    cr_assert_geq(n, 3, "%lu", n);
    cr_assert_leq(ATTEMPT.candidate_packets[0], PACKETS_MAX);
}
