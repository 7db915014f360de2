/*
 * test_daykey.c - the keys of a day that tokens are signed with: who is believed for which times, and that prober,
 * coordinator and peers go from one to the next, also with some that know nothing of them.
 */
#include "lib/daykey.h"
#include "lib/token.h"
#include "tests/lib/coordinator_bed.h"
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <sodium.h>

enum { SECOND = 1000000, DAY = 20000 };
#define NOON (DAY * DAYKEY_MS + DAYKEY_MS / 2)

static uint8_t secret[64], other_secret[64], day_secret[64];
static struct prober_list probers;
static struct daykey_list told, kept;
static struct token sample;

static void setup(void)
{
    uint8_t seed[32] = {1};

    cr_assert_geq(sodium_init(), 0);
    probers.n = 2;
    crypto_sign_seed_keypair(probers.v[0].key, secret, seed);
    seed[0] = 2;
    crypto_sign_seed_keypair(probers.v[1].key, other_secret, seed);
    daykey_make(secret, DAY, day_secret, &told.v[0]);
    told.n = 1;
    sample =
        (struct token){.addr = addr_v4(192, 0, 2, 7, 40000), .peer = {{5, 6, 7}}, .time_ms = NOON};
}

TestSuite(daykey, .init = setup, .timeout = 60);

static bool believed_at(int64_t time_ms)
{
    struct msg_token raw;
    struct token t;

    sample.time_ms = time_ms;
    token_sign_daily(&sample, day_secret, secret + 32, &raw);
    return token_verify(&raw, &probers, &kept, &t) && t.daily && t.time_ms == time_ms &&
           memcmp(t.key_id, probers.v[0].key, sizeof t.key_id) == 0;
}

Test(daykey, a_token_by_the_key_of_its_day_is_believed_and_at_no_other_time)
{
    daykey_take(&kept, &told, &probers);
    cr_assert(believed_at(NOON));
    cr_assert(believed_at(DAY * DAYKEY_MS));
    cr_assert(believed_at((DAY + 1) * DAYKEY_MS - 1));
    cr_assert_not(believed_at(DAY * DAYKEY_MS - 1));
    cr_assert_not(believed_at((DAY + 1) * DAYKEY_MS));
    cr_assert_not(believed_at(NOON + (INT64_C(1) << 32) * DAYKEY_MS), "days don't come round");
}

Test(daykey, nobody_is_believed_whose_key_was_not_told_or_not_signed_by_the_prober)
{
    cr_assert_not(believed_at(NOON), "nothing was told");
    for (size_t bit = 0; bit < 8 * sizeof told.v[0]; bit++) {
        ((uint8_t *)&told.v[0])[bit / 8] ^= (uint8_t)(1 << bit % 8);
        daykey_take(&kept, &told, &probers);
        cr_assert_eq(kept.n, 0, "bit %zu", bit);
        ((uint8_t *)&told.v[0])[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    daykey_make(other_secret, DAY, day_secret, &told.v[0]); /* another one of the suite's probers */
    memcpy(told.v[0].prober, probers.v[0].key, sizeof told.v[0].prober);
    daykey_take(&kept, &told, &probers);
    cr_assert_eq(kept.n, 0);
}

Test(daykey, a_mapped_port_is_vouched_for_in_the_same_way)
{
    struct msg_token raw;
    struct token t;

    daykey_take(&kept, &told, &probers);
    sample.mapped = true;
    token_sign_daily(&sample, day_secret, secret + 32, &raw);
    cr_assert(token_verify(&raw, &probers, &kept, &t) && t.mapped && t.daily);
    cr_assert_not(token_verify(&raw, &probers, NULL, &t));
    for (unsigned kind = 0; kind < 256; kind++) { /* which is signed as well */
        raw.b[0] = (uint8_t)kind;
        cr_assert_eq(token_verify(&raw, &probers, &kept, &t), kind == 4, "kind %u", kind);
    }
}

Test(daykey, of_each_prober_two_are_kept_and_what_is_refused_takes_nothing_away)
{
    struct daykey_list more = {.n = 4};
    uint8_t unused[64];

    for (uint32_t i = 0; i < 3; i++)
        daykey_make(secret, DAY + i, unused, &more.v[i]);
    daykey_make(other_secret, DAY, unused, &more.v[3]);
    daykey_take(&kept, &more, &probers);
    cr_assert_eq(kept.n, 3);
    cr_assert(daykey_find(&kept, probers.v[0].key, DAY + 1));
    cr_assert_null(daykey_find(&kept, probers.v[0].key, DAY + 2));
    more.n = 1; /* the other one's are told by another message, and the first one's changed */
    more.v[0] = more.v[2];
    daykey_take(&kept, &more, &probers);
    cr_assert(kept.n == 2 && daykey_find(&kept, probers.v[0].key, DAY + 2));
    cr_assert_null(daykey_find(&kept, probers.v[0].key, DAY));
    cr_assert(daykey_find(&kept, probers.v[1].key, DAY));
    more.v[0].cert[0] ^= 1;
    daykey_take(&kept, &more, &probers);
    cr_assert_eq(kept.n, 2);
    probers.n = 1; /* that one is gone */
    daykey_take(&kept, &more, &probers);
    cr_assert_eq(kept.n, 1);
}

Test(daykey, the_next_one_is_live_half_a_day_before_it_is_needed_and_the_last_one_half_a_day_after)
{
    cr_assert_eq(daykey_first(NOON - 1), DAY - 1);
    cr_assert_eq(daykey_first(NOON), DAY);
    cr_assert_eq(daykey_first(NOON + DAYKEY_MS - 1), DAY);
    cr_assert_eq(daykey_first(0), 0);
    cr_assert_eq(daykey_day(-1), 0);
    cr_assert_eq(daykey_day(INT64_MAX), UINT32_MAX);
}

/* ---- who knows nothing of them ------------------------------------------------------------------- */

static struct bed b;

static bool told_plain(unsigned side)
{
    struct msg attach = {.type = MSG_attach};

    msg_text(attach.attach.name, sizeof attach.attach.name, side ? "bob" : "alice");
    attach.attach.daily = side == 0;
    coordinator_bed_from_peer(&b, side, &attach);
    for (size_t i = 0; i < b.out.n; i++)
        if (b.out.v[i].kind == OUT_MSG && b.out.v[i].msg.type == MSG_attached)
            return b.out.v[i].msg.attached.plain;
    return false;
}

Test(daykey, while_a_peer_is_attached_that_does_not_read_them_all_are_told_so)
{
    struct msg detach = {.type = MSG_detach};

    coordinator_bed_init(&b, 4, 4);
    cr_assert_not(told_plain(0));
    cr_assert_not(told_plain(0));
    cr_assert(told_plain(1));
    cr_assert(told_plain(0));
    cr_assert_eq(b.core.n.plain_peers_now, 1);
    coordinator_bed_from_peer(&b, 1, &detach);
    cr_assert_not(told_plain(0));
    cr_assert(told_plain(1));
    coordinator_bed_pass(&b, COORD_ATTACH_TTL_MS + 1000); /* it has left without a word */
    cr_assert_not(told_plain(0));
    cr_assert_eq(b.core.n.plain_peers_now, 0);
    coordinator_bed_fini(&b);
}

/* ---- the whole suite ------------------------------------------------------------------------------ */

static struct world w;

/* Three behind NATs that are opened by knowing their addresses, so long before a day begins. */
static void open_before_midnight(int64_t ms)
{
    struct world_conf c = {.seed = 5, .delay_us = 10000, .n_peers = 3};

    for (size_t i = 0; i < c.n_peers; i++)
        c.peers[i] = world_nat("ei/random/apd");
    world_open(&w, &c);
    w.wall_ahead_ms = DAYKEY_MS - world_wall_ms(&w) % DAYKEY_MS - ms;
}

static void run_s(int64_t s) { world_run(&w, w.now_us + s * SECOND); }

static enum path_kind connect(size_t from, size_t to)
{
    size_t n = world_connect(&w, from, to, POLICY_AUTO, 15 * SECOND);

    run_s(16);
    cr_assert(w.results[n].settled);
    return executor_path(&w.results[n].at);
}

Test(daykey, peers_go_on_meeting_while_a_day_begins)
{
    open_before_midnight(60000);
    run_s(10);
    cr_assert_eq(connect(0, 1), PATH_DIRECT);
    uint32_t before = daykey_day(world_wall_ms(&w));
    run_s(40);
    cr_assert_eq(connect(1, 2), PATH_DIRECT, "with tokens of two days");
    cr_assert_eq(daykey_day(world_wall_ms(&w)), before + 1);
    run_s(120);
    cr_assert_eq(connect(2, 0), PATH_DIRECT);
    cr_assert_eq(w.prober.n.plain_tokens, 0);
    cr_assert_gt(w.prober.n.tokens, 0);
    cr_assert_eq(w.coordinator.n.tokens_refused, 0);
    world_close(&w);
}

Test(daykey, two_keys_are_live_at_noon_as_at_midnight)
{
    open_before_midnight(DAYKEY_MS / 2 + 30000);
    run_s(10);
    cr_assert_eq(connect(0, 1), PATH_DIRECT);
    uint32_t before = w.prober.daykeys.v[0].day;
    run_s(30);
    cr_assert_eq(w.prober.daykeys.v[0].day, before + 1);
    cr_assert_eq(connect(1, 2), PATH_DIRECT);
    cr_assert_eq(w.prober.n.plain_tokens + w.coordinator.n.tokens_refused, 0);
    world_close(&w);
}

Test(daykey,
     a_peer_that_knows_nothing_of_them_meets_others_directly_and_they_use_them_when_it_has_left)
{
    open_before_midnight(DAYKEY_MS / 4);
    w.peers[2].older = true;
    run_s(60); /* what the others had asked for before it came is no more */
    cr_assert_eq(connect(0, 2), PATH_DIRECT);
    cr_assert_eq(connect(2, 1), PATH_DIRECT);
    cr_assert_eq(connect(0, 1), PATH_DIRECT);
    world_crash_peer(&w, 2, 600 * (int64_t)SECOND);
    run_s(120);
    uint64_t plain = w.prober.n.plain_tokens;
    run_s(120);
    cr_assert_eq(w.prober.n.plain_tokens, plain);
    cr_assert_eq(connect(0, 1), PATH_DIRECT);
    world_close(&w);
}

Test(daykey, who_moves_to_a_coordinator_that_does_not_tell_of_them_asks_for_them_no_more)
{
    open_before_midnight(DAYKEY_MS / 4);
    run_s(60);
    cr_assert(w.peers[0].core.daily);
    w.peers[0].older = true; /* what it and its coordinator say is what earlier versions do */
    run_s(300);
    cr_assert_not(w.peers[0].core.daily);
    cr_assert_gt(w.prober.n.plain_tokens, 0);
    world_close(&w);
}
