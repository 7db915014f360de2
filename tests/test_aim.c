/*
 * test_aim.c - the executor's fences: a hostile coordinator, a hostile prober and a hostile peer, each with all
 * the keys that it rightly has, try to have a peer send packets to somebody else.
 */
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>
#include <sodium.h>

TestSuite(aim, .init = executor_bed_open, .timeout = 20);

#define X executor_bed
#define ATTEMPT (X.attempts[0])

enum { WALL_MS = 1700000000 };

static struct msg order;
static uint8_t packet[PUNCH_BYTES];
static const struct addr victim = {
    4, {203, 0, 113, 66},
     53
};

static struct msg_token token_at(const struct addr *where)
{
    return executor_bed_token(&executor_bed_peer, where, WALL_MS + 80);
}

/* How many datagrams of the last step went to this ip. */
static size_t sent_to(const struct addr *ip)
{
    size_t n = 0;

    for (size_t i = 0; i < executor_bed_out.n; i++)
        n += executor_bed_out.v[i].kind == OUT_DATAGRAM &&
             addr_ip_eq(&executor_bed_out.v[i].dgram.dst, ip);
    return n;
}

/* And of all steps until then. */
static size_t sent_until(int64_t ms, const struct addr *ip)
{
    size_t n = 0;

    while (executor_deadline(&X) <= ms * 1000) {
        executor_bed_forget();
        executor_bed_tick();
        n += sent_to(ip);
    }
    return n;
}

/* ---- addresses that nobody may be aimed at --------------------------------------------------------------- */

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
        order.punch_coordinate.theirs = (struct msg_token_list){1, {token_at(&at)}};
        executor_bed_msg(240, &order);
        cr_assert_eq(ATTEMPT.n_candidates, 0, "%s", inside[i]);
        cr_assert_eq(sent_until(3000, &at), 0, "%s", inside[i]);
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
    cr_assert_eq(sent_to(&at), 0);
    cr_assert_eq(sent_until(8000, &at), 0);
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
    cr_assert_eq(sent_to(&at), 0);
    cr_assert_eq(sent_until(60000, &at), 0);
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
    struct addr elsewhere = victim;
    struct msg m = prober_at(&victim);

    crypto_sign_seed_keypair(key, forger, seed);
    elsewhere.ip[3]++;
    m.attached.places = signed_place(&elsewhere); /* one that is carried over to the victim */
    m.attached.places.v[0].ip.ip[3]--;
    m.attached.places.v[m.attached.places.n++] = place_sign(&victim, forger);
    executor_bed_msg(40, &m);
    cr_assert_eq(sent_to(&victim) + sent_until(60000, &victim), 0);
    cr_assert_eq(X.n.places_refused, 2);
}

Test(aim, a_relay_where_the_authority_signed_nothing_is_not_asked)
{
    size_t n = 0;

    executor_bed_ready();
    for (int signed_ = 0; signed_ < 2; signed_++) {
        order = executor_bed_order(1, TECHNIQUE_RELAYED, POLICY_RELAY);
        order.punch_coordinate.session.b[0] = (uint8_t)(1 + signed_);
        order.punch_coordinate.relay = victim;
        if (signed_)
            order.punch_coordinate.places = signed_place(&victim);
        executor_bed_msg(240 + 1000 * signed_, &order);
        n = sent_to(&victim) + sent_until(1000 + 1000 * signed_, &victim);
        cr_assert(signed_ ? n > 0 : n == 0);
    }
}

Test(aim, what_is_called_a_prober_but_never_answers_gets_few_packets)
{
    struct msg m = prober_at(&victim);

    m.attached.places = signed_place(&victim);
    executor_bed_msg(40, &m);
    size_t n = sent_to(&victim) + sent_until(200, &victim);
    for (int64_t s = 1; s <= 600; s++) { /* its coordinator keeps the attachment alive */
        n += sent_until(s * 1000, &victim);
        if (s % 10 == 0) {
            executor_bed_msg(s * 1000, &m);
            n += sent_to(&victim);
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
        order.punch_coordinate.relay = victim;
        order.punch_coordinate.places = signed_place(&victim);
        executor_bed_msg(240, &order);
        n += sent_to(&victim);
    }
    n += sent_until(20000, &victim);
    cr_assert_leq(n, KNOCKS_MAX + 20 * 1000000 / KNOCK_EVERY_US + 1);
    cr_assert_geq(n, KNOCKS_MAX / 2);
}

Test(aim, so_many_addresses_called_relays_get_nothing_as_can_be_kept_count_of)
{
    size_t ips = 0;

    executor_bed_ready();
    for (uint8_t i = 0; i < 3 * KNOCK_IPS_MAX; i++) {
        struct addr at = victim;
        at.ip[3] = (uint8_t)(100 + i);
        order = executor_bed_order(1, TECHNIQUE_RELAYED, POLICY_RELAY);
        order.punch_coordinate.session.b[0] = i;
        order.punch_coordinate.relay = at;
        order.punch_coordinate.places = signed_place(&at);
        executor_bed_msg(240, &order);
        ips += sent_to(&at) > 0;
    }
    cr_assert_lt(ips, KNOCK_IPS_MAX, "the prober has a place too");
    cr_assert_geq(ips, KNOCK_IPS_MAX - 2);
}

/* ---- two probers ------------------------------------------------------------------------------------------- */

static uint8_t second_secret[64];

static struct msg_token second_token(const struct peer_id *who, const struct addr *where)
{
    struct token t = {.addr = *where, .peer = *who, .time_ms = WALL_MS + 80};
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
    order.punch_coordinate.theirs = (struct msg_token_list){1, {token_at(&victim)}};
    executor_bed_msg(240, &order);
    cr_assert_eq(ATTEMPT.n_candidates, 0);
    cr_assert_eq(sent_until(3000, &victim), 0);
}

Test(aim, where_two_probers_are_one_cannot_speak_twice)
{
    struct addr other = victim;

    other.port++;
    know_two_probers();
    order.punch_coordinate.theirs = (struct msg_token_list){
        2, {token_at(&victim), token_at(&other)}
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
        {token_at(&executor_bed_peer_addr), second_token(&executor_bed_peer, &other),
          token_at(&victim)}
    };
    executor_bed_msg(240, &order);
    cr_assert_eq(ATTEMPT.n_candidates, 2);
    cr_assert_eq(sent_until(3000, &victim), 0, "of the third only one speaks");
}

/* ---- a peer that lies about where it is ---------------------------------------------------------------------- */

static void start(uint16_t side)
{
    order = executor_bed_start(side, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    ATTEMPT.has_keys = true; /* the bench's are zeroes */
}

static void data_from(int64_t ms, const struct addr *from, enum data_kind kind, uint64_t counter)
{
    static const uint8_t key[32];
    uint8_t data[DATA_BYTES_MAX];
    struct path_id to = ATTEMPT.own_path;

    executor_bed_datagram(ms, from, data,
                          data_seal(kind, (const uint8_t *)"12345678", 8, counter, &to, key, data));
}

Test(aim, an_authentic_punch_from_an_ip_that_no_prober_vouched_for_is_not_answered)
{
    start(1);
    for (uint8_t i = 1; i < 100; i++) {
        executor_bed_punch(&order, i % 2 ? PACKET_PUNCH : PACKET_PONG, i, EXECUTOR_BED_ECHO,
                           PUNCH_CONFIRMED, packet);
        executor_bed_datagram(250, &victim, packet, sizeof packet);
        cr_assert_eq(sent_to(&victim), 0);
    }
    cr_assert_eq(X.n.strangers, 99);
    cr_assert_not(ATTEMPT.way[WAY_DIRECT].heard);
    cr_assert_eq(sent_until(3000, &victim), 0);
}

Test(aim, data_from_an_ip_that_no_prober_vouched_for_draws_nothing_there)
{
    start(1);
    for (uint8_t i = 1; i < 100; i++) {
        data_from(250 + i, &victim, i % 2 ? DATA_APP : DATA_PING, i);
        cr_assert_eq(sent_to(&victim), 0);
    }
    executor_bed_app(360, APP_SEND, 0, "x", 1);
    cr_assert_eq(sent_to(&victim), 0);
    cr_assert_eq(sent_until(5000, &victim), 0);
}

Test(aim, a_pong_proves_the_address_that_was_asked_wherever_it_comes_from)
{
    struct addr to, lie = executor_bed_peer_addr;

    start(1);
    lie.port = 4711; /* a neighbour's, behind the same NAT */
    executor_bed_punch(&order, PACKET_PONG, 1, EXECUTOR_BED_ECHO, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(250, &lie, packet, sizeof packet);
    cr_assert(addr_eq(&ATTEMPT.way[WAY_DIRECT].remote, &executor_bed_peer_addr));
    executor_bed_app(260, APP_SEND, 0, "x", 1);
    if (executor_bed_count(PACKET_DATA, &to) > 0)
        cr_assert(addr_eq(&to, &executor_bed_peer_addr), "and not to whom it names");
    while (executor_deadline(&X) <= 5000000) {
        executor_bed_tick();
        for (size_t i = 0; i < executor_bed_out.n; i++)
            cr_assert_not(executor_bed_out.v[i].kind == OUT_DATAGRAM &&
                          addr_eq(&executor_bed_out.v[i].dgram.dst, &lie));
    }
}

Test(aim, an_address_gets_no_more_than_forty_packets_in_an_attempt_however_loud_the_peer_is)
{
    size_t n = 0;

    start(1);
    n = executor_bed_count(PACKET_PUNCH, NULL);
    for (uint8_t i = 1; i < 200; i++) {
        executor_bed_punch(&order, PACKET_PUNCH, i, 0, 0, packet);
        executor_bed_datagram(250 + i, &executor_bed_peer_addr, packet, sizeof packet);
        n += executor_bed_count(PACKET_PUNCH, NULL) + executor_bed_count(PACKET_PONG, NULL);
    }
    n += sent_until(3600, &executor_bed_peer_addr);
    cr_assert_eq(n, PACKETS_MAX);
}

Test(aim, pongs_that_return_no_ping_keep_no_path_alive)
{
    uint64_t counter = 1;
    int64_t ms = 260;

    start(1);
    ATTEMPT.relay.addr = executor_bed_relay;
    executor_bed_punch(&order, PACKET_PONG, 1, EXECUTOR_BED_ECHO, 0, packet);
    executor_bed_datagram(ms, &executor_bed_peer_addr, packet, sizeof packet);
    data_from(261, &executor_bed_relay, DATA_PING, counter++);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_DIRECT);
    for (ms = 300; ms < 12000 && ATTEMPT.state == ATTEMPT_DIRECT; ms += 100) {
        executor_bed_run_to(ms);
        data_from(ms, &executor_bed_peer_addr, DATA_PONG, counter++);
    }
    cr_assert_eq(ATTEMPT.state, ATTEMPT_RELAYED, "who lies about its source has not seen the ping");
}

/* ---- guesses ------------------------------------------------------------------------------------------------- */

static struct profile theirs; /* what the coordinator says that the peer's NAT is like */

/* The peer's NAT draws random ports: this side tries them, at the ip of these tokens. */
static void try_ports(int64_t ms, uint8_t session, size_t n_tokens)
{
    struct addr second = executor_bed_peer_addr;

    second.port = 9999;
    order = executor_bed_order(1, TECHNIQUE_BIRTHDAY, POLICY_AUTO);
    order.punch_coordinate.session.b[0] = session;
    order.punch_coordinate.plan.v[0].role = 0;
    order.punch_coordinate.plan.v[0].span_us = 20 * 1000000;
    order.punch_coordinate.deadline_ms = 30000;
    order.punch_coordinate.theirs = (struct msg_token_list){
        (uint8_t)n_tokens, {token_at(&executor_bed_peer_addr), token_at(&second)}
    };
    order.punch_coordinate.their_profile = theirs;
    executor_bed_msg(ms, &order);
}

Test(aim, ports_are_guessed_only_where_two_fresh_tokens_name_the_ip)
{
    executor_bed_ready();
    try_ports(240, 1, 1);
    cr_assert_leq(sent_until(1240, &executor_bed_peer_addr), PACKETS_MAX);
    cr_assert_eq(X.n.guesses, 0);
    try_ports(1250, 2, 2);
    sent_until(2250, &victim);
    cr_assert_gt(X.n.guesses, 400);
}

/* There is no stride for such a walk. */
Test(aim, a_block_of_one_port_is_none_to_guess_in)
{
    theirs = (struct profile){.mapping = NAT_APD,
                              .allocation = ALLOC_RANDOM,
                              .port_lo = 5000,
                              .port_hi = 5100,
                              .block_lo = 5000,
                              .block_hi = 5000};
    executor_bed_ready();
    try_ports(240, 1, 2);
    sent_until(1240, &victim);
    cr_assert_gt(X.n.guesses, 400);
}

Test(aim, several_attempts_together_guess_no_faster_at_one_ip_than_one)
{
    executor_bed_ready();
    for (uint8_t i = 1; i <= 5; i++)
        try_ports(240, i, 2);
    sent_until(2240, &victim);
    cr_assert_leq(X.n.guesses, 2 * 500 + 2 * 8, "500 a second, and a batch");
    cr_assert_geq(X.n.guesses, 900);
}

Test(aim, guesses_at_one_ip_end_after_three_thousand_and_never_go_below_port_1024)
{
    size_t low = 0;

    executor_bed_ready();
    for (uint8_t i = 1; i <= 5; i++)
        try_ports(240, i, 2);
    while (executor_deadline(&X) <= 20 * 1000000) {
        executor_bed_forget();
        executor_bed_tick();
        for (size_t i = 0; i < executor_bed_out.n; i++)
            low += executor_bed_out.v[i].kind == OUT_DATAGRAM &&
                   executor_bed_out.v[i].dgram.dst.port < 1024;
    }
    cr_assert_eq(low, 0);
    cr_assert_eq(X.n.guesses, GUESSES_MAX);
    cr_assert_gt(X.n.guesses_refused, 0);
}

/* ---- who is served --------------------------------------------------------------------------------------------- */

/* As many calls as are let in, from keys numbered from first on, seen at this ip; every key calls so often. */
static size_t calls(uint8_t first, size_t n, size_t each, uint8_t ip)
{
    struct addr at = executor_bed_peer_addr;
    size_t in = 0;

    at.ip[3] = ip;
    for (size_t i = 0; i < n; i++) {
        uint64_t refused = X.n.orders_refused;
        order = executor_bed_order(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
        memset(order.punch_coordinate.peer.b, first + (int)(i / each), 32);
        order.punch_coordinate.theirs.v[0] =
            executor_bed_token(&order.punch_coordinate.peer, &at, WALL_MS + 80);
        rng_bytes(&X.rng, order.punch_coordinate.session.b, sizeof order.punch_coordinate.session);
        executor_bed_msg(240, &order);
        in += X.n.orders_refused == refused;
    }
    return in;
}

Test(aim, one_key_cannot_fill_the_slots_of_a_listener)
{
    executor_bed_ready();
    cr_assert_eq(calls(1, 2 * ATTEMPTS_MAX, 2 * ATTEMPTS_MAX, 9), ATTEMPTS_MAX - RESERVED_ATTEMPTS);
    cr_assert_eq(calls(2, 1, 1, 10), 1, "another one is served");
}

Test(aim, many_keys_at_one_ip_cannot_fill_the_slots_of_a_listener)
{
    executor_bed_ready();
    size_t taken = calls(1, 200, 1, 9);
    cr_assert_leq(taken, ATTEMPTS_MAX - RESERVED_ATTEMPTS + RESERVED_BY_IP);
    cr_assert_eq(calls(201, RESERVED_BY_KEY + 1, 9, 10), RESERVED_BY_KEY);
}
