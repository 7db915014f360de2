/* test_rekey.c - data keys over time: both sides go forward together, what is past stays unreadable. */
#include "lib/rekey.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

TestSuite(rekey, .timeout = 20);

static struct rekey_send from;
static struct rekey_receive to, back;
static struct rekey_send unused;
static struct path_id path;
static uint8_t wire[DATA_BYTES_MAX], payload[PAYLOAD_MAX], kind;
static uint8_t first[32];
static int64_t now_us;

static void start(void)
{
    cr_assert_geq(sodium_init(), 0);
    memset(first, 5, sizeof first);
    now_us = 1000;
    rekey_start(&from, &back, first, first);
    rekey_start(&unused, &to, first, first);
}

static size_t seal(void)
{
    return rekey_seal(&from, now_us, DATA_APP, (const uint8_t *)"hello", 5, &path, wire);
}

static int pass(void)
{
    size_t n = seal();

    return rekey_open(&to, wire, n, &kind, payload);
}

Test(rekey, the_next_key_is_noises, .init = start)
{
    uint8_t key[32], expected[32 + 16];
    static const uint8_t zeroes[32];
    static const uint8_t nonce[12] = {0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255};

    memcpy(key, first, 32);
    crypto_aead_chacha20poly1305_ietf_encrypt(expected, NULL, zeroes, 32, NULL, 0, NULL, nonce,
                                              first);
    rekey_next(key);
    cr_assert_eq(memcmp(key, expected, 32), 0);
}

Test(rekey, a_key_seals_so_many_packets_and_no_more, .init = start)
{
    cr_assert_eq(pass(), 5);
    from.counter = REKEY_PACKETS - 2;
    cr_assert_eq(pass(), 5);
    cr_assert_eq(memcmp(from.key, first, 32), 0);
    cr_assert_eq(pass(), 5);
    cr_assert_neq(memcmp(from.key, first, 32), 0);
    cr_assert_eq(memcmp(from.key, to.key, 32), 0, "both have gone on");
}

Test(rekey, a_key_is_used_for_its_time_and_no_longer, .init = start)
{
    for (unsigned i = 0; i < 5; i++) {
        uint8_t before[32];
        memcpy(before, from.key, 32);
        cr_assert_eq(pass(), 5);
        now_us += REKEY_EVERY_US - 1;
        cr_assert_eq(pass(), 5);
        cr_assert_eq(memcmp(from.key, before, 32), 0);
        now_us++;
        cr_assert_eq(pass(), 5);
        cr_assert_neq(memcmp(from.key, before, 32), 0);
        cr_assert_eq(to.number, i + 1);
    }
}

Test(rekey, a_straggler_of_the_key_before_is_read_until_the_window_has_passed, .init = start)
{
    uint8_t late[2][DATA_BYTES_MAX];

    from.counter = REKEY_PACKETS - 3;
    size_t n = seal();
    memcpy(late[0], wire, n);
    n = seal();
    memcpy(late[1], wire, n);
    cr_assert_eq(pass(), 5);
    cr_assert_eq(rekey_open(&to, late[0], n, &kind, payload), 5);
    cr_assert_eq(rekey_open(&to, late[0], n, &kind, payload), REKEY_REPLAYED);
    for (unsigned i = 0; i < REPLAY_WINDOW; i++)
        cr_assert_eq(pass(), 5);
    cr_assert_not(to.has_before);
    cr_assert(sodium_is_zero(to.before, sizeof to.before));
    cr_assert_eq(rekey_open(&to, late[1], n, &kind, payload), REKEY_FORGED);
}

Test(rekey, follows_a_sender_whose_packets_were_lost_for_some_keys, .init = start)
{
    for (unsigned i = 0; i < REKEY_AHEAD_MAX; i++) {
        seal();
        now_us += REKEY_EVERY_US;
    }
    cr_assert_eq(pass(), 5);
    cr_assert_eq(to.number, REKEY_AHEAD_MAX);
    for (unsigned i = 0; i < REKEY_AHEAD_MAX + 1; i++) {
        now_us += REKEY_EVERY_US;
        seal();
    }
    cr_assert_eq(pass(), REKEY_FORGED, "but not for ever");
}

Test(rekey, a_forged_counter_moves_nothing, .init = start)
{
    struct rekey_receive before;

    cr_assert_eq(pass(), 5);
    before = to;
    for (unsigned shift = REKEY_BITS; shift < 64; shift++) {
        size_t n = seal();
        wire[9 + 7 - shift / 8] ^= (uint8_t)(1u << shift % 8);
        cr_assert_eq(rekey_open(&to, wire, n, &kind, payload), REKEY_FORGED);
        cr_assert_eq(memcmp(&before, &to, sizeof to), 0);
    }
}

Test(rekey, each_packet_is_taken_once_in_any_order_within_the_window, .init = start)
{
    static uint8_t kept[REPLAY_WINDOW + 1][DATA_BYTES_MAX];
    size_t n = 0;

    for (unsigned i = 0; i <= REPLAY_WINDOW; i++) {
        n = seal();
        memcpy(kept[i], wire, n);
    }
    for (unsigned i = REPLAY_WINDOW; i > 0; i--)
        cr_assert_eq(rekey_open(&to, kept[i], n, &kind, payload), 5, "%u", i);
    cr_assert_eq(rekey_open(&to, kept[0], n, &kind, payload), REKEY_REPLAYED, "too old");
    for (unsigned i = 0; i <= REPLAY_WINDOW; i++)
        cr_assert_eq(rekey_open(&to, kept[i], n, &kind, payload), REKEY_REPLAYED, "%u", i);
}

Test(rekey, who_takes_the_newest_key_reads_nothing_that_was_sealed_with_earlier_ones, .init = start)
{
    uint8_t old[DATA_BYTES_MAX];

    size_t n = seal();
    memcpy(old, wire, n);
    now_us += REKEY_EVERY_US;
    seal();
    uint8_t taken[32];
    memcpy(taken, from.key, 32);
    for (unsigned i = 0; i < 1000; i++) {
        cr_assert_eq(data_open(old, n, taken, &kind, payload), -1);
        rekey_next(taken);
    }
}
