/*
 * test_prober.c - the prober's core, one datagram at a time: what comes back, from which socket, and
 * how large.
 */
#include "lib/token.h"
#include "services/prober/prober.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

static struct prober core;
static struct prober_conf conf;
static struct outputs out;
static int64_t now_us;
static struct addr client;
static char said[512];

/* The last datagram answered with, parsed. */
static struct stun answer;
static size_t answer_len;

static void use_addresses(uint8_t n)
{
    static const uint8_t rng_key[32] = {7};

    conf.info.n_addrs = n;
    for (uint8_t i = 0; i < n; i++)
        conf.info.addrs[i] = addr_v4(198, 51, 100, (uint8_t)(1 + i / 2), i % 2 ? 3479 : 3478);
    prober_init(&core, &conf, rng_key);
    now_us = 1000;
    prober_step(&core, &(struct input){.kind = IN_TICK, .now_us = now_us}, &out);
}

static void setup(void)
{
    static const uint8_t seed[32] = {1};

    cr_assert_geq(sodium_init(), 0);
    memset(&conf, 0, sizeof conf);
    crypto_sign_seed_keypair(conf.info.key, conf.secret, seed);
    client = addr_v4(203, 0, 113, 5, 4000);
    use_addresses(4);
}

TestSuite(prober, .init = setup, .timeout = 20);

/* Feed bytes to socket sock and put the answers into said: "a1p2>203.0.113.5:4000 32 response ...". */
static void feed(uint8_t sock, const void *data, size_t len)
{
    static const char *const socks[] = {"a1p1", "a1p2", "a2p1", "a2p2"};
    struct input in = {
        .kind = IN_DATAGRAM, .now_us = now_us, .wall_ms = 1700000000000 + now_us / 1000};
    size_t n = 0;

    in.dgram.data = data;
    in.dgram.len = len;
    in.dgram.src = client;
    in.dgram.sock = sock;
    prober_step(&core, &in, &out);
    said[0] = '\0';
    for (size_t i = 0; i < out.n; i++) {
        const struct output *o = &out.v[i];
        char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX], c[ADDR_TEXT_MAX], d[ADDR_TEXT_MAX];
        if (o->kind != OUT_DATAGRAM)
            continue;
        if (!stun_parse(o->dgram.data, o->dgram.len, &answer))
            continue; /* an answer of RFC 3489, which only its clients read */
        answer_len = o->dgram.len;
        n += (size_t)snprintf(
            said + n, sizeof said - n, "%s>%s %u mapped=%s origin=%s other=%s error=%u%s%s",
            socks[o->dgram.sock], addr_format(&o->dgram.dst, a, sizeof a), o->dgram.len,
            addr_format(&answer.mapped, b, sizeof b), addr_format(&answer.origin, c, sizeof c),
            addr_format(&answer.other, d, sizeof d), answer.error,
            answer.has_cookie ? " cookie" : "", answer.token.len ? " token" : "");
    }
}

static size_t ask(uint8_t sock, const struct stun *m)
{
    uint8_t buf[STUN_MAX];
    size_t len = stun_encode(m, buf);

    feed(sock, buf, len);
    return len;
}

static struct stun request(void)
{
    static const uint8_t txid[STUN_TXID_BYTES] = {1, 2, 3};

    return stun_request(txid);
}

static struct stun change_request(uint32_t flags)
{
    struct stun m = request();

    m.has_change = true;
    m.change = flags;
    return m;
}

static struct stun token_request(void)
{
    struct stun m = request();

    m.has_peer = m.has_cookie = true;
    m.peer.b[0] = 9;
    return m;
}

#define expect(text) cr_assert_str_eq(said, text)

static void spend_budget(void)
{
    struct stun m = request();

    for (int i = 0; i < DISCOVERY_BUDGET; i++) {
        ask(0, &m);
        cr_assert_eq(answer_len, 56, "request %d", i);
    }
}

Test(prober, answers_with_the_address_it_sees_and_where_else_to_ask)
{
    struct stun m = request();

    cr_assert_eq(ask(0, &m), 20);
    expect("a1p1>203.0.113.5:4000 56 mapped=203.0.113.5:4000 origin=198.51.100.1:3478 "
           "other=198.51.100.2:3479 error=0");
    cr_assert_eq(memcmp(answer.txid, m.txid, sizeof m.txid), 0);
    ask(1, &m);
    expect("a1p2>203.0.113.5:4000 56 mapped=203.0.113.5:4000 origin=198.51.100.1:3479 "
           "other=198.51.100.2:3478 error=0");
    ask(2, &m);
    expect("a2p1>203.0.113.5:4000 56 mapped=203.0.113.5:4000 origin=198.51.100.2:3478 "
           "other=198.51.100.1:3479 error=0");
}

Test(prober, answers_plainly_over_the_budget_of_a_source)
{
    struct stun m = request();

    spend_budget();
    ask(0, &m);
    expect("a1p1>203.0.113.5:4000 32 mapped=203.0.113.5:4000 origin=- other=- error=0");
    client.port++; /* another port is the same source */
    ask(3, &m);
    cr_assert_eq(answer_len, 32);
    client.ip[3]++; /* another source has its own budget */
    ask(0, &m);
    cr_assert_eq(answer_len, 56);
    client.ip[3]--;
    now_us += BUDGET_WINDOW_US / DISCOVERY_BUDGET;
    ask(0, &m);
    cr_assert_eq(answer_len, 56, "one unit is regained");
    ask(0, &m);
    cr_assert_eq(answer_len, 32);
    now_us += BUDGET_WINDOW_US;
    spend_budget();
    cr_assert_eq(core.n.over_budget, 3);
}

Test(prober, answers_plainly_when_its_table_of_sources_is_full)
{
    struct stun m = request();
    size_t rich = 0, plain = 0;

    for (uint32_t i = 0; i < 4 * BUDGET_SETS * BUDGET_WAYS; i++) {
        client = addr_v4(10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i, 5000);
        ask(0, &m);
        rich += answer_len == 56;
        plain += answer_len == 32;
    }
    cr_assert_eq(rich + plain, 4 * BUDGET_SETS * BUDGET_WAYS);
    cr_assert_leq(rich, BUDGET_SETS * BUDGET_WAYS);
    cr_assert_geq(rich, BUDGET_SETS * BUDGET_WAYS * 9 / 10);
    now_us += BUDGET_WINDOW_US; /* and recovers */
    ask(0, &m);
    cr_assert_eq(answer_len, 56);
}

Test(prober, answers_from_the_socket_that_is_asked_for)
{
    struct stun port = change_request(STUN_CHANGE_PORT), ip = change_request(STUN_CHANGE_IP),
                both = change_request(STUN_CHANGE_PORT | STUN_CHANGE_IP), none = change_request(0);

    cr_assert_eq(ask(0, &port), 28);
    expect("a1p2>203.0.113.5:4000 56 mapped=203.0.113.5:4000 origin=198.51.100.1:3479 "
           "other=198.51.100.2:3479 error=0");
    ask(0, &ip);
    expect("a2p1>203.0.113.5:4000 56 mapped=203.0.113.5:4000 origin=198.51.100.2:3478 "
           "other=198.51.100.2:3479 error=0");
    ask(0, &both);
    expect("a2p2>203.0.113.5:4000 56 mapped=203.0.113.5:4000 origin=198.51.100.2:3479 "
           "other=198.51.100.2:3479 error=0");
    ask(3, &both);
    cr_assert_eq(memcmp(said, "a1p1>", 5), 0);
    ask(2, &none);
    cr_assert_eq(memcmp(said, "a2p1>", 5), 0);
}

Test(prober, refuses_another_socket_over_the_budget)
{
    struct stun m = change_request(STUN_CHANGE_IP);

    spend_budget();
    ask(0, &m);
    expect("a1p1>203.0.113.5:4000 28 mapped=- origin=- other=- error=500");
}

/* It is real, so that no victim pays, and shares its address with many behind a carrier's NAT. */
Test(prober, who_returned_a_cookie_may_ask_for_another_socket_over_that_budget)
{
    struct stun first = token_request(), m = change_request(STUN_CHANGE_IP | STUN_CHANGE_PORT);

    spend_budget();
    ask(0, &first);
    m.has_cookie = true;
    memcpy(m.cookie, answer.cookie, sizeof m.cookie);
    ask(0, &m);
    expect("a2p2>203.0.113.5:4000 56 mapped=203.0.113.5:4000 origin=198.51.100.2:3479 "
           "other=198.51.100.2:3479 error=0");
    m.cookie[0] ^= 1;
    ask(0, &m);
    cr_assert_eq(answer.error, 500);
    m.cookie[0] ^= 1;
    for (int i = 1; i < SIGNING_BUDGET; i++)
        ask(0, &m);
    cr_assert_eq(answer.error, 0);
    ask(0, &m);
    cr_assert_eq(answer.error, 500);
}

Test(prober, with_one_address_says_so)
{
    struct stun plain = request(), m = change_request(STUN_CHANGE_PORT), none = change_request(0);

    use_addresses(2);
    ask(1, &plain);
    expect("a1p2>203.0.113.5:4000 44 mapped=203.0.113.5:4000 origin=198.51.100.1:3479 other=- "
           "error=0");
    ask(0, &m);
    expect("a1p1>203.0.113.5:4000 36 mapped=- origin=- other=- error=420");
    cr_assert_eq(memcmp(out.v[0].dgram.data + 28, "\0\x0a\0\2\0\3\0\0", 8), 0);
    ask(0, &none);
    cr_assert_eq(answer.error, 0);
}

Test(prober, names_the_attributes_that_it_does_not_understand)
{
    uint8_t buf[STUN_MAX];
    struct stun m = request();

    stun_encode(&m, buf);
    memcpy(buf + 20, "\0\x27\0\4\x12\x34\0\0\0\x26\0\0", 12); /* RESPONSE-PORT, PADDING */
    buf[3] = 12;
    feed(0, buf, 32);
    expect("a1p1>203.0.113.5:4000 36 mapped=- origin=- other=- error=420");
    cr_assert_eq(memcmp(out.v[0].dgram.data + 28, "\0\x0a\0\4\0\x26\0\x27", 8), 0);
    memcpy(buf + 20, "\x7f\xff\0\0", 4); /* the smallest request that can be so */
    buf[3] = 4;
    feed(0, buf, 24);
    cr_assert_eq(answer_len, 36);
}

Test(prober, returns_a_fingerprint_for_a_fingerprint)
{
    struct stun m = request();

    m.has_fingerprint = true;
    cr_assert_eq(ask(0, &m), 28);
    cr_assert(answer.has_fingerprint);
    cr_assert_eq(answer_len, 64);
    m.has_fingerprint = false;
    ask(0, &m);
    cr_assert_not(answer.has_fingerprint);
}

Test(prober, ipv6_needs_the_budget_for_a_bare_request)
{
    struct stun m = request();

    for (uint8_t i = 0; i < 4; i++)
        conf.info.addrs[i] = (struct addr){
            16, {0x20, 1, 0xd, 0xb8, [15] = 1 + i / 2},
             i % 2 ? 3479 : 3478
        };
    prober_init(&core, &conf, (const uint8_t[32]){7});
    cr_assert(addr_parse("[2001:db8::1]:9", &client));
    m = change_request(0); /* 28 bytes: plain within 1.6 x, and more is not within 2.8 x */
    for (int i = 0; i < 2 * DISCOVERY_BUDGET; i++) {
        ask(0, &m);
        cr_assert_eq(answer_len, 44);
    }
    m = request();
    for (int i = 0; i < DISCOVERY_BUDGET; i++) {
        client.ip[7]++; /* a /56 is one source */
        ask(0, &m);
        cr_assert_eq(answer_len, 44);
    }
    ask(0, &m);
    expect("");
    m.has_fingerprint = true; /* 52 bytes to 28 */
    ask(0, &m);
    expect("");
    cr_assert_eq(core.n.over_bound, 2);
    m = token_request(); /* large enough to be answered freely */
    ask(0, &m);
    cr_assert_eq(answer_len, 64);
    client.ip[6]++;
    m = change_request(STUN_CHANGE_IP);
    ask(0, &m);
    cr_assert_eq(memcmp(said, "a2p1>", 5), 0);
    cr_assert_eq(answer_len, 44, "RESPONSE-ORIGIN and OTHER-ADDRESS would be more than 2.8 x");
}

/* ---- tokens ----------------------------------------------------------------------------------------- */

static void expect_token(void)
{
    struct prober_list l = {1, {conf.info}};
    struct token t;

    cr_assert(token_verify(&answer.token, &l, &t));
    cr_assert(addr_eq(&t.addr, &client));
    cr_assert_eq(t.peer.b[0], 9);
    cr_assert_eq(t.time_ms, 1700000000000 + now_us / 1000);
}

Test(prober, signs_a_token_for_who_returns_the_cookie)
{
    struct stun m = token_request();

    cr_assert_eq(ask(0, &m), 76);
    expect("a1p1>203.0.113.5:4000 52 mapped=203.0.113.5:4000 origin=- other=- error=0 cookie");
    memcpy(m.cookie, answer.cookie, sizeof m.cookie);
    now_us += 50000;
    ask(0, &m);
    expect("a1p1>203.0.113.5:4000 168 mapped=203.0.113.5:4000 origin=- other=- error=0 token");
    expect_token();
    cr_assert_eq(core.n.bad_cookie, 0);
}

Test(prober, a_request_without_room_for_a_cookie_gets_one_still)
{
    struct stun m = token_request();

    m.has_cookie = false;
    cr_assert_eq(ask(0, &m), 56);
    expect("a1p1>203.0.113.5:4000 52 mapped=203.0.113.5:4000 origin=- other=- error=0 cookie");
}

Test(prober, a_cookie_is_good_for_its_own_source_and_socket_only)
{
    struct stun m = token_request();

    ask(0, &m);
    memcpy(m.cookie, answer.cookie, sizeof m.cookie);
    ask(1, &m);
    cr_assert(answer.has_cookie && answer.token.len == 0, "another socket");
    client.port++;
    ask(0, &m);
    cr_assert(answer.has_cookie && answer.token.len == 0, "another port");
    client.port--;
    client.ip[3]++;
    ask(0, &m);
    cr_assert(answer.has_cookie && answer.token.len == 0, "another address");
    client.ip[3]--;
    for (size_t bit = 0; bit < 8 * sizeof m.cookie; bit++) {
        m.cookie[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ask(0, &m);
        cr_assert(answer.has_cookie && answer.token.len == 0, "bit %zu", bit);
        m.cookie[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    cr_assert_eq(core.n.bad_cookie, 3 + 8 * STUN_COOKIE_BYTES);
    ask(0, &m);
    expect_token();
}

Test(prober, a_cookie_outlives_one_rotation_and_not_two)
{
    struct stun m = token_request();

    ask(0, &m);
    memcpy(m.cookie, answer.cookie, sizeof m.cookie);
    now_us += COOKIE_ROTATE_US;
    ask(0, &m);
    expect_token();
    now_us += COOKIE_ROTATE_US;
    ask(0, &m);
    cr_assert(answer.has_cookie && answer.token.len == 0);

    memcpy(m.cookie, answer.cookie, sizeof m.cookie);
    now_us += 2 * COOKIE_ROTATE_US; /* one step for both rotations, as after a suspend */
    ask(0, &m);
    cr_assert(answer.has_cookie && answer.token.len == 0);
}

Test(prober, signs_no_more_than_the_budget_of_a_source)
{
    struct stun m = token_request();
    int tokens = 0;

    ask(0, &m);
    memcpy(m.cookie, answer.cookie, sizeof m.cookie);
    for (int i = 0; i < SIGNING_BUDGET + 10; i++) {
        ask(0, &m);
        tokens += answer.token.len > 0;
        cr_assert(answer.token.len > 0 || answer_len == 52);
    }
    cr_assert_eq(tokens, SIGNING_BUDGET);
}

/* ---- padding, another port ------------------------------------------------------------------------------ */

/* A request with the cookie that the prober gives this client. */
static struct stun proven_request(void)
{
    struct stun first = token_request(), m = request();

    ask(0, &first);
    m.has_cookie = true;
    memcpy(m.cookie, answer.cookie, sizeof m.cookie);
    return m;
}

Test(prober, sends_to_another_port_of_who_returned_the_cookie)
{
    struct stun m = proven_request();

    m.response_port = 5000;
    ask(0, &m);
    expect("a1p1>203.0.113.5:5000 56 mapped=203.0.113.5:4000 origin=198.51.100.1:3478 "
           "other=198.51.100.2:3479 error=0");
    m.has_change = true;
    m.change = STUN_CHANGE_IP | STUN_CHANGE_PORT;
    ask(0, &m);
    cr_assert_eq(out.v[0].dgram.sock, 3);
    cr_assert_eq(out.v[0].dgram.dst.port, 5000);
    m.cookie[0] ^= 1;
    ask(0, &m);
    expect("a1p1>203.0.113.5:4000 36 mapped=- origin=- other=- error=420");
}

Test(prober, pads_its_answer_to_who_returned_the_cookie_and_fills_one_datagram_at_most)
{
    struct stun m = proven_request();

    m.has_padding = true;
    m.padding = 600;
    ask(0, &m);
    cr_assert_eq(answer_len, 56 + 4 + 600);
    m.padding = 1400;
    ask(0, &m);
    cr_assert_leq(answer_len, STUN_MAX);
    cr_assert_geq(answer.padding, 1300);
    m.cookie[0] ^= 1;
    ask(0, &m);
    expect("a1p1>203.0.113.5:4000 36 mapped=- origin=- other=- error=420");
}

Test(prober, refuses_padding_and_another_port_together_or_with_a_token)
{
    struct stun m = proven_request();

    m.has_padding = true;
    m.response_port = 5000;
    ask(0, &m);
    expect("a1p1>203.0.113.5:4000 28 mapped=- origin=- other=- error=400");
    m.has_peer = true;
    ask(0, &m);
    cr_assert_eq(answer.error, 400);
}

/* ---- claims ------------------------------------------------------------------------------------------- */

static struct stun claim(uint16_t port)
{
    struct stun m = proven_request();

    m.has_peer = true;
    m.peer.b[0] = 9;
    m.response_port = port;
    return m;
}

Test(prober, challenges_a_claimed_port_of_who_asks_and_signs_when_the_challenge_is_back)
{
    struct stun m = claim(7000);
    struct prober_list probers = {.n = 1, .v = {core.conf.info}};
    struct token t;

    size_t asked = ask(0, &m);
    expect("a1p1>203.0.113.5:7000 52 mapped=203.0.113.5:4000 origin=- other=- error=0 cookie");
    cr_assert_lt(answer_len, asked);
    memcpy(m.cookie, answer.cookie, sizeof m.cookie);
    ask(0, &m);
    expect("a1p1>203.0.113.5:4000 168 mapped=203.0.113.5:4000 origin=- other=- error=0 token");
    cr_assert(token_verify(&answer.token, &probers, &t));
    cr_assert(t.mapped && t.addr.port == 7000 && t.peer.b[0] == 9);
    cr_assert_eq(core.n.challenges, 1);
}

Test(prober, a_challenge_is_good_for_the_claimed_port_and_nothing_else)
{
    struct stun m = claim(7000), plain = token_request();
    struct token t;

    ask(0, &m);
    memcpy(m.cookie, answer.cookie, sizeof m.cookie);
    m.response_port = 7001;
    ask(0, &m);
    expect("a1p1>203.0.113.5:4000 36 mapped=- origin=- other=- error=420");
    m.response_port = 4000; /* nor is the cookie of a source the answer to a challenge */
    memcpy(plain.cookie, m.cookie, sizeof m.cookie);
    ask(0, &plain);
    cr_assert(answer.has_cookie && answer.token.len == 0);
    m = claim(4000);
    ask(0, &m);
    cr_assert(answer.has_cookie && answer.token.len == 0, "the own port is challenged as well");
    memcpy(m.cookie, answer.cookie, sizeof m.cookie);
    ask(0, &m);
    cr_assert(token_read(&answer.token, &t) && t.mapped);
}

Test(prober, challenges_a_source_within_a_budget)
{
    struct stun m = claim(7000);

    for (int i = 0; i < CHALLENGE_BUDGET; i++) {
        ask(0, &m);
        cr_assert_eq(answer.error, 0);
    }
    ask(0, &m);
    expect("a1p1>203.0.113.5:4000 28 mapped=- origin=- other=- error=500");
}

Test(prober, answers_clients_of_rfc_3489)
{
    static const uint8_t ask_ip[] = "\0\1\0\x08"
                                    "0123456789abcdef"
                                    "\0\3\0\4\0\0\0\6";

    feed(0, ask_ip, 28);
    cr_assert_eq(out.n, 1);
    cr_assert_eq(out.v[0].dgram.sock, 3);
    cr_assert_eq(out.v[0].dgram.len, 56);
    cr_assert_eq(memcmp(out.v[0].dgram.data + 4, "0123456789abcdef", 16), 0);
}

/* ---- strangers ---------------------------------------------------------------------------------------- */

Test(prober, is_silent_to_what_is_no_request)
{
    static const uint16_t types[] = {STUN_BINDING_RESPONSE, STUN_BINDING_ERROR, 0x0011, 0x0003};
    struct stun m = request();
    uint8_t buf[STUN_MAX];

    for (size_t i = 0; i < 4; i++) {
        m.type = types[i];
        ask(0, &m);
        expect("");
    }
    cr_assert_eq(core.n.not_request, 4);
    feed(0, "", 0);
    feed(0, "\x09 a punch that came to the wrong port", 37);
    cr_assert_eq(core.n.not_stun, 2);
    m = request();
    m.has_fingerprint = true;
    size_t len = stun_encode(&m, buf);
    buf[len - 1] ^= 1;
    feed(0, buf, len);
    expect("");
    client.port = 0;
    buf[len - 1] ^= 1;
    feed(0, buf, len);
    expect("");
    cr_assert_eq(core.n.malformed, 2);
}

Test(prober, never_answers_garbage_with_more_than_its_bound)
{
    struct rng r;
    size_t answered = 0;

    rng_seed(&r, 3);
    for (int i = 0; i < 100000; i++) {
        struct stun m =
            rng_below(&r, 2) ? token_request() : change_request((uint32_t)rng_below(&r, 8));
        uint8_t buf[STUN_MAX + 64] = {0};

        m.has_fingerprint = rng_below(&r, 4) == 0;
        if (rng_below(&r, 4) == 0)
            m.has_change = false;
        size_t len = stun_encode(&m, buf);
        for (uint64_t n = rng_below(&r, 6); n > 0; n--)
            buf[20 + rng_below(&r, len - 20 + 1)] = (uint8_t)rng_u64(&r);
        client = rng_below(&r, 2) ? addr_v4(10, 0, 0, (uint8_t)rng_u64(&r), 1)
                                  : (struct addr){
                                        16, {0x20, 1, (uint8_t)rng_u64(&r)},
                                         1
        };
        now_us += 100;
        feed((uint8_t)rng_below(&r, 4), buf, len);
        for (size_t k = 0; k < out.n; k++)
            if (out.v[k].kind == OUT_DATAGRAM) {
                cr_assert_leq(out.v[k].dgram.len * 10, len * DISCOVERY_TENTHS);
                cr_assert(addr_eq(&out.v[k].dgram.dst, &client));
                answered++;
            }
        cr_assert_leq(out.n, 3, "a hello to two, and one answer");
    }
    cr_assert_gt(answered, 10000);
}

/* ---- gateways ---------------------------------------------------------------------------------- */

static bool suspected_after(unsigned requests, struct addr src)
{
    struct stun m = request();

    for (unsigned i = 0; i < requests; i++) {
        client = src;
        client.port = (uint16_t)(src.port + i);
        ask(0, &m);
    }
    return gateway_suspected(&core.gateway);
}

Test(prober, suspects_a_gateway_when_all_requests_come_from_one_private_address)
{
    struct addr bridge = addr_v4(172, 17, 0, 1, 40000);

    cr_assert_not(suspected_after(GATEWAY_REQUESTS - 1, bridge));
    feed(0, "garbage", 7);
    cr_assert_not(gateway_suspected(&core.gateway), "garbage is no client");
    cr_assert(suspected_after(1, bridge));
    cr_assert(addr_ip_eq(&core.gateway.ip, &bridge));
    cr_assert(suspected_after(GATEWAY_REQUESTS, bridge));
    cr_assert_not(suspected_after(1, addr_v4(203, 0, 113, 9, 4000)), "a client is seen as it is");
    cr_assert_not(suspected_after(2 * GATEWAY_REQUESTS, bridge), "so that one is a client as well");
}

Test(prober, suspects_no_gateway_where_clients_are_told_apart_or_private_like_itself)
{
    cr_assert_not(suspected_after(GATEWAY_REQUESTS, addr_v4(172, 32, 0, 1, 1)), "public");
    use_addresses(4);
    suspected_after(1, addr_v4(10, 0, 0, 1, 1));
    cr_assert_not(suspected_after(GATEWAY_REQUESTS, addr_v4(10, 0, 0, 2, 1)), "two");
    use_addresses(4);
    conf.info.addrs[0] = addr_v4(192, 168, 1, 1, 3478);
    prober_init(&core, &conf, (const uint8_t[32]){7});
    cr_assert_not(suspected_after(GATEWAY_REQUESTS, addr_v4(192, 168, 1, 2, 1)),
                  "a private network");
}

Test(prober, says_hello_every_second_to_both)
{
    struct input in = {.kind = IN_TICK};
    char line[512];

    in.now_us = prober_deadline(&core);
    cr_assert_eq(in.now_us, 1000 + HELLO_EVERY_US);
    prober_step(&core, &in, &out);
    cr_assert_eq(out.n, 2);
    cr_assert_eq(out.v[0].to, SERVICE_coordinator);
    cr_assert_eq(out.v[1].to, SERVICE_classifier);
    for (size_t i = 0; i < 2; i++) {
        msg_format(&out.v[i].msg, line, sizeof line);
        cr_assert_str_eq(line, "prober_hello probers=[198.51.100.1:3478,198.51.100.1:3479,"
                               "198.51.100.2:3478,198.51.100.2:3479] heard=no places=[]");
        cr_assert_eq(memcmp(out.v[i].msg.prober_hello.probers.v[0].key, conf.info.key, 32), 0);
    }
    cr_assert_eq(prober_deadline(&core), in.now_us + HELLO_EVERY_US);
}

Test(prober, signs_nothing_for_an_address_inside_somebodys_network)
{
    static const char *const inside[] = {"10.0.0.5:4000", "127.0.0.1:4000", "192.168.1.1:53",
                                         "100.64.0.1:4000", "169.254.1.1:4000"};
    struct stun m = token_request();

    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        cr_assert(addr_parse(inside[i], &client));
        ask(0, &m);
        cr_assert_null(strstr(said, "cookie"), "%s", inside[i]);
        cr_assert_not_null(strstr(said, "mapped="), "%s", inside[i]);
    }
    cr_assert_eq(core.n.fenced, 5);
    cr_assert_eq(core.n.cookies + core.n.tokens, 0);
}

Test(prober, is_silent_to_a_source_that_is_no_hosts)
{
    static const char *const nobodys[] = {"224.0.0.1:4000", "0.0.0.0:4000", "255.255.255.255:4000",
                                          "[2002:a00::1]:4000", "203.0.113.5:0"};
    struct stun m = request();

    for (size_t i = 0; i < sizeof nobodys / sizeof *nobodys; i++) {
        cr_assert(addr_parse(nobodys[i], &client));
        ask(0, &m);
        expect("");
    }
    cr_assert_eq(core.n.malformed, 5);
}

/* ---- ports where servers listen ---------------------------------------------------------------- */

Test(prober, a_source_port_where_servers_listen_gets_no_answer)
{
    struct stun plain = {.type = STUN_BINDING_REQUEST};

    cr_assert(ports_parse(PORTS_REFUSED, &conf.refused));
    use_addresses(4);
    for (unsigned i = 0; i < 3; i++) {
        client.port = (uint16_t[]){7, 53, 11211}[i];
        ask(0, &plain);
        cr_assert_str_eq(said, "", "port %u", client.port);
    }
    cr_assert_eq(core.n.refused_ports, 3);
    client.port = 54;
    ask(0, &plain);
    cr_assert_str_neq(said, "");
    plain.response_port = 53; /* where an answer is to go */
    ask(0, &plain);
    cr_assert_str_eq(said, "");
    cr_assert_eq(core.n.refused_ports, 4);
}

Test(prober, a_list_of_ports_is_one_or_is_refused)
{
    static const char *const wrong[] = {",",   "7,", ",7", "7,,9", "65536",
                                        "7;9", " 7", "-1", "x",    "99999999999"};
    struct ports p;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_not(ports_parse(wrong[i], &p), "%s", wrong[i]);
    cr_assert(ports_parse("", &p) && !ports_has(&p, 0));
    cr_assert(ports_parse("0,65535", &p));
    cr_assert(ports_has(&p, 0) && ports_has(&p, 65535) && !ports_has(&p, 1) && !ports_has(&p, 7));
}
