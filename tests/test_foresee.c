/*
 * test_foresee.c - the executor behind a NAT that gives out ports one after the other: it looks, says where
 * its NAT stands, and begins at the instant that it is told.
 */
#include "services/executor/internal.h"
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>

TestSuite(foresee, .init = executor_bed_open, .timeout = 10);

#define X executor_bed
#define OUT executor_bed_out
#define ATTEMPT (X.attempts[0])

static const struct profile per_port = {.mapping = NAT_APD,
                                        .filtering = NAT_APD,
                                        .allocation = ALLOC_CONTIGUOUS,
                                        .delta = 2},
                            per_address = {.mapping = NAT_AD,
                                           .filtering = NAT_APD,
                                           .allocation = ALLOC_CONTIGUOUS,
                                           .delta = 2},
                            keeps = {.mapping = NAT_APD,
                                     .filtering = NAT_APD,
                                     .allocation = ALLOC_PRESERVE},
                            fixed = {.mapping = NAT_EI, .filtering = NAT_APD};

/* Ordered at 240 ms, between these two; the peer's ip has two tokens. */
static struct msg start(const struct profile *own, const struct profile *theirs, uint8_t role)
{
    struct addr other = executor_bed_peer_addr;

    executor_bed_ready();
    executor_bed_connect(200, "bob", POLICY_AUTO, 15000);
    struct msg m = executor_bed_order(0, TECHNIQUE_PREDICTION, POLICY_AUTO);
    struct msg_punch_coordinate *c = &m.punch_coordinate;
    other.port++;
    c->theirs.v[c->theirs.n++] =
        executor_bed_token(&executor_bed_peer, &other, INT64_C(1700000000) + 80);
    c->own_profile = *own;
    c->their_profile = *theirs;
    c->plan.v[0].role = role;
    executor_bed_msg(240, &m);
    return m;
}

/* Of the last step: sockets opened, questions to the prober, punches to the peer. */
struct did {
    size_t opened, asked, punched;
};

static struct did did(void)
{
    struct did d = {0};

    for (size_t i = 0; i < OUT.n; i++) {
        const struct output *o = &OUT.v[i];
        d.opened += o->kind == OUT_SOCKET && o->socket.op == SOCKET_OPEN;
        if (o->kind != OUT_DATAGRAM)
            continue;
        d.asked += stun_is(o->dgram.data, o->dgram.len);
        d.punched += o->dgram.data[0] == PACKET_PUNCH;
    }
    return d;
}

/* The prober saw the i-th socket that asked at this port. */
static void answer(int64_t ms, size_t i, uint16_t port)
{
    struct input in = {.kind = IN_DATAGRAM, .now_us = ms * 1000};
    struct stun m = stun_request(X.look.v[i].txid);
    uint8_t data[STUN_MAX];

    m.type = STUN_BINDING_RESPONSE;
    m.mapped = addr_v4(198, 51, 100, 1, port);
    in.dgram.data = data;
    in.dgram.len = stun_encode(&m, data);
    in.dgram.src = executor_bed_prober;
    in.dgram.sock = X.look.v[i].sock;
    executor_step(&X, &in, &OUT);
}

static const struct msg_punch_sample *said(void)
{
    for (size_t i = 0; i < OUT.n; i++)
        if (OUT.v[i].kind == OUT_MSG && OUT.v[i].msg.type == MSG_punch_sample)
            return &OUT.v[i].msg.punch_sample;
    return NULL;
}

static struct msg execute(const struct msg *order, uint16_t round, uint16_t port, bool exact)
{
    struct msg m = {.type = MSG_punch_execute};

    m.punch_execute = (struct msg_punch_execute){.session = order->punch_coordinate.session,
                                                 .round = round,
                                                 .fire_in_us = 10000,
                                                 .exact = exact,
                                                 .seen = executor_bed_peer_addr,
                                                 .others = 50,
                                                 .over_us = 10000000,
                                                 .age_us = 100000};
    m.punch_execute.seen.port = port;
    return m;
}

/* A first look that counts nothing yet, and the second; at 400 ms it has said where it stands. */
static struct msg looked(void)
{
    struct msg order = start(&per_port, &per_port, 2);

    X.sight.port = 0;
    for (size_t i = 0; i < 3; i++)
        answer(260, i, (uint16_t)(40000 + 2 * i));
    executor_bed_run_to(360);
    for (size_t i = 0; i < 3; i++)
        answer(400, i, (uint16_t)(40020 + 2 * i));
    return order;
}

Test(foresee, says_the_newest_port_and_what_others_took)
{
    start(&per_port, &per_port, 2);
    struct did d = did();
    cr_assert(d.opened == 3 && d.asked == 3 && d.punched == 0);
    X.sight.port = 0;
    answer(260, 0, 40000);
    answer(260, 2, 40004);
    answer(270, 1, 40002);
    cr_assert_null(said(), "nothing to count from");
    executor_bed_run_to(369);
    cr_assert_eq(X.n.looks, 1);
    executor_bed_run_to(370);
    d = did();
    cr_assert(d.opened == 3 && d.asked == 3, "fresh sockets");
    answer(380, 0, 40018);
    answer(380, 1, 40020);
    answer(390, 2, 40022);
    const struct msg_punch_sample *m = said();
    cr_assert_not_null(m);
    cr_assert(!m->exact && m->round == 1 && m->seen.port == 40022);
    cr_assert_eq(m->others, 9 - 3, "nine steps, of which three are own");
    cr_assert(m->over_us == 130000 && m->age_us == 20000);
}

Test(foresee, a_lost_answer_is_asked_for_again_by_the_same_socket)
{
    start(&per_port, &per_port, 2);
    answer(260, 0, 40000);
    answer(260, 1, 40002);
    executor_bed_run_to(340);
    struct did d = did();
    cr_assert(d.opened == 0 && d.asked == 1);
    executor_bed_run_to(2000);
    cr_assert_eq(X.look.n, 0, "not for ever");
    cr_assert_null(said());
}

Test(foresee, a_pin_has_the_port_between_two_neighbours_two_steps_apart)
{
    start(&per_address, &per_port, 2);
    struct did d = did();
    cr_assert(d.opened == 5 && d.asked == 3 && d.punched == 2);
    answer(260, 0, 40000);
    answer(260, 1, 40006);
    answer(260, 2, 40012);
    cr_assert_null(said(), "others came between");
    executor_bed_run_to(261);
    cr_assert_eq(X.n.looks, 2);
    answer(280, 2, 40040);
    answer(280, 1, 40036);
    const struct msg_punch_sample *m = said();
    cr_assert_not_null(m);
    cr_assert(m->exact && m->seen.port == 40038);
    cr_assert_eq(ATTEMPT.foreseen.pin, X.look.v[2].sock - 1);
}

static void bound(int64_t ms, uint16_t sock, uint16_t port)
{
    struct input in = {
        .kind = IN_SOCKET, .now_us = ms * 1000, .socket = {sock, port}
    };

    executor_step(&X, &in, &OUT);
}

Test(foresee, a_fresh_socket_has_its_own_port_where_a_port_serves_one_destination)
{
    struct msg order = start(&keeps, &per_port, 2), m = execute(&order, 1, 30000, true);
    struct did d = did();
    struct addr to;
    uint16_t pin = X.look.v[0].sock;

    cr_assert(d.opened == 1 && d.asked == 0 && d.punched == 0, "where to is not known yet");
    bound(240, (uint16_t)(pin + 1), 5555);
    cr_assert_null(said());
    bound(241, pin, 5000);
    cr_assert_not_null(said());
    cr_assert(said()->exact && said()->seen.port == 5000);
    cr_assert(addr_ip_eq(&said()->seen, &X.reflexive));
    bound(242, pin, 5001);
    cr_assert_null(said(), "once");
    executor_bed_msg(420, &m);
    executor_bed_run_to(430);
    executor_bed_tick();
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, &to), 1);
    cr_assert_eq(to.port, 30000);
    cr_assert_eq(ATTEMPT.way[WAY_DIRECT].sock, pin);
}

Test(foresee, a_fresh_socket_opens_its_port_at_once_where_the_other_is_known)
{
    start(&keeps, &fixed, 0);
    cr_assert(did().opened == 1 && did().punched == 1);
    bound(241, X.look.v[0].sock, 0);
    cr_assert_null(said(), "the system gave no socket");
    executor_bed_run_to(3000);
    cr_assert_eq(X.n.looks, 1);
}

Test(foresee, opens_a_row_of_sockets_for_the_port_that_is_foreseen)
{
    struct msg order = looked(), m = execute(&order, 1, 30000, false);
    struct forecast f = {30000, 2, 50, 10000000};
    size_t punched = 0;

    cr_assert_not_null(said());
    executor_bed_msg(420, &m);
    executor_bed_run_to(429);
    cr_assert_eq(X.n.guesses, 0, "not before the instant");
    while (X.now_us < 445000) {
        struct addr to;
        executor_bed_tick();
        size_t n = executor_bed_count(PACKET_PUNCH, &to);
        if (did().opened == 0)
            continue;
        punched += n;
        cr_assert_leq(n, 16);
        cr_assert(addr_ip_eq(&to, &executor_bed_peer_addr));
        cr_assert_eq(to.port, forecast_port(&f, 100000));
    }
    cr_assert_eq(punched, X.n.guesses);
    cr_assert_geq(punched, 8);
    cr_assert_eq(punched, forecast_sockets(&ATTEMPT.foreseen.own, 430000 - 360000));
}

Test(foresee, keeps_to_its_port_when_the_other_foresees_it)
{
    struct msg order = start(&fixed, &per_port, 1), m = execute(&order, 1, 30000, true);
    struct addr to;

    cr_assert_eq(did().opened, 0, "who keeps its port does not look");
    executor_bed_msg(420, &m);
    executor_bed_run_to(430);
    executor_bed_tick();
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, &to), 1);
    cr_assert(to.port == 30000 && addr_ip_eq(&to, &executor_bed_peer_addr));
    executor_bed_msg(900, &m);
    cr_assert_eq(X.n.orders_refused, 1, "the same round again");
}

Test(foresee, sends_nowhere_but_to_high_ports_of_the_ip_that_is_vouched_for)
{
    struct msg order = start(&fixed, &per_port, 1);

    for (int bad = 0; bad < 4; bad++) {
        struct msg m = execute(&order, (uint16_t)(bad + 1), 30000, true);
        if (bad == 0)
            m.punch_execute.seen = addr_v4(198, 51, 100, 77, 30000);
        if (bad == 1)
            m.punch_execute.seen.port = 1023;
        if (bad == 2)
            m.punch_execute.fire_in_us = 6000000;
        executor_bed_msg(420 + 20 * bad, &m);
        executor_bed_run_to(435 + 20 * bad);
    }
    executor_bed_run_to(600);
    cr_assert_eq(X.n.guesses, 0);
    cr_assert_eq(X.n.orders_refused, 2, "one too late, and of three rounds a fourth");
}

Test(foresee, rounds_end_and_each_begins_with_a_look)
{
    struct msg order = looked();

    for (uint16_t round = 1; round <= 3; round++) {
        struct msg m = execute(&order, round, 30000, false);
        int64_t ms = X.now_us / 1000;
        executor_bed_msg(ms, &m);
        for (; ATTEMPT.foreseen.phase != FORESEEN_LOOKING && ms < 3000; ms++)
            executor_bed_run_to(ms);
        if (round == 3)
            break;
        for (size_t i = 0; i < 3; i++)
            answer(ms + 10, i, (uint16_t)(40100 + 100u * round + 2 * i));
        cr_assert_not_null(said());
        cr_assert_eq(said()->round, round + 1);
    }
    cr_assert_eq(ATTEMPT.foreseen.round, 3);
    cr_assert_neq(ATTEMPT.foreseen.phase, FORESEEN_LOOKING);
}

Test(foresee, many_at_once_have_as_much_silence_before_them_as_after)
{
    struct addr ip = executor_bed_peer_addr;
    int64_t again = 0;

    executor_bed_ready();
    cr_assert(executor_may_guess_at_once(&X, &ip, 100));
    cr_assert_not(executor_may_guess_at_once(&X, &ip, 1));
    cr_assert_eq(executor_may_guess(&X, &ip, &again), MAY_LATER);
    cr_assert_eq(again, X.now_us + 100 * GUESS_EVERY_US);
    X.now_us = again;
    cr_assert_not(executor_may_guess_at_once(&X, &ip, 100), "not before it has been silent");
    for (unsigned i = 1; i < GUESSES_MAX / 100; i++) {
        X.now_us += 200 * GUESS_EVERY_US;
        cr_assert(executor_may_guess_at_once(&X, &ip, 100));
    }
    X.now_us += 200 * GUESS_EVERY_US;
    cr_assert_not(executor_may_guess_at_once(&X, &ip, 1), "3,000 in ten minutes");
}

Test(foresee, no_second_has_more_than_five_hundred_at_one_ip_in_whatever_portions)
{
    enum { PORTIONS = 12, MS = 1000, SECOND = 1000 * MS };
    static const uint32_t portion[PORTIONS] = {240, 1, 240, 40, 40, 200, 3, 240, 17, 100, 240, 9};
    int64_t at_us[PORTIONS];
    struct addr ip = executor_bed_peer_addr;

    executor_bed_ready();
    for (unsigned i = 0; i < PORTIONS; i++) {
        while (!executor_may_guess_at_once(&X, &ip, portion[i]))
            X.now_us += MS;
        at_us[i] = X.now_us;
        uint32_t in_a_second = 0;
        for (unsigned j = 0; j <= i; j++)
            in_a_second += at_us[j] > X.now_us - SECOND ? portion[j] : 0;
        cr_assert_leq(in_a_second, 500, "after %u portions", i + 1);
    }
}
