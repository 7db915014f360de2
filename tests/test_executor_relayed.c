/*
 * test_executor_relayed.c - the executor's core towards its relay: binding; and over time, how it notices that one has gone, is full
 * or waits, and what it sends meanwhile.
 */
#include "lib/relaywire.h"
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>
#include <sodium.h>

TestSuite(executor_relayed, .init = executor_bed_open, .timeout = 10);

#define X executor_bed
#define ATTEMPT (X.attempts[0])

static struct msg order;

static void from_relay(int64_t ms, uint8_t op, uint8_t status)
{
    uint8_t data[RELAY_CONTROL_MAX];
    struct relay_control c = {.op = op, .status = status, .path = ATTEMPT.own_path};

    memcpy(c.nonce, ATTEMPT.relay.nonce, sizeof c.nonce);
    executor_bed_datagram(ms, &executor_bed_relay, data, relay_encode(&c, data));
}

/* Ordered at 240 ms, bound at 250; the other side is there when status says so. */
static void start_bound(uint16_t side, enum technique technique, enum policy policy, uint8_t status)
{
    order = executor_bed_start(side, technique, policy);
    ATTEMPT.has_keys = true; /* of zeroes */
    from_relay(250, RELAY_BOUND, status);
}

/* The session goes over the relay, both ways proven at 260 ms. */
static void start_relayed(void)
{
    uint8_t packet[PUNCH_BYTES];

    start_bound(1, TECHNIQUE_RELAYED, POLICY_AUTO, RELAY_READY);
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(260, &executor_bed_relay, packet, sizeof packet);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
}

/* Messages of this kind to the relay in the last step. */
static size_t said(enum relay_op op)
{
    struct relay_control c;
    size_t n = 0;

    for (size_t i = 0; i < executor_bed_out.n; i++) {
        const struct output *o = &executor_bed_out.v[i];
        n += o->kind == OUT_DATAGRAM && o->dgram.data[0] == PACKET_RELAY &&
             relay_parse(o->dgram.data, o->dgram.len, &c) && c.op == op;
    }
    return n;
}

static size_t said_until(int64_t ms, enum relay_op op)
{
    size_t n = 0;

    while (executor_deadline(&X) <= ms * 1000) {
        executor_bed_tick();
        n += said(op);
    }
    return n;
}

/* Packets to the peer through the relay until then. */
static uint64_t punched_until(int64_t ms)
{
    uint64_t before = ATTEMPT.way[WAY_RELAY].punches_sent;

    executor_bed_run_to(ms);
    return ATTEMPT.way[WAY_RELAY].punches_sent - before;
}

Test(executor_relayed, binds_proves_and_punches_through_the_relay_when_both_are_there)
{
    order = executor_bed_start(1, TECHNIQUE_RELAYED, POLICY_AUTO);
    executor_bed_forget();
    from_relay(250, RELAY_CHALLENGE, 0);
    executor_bed_expect("[  250] 0 > 203.0.113.10:3480 prove\n");
    from_relay(260, RELAY_BOUND, RELAY_WAITING);
    executor_bed_expect("");
    from_relay(270, RELAY_BOUND, RELAY_READY);
    executor_bed_expect("[  270] 0 > 203.0.113.10:3480 punch\n");
}

Test(executor_relayed, asks_a_silent_relay_again_and_again_and_then_says_that_it_is_unreachable)
{
    order = executor_bed_start(0, TECHNIQUE_RELAYED, POLICY_AUTO);
    size_t binds = executor_bed_count(PACKET_RELAY, NULL);
    while (ATTEMPT.state == ATTEMPT_EXECUTING) {
        executor_bed_tick();
        binds += executor_bed_count(PACKET_RELAY, NULL);
    }
    cr_assert_geq(binds, 8);
    cr_assert_leq(binds, 20);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_relay_unreachable);
}

Test(executor_relayed, a_relay_that_is_full_has_the_coordinator_asked_for_another_one)
{
    order = executor_bed_start(0, TECHNIQUE_RELAYED, POLICY_AUTO);
    executor_bed_forget();
    from_relay(250, RELAY_BOUND, RELAY_FULL);
    executor_bed_expect("[  250] relay_refused session=55555555555555555555555555555555 "
                        "relay=203.0.113.10:3480 kind=overloaded\n");
    order.punch_coordinate.relay.ip[3]++;
    executor_bed_msg(290, &order);
    executor_bed_expect("[  290] 0 > 203.0.113.11:3480 bind\n");
    executor_bed_msg(300, &order);
    executor_bed_expect("");
    executor_bed_run_to(2000);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_EXECUTING);
}

Test(executor_relayed,
     when_all_relays_are_full_it_ends_at_once_and_else_after_a_second_without_an_answer)
{
    order = executor_bed_start(0, TECHNIQUE_RELAYED, POLICY_AUTO);
    from_relay(250, RELAY_BOUND, RELAY_FULL);
    executor_bed_run_to(1249);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_EXECUTING);
    executor_bed_tick();
    cr_assert_eq(ATTEMPT.state, ATTEMPT_FAILED);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_relay_full);

    executor_bed_open();
    order = executor_bed_start(0, TECHNIQUE_RELAYED, POLICY_AUTO);
    from_relay(250, RELAY_BOUND, RELAY_FULL);
    order.punch_coordinate.relay = (struct addr){0};
    order.punch_coordinate.ticket.len = 0;
    order.punch_coordinate.relays_full = true;
    executor_bed_msg(290, &order);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_FAILED);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_relay_full);
    cr_assert_str_eq(ATTEMPT.kind, "rendezvous-no-relay");
}

Test(executor_relayed, binds_again_once_for_any_number_of_unknowns)
{
    order = executor_bed_start(1, TECHNIQUE_RELAYED, POLICY_AUTO);
    from_relay(250, RELAY_BOUND, RELAY_READY);
    executor_bed_forget();
    for (int i = 0; i < 5; i++)
        from_relay(260 + i, RELAY_UNKNOWN, 0);
    executor_bed_expect("[  260] 0 > 203.0.113.10:3480 bind\n");
}

Test(executor_relayed, takes_relay_control_from_its_relay_alone)
{
    uint8_t data[RELAY_CONTROL_MAX];
    struct relay_control c = {.op = RELAY_BOUND, .status = RELAY_READY};

    order = executor_bed_start(1, TECHNIQUE_RELAYED, POLICY_AUTO);
    memcpy(c.nonce, ATTEMPT.relay.nonce, sizeof c.nonce);
    executor_bed_datagram(250, &executor_bed_peer_addr, data, relay_encode(&c, data));
    cr_assert_not(ATTEMPT.relay.bound);
}

Test(executor_relayed, looks_often_whether_the_other_side_has_come)
{
    start_bound(1, TECHNIQUE_RELAYED, POLICY_AUTO, RELAY_WAITING);
    cr_assert_geq(said_until(1300, RELAY_KEEP), 5);
}

Test(executor_relayed, binds_anew_when_the_relay_has_not_answered_five_times_and_not_before)
{
    start_relayed();
    for (int i = 0; i < 5; i++) { /* answered ones don't add up */
        executor_bed_tick();
        from_relay(X.now_us / 1000 + 1, RELAY_KEPT, RELAY_READY);
    }
    size_t keeps = 0, binds = 0;
    while (binds == 0 && X.now_us < 300 * INT64_C(1000000)) {
        executor_bed_tick();
        keeps += said(RELAY_KEEP);
        binds += said(RELAY_BIND);
    }
    cr_assert_eq(binds, 1);
    cr_assert_eq(keeps, 5);
}

Test(executor_relayed, a_relay_that_worked_is_asked_again_when_it_comes_back_full)
{
    start_relayed();
    struct path_id own = ATTEMPT.own_path;
    from_relay(300, RELAY_UNKNOWN, 0); /* it has restarted */
    cr_assert_eq(said(RELAY_BIND), 1);
    from_relay(310, RELAY_BOUND, RELAY_FULL);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
    cr_assert_geq(said_until(3000, RELAY_BIND), 3);
    from_relay(3010, RELAY_BOUND, RELAY_READY);
    cr_assert(ATTEMPT.relay.bound);
    cr_assert_eq(memcmp(&own, &ATTEMPT.own_path, sizeof own), 0);
}

/* What it has sent last to the relay. */
static struct relay_control last_said(void)
{
    struct relay_control c = {0};

    for (size_t i = 0; i < executor_bed_out.n; i++) {
        const struct output *o = &executor_bed_out.v[i];
        if (o->kind == OUT_DATAGRAM && o->dgram.data[0] == PACKET_RELAY)
            relay_parse(o->dgram.data, o->dgram.len, &c);
    }
    return c;
}

static void again(int64_t ms, const struct path_id *path)
{
    uint8_t data[RELAY_CONTROL_MAX];
    struct relay_control c = {
        .op = RELAY_AGAIN, .cookie = {7, 8, 9},
             .path = *path
    };

    executor_bed_datagram(ms, &executor_bed_relay, data, relay_encode(&c, data));
}

Test(executor_relayed, a_relay_that_was_started_again_is_shown_the_ticket_at_once)
{
    start_relayed();
    struct path_id to = ATTEMPT.peer_path;
    again(300, &to);
    struct relay_control c = last_said();
    cr_assert_eq(c.op, RELAY_PROVE);
    cr_assert_arr_eq(c.nonce, to.b, sizeof c.nonce);
    cr_assert_arr_eq(c.cookie, ((uint8_t[RELAY_COOKIE]){7, 8, 9}), sizeof c.cookie);
    cr_assert_arr_eq(c.ticket, ATTEMPT.relay.ticket, sizeof c.ticket);
    for (int i = 0; i < 5; i++) {
        again(301 + i, &to);
        cr_assert_eq(executor_bed_out.n, 0, "once");
    }
    from_relay(320, RELAY_BOUND, RELAY_READY);
    cr_assert(ATTEMPT.relay.bound);
}

Test(executor_relayed, a_lost_answer_to_it_is_followed_by_a_bind)
{
    start_relayed();
    struct path_id to = ATTEMPT.peer_path;
    again(300, &to);
    cr_assert_eq(said_until(399, RELAY_BIND), 0);
    cr_assert_eq(said_until(401, RELAY_BIND), 1);
    again(410, &to); /* of a relay that is back only now */
    cr_assert_eq(last_said().op, RELAY_PROVE);
}

Test(executor_relayed, punches_through_the_relay_so_often_and_no_more)
{
    start_bound(1, TECHNIQUE_RELAYED, POLICY_AUTO, RELAY_READY);
    ATTEMPT.deadline_us = ATTEMPT.give_up_us = 60 * INT64_C(1000000);
    for (int64_t ms = 300; ms < 50000; ms += 300) { /* the relay answers, the peer does not */
        executor_bed_run_to(ms);
        from_relay(ms, RELAY_KEPT, RELAY_READY);
    }
    cr_assert_eq(ATTEMPT.state, ATTEMPT_EXECUTING);
    cr_assert_eq(ATTEMPT.way[WAY_RELAY].punches_sent, UINT8_MAX);
    cr_assert_eq(punched_until(51000), 0);
}

/* A ping's pong goes by the way that the ping came; on one that is not proven nothing goes but punches. */
Test(executor_relayed, sends_no_data_on_a_way_that_is_not_proven)
{
    static const uint8_t key[32];
    uint8_t data[DATA_BYTES_MAX];
    struct path_id to;

    start_bound(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO, RELAY_READY);
    to = ATTEMPT.own_path;
    size_t n = data_seal(DATA_PING, (const uint8_t *)"12345678", 8, 1, &to, key, data);
    executor_bed_datagram(260, &executor_bed_peer_addr, data, n);
    cr_assert_not(ATTEMPT.way[WAY_DIRECT].confirmed);
    cr_assert_eq(executor_bed_count(PACKET_DATA, NULL), 0);
    data_seal(DATA_PING, (const uint8_t *)"12345678", 8, 2, &to, key, data);
    executor_bed_datagram(270, &executor_bed_relay, data, n); /* there it proves the way */
    cr_assert_eq(executor_bed_count(PACKET_DATA, NULL), 1);
}

/* ---- to another relay ---- */

static const struct addr next_relay = {
    4, {203, 0, 113, 77},
     3480
};

static void order_move(int64_t ms, const struct addr *to)
{
    uint8_t seed[32] = {1}, authority[64], public_key[32];

    crypto_sign_seed_keypair(public_key, authority, seed);
    order.punch_coordinate.relay = *to;
    order.punch_coordinate.places = (struct place_list){1, {place_sign(to, authority)}};
    executor_bed_msg(ms, &order);
}

static void from_next(int64_t ms, uint8_t op, uint8_t status)
{
    uint8_t data[RELAY_CONTROL_MAX];
    struct relay_control c = {.op = op, .status = status};

    memcpy(c.nonce, ATTEMPT.swap.nonce, sizeof c.nonce);
    executor_bed_datagram(ms, &next_relay, data, relay_encode(&c, data));
}

/* Where a ping that came from there is answered to; len 0: not at all. */
static struct addr answered(int64_t ms, const struct addr *from)
{
    static const uint8_t key[32];
    static uint64_t counter;
    uint8_t data[DATA_BYTES_MAX];
    struct path_id to = ATTEMPT.own_path;
    struct addr at = {0};
    size_t n = data_seal(DATA_PING, (const uint8_t *)"12345678", 8, ++counter, &to, key, data);

    executor_bed_datagram(ms, from, data, n);
    executor_bed_count(PACKET_DATA, &at);
    return at;
}

static bool goes_to(struct addr at, const struct addr *to) { return addr_eq(&at, to); }

Test(executor_relayed, moves_to_another_relay_when_both_are_there_and_listens_to_both)
{
    start_relayed();
    order_move(300, &next_relay);
    cr_assert_eq(said(RELAY_BIND), 1);
    order_move(301, &next_relay); /* delivered twice */
    cr_assert_eq(said(RELAY_BIND), 0);
    cr_assert(goes_to(answered(302, &executor_bed_relay), &executor_bed_relay));
    from_next(310, RELAY_CHALLENGE, 0);
    cr_assert_eq(said(RELAY_PROVE), 1);
    from_next(320, RELAY_BOUND, RELAY_WAITING);
    cr_assert(goes_to(answered(321, &executor_bed_relay), &executor_bed_relay));
    cr_assert(goes_to(answered(322, &next_relay), &executor_bed_relay)); /* it has heard first */
    from_next(330, RELAY_BOUND, RELAY_READY);
    cr_assert_eq(X.n.relays_changed, 1);
    cr_assert(goes_to(answered(331, &executor_bed_relay), &next_relay));
    cr_assert(goes_to(answered(332, &next_relay), &next_relay));
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
    cr_assert_geq(said_until(2000, RELAY_KEEP), 1);
}

Test(executor_relayed, stays_where_it_is_and_says_so_when_the_other_relay_does_not_answer)
{
    start_relayed();
    order_move(300, &next_relay);
    cr_assert_geq(said_until(20000, RELAY_BIND), 10);
    cr_assert_eq(ATTEMPT.swap.to.len, 0);
    cr_assert_eq(X.n.relays_changed, 0);
    cr_assert(goes_to(answered(20001, &executor_bed_relay), &executor_bed_relay));
    from_next(20002, RELAY_BOUND, RELAY_READY); /* too late */
    cr_assert(goes_to(answered(20003, &executor_bed_relay), &executor_bed_relay));
}

Test(executor_relayed, a_relay_that_refuses_is_not_moved_to)
{
    start_relayed();
    order_move(300, &next_relay);
    from_next(310, RELAY_BOUND, RELAY_FULL);
    cr_assert_eq(ATTEMPT.swap.to.len, 0);
    cr_assert_eq(executor_bed_out.n, 1);
    cr_assert_str_eq(executor_bed_out.v[0].msg.relay_refused.kind, "overloaded");
}

Test(executor_relayed, nobody_else_can_move_it)
{
    start_relayed();
    order.punch_coordinate.peer.b[0] ^= 1;
    order_move(300, &next_relay);
    cr_assert_eq(said(RELAY_BIND), 0);
    order.punch_coordinate.peer.b[0] ^= 1;
    order_move(301, &next_relay);
    uint8_t data[RELAY_CONTROL_MAX];
    struct relay_control c = {.op = RELAY_BOUND, .status = RELAY_READY};
    memcpy(c.nonce, ATTEMPT.swap.nonce, sizeof c.nonce);
    executor_bed_datagram(302, &executor_bed_peer_addr, data, relay_encode(&c, data));
    c.nonce[0] ^= 1;
    executor_bed_datagram(303, &next_relay, data, relay_encode(&c, data));
    cr_assert_eq(X.n.relays_changed, 0);
}

/* What opened and sealed a session's packets is not left in memory. */
Test(executor_relayed, a_closed_session_leaves_no_secret)
{
    static const uint8_t none[4096];

    start_relayed();
    memset(ATTEMPT.noise_out, 7, sizeof ATTEMPT.noise_out);
    memset(ATTEMPT.punch_key, 7, sizeof ATTEMPT.punch_key);
    memset(&ATTEMPT.send, 7, sizeof ATTEMPT.send);
    memset(&ATTEMPT.receive, 7, sizeof ATTEMPT.receive);
    memset(&ATTEMPT.noise, 7, sizeof ATTEMPT.noise);
    memset(ATTEMPT.challenge_key, 7, sizeof ATTEMPT.challenge_key);
    memset(ATTEMPT.relay.ticket, 7, sizeof ATTEMPT.relay.ticket);
    memset(ATTEMPT.swap.ticket, 7, sizeof ATTEMPT.swap.ticket);
    struct msg m = {.type = MSG_punch_cancel};
    m.punch_cancel.session = ATTEMPT.session;
    executor_bed_msg(300, &m);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_CLOSED);
#define WIPED(what)                                                               \
    do {                                                                          \
        cr_assert_leq(sizeof ATTEMPT.what, sizeof none);                          \
        cr_assert_eq(memcmp(&ATTEMPT.what, none, sizeof ATTEMPT.what), 0, #what); \
    } while (0)
    WIPED(noise_out);
    WIPED(punch_key);
    WIPED(send);
    WIPED(receive);
    WIPED(noise);
    WIPED(challenge_key);
    WIPED(relay.ticket);
    WIPED(swap.ticket);
#undef WIPED
}
