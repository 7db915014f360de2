/*
 * test_prober_tokens.c - what the prober does for who has returned a cookie: tokens, padding, another port, claims.
 */
#include "tests/lib/prober_bed.h"

#include <criterion/criterion.h>

static struct prober_bed bed, *const b = &bed;

static void setup(void) { prober_bed_init(b); }

TestSuite(prober_tokens, .init = setup, .timeout = 20);

/* ---- tokens ---------------------------------------------------------------------------------- */

static void expect_token(void)
{
    struct prober_list l = {1, {b->conf.info}};
    struct token t;

    cr_assert(token_verify(&b->answer.token, &l, NULL, &t));
    cr_assert(addr_eq(&t.addr, &b->client));
    cr_assert_eq(t.peer.b[0], 9);
    cr_assert_eq(t.time_ms, 1700000000000 + b->now_us / 1000);
}

Test(prober_tokens, signs_a_token_for_who_returns_the_cookie)
{
    struct stun m = prober_bed_token_request();

    cr_assert_eq(prober_bed_ask(b, 0, &m), 76);
    expect(b, "a1p1>203.0.113.5:4000 52 mapped=203.0.113.5:4000 origin=- other=- error=0 cookie");
    memcpy(m.cookie, b->answer.cookie, sizeof m.cookie);
    b->now_us += 50000;
    prober_bed_ask(b, 0, &m);
    expect(b, "a1p1>203.0.113.5:4000 168 mapped=203.0.113.5:4000 origin=- other=- error=0 token");
    expect_token();
    cr_assert_eq(b->core.n.bad_cookie, 0);
}

Test(prober_tokens, a_request_without_room_for_a_cookie_gets_one_still)
{
    struct stun m = prober_bed_token_request();

    m.has_cookie = false;
    cr_assert_eq(prober_bed_ask(b, 0, &m), 56);
    expect(b, "a1p1>203.0.113.5:4000 52 mapped=203.0.113.5:4000 origin=- other=- error=0 cookie");
}

Test(prober_tokens, a_cookie_is_good_for_its_own_source_and_socket_only)
{
    struct stun m = prober_bed_token_request();

    prober_bed_ask(b, 0, &m);
    memcpy(m.cookie, b->answer.cookie, sizeof m.cookie);
    prober_bed_ask(b, 1, &m);
    cr_assert(b->answer.has_cookie && b->answer.token.len == 0, "another socket");
    b->client.port++;
    prober_bed_ask(b, 0, &m);
    cr_assert(b->answer.has_cookie && b->answer.token.len == 0, "another port");
    b->client.port--;
    b->client.ip[3]++;
    prober_bed_ask(b, 0, &m);
    cr_assert(b->answer.has_cookie && b->answer.token.len == 0, "another address");
    b->client.ip[3]--;
    for (size_t bit = 0; bit < 8 * sizeof m.cookie; bit++) {
        m.cookie[bit / 8] ^= (uint8_t)(1 << bit % 8);
        prober_bed_ask(b, 0, &m);
        cr_assert(b->answer.has_cookie && b->answer.token.len == 0, "bit %zu", bit);
        m.cookie[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    cr_assert_eq(b->core.n.bad_cookie, 3 + 8 * STUN_COOKIE_BYTES);
    prober_bed_ask(b, 0, &m);
    expect_token();
}

Test(prober_tokens, a_cookie_outlives_one_rotation_and_not_two)
{
    struct stun m = prober_bed_token_request();

    prober_bed_ask(b, 0, &m);
    memcpy(m.cookie, b->answer.cookie, sizeof m.cookie);
    b->now_us += COOKIE_ROTATE_US;
    prober_bed_ask(b, 0, &m);
    expect_token();
    b->now_us += COOKIE_ROTATE_US;
    prober_bed_ask(b, 0, &m);
    cr_assert(b->answer.has_cookie && b->answer.token.len == 0);

    memcpy(m.cookie, b->answer.cookie, sizeof m.cookie);
    b->now_us += 2 * COOKIE_ROTATE_US; /* one step for both rotations, as after a suspend */
    prober_bed_ask(b, 0, &m);
    cr_assert(b->answer.has_cookie && b->answer.token.len == 0);
}

Test(prober_tokens, signs_no_more_than_the_budget_of_a_source)
{
    struct stun m = prober_bed_token_request();
    int tokens = 0;

    prober_bed_ask(b, 0, &m);
    memcpy(m.cookie, b->answer.cookie, sizeof m.cookie);
    for (int i = 0; i < SIGNING_BUDGET + 10; i++) {
        prober_bed_ask(b, 0, &m);
        tokens += b->answer.token.len > 0;
        cr_assert(b->answer.token.len > 0 || b->answer_len == 52);
    }
    cr_assert_eq(tokens, SIGNING_BUDGET);
}

/* ---- padding, another port ------------------------------------------------------------------- */

/* A request with the cookie that the prober gives this client. */
static struct stun proven_request(void)
{
    struct stun first = prober_bed_token_request(), m = prober_bed_request();

    prober_bed_ask(b, 0, &first);
    m.has_cookie = true;
    memcpy(m.cookie, b->answer.cookie, sizeof m.cookie);
    return m;
}

Test(prober_tokens, sends_to_another_port_of_who_returned_the_cookie)
{
    struct stun m = proven_request();

    m.response_port = 5000;
    prober_bed_ask(b, 0, &m);
    expect(b, "a1p1>203.0.113.5:5000 56 mapped=203.0.113.5:4000 origin=198.51.100.1:3478 "
              "other=198.51.100.2:3479 error=0");
    m.has_change = true;
    m.change = STUN_CHANGE_IP | STUN_CHANGE_PORT;
    prober_bed_ask(b, 0, &m);
    cr_assert_eq(b->out.v[0].dgram.sock, 3);
    cr_assert_eq(b->out.v[0].dgram.dst.port, 5000);
    m.cookie[0] ^= 1;
    prober_bed_ask(b, 0, &m);
    expect(b, "a1p1>203.0.113.5:4000 36 mapped=- origin=- other=- error=420");
}

Test(prober_tokens, pads_its_answer_to_who_returned_the_cookie_and_fills_one_datagram_at_most)
{
    struct stun m = proven_request();

    m.has_padding = true;
    m.padding = 600;
    prober_bed_ask(b, 0, &m);
    cr_assert_eq(b->answer_len, 56 + 4 + 600);
    m.padding = 1400;
    prober_bed_ask(b, 0, &m);
    cr_assert_leq(b->answer_len, STUN_MAX);
    cr_assert_geq(b->answer.padding, 1300);
    m.cookie[0] ^= 1;
    prober_bed_ask(b, 0, &m);
    expect(b, "a1p1>203.0.113.5:4000 36 mapped=- origin=- other=- error=420");
}

Test(prober_tokens, refuses_padding_and_another_port_together_or_with_a_token)
{
    struct stun m = proven_request();

    m.has_padding = true;
    m.response_port = 5000;
    prober_bed_ask(b, 0, &m);
    expect(b, "a1p1>203.0.113.5:4000 28 mapped=- origin=- other=- error=400");
    m.has_peer = true;
    prober_bed_ask(b, 0, &m);
    cr_assert_eq(b->answer.error, 400);
}

/* ---- claims ---------------------------------------------------------------------------------- */

static struct stun claim(uint16_t port)
{
    struct stun m = proven_request();

    m.has_peer = true;
    m.peer.b[0] = 9;
    m.response_port = port;
    return m;
}

Test(prober_tokens, challenges_a_claimed_port_of_who_asks_and_signs_when_the_challenge_is_back)
{
    struct stun m = claim(7000);
    struct prober_list probers = {.n = 1, .v = {b->core.conf.info}};
    struct token t;

    size_t asked = prober_bed_ask(b, 0, &m);
    expect(b, "a1p1>203.0.113.5:7000 52 mapped=203.0.113.5:4000 origin=- other=- error=0 cookie");
    cr_assert_lt(b->answer_len, asked);
    memcpy(m.cookie, b->answer.cookie, sizeof m.cookie);
    prober_bed_ask(b, 0, &m);
    expect(b, "a1p1>203.0.113.5:4000 168 mapped=203.0.113.5:4000 origin=- other=- error=0 token");
    cr_assert(token_verify(&b->answer.token, &probers, NULL, &t));
    cr_assert(t.mapped && t.addr.port == 7000 && t.peer.b[0] == 9);
    cr_assert_eq(b->core.n.challenges, 1);
}

Test(prober_tokens, a_challenge_is_good_for_the_claimed_port_and_nothing_else)
{
    struct stun m = claim(7000), plain = prober_bed_token_request();
    struct token t;

    prober_bed_ask(b, 0, &m);
    memcpy(m.cookie, b->answer.cookie, sizeof m.cookie);
    m.response_port = 7001;
    prober_bed_ask(b, 0, &m);
    expect(b, "a1p1>203.0.113.5:4000 36 mapped=- origin=- other=- error=420");
    m.response_port = 4000; /* nor is the cookie of a source the answer to a challenge */
    memcpy(plain.cookie, m.cookie, sizeof m.cookie);
    prober_bed_ask(b, 0, &plain);
    cr_assert(b->answer.has_cookie && b->answer.token.len == 0);
    m = claim(4000);
    prober_bed_ask(b, 0, &m);
    cr_assert(b->answer.has_cookie && b->answer.token.len == 0,
              "the own port is challenged as well");
    memcpy(m.cookie, b->answer.cookie, sizeof m.cookie);
    prober_bed_ask(b, 0, &m);
    cr_assert(token_read(&b->answer.token, &t) && t.mapped);
}

Test(prober_tokens, challenges_a_source_within_a_budget)
{
    struct stun m = claim(7000);

    for (int i = 0; i < CHALLENGE_BUDGET; i++) {
        prober_bed_ask(b, 0, &m);
        cr_assert_eq(b->answer.error, 0);
    }
    prober_bed_ask(b, 0, &m);
    expect(b, "a1p1>203.0.113.5:4000 28 mapped=- origin=- other=- error=500");
}
