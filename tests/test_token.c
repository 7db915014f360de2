/* test_token.c - address tokens and certificates: what was signed is believed, nothing else is. */
#include "lib/token.h"

#include <criterion/criterion.h>
#include <sodium.h>

static uint8_t secret[64], other_secret[64];
static struct prober_list probers;
static struct token sample;

static void setup(void)
{
    uint8_t seed[32] = {1};

    cr_assert_geq(sodium_init(), 0);
    probers.n = 2;
    crypto_sign_seed_keypair(probers.v[1].key, secret, seed);
    seed[0] = 2;
    crypto_sign_seed_keypair(probers.v[0].key, other_secret, seed);
    sample = (struct token){
        .addr = addr_v4(192, 0, 2, 7, 40000), .peer = {{5, 6, 7}}, .time_ms = 1700000000123};
}

TestSuite(token, .init = setup, .timeout = 10);

Test(token, what_a_prober_signed_is_believed)
{
    struct msg_token raw;
    struct token t;

    token_sign(&sample, secret, &raw);
    cr_assert_eq(raw.len, TOKEN_BYTES);
    cr_assert(token_verify(&raw, &probers, NULL, &t));
    cr_assert(addr_eq(&t.addr, &sample.addr));
    cr_assert(peer_id_eq(&t.peer, &sample.peer));
    cr_assert_eq(t.time_ms, sample.time_ms);
    cr_assert_eq(memcmp(t.key_id, probers.v[1].key, sizeof t.key_id), 0);

    cr_assert(addr_parse("[2001:db8::9]:1", &sample.addr));
    token_sign(&sample, secret, &raw);
    cr_assert(token_verify(&raw, &probers, NULL, &t));
    cr_assert(addr_eq(&t.addr, &sample.addr));
}

Test(token, the_kind_is_part_of_what_is_signed)
{
    struct msg_token raw;
    struct token t;

    sample.mapped = true;
    token_sign(&sample, secret, &raw);
    cr_assert_eq(raw.b[0], 2);
    cr_assert(token_verify(&raw, &probers, NULL, &t) && t.mapped);
    raw.b[0] = 1;
    cr_assert(token_read(&raw, &t) && !t.mapped);
    cr_assert_not(token_verify(&raw, &probers, NULL, &t));
    raw.b[0] = 4;
    cr_assert(token_read(&raw, &t) && t.mapped && t.daily);
    raw.b[0] = 5;
    cr_assert_not(token_read(&raw, &t));
}

Test(token, is_laid_out_as_documented)
{
    struct msg_token raw;

    token_sign(&sample, secret, &raw);
    cr_assert_eq(memcmp(raw.b, "\1\4\x9c\x40\xc0\0\2\7\0\0\0\0\0\0\0\0\0\0\0\0\5\6\7\0", 24), 0);
    cr_assert_eq(memcmp(raw.b + 52, "\0\0\x01\x8b\xcf\xe5\x68\x7b", 8), 0);
    cr_assert_eq(memcmp(raw.b + 60, probers.v[1].key, 8), 0);
    cr_assert_eq(crypto_sign_verify_detached(raw.b + 68, raw.b, 68, probers.v[1].key), 0);
}

Test(token, any_flipped_bit_is_refused)
{
    struct msg_token raw;
    struct token t;

    token_sign(&sample, secret, &raw);
    for (size_t bit = 0; bit < 8 * TOKEN_BYTES; bit++) {
        raw.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_not(token_verify(&raw, &probers, NULL, &t), "bit %zu", bit);
        raw.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    cr_assert(token_verify(&raw, &probers, NULL, &t));
}

Test(token, of_an_unknown_prober_is_refused)
{
    uint8_t seed[32] = {3}, stranger[32], stranger_secret[64];
    struct msg_token raw;
    struct token t;

    crypto_sign_seed_keypair(stranger, stranger_secret, seed);
    token_sign(&sample, stranger_secret, &raw);
    cr_assert_not(token_verify(&raw, &probers, NULL, &t));
    /* Nor does it help to name another prober's key. */
    memcpy(raw.b + 60, probers.v[0].key, 8);
    cr_assert_not(token_verify(&raw, &probers, NULL, &t));
    token_sign(&sample, secret, &raw);
    probers.n = 1;
    cr_assert_not(token_verify(&raw, &probers, NULL, &t));
    probers.n = 0;
    cr_assert_not(token_verify(&raw, &probers, NULL, &t));
}

Test(token, of_any_other_length_is_refused)
{
    struct msg_token raw;
    struct token t;

    token_sign(&sample, secret, &raw);
    for (unsigned len = 0; len < 256; len++) {
        raw.len = (uint8_t)len;
        cr_assert_eq(token_read(&raw, &t), len == TOKEN_BYTES);
        cr_assert_eq(token_verify(&raw, &probers, NULL, &t), len == TOKEN_BYTES);
    }
}

Test(token, with_impossible_fields_is_refused_though_signed)
{
    struct msg_token raw;
    struct token t;

    token_sign(&sample, secret, &raw);
    raw.b[4 + 4] = 1;
    crypto_sign_detached(raw.b + 68, NULL, raw.b, 68, secret);
    cr_assert_not(token_verify(&raw, &probers, NULL, &t), "unused ip bytes");

    token_sign(&sample, secret, &raw);
    raw.b[52] = 0x80;
    crypto_sign_detached(raw.b + 68, NULL, raw.b, 68, secret);
    cr_assert_not(token_verify(&raw, &probers, NULL, &t), "a time that is no time");

    token_sign(&sample, secret, &raw);
    memcpy(raw.b + 60, probers.v[0].key, 8);
    crypto_sign_detached(raw.b + 68, NULL, raw.b, 68, secret);
    cr_assert_not(token_verify(&raw, &probers, NULL, &t), "another prober's key id");

    sample.addr.port = 0;
    token_sign(&sample, secret, &raw);
    cr_assert_not(token_verify(&raw, &probers, NULL, &t), "port 0");
}

Test(cert, holds_for_its_role_key_and_authority_only, .init = setup)
{
    const uint8_t *authority = probers.v[1].key;
    uint8_t key[32] = {9}, cert[64];

    cert_sign('p', key, secret, cert);
    cr_assert(cert_verify('p', key, authority, cert));
    cr_assert_not(cert_verify('r', key, authority, cert));
    cr_assert_not(cert_verify('p', key, probers.v[0].key, cert));
    key[31] ^= 1;
    cr_assert_not(cert_verify('p', key, authority, cert));
    key[31] ^= 1;
    cert[0] ^= 1;
    cr_assert_not(cert_verify('p', key, authority, cert));
}

Test(cert, signs_the_documented_bytes, .init = setup)
{
    uint8_t key[32] = {9}, cert[64], signed_bytes[50];

    cert_sign('r', key, secret, cert);
    memcpy(signed_bytes, "natterjack-cert-1r", 18);
    memcpy(signed_bytes + 18, key, 32);
    cr_assert_eq(crypto_sign_verify_detached(cert, signed_bytes, 50, probers.v[1].key), 0);
}

/* ---- which are kept ------------------------------------------------------------------------------------ */

static struct token seen(uint8_t prober, uint16_t port)
{
    struct token t = sample;

    t.addr.port = port;
    t.key_id[0] = prober;
    return t;
}

Test(token, a_prober_renews_its_own_word_and_no_others)
{
    struct token kept[2] = {seen(1, 7), seen(2, 7)}, fresh = seen(2, 7);
    int64_t born[2] = {5, 6};

    cr_assert_eq(token_place(kept, born, 2, &fresh), 1);
    cr_assert_eq(token_place(kept, born, 1, &fresh), 1, "behind the others");
    fresh.mapped = true;
    cr_assert_eq(token_place(kept, born, 2, &fresh), 2, "of another kind");
}

Test(token, when_full_the_oldest_of_the_prober_with_most_gives_way)
{
    struct token kept[TOKENS_MAX] = {seen(2, 1), seen(1, 2), seen(1, 3), seen(1, 4)};
    int64_t born[TOKENS_MAX] = {1, 9, 5, 7};
    struct token fresh = seen(2, 9);

    cr_assert_eq(token_place(kept, born, TOKENS_MAX, &fresh), 2, "not the other prober's only one");
    kept[2].mapped = true;
    cr_assert_eq(token_place(kept, born, TOKENS_MAX, &fresh), 3);
}

Test(token, a_flood_of_one_prober_leaves_the_other_its_say)
{
    struct token kept[TOKENS_MAX] = {seen(1, 1)};
    int64_t born[TOKENS_MAX] = {0};
    size_t n = 1, of_first = 0;

    for (uint16_t i = 0; i < 1000; i++) {
        struct token fresh = seen(2, (uint16_t)(100 + i));
        size_t at = token_place(kept, born, n, &fresh);
        cr_assert_lt(at, TOKENS_MAX);
        kept[at] = fresh;
        born[at] = i + 1;
        n += at == n;
    }
    for (size_t i = 0; i < n; i++)
        of_first += kept[i].key_id[0] == 1;
    cr_assert_eq(of_first, 1);
}

Test(cert, of_a_place_holds_for_that_ip_and_authority_only, .init = setup)
{
    struct addr at = {
        4, {203, 0, 113, 9},
         3480
    };
    const uint8_t *authority = probers.v[1].key;
    struct place p = place_sign(&at, secret), q = p;

    cr_assert(place_verify(&p, authority));
    cr_assert_eq(p.ip.port, 0);
    cr_assert_not(place_verify(&p, probers.v[0].key));
    q.ip.ip[3]++;
    cr_assert_not(place_verify(&q, authority));
    q = p, q.ip.len = 16;
    cr_assert_not(place_verify(&q, authority), "nor for the same bytes in another family");
    q = p, q.ip.len = 0;
    cr_assert_not(place_verify(&q, authority));
    q = p, q.cert[3] ^= 1;
    cr_assert_not(place_verify(&q, authority));
}
