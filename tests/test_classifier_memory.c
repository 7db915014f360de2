/*
 * test_classifier_memory.c - what the classifier keeps of a peer, for how long, and what hostile reports do.
 */
#include "services/classifier/allocation.h"
#include "tests/lib/classifier_bed.h"

#include <criterion/criterion.h>

enum { SMALL = 4 };

static struct classifier_bed bed, *const b = &bed;

static void setup(void) { classifier_bed_open(b, SMALL); }
static void teardown(void) { classifier_bed_close(b); }

TestSuite(classifier_memory, .init = setup, .fini = teardown, .timeout = 20);

/* ---- memory ---------------------------------------------------------------------------------- */

static void known_contiguous(void)
{
    struct classifier_model m = classifier_model(NAT_EI, ALLOC_CONTIGUOUS, 1);

    classifier_bed_probe(b, &m, 0);
    expect(b, "ei/contiguous 95% delta=1 20001-20005 age=0 192.0.2.1:20001");
}

Test(classifier_memory, a_poorer_report_does_not_overwrite_what_is_known)
{
    known_contiguous();
    b->now_us += 25000000;
    classifier_bed_begin(b, "10.0.0.2:40000"); /* a refresh: no samples, two answers lost */
    classifier_bed_saw(b, 0, 40000, A1P1, "192.0.2.1:20001");
    classifier_bed_saw(b, 0, 40000, A1P2, "192.0.2.1:20001");
    expect(b, "ei/contiguous 95% delta=1 20001-20005 age=25 192.0.2.1:20001");
    b->now_us += 25000000;
    b->report.reflex_report.seen.n = 0; /* all lost */
    expect(b, "ei/contiguous 95% delta=1 20001-20005 age=50 192.0.2.1:20001");
    b->report.reflex_report.seen.n = 2; /* the mapping was made anew */
    b->report.reflex_report.seen.v[0].seen.port = b->report.reflex_report.seen.v[1].seen.port =
        20009;
    expect(b, "ei/contiguous 95% delta=1 20001-20005 age=50 192.0.2.1:20009");
    cr_assert_eq(b->core.n.kept, 3);
    known_contiguous();
}

Test(classifier_memory, a_less_certain_report_does_not_overwrite_what_is_known)
{
    struct classifier_model m = classifier_model(NAT_EI, ALLOC_PRESERVE, 1);

    classifier_bed_probe(b, &m, 0);
    expect(b, "ei/preserve 95% delta=0 40000-53908 age=0 192.0.2.1:40000");
    b->now_us += 25000000;
    classifier_bed_probe(b, &m, 0xf0); /* a refresh: one mapping, so 50% */
    expect(b, "ei/preserve 95% delta=0 40000-53908 age=25 192.0.2.1:40000");
}

Test(classifier_memory, knowing_both_outweighs_certainty_of_one)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:4000");
    classifier_bed_saw(b, 0, 4000, A2P1, "192.0.2.1:4000");
    expect(b, "ei/preserve 50% delta=0 4000-4000 age=0 192.0.2.1:4000");
    for (size_t i = 0; i < 2; i++) /* the mapping was made anew while its port was taken */
        b->report.reflex_report.seen.v[i].seen.port = 5000;
    expect(b, "ei/preserve 50% delta=0 4000-4000 age=0 192.0.2.1:5000");
}

Test(classifier_memory, a_port_that_is_taken_at_one_prober_is_so_at_each_refresh)
{
    static const char *const prober[] = {A1P1, A1P2, A2P1, A2P2};

    for (uint8_t refresh = 0; refresh < 3; refresh++, b->now_us += 25000000) {
        classifier_bed_begin(b, "10.0.0.2:4000");
        for (size_t i = 0; i < 4; i++)
            classifier_bed_saw(b, 0, 4000, prober[i], i ? "192.0.2.1:9000" : "192.0.2.1:4000");
        for (uint8_t s = 1; s < 3 && refresh == 0; s++)
            classifier_bed_saw(b, s, (uint16_t)(4000 + 1000 * s), A1P1,
                               s == 1 ? "192.0.2.1:5000" : "192.0.2.1:6000");
        cr_assert_eq(classifier_bed_tell(b)->mapping, NAT_EI, "refresh %u", refresh);
        cr_assert_eq(classifier_bed_tell(b)->allocation, ALLOC_PRESERVE);
    }
}

Test(classifier_memory, another_socket_or_public_ip_starts_anew)
{
    known_contiguous();
    classifier_bed_begin(b, "10.0.0.2:40001");
    classifier_bed_saw(b, 0, 40001, A1P1, "192.0.2.1:20001");
    expect(b, "unknown/unknown 0% delta=0 20001-20001 age=0 192.0.2.1:20001");
    known_contiguous();
    classifier_bed_begin(b, "10.0.0.2:40000");
    classifier_bed_saw(b, 0, 40000, A1P1, "192.0.2.9:20001");
    expect(b, "unknown/unknown 0% delta=0 20001-20001 age=0 192.0.2.9:20001");
}

Test(classifier_memory, what_contradicts_the_earlier_finding_replaces_it)
{
    known_contiguous();
    classifier_bed_begin(b, "10.0.0.2:40000");
    classifier_bed_saw(b, 0, 40000, A1P1, "192.0.2.1:20001");
    classifier_bed_saw(b, 0, 40000, A1P2, "192.0.2.1:33333");
    expect(b, "apd/unknown 75% delta=0 20001-33333 age=0 192.0.2.1:20001");
    known_contiguous();
    classifier_bed_begin(b,
                         "10.0.0.2:40000"); /* not endpoint-independent any more, whatever it is */
    classifier_bed_saw(b, 0, 40000, A1P1, "192.0.2.1:20001");
    classifier_bed_saw(b, 0, 40000, A2P2, "192.0.2.1:33333");
    expect(b, "unknown/unknown 0% delta=0 20001-33333 age=0 192.0.2.1:20001");
    struct classifier_model m = classifier_model(NAT_APD, ALLOC_CONTIGUOUS, 1);
    classifier_bed_probe(b, &m, 0);
    expect(b, "apd/contiguous 95% delta=1 20001-20008 age=0 192.0.2.1:20001");
    classifier_bed_begin(b, "10.0.0.2:40000");
    classifier_bed_saw(b, 0, 40000, A1P1, "192.0.2.1:20001");
    classifier_bed_saw(b, 0, 40000, A2P2, "192.0.2.1:20001");
    expect(b, "ei/unknown 75% delta=0 20001-20001 age=0 192.0.2.1:20001");
    known_contiguous();
    classifier_bed_begin(b, "10.0.0.2:40000");
    classifier_bed_saw(b, 1, 40001, A1P1, "192.0.2.1:40001");
    expect(b, "unknown/preserve 50% delta=0 0-0 age=0 -");
}

/* Requests are under way when a NAT starts anew: the last of them may get the first port. */
Test(classifier_memory, mappings_of_one_socket_that_were_made_the_other_way_round_are_no_step_down)
{
    struct classifier_model m = classifier_model(NAT_APD, ALLOC_CONTIGUOUS, 1);

    classifier_bed_probe(b, &m, 0);
    expect(b, "apd/contiguous 95% delta=1 20001-20008 age=0 192.0.2.1:20001");
    classifier_bed_begin(b, "10.0.0.2:40000");
    classifier_bed_saw(b, 0, 40000, A1P1, "192.0.2.1:20704");
    classifier_bed_saw(b, 0, 40000, A1P2, "192.0.2.1:20703");
    classifier_bed_saw(b, 0, 40000, A2P1, "192.0.2.1:20702");
    classifier_bed_saw(b, 0, 40000, A2P2, "192.0.2.1:20701");
    expect(b, "apd/contiguous 95% delta=1 20001-20008 age=0 192.0.2.1:20704");
}

Test(classifier_memory, a_finding_expires_when_its_peer_is_silent)
{
    known_contiguous();
    cr_assert_eq(classifier_deadline(&b->core), b->now_us + FINDING_TTL_US);
    b->now_us += FINDING_TTL_US - 1;
    classifier_bed_begin(b, "10.0.0.2:40000");
    classifier_bed_saw(b, 0, 40000, A1P1, "192.0.2.1:20001");
    expect(b, "ei/contiguous 95% delta=1 20001-20005 age=299 192.0.2.1:20001");
    b->now_us = classifier_deadline(&b->core);
    classifier_step(&b->core, &(struct input){.kind = IN_TICK, .now_us = b->now_us}, &b->out);
    cr_assert_eq(b->core.by_peer.n, 0);
    cr_assert_eq(classifier_deadline(&b->core), NEVER);
    expect(b, "unknown/unknown 0% delta=0 20001-20001 age=0 192.0.2.1:20001");
}

Test(classifier_memory, a_full_table_gives_up_who_was_silent_for_longest)
{
    for (uint8_t i = 0; i < SMALL; i++, b->now_us += 1000000) {
        struct classifier_model m = classifier_model(NAT_EI, ALLOC_CONTIGUOUS, 1);
        classifier_bed_probe(b, &m, 0);
        b->report.reflex_report.peer.b[0] = i + 1;
        classifier_bed_tell(b);
    }
    classifier_bed_begin(b,
                         "10.0.0.2:40000"); /* peer 1 is heard of again, so peer 2 is the oldest */
    classifier_bed_saw(b, 0, 40000, A1P1, "192.0.2.1:20001");
    b->report.reflex_report.peer.b[0] = 1;
    expect(b, "ei/contiguous 95% delta=1 20001-20005 age=4 192.0.2.1:20001");
    b->report.reflex_report.peer.b[0] = 99;
    classifier_bed_tell(b);
    cr_assert_eq(b->core.by_peer.n, SMALL);
    cr_assert_eq(b->core.n.evicted, 1);
    for (uint8_t i = 1; i <= SMALL; i++) {
        struct finding_key key = {{{i}}, 4};
        cr_assert_eq(table_find(&b->core.by_peer, &key) == TABLE_NONE, i == 2, "peer %u", i);
    }
}

Test(classifier_memory, a_flood_of_peers_stays_within_the_table)
{
    for (uint32_t i = 0; i < 1000; i++, b->now_us += 1000) {
        classifier_bed_begin(b, "10.0.0.2:40000");
        classifier_bed_saw(b, 0, 40000, A1P1, "192.0.2.1:20001");
        memcpy(b->report.reflex_report.peer.b + 4, &i, sizeof i);
        cr_assert(classifier_bed_tell(b));
        cr_assert_leq(b->core.by_peer.n, SMALL);
    }
    cr_assert_eq(b->core.n.evicted, 1000 - SMALL);
}

Test(classifier_memory, a_report_that_says_nothing_takes_no_place)
{
    classifier_bed_begin(b, "10.0.0.2:40000");
    expect(b, "unknown/unknown 0% delta=0 0-0 age=0 -");
    cr_assert_eq(b->core.by_peer.n, 0);
    cr_assert_eq(b->core.n.empty, 1);
}

Test(classifier_memory, each_address_family_has_its_own_finding)
{
    known_contiguous();
    classifier_bed_begin(b, "[2001:db8::5]:4000");
    classifier_bed_saw(b, 0, 4000, "[2001:db8:1::1]:3478", "[2001:db8::5]:4000");
    expect(b, "none/preserve 50% delta=0 4000-4000 age=0 [2001:db8::5]:4000");
    cr_assert_eq(b->core.by_peer.n, 2);
}

/* ---- harm ------------------------------------------------------------------------------------ */

Test(classifier_memory, ignores_observations_that_can_not_be)
{
    struct observation_list *l = &b->report.reflex_report.seen;

    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:0");
    classifier_bed_saw(b, 0, 4000, "198.51.100.1:0", "192.0.2.1:7");
    classifier_bed_saw(b, 0, 0, A1P1, "192.0.2.1:7");
    classifier_bed_saw(b, 0, 4000, A1P1, "0.0.0.0:7");
    classifier_bed_saw(b, 0, 4000, A1P1, "[2001:db8::1]:7");
    classifier_bed_saw(b, 0, 4000, "[2001:db8::1]:7", "192.0.2.1:7");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:7");
    l->v[6].seen.len = 7;
    expect(b, "unknown/unknown 0% delta=0 0-0 age=0 -");
    cr_assert_eq(b->core.n.observations_ignored, 7);
}

Test(classifier_memory, refuses_reports_of_nobody_and_from_others)
{
    struct input in = {.kind = IN_MSG, .now_us = b->now_us};
    struct msg hello = {.type = MSG_prober_hello};

    classifier_bed_begin(b, "10.0.0.2:4000");
    memset(&b->report.reflex_report.peer, 0, sizeof b->report.reflex_report.peer);
    cr_assert_null(classifier_bed_tell(b));
    classifier_bed_begin(b, "10.0.0.2:4000");
    in.msg = &b->report;
    in.from.service = SERVICE_prober;
    classifier_step(&b->core, &in, &b->out);
    cr_assert_eq(b->out.n, 0);
    cr_assert_eq(b->core.n.refused, 2);
    in.msg = &hello;
    classifier_step(&b->core, &in, &b->out);
    cr_assert_eq(b->out.n, 0);
    cr_assert_eq(b->core.n.hellos, 1);
}

/* From small pools, so that addresses and ports repeat and every branch is met. */
static struct addr hostile_addr(struct rng *r)
{
    static const uint16_t ports[] = {0, 1, 1024, 1025, 1026, 3478, 65534, 65535};
    struct addr a = {
        .len = (uint8_t[]){0, 4, 4, 4, 16, 255}
          [rng_below(r, 6)]
    };

    a.ip[3] = (uint8_t)rng_below(r, 3);
    a.port = rng_below(r, 4) ? ports[rng_below(r, 8)] : (uint16_t)rng_u64(r);
    return a;
}

Test(classifier_memory, survives_a_hundred_thousand_hostile_reports)
{
    struct rng r;

    rng_seed(&r, 4);
    for (int i = 0; i < 100000; i++, b->now_us += (int64_t)rng_below(&r, 10000000)) {
        struct msg_reflex_report *m = &b->report.reflex_report;
        classifier_bed_begin(b, "10.0.0.2:4000");
        m->peer.b[0] = (uint8_t)(1 + rng_below(&r, 8));
        m->local = hostile_addr(&r);
        m->serial = (uint32_t)rng_u64(&r);
        m->seen.n = (uint8_t)(rng_below(&r, 8) ? rng_below(&r, OBSERVATIONS_MAX + 1) : rng_u64(&r));
        for (size_t k = 0; k < OBSERVATIONS_MAX; k++)
            m->seen.v[k] =
                (struct observation){(uint8_t)(rng_below(&r, 8) ? rng_below(&r, 4) : rng_u64(&r)),
                                     (uint16_t)rng_u64(&r), 0, hostile_addr(&r), hostile_addr(&r)};
        const struct profile *p = classifier_bed_tell(b); /* which checks that it is valid */
        cr_assert(p);
        cr_assert(p->delta >= -DELTA_MAX && p->delta <= DELTA_MAX);
        cr_assert_eq(p->delta != 0, p->allocation == ALLOC_CONTIGUOUS);
        cr_assert_leq(b->core.by_peer.n, SMALL);
    }
}
