/*
 * test_relay_choice.c - which relay a session gets: the coordinator's choice by what both sides measured, and
 * how an executor measures.
 */
#include "lib/relaywire.h"
#include "services/coordinator/parts.h"
#include "tests/lib/coordinator_bed.h"
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

static struct bed b;

static void fini(void)
{
    if (b.memory)
        coordinator_bed_fini(&b);
}

TestSuite(relay_choice, .fini = fini, .timeout = 20);

/* Another relay like the bed's, with a last byte of its address of its own. */
static struct msg hello(uint8_t last, uint32_t sessions, uint32_t sessions_max)
{
    struct msg m = {.type = MSG_relay_hello};

    m.relay_hello = b.relay;
    memset(m.relay_hello.key.b, last, sizeof m.relay_hello.key.b);
    m.relay_hello.cert.len = 64;
    cert_sign('r', m.relay_hello.key.b, b.authority_secret, m.relay_hello.cert.b);
    m.relay_hello.addr = addr_v4(203, 0, 113, last, 3480);
    m.relay_hello.sessions = sessions;
    m.relay_hello.sessions_max = sessions_max;
    return m;
}

static void say_hello(uint8_t last, uint32_t sessions, uint32_t sessions_max)
{
    struct msg m = hello(last, sessions, sessions_max);

    coordinator_bed_from_suite(&b, SERVICE_relay, &m);
}

Test(relay_choice, nobody_takes_the_place_of_a_relay_that_is_up)
{
    coordinator_bed_init_alone(&b, 0, 0);
    say_hello(21, 0, 100);
    struct msg m = hello(22, 0, 100);
    m.relay_hello.addr = addr_v4(203, 0, 113, 21, 3480);
    coordinator_bed_from_suite(&b, SERVICE_relay, &m);
    cr_assert_eq(b.core.n.hellos_refused, 1);
    say_hello(22, 0, 100); /* nor does one that has its own */
    coordinator_bed_from_suite(&b, SERVICE_relay, &m);
    cr_assert_eq(b.core.n.hellos_refused, 2);
    coordinator_bed_pass_alone(&b, COORD_HELLO_TTL_MS + 1); /* it is gone */
    coordinator_bed_from_suite(&b, SERVICE_relay, &m);
    cr_assert_eq(b.core.n.hellos_refused, 2);
    cr_assert(
        peer_id_eq(&coordinator_relay_at(&b.core, &m.relay_hello.addr)->key, &m.relay_hello.key));
}

/* How far this peer says that relays .21 and .22 are. */
static void measure(unsigned peer, uint16_t to_21, uint16_t to_22)
{
    const uint16_t ms[2] = {to_21, to_22};
    struct msg m;

    memset(&m, 0, sizeof m);
    m.type = MSG_reflex_report;
    m.reflex_report.tokens.n = 1;
    m.reflex_report.tokens.v[0] = coordinator_bed_token(&b, peer, 4000, 0);
    for (uint8_t i = 0; i < 2; i++)
        if (ms[i] > 0)
            m.reflex_report.relays.v[m.reflex_report.relays.n++] = (struct observation){
                .rtt_ms = ms[i], .prober = addr_v4(203, 0, 113, (uint8_t)(21 + i), 3480)};
    coordinator_bed_from_peer(&b, peer, &m);
}

static void two_random(void)
{
    coordinator_bed_init_alone(&b, 0, 0);
    coordinator_bed_prober_hello(&b);
    say_hello(21, 0, 100);
    say_hello(22, 0, 100);
    coordinator_bed_ready(&b, 1, "alice");
    coordinator_bed_ready(&b, 2, "bob");
    coordinator_bed_profile(&b, 1, NAT_APD, NAT_APD, ALLOC_RANDOM);
    coordinator_bed_profile(&b, 2, NAT_APD, NAT_APD, ALLOC_RANDOM);
}

/* The last byte of the relay in both orders of a new session; 0 when they have none. */
static unsigned chosen(uint64_t nonce)
{
    struct msg m = coordinator_bed_request("bob", nonce);

    memset(b.order, 0, sizeof b.order);
    coordinator_bed_from_peer(&b, 1, &m);
    const struct addr *a = &b.order[0].punch_coordinate.relay;
    cr_assert(addr_eq(a, &b.order[1].punch_coordinate.relay));
    return a->len ? a->ip[3] : 0;
}

Test(relay_choice, the_relay_with_the_smallest_sum_of_both_round_trips_is_taken)
{
    two_random();
    measure(1, 10, 60);
    measure(2, 90, 20);
    cr_assert_eq(chosen(1), 22);
    measure(2, 60, 20);
    cr_assert_eq(chosen(2), 21);
}

Test(relay_choice, of_relays_as_near_the_load_decides)
{
    two_random();
    measure(1, 20, 25);
    measure(2, 20, 22);
    say_hello(21, 60, 100);
    say_hello(22, 30, 100);
    cr_assert_eq(chosen(1), 22);
    say_hello(22, 70, 100);
    cr_assert_eq(chosen(2), 21);
}

Test(relay_choice, one_that_nobody_has_measured_comes_last)
{
    two_random();
    measure(1, 0, 900);
    measure(2, 0, 900);
    say_hello(22, 90, 100);
    cr_assert_eq(chosen(1), 22);
}

Test(relay_choice, a_full_relay_is_passed_over_and_when_all_are_the_verdict_says_so)
{
    two_random();
    measure(1, 10, 60);
    measure(2, 10, 60);
    say_hello(21, 100, 100);
    cr_assert_eq(chosen(1), 22);
    say_hello(22, 100, 100);
    coordinator_bed_forget(&b);
    cr_assert_eq(chosen(2), 0);
    cr_assert(strstr(b.text, "relay-full"), "%s", b.text);
}

static void refuse(unsigned peer, uint8_t last, const char *kind)
{
    struct msg m;

    memset(&m, 0, sizeof m);
    m.type = MSG_relay_refused;
    m.relay_refused.session = b.last;
    m.relay_refused.relay = addr_v4(203, 0, 113, last, 3480);
    msg_text(m.relay_refused.kind, sizeof m.relay_refused.kind, kind);
    memset(b.order, 0, sizeof b.order);
    coordinator_bed_from_peer(&b, peer, &m);
}

Test(relay_choice, a_relay_elsewhere_is_believed_of_the_sessions_that_it_has_or_had)
{
    struct input in = {.kind = IN_MSG};
    struct msg m = {.type = MSG_relay_usage};

    two_random();
    measure(1, 10, 60);
    measure(2, 10, 60);
    cr_assert_eq(chosen(1), 21);
    m.relay_usage.session = b.last;
    m.relay_usage.packets = 1;
    in.msg = &m;
    in.from = (struct sender){.service = SERVICE_relay, .link = 1};
    const struct coordinator_session *s = coordinator_session(&b.core, &b.last);
    for (uint8_t last = 21; last <= 23; last++) { /* 23 has never said hello */
        memset(in.from.peer.b, last, sizeof in.from.peer.b);
        coordinator_bed_step(&b, &in);
        cr_assert_eq(s->relay_packets, 1, "relay .%u", last);
    }
    cr_assert(b.core.n.ignored == 2 && b.core.n.relay_packets == 1);
    refuse(2, 21, "overloaded");
    for (uint8_t last = 21; last <= 23; last++) {
        memset(in.from.peer.b, last, sizeof in.from.peer.b);
        coordinator_bed_step(&b, &in);
    }
    cr_assert_eq(s->relay_packets, 3, "and now of both");
    cr_assert_eq(b.core.n.ignored, 3);
}

Test(relay_choice, what_one_side_is_refused_by_a_relay_both_try_at_the_next)
{
    two_random();
    measure(1, 10, 60);
    measure(2, 10, 60);
    cr_assert_eq(chosen(1), 21);
    refuse(2, 21, "overloaded");
    cr_assert_eq(b.order[0].punch_coordinate.relay.ip[3], 22);
    cr_assert_eq(b.order[1].punch_coordinate.relay.ip[3], 22);
    refuse(1, 21, "overloaded"); /* the other side's word about the same comes later */
    cr_assert_eq(b.order[0].type, 0);
    refuse(1, 22, "overloaded");
    cr_assert(b.order[0].punch_coordinate.relays_full && b.order[1].punch_coordinate.relays_full);
    cr_assert_eq(b.order[0].punch_coordinate.relay.len, 0);
    cr_assert_eq(b.core.n.relays_refused, 2);
}

Test(relay_choice, a_relay_that_is_silent_is_kept_when_there_is_no_other)
{
    two_random();
    measure(1, 10, 60);
    measure(2, 10, 60);
    cr_assert_eq(chosen(1), 21);
    refuse(1, 21, "unreachable");
    cr_assert_eq(b.order[0].punch_coordinate.relay.ip[3], 22);
    refuse(1, 22, "unreachable");
    cr_assert_eq(b.order[0].type, 0);
    refuse(3, 22, "overloaded"); /* a stranger's word is none */
    cr_assert_eq(b.order[0].type, 0);
}

/* By the link that CURVE gave the key with this first byte. */
static void say_hello_by_link(uint8_t last, uint8_t key)
{
    struct msg m = hello(last, 0, 100);
    struct input in = {
        .kind = IN_MSG, .msg = &m, .from = {.service = SERVICE_relay, .link = 1}
    };

    memset(in.from.peer.b, key, sizeof in.from.peer.b);
    coordinator_bed_step(&b, &in);
}

Test(relay_choice, a_relay_on_another_host_says_hello_for_itself_only)
{
    two_random();
    say_hello_by_link(23, 24);
    cr_assert_null(coordinator_relay_at(&b.core, &(struct addr){
                                                     4, {203, 0, 113, 23},
                                                      3480
    }));
    cr_assert_eq(b.core.n.hellos_refused, 1);
    say_hello_by_link(23, 23);
    cr_assert_not_null(coordinator_relay_at(&b.core, &(struct addr){
                                                         4, {203, 0, 113, 23},
                                                          3480
    }));
}

Test(relay_choice, of_more_relays_than_peers_can_be_told_of_the_freest_are_named)
{
    two_random();
    for (uint8_t i = 0; i < 6; i++)
        say_hello((uint8_t)(21 + i), 90u - 10u * i, 100);
    say_hello(26, 100, 100);
    struct prober_list l = coordinator_near_relays(&b.core);
    cr_assert_eq(l.n, PROBERS_MAX);
    for (unsigned i = 0; i < l.n; i++)
        cr_assert_eq(l.v[i].addrs[0].ip[3], 25 - i);
}

/* ---- moving ------------------------------------------------------------------------------------- */

enum { HELLOS = 8 }; /* in which all sessions are looked at */

static void drains(uint8_t last, uint32_t sessions)
{
    struct msg m = hello(last, sessions, sessions);

    m.relay_hello.draining = true;
    memset(b.order, 0, sizeof b.order);
    for (unsigned i = 0; i < HELLOS && b.order[1].type == 0; i++)
        coordinator_bed_from_suite(&b, SERVICE_relay, &m);
}

static unsigned told(unsigned side)
{
    const struct msg_punch_coordinate *m = &b.order[side].punch_coordinate;

    return b.order[side].type == MSG_punch_coordinate && m->ticket.len == TICKET_BYTES
               ? m->relay.ip[3]
               : 0;
}

static void settled_at_21(void)
{
    two_random();
    measure(1, 10, 60);
    measure(2, 10, 60);
    cr_assert_eq(chosen(1), 21);
    for (unsigned peer = 1; peer <= 2; peer++) {
        struct msg m = coordinator_bed_result(&b, PATH_RELAYED, TECHNIQUE_RELAYED, "both-random");
        coordinator_bed_from_peer(&b, peer, &m);
    }
    cr_assert_eq(coordinator_session(&b.core, &b.last)->state, COORD_RELAYED);
}

Test(relay_choice, both_sides_of_a_session_are_told_of_another_relay_when_theirs_drains)
{
    settled_at_21();
    drains(22, 0); /* it is not theirs */
    cr_assert(told(0) == 0 && told(1) == 0);
    say_hello(22, 0, 100);
    drains(21, 1);
    cr_assert(told(0) == 22 && told(1) == 22);
    cr_assert_eq(b.core.n.relays_changed, 1);
    drains(21, 1); /* once */
    cr_assert(told(0) == 0 && told(1) == 0);
}

Test(relay_choice, a_coordinator_that_ends_waits_for_relays_of_its_bus_that_drain)
{
    two_random();
    say_hello(22, 0, 100);
    cr_assert_not(coordinator_relays_done(&b.core, false), "they may be told yet");
    cr_assert(coordinator_relays_done(&b.core, true));
    drains(21, 1);
    cr_assert_not(coordinator_relays_done(&b.core, true), "one has sessions");
    drains(21, 0);
    cr_assert(coordinator_relays_done(&b.core, true));
    drains(22, 0);
    say_hello_by_link(23, 23);
    cr_assert(coordinator_relays_done(&b.core, false), "one elsewhere does not end with this host");
    cr_assert(coordinator_has_other_relay(
        &b.core, coordinator_relay_at(&b.core, &(struct addr){
                                                   4, {203, 0, 113, 21},
                                                    3480
    })));
}

Test(relay_choice, a_raw_session_is_moved_while_its_relay_carries_it_and_not_when_it_is_direct)
{
    settled_at_21();
    struct coordinator_session *s = coordinator_find(&b.core, &b.last);
    s->mode = MODE_RAW;
    s->state = COORD_DIRECT;
    drains(21, 1);
    cr_assert(told(0) == 0 && told(1) == 0);
    s->state = COORD_RELAYED;
    drains(21, 1);
    cr_assert(told(0) == 22 && told(1) == 22);
}

Test(relay_choice, where_no_other_has_room_a_session_stays_until_one_has)
{
    settled_at_21();
    say_hello(22, 100, 100);
    drains(21, 1);
    cr_assert(told(0) == 0 && told(1) == 0);
    say_hello(22, 99, 100);
    drains(21, 1);
    cr_assert(told(0) == 22 && told(1) == 22);
}

Test(relay_choice, what_a_side_can_not_move_to_is_not_named_again)
{
    settled_at_21();
    say_hello(23, 0, 100);
    drains(21, 1);
    cr_assert_eq(told(0), 22);
    refuse(1, 22, "unreachable");
    cr_assert(told(0) == 23 && told(1) == 23);
    refuse(2, 23, "unreachable");
    cr_assert(told(0) == 0 && told(1) == 0);
}

Test(relay_choice, one_that_was_started_again_may_be_moved_to)
{
    settled_at_21();
    refuse(1, 21, "unreachable");
    cr_assert(told(0) == 22 && told(1) == 22);
    drains(22, 1);
    cr_assert(told(0) == 0 && told(1) == 0);
    coordinator_bed_pass_alone(&b, COORD_UNTRY_MS);
    b.relay.epoch++;
    say_hello(21, 0, 100);
    drains(22, 1);
    cr_assert(told(0) == 21 && told(1) == 21);
}

Test(relay_choice, one_that_is_started_again_and_again_has_sessions_looked_at_once_a_second)
{
    settled_at_21();
    coordinator_bed_pass_alone(&b, COORD_UNTRY_MS);
    const struct coordinator_session *s = coordinator_session(&b.core, &b.last);
    refuse(1, 21, "unreachable");
    cr_assert_neq(s->relays_tried, 0);
    b.relay.epoch++;
    say_hello(21, 0, 100);
    cr_assert_eq(s->relays_tried, 0);
    refuse(1, 22, "unreachable");
    refuse(1, 21, "unreachable");
    cr_assert_neq(s->relays_tried, 0);
    uint16_t tried = s->relays_tried;
    b.relay.epoch++;
    say_hello(21, 0, 100);
    cr_assert_eq(s->relays_tried, tried, "too soon");
    coordinator_bed_pass_alone(&b, COORD_UNTRY_MS);
    say_hello(21, 0, 100);
    cr_assert_neq(s->relays_tried, tried, "and it is not forgotten");
}

Test(relay_choice, a_session_that_is_not_settled_is_not_moved)
{
    two_random();
    measure(1, 10, 60);
    measure(2, 10, 60);
    cr_assert_eq(chosen(1), 21);
    drains(21, 1);
    cr_assert(told(0) == 0 && told(1) == 0);
}

/* ---- measuring ----------------------------------------------------------------------------------- */

static const struct addr far = {
    4, {203, 0, 113, 77},
     3480
};

/* Attached and told of two relays, of which one's certificate is good. */
static void told_of_relays(void)
{
    uint8_t seed[32] = {1}, authority[64], public_key[32];
    struct msg m = {.type = MSG_attached};

    executor_bed_open();
    executor_bed_ready();
    crypto_sign_seed_keypair(public_key, authority, seed);
    m.attached.probers = executor_bed.probers;
    m.attached.relays.n = 2;
    for (uint8_t i = 0; i < 2; i++) {
        struct prober_info *r = &m.attached.relays.v[i];
        memset(r->key, 5 + i, sizeof r->key);
        cert_sign(i == 0 ? 'r' : 'p', r->key, authority, r->cert);
        r->n_addrs = 1;
        r->addrs[0] = far;
        r->addrs[0].port = (uint16_t)(far.port + i);
    }
    m.attached.places.n = 1;
    m.attached.places.v[0] = place_sign(&far, authority);
    executor_bed_msg(1000, &m);
    executor_bed_forget();
}

Test(relay_choice, an_executor_measures_certified_relays_with_each_round_and_reports_them)
{
    struct path_id path = {{0}};
    struct addr to = {0};
    uint8_t data[RELAY_CONTROL_MAX];

    told_of_relays();
    while (executor_bed_count(PACKET_RELAY, &to) == 0)
        executor_bed_tick();
    cr_assert_eq(executor_bed_count(PACKET_RELAY, &to), 1);
    cr_assert(addr_eq(&to, &far));
    int64_t at_ms = executor_bed.now_us / 1000;
    struct relay_control c = {.op = RELAY_UNKNOWN, .path = path};
    executor_bed_datagram(at_ms + 30, &far, data, relay_encode(&c, data));
    cr_assert_not(executor_bed.relays[0].answered, "to another question");
    c.path = executor_bed.relays[0].path;
    executor_bed_datagram(at_ms + 31, &to, data, relay_encode(&c, data));
    cr_assert_eq(executor_bed.relays[0].rtt_ms, 31);
    bool reported = false;
    for (int i = 0; i < 50 && !reported; i++) {
        executor_bed_tick();
        for (size_t k = 0; k < executor_bed_out.n; k++)
            if (executor_bed_out.v[k].kind == OUT_MSG &&
                executor_bed_out.v[k].msg.type == MSG_reflex_report) {
                const struct observation_list *l = &executor_bed_out.v[k].msg.reflex_report.relays;
                reported = l->n == 1 && l->v[0].rtt_ms == 31 && addr_eq(&l->v[0].prober, &far);
            }
    }
    cr_assert(reported);
}
