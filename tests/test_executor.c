/*
 * test_executor.c - the executor's core, one input at a time.
 *
 * What needs two live executors and a network is in test_sim.c; here is what one of them does, and
 * refuses, by itself.
 */
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>

TestSuite(executor, .init = executor_bed_open, .timeout = 10);

#define X executor_bed
#define ATTEMPT (X.attempts[0])

static struct msg order;
static uint8_t packet[PUNCH_BYTES];

/* ---- attaching and asking -------------------------------------------------------------------------------- */

Test(executor, enrols_first_and_then_attaches_and_probes)
{
    struct msg m = {.type = MSG_enrolled};

    executor_bed_link(0, true, true);
    executor_bed_expect("[    0] enrol token=(16)\n");
    executor_bed_msg(40, &m);
    executor_bed_expect("[   40] app: enrolled\n");
    X.instance = 1234;
    executor_bed_link(100, true, false);
    executor_bed_expect(
        "[  100] attach name=alice accept=0 modes=1 seq=1 instance=1234 blocks=0\n");
}

Test(executor, a_key_that_is_not_admitted_ends_what_was_asked)
{
    struct msg m = {.type = MSG_enrolled, .enrolled = {.kind = "not-authorized"}};

    executor_bed_connect(0, "bob", POLICY_AUTO, 15000);
    executor_bed_forget();
    executor_bed_msg(40, &m);
    executor_bed_expect("[   40] app: refused\n"
                        "[   40] requested -> failed: not-enrolled\n"
                        "[   40] app: settled\n");
    cr_assert_str_eq(ATTEMPT.kind, "not-authorized");
}

Test(executor, enrols_again_when_too_many_did_at_once)
{
    struct msg m = {.type = MSG_enrolled, .enrolled = {.kind = "rate-limited"}};

    executor_bed_connect(0, "bob", POLICY_AUTO, 4000);
    executor_bed_link(10, true, true);
    executor_bed_forget();
    executor_bed_msg(20, &m);
    executor_bed_expect("");
    int64_t again_us = executor_deadline(&X);
    cr_assert_geq(again_us, 20000 + ENROL_AGAIN_US / 2);
    cr_assert_leq(again_us, 20000 + ENROL_AGAIN_US * 3 / 2);
    executor_bed_tick();
    cr_assert_eq(executor_bed_out.n, 1);
    cr_assert_eq(executor_bed_out.v[0].msg.type, MSG_enrol);
    executor_bed_msg(again_us / 1000 + 10, &m);
    executor_bed_link(again_us / 1000 + 20, false, true);
    cr_assert_eq(executor_deadline(&X), 4000000, "it waits for the connection now");
}

Test(executor, a_request_that_was_never_let_in_says_so)
{
    struct msg m = {.type = MSG_enrolled, .enrolled = {.kind = "rate-limited"}};

    executor_bed_connect(0, "bob", POLICY_AUTO, 400);
    executor_bed_link(10, true, true);
    executor_bed_msg(20, &m);
    executor_bed_run_to(400);
    cr_assert_str_eq(ATTEMPT.kind, "rate-limited");
    cr_assert_eq(ATTEMPT.verdict, VERDICT_rate_limited);
}

Test(executor, leaves_a_coordinator_the_time_to_say_that_the_peer_is_away)
{
    static const int64_t timeout_ms[] = {100, 1000, 15000};

    for (size_t i = 0; i < sizeof timeout_ms / sizeof *timeout_ms; i++) {
        executor_bed_open();
        executor_bed_ready();
        executor_bed_connect(200, "bob", POLICY_AUTO, timeout_ms[i]);
        uint32_t asked = executor_bed_out.v[executor_bed_out.n - 1].msg.punch_request.timeout_ms;
        cr_assert_leq(asked, timeout_ms[i] * 3 / 4 > timeout_ms[i] - 500 ? timeout_ms[i] * 3 / 4
                                                                         : timeout_ms[i] - 500);
        cr_assert_geq(asked, timeout_ms[i] / 2);
    }
}

Test(executor, a_refusal_while_every_attempt_waits_is_no_more_than_that)
{
    struct msg m = {.type = MSG_enrolled, .enrolled = {.kind = "not-authorized"}};

    for (int i = 0; i < ATTEMPTS_MAX; i++)
        executor_bed_connect(0, "bob", POLICY_AUTO, 15000);
    executor_bed_msg(40, &m);
    executor_bed_forget();
    executor_bed_run_to(20000);
    for (int i = 0; i < ATTEMPTS_MAX; i++)
        cr_assert_eq(X.attempts[i].state, ATTEMPT_FREE, "attempt %d", i);
}

Test(executor, attaches_again_as_often_as_the_coordinator_says_within_reason)
{
    static const uint32_t asked_s[] = {20, 0, 7, 3600};
    static const int64_t every_us[] = {20000000, ATTACH_EVERY_MIN_US, 7000000, ATTACH_EVERY_MAX_US};

    for (size_t i = 0; i < 4; i++) {
        struct msg m = {.type = MSG_attached, .attached = {.refresh_s = asked_s[i]}};
        m.attached.probers.n = 1; /* else it asks again for probers */
        executor_bed_open();
        executor_bed_link(0, true, false);
        executor_bed_msg(40, &m);
        cr_assert_eq(X.next_attach_us, 40000 + every_us[i]);
    }
}

Test(executor, attaches_again_when_no_answer_comes)
{
    X.instance = 1;
    executor_bed_link(0, true, false);
    executor_bed_forget();
    executor_bed_tick();
    executor_bed_expect("[ 2000] attach name=alice accept=0 modes=1 seq=1 instance=1 blocks=0\n");
}

Test(executor, asks_when_its_nat_is_known_and_not_before)
{
    executor_bed_connect(0, "bob", POLICY_AUTO, 15000);
    executor_bed_expect("[    0] free -> requested: the application asks\n");
    executor_bed_ready();
    cr_assert(ATTEMPT.asked);
    cr_assert_eq(ATTEMPT.asked_us, 100000);
}

Test(executor, under_the_relay_policy_asks_at_once_and_discloses_no_address)
{
    struct msg m = {.type = MSG_attached, .attached = {.refresh_s = 20}};

    executor_bed_link(0, true, false);
    executor_bed_msg(40, &m);
    executor_bed_forget();
    executor_bed_connect(50, "bob", POLICY_RELAY, 15000);
    executor_bed_expect("[   50] free -> requested: the application asks\n"
                        "[   50] punch_request nonce=7 target=bob target_id=- mode=0 policy=2 "
                        "tokens=(0) timeout_ms=14500 session=00000000000000000000000000000000 "
                        "initiator=- attempt=0\n");
}

Test(executor, under_the_relay_policy_keeps_the_tokens_that_it_has_to_itself)
{
    executor_bed_ready();
    cr_assert_eq(X.tokens.n, 1);
    executor_bed_connect(200, "bob", POLICY_RELAY, 15000);
    executor_bed_expect("[  200] free -> requested: the application asks\n"
                        "[  200] punch_request nonce=7 target=bob target_id=- mode=0 policy=2 "
                        "tokens=(0) timeout_ms=14500 session=00000000000000000000000000000000 "
                        "initiator=- attempt=0\n");
}

Test(executor, a_prober_that_the_pinned_authority_did_not_certify_is_not_asked)
{
    struct msg m = {.type = MSG_attached, .attached = {.refresh_s = 20}};
    struct prober_info p = {.key = {7}, .cert = {7}, .n_addrs = 1};

    p.addrs[0] = executor_bed_prober;
    m.attached.probers = (struct prober_list){1, {p}};
    executor_bed_link(0, true, false);
    executor_bed_forget();
    executor_bed_msg(40, &m);
    executor_bed_expect("[   40] app: attached\n");
    cr_assert_eq(X.probers.n, 0);
}

Test(executor, an_order_gives_no_more_time_than_the_application)
{
    executor_bed_ready();
    executor_bed_connect(200, "bob", POLICY_AUTO, 3000);
    order = executor_bed_order(0, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_msg(240, &order);
    cr_assert_eq(ATTEMPT.deadline_us, 3200000);
}

Test(executor, a_classifier_that_says_nothing_delays_a_request_by_a_second_only)
{
    executor_bed_ready();
    X.profile_known = false;
    X.profile_by_us = 1000000;
    executor_bed_connect(200, "bob", POLICY_AUTO, 15000);
    executor_bed_expect("[  200] free -> requested: the application asks\n");
    executor_bed_tick();
    executor_bed_expect("[ 1000] app: profile\n"
                        "[ 1000] punch_request nonce=7 target=bob target_id=- mode=0 policy=0 "
                        "tokens=(1) timeout_ms=13700 session=00000000000000000000000000000000 "
                        "initiator=- attempt=0\n");
}

Test(executor, a_request_that_a_dead_coordinator_took_along_is_sent_again)
{
    struct msg m = {.type = MSG_attached, .attached = {.refresh_s = 20}};

    executor_bed_ready();
    executor_bed_connect(200, "bob", POLICY_AUTO, 15000);
    cr_assert(ATTEMPT.asked);
    executor_bed_link(300, false, false);
    cr_assert_not(ATTEMPT.asked);
    executor_bed_link(400, true, false);
    executor_bed_msg(440, &m);
    cr_assert(ATTEMPT.asked);
    cr_assert_eq(ATTEMPT.asked_us, 440000);
}

Test(executor, a_request_without_answer_ends_with_its_time)
{
    executor_bed_ready();
    executor_bed_connect(200, "bob", POLICY_AUTO, 3000);
    executor_bed_run_to(3200);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_CLOSED);
    cr_assert_str_eq(ATTEMPT.kind, "timeout");
    cr_assert_eq(ATTEMPT.verdict, VERDICT_timed_out);
}

Test(executor, without_a_coordinator_says_so)
{
    executor_bed_connect(0, "bob", POLICY_AUTO, 3000);
    executor_bed_run_to(3000);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_coordinator_unreachable);
    cr_assert_str_eq(ATTEMPT.kind, "transport");
}

Test(executor, is_refused_with_the_coordinators_kind_and_verdict)
{
    struct msg m = {
        .type = MSG_punch_refused,
        .punch_refused = {.nonce = 7, .kind = "not-found", .verdict = "name-unknown"}
    };

    executor_bed_ready();
    executor_bed_connect(200, "bob", POLICY_AUTO, 15000);
    executor_bed_forget();
    executor_bed_msg(240, &m);
    executor_bed_expect("[  240] requested -> failed: name-unknown\n"
                        "[  240] app: settled\n");
    cr_assert_str_eq(ATTEMPT.kind, "not-found");
}

Test(executor, gives_way_to_a_later_process_with_its_key)
{
    struct msg m = {.type = MSG_detached, .detached = {.kind = "replaced"}};

    executor_bed_ready();
    executor_bed_msg(200, &m);
    executor_bed_expect("[  200] app: refused\n");
    cr_assert_eq(executor_deadline(&X) > 20000000, true, "it does not attach again");
    cr_assert_eq(X.refused_verdict, VERDICT_replaced);
}

/* ---- orders -------------------------------------------------------------------------------------------------- */

static void start(uint16_t side, enum technique technique, enum policy policy)
{
    order = executor_bed_start(side, technique, policy);
}

Test(executor, carries_out_an_order_on_both_ways_at_once)
{
    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_expect("[  240] free -> executing: ordered\n"
                        "[  240] 0 > 198.51.100.2:4000 punch\n"
                        "[  240] 0 > 203.0.113.10:3480 bind\n");
}

Test(executor, punches_at_0_20_40_80_160_320_ms_and_every_100_ms_until_the_span_is_over)
{
    static const int64_t at_ms[] = {0, 20, 40, 80, 160, 320, 420, 520};
    size_t n = 0, total = 1;

    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_DIRECT);
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, NULL), 1);
    for (n = 1; n < sizeof at_ms / sizeof *at_ms;) {
        int64_t due = executor_deadline(&X);
        executor_bed_tick();
        if (executor_bed_count(PACKET_PUNCH, NULL) == 0)
            continue;
        cr_assert_eq(due / 1000 - 240, at_ms[n], "punch %zu", n);
        n++, total++;
    }
    while (ATTEMPT.state == ATTEMPT_EXECUTING) {
        executor_bed_tick();
        total += executor_bed_count(PACKET_PUNCH, NULL);
    }
    cr_assert_leq(total, PACKETS_MAX);
    cr_assert_gt(total, 30);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_direct_only);
    cr_assert_str_eq(ATTEMPT.kind, "punch-failed");
}

/* The way is open then, and only losses keep the pong away. */
Test(executor, asks_more_often_for_a_while_once_the_peer_is_heard)
{
    static const int64_t at_ms[] = {40, 80, 120, 160, 200, 240, 280, 380, 480};
    const int64_t heard_ms = 440; /* five were sent */

    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_DIRECT);
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

Test(executor, never_sends_more_than_forty_packets_to_an_address_in_one_attempt)
{
    size_t total = 0;

    executor_bed_ready();
    order = executor_bed_order(1, TECHNIQUE_SYNCHRONOUS, POLICY_DIRECT);
    order.punch_coordinate.plan.v[0].span_us = 60000000;
    order.punch_coordinate.deadline_ms = 61000;
    executor_bed_msg(240, &order);
    total += executor_bed_count(PACKET_PUNCH, NULL);
    while (ATTEMPT.state == ATTEMPT_EXECUTING) {
        executor_bed_tick();
        total += executor_bed_count(PACKET_PUNCH, NULL);
    }
    cr_assert_eq(total, PACKETS_MAX);
}

Test(executor, counts_its_pongs_too_and_answers_at_few_addresses)
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

Test(executor, tries_the_hairpin_at_once_where_it_is_known_to_work)
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

Test(executor, tries_the_local_address_first_and_the_hairpin_after_40_ms)
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

Test(executor, takes_no_local_address_without_a_shared_public_one_or_outside_the_own_network)
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

Test(executor, sends_nothing_to_an_address_that_no_prober_of_the_pinned_authority_vouched_for)
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

Test(executor, sends_nothing_to_multicast_or_to_no_address)
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

Test(executor, refuses_orders_that_make_no_sense_and_tells_the_coordinator)
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

Test(executor, an_order_beyond_its_room_is_refused_as_overload)
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

Test(executor, a_callers_order_is_ended_with_the_reason_that_the_other_side_gave)
{
    struct msg m = {.type = MSG_punch_cancel, .punch_cancel = {.kind = "overloaded"}};

    start(0, TECHNIQUE_RELAYED, POLICY_AUTO);
    m.punch_cancel.session = order.punch_coordinate.session;
    executor_bed_msg(300, &m);
    cr_assert_str_eq(ATTEMPT.kind, "overloaded");
    cr_assert_eq(ATTEMPT.verdict, VERDICT_overloaded);
}

Test(executor, takes_an_order_that_comes_twice_once)
{
    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_forget();
    executor_bed_msg(250, &order);
    executor_bed_expect("");
}

Test(executor, a_caller_is_not_ordered_to_somebody_it_did_not_ask_for)
{
    executor_bed_ready();
    executor_bed_connect(200, "bob", POLICY_RELAY, 15000);
    order = executor_bed_order(0, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO); /* another policy */
    executor_bed_msg(240, &order);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_REQUESTED);
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, NULL), 0);
}

/* ---- punch and pong -------------------------------------------------------------------------------------------- */

Test(executor, answers_an_authentic_punch_where_it_came_from_and_acknowledges_it)
{
    struct addr to, from = executor_bed_peer_addr;

    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_forget();
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, 0, packet);
    executor_bed_datagram(250, &from, packet, sizeof packet);
    executor_bed_expect("[  250] 0 > 198.51.100.2:4000 punch\n"
                        "[  250] punch_ack session=55555555555555555555555555555555 technique=4 "
                        "remote=198.51.100.2:4000 after_us=10000\n"
                        "[  250] 0 > 198.51.100.2:4000 pong\n");
    cr_assert_eq(executor_bed_count(PACKET_PONG, &to), 1);
    cr_assert(addr_eq(&to, &from));
}

Test(executor, asks_at_once_where_a_nat_with_another_port_shows_the_peer)
{
    struct addr to, from = executor_bed_peer_addr;

    from.port = 4711;
    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, 0, packet);
    executor_bed_datagram(250, &from, packet, sizeof packet);
    cr_assert_eq(executor_bed_count(PACKET_PONG, &to), 1);
    cr_assert(addr_eq(&to, &from));
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, &to), 1);
    cr_assert(addr_eq(&to, &from));
}

Test(executor, is_silent_towards_the_forged_the_replayed_and_the_unknown)
{
    struct msg other;

    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, 0, packet);
    executor_bed_datagram(250, &executor_bed_peer_addr, packet, sizeof packet);
    executor_bed_forget();
    executor_bed_datagram(251, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert_eq(X.n.replays, 1);
    executor_bed_punch(&order, PACKET_PUNCH, 2, 0, 0, packet);
    packet[30] ^= 1;
    executor_bed_datagram(252, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert_eq(X.n.forged, 1);
    other = order;
    other.punch_coordinate.session.b[0] ^= 1;
    executor_bed_punch(&other, PACKET_PUNCH, 3, 0, 0, packet);
    uint64_t before = X.n.refused_datagrams;
    executor_bed_datagram(253, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert_eq(X.n.refused_datagrams, before + 1);
    executor_bed_expect("");
}

Test(executor, only_a_pong_to_a_punch_of_its_own_proves_both_directions)
{
    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PONG, 1, 99, 0, packet); /* nothing that we asked for */
    executor_bed_datagram(250, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert(ATTEMPT.way[WAY_DIRECT].heard);
    cr_assert_not(ATTEMPT.way[WAY_DIRECT].confirmed);
    executor_bed_punch(&order, PACKET_PONG, 2, 1, 0, packet);
    executor_bed_datagram(260, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert(ATTEMPT.way[WAY_DIRECT].confirmed);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_EXECUTING, "there are no data keys yet");
}

/* The pong in the last step's outputs, as the peer reads it. */
static struct punch pong(void)
{
    const struct msg_punch_coordinate *c = &order.punch_coordinate;
    uint8_t keys[2][32];
    struct punch p = {0};

    cr_assert(punch_keys(executor_bed_peer_secret, &X.conf.id, &c->session, keys[0], keys[1]));
    for (size_t i = 0; i < executor_bed_out.n; i++) {
        const struct output *o = &executor_bed_out.v[i];
        if (o->kind == OUT_DATAGRAM && o->dgram.data[0] == PACKET_PONG)
            cr_assert(punch_open(o->dgram.data, o->dgram.len, keys[c->side], &p));
    }
    return p;
}

Test(executor, a_pong_says_what_it_answers_where_that_came_from_and_what_is_proven)
{
    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PUNCH, 5, 0xabcdef0123456789, 0, packet);
    executor_bed_datagram(250, &executor_bed_peer_addr, packet, sizeof packet);
    struct punch p = pong();
    cr_assert_eq(p.echo, 0xabcdef0123456789);
    cr_assert(addr_eq(&p.seen, &executor_bed_peer_addr));
    cr_assert_eq(p.flags & PUNCH_CONFIRMED, 0);
    executor_bed_punch(&order, PACKET_PONG, 6, 1, 0, packet);
    executor_bed_datagram(260, &executor_bed_peer_addr, packet, sizeof packet);
    executor_bed_punch(&order, PACKET_PUNCH, 7, 77, 0, packet);
    executor_bed_datagram(270, &executor_bed_peer_addr, packet, sizeof packet);
    p = pong();
    cr_assert_eq(p.echo, 77);
    cr_assert_neq(p.flags & PUNCH_CONFIRMED, 0);
}

Test(executor, sends_to_the_address_that_is_proven_and_tells_its_own_as_the_peer_sees_it)
{
    struct addr from = executor_bed_peer_addr;
    const struct addr own = {
        4, {198, 51, 100, 1},
         50000
    }; /* the bench's pongs say so */

    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, 0, packet);
    executor_bed_datagram(250, &from, packet, sizeof packet);
    from.port = 4711;
    executor_bed_punch(&order, PACKET_PONG, 2, EXECUTOR_BED_ECHO, 0, packet);
    executor_bed_datagram(260, &from, packet, sizeof packet);
    cr_assert(ATTEMPT.way[WAY_DIRECT].confirmed);
    cr_assert(addr_eq(&ATTEMPT.way[WAY_DIRECT].remote, &executor_bed_peer_addr),
              "where it was asked, and not where the answer came from");
    cr_assert(addr_eq(&ATTEMPT.own_seen, &own));
}

Test(executor, takes_punches_by_the_socket_that_was_told_alone)
{
    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, 0, packet);
    struct input in = {.kind = IN_DATAGRAM, .now_us = 250000};
    in.dgram.data = packet;
    in.dgram.len = sizeof packet;
    in.dgram.src = executor_bed_peer_addr;
    in.dgram.sock = 1;
    executor_step(&X, &in, &executor_bed_out);
    cr_assert_eq(executor_bed_out.n, 0);
    cr_assert_not(ATTEMPT.way[WAY_DIRECT].heard);
}

Test(executor, a_peer_that_is_heard_everywhere_adds_few_addresses)
{
    struct addr from = executor_bed_peer_addr;

    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    for (uint8_t i = 0; i < 3 * CANDIDATES_MAX; i++) {
        ATTEMPT.way[WAY_DIRECT].heard = false; /* as after a direct path was lost */
        from.port = (uint16_t)(5000 + i);
        executor_bed_punch(&order, PACKET_PUNCH, 1 + i, 0, 0, packet);
        executor_bed_datagram(250, &from, packet, sizeof packet);
    }
    cr_assert_eq(ATTEMPT.n_candidates, CANDIDATES_MAX);
}

Test(executor, does_not_take_the_peers_word_for_both_directions)
{
    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(250, &executor_bed_peer_addr, packet, sizeof packet);
    executor_bed_punch(&order, PACKET_PONG, 2, 2, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(251, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert_not(ATTEMPT.way[WAY_DIRECT].confirmed);
}

Test(executor, under_the_relay_policy_does_not_answer_even_an_authentic_punch_from_elsewhere)
{
    start(1, TECHNIQUE_RELAYED, POLICY_RELAY);
    executor_bed_expect("[  240] free -> executing: ordered\n"
                        "[  240] 0 > 203.0.113.10:3480 bind\n");
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, 0, packet);
    executor_bed_datagram(250, &executor_bed_peer_addr, packet, sizeof packet);
    executor_bed_expect("");
}

/* ---- the relay ---------------------------------------------------------------------------------------------------- */

static void from_relay(int64_t ms, uint8_t op, uint8_t status, const struct path_id *path)
{
    uint8_t data[RELAY_CONTROL_MAX];
    struct relay_control c = {.op = op, .status = status};

    memcpy(c.nonce, ATTEMPT.relay.nonce, sizeof c.nonce);
    if (path)
        c.path = *path;
    executor_bed_datagram(ms, &executor_bed_relay, data, relay_encode(&c, data));
}

Test(executor, binds_proves_and_punches_through_the_relay_when_both_are_there)
{
    start(1, TECHNIQUE_RELAYED, POLICY_AUTO);
    executor_bed_forget();
    from_relay(250, RELAY_CHALLENGE, 0, NULL);
    executor_bed_expect("[  250] 0 > 203.0.113.10:3480 prove\n");
    from_relay(260, RELAY_BOUND, RELAY_WAITING, NULL);
    executor_bed_expect("");
    from_relay(270, RELAY_BOUND, RELAY_READY, NULL);
    executor_bed_expect("[  270] 0 > 203.0.113.10:3480 punch\n");
}

Test(executor, asks_a_silent_relay_again_and_again_and_then_says_that_it_is_unreachable)
{
    start(0, TECHNIQUE_RELAYED, POLICY_AUTO);
    size_t binds = executor_bed_count(PACKET_RELAY, NULL);
    while (ATTEMPT.state == ATTEMPT_EXECUTING) {
        executor_bed_tick();
        binds += executor_bed_count(PACKET_RELAY, NULL);
    }
    cr_assert_geq(binds, 8);
    cr_assert_leq(binds, 20);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_relay_unreachable);
}

Test(executor, a_relay_that_is_full_has_the_coordinator_asked_for_another_one)
{
    start(0, TECHNIQUE_RELAYED, POLICY_AUTO);
    executor_bed_forget();
    from_relay(250, RELAY_BOUND, RELAY_FULL, NULL);
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

Test(executor, when_all_relays_are_full_it_ends_at_once_and_else_after_a_second_without_an_answer)
{
    start(0, TECHNIQUE_RELAYED, POLICY_AUTO);
    from_relay(250, RELAY_BOUND, RELAY_FULL, NULL);
    executor_bed_run_to(1249);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_EXECUTING);
    executor_bed_tick();
    cr_assert_eq(ATTEMPT.state, ATTEMPT_FAILED);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_relay_full);

    executor_bed_open();
    start(0, TECHNIQUE_RELAYED, POLICY_AUTO);
    from_relay(250, RELAY_BOUND, RELAY_FULL, NULL);
    order.punch_coordinate.relay = (struct addr){0};
    order.punch_coordinate.ticket.len = 0;
    order.punch_coordinate.relays_full = true;
    executor_bed_msg(290, &order);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_FAILED);
    cr_assert_eq(ATTEMPT.verdict, VERDICT_relay_full);
    cr_assert_str_eq(ATTEMPT.kind, "rendezvous-no-relay");
}

Test(executor, binds_again_once_for_any_number_of_unknowns)
{
    start(1, TECHNIQUE_RELAYED, POLICY_AUTO);
    from_relay(250, RELAY_BOUND, RELAY_READY, NULL);
    struct path_id own = ATTEMPT.own_path;
    executor_bed_forget();
    for (int i = 0; i < 5; i++)
        from_relay(260 + i, RELAY_UNKNOWN, 0, &own);
    executor_bed_expect("[  260] 0 > 203.0.113.10:3480 bind\n");
}

Test(executor, takes_relay_control_from_its_relay_alone)
{
    uint8_t data[RELAY_CONTROL_MAX];
    struct relay_control c = {.op = RELAY_BOUND, .status = RELAY_READY};

    start(1, TECHNIQUE_RELAYED, POLICY_AUTO);
    memcpy(c.nonce, ATTEMPT.relay.nonce, sizeof c.nonce);
    executor_bed_datagram(250, &executor_bed_peer_addr, data, relay_encode(&c, data));
    cr_assert_not(ATTEMPT.relay.bound);
}

/* ---- ending --------------------------------------------------------------------------------------------------------- */

Test(executor, tells_the_coordinator_when_the_application_cancels)
{
    start(0, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_forget();
    executor_bed_app(300, APP_CANCEL, 0, NULL, 0);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_CLOSED);
    cr_assert_str_eq(ATTEMPT.kind, "cancelled");
    cr_assert_eq(executor_bed_out.v[0].kind, OUT_MSG);
    cr_assert_eq(executor_bed_out.v[0].msg.type, MSG_punch_cancel);
}

Test(executor, a_cancelled_attempt_leaves_nothing_behind)
{
    struct msg m = {.type = MSG_punch_cancel};

    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    m.punch_cancel.session = order.punch_coordinate.session;
    msg_text(m.punch_cancel.kind, sizeof m.punch_cancel.kind, "cancelled");
    executor_bed_msg(300, &m);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_FAILED);
    executor_bed_run_to(300 + LINGER_CLOSED_US / 1000 + 1);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_FREE);
}

Test(executor, garbage_is_counted_and_nothing_else)
{
    struct rng r;
    uint8_t data[DATAGRAM_MAX];
    static struct executor before;

    start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    rng_seed(&r, 1);
    before = X;
    for (int i = 0; i < 100000; i++) {
        size_t n = rng_below(&r, sizeof data) + 1;
        rng_bytes(&r, data, n);
        data[0] &= 0x0f; /* every type of ours */
        struct addr from = i % 2 ? executor_bed_peer_addr : executor_bed_relay;
        executor_bed_datagram(241, &from, data, n);
        cr_assert_eq(executor_bed_out.n, 0);
    }
    cr_assert_eq(X.n.refused_datagrams + X.n.forged - before.n.refused_datagrams - before.n.forged,
                 100000);
    cr_assert_arr_eq(X.attempts, before.attempts, sizeof X.attempts);
}
