/*
 * test_override.c - an operator's port mapping at the executor, as transcripts: it counts when a prober's
 * challenge has come in by it, and not before.
 */
#include "lib/stun.h"
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct addr mapped = {
    4, {198, 51, 100, 1},
     7000
};

static void set_override(int64_t ms, const struct addr *a)
{
    executor_bed_app(ms, APP_OVERRIDE, 0, a, sizeof *a);
}

/* What the last step asked the prober. */
static struct stun asked(void)
{
    struct stun m = {0};

    for (size_t i = 0; i < executor_bed_out.n; i++)
        if (executor_bed_out.v[i].kind == OUT_DATAGRAM)
            cr_assert(
                stun_parse(executor_bed_out.v[i].dgram.data, executor_bed_out.v[i].dgram.len, &m));
    return m;
}

static void answer(int64_t ms, const struct addr *from, const struct stun *to,
                   const struct msg_token *token)
{
    struct stun m = {.type = STUN_BINDING_RESPONSE, .mapped = mapped};
    uint8_t data[STUN_MAX];

    memcpy(m.txid, to->txid, sizeof m.txid);
    m.has_cookie = !token;
    memset(m.cookie, 0xcc, sizeof m.cookie);
    if (token)
        m.token = *token;
    executor_bed_datagram(ms, from, data, stun_encode(&m, data));
}

/* Set at 200 ms, and the challenge is in: what was asked last is to be answered with a token. */
static struct stun challenged(void)
{
    struct addr from = executor_bed_prober;

    executor_bed_open();
    executor_bed_ready();
    set_override(200, &mapped);
    struct stun first = asked();
    cr_assert(first.has_peer && first.has_cookie && first.cookie[0] == 0xc0);
    cr_assert_eq(first.response_port, 7000);
    from.port++; /* a router's own entry for the prober may stand in the way of its port */
    answer(220, &from, &first, NULL);
    struct stun second = asked();
    cr_assert(second.cookie[0] == 0xcc && second.response_port == 7000);
    cr_assert_neq(memcmp(first.txid, second.txid, sizeof first.txid), 0);
    executor_bed_forget();
    return second;
}

/* The last step told the application and, with how many tokens, the coordinator. */
static unsigned told_tokens(void)
{
    const struct output *v = executor_bed_out.v;

    cr_assert_eq(executor_bed_out.n, 2);
    cr_assert(v[0].kind == OUT_APP && v[0].app.event == APP_REFLEX);
    cr_assert(v[1].kind == OUT_MSG && v[1].msg.type == MSG_reflex_report);
    return v[1].msg.reflex_report.tokens.n;
}

TestSuite(override, .timeout = 10);

Test(override, counts_when_the_challenge_has_come_in_and_is_told_at_once)
{
    struct stun m = challenged();
    struct msg_token t =
        executor_bed_mapped(&executor_bed.conf.id, &mapped, executor_bed_wall(240));

    answer(240, &executor_bed_prober, &m, &t);
    cr_assert_eq(told_tokens(), 2);
    cr_assert_eq(executor_bed.override.state, OVERRIDE_PROVEN);
    set_override(300, &(struct addr){0});
    cr_assert_eq(told_tokens(), 1);
}

Test(override, a_token_for_anything_else_does_not_count)
{
    struct stun m = challenged();
    struct addr other = mapped;
    const int64_t wall = executor_bed_wall(240);
    struct msg_token t[4];

    other.port++;
    t[0] = executor_bed_mapped(&executor_bed.conf.id, &other, wall);
    t[1] = executor_bed_mapped(&executor_bed_peer, &mapped, wall);
    t[2] = executor_bed_token(&executor_bed.conf.id, &mapped, wall);
    t[3] = executor_bed_mapped(&executor_bed.conf.id, &mapped, wall);
    t[3].b[100] ^= 1;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        answer(240, &executor_bed_prober, &m, &t[i]);
        cr_assert_eq(executor_bed.override.state, OVERRIDE_ASKING, "token %zu", i);
    }
    executor_bed_run_to(2000);
    cr_assert_eq(executor_bed.override.state, OVERRIDE_REFUSED);
    cr_assert_eq(executor_bed.override.token.len, 0);
}

Test(override, is_asked_for_five_times_and_refused_when_nothing_comes_in)
{
    executor_bed_open();
    executor_bed_ready();
    set_override(200, &mapped);
    executor_bed_run_to(3000);
    executor_bed_expect("[  200] 0 > 203.0.113.10:3478 probe\n"
                        "[  300] 0 > 203.0.113.10:3478 probe\n"
                        "[  450] 0 > 203.0.113.10:3478 probe\n"
                        "[  700] 0 > 203.0.113.10:3478 probe\n"
                        "[ 1200] 0 > 203.0.113.10:3478 probe\n"
                        "[ 1700] app: reflex\n");
}

Test(override, at_another_ip_than_the_probers_see_nothing_is_sent)
{
    struct addr other = mapped;

    other.ip[3]++;
    executor_bed_open();
    executor_bed_ready();
    set_override(200, &other);
    executor_bed_run_to(3000);
    executor_bed_expect("[  200] app: reflex\n");
    cr_assert_eq(executor_bed.override.state, OVERRIDE_REFUSED);
}

Test(override, a_request_waits_for_the_first_word_on_it)
{
    struct stun m = challenged();
    struct msg_token t =
        executor_bed_mapped(&executor_bed.conf.id, &mapped, executor_bed_wall(240));

    executor_bed_connect(230, "bob", POLICY_AUTO, 15000);
    executor_bed_expect("[  230] free -> requested: the application asks\n");
    answer(240, &executor_bed_prober, &m, &t);
    cr_assert_eq(executor_bed_out.v[executor_bed_out.n - 1].kind, OUT_MSG);
    cr_assert_eq(executor_bed_out.v[executor_bed_out.n - 1].msg.type, MSG_punch_request);
    cr_assert_eq(executor_bed_out.v[executor_bed_out.n - 1].msg.punch_request.tokens.n, 2);
}
