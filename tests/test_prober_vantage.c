/*
 * test_prober_vantage.c - probers of one address that lend each other theirs, one input at a time: two cores
 * and the links between them.
 */
#include "lib/token.h"
#include "services/prober/prober.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { NEAR, FAR };

static struct prober core[2];
static struct prober_conf conf[2];
static struct outputs out;
static int64_t now_us;
static struct addr client;
static char said[512];
static bool cut[2]; /* what this one sends to the other is lost */

static void start(unsigned which)
{
    const uint8_t rng_key[32] = {(uint8_t)(7 + which)};

    prober_init(&core[which], &conf[which], rng_key);
}

static void setup(void)
{
    cr_assert_geq(sodium_init(), 0);
    memset(conf, 0, sizeof conf);
    for (uint8_t i = 0; i < 2; i++) {
        const uint8_t seed[32] = {i};
        crypto_sign_seed_keypair(conf[i].info.key, conf[i].secret, seed);
        conf[i].info.n_addrs = 2;
        conf[i].info.addrs[0] = addr_v4(198, 51, (uint8_t)(100 + i), 1, 3478);
        conf[i].info.addrs[1] = addr_v4(198, 51, (uint8_t)(100 + i), 1, 3479);
        conf[i].n_partners = 1;
    }
    memcpy(conf[NEAR].partners[0], conf[FAR].info.key, 32);
    memcpy(conf[FAR].partners[0], conf[NEAR].info.key, 32);
    conf[FAR].no_bus = true;
    client = addr_v4(203, 0, 113, 5, 4000);
    now_us = 1000;
    start(NEAR);
    start(FAR);
}

TestSuite(prober_vantage, .init = setup, .timeout = 20);

static void step(unsigned which, struct input *in);

/* Carry a message of one to the other one, as the link of number 1. */
static void carry(unsigned from, const struct msg *m)
{
    struct input in = {.kind = IN_MSG};

    in.msg = m;
    in.from = (struct sender){.service = SERVICE_prober, .link = 1};
    step(!from, &in);
}

static void note(unsigned which, const struct output *o)
{
    char dst[ADDR_TEXT_MAX], origin[ADDR_TEXT_MAX], other[ADDR_TEXT_MAX];
    struct stun m;
    size_t n = strlen(said);

    cr_assert(stun_parse(o->dgram.data, o->dgram.len, &m));
    cr_assert(m.error != 0 || addr_eq(&m.mapped, &client));
    snprintf(said + n, sizeof said - n, "%s:p%d>%s %u origin=%s other=%s error=%u ",
             which == NEAR ? "near" : "far", o->dgram.sock + 1,
             addr_format(&o->dgram.dst, dst, sizeof dst), o->dgram.len,
             addr_format(&m.origin, origin, sizeof origin),
             addr_format(&m.other, other, sizeof other), m.error);
}

/* Step one core; its messages to the other arrive at once, and its answers are noted. */
static void step(unsigned which, struct input *in)
{
    struct outputs *own = malloc(sizeof *own);

    in->now_us = now_us;
    in->wall_ms = 1700000000000 + now_us / 1000;
    prober_step(&core[which], in, own);
    for (size_t i = 0; i < own->n; i++) {
        const struct output *o = &own->v[i];
        if (o->kind == OUT_DATAGRAM)
            note(which, o);
        else if (o->link != 0 && !cut[which])
            carry(which, &o->msg);
    }
    out = *own;
    free(own);
}

static void tick(unsigned which) { step(which, &(struct input){.kind = IN_TICK}); }

/* So many seconds with the hellos that are due in them. */
static void pass(unsigned seconds)
{
    for (; seconds > 0; seconds--) {
        now_us += HELLO_EVERY_US;
        tick(NEAR);
        tick(FAR);
    }
    said[0] = '\0';
}

static size_t ask(unsigned which, uint8_t sock, const struct stun *m)
{
    uint8_t buf[STUN_MAX];
    size_t len = stun_encode(m, buf);
    struct input in = {.kind = IN_DATAGRAM};

    said[0] = '\0';
    in.dgram.data = buf;
    in.dgram.len = len;
    in.dgram.src = client;
    in.dgram.sock = sock;
    step(which, &in);
    return len;
}

static struct stun request(uint32_t change)
{
    static const uint8_t txid[STUN_TXID_BYTES] = {1, 2, 3};
    struct stun m = stun_request(txid);

    m.has_change = change != 0;
    m.change = change;
    return m;
}

#define expect(text) cr_assert_str_eq(said, text)

static void expect_alone(unsigned which)
{
    struct stun plain = request(0), m = request(STUN_CHANGE_IP);

    ask(which, 0, &m);
    cr_assert_not_null(strstr(said, "error=420"), "%s", said);
    ask(which, 0, &plain);
    cr_assert_not_null(strstr(said, "other=- error=0"), "%s", said);
}

Test(prober_vantage, is_alone_until_both_have_heard_each_other)
{
    expect_alone(NEAR);
    tick(NEAR);
    expect_alone(NEAR);
    expect_alone(FAR);
    cut[FAR] = true; /* a firewall before the near one */
    pass(5);
    expect_alone(NEAR);
    cr_assert_eq(core[FAR].lender, 0, "the far one hears, and is not heard");
    cut[FAR] = false;
    pass(2);
    cr_assert_eq(core[NEAR].lender, 1);
    cr_assert_eq(core[FAR].lender, 1);
}

Test(prober_vantage, names_the_other_ones_address_and_has_it_answer_from_there)
{
    struct stun plain = request(0), ip = request(STUN_CHANGE_IP), port = request(STUN_CHANGE_PORT),
                both = request(STUN_CHANGE_IP | STUN_CHANGE_PORT);

    pass(3);
    ask(NEAR, 0, &plain);
    expect("near:p1>203.0.113.5:4000 56 origin=198.51.100.1:3478 other=198.51.101.1:3479 error=0 ");
    ask(NEAR, 0, &port);
    expect("near:p2>203.0.113.5:4000 56 origin=198.51.100.1:3479 other=198.51.101.1:3479 error=0 ");
    cr_assert_eq(ask(NEAR, 0, &ip), 28);
    expect("far:p1>203.0.113.5:4000 56 origin=198.51.101.1:3478 other=198.51.101.1:3479 error=0 ");
    ask(NEAR, 0, &both);
    expect("far:p2>203.0.113.5:4000 56 origin=198.51.101.1:3479 other=198.51.101.1:3479 error=0 ");
    ask(NEAR, 1, &both);
    expect("far:p1>203.0.113.5:4000 56 origin=198.51.101.1:3478 other=198.51.101.1:3478 error=0 ");
    ask(FAR, 0, &both);
    expect("near:p2>203.0.113.5:4000 56 origin=198.51.100.1:3479 other=198.51.100.1:3479 error=0 ");
    cr_assert_eq(core[NEAR].n.borrowed, 3);
    cr_assert_eq(core[FAR].n.lent, 3);
}

Test(prober_vantage, is_alone_again_three_seconds_after_the_other_ones_last_hello)
{
    pass(3);
    cut[FAR] = true;
    for (int i = 0; i < 4; i++) {
        now_us += HELLO_EVERY_US;
        tick(NEAR);
        cr_assert_eq(core[NEAR].lender, i < 3, "%d s", i + 1);
    }
    expect_alone(NEAR);
    cut[FAR] = false;
    start(FAR);
    pass(3);
    cr_assert_eq(core[NEAR].lender, 1);
}

Test(prober_vantage, tells_the_suite_of_the_far_one_too)
{
    char line[512];

    pass(3);
    now_us += HELLO_EVERY_US;
    tick(NEAR);
    msg_format(&out.v[0].msg, line, sizeof line);
    cr_assert_str_eq(line,
                     "prober_hello probers=[198.51.100.1:3478,198.51.100.1:3479,198.51.101.1:3478,"
                     "198.51.101.1:3479,198.51.101.1:3478,198.51.101.1:3479,198.51.100.1:3478,"
                     "198.51.100.1:3479] heard=no places=[] "
                     "daykeys=[3b6a:19675,3b6a:19676,cecc:19675,cecc:19676]");
    cr_assert_eq(out.v[0].to, SERVICE_coordinator);
    tick(FAR);
    for (size_t i = 0; i < out.n; i++)
        cr_assert_eq(out.v[i].link, 1, "there is no suite on its host");
}

static void expect_not_borrowed(void)
{
    start(NEAR);
    start(FAR);
    pass(5);
    cr_assert_eq(core[NEAR].lender, 0);
}

Test(prober_vantage, does_not_borrow_from_one_with_other_ports_or_of_another_family_or_the_same_ip)
{
    conf[FAR].info.addrs[1].port++;
    expect_not_borrowed();
    conf[FAR].info.addrs[1].port--;
    conf[FAR].info.addrs[0].ip[2] = conf[FAR].info.addrs[1].ip[2] = 100;
    expect_not_borrowed();
    for (int i = 0; i < 2; i++)
        conf[FAR].info.addrs[i] = (struct addr){
            16, {0x20, 1, 0xd, 0xb8},
             (uint16_t)(3478 + i)
        };
    expect_not_borrowed();
    cr_assert_eq(core[NEAR].n.links_refused, 0);
}

Test(prober_vantage, one_with_two_addresses_lends_and_does_not_borrow)
{
    struct stun m = request(STUN_CHANGE_IP);

    conf[FAR].info.n_addrs = 4;
    conf[FAR].info.addrs[2] = addr_v4(198, 51, 101, 2, 3478);
    conf[FAR].info.addrs[3] = addr_v4(198, 51, 101, 2, 3479);
    start(FAR);
    pass(3);
    cr_assert_eq(core[FAR].lender, 0);
    ask(NEAR, 0, &m);
    cr_assert_eq(memcmp(said, "far:p1>", 7), 0);
}

/* ---- budgets -------------------------------------------------------------------------------------- */

Test(prober_vantage, a_source_has_its_budget_at_each_and_is_told_when_it_is_spent_at_the_other)
{
    struct stun plain = request(0), m = request(STUN_CHANGE_IP);

    pass(3);
    for (int i = 0; i < DISCOVERY_BUDGET; i++) /* all that the far one has for it */
        ask(FAR, 0, &plain);
    ask(NEAR, 0, &m);
    expect("near:p1>203.0.113.5:4000 28 origin=- other=- error=500 ");
    cr_assert_eq(core[FAR].n.over_budget, 1);
    for (int i = 1; i < DISCOVERY_BUDGET; i++)
        ask(NEAR, 0, &m);
    uint64_t passed_on = core[NEAR].n.borrowed;
    ask(NEAR, 0, &m);
    expect("near:p1>203.0.113.5:4000 28 origin=- other=- error=500 ");
    cr_assert_eq(core[NEAR].n.borrowed, passed_on, "over its budget here nothing is passed on");
}

static struct stun proven(uint32_t change)
{
    struct stun m = request(0);
    uint8_t buf[STUN_MAX], raw[STUN_MAX];
    struct input in = {.kind = IN_DATAGRAM, .now_us = now_us};
    struct answer a = {.buf = raw};

    m.has_peer = m.has_cookie = true;
    in.dgram.data = buf;
    in.dgram.len = stun_encode(&m, buf);
    in.dgram.src = client;
    prober_answer(&core[NEAR], &in, &a);
    struct stun given;
    cr_assert(stun_parse(raw, a.len, &given));
    m = request(change);
    m.has_cookie = true;
    memcpy(m.cookie, given.cookie, sizeof m.cookie);
    return m;
}

Test(prober_vantage, who_returned_a_cookie_has_more_and_may_have_another_port_and_padding)
{
    struct stun m;

    pass(3);
    m = proven(STUN_CHANGE_IP);
    for (int i = 0; i < SIGNING_BUDGET; i++)
        ask(NEAR, 0, &m);
    expect("far:p1>203.0.113.5:4000 56 origin=198.51.101.1:3478 other=198.51.101.1:3479 error=0 ");
    ask(NEAR, 0, &m);
    cr_assert_not_null(strstr(said, "error=500"));
    pass(10);
    m.response_port = 5000;
    ask(NEAR, 0, &m);
    expect("far:p1>203.0.113.5:5000 56 origin=198.51.101.1:3478 other=198.51.101.1:3479 error=0 ");
    m.response_port = 0;
    m.has_padding = true;
    m.padding = 100;
    ask(NEAR, 0, &m);
    expect("far:p1>203.0.113.5:4000 160 origin=198.51.101.1:3478 other=198.51.101.1:3479 error=0 ");
}

/* ---- what a partner, or somebody on the bus, must not do -------------------------------------------- */

static struct msg lend(void)
{
    struct msg m = {.type = MSG_vantage_request};

    m.vantage_request.client = client;
    m.vantage_request.port = client.port;
    m.vantage_request.size = 28;
    m.vantage_request.txid.len = 16;
    return m;
}

static void expect_refused(const struct msg *m, unsigned line)
{
    uint64_t before = core[FAR].n.links_refused;

    said[0] = '\0';
    carry(NEAR, m);
    cr_assert_eq(core[FAR].n.links_refused, before + 1, "line %u", line);
    expect("");
}

Test(prober_vantage, refuses_what_makes_no_sense_and_what_a_cookie_would_be_needed_for)
{
    struct msg m = lend();

    pass(3);
    carry(NEAR, &m);
    cr_assert_eq(memcmp(said, "far:p1>", 7), 0, "it is good, but for:");
#define BUT(change) (m = lend(), change, expect_refused(&m, __LINE__))
    BUT(m.vantage_request.client.len = 0);
    BUT(m.vantage_request.client.port = 0);
    BUT(m.vantage_request.port = 0);
    BUT(m.vantage_request.asked = 2);
    BUT(m.vantage_request.from = 2);
    BUT(m.vantage_request.size = STUN_MAX + 1);
    BUT(m.vantage_request.txid.len = 15);
    BUT(m.vantage_request.port++);
    BUT(m.vantage_request.padded = true);
#undef BUT
    m = (struct msg){.type = MSG_vantage_refused};
    expect_refused(&m, __LINE__);
    m = (struct msg){.type = MSG_prober_hello};
    m.prober_hello.probers.n = 1;
    m.prober_hello.probers.v[0] = conf[FAR].info; /* another key than this link's */
    expect_refused(&m, __LINE__);
    m = lend();
    m.vantage_request.size = 10; /* an answer would be more than 2.8 times that */
    said[0] = '\0';
    carry(NEAR, &m);
    expect("");
    cr_assert_eq(core[FAR].n.over_bound, 1);
}

Test(prober_vantage, takes_no_word_from_its_own_bus)
{
    struct msg m = lend();
    struct input in = {.kind = IN_MSG};

    in.msg = &m;
    in.from = (struct sender){.service = SERVICE_prober};
    step(FAR, &in);
    expect("");
    cr_assert_eq(core[FAR].n.links_refused, 1);
}
