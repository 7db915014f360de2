/*
 * test_aim.c - the executor's fences: a hostile coordinator and a hostile prober, each with all the keys that it
 * rightly has, try to have a peer send packets to somebody else; test_aim_peer.c has a hostile peer.
 */
#include "tests/lib/aim_bed.h"
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>
#include <sodium.h>

TestSuite(aim, .init = executor_bed_open, .timeout = 20);

#define X executor_bed
#define ATTEMPT (X.attempts[0])

static struct msg order;
/* ---- addresses that nobody may be aimed at --------------------------------------------------- */

Test(aim, a_token_for_an_address_inside_somebodys_network_counts_for_nothing)
{
    static const char *const inside[] = {
        "127.0.0.1:4000",   "10.0.1.9:4000",     "172.16.0.1:4000",      "192.168.1.1:4000",
        "100.64.0.1:4000",  "169.254.1.1:4000",  "0.1.2.3:4000",         "224.0.0.1:4000",
        "192.88.99.1:4000", "240.0.0.1:4000",    "255.255.255.255:4000", "[::1]:4000",
        "[fe80::1]:4000",   "[2002:a00::1]:4000"};

    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        struct addr at = {0};
        executor_bed_open();
        executor_bed_ready();
        cr_assert(addr_parse(inside[i], &at));
        order = executor_bed_order(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
        order.punch_coordinate.theirs = (struct msg_token_list){1, {aim_bed_token(&at)}};
        executor_bed_msg(240, &order);
        cr_assert_eq(ATTEMPT.n_candidates, 0, "%s", inside[i]);
        cr_assert_eq(aim_bed_sent_until(3000, &at), 0, "%s", inside[i]);
    }
}

Test(aim, a_relay_inside_somebodys_network_is_not_asked)
{
    struct addr at = {
        4, {192, 168, 1, 1},
         3480
    };

    executor_bed_ready();
    order = executor_bed_order(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    order.punch_coordinate.relay = at;
    executor_bed_msg(240, &order);
    cr_assert_eq(aim_bed_sent(&at), 0);
    cr_assert_eq(aim_bed_sent_until(8000, &at), 0);
}

/* The certified prober of the bench, said to be elsewhere. */
static struct msg prober_at(const struct addr *where)
{
    struct msg m = {.type = MSG_attached};

    executor_bed_ready();
    m.attached.refresh_s = 20;
    m.attached.probers = X.probers;
    for (size_t i = 0; i < m.attached.probers.v[0].n_addrs; i++)
        m.attached.probers.v[0].addrs[i] = *where;
    executor_bed_open();
    executor_bed_link(0, true, false);
    return m;
}

Test(aim, a_certified_prober_inside_somebodys_network_is_not_asked)
{
    struct addr at = {
        4, {10, 0, 1, 1},
         3478
    };
    struct msg m = prober_at(&at);

    executor_bed_msg(40, &m);
    cr_assert_eq(aim_bed_sent(&at), 0);
    cr_assert_eq(aim_bed_sent_until(60000, &at), 0);
}

/* The authority's word that the suite lives there. */
static struct place_list signed_place(const struct addr *where)
{
    uint8_t seed[32] = {1}, key[32], authority[64]; /* the bench's */

    crypto_sign_seed_keypair(key, authority, seed);
    return (struct place_list){1, {place_sign(where, authority)}};
}

Test(aim, a_certified_prober_where_the_authority_signed_nothing_is_not_asked)
{
    uint8_t seed[32] = {99}, key[32], forger[64];
    struct addr elsewhere = aim_bed_victim;
    struct msg m = prober_at(&aim_bed_victim);

    crypto_sign_seed_keypair(key, forger, seed);
    elsewhere.ip[3]++;
    m.attached.places = signed_place(&elsewhere); /* one that is carried over to the victim */
    m.attached.places.v[0].ip.ip[3]--;
    m.attached.places.v[m.attached.places.n++] = place_sign(&aim_bed_victim, forger);
    executor_bed_msg(40, &m);
    cr_assert_eq(aim_bed_sent(&aim_bed_victim) + aim_bed_sent_until(60000, &aim_bed_victim), 0);
    cr_assert_eq(X.n.places_refused, 2);
}

Test(aim, a_relay_where_the_authority_signed_nothing_is_not_asked)
{
    size_t n = 0;

    executor_bed_ready();
    for (int signed_ = 0; signed_ < 2; signed_++) {
        order = executor_bed_order(1, TECHNIQUE_RELAYED, POLICY_RELAY);
        order.punch_coordinate.session.b[0] = (uint8_t)(1 + signed_);
        order.punch_coordinate.relay = aim_bed_victim;
        if (signed_)
            order.punch_coordinate.places = signed_place(&aim_bed_victim);
        executor_bed_msg(240 + 1000 * signed_, &order);
        n = aim_bed_sent(&aim_bed_victim) +
            aim_bed_sent_until(1000 + 1000 * signed_, &aim_bed_victim);
        cr_assert(signed_ ? n > 0 : n == 0);
    }
}

Test(aim, what_is_called_a_prober_but_never_answers_gets_few_packets)
{
    struct msg m = prober_at(&aim_bed_victim);

    m.attached.places = signed_place(&aim_bed_victim);
    executor_bed_msg(40, &m);
    size_t n = aim_bed_sent(&aim_bed_victim) + aim_bed_sent_until(200, &aim_bed_victim);
    for (int64_t s = 1; s <= 600; s++) { /* its coordinator keeps the attachment alive */
        n += aim_bed_sent_until(s * 1000, &aim_bed_victim);
        if (s % 10 == 0) {
            executor_bed_msg(s * 1000, &m);
            n += aim_bed_sent(&aim_bed_victim);
        }
    }
    cr_assert_leq(n, KNOCKS_MAX + 600 * INT64_C(1000000) / KNOCK_EVERY_US + 1);
    cr_assert_geq(n, KNOCKS_MAX / 2, "and it is asked, so that a prober that comes back is found");
    cr_assert_gt(X.n.knocks_refused, 0);
}

Test(aim, what_is_called_a_relay_but_never_answers_gets_few_packets)
{
    size_t n = 0;

    executor_bed_ready();
    for (uint8_t i = 0; i < ATTEMPTS_MAX / 2; i++) {
        order = executor_bed_order(1, TECHNIQUE_RELAYED, POLICY_RELAY);
        order.punch_coordinate.session.b[0] = i;
        order.punch_coordinate.relay = aim_bed_victim;
        order.punch_coordinate.places = signed_place(&aim_bed_victim);
        executor_bed_msg(240, &order);
        n += aim_bed_sent(&aim_bed_victim);
    }
    n += aim_bed_sent_until(20000, &aim_bed_victim);
    cr_assert_leq(n, KNOCKS_MAX + 20 * 1000000 / KNOCK_EVERY_US + 1);
    cr_assert_geq(n, KNOCKS_MAX / 2);
}

Test(aim, so_many_addresses_called_relays_get_nothing_as_can_be_kept_count_of)
{
    size_t ips = 0;

    executor_bed_ready();
    for (uint8_t i = 0; i < 3 * KNOCK_IPS_MAX; i++) {
        struct addr at = aim_bed_victim;
        at.ip[3] = (uint8_t)(100 + i);
        order = executor_bed_order(1, TECHNIQUE_RELAYED, POLICY_RELAY);
        order.punch_coordinate.session.b[0] = i;
        order.punch_coordinate.relay = at;
        order.punch_coordinate.places = signed_place(&at);
        executor_bed_msg(240, &order);
        ips += aim_bed_sent(&at) > 0;
    }
    cr_assert_lt(ips, KNOCK_IPS_MAX, "the prober has a place too");
    cr_assert_geq(ips, KNOCK_IPS_MAX - 2);
}

/* ---- two probers ----------------------------------------------------------------------------- */

static uint8_t second_secret[64];

static struct msg_token second_token(const struct peer_id *who, const struct addr *where)
{
    struct token t = {.addr = *where, .peer = *who, .time_ms = AIM_BED_WALL_MS + 80};
    struct msg_token raw;

    token_sign(&t, second_secret, &raw);
    return raw;
}

/* A second prober, that has vouched for this host. */
static void know_two_probers(void)
{
    uint8_t seed[32] = {77};

    executor_bed_ready();
    cr_assert_eq(X.probers.n, 1);
    crypto_sign_seed_keypair(X.probers.v[1].key, second_secret, seed);
    X.probers.n = 2;
    X.tokens.v[X.tokens.n++] = second_token(&X.conf.id, &X.reflexive);
    order = executor_bed_order(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
}

Test(aim, where_two_probers_are_one_that_lies_aims_nobody)
{
    know_two_probers();
    order.punch_coordinate.theirs = (struct msg_token_list){1, {aim_bed_token(&aim_bed_victim)}};
    executor_bed_msg(240, &order);
    cr_assert_eq(ATTEMPT.n_candidates, 0);
    cr_assert_eq(aim_bed_sent_until(3000, &aim_bed_victim), 0);
}

Test(aim, where_two_probers_are_one_cannot_speak_twice)
{
    struct addr other = aim_bed_victim;

    other.port++;
    know_two_probers();
    order.punch_coordinate.theirs = (struct msg_token_list){
        2, {aim_bed_token(&aim_bed_victim), aim_bed_token(&other)}
    };
    executor_bed_msg(240, &order);
    cr_assert_eq(ATTEMPT.n_candidates, 0);
}

Test(aim, two_probers_that_agree_on_the_ip_are_believed_each_its_port)
{
    struct addr other = executor_bed_peer_addr;

    other.port++; /* a NAT with another port for each of them */
    know_two_probers();
    order.punch_coordinate.theirs = (struct msg_token_list){
        3,
        {aim_bed_token(&executor_bed_peer_addr), second_token(&executor_bed_peer, &other),
          aim_bed_token(&aim_bed_victim)}
    };
    executor_bed_msg(240, &order);
    cr_assert_eq(ATTEMPT.n_candidates, 2);
    cr_assert_eq(aim_bed_sent_until(3000, &aim_bed_victim), 0, "of the third only one speaks");
}
