/*
 * test_executor_raw.c - the executor's core in raw mode: spare sockets, and how two sides agree on the one way
 * that both hand over.
 *
 * The bench has no Noise handshake: its data keys are zeroes.
 */
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>
#include <sodium.h>

TestSuite(executor_raw, .init = executor_bed_open, .timeout = 10);

#define X executor_bed
#define ATTEMPT (X.attempts[0])

enum { DIRECT_SOCK = KEPT_FIRST, RELAY_SOCK = RAW_RELAY_FIRST };

static struct msg order;
static uint64_t counter;

/* Ready, and ordered at 240 ms. */
static void start(uint16_t side, enum technique technique, enum policy policy)
{
    executor_bed_ready();
    X.conf.modes = 1u << MODE_RAW;
    if (side == 0) {
        executor_bed_connect(200, "bob", policy, 15000);
        ATTEMPT.mode = MODE_RAW;
    }
    executor_bed_forget();
    order = executor_bed_order(side, technique, policy);
    order.punch_coordinate.mode = MODE_RAW;
    executor_bed_msg(240, &order);
    ATTEMPT.has_keys = true;
    counter = 0;
}

static void from_peer(int64_t ms, enum way way, enum data_kind kind)
{
    static const uint8_t key[32];
    uint8_t data[DATA_BYTES_MAX];
    struct path_id to = ATTEMPT.own_path;
    size_t n = data_seal(kind, NULL, 0, ++counter, &to, key, data);

    executor_bed_sock = way == WAY_DIRECT ? DIRECT_SOCK : RELAY_SOCK;
    executor_bed_datagram(ms, way == WAY_DIRECT ? &executor_bed_peer_addr : &executor_bed_relay,
                          data, n);
}

/* The way is proven by a pong, as seen from here. */
static void prove(int64_t ms, enum way way)
{
    uint8_t packet[PUNCH_BYTES];

    if (way == WAY_DIRECT)
        executor_bed_punch(&order, PACKET_PONG, (uint64_t)ms, EXECUTOR_BED_ECHO, 0, packet);
    else
        executor_bed_punch(&order, PACKET_PUNCH, (uint64_t)ms, 0, PUNCH_CONFIRMED, packet);
    executor_bed_sock = way == WAY_DIRECT ? DIRECT_SOCK : RELAY_SOCK;
    executor_bed_datagram(ms, way == WAY_DIRECT ? &executor_bed_peer_addr : &executor_bed_relay,
                          packet, sizeof packet);
}

static size_t sent(void) { return executor_bed_count(PACKET_DATA, NULL); }

/* ---- side 1 ------------------------------------------------------------------------------------------ */

Test(executor_raw, punches_and_binds_from_sockets_of_its_own)
{
    executor_bed_ready();
    X.conf.modes = 1u << MODE_RAW;
    order = executor_bed_order(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    order.punch_coordinate.mode = MODE_RAW;
    executor_bed_msg(240, &order);
    executor_bed_expect("[  240] free -> executing: ordered\n"
                        "[  240] socket open 400 400\n"
                        "[  240] socket open 272 272\n"
                        "[  240] 272 > 198.51.100.2:4000 punch\n"
                        "[  240] 400 > 203.0.113.10:3480 bind\n");
}

Test(executor_raw, side_one_takes_what_is_offered_and_hands_over_on_the_last_word)
{
    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    prove(260, WAY_DIRECT);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_EXECUTING, "it is for side 0 to choose");
    cr_assert_not(ATTEMPT.opened);
    executor_bed_forget();
    from_peer(270, WAY_DIRECT, DATA_OFFER);
    from_peer(280, WAY_DIRECT, DATA_OFFER); /* its answer was lost */
    executor_bed_expect("[  270] 272 > 198.51.100.2:4000 data\n"
                        "[  280] 272 > 198.51.100.2:4000 data\n");
    from_peer(290, WAY_DIRECT, DATA_GO);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT);
    cr_assert_eq(ATTEMPT.flow, WAY_DIRECT);
    executor_bed_forget();
    from_peer(300, WAY_DIRECT, DATA_GO); /* a copy */
    executor_bed_expect("");
}

Test(executor_raw, side_one_hands_over_when_the_last_word_was_lost)
{
    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    prove(260, WAY_DIRECT);
    from_peer(270, WAY_DIRECT, DATA_OFFER);
    executor_bed_run_to(769);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_EXECUTING);
    executor_bed_run_to(770);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT);
}

Test(executor_raw, side_one_takes_no_way_that_is_not_proven_to_itself)
{
    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    from_peer(250, WAY_DIRECT, DATA_OFFER);
    cr_assert_eq(sent(), 0);
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, NULL), 1, "it asks for a proof");
    prove(260, WAY_DIRECT);
    from_peer(350, WAY_DIRECT, DATA_OFFER);
    cr_assert_eq(sent(), 1);
}

Test(executor_raw, side_one_keeps_to_what_it_has_taken)
{
    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    prove(260, WAY_DIRECT);
    from_peer(270, WAY_RELAY, DATA_OFFER);
    cr_assert_eq(sent(), 1);
    from_peer(280, WAY_DIRECT, DATA_OFFER);
    from_peer(290, WAY_DIRECT, DATA_GO);
    cr_assert_eq(sent(), 0);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_EXECUTING);
    from_peer(300, WAY_RELAY, DATA_GO);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
    cr_assert_eq(ATTEMPT.flow, WAY_RELAY);
}

Test(executor_raw, side_one_is_offered_nothing_and_fails_in_time)
{
    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    prove(260, WAY_DIRECT);
    executor_bed_run_to(8239);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_EXECUTING);
    executor_bed_run_to(8240);
    cr_assert_eq(executor_path(&ATTEMPT), PATH_FAILED);
    cr_assert_not(ATTEMPT.opened);
}

/* ---- side 0 ------------------------------------------------------------------------------------------ */

Test(executor_raw, side_zero_offers_the_proven_way_until_it_is_taken)
{
    start(0, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    prove(260, WAY_DIRECT);
    cr_assert_eq(sent(), 1);
    executor_bed_run_to(470);
    cr_assert_eq(ATTEMPT.send.counter, 3, "every 100 ms");
    cr_assert_eq(ATTEMPT.state, ATTEMPT_EXECUTING);
    ATTEMPT.relay.next_us = NEVER;
    executor_bed_forget();
    from_peer(480, WAY_DIRECT, DATA_TAKE);
    cr_assert_eq(sent(), HAND_GOS);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_direct_synchronous);
    size_t socket = 0, opened = 0, last = 0;
    for (size_t i = 0; i < executor_bed_out.n; i++) {
        const struct output *o = &executor_bed_out.v[i];
        if (o->kind == OUT_SOCKET) {
            cr_assert(o->socket.op == SOCKET_CLOSE && o->socket.sock == RELAY_SOCK);
            socket++;
        } else if (o->kind == OUT_APP && o->app.event == APP_OPENED) {
            opened = i;
        } else if (o->kind == OUT_DATAGRAM) {
            last = i;
        }
    }
    cr_assert_eq(socket, 1, "the other way's socket is closed");
    cr_assert_gt(opened, last, "nothing leaves by what the application has");
}

Test(executor_raw, side_zero_offers_the_relay_when_nothing_direct_is_left)
{
    start(0, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    prove(260, WAY_RELAY);
    cr_assert_eq(sent(), 0);
    executor_bed_run_to(3230);
    cr_assert_eq(ATTEMPT.hand.phase, HAND_NONE);
    executor_bed_run_to(3240);
    cr_assert_eq(ATTEMPT.hand.phase, HAND_OFFERED);
    from_peer(3260, WAY_DIRECT, DATA_TAKE);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_EXECUTING);
    from_peer(3270, WAY_RELAY, DATA_TAKE);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_punch_unanswered);
}

Test(executor_raw, side_zero_gives_up_in_time_and_has_the_other_side_told)
{
    bool told = false;

    start(0, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    prove(260, WAY_DIRECT);
    while (ATTEMPT.state == ATTEMPT_EXECUTING) {
        executor_bed_tick();
        for (size_t i = 0; i < executor_bed_out.n; i++)
            told = told || (executor_bed_out.v[i].kind == OUT_MSG &&
                            executor_bed_out.v[i].msg.type == MSG_punch_cancel);
    }
    cr_assert_eq(executor_path(&ATTEMPT), PATH_FAILED);
    cr_assert_leq(X.now_us, 8240000);
    cr_assert(told);
}

Test(executor_raw, side_zero_leaves_time_to_agree_on_the_relay)
{
    start(0, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    prove(260, WAY_RELAY);
    ATTEMPT.direct_over = false;
    ATTEMPT.give_up_us = NEVER;
    executor_bed_run_to(7239);
    cr_assert_eq(ATTEMPT.hand.phase, HAND_NONE);
    executor_bed_run_to(7240); /* a second before its time is over */
    cr_assert_eq(ATTEMPT.hand.phase, HAND_OFFERED);
    from_peer(7300, WAY_RELAY, DATA_TAKE);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_timed_out);
}

/* ---- afterwards -------------------------------------------------------------------------------------- */

Test(executor_raw, leaves_a_path_that_it_has_handed_over_alone)
{
    start(0, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    prove(260, WAY_DIRECT);
    from_peer(270, WAY_DIRECT, DATA_TAKE);
    executor_bed_forget();
    X.next_probe_us = X.next_attach_us = NEVER;
    executor_bed_run_to(600000);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT);
    executor_bed_app(600001, APP_SEND, 0, "x", 1);
    cr_assert_eq(executor_bed_out.n, 0);
    executor_bed_app(600002, APP_CLOSE, 0, NULL, 0);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_CLOSED);
    cr_assert_eq(sent(), 0);
    for (size_t i = 0; i < executor_bed_out.n; i++)
        cr_assert(executor_bed_out.v[i].kind != OUT_DATAGRAM);
}

/* ---- to another relay ------------------------------------------------------------------------------------ */

static const struct addr next_relay = {
    4, {203, 0, 113, 77},
     3480
};

static void order_move(int64_t ms)
{
    uint8_t seed[32] = {1}, authority[64], public_key[32];

    crypto_sign_seed_keypair(public_key, authority, seed);
    order.punch_coordinate.relay = next_relay;
    order.punch_coordinate.places = (struct place_list){1, {place_sign(&next_relay, authority)}};
    executor_bed_msg(ms, &order);
}

static void from_next(int64_t ms, uint8_t op, uint8_t status)
{
    uint8_t data[RELAY_CONTROL_MAX];
    struct relay_control c = {.op = op, .status = status};

    executor_bed_sock = RELAY_SOCK;
    memcpy(c.nonce, ATTEMPT.swap.nonce, sizeof c.nonce);
    executor_bed_datagram(ms, &next_relay, data, relay_encode(&c, data));
}

/* What the last step did to sockets, and told the application, in their order: o, c and m. */
static const char *changes(void)
{
    static char text[16];
    size_t n = 0;

    for (size_t i = 0; i < executor_bed_out.n && n < sizeof text - 1; i++) {
        const struct output *o = &executor_bed_out.v[i];
        if (o->kind == OUT_SOCKET && o->socket.sock == RELAY_SOCK)
            text[n++] = o->socket.op == SOCKET_BESIDE  ? 'o'
                        : o->socket.op == SOCKET_CLOSE ? 'c'
                                                       : '?';
        else if (o->kind == OUT_APP && o->app.event == APP_MOVED)
            text[n++] = 'm';
    }
    text[n] = '\0';
    return text;
}

static void hand_over_the_relay(void)
{
    start(0, TECHNIQUE_SYNCHRONOUS, POLICY_RELAY);
    prove(260, WAY_RELAY);
    executor_bed_run_to(300);
    from_peer(310, WAY_RELAY, DATA_TAKE);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
    X.next_probe_us = X.next_attach_us = NEVER;
    executor_bed_forget();
}

Test(executor_raw, is_led_to_another_relay_when_a_socket_beside_it_is_bound_there)
{
    hand_over_the_relay();
    order_move(400);
    cr_assert_str_eq(changes(), "o");
    order_move(401);
    cr_assert_str_eq(changes(), "", "once");
    executor_bed_run_to(402);
    from_next(410, RELAY_CHALLENGE, 0);
    from_next(420, RELAY_BOUND, RELAY_WAITING);
    cr_assert_str_eq(changes(), "");
    from_next(430, RELAY_BOUND, RELAY_READY);
    cr_assert_str_eq(changes(), "mc");
    cr_assert(addr_eq(&ATTEMPT.relay.addr, &next_relay));
    executor_bed_forget();
    executor_bed_run_to(60000); /* the path is the application's */
    cr_assert_eq(ATTEMPT.relay.next_us, NEVER);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED);
}

Test(executor_raw, one_that_can_not_be_led_there_stays_and_closes_what_it_opened)
{
    hand_over_the_relay();
    order_move(400);
    from_next(410, RELAY_BOUND, RELAY_FULL);
    cr_assert_str_eq(changes(), "c");
    cr_assert(addr_eq(&ATTEMPT.relay.addr, &executor_bed_relay));
    order_move(500);
    cr_assert_str_eq(changes(), "o");
    executor_bed_app(501, APP_CLOSE, 0, NULL, 0); /* and one that ends meanwhile */
    cr_assert_str_eq(changes(), "c");
}

Test(executor_raw, one_that_is_direct_is_not_led_anywhere)
{
    start(0, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    prove(260, WAY_DIRECT);
    from_peer(270, WAY_DIRECT, DATA_TAKE);
    order_move(400);
    cr_assert_str_eq(changes(), "");
}

Test(executor_raw, a_session_that_fails_leaves_no_socket)
{
    size_t closed = 0;

    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_app(300, APP_CANCEL, 0, NULL, 0);
    for (size_t i = 0; i < executor_bed_out.n; i++) {
        const struct output *o = &executor_bed_out.v[i];
        closed |= o->kind != OUT_SOCKET           ? 0u
                  : o->socket.sock == DIRECT_SOCK ? 1u
                  : o->socket.sock == RELAY_SOCK  ? 2u
                                                  : 0u;
    }
    cr_assert_eq(closed, 3);
}

/* ---- spares ------------------------------------------------------------------------------------------ */

Test(executor_raw, keeps_two_spares_only_where_raw_sessions_are_taken)
{
    executor_bed_ready();
    X.next_probe_us = X.now_us;
    executor_bed_tick();
    cr_assert_eq(X.spares[0].number, 0);
    X.conf.modes = 1u << MODE_RAW;
    X.probing = false;
    X.next_probe_us = X.now_us;
    executor_bed_forget();
    executor_bed_tick();
    cr_assert_eq(X.spares[0].number, 1);
    cr_assert_eq(X.spares[1].number, 2);
    executor_bed_expect("[  100] socket close 4 4\n"
                        "[  100] socket open 4 4\n"
                        "[  100] socket close 5 5\n"
                        "[  100] socket open 5 5\n"
                        "[  100] 0 > 203.0.113.10:3478 probe\n"
                        "[  100] 4 > 203.0.113.10:3478 probe\n"
                        "[  100] 5 > 203.0.113.10:3478 probe\n");
}

Test(executor_raw, spends_the_spare_that_an_order_names_and_makes_another)
{
    executor_bed_ready();
    X.conf.modes = 1u << MODE_RAW;
    X.spares[1] = (struct spare){.number = 9};
    order = executor_bed_order(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    order.punch_coordinate.mode = MODE_RAW;
    order.punch_coordinate.spare = 9;
    executor_bed_msg(240, &order);
    executor_bed_expect("[  240] free -> executing: ordered\n"
                        "[  240] socket move 5 272\n"
                        "[  240] socket open 400 400\n"
                        "[  240] 272 > 198.51.100.2:4000 punch\n"
                        "[  240] 400 > 203.0.113.10:3480 bind\n");
    cr_assert_eq(X.spares[1].number, 0);
    cr_assert_eq(X.next_probe_us, 240000, "a round at once");
    executor_bed_tick();
    cr_assert_neq(X.spares[1].number, 0);
}
