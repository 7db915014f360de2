/*
 * test_prober.c - the prober's core, one datagram at a time: what comes back, from which socket, and
 * how large.
 */
#include "tests/lib/prober_bed.h"

#include <criterion/criterion.h>

static struct prober_bed bed, *const b = &bed;

static void setup(void) { prober_bed_init(b); }

TestSuite(prober, .init = setup, .timeout = 20);

static void spend_budget(void)
{
    struct stun m = prober_bed_request();

    for (int i = 0; i < DISCOVERY_BUDGET; i++) {
        prober_bed_ask(b, 0, &m);
        cr_assert_eq(b->answer_len, 56, "request %d", i);
    }
}

Test(prober, answers_with_the_address_it_sees_and_where_else_to_ask)
{
    struct stun m = prober_bed_request();

    cr_assert_eq(prober_bed_ask(b, 0, &m), 20);
    expect(b, "a1p1>203.0.113.5:4000 56 mapped=203.0.113.5:4000 origin=198.51.100.1:3478 "
              "other=198.51.100.2:3479 error=0");
    cr_assert_eq(memcmp(b->answer.txid, m.txid, sizeof m.txid), 0);
    prober_bed_ask(b, 1, &m);
    expect(b, "a1p2>203.0.113.5:4000 56 mapped=203.0.113.5:4000 origin=198.51.100.1:3479 "
              "other=198.51.100.2:3478 error=0");
    prober_bed_ask(b, 2, &m);
    expect(b, "a2p1>203.0.113.5:4000 56 mapped=203.0.113.5:4000 origin=198.51.100.2:3478 "
              "other=198.51.100.1:3479 error=0");
}

Test(prober, answers_plainly_over_the_budget_of_a_source)
{
    struct stun m = prober_bed_request();

    spend_budget();
    prober_bed_ask(b, 0, &m);
    expect(b, "a1p1>203.0.113.5:4000 32 mapped=203.0.113.5:4000 origin=- other=- error=0");
    b->client.port++; /* another port is the same source */
    prober_bed_ask(b, 3, &m);
    cr_assert_eq(b->answer_len, 32);
    b->client.ip[3]++; /* another source has its own budget */
    prober_bed_ask(b, 0, &m);
    cr_assert_eq(b->answer_len, 56);
    b->client.ip[3]--;
    b->now_us += BUDGET_WINDOW_US / DISCOVERY_BUDGET;
    prober_bed_ask(b, 0, &m);
    cr_assert_eq(b->answer_len, 56, "one unit is regained");
    prober_bed_ask(b, 0, &m);
    cr_assert_eq(b->answer_len, 32);
    b->now_us += BUDGET_WINDOW_US;
    spend_budget();
    cr_assert_eq(b->core.n.over_budget, 3);
}

Test(prober, answers_plainly_when_its_table_of_sources_is_full)
{
    struct stun m = prober_bed_request();
    size_t rich = 0, plain = 0;

    for (uint32_t i = 0; i < 4 * BUDGET_SETS * BUDGET_WAYS; i++) {
        b->client = addr_v4(10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i, 5000);
        prober_bed_ask(b, 0, &m);
        rich += b->answer_len == 56;
        plain += b->answer_len == 32;
    }
    cr_assert_eq(rich + plain, 4 * BUDGET_SETS * BUDGET_WAYS);
    cr_assert_leq(rich, BUDGET_SETS * BUDGET_WAYS);
    cr_assert_geq(rich, BUDGET_SETS * BUDGET_WAYS * 9 / 10);
    b->now_us += BUDGET_WINDOW_US; /* and recovers */
    prober_bed_ask(b, 0, &m);
    cr_assert_eq(b->answer_len, 56);
}

Test(prober, answers_from_the_socket_that_is_asked_for)
{
    struct stun port = prober_bed_change_request(STUN_CHANGE_PORT),
                ip = prober_bed_change_request(STUN_CHANGE_IP),
                both = prober_bed_change_request(STUN_CHANGE_PORT | STUN_CHANGE_IP),
                none = prober_bed_change_request(0);

    cr_assert_eq(prober_bed_ask(b, 0, &port), 28);
    expect(b, "a1p2>203.0.113.5:4000 56 mapped=203.0.113.5:4000 origin=198.51.100.1:3479 "
              "other=198.51.100.2:3479 error=0");
    prober_bed_ask(b, 0, &ip);
    expect(b, "a2p1>203.0.113.5:4000 56 mapped=203.0.113.5:4000 origin=198.51.100.2:3478 "
              "other=198.51.100.2:3479 error=0");
    prober_bed_ask(b, 0, &both);
    expect(b, "a2p2>203.0.113.5:4000 56 mapped=203.0.113.5:4000 origin=198.51.100.2:3479 "
              "other=198.51.100.2:3479 error=0");
    prober_bed_ask(b, 3, &both);
    cr_assert_eq(memcmp(b->said, "a1p1>", 5), 0);
    prober_bed_ask(b, 2, &none);
    cr_assert_eq(memcmp(b->said, "a2p1>", 5), 0);
}

Test(prober, refuses_another_socket_over_the_budget)
{
    struct stun m = prober_bed_change_request(STUN_CHANGE_IP);

    spend_budget();
    prober_bed_ask(b, 0, &m);
    expect(b, "a1p1>203.0.113.5:4000 28 mapped=- origin=- other=- error=500");
}

/* It is real, so that no victim pays, and shares its address with many behind a carrier's NAT. */
Test(prober, who_returned_a_cookie_may_ask_for_another_socket_over_that_budget)
{
    struct stun first = prober_bed_token_request(),
                m = prober_bed_change_request(STUN_CHANGE_IP | STUN_CHANGE_PORT);

    spend_budget();
    prober_bed_ask(b, 0, &first);
    m.has_cookie = true;
    memcpy(m.cookie, b->answer.cookie, sizeof m.cookie);
    prober_bed_ask(b, 0, &m);
    expect(b, "a2p2>203.0.113.5:4000 56 mapped=203.0.113.5:4000 origin=198.51.100.2:3479 "
              "other=198.51.100.2:3479 error=0");
    m.cookie[0] ^= 1;
    prober_bed_ask(b, 0, &m);
    cr_assert_eq(b->answer.error, 500);
    m.cookie[0] ^= 1;
    for (int i = 1; i < SIGNING_BUDGET; i++)
        prober_bed_ask(b, 0, &m);
    cr_assert_eq(b->answer.error, 0);
    prober_bed_ask(b, 0, &m);
    cr_assert_eq(b->answer.error, 500);
}

Test(prober, with_one_address_says_so)
{
    struct stun plain = prober_bed_request(), m = prober_bed_change_request(STUN_CHANGE_PORT),
                none = prober_bed_change_request(0);

    prober_bed_addresses(b, 2);
    prober_bed_ask(b, 1, &plain);
    expect(b, "a1p2>203.0.113.5:4000 44 mapped=203.0.113.5:4000 origin=198.51.100.1:3479 other=- "
              "error=0");
    prober_bed_ask(b, 0, &m);
    expect(b, "a1p1>203.0.113.5:4000 36 mapped=- origin=- other=- error=420");
    cr_assert_eq(memcmp(b->out.v[0].dgram.data + 28, "\0\x0a\0\2\0\3\0\0", 8), 0);
    prober_bed_ask(b, 0, &none);
    cr_assert_eq(b->answer.error, 0);
}

Test(prober, names_the_attributes_that_it_does_not_understand)
{
    uint8_t buf[STUN_MAX];
    struct stun m = prober_bed_request();

    stun_encode(&m, buf);
    memcpy(buf + 20, "\0\x27\0\4\x12\x34\0\0\0\x26\0\0", 12); /* RESPONSE-PORT, PADDING */
    buf[3] = 12;
    prober_bed_feed(b, 0, buf, 32);
    expect(b, "a1p1>203.0.113.5:4000 36 mapped=- origin=- other=- error=420");
    cr_assert_eq(memcmp(b->out.v[0].dgram.data + 28, "\0\x0a\0\4\0\x26\0\x27", 8), 0);
    memcpy(buf + 20, "\x7f\xff\0\0", 4); /* the smallest request that can be so */
    buf[3] = 4;
    prober_bed_feed(b, 0, buf, 24);
    cr_assert_eq(b->answer_len, 36);
}

Test(prober, returns_a_fingerprint_for_a_fingerprint)
{
    struct stun m = prober_bed_request();

    m.has_fingerprint = true;
    cr_assert_eq(prober_bed_ask(b, 0, &m), 28);
    cr_assert(b->answer.has_fingerprint);
    cr_assert_eq(b->answer_len, 64);
    m.has_fingerprint = false;
    prober_bed_ask(b, 0, &m);
    cr_assert_not(b->answer.has_fingerprint);
}

Test(prober, ipv6_needs_the_budget_for_a_bare_request)
{
    struct stun m = prober_bed_request();

    for (uint8_t i = 0; i < 4; i++)
        b->conf.info.addrs[i] = (struct addr){
            16, {0x20, 1, 0xd, 0xb8, [15] = 1 + i / 2},
             i % 2 ? 3479 : 3478
        };
    prober_init(&b->core, &b->conf, (const uint8_t[32]){7});
    cr_assert(addr_parse("[2001:db8::1]:9", &b->client));
    m = prober_bed_change_request(
        0); /* 28 bytes: plain within 1.6 x, and more is not within 2.8 x */
    for (int i = 0; i < 2 * DISCOVERY_BUDGET; i++) {
        prober_bed_ask(b, 0, &m);
        cr_assert_eq(b->answer_len, 44);
    }
    m = prober_bed_request();
    for (int i = 0; i < DISCOVERY_BUDGET; i++) {
        b->client.ip[7]++; /* a /56 is one source */
        prober_bed_ask(b, 0, &m);
        cr_assert_eq(b->answer_len, 44);
    }
    prober_bed_ask(b, 0, &m);
    expect(b, "");
    m.has_fingerprint = true; /* 52 bytes to 28 */
    prober_bed_ask(b, 0, &m);
    expect(b, "");
    cr_assert_eq(b->core.n.over_bound, 2);
    m = prober_bed_token_request(); /* large enough to be answered freely */
    prober_bed_ask(b, 0, &m);
    cr_assert_eq(b->answer_len, 64);
    b->client.ip[6]++;
    m = prober_bed_change_request(STUN_CHANGE_IP);
    prober_bed_ask(b, 0, &m);
    cr_assert_eq(memcmp(b->said, "a2p1>", 5), 0);
    cr_assert_eq(b->answer_len, 44, "RESPONSE-ORIGIN and OTHER-ADDRESS would be more than 2.8 x");
}

Test(prober, answers_clients_of_rfc_3489)
{
    static const uint8_t ask_ip[] = "\0\1\0\x08"
                                    "0123456789abcdef"
                                    "\0\3\0\4\0\0\0\6";

    prober_bed_feed(b, 0, ask_ip, 28);
    cr_assert_eq(b->out.n, 1);
    cr_assert_eq(b->out.v[0].dgram.sock, 3);
    cr_assert_eq(b->out.v[0].dgram.len, 56);
    cr_assert_eq(memcmp(b->out.v[0].dgram.data + 4, "0123456789abcdef", 16), 0);
}

Test(prober, says_hello_every_second_to_both)
{
    struct input in = {.kind = IN_TICK};
    char line[512];

    in.now_us = prober_deadline(&b->core);
    cr_assert_eq(in.now_us, 1000 + HELLO_EVERY_US);
    prober_step(&b->core, &in, &b->out);
    cr_assert_eq(b->out.n, 2);
    cr_assert_eq(b->out.v[0].to, SERVICE_coordinator);
    cr_assert_eq(b->out.v[1].to, SERVICE_classifier);
    for (size_t i = 0; i < 2; i++) {
        msg_format(&b->out.v[i].msg, line, sizeof line);
        cr_assert_str_eq(line, "prober_hello probers=[198.51.100.1:3478,198.51.100.1:3479,"
                               "198.51.100.2:3478,198.51.100.2:3479] heard=no places=[] "
                               "daykeys=[cecc:0,cecc:1]");
        cr_assert_eq(memcmp(b->out.v[i].msg.prober_hello.probers.v[0].key, b->conf.info.key, 32),
                     0);
    }
    cr_assert_eq(prober_deadline(&b->core), in.now_us + HELLO_EVERY_US);
}

/* ---- strangers ------------------------------------------------------------------------------- */

Test(prober, is_silent_to_what_is_no_request)
{
    static const uint16_t types[] = {STUN_BINDING_RESPONSE, STUN_BINDING_ERROR, 0x0011, 0x0003};
    struct stun m = prober_bed_request();
    uint8_t buf[STUN_MAX];

    for (size_t i = 0; i < 4; i++) {
        m.type = types[i];
        prober_bed_ask(b, 0, &m);
        expect(b, "");
    }
    cr_assert_eq(b->core.n.not_request, 4);
    prober_bed_feed(b, 0, "", 0);
    prober_bed_feed(b, 0, "\x09 a punch that came to the wrong port", 37);
    cr_assert_eq(b->core.n.not_stun, 2);
    m = prober_bed_request();
    m.has_fingerprint = true;
    size_t len = stun_encode(&m, buf);
    buf[len - 1] ^= 1;
    prober_bed_feed(b, 0, buf, len);
    expect(b, "");
    b->client.port = 0;
    buf[len - 1] ^= 1;
    prober_bed_feed(b, 0, buf, len);
    expect(b, "");
    cr_assert_eq(b->core.n.malformed, 2);
}

Test(prober, never_answers_garbage_with_more_than_its_bound)
{
    struct rng r;
    size_t answered = 0;

    rng_seed(&r, 3);
    for (int i = 0; i < 100000; i++) {
        struct stun m = rng_below(&r, 2) ? prober_bed_token_request()
                                         : prober_bed_change_request((uint32_t)rng_below(&r, 8));
        uint8_t buf[STUN_MAX + 64] = {0};

        m.has_fingerprint = rng_below(&r, 4) == 0;
        if (rng_below(&r, 4) == 0)
            m.has_change = false;
        size_t len = stun_encode(&m, buf);
        for (uint64_t n = rng_below(&r, 6); n > 0; n--)
            buf[20 + rng_below(&r, len - 20 + 1)] = (uint8_t)rng_u64(&r);
        b->client = rng_below(&r, 2) ? addr_v4(10, 0, 0, (uint8_t)rng_u64(&r), 1)
                                     : (struct addr){
                                           16, {0x20, 1, (uint8_t)rng_u64(&r)},
                                            1
        };
        b->now_us += 100;
        prober_bed_feed(b, (uint8_t)rng_below(&r, 4), buf, len);
        for (size_t k = 0; k < b->out.n; k++)
            if (b->out.v[k].kind == OUT_DATAGRAM) {
                cr_assert_leq(b->out.v[k].dgram.len * 10, len * DISCOVERY_TENTHS);
                cr_assert(addr_eq(&b->out.v[k].dgram.dst, &b->client));
                answered++;
            }
        cr_assert_leq(b->out.n, 3, "a hello to two, and one answer");
    }
    cr_assert_gt(answered, 10000);
}
