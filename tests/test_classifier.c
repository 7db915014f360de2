/*
 * test_classifier.c - mapping and allocation, told from what probers saw: all of them through a small model of a NAT,
 * with answers lost; and findings by hand.
 */
#include "tests/lib/classifier_bed.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { SMALL = 4 };

static struct classifier_bed bed, *const b = &bed;

static void setup(void) { classifier_bed_open(b, SMALL); }
static void teardown(void) { classifier_bed_close(b); }

TestSuite(classifier, .init = setup, .fini = teardown, .timeout = 20);

/* ---- a report, by a model of a NAT ----------------------------------------------------------- */
static const enum behaviour mappings[] = {NAT_NONE, NAT_EI, NAT_AD, NAT_APD};
static const enum allocation allocations[] = {ALLOC_PRESERVE, ALLOC_CONTIGUOUS, ALLOC_RANDOM};
static const int deltas[] = {1, 2, 5, -1, -3, 16};

Test(classifier, knows_every_mapping_with_every_allocation)
{
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 3; j++)
            for (uint64_t seed = 0; seed < 100; seed++) {
                struct classifier_model m = classifier_model(mappings[i], allocations[j], seed);
                m.delta = deltas[seed % 6];
                classifier_bed_probe(b, &m, 0);
                b->report.reflex_report.peer.b[1] = (uint8_t)(seed + 1);
                const struct profile *p = classifier_bed_tell(b);
                cr_assert_eq(p->mapping, mappings[i], "%s", b->said);
                if (mappings[i] == NAT_NONE)
                    continue;
                cr_assert_eq(p->allocation, allocations[j], "seed %d: %s", (int)seed, b->said);
                cr_assert_eq(p->delta, allocations[j] == ALLOC_CONTIGUOUS ? m.delta : 0, "%s",
                             b->said);
                cr_assert_geq(p->confidence, 90);
            }
}

/* With answers lost a finding may become unknown, and must never become wrong. */
static void lose(unsigned lost, size_t n_deltas, size_t *right, size_t *all)
{
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 3; j++)
            for (size_t k = 0; k < n_deltas; k++) {
                struct classifier_model m = classifier_model(mappings[i], allocations[j], k);
                struct finding f;
                m.delta = deltas[k];
                classifier_bed_probe(b, &m, lost);
                classify(&b->report.reflex_report, &f);
                const struct profile *p = &f.profile;
                bool mapping = p->mapping == mappings[i];
                bool allocation =
                    p->allocation == (mappings[i] == NAT_NONE ? ALLOC_PRESERVE : allocations[j]);
                cr_assert(mapping || p->mapping == NAT_UNKNOWN, "lost %x: %s for %s", lost,
                          behaviour_name[p->mapping], behaviour_name[mappings[i]]);
                cr_assert(allocation || p->allocation == ALLOC_UNKNOWN, "lost %x: %s/%s for %s",
                          lost, behaviour_name[mappings[i]], allocation_name[p->allocation],
                          allocation_name[allocations[j]]);
                /* What is left may be every second port, of three or more lost. */
                bool delta = p->delta == m.delta ||
                             (__builtin_popcount(lost) > 2 && p->delta % m.delta == 0);
                cr_assert(delta || p->allocation != ALLOC_CONTIGUOUS, "lost %x: %s delta %d for %d",
                          lost, behaviour_name[mappings[i]], p->delta, m.delta);
                *right += mapping && allocation;
                *all += 1;
            }
}

Test(classifier, is_never_wrong_with_one_or_two_answers_lost)
{
    size_t right = 0, all = 0;

    for (unsigned one = 0; one < CLASSIFIER_PROBED + CLASSIFIER_SAMPLES; one++)
        for (unsigned two = one; two < CLASSIFIER_PROBED + CLASSIFIER_SAMPLES; two++)
            lose(1u << one | 1u << two, 6, &right, &all);
    cr_assert_gt(right * 10, all * 7, "%zu of %zu", right, all);
}

/* Of the largest step every second port looks random; of the others it is still a multiple. */
Test(classifier, is_never_wrong_with_three_answers_lost)
{
    size_t right = 0, all = 0;

    for (unsigned lost = 0; lost < 1u << (CLASSIFIER_PROBED + CLASSIFIER_SAMPLES); lost++)
        if (__builtin_popcount(lost) <= 3)
            lose(lost, 5, &right, &all);
    cr_assert_gt(right * 2, all, "%zu of %zu", right, all);
}

Test(classifier, takes_a_preserving_nat_that_shares_ports_for_endpoint_independent)
{
    struct classifier_model m = classifier_model(NAT_APD, ALLOC_PRESERVE, 1);

    m.overload = true;
    classifier_bed_probe(b, &m, 0);
    expect(b, "ei/preserve 95% delta=0 40000-53908 age=0 192.0.2.1:40000");
}

/* ---- findings, by hand ----------------------------------------------------------------------- */

Test(classifier, a_port_that_serves_one_mapping_only_can_still_be_preserved)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:4000");
    classifier_bed_saw(b, 0, 4000, A1P2, "192.0.2.1:4001");
    classifier_bed_saw(b, 0, 4000, A2P1, "192.0.2.1:4002");
    expect(b, "apd/preserve 90% delta=0 4000-4002 age=0 192.0.2.1:4000");
    classifier_bed_saw(b, 1, 5000, A1P1, "192.0.2.1:5001"); /* by one socket, that may be chance */
    b->report.reflex_report.peer.b[1] = 2;
    expect(b, "apd/unknown 90% delta=0 4000-5001 age=0 192.0.2.1:4000");
    b->report.reflex_report.seen.v[3].seen.port = 4999;
    b->report.reflex_report.seen.v[0].seen.port = 3999; /* and here by none */
    b->report.reflex_report.seen.v[1].seen.port = 4999;
    b->report.reflex_report.seen.v[2].seen.port = 6999;
    b->report.reflex_report.peer.b[1] = 1;
    expect(b, "apd/random 90% delta=0 3999-6999 age=0 192.0.2.1:3999");
}

Test(classifier, none_needs_a_local_address_that_is_one)
{
    classifier_bed_begin(b, "192.0.2.1:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:4000");
    expect(b, "none/preserve 50% delta=0 4000-4000 age=0 192.0.2.1:4000");
    classifier_bed_begin(b, "0.0.0.0:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:4000");
    classifier_bed_saw(b, 0, 4000, A2P1, "192.0.2.1:4000");
    expect(b, "ei/preserve 50% delta=0 4000-4000 age=0 192.0.2.1:4000");
}

Test(classifier, one_prober_ip_proves_no_endpoint_independence)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:4000");
    classifier_bed_saw(b, 0, 4000, A1P2, "192.0.2.1:4000");
    expect(b, "unknown/preserve 50% delta=0 4000-4000 age=0 192.0.2.1:4000");
}

Test(classifier, one_prober_ip_proves_address_and_port_dependence)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:1025");
    classifier_bed_saw(b, 0, 4000, A1P2, "192.0.2.1:9000");
    expect(b, "apd/unknown 75% delta=0 1025-9000 age=0 192.0.2.1:1025");
}

Test(classifier, one_port_each_of_two_ips_tells_not_what_a_mapping_depends_on)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:1025");
    classifier_bed_saw(b, 0, 4000, A2P1, "192.0.2.1:9000");
    expect(b, "unknown/unknown 0% delta=0 1025-9000 age=0 192.0.2.1:1025");
}

Test(classifier, a_mapping_that_changed_meanwhile_is_unknown)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:1025");
    classifier_bed_saw(b, 0, 4000, A1P2, "192.0.2.1:1025");
    classifier_bed_saw(b, 0, 4000, A2P1, "192.0.2.1:1025");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:9000");
    expect(b, "unknown/unknown 0% delta=0 1025-9000 age=0 192.0.2.1:1025");
}

Test(classifier, a_repeated_answer_adds_no_confidence)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    for (int i = 0; i < 4; i++)
        classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:1025");
    classifier_bed_saw(b, 0, 4000, A2P1, "192.0.2.1:1025");
    expect(b, "ei/unknown 75% delta=0 1025-1025 age=0 192.0.2.1:1025");
}

Test(classifier, answers_that_overtook_each_other_are_still_contiguous)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:2000");
    classifier_bed_saw(b, 1, 4100, A1P1, "192.0.2.1:2002");
    classifier_bed_saw(b, 2, 4200, A1P1, "192.0.2.1:2001");
    classifier_bed_saw(b, 3, 4300, A1P1, "192.0.2.1:2003");
    expect(b, "unknown/unknown 0% delta=0 2000-2003 age=0 192.0.2.1:2000"); /* or that was luck */
    for (uint8_t i = 4; i < 7; i++) {
        char at[32];
        snprintf(at, sizeof at, "192.0.2.1:%d", 2000 + i);
        classifier_bed_saw(b, i, (uint16_t)(4000 + 100 * i), A1P1, at);
    }
    expect(b, "unknown/contiguous 95% delta=1 2000-2006 age=0 192.0.2.1:2000");
}

Test(classifier, others_may_take_many_ports_before_further_ones_are_looked_at)
{
    static const int random[] = {0, 150, 34, 210, 88, 122, 14, 180, 60, 240, 102};
    char at[32];

    classifier_bed_begin(b, "10.0.0.2:4000");
    for (uint8_t i = 0; i < 11;
         i++) { /* four, and seven after others had taken forty of two each */
        snprintf(at, sizeof at, "192.0.2.1:%d", 2000 + 2 * i + (i < 4 ? 0 : 80));
        classifier_bed_saw(b, i, (uint16_t)(4000 + 10 * i), A1P1, at);
    }
    expect(b, "unknown/contiguous 95% delta=2 2000-2100 age=0 192.0.2.1:2000");
    classifier_bed_begin(b, "10.0.0.2:4000");
    for (uint8_t i = 0; i < 11; i++) { /* so close together, but to and fro */
        snprintf(at, sizeof at, "192.0.2.1:%d", 2000 + random[i]);
        classifier_bed_saw(b, i, (uint16_t)(4000 + 10 * i), A1P1, at);
    }
    expect(b, "unknown/random 95% delta=0 2000-2240 age=0 192.0.2.1:2000");
}

Test(classifier, one_port_for_two_ips_is_chance_in_a_small_block_unless_another_socket_has_one_too)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:2100");
    classifier_bed_saw(b, 0, 4000, A1P2, "192.0.2.1:2100");
    classifier_bed_saw(b, 0, 4000, A2P1, "192.0.2.1:2100");
    classifier_bed_saw(b, 1, 5000, A1P1, "192.0.2.1:2150");
    classifier_bed_saw(b, 2, 6000, A1P1, "192.0.2.1:2230");
    classifier_bed_saw(b, 3, 7000, A1P1, "192.0.2.1:2037");
    cr_assert_eq(classifier_bed_tell(b)->mapping, NAT_UNKNOWN);
    classifier_bed_saw(b, 3, 7000, A2P1, "192.0.2.1:2037");
    cr_assert_eq(classifier_bed_tell(b)->mapping, NAT_EI);
    b->report.reflex_report.peer.b[1] = 1;
    b->report.reflex_report.seen.v[6].seen.port = 2201;
    cr_assert_eq(classifier_bed_tell(b)->mapping, NAT_AD);
    b->report.reflex_report.peer.b[1] = 2;
    b->report.reflex_report.seen.n = 6;
    b->report.reflex_report.seen.v[5].seen.port = 9000; /* of no block */
    cr_assert_eq(classifier_bed_tell(b)->mapping, NAT_EI);
}

/* Three samples have their own ports, socket 0 has 4000 and where somebody else has that another one. */
static void keeps_and_takes(uint8_t nat, const char *second, const char *third)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:4000");
    classifier_bed_saw(b, 0, 4000, A1P2, second);
    classifier_bed_saw(b, 0, 4000, A2P1, third);
    classifier_bed_saw(b, 0, 4000, A2P2, "192.0.2.1:9000");
    classifier_bed_saw(b, 1, 5000, A1P1, "192.0.2.1:5000");
    classifier_bed_saw(b, 2, 6000, A1P1, "192.0.2.1:6000");
    b->report.reflex_report.peer.b[1] = nat;
}

Test(classifier, a_nat_that_keeps_ports_does_so_although_somebody_else_has_one_of_them)
{
    keeps_and_takes(1, "192.0.2.1:9000", "192.0.2.1:9000");
    expect(b, "ei/preserve 95% delta=0 4000-9000 age=0 192.0.2.1:9000");
    keeps_and_takes(2, "192.0.2.1:4000", "192.0.2.1:9000"); /* or it has one for each address */
    expect(b, "unknown/preserve 95% delta=0 4000-9000 age=0 192.0.2.1:4000");
    keeps_and_takes(3, "192.0.2.1:7000", "192.0.2.1:8000"); /* and here for each port */
    expect(b, "unknown/preserve 95% delta=0 4000-9000 age=0 192.0.2.1:4000");
}

Test(classifier, most_neighbours_tell_the_direction_else_the_ends)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    for (uint8_t i = 0; i < 8; i++) {
        static const int ports[] = {2007, 2005, 2006, 2003, 2004, 2002, 2001, 2000};
        char at[32];
        snprintf(at, sizeof at, "192.0.2.1:%d", ports[i]);
        classifier_bed_saw(b, i, (uint16_t)(4000 + 100 * i), A1P1, at);
    }
    expect(b, "unknown/contiguous 95% delta=-1 2000-2007 age=0 192.0.2.1:2007");
}

Test(classifier, numbers_of_fresh_sockets_tell_what_was_lost)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:2000");
    classifier_bed_saw(b, 2, 4200, A1P1, "192.0.2.1:2002");
    classifier_bed_saw(b, 4, 4400, A1P1, "192.0.2.1:2004");
    classifier_bed_saw(b, 5, 4500, A1P1, "192.0.2.1:2005");
    expect(b, "unknown/contiguous 95% delta=1 2000-2005 age=0 192.0.2.1:2000");
}

Test(classifier, the_reflexive_address_is_where_socket_0_is_seen_most)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 1, 4100, A1P1, "192.0.2.1:7000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:2000");
    classifier_bed_saw(b, 0, 4000, A1P2, "192.0.2.1:7000");
    expect(b, "apd/unknown 75% delta=0 2000-7000 age=0 192.0.2.1:2000");
    classifier_bed_saw(b, 0, 4000, A2P1, "192.0.2.1:7000");
    expect(b, "apd/unknown 75% delta=0 2000-7000 age=0 192.0.2.1:7000");
}

Test(classifier, ports_that_others_took_between_leave_it_contiguous)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:2000"); /* long before */
    classifier_bed_saw(b, 1, 4100, A1P1, "192.0.2.1:3001");
    classifier_bed_saw(b, 2, 4200, A1P1, "192.0.2.1:3003");
    classifier_bed_saw(b, 3, 4300, A1P1, "192.0.2.1:3004");
    expect(b,
           "unknown/unknown 0% delta=0 2000-3004 age=0 192.0.2.1:2000"); /* three show too little */
    classifier_bed_saw(b, 4, 4400, A1P1, "192.0.2.1:3005");
    classifier_bed_saw(b, 5, 4500, A1P1, "192.0.2.1:3006");
    expect(b, "unknown/contiguous 95% delta=1 2000-3006 age=0 192.0.2.1:2000");
}

Test(classifier, a_large_constant_step_is_not_contiguous)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:2000");
    classifier_bed_saw(b, 1, 4100, A1P1, "192.0.2.1:2017");
    classifier_bed_saw(b, 2, 4200, A1P1, "192.0.2.1:2034");
    expect(b, "unknown/random 90% delta=0 2000-2034 age=0 192.0.2.1:2000");
}

/* A NAT with several addresses may give a port out on each, and another one for each remote. */
Test(classifier, a_port_that_is_seen_twice_says_nothing_of_steps_or_draws)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:2000");
    classifier_bed_saw(b, 0, 4000, A1P2, "192.0.2.1:2016");
    classifier_bed_saw(b, 0, 4000, A2P1, "192.0.2.1:2032");
    classifier_bed_saw(b, 1, 5000, A2P2, "192.0.2.1:2032");
    classifier_bed_saw(b, 2, 6000, A2P2, "192.0.2.1:2016");
    expect(b, "apd/unknown 90% delta=0 2000-2032 age=0 192.0.2.1:2000");
    classifier_bed_begin(b, "10.0.0.2:4000");
    b->report.reflex_report.peer.b[1] = 1;
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:2100");
    classifier_bed_saw(b, 0, 4000, A1P2, "192.0.2.2:2100");
    classifier_bed_saw(b, 0, 4000, A2P1, "192.0.2.3:2100");
    cr_assert_eq(classifier_bed_tell(b)->allocation, ALLOC_UNKNOWN, "%s", b->said);
}

Test(classifier, two_mappings_are_too_few_for_contiguous_or_random)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, A1P1, "192.0.2.1:2000");
    classifier_bed_saw(b, 1, 4100, A1P1, "192.0.2.1:2001");
    expect(b, "unknown/unknown 0% delta=0 2000-2001 age=0 192.0.2.1:2000");
}

Test(classifier, of_ipv6_too)
{
    classifier_bed_begin(b, "[2001:db8::5]:4000");
    classifier_bed_saw(b, 0, 4000, "[2001:db8:1::1]:3478", "[2001:db8::5]:4000");
    classifier_bed_saw(b, 0, 4000, "[2001:db8:1::2]:3478", "[2001:db8::5]:4000");
    expect(b, "none/preserve 75% delta=0 4000-4000 age=0 [2001:db8::5]:4000");
}
