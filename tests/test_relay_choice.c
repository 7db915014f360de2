/*
 * test_relay_choice.c - which relay a session gets: the coordinator's choice by what both sides measured, and
 * how an executor measures.
 */
#include "lib/relaywire.h"
#include "services/coordinator/parts.h"
#include "tests/lib/executor_bed.h"
#include "tests/lib/relays_bed.h"

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

Test(relay_choice, nobody_takes_the_place_of_a_relay_that_is_up)
{
    coordinator_bed_init_alone(&b, 0, 0);
    relays_bed_say_hello(&b, 21, 0, 100);
    struct msg m = relays_bed_hello(&b, 22, 0, 100);
    m.relay_hello.addr = addr_v4(203, 0, 113, 21, 3480);
    coordinator_bed_from_suite(&b, SERVICE_relay, &m);
    cr_assert_eq(b.core.n.hellos_refused, 1);
    relays_bed_say_hello(&b, 22, 0, 100); /* nor does one that has its own */
    coordinator_bed_from_suite(&b, SERVICE_relay, &m);
    cr_assert_eq(b.core.n.hellos_refused, 2);
    coordinator_bed_pass_alone(&b, COORD_HELLO_TTL_MS + 1); /* it is gone */
    coordinator_bed_from_suite(&b, SERVICE_relay, &m);
    cr_assert_eq(b.core.n.hellos_refused, 2);
    cr_assert(
        peer_id_eq(&coordinator_relay_at(&b.core, &m.relay_hello.addr)->key, &m.relay_hello.key));
}

Test(relay_choice, the_relay_with_the_smallest_sum_of_both_round_trips_is_taken)
{
    relays_bed_two_random(&b);
    relays_bed_measure(&b, 1, 10, 60);
    relays_bed_measure(&b, 2, 90, 20);
    cr_assert_eq(relays_bed_chosen(&b, 1), 22);
    relays_bed_measure(&b, 2, 60, 20);
    cr_assert_eq(relays_bed_chosen(&b, 2), 21);
}

Test(relay_choice, of_relays_as_near_the_load_decides)
{
    relays_bed_two_random(&b);
    relays_bed_measure(&b, 1, 20, 25);
    relays_bed_measure(&b, 2, 20, 22);
    relays_bed_say_hello(&b, 21, 60, 100);
    relays_bed_say_hello(&b, 22, 30, 100);
    cr_assert_eq(relays_bed_chosen(&b, 1), 22);
    relays_bed_say_hello(&b, 22, 70, 100);
    cr_assert_eq(relays_bed_chosen(&b, 2), 21);
}

Test(relay_choice, one_that_nobody_has_measured_comes_last)
{
    relays_bed_two_random(&b);
    relays_bed_measure(&b, 1, 0, 900);
    relays_bed_measure(&b, 2, 0, 900);
    relays_bed_say_hello(&b, 22, 90, 100);
    cr_assert_eq(relays_bed_chosen(&b, 1), 22);
}

Test(relay_choice, a_full_relay_is_passed_over_and_when_all_are_the_verdict_says_so)
{
    relays_bed_two_random(&b);
    relays_bed_measure(&b, 1, 10, 60);
    relays_bed_measure(&b, 2, 10, 60);
    relays_bed_say_hello(&b, 21, 100, 100);
    cr_assert_eq(relays_bed_chosen(&b, 1), 22);
    relays_bed_say_hello(&b, 22, 100, 100);
    coordinator_bed_forget(&b);
    cr_assert_eq(relays_bed_chosen(&b, 2), 0);
    cr_assert(strstr(b.text, "relay-full"), "%s", b.text);
}

Test(relay_choice, a_relay_elsewhere_is_believed_of_the_sessions_that_it_has_or_had)
{
    struct input in = {.kind = IN_MSG};
    struct msg m = {.type = MSG_relay_usage};

    relays_bed_two_random(&b);
    relays_bed_measure(&b, 1, 10, 60);
    relays_bed_measure(&b, 2, 10, 60);
    cr_assert_eq(relays_bed_chosen(&b, 1), 21);
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
    relays_bed_refuse(&b, 2, 21, "overloaded");
    for (uint8_t last = 21; last <= 23; last++) {
        memset(in.from.peer.b, last, sizeof in.from.peer.b);
        coordinator_bed_step(&b, &in);
    }
    cr_assert_eq(s->relay_packets, 3, "and now of both");
    cr_assert_eq(b.core.n.ignored, 3);
}

Test(relay_choice, what_one_side_is_refused_by_a_relay_both_try_at_the_next)
{
    relays_bed_two_random(&b);
    relays_bed_measure(&b, 1, 10, 60);
    relays_bed_measure(&b, 2, 10, 60);
    cr_assert_eq(relays_bed_chosen(&b, 1), 21);
    relays_bed_refuse(&b, 2, 21, "overloaded");
    cr_assert_eq(b.order[0].punch_coordinate.relay.ip[3], 22);
    cr_assert_eq(b.order[1].punch_coordinate.relay.ip[3], 22);
    relays_bed_refuse(&b, 1, 21,
                      "overloaded"); /* the other side's word about the same comes later */
    cr_assert_eq(b.order[0].type, 0);
    relays_bed_refuse(&b, 1, 22, "overloaded");
    cr_assert(b.order[0].punch_coordinate.relays_full && b.order[1].punch_coordinate.relays_full);
    cr_assert_eq(b.order[0].punch_coordinate.relay.len, 0);
    cr_assert_eq(b.core.n.relays_refused, 2);
}

Test(relay_choice, a_relay_that_is_silent_is_kept_when_there_is_no_other)
{
    relays_bed_two_random(&b);
    relays_bed_measure(&b, 1, 10, 60);
    relays_bed_measure(&b, 2, 10, 60);
    cr_assert_eq(relays_bed_chosen(&b, 1), 21);
    relays_bed_refuse(&b, 1, 21, "unreachable");
    cr_assert_eq(b.order[0].punch_coordinate.relay.ip[3], 22);
    relays_bed_refuse(&b, 1, 22, "unreachable");
    cr_assert_eq(b.order[0].type, 0);
    relays_bed_refuse(&b, 3, 22, "overloaded"); /* a stranger's word is none */
    cr_assert_eq(b.order[0].type, 0);
}

Test(relay_choice, a_relay_on_another_host_says_hello_for_itself_only)
{
    relays_bed_two_random(&b);
    relays_bed_say_hello_by_link(&b, 23, 24);
    cr_assert_null(coordinator_relay_at(&b.core, &(struct addr){
                                                     4, {203, 0, 113, 23},
                                                      3480
    }));
    cr_assert_eq(b.core.n.hellos_refused, 1);
    relays_bed_say_hello_by_link(&b, 23, 23);
    cr_assert_not_null(coordinator_relay_at(&b.core, &(struct addr){
                                                         4, {203, 0, 113, 23},
                                                          3480
    }));
}

Test(relay_choice, of_more_relays_than_peers_can_be_told_of_the_freest_are_named)
{
    relays_bed_two_random(&b);
    for (uint8_t i = 0; i < 6; i++)
        relays_bed_say_hello(&b, (uint8_t)(21 + i), 90u - 10u * i, 100);
    relays_bed_say_hello(&b, 26, 100, 100);
    struct prober_list l = coordinator_near_relays(&b.core);
    cr_assert_eq(l.n, PROBERS_MAX);
    for (unsigned i = 0; i < l.n; i++)
        cr_assert_eq(l.v[i].addrs[0].ip[3], 25 - i);
}

/* ---- measuring ------------------------------------------------------------------------------- */

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
