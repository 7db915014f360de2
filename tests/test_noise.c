/* test_noise.c - the handshake against published vectors, and against who should not pass. */
#include "lib/noise.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

enum { MESSAGES = 6, MESSAGE_MAX = 128 };

static const char *const init_static =
    "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1";
static const char *const resp_static =
    "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893";
static const char *const init_ephemeral =
    "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a";
static const char *const resp_ephemeral =
    "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b";
static const char *const prologue = "50726f6c6f677565313233";
static const char *const handshake_hash =
    "449b8bddaf3d2f8999318d213d1db80a90d373bac67ce7aafcc444fc895414a9"
    "7e82fb7797b2ae85f29199856789e9b8aef2a58faa828267ba4f2b09d89692d3";

/* Payload and message; the sides take turns, the first two are the handshake. */
static const struct {
    const char *payload, *message;
} vectors[MESSAGES] = {
    {"4c756477696720766f6e204d69736573",
     "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
     "f79a1d4b21fc3ea4a0c87213b8b4f05921228879fb74ea0d39ffc64619dc9658"                                    },
    {"4d757272617920526f746862617264",
     "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
     "e20b1bf85731f75d7e21b5d54baaa6a1dd8690bb26b34c92c02b152d726c01"                                      },
    {"462e20412e20486179656b",                     "25bfaa58833b07cdd6af7c07f2c51daac681a8ac0a02dd373259bd"},
    {"4361726c204d656e676572",                     "ef586cff556dec8ef0053871ff0d4bf3f2c72e842487ec6d1da69f"},
    {"4a65616e2d426170746973746520536179",
     "3265d50513550a354425d0218ba1e5f25d4994ce8990e6964398dba5982dbcbd85"                                  },
    {"457567656e2042f6686d20766f6e2042617765726b",
     "f11c02d5c3223d7b9281b52e1b134962b91bc3bfbd1646354dab9fc19b66bf6c1e0a6f431e"                          },
};

static size_t unhex(uint8_t *out, size_t cap, const char *hex)
{
    size_t n;

    cr_assert_eq(sodium_hex2bin(out, cap, hex, strlen(hex), NULL, &n, NULL), 0);
    return n;
}

static void side(struct noise *n, bool initiator, const char *prologue_hex)
{
    uint8_t own[32], other[32], other_pub[32], e[32], p[64];

    unhex(own, 32, initiator ? init_static : resp_static);
    unhex(other, 32, initiator ? resp_static : init_static);
    unhex(e, 32, initiator ? init_ephemeral : resp_ephemeral);
    crypto_scalarmult_base(other_pub, other);
    noise_init(n, initiator, p, unhex(p, sizeof p, prologue_hex), own, other_pub, e);
}

static struct noise alice, bob;
static uint8_t m1[NOISE_MSG], m2[NOISE_MSG];

static void setup(void)
{
    cr_assert_geq(sodium_init(), 0);
    side(&alice, true, prologue);
    side(&bob, false, prologue);
}

TestSuite(noise, .init = setup, .timeout = 20);

static void first_message(void) { cr_assert_eq(noise_write(&alice, NULL, 0, m1), NOISE_MSG); }

static void second_message(void)
{
    cr_assert_eq(noise_read(&bob, m1, sizeof m1, NULL), 0);
    cr_assert_eq(noise_write(&bob, NULL, 0, m2), NOISE_MSG);
}

/* A second published run: the same keys and payloads under another prologue ("John Galt"). */
static const char *const prologue2 = "4a6f686e2047616c74";
static const char *const handshake_hash2 =
    "76dbc866183c8ee7363dbf0ebab8d6355010245f9817aa78359818a03a052586"
    "d7e8b4bb2ae5622a1a61212df90af04bb2b2cc189ce0e819ba0c4970c9f71805";

/* Transport as section 5.2 has it, to compare with the vectors. */
static void expect_transport(const uint8_t key[32], uint8_t count, size_t i)
{
    uint8_t plain[MESSAGE_MAX], want[MESSAGE_MAX], got[MESSAGE_MAX], nonce[12] = {[4] = count};
    size_t n = unhex(plain, sizeof plain, vectors[i].payload);

    cr_assert_eq(unhex(want, sizeof want, vectors[i].message), n + NOISE_TAG);
    crypto_aead_chacha20poly1305_ietf_encrypt(got, NULL, plain, n, NULL, 0, NULL, nonce, key);
    cr_assert_arr_eq(got, want, n + NOISE_TAG, "message %zu", i);
}

Test(noise, agrees_with_the_published_vectors)
{
    struct noise *from = &alice, *to = &bob;

    for (size_t i = 0; i < 2; i++) {
        uint8_t plain[MESSAGE_MAX], want[MESSAGE_MAX], got[MESSAGE_MAX], back[MESSAGE_MAX];
        size_t n = unhex(plain, sizeof plain, vectors[i].payload);
        size_t len = unhex(want, sizeof want, vectors[i].message);

        cr_assert_eq(noise_write(from, plain, n, got), len);
        cr_assert_arr_eq(got, want, len, "message %zu", i);
        cr_assert_eq(noise_read(to, got, len, back), (int)n);
        cr_assert_arr_eq(back, plain, n);
        from = &bob, to = &alice;
    }
    struct noise_keys a, b;
    uint8_t hash[NOISE_HASH];
    noise_split(&alice, &a);
    noise_split(&bob, &b);
    unhex(hash, sizeof hash, handshake_hash);
    cr_assert_arr_eq(a.hash, hash, sizeof hash);
    cr_assert_arr_eq(&a, &b, sizeof a);
    expect_transport(a.i2r, 0, 2);
    expect_transport(a.r2i, 0, 3);
    expect_transport(a.i2r, 1, 4);
    expect_transport(a.r2i, 1, 5);
}

Test(noise, agrees_with_the_published_hash_under_another_prologue)
{
    uint8_t plain[MESSAGE_MAX], message[MESSAGE_MAX], hash[NOISE_HASH];
    struct noise_keys keys;

    side(&alice, true, prologue2);
    side(&bob, false, prologue2);
    size_t n = unhex(plain, sizeof plain, vectors[0].payload);
    cr_assert_eq(noise_read(&bob, message, noise_write(&alice, plain, n, message), plain), (int)n);
    n = unhex(plain, sizeof plain, vectors[1].payload);
    cr_assert_eq(noise_read(&alice, message, noise_write(&bob, plain, n, message), plain), (int)n);
    unhex(hash, sizeof hash, handshake_hash2);
    noise_split(&alice, &keys);
    cr_assert_arr_eq(keys.hash, hash, sizeof hash);
}

Test(noise, completes_with_empty_payloads_and_wipes_itself)
{
    static const struct noise zero;
    struct noise_keys a, b;

    first_message();
    second_message();
    cr_assert_eq(noise_read(&alice, m2, sizeof m2, NULL), 0);
    noise_split(&alice, &a);
    noise_split(&bob, &b);
    cr_assert_arr_eq(&a, &b, sizeof a);
    cr_assert_arr_neq(a.i2r, a.r2i, sizeof a.i2r);
    cr_assert_arr_eq(&alice, &zero, sizeof zero);
}

/* Every byte of a message, flipped, is refused and leaves the reader able to take the true one. */
static void refuses_each_flip(struct noise *reader, const uint8_t *message)
{
    struct noise before = *reader;

    for (size_t i = 0; i < NOISE_MSG; i++) {
        uint8_t bad[NOISE_MSG];
        memcpy(bad, message, sizeof bad);
        bad[i] ^= 0x01;
        cr_assert_eq(noise_read(reader, bad, sizeof bad, NULL), -1, "byte %zu", i);
        cr_assert_arr_eq(reader, &before, sizeof before, "byte %zu", i);
    }
    cr_assert_eq(noise_read(reader, message, NOISE_MSG, NULL), 0);
}

Test(noise, refuses_forged_bytes_and_stays_as_it_was)
{
    first_message();
    refuses_each_flip(&bob, m1);
    cr_assert_eq(noise_write(&bob, NULL, 0, m2), NOISE_MSG);
    refuses_each_flip(&alice, m2);
}

Test(noise, refuses_every_other_length)
{
    static uint8_t in[NOISE_MSG + NOISE_PAYLOAD_MAX + 1], payload[NOISE_PAYLOAD_MAX + 1];

    first_message();
    memcpy(in, m1, sizeof m1);
    payload[NOISE_PAYLOAD_MAX] = 0xee;
    for (size_t len = 0; len <= sizeof in; len++)
        if (len != NOISE_MSG)
            cr_assert_eq(noise_read(&bob, in, len, payload), -1, "length %zu", len);
    cr_assert_eq(payload[NOISE_PAYLOAD_MAX], 0xee);
}

Test(noise, carries_a_payload_up_to_its_limit)
{
    static uint8_t plain[NOISE_PAYLOAD_MAX] = {1, 2, 3}, back[NOISE_PAYLOAD_MAX],
                   message[NOISE_MSG + NOISE_PAYLOAD_MAX];

    cr_assert_eq(noise_write(&alice, plain, sizeof plain, message), sizeof message);
    cr_assert_eq(noise_read(&bob, message, sizeof message, back), NOISE_PAYLOAD_MAX);
    cr_assert_arr_eq(back, plain, sizeof plain);
}

Test(noise, fails_when_the_prologues_differ)
{
    side(&bob, false, "00");
    first_message();
    cr_assert_eq(noise_read(&bob, m1, sizeof m1, NULL), -1);
}

Test(noise, fails_for_another_static_key)
{
    uint8_t secret[32] = {7}, e[32] = {9}, p[16];
    size_t n = unhex(p, sizeof p, prologue);

    noise_init(&alice, true, p, n, secret, bob.s_pub, e); /* bob expects the key of the vectors */
    first_message();
    cr_assert_eq(noise_read(&bob, m1, sizeof m1, NULL), -1);
}

Test(noise, refuses_remote_keys_of_small_order)
{
    static const uint8_t zero[32], one[32] = {1}, secret[32] = {7}, e[32] = {9};
    struct noise before;

    noise_init(&alice, true, NULL, 0, secret, zero, e);
    before = alice;
    cr_assert_eq(noise_write(&alice, NULL, 0, m1), 0);
    cr_assert_arr_eq(&alice, &before, sizeof before);
    noise_init(&alice, true, NULL, 0, secret, one, e);
    cr_assert_eq(noise_write(&alice, NULL, 0, m1), 0);

    memset(m1, 0, sizeof m1); /* an ephemeral of small order, from the network */
    before = bob;
    cr_assert_eq(noise_read(&bob, m1, sizeof m1, NULL), -1);
    cr_assert_arr_eq(&bob, &before, sizeof before);
}

Test(noise, reads_only_when_it_is_its_turn)
{
    uint8_t copy[NOISE_MSG];

    first_message();
    memcpy(copy, m1, sizeof copy);
    cr_assert_eq(noise_read(&alice, copy, sizeof copy, NULL), -1); /* its own, reflected */
    second_message();
    cr_assert_eq(noise_read(&bob, m1, sizeof m1, NULL), -1); /* repeated */
    cr_assert_eq(noise_read(&alice, m2, sizeof m2, NULL), 0);
    cr_assert_eq(noise_read(&alice, m2, sizeof m2, NULL), -1);
}
