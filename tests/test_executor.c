/*
 * test_executor.c - the executor's core, one input at a time.
 *
 * What needs two live executors and a network is in test_sim*.c; here and in test_executor_*.c is what
 * one of them does, and refuses, by itself: here how it attaches, asks and ends.
 */
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>

TestSuite(executor, .init = executor_bed_open, .timeout = 10);

#define X executor_bed
#define ATTEMPT (X.attempts[0])

static struct msg order;

/* ---- attaching and asking -------------------------------------------------------------------- */

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
        "[  100] attach name=alice accept=0 modes=1 seq=1 instance=1234 blocks=0 daily=yes\n");
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
    executor_bed_expect(
        "[ 2000] attach name=alice accept=0 modes=1 seq=1 instance=1 blocks=0 daily=yes\n");
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

/* ---- ending ---------------------------------------------------------------------------------- */

Test(executor, tells_the_coordinator_when_the_application_cancels)
{
    order = executor_bed_start(0, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
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

    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
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

    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
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
