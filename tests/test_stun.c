/* test_stun.c - STUN messages: the vectors of RFC 5769, round trips, and bytes that mean harm. */
#include "lib/rng.h"
#include "lib/stun.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(stun, .timeout = 30);

/* RFC 5769 section 2.1: SOFTWARE, PRIORITY, ICE-CONTROLLED, USERNAME, MESSAGE-INTEGRITY, FINGERPRINT. */
static const uint8_t sample_request[] =
    "\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"
    "\x80\x22\x00\x10STUN test client"
    "\x00\x24\x00\x04\x6e\x00\x01\xff"
    "\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36"
    "\x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20"
    "\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71"
    "\xa2"
    "\x80\x28\x00\x04\xe5\x7a\x3b\xcf";

/* Section 2.2. */
static const uint8_t sample_ipv4[] =
    "\x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"
    "\x80\x22\x00\x0btest vector\x20"
    "\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43"
    "\x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7"
    "\xd7"
    "\x80\x28\x00\x04\xc0\x7d\x4c\x96";

/* Section 2.3. */
static const uint8_t sample_ipv6[] =
    "\x01\x01\x00\x48\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"
    "\x80\x22\x00\x0btest vector\x20"
    "\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9"
    "\xd9"
    "\x00\x08\x00\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c\x82\x92\xc2\x75\xbf\xe3\xed"
    "\x41"
    "\x80\x28\x00\x04\xc8\xfb\x0b\x4c";

static void expect_addr(const struct addr *a, const char *text)
{
    char buf[ADDR_TEXT_MAX];

    cr_assert_str_eq(addr_format(a, buf, sizeof buf), text);
}

Test(stun, reads_the_sample_request_of_rfc_5769)
{
    struct stun m;

    cr_assert(stun_parse(sample_request, sizeof sample_request - 1, &m));
    cr_assert_eq(m.type, STUN_BINDING_REQUEST);
    cr_assert_eq(memcmp(m.txid, sample_request + 8, sizeof m.txid), 0);
    cr_assert(m.has_fingerprint);
    cr_assert_eq(m.unknown, 0x0024, "PRIORITY belongs to ICE, which we don't speak");
    cr_assert_eq(m.unknown_rest[0], 0);
}

Test(stun, reads_the_ipv4_response_of_rfc_5769)
{
    struct stun m;

    cr_assert(stun_parse(sample_ipv4, sizeof sample_ipv4 - 1, &m));
    cr_assert_eq(m.type, STUN_BINDING_RESPONSE);
    expect_addr(&m.mapped, "192.0.2.1:32853");
    cr_assert(m.has_fingerprint);
    cr_assert_eq(m.unknown, 0);
}

Test(stun, reads_the_ipv6_response_of_rfc_5769)
{
    struct stun m;

    cr_assert(stun_parse(sample_ipv6, sizeof sample_ipv6 - 1, &m));
    cr_assert_eq(m.type, STUN_BINDING_RESPONSE);
    expect_addr(&m.mapped, "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
    cr_assert(m.has_fingerprint);
}

Test(stun, writes_addresses_and_fingerprints_as_rfc_5769_does)
{
    struct stun m = {.type = STUN_BINDING_RESPONSE, .has_fingerprint = true};
    uint8_t buf[STUN_MAX];

    memcpy(m.txid, sample_ipv6 + 8, sizeof m.txid);
    cr_assert(addr_parse("192.0.2.1:32853", &m.mapped));
    cr_assert_eq(stun_encode(&m, buf), 40);
    cr_assert_eq(memcmp(buf + 20, sample_ipv4 + 36, 12), 0);
    cr_assert(addr_parse("[2001:db8:1234:5678:11:2233:4455:6677]:32853", &m.mapped));
    cr_assert_eq(stun_encode(&m, buf), 52);
    cr_assert_eq(memcmp(buf + 20, sample_ipv6 + 36, 24), 0);
    cr_assert(stun_parse(buf, 52, &m));
}

static struct addr random_addr(struct rng *r)
{
    struct addr a = {.len = rng_below(r, 2) ? 4 : 16, .port = (uint16_t)rng_u64(r)};

    rng_bytes(r, a.ip, a.len);
    return a;
}

/* Each optional field with probability a half. */
static struct stun random_message(struct rng *r)
{
    static const uint16_t types[] = {STUN_BINDING_REQUEST, STUN_BINDING_RESPONSE,
                                     STUN_BINDING_ERROR};
    struct stun m = {.type = types[rng_below(r, 3)]};
    uint64_t coin = rng_u64(r);

    rng_bytes(r, m.txid, sizeof m.txid);
    if (coin & 1)
        m.mapped = random_addr(r);
    if (coin & 2)
        m.other = random_addr(r);
    if (coin & 4)
        m.origin = random_addr(r);
    if ((m.has_change = coin & 8))
        m.change = (uint32_t)rng_below(r, 4) << 1;
    if (coin & 16)
        m.error = (uint16_t)(300 + rng_below(r, 400));
    if ((m.has_peer = coin & 32))
        rng_bytes(r, m.peer.b, sizeof m.peer.b);
    if ((m.has_cookie = coin & 64))
        rng_bytes(r, m.cookie, sizeof m.cookie);
    if (coin & 128) {
        m.token.len = (uint8_t)(1 + rng_below(r, MSG_TOKEN_MAX));
        rng_bytes(r, m.token.b, m.token.len);
    }
    m.has_fingerprint = coin & 256;
    if ((m.has_padding = coin & 512))
        m.padding = (uint16_t)rng_below(r, 1000);
    if (coin & 1024)
        m.response_port = (uint16_t)rng_u64(r);
    m.daily = coin & 2048;
    return m;
}

static bool same(const struct stun *a, const struct stun *b)
{
    return a->type == b->type && memcmp(a->txid, b->txid, sizeof a->txid) == 0 &&
           addr_eq(&a->mapped, &b->mapped) && addr_eq(&a->other, &b->other) &&
           addr_eq(&a->origin, &b->origin) && a->has_change == b->has_change &&
           a->change == b->change && a->error == b->error && a->has_peer == b->has_peer &&
           peer_id_eq(&a->peer, &b->peer) && a->has_cookie == b->has_cookie &&
           a->daily == b->daily && memcmp(a->cookie, b->cookie, sizeof a->cookie) == 0 &&
           a->token.len == b->token.len && memcmp(a->token.b, b->token.b, sizeof a->token.b) == 0 &&
           a->unknown == b->unknown && a->has_padding == b->has_padding &&
           a->padding == b->padding && a->response_port == b->response_port &&
           a->has_fingerprint == b->has_fingerprint;
}

Test(stun, what_is_written_is_read_back)
{
    struct rng r;

    rng_seed(&r, 1);
    for (int i = 0; i < 20000; i++) {
        struct stun m = random_message(&r), back;
        uint8_t buf[STUN_MAX];
        size_t len = stun_encode(&m, buf);

        cr_assert(stun_is(buf, len));
        cr_assert(stun_parse(buf, len, &back), "message %d", i);
        cr_assert(same(&m, &back), "message %d", i);
    }
}

Test(stun, the_largest_message_fits)
{
    struct addr a = {
        16, {0x20, 1},
         1
    };
    struct stun m = {
        .type = STUN_BINDING_ERROR,
        .mapped = a,
        .other = a,
        .origin = a,
        .has_change = true,
        .error = 420,
        .has_peer = true,
        .has_cookie = true,
        .token = {.len = MSG_TOKEN_MAX},
        .unknown = 1,
        .unknown_rest = { 2, 3, 4},
        .response_port = 1,
        .has_fingerprint = true
    };
    uint8_t buf[STUN_MAX];

    cr_assert_eq(stun_encode(&m, buf), 332);
    m.has_padding = true;
    m.padding = UINT16_MAX; /* takes what is left */
    cr_assert_eq(stun_encode(&m, buf), STUN_MAX);
}

/* The bytes end where a guard page or ASan would notice a read past them. */
static bool parses(const uint8_t *data, size_t len)
{
    struct stun m;
    uint8_t *exact = malloc(len + !len);

    memcpy(exact, data, len);
    bool ok = stun_parse(exact, len, &m);
    free(exact);
    return ok;
}

Test(stun, refuses_a_message_cut_short_or_grown_anywhere)
{
    uint8_t longer[sizeof sample_request + 4] = {0};

    for (size_t len = 0; len < sizeof sample_request - 1; len++)
        cr_assert_not(parses(sample_request, len), "%zu bytes", len);
    memcpy(longer, sample_request, sizeof sample_request - 1);
    for (size_t more = 1; more <= 4; more++)
        cr_assert_not(parses(longer, sizeof sample_request - 1 + more));
}

/* With the length field made to agree, the attributes themselves must still add up. */
Test(stun, refuses_attributes_cut_short_anywhere)
{
    uint8_t buf[sizeof sample_ipv6];

    memcpy(buf, sample_ipv6, sizeof buf);
    for (size_t len = STUN_HEADER; len < sizeof sample_ipv6 - 1; len += 4) {
        buf[3] = (uint8_t)(len - STUN_HEADER);
        bool whole = len == 20 || len == 36 || len == 60 || len == 84; /* between attributes */
        cr_assert_eq(parses(buf, len), whole, "%zu bytes", len);
    }
}

Test(stun, refuses_every_flipped_bit_of_a_fingerprinted_message)
{
    uint8_t buf[sizeof sample_ipv4 - 1];
    struct stun m;

    for (size_t bit = 0; bit < 8 * sizeof buf; bit++) {
        memcpy(buf, sample_ipv4, sizeof buf);
        buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
        /* A flip in the type of FINGERPRINT itself makes it another attribute that nobody knows. */
        if (stun_parse(buf, sizeof buf, &m))
            cr_assert(bit / 8 >= sizeof buf - 8 && bit / 8 < sizeof buf - 6 && !m.has_fingerprint,
                      "bit %zu", bit);
    }
}

Test(stun, survives_a_hundred_thousand_mutations)
{
    struct rng r;
    size_t accepted = 0;

    rng_seed(&r, 2);
    for (int i = 0; i < 100000; i++) {
        struct stun m = random_message(&r);
        uint8_t buf[STUN_MAX];

        m.has_fingerprint = false;
        size_t len = stun_encode(&m, buf);
        for (uint64_t n = 1 + rng_below(&r, 8); n > 0; n--)
            buf[rng_below(&r, len)] ^= (uint8_t)(1 << rng_below(&r, 8));
        uint8_t *exact = malloc(len);
        memcpy(exact, buf, len);
        if (stun_parse(exact, len, &m)) {
            /* Whatever was accepted is a message that can be written again. */
            cr_assert_leq(stun_encode(&m, buf), STUN_MAX);
            accepted++;
        }
        free(exact);
    }
    cr_assert_gt(accepted, 1000);
    cr_assert_lt(accepted, 99000);
}

Test(stun, tells_stun_from_other_datagrams)
{
    uint8_t buf[32];

    memcpy(buf, sample_request, sizeof buf);
    memset(buf + 2, 0, 2);
    cr_assert(stun_is(buf, 20));
    cr_assert_not(stun_is(buf, 19));
    cr_assert_not(stun_is(buf, 24), "bytes that no length accounts for");
    buf[0] = 4;
    cr_assert_not(stun_is(buf, 20));
    buf[0] = 0, buf[4] = 0x22;
    cr_assert_not(stun_is(buf, 20), "RFC 3489 without the magic cookie");
    buf[4] = 0x21, buf[3] = 2;
    cr_assert_not(stun_is(buf, 22), "not a multiple of four");
}

/* What Debian's `stun` sends: 128 bits of transaction id, CHANGE-REQUEST. */
Test(stun, reads_a_request_of_rfc_3489_and_answers_in_its_words)
{
    static const uint8_t request[] = "\0\1\0\x08"
                                     "0123456789abcdef"
                                     "\0\3\0\4\0\0\0\6";
    struct stun m, a = {.type = STUN_BINDING_RESPONSE, .classic = true};
    uint8_t buf[STUN_MAX];

    cr_assert_not(stun_is(request, 28));
    cr_assert(stun_is_classic(request, 28));
    cr_assert(stun_parse(request, 28, &m));
    cr_assert(m.classic);
    cr_assert_eq(m.change, STUN_CHANGE_IP | STUN_CHANGE_PORT);
    memcpy(a.classic_id, m.classic_id, sizeof a.classic_id);
    memcpy(a.txid, m.txid, sizeof a.txid);
    a.mapped = addr_v4(1, 2, 3, 4, 5);
    a.origin = addr_v4(1, 2, 3, 5, 6);
    a.other = addr_v4(1, 2, 3, 6, 7);
    cr_assert_eq(stun_encode(&a, buf), 56);
    cr_assert_eq(memcmp(buf,
                        "\1\1\0\x24"
                        "0123456789abcdef"
                        "\0\1\0\x08\0\1\0\5\1\2\3\4"
                        "\0\4\0\x08\0\1\0\6\1\2\3\5"
                        "\0\5\0\x08\0\1\0\7\1\2\3\6",
                        56),
                 0);
    buf[0] = 1; /* an answer without the magic cookie is nobody's */
    cr_assert_not(stun_parse(buf, 56, &m));
}
