/* test_stun_attributes.c - which attributes of a STUN message count, byte by byte, and which make it malformed. */
#include "lib/stun.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(stun_attributes, .timeout = 30);

static const uint8_t txid[STUN_TXID_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

static void expect_addr(const struct addr *a, const char *text)
{
    char buf[ADDR_TEXT_MAX];

    cr_assert_str_eq(addr_format(a, buf, sizeof buf), text);
}

/* A message with these attribute bytes. */
static bool parse_attributes(const void *attributes, size_t n, struct stun *out)
{
    struct stun m = {.type = STUN_BINDING_REQUEST};
    uint8_t buf[STUN_MAX];

    memcpy(m.txid, txid, sizeof txid);
    stun_encode(&m, buf);
    buf[2] = (uint8_t)(n >> 8);
    buf[3] = (uint8_t)n;
    memcpy(buf + STUN_HEADER, attributes, n);
    return stun_parse(buf, STUN_HEADER + n, out);
}
#define PARSE(text, out) parse_attributes(text, sizeof text - 1, out)

/* By the definition, bit by bit. */
static uint32_t slow_crc32(const uint8_t *p, size_t len)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < 8 * len; i++) {
        crc ^= (uint32_t)p[i / 8] >> i % 8 & 1;
        crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
    }
    return ~crc;
}

Test(stun_attributes, a_wrong_or_misplaced_fingerprint_is_refused)
{
    struct stun m = stun_request(txid);
    uint8_t buf[STUN_MAX];

    m.has_fingerprint = true;
    size_t len = stun_encode(&m, buf);
    cr_assert(stun_parse(buf, len, &m));
    buf[len - 1] ^= 1;
    cr_assert_not(stun_parse(buf, len, &m));
    buf[len - 1] ^= 1;
    /* An empty SOFTWARE after a fingerprint that is right but for its place. */
    memcpy(buf + len, "\x80\x22\0\0", 4);
    buf[3] = (uint8_t)(buf[3] + 4);
    uint32_t crc = slow_crc32(buf, len - 8) ^ 0x5354554E;
    for (int i = 0; i < 4; i++)
        buf[len - 4 + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    cr_assert_not(stun_parse(buf, len + 4, &m));
    cr_assert_not(PARSE("\x80\x28\0\0", &m));
}

Test(stun_attributes, unknown_attributes_are_reported_when_they_must_be_understood)
{
    struct stun m;

    cr_assert(PARSE("\x80\x99\0\1....", &m));
    cr_assert_eq(m.unknown, 0);
    cr_assert(PARSE("\x7f\xff\0\0\x00\x30\0\4....\x00\x31\0\4....\x00\x02\0\0\x00\x24\0\0", &m));
    cr_assert_eq(m.unknown, 0x7fff);
    cr_assert_eq(m.unknown_rest[0], 0x0030);
    cr_assert_eq(m.unknown_rest[1], 0x0031);
    cr_assert_eq(m.unknown_rest[2], 0x0002,
                 "RESPONSE-ADDRESS, by which RFC 3489 servers reflected");
    cr_assert_not(PARSE("\0\0\0\0", &m), "type 0 is reserved");
}

Test(stun_attributes, error_420_lists_them)
{
    struct stun m = {.type = STUN_BINDING_ERROR, .error = 420, .unknown = 0x7fff};
    uint8_t buf[STUN_MAX];

    cr_assert_eq(stun_encode(&m, buf), 36);
    cr_assert_eq(memcmp(buf + 20, "\0\x09\0\4\0\0\4\x14\0\x0a\0\2\x7f\xff\0\0", 16), 0);
    m.unknown_rest[0] = 3;
    cr_assert_eq(stun_encode(&m, buf), 36);
    cr_assert_eq(memcmp(buf + 28, "\0\x0a\0\4\x7f\xff\0\3", 8), 0);
    cr_assert(stun_parse(buf, 36, &m));
    cr_assert_eq(m.error, 420);
}

Test(stun_attributes, what_follows_message_integrity_is_ignored)
{
    struct stun m;

    cr_assert(PARSE("\0\3\0\4\0\0\0\2"
                    "\0\x08\0\x14iiiiiiiiiiiiiiiiiiii"
                    "\x7f\xff\0\0"
                    "\0\3\0\4\0\0\0\6",
                    &m));
    cr_assert_eq(m.change, STUN_CHANGE_PORT);
    cr_assert_eq(m.unknown, 0);
    cr_assert_not(PARSE("\0\x08\0\x10iiiiiiiiiiiiiiii", &m));
}

Test(stun_attributes, of_a_repeated_attribute_the_first_counts)
{
    struct stun m;

    cr_assert(PARSE("\0\3\0\4\0\0\0\2\0\3\0\4\0\0\0\4", &m));
    cr_assert_eq(m.change, STUN_CHANGE_PORT);
    cr_assert(PARSE("\0\1\0\x08\0\1\0\x07\1\2\3\4\0\1\0\x08\0\1\0\x08\1\2\3\5", &m));
    expect_addr(&m.mapped, "1.2.3.4:7");
}

Test(stun_attributes, the_masked_address_wins_over_the_plain_one)
{
    struct stun m;

    cr_assert(PARSE("\0\1\0\x08\0\1\0\x07\1\2\3\4\0\x20\0\x08\0\1\x21\x12\x21\x12\xa4\x43", &m));
    expect_addr(&m.mapped, "0.0.0.1:0");
}

Test(stun_attributes, refuses_values_of_the_wrong_length)
{
    struct stun m;

    cr_assert_not(PARSE("\0\x20\0\x04\0\1\0\1", &m));
    cr_assert_not(PARSE("\0\x20\0\x08\0\2\0\1\1\2\3\4", &m), "IPv6 in four bytes");
    cr_assert_not(PARSE("\0\x20\0\x08\0\3\0\1\1\2\3\4", &m), "no such family");
    cr_assert_not(PARSE("\0\3\0\0", &m));
    cr_assert_not(PARSE("\0\x09\0\4\0\0\2\0", &m), "error class 2");
    cr_assert_not(PARSE("\0\x09\0\4\0\0\4\x64", &m), "error number 100");
    cr_assert_not(PARSE("\xc0\xa1\0\4....", &m));
    cr_assert_not(PARSE("\xc0\xa2\0\4....", &m));
    cr_assert_not(PARSE("\xc0\xa3\0\0", &m));
    cr_assert_not(PARSE("\x80\x22\xff\xff", &m), "past the end");
}
