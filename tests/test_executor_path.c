/*
 * test_executor_path.c - the executor's core once there is a path: which way data goes, what keeps it alive,
 * how it ends, and what is told of it.
 *
 * The bench has no Noise handshake: its data keys are zeroes.
 */
#include "services/executor/internal.h"
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>

TestSuite(executor_path, .init = executor_bed_open, .timeout = 10);

#define X executor_bed
#define ATTEMPT (X.attempts[0])

static struct msg order;
static uint8_t packet[PUNCH_BYTES];

static void start(uint16_t side, enum technique technique, enum policy policy)
{
    order = executor_bed_start(side, technique, policy);
    ATTEMPT.has_keys = true;
}

/* An order carried out as far as a direct path at 260 ms. */
static void start_direct(void)
{
    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PONG, 1, 1, 0, packet);
    executor_bed_datagram(260, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT);
}

static const struct msg_punch_result *last_result(void)
{
    for (size_t i = executor_bed_out.n; i-- > 0;)
        if (executor_bed_out.v[i].kind == OUT_MSG &&
            executor_bed_out.v[i].msg.type == MSG_punch_result)
            return &executor_bed_out.v[i].msg.punch_result;
    return NULL;
}

Test(executor_path, does_not_keep_asking_whether_the_peer_has_come_to_the_relay_once_direct)
{
    size_t keeps = 0;

    start_direct();
    struct relay_control c = {.op = RELAY_BOUND, .status = RELAY_WAITING};
    uint8_t data[RELAY_CONTROL_MAX];
    memcpy(c.nonce, ATTEMPT.relay.nonce, sizeof c.nonce);
    executor_bed_datagram(300, &executor_bed_relay, data, relay_encode(&c, data));
    while (executor_deadline(&X) < 550000) { /* then the ping that nobody answers is missed */
        executor_bed_tick();
        keeps += executor_bed_count(PACKET_RELAY, NULL);
    }
    cr_assert_eq(keeps, 0);
}

Test(executor_path, stops_punching_when_the_path_is_proven)
{
    start_direct();
    cr_assert_eq(ATTEMPT.way[WAY_DIRECT].next_punch_us, NEVER);
}

/* The peer may have lost all that proves it to it. */
Test(executor_path, answers_as_long_as_it_is_asked_once_both_directions_are_proven)
{
    size_t pongs = 0;

    start_direct();
    for (uint64_t i = 2; i < 100; i++) {
        executor_bed_punch(&order, PACKET_PUNCH, i, 0, 0, packet);
        executor_bed_datagram(260, &executor_bed_peer_addr, packet, sizeof packet);
        pongs += executor_bed_count(PACKET_PONG, NULL);
    }
    cr_assert_eq(pongs, 98);
}

/* Both ways proven at 260 and 270 ms; the flow goes directly. */
static void start_both(enum policy policy)
{
    start(1, TECHNIQUE_SYNCHRONOUS, policy);
    ATTEMPT.relay.addr = executor_bed_relay;
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(250, &executor_bed_relay, packet, sizeof packet);
}

Test(executor_path, who_is_met_where_many_sockets_were_heard_gets_its_proof_before_the_data)
{
    struct addr met = executor_bed_peer_addr, to;
    uint64_t counter = 1;

    start(0, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    do { /* ports of a NAT that gives each socket one, until no more are answered */
        met.port++;
        executor_bed_punch(&order, PACKET_PUNCH, counter++, 0, 0, packet);
        executor_bed_datagram(250, &met, packet, sizeof packet);
        cr_assert_lt(counter, 2 * CANDIDATES_MAX);
    } while (executor_bed_count(PACKET_PONG, NULL) > 0);
    executor_bed_punch(&order, PACKET_PONG, counter, executor_challenge(&ATTEMPT, &met), 0, packet);
    executor_bed_datagram(251, &met, packet, sizeof packet);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT);
    cr_assert_eq(executor_bed_count(PACKET_PONG, &to), 1, "to the punch before");
    cr_assert(addr_eq(&to, &met));
}

Test(executor_path, data_goes_directly_as_soon_as_that_is_proven_and_over_the_relay_before)
{
    struct addr to;

    start_both(POLICY_AUTO);
    executor_bed_app(251, APP_SEND, 0, "x", 1);
    cr_assert_eq(executor_bed_count(PACKET_DATA, &to), 1);
    cr_assert(addr_eq(&to, &executor_bed_relay));
    executor_bed_punch(&order, PACKET_PONG, 2, EXECUTOR_BED_ECHO, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(260, &executor_bed_peer_addr, packet, sizeof packet);
    executor_bed_app(261, APP_SEND, 0, "x", 1);
    cr_assert_eq(executor_bed_count(PACKET_DATA, &to), 1);
    cr_assert(addr_eq(&to, &executor_bed_peer_addr));
}

/* A datagram of the peer's, sealed with the bench's keys, which are zeroes. */
static void from_peer(int64_t ms, const struct addr *from, enum data_kind kind, uint64_t counter)
{
    static const uint8_t key[32];
    uint8_t data[DATA_BYTES_MAX];
    struct path_id to = ATTEMPT.own_path;
    size_t n = data_seal(kind, (const uint8_t *)"12345678", 8, counter, &to, key, data);

    executor_bed_datagram(ms, from, data, n);
}

Test(executor_path, data_over_the_relay_proves_that_way)
{
    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    from_peer(250, &executor_bed_relay, DATA_PING, 1);
    cr_assert(ATTEMPT.way[WAY_RELAY].confirmed);
    cr_assert_not(ATTEMPT.way[WAY_DIRECT].confirmed);
    cr_assert_eq(ATTEMPT.flow, WAY_RELAY);
}

Test(executor_path, data_from_an_unproven_address_is_taken_and_proof_asked_for_there)
{
    struct addr to, from = executor_bed_peer_addr;

    start_both(POLICY_AUTO);
    from.port = 4711;
    from_peer(350, &from, DATA_APP, 1);
    cr_assert_eq(ATTEMPT.data_received, 1);
    cr_assert_not(ATTEMPT.way[WAY_DIRECT].confirmed);
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, &to), 1);
    cr_assert(addr_eq(&to, &from));
    from_peer(351, &from, DATA_APP, 2);
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, NULL), 0, "not as often as data comes");
    executor_bed_punch(&order, PACKET_PONG, 3, EXECUTOR_BED_ECHO, 0, packet);
    executor_bed_datagram(360, &from, packet, sizeof packet);
    cr_assert(ATTEMPT.way[WAY_DIRECT].confirmed);
}

Test(executor_path, takes_each_datagram_once)
{
    start_direct();
    from_peer(300, &executor_bed_peer_addr, DATA_APP, 1);
    cr_assert_eq(ATTEMPT.data_received, 1);
    from_peer(310, &executor_bed_relay, DATA_APP, 1); /* the same, by the other way */
    cr_assert_eq(ATTEMPT.data_received, 1);
    cr_assert_eq(X.n.replays, 1);
}

Test(executor_path, under_the_relay_policy_takes_no_data_from_elsewhere)
{
    start(1, TECHNIQUE_RELAYED, POLICY_RELAY);
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(250, &executor_bed_relay, packet, sizeof packet);
    cr_assert(ATTEMPT.opened);
    executor_bed_forget();
    from_peer(260, &executor_bed_peer_addr, DATA_APP, 1);
    executor_bed_expect("");
    from_peer(270, &executor_bed_relay, DATA_APP, 2);
    executor_bed_expect("[  270] app: data\n");
}

Test(executor_path, falls_back_to_the_relay_when_the_direct_path_goes_silent_and_says_so)
{
    uint64_t counter = 1;
    bool told = false;

    start_both(POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PONG, 2, EXECUTOR_BED_ECHO, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(260, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT);
    while (X.now_us < 2 * KEEP_US && ATTEMPT.state == ATTEMPT_DIRECT) {
        executor_bed_tick();
        for (size_t i = 0; i < executor_bed_out.n; i++)
            told = told || (executor_bed_out.v[i].kind == OUT_APP &&
                            executor_bed_out.v[i].app.event == APP_PATH);
        from_peer(X.now_us / 1000 + 1, &executor_bed_relay, DATA_PONG, counter++);
    }
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_direct_lost);
    cr_assert_eq(ATTEMPT.flow, WAY_RELAY);
    cr_assert(told);
}

/* How many packets leave for the peer's own address until then. */
static size_t punches_until(int64_t ms)
{
    uint64_t before = ATTEMPT.way[WAY_DIRECT].punches_sent;

    executor_bed_run_to(ms);
    return ATTEMPT.way[WAY_DIRECT].punches_sent - before;
}

Test(executor_path, a_new_order_for_a_relayed_session_is_carried_out_once_and_not_too_often)
{
    struct msg_punch_coordinate *m = &order.punch_coordinate;

    start_both(POLICY_AUTO);
    executor_bed_run_to(4000);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
    cr_assert_eq(punches_until(4500), 0);
    executor_bed_msg(4500, &order);
    cr_assert_eq(punches_until(5000), 0, "the first one again");
    m->attempt = 1;
    m->peer.b[0] ^= 1;
    executor_bed_msg(5000, &order);
    cr_assert_eq(punches_until(5500), 0, "another peer's");
    m->peer.b[0] ^= 1;
    uint64_t before = ATTEMPT.way[WAY_DIRECT].punches_sent;
    executor_bed_msg(5500, &order);
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, NULL), 1, "at once");
    executor_bed_run_to(9000);
    before = ATTEMPT.way[WAY_DIRECT].punches_sent - before;
    cr_assert_eq(before, 27, "as at first: %lu", before);
    cr_assert_eq(ATTEMPT.attempts, 2);
    executor_bed_msg(9000, &order);
    cr_assert_eq(punches_until(9500), 0, "delivered twice");
    m->attempt = 2;
    executor_bed_msg(9500, &order);
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, NULL), 1);
    m->attempt = 3;
    executor_bed_msg(9510, &order);
    cr_assert_eq(ATTEMPT.renewals, 2, "too soon");
    executor_bed_punch(&order, PACKET_PONG, 2, EXECUTOR_BED_ECHO, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(9520, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT);
    cr_assert_eq(ATTEMPT.flow, WAY_DIRECT);
}

Test(executor_path, a_new_order_for_a_path_that_has_no_relay_to_fall_back_to_changes_nothing)
{
    start_direct();
    order.punch_coordinate.attempt = 1;
    executor_bed_msg(4000, &order);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT);
    cr_assert(ATTEMPT.way[WAY_DIRECT].confirmed);
}

Test(executor_path, a_peer_that_nothing_is_heard_of_is_gone_after_thirty_seconds)
{
    start_direct();
    executor_bed_run_to(260 + CONSENT_US / 1000 - 600);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT);
    executor_bed_run_to(260 + CONSENT_US / 1000 + 600);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_CLOSED);
}

Test(executor_path, ends_when_the_peer_says_so)
{
    start_direct();
    from_peer(300, &executor_bed_peer_addr, DATA_CLOSE, 1);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_CLOSED);
}

Test(executor_path, under_the_direct_policy_no_data_goes_over_the_relay)
{
    start_both(POLICY_DIRECT);
    cr_assert_not(ATTEMPT.opened);
    executor_bed_app(251, APP_SEND, 0, "x", 1);
    cr_assert_eq(executor_bed_count(PACKET_DATA, NULL), 0);
    cr_assert_eq(ATTEMPT.data_dropped, 1);
    executor_bed_run_to(3300);
    cr_assert_eq(executor_path(&ATTEMPT), PATH_FAILED);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_direct_only);
}

Test(executor_path, a_relayed_path_says_whether_the_peer_was_heard_directly)
{
    start_both(POLICY_AUTO);
    executor_bed_run_to(3300);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_punch_unanswered);
    executor_bed_open();
    start_both(POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PUNCH, 2, 0, 0, packet);
    executor_bed_datagram(260, &executor_bed_peer_addr, packet, sizeof packet);
    executor_bed_run_to(3300);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_one_way);
}

Test(executor_path, time_that_is_over_while_the_relay_works_is_relayed)
{
    start_both(POLICY_AUTO);
    ATTEMPT.deadline_us = 1000000; /* before the direct techniques have had their time */
    executor_bed_run_to(1000);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_timed_out);
}

Test(executor_path, under_the_relay_policy_reports_no_address_of_its_own)
{
    start(1, TECHNIQUE_RELAYED, POLICY_RELAY);
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(250, &executor_bed_relay, packet, sizeof packet);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
    cr_assert_eq(last_result()->path, PATH_RELAYED);
    cr_assert_eq(last_result()->local.len, 0);
}

Test(executor_path, repeats_its_result_with_the_time_that_it_took)
{
    start_direct();
    cr_assert_eq(last_result()->after_us, 20000);
    for (uint64_t i = 0; i < 3; i++) { /* the peer lives */
        int64_t ms = 20000 * (int64_t)(i + 1);
        executor_bed_run_to(ms);
        executor_bed_punch(&order, PACKET_PUNCH, 2 + i, 0, 0, packet);
        executor_bed_datagram(ms, &executor_bed_peer_addr, packet, sizeof packet);
    }
    do
        executor_bed_tick();
    while (!last_result());
    cr_assert_geq(X.now_us, RESULT_EVERY_US);
    cr_assert_eq(last_result()->after_us, 20000);
}

Test(executor_path, a_closed_path_is_remembered_as_what_it_was)
{
    start_direct();
    executor_bed_app(300, APP_CLOSE, 0, NULL, 0);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_CLOSED);
    cr_assert_eq(executor_path(&ATTEMPT), PATH_DIRECT);
}
