/* test_ticket.c - relay tickets: only the coordinator makes them, only its relay reads them. */
#include "lib/ticket.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

struct pair {
    uint8_t secret[32], public[32];
};

static struct pair relay, relay2, coordinator, coordinator2;
static struct rng rng;
static const struct ticket sample = {.session = {{1, 2, 3}},
                                     .side = 1,
                                     .mode = 1,
                                     .expires_ms = 1700000000123,
                                     .bytes_max = UINT64_MAX,
                                     .bytes_per_s = 1000000};
static uint8_t wire[TICKET_BYTES];

static struct pair pair(uint8_t seed)
{
    struct pair p = {.secret = {[1] = seed}}; /* X25519 ignores the lowest three bits */

    crypto_scalarmult_base(p.public, p.secret);
    return p;
}

static void setup(void)
{
    cr_assert_geq(sodium_init(), 0);
    rng_seed(&rng, 1);
    relay = pair(1), relay2 = pair(2), coordinator = pair(3), coordinator2 = pair(4);
    cr_assert(ticket_seal(&sample, relay.public, coordinator.secret, &rng, wire));
}

TestSuite(ticket, .init = setup, .timeout = 20);

static bool opens(const uint8_t *data, size_t len, const struct pair *from, const struct pair *at,
                  struct ticket *t)
{
    uint8_t keys[1][32];

    memcpy(keys[0], from->public, 32);
    return ticket_open(data, len, (const uint8_t(*)[32])keys, 1, at->secret, t);
}

static void expect_sample(const struct ticket *t)
{
    cr_assert(sid_eq(&t->session, &sample.session));
    cr_assert(t->side == sample.side && t->mode == sample.mode);
    cr_assert_eq(t->expires_ms, sample.expires_ms);
    cr_assert(t->bytes_max == sample.bytes_max && t->bytes_per_s == sample.bytes_per_s);
}

Test(ticket, survives_the_round_trip)
{
    struct ticket t;

    cr_assert(opens(wire, sizeof wire, &coordinator, &relay, &t));
    expect_sample(&t);
}

Test(ticket, opens_with_the_key_of_any_of_the_coordinators)
{
    uint8_t public[2][32], keys[2][TICKET_KEY];
    struct ticket t;

    memcpy(public[0], coordinator2.public, 32);
    memcpy(public[1], coordinator.public, 32);
    cr_assert(ticket_open(wire, sizeof wire, (const uint8_t(*)[32]) public, 2, relay.secret, &t));
    expect_sample(&t);
    cr_assert_not(
        ticket_open(wire, sizeof wire, (const uint8_t(*)[32]) public, 1, relay.secret, &t));
    cr_assert_not(
        ticket_open(wire, sizeof wire, (const uint8_t(*)[32]) public, 0, relay.secret, &t));

    cr_assert(ticket_key(coordinator2.public, relay.secret, keys[0]));
    cr_assert(ticket_key(coordinator.public, relay.secret, keys[1]));
    memset(&t, 0, sizeof t);
    cr_assert(ticket_open_with(wire, sizeof wire, (const uint8_t(*)[TICKET_KEY])keys, 2, &t));
    expect_sample(&t);
    cr_assert_not(ticket_open_with(wire, sizeof wire, (const uint8_t(*)[TICKET_KEY])keys, 1, &t));
}

Test(ticket, is_refused_with_any_bit_changed)
{
    struct ticket t;

    for (size_t i = 0; i < sizeof wire; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            wire[i] ^= (uint8_t)(1u << bit);
            cr_assert_not(opens(wire, sizeof wire, &coordinator, &relay, &t), "byte %zu", i);
            wire[i] ^= (uint8_t)(1u << bit);
        }
    cr_assert(opens(wire, sizeof wire, &coordinator, &relay, &t));
}

Test(ticket, is_refused_at_any_other_length)
{
    uint8_t longer[TICKET_BYTES + 1] = {0};
    struct ticket t;

    memcpy(longer, wire, sizeof wire);
    for (size_t len = 0; len <= sizeof longer; len++)
        if (len != TICKET_BYTES)
            cr_assert_not(opens(longer, len, &coordinator, &relay, &t), "length %zu", len);
}

Test(ticket, is_refused_by_another_relay_and_from_another_coordinator)
{
    struct ticket t;

    cr_assert_not(opens(wire, sizeof wire, &coordinator, &relay2, &t));
    cr_assert_not(opens(wire, sizeof wire, &coordinator2, &relay, &t));
}

/* Sealed by the coordinator itself, so that only the reading of the plain text can refuse it. */
static bool opens_plain(const uint8_t plain[static 42])
{
    struct ticket t;

    cr_assert_eq(crypto_box_easy(wire + 25, plain, 42, wire + 1, relay.public, coordinator.secret),
                 0);
    return opens(wire, sizeof wire, &coordinator, &relay, &t);
}

Test(ticket, is_refused_when_its_content_makes_no_sense)
{
    uint8_t plain[42] = {0};

    cr_assert(opens_plain(plain));
    plain[16] = 2; /* side */
    cr_assert_not(opens_plain(plain));
    plain[16] = 1;
    cr_assert(opens_plain(plain));
    plain[18] = 0x80; /* expiry of 2^63 ms */
    cr_assert_not(opens_plain(plain));
}

Test(ticket, is_not_made_for_a_key_of_small_order)
{
    static const uint8_t zero[32];
    uint8_t key[TICKET_KEY];
    struct ticket t;

    cr_assert_not(ticket_seal(&sample, zero, coordinator.secret, &rng, wire));
    cr_assert_not(ticket_key(zero, relay.secret, key));
    cr_assert_not(opens(wire, sizeof wire, &(struct pair){{0}, {0}}, &relay, &t));
}

Test(ticket, two_of_the_same_content_look_different)
{
    uint8_t second[TICKET_BYTES];

    cr_assert(ticket_seal(&sample, relay.public, coordinator.secret, &rng, second));
    cr_assert_arr_neq(wire + 1, second + 1, 24);
    cr_assert_arr_neq(wire + 25, second + 25, TICKET_BYTES - 25);
}

Test(ticket, all_of_a_session_are_for_one_worker_and_sessions_for_all_workers)
{
    enum { WORKERS = 4, SESSIONS = 1000 };
    unsigned n[WORKERS] = {0};
    uint8_t other[TICKET_BYTES];

    for (unsigned i = 0; i < SESSIONS; i++) {
        struct ticket t = sample;
        memcpy(t.session.b, &i, sizeof i);
        cr_assert(ticket_seal(&t, relay.public, coordinator.secret, &rng, wire));
        t.side = 0;
        t.expires_ms++;
        cr_assert(
            ticket_seal(&t, relay2.public, coordinator.secret, &rng, other)); /* its next key */
        unsigned worker = ticket_worker(wire, WORKERS);
        cr_assert_eq(ticket_worker(other, WORKERS), worker);
        n[worker]++;
    }
    for (unsigned w = 0; w < WORKERS; w++)
        cr_assert_gt(n[w], SESSIONS / WORKERS * 3 / 4);
}

Test(ticket, who_chooses_session_ids_cannot_tell_the_worker)
{
    unsigned same = 0;

    for (unsigned i = 0; i < 64; i++) { /* by another coordinator's key they are others */
        struct ticket t = sample;
        uint8_t other[TICKET_BYTES];
        memcpy(t.session.b, &i, sizeof i);
        cr_assert(ticket_seal(&t, relay.public, coordinator.secret, &rng, wire));
        cr_assert(ticket_seal(&t, relay.public, coordinator2.secret, &rng, other));
        same += ticket_worker(wire, 2) == ticket_worker(other, 2);
    }
    cr_assert(same > 12 && same < 52);
}
