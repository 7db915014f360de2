/* prober_bed.c - see prober_bed.h. */
#include "tests/lib/prober_bed.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

void prober_bed_addresses(struct prober_bed *b, uint8_t n)
{
    static const uint8_t rng_key[32] = {7};

    b->conf.info.n_addrs = n;
    for (uint8_t i = 0; i < n; i++)
        b->conf.info.addrs[i] = addr_v4(198, 51, 100, (uint8_t)(1 + i / 2), i % 2 ? 3479 : 3478);
    prober_init(&b->core, &b->conf, rng_key);
    b->now_us = 1000;
    prober_step(&b->core, &(struct input){.kind = IN_TICK, .now_us = b->now_us}, &b->out);
}

void prober_bed_init(struct prober_bed *b)
{
    static const uint8_t seed[32] = {1};

    cr_assert_geq(sodium_init(), 0);
    memset(b, 0, sizeof *b);
    crypto_sign_seed_keypair(b->conf.info.key, b->conf.secret, seed);
    b->client = addr_v4(203, 0, 113, 5, 4000);
    prober_bed_addresses(b, 4);
}

void prober_bed_feed(struct prober_bed *b, uint8_t sock, const void *data, size_t len)
{
    static const char *const socks[] = {"a1p1", "a1p2", "a2p1", "a2p2"};
    struct input in = {
        .kind = IN_DATAGRAM, .now_us = b->now_us, .wall_ms = 1700000000000 + b->now_us / 1000};
    size_t n = 0;

    in.dgram.data = data;
    in.dgram.len = len;
    in.dgram.src = b->client;
    in.dgram.sock = sock;
    prober_step(&b->core, &in, &b->out);
    b->said[0] = '\0';
    for (size_t i = 0; i < b->out.n; i++) {
        const struct output *o = &b->out.v[i];
        char dst[ADDR_TEXT_MAX], mapped[ADDR_TEXT_MAX], origin[ADDR_TEXT_MAX], other[ADDR_TEXT_MAX];
        if (o->kind != OUT_DATAGRAM)
            continue;
        if (!stun_parse(o->dgram.data, o->dgram.len, &b->answer))
            continue; /* an answer of RFC 3489, which only its clients read */
        b->answer_len = o->dgram.len;
        n += (size_t)snprintf(
            b->said + n, sizeof b->said - n, "%s>%s %u mapped=%s origin=%s other=%s error=%u%s%s",
            socks[o->dgram.sock], addr_format(&o->dgram.dst, dst, sizeof dst), o->dgram.len,
            addr_format(&b->answer.mapped, mapped, sizeof mapped),
            addr_format(&b->answer.origin, origin, sizeof origin),
            addr_format(&b->answer.other, other, sizeof other), b->answer.error,
            b->answer.has_cookie ? " cookie" : "", b->answer.token.len ? " token" : "");
    }
}

size_t prober_bed_ask(struct prober_bed *b, uint8_t sock, const struct stun *m)
{
    uint8_t buf[STUN_MAX];
    size_t len = stun_encode(m, buf);

    prober_bed_feed(b, sock, buf, len);
    return len;
}

struct stun prober_bed_request(void)
{
    static const uint8_t txid[STUN_TXID_BYTES] = {1, 2, 3};

    return stun_request(txid);
}

struct stun prober_bed_change_request(uint32_t flags)
{
    struct stun m = prober_bed_request();

    m.has_change = true;
    m.change = flags;
    return m;
}

struct stun prober_bed_token_request(void)
{
    struct stun m = prober_bed_request();

    m.has_peer = m.has_cookie = true;
    m.peer.b[0] = 9;
    return m;
}
