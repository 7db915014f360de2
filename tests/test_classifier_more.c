/*
 * test_classifier_more.c - what else is told of a NAT: filtering, hairpinning, early packets, pools, firewalls.
 */
#include "tests/lib/classifier_bed.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { SMALL = 4 };

static struct classifier_bed bed, *const b = &bed;

static void setup(void) { classifier_bed_open(b, SMALL); }
static void teardown(void) { classifier_bed_close(b); }

TestSuite(classifier_more, .init = setup, .fini = teardown, .timeout = 20);

static void let_in(bool other_ip, bool other_port)
{
    b->report.reflex_report.filter_asked = true;
    b->report.reflex_report.filter_other_ip = other_ip;
    b->report.reflex_report.filter_other_port = other_port;
}

static const char *filtering(void) { return behaviour_name[classifier_bed_tell(b)->filtering]; }

Test(classifier_more, filtering_is_told_by_who_else_was_let_in)
{
    struct classifier_model m = classifier_model(NAT_EI, ALLOC_RANDOM, 1);

    classifier_bed_probe(b, &m, 0);
    cr_assert_str_eq(filtering(), "unknown");
    let_in(false, false);
    cr_assert_str_eq(filtering(), "apd");
    let_in(false, true);
    cr_assert_str_eq(filtering(), "ad");
    let_in(true, true);
    cr_assert_str_eq(filtering(), "ei");
    let_in(true, false); /* the other answer was lost, or not waited for */
    cr_assert_str_eq(filtering(), "ei");
    b->report.reflex_report.filter_asked = false; /* what then is said of it counts for nothing */
    b->report.reflex_report.peer.b[1] = 1;
    cr_assert_str_eq(filtering(), "unknown");
}

Test(classifier_more,
     hairpinning_is_kept_until_it_is_measured_again_and_is_none_of_a_host_without_nat)
{
    struct classifier_model m = classifier_model(NAT_EI, ALLOC_RANDOM, 1),
                            none = classifier_model(NAT_NONE, ALLOC_PRESERVE, 1);

    classifier_bed_probe(b, &m, 0);
    b->report.reflex_report.hairpin = HAIRPIN_EXTERNAL;
    cr_assert_eq(classifier_bed_tell(b)->hairpin, HAIRPIN_EXTERNAL);
    b->report.reflex_report.hairpin = HAIRPIN_UNKNOWN;
    cr_assert_eq(classifier_bed_tell(b)->hairpin, HAIRPIN_EXTERNAL);
    b->report.reflex_report.hairpin = HAIRPIN_NONE;
    cr_assert_eq(classifier_bed_tell(b)->hairpin, HAIRPIN_NONE);
    b->report.reflex_report.peer.b[1] = 1;
    b->report.reflex_report.hairpin = HAIRPIN_COUNT; /* of a later version */
    cr_assert_eq(classifier_bed_tell(b)->hairpin, HAIRPIN_UNKNOWN);
    classifier_bed_probe(b, &none, 0);
    b->report.reflex_report.peer.b[1] = 2;
    b->report.reflex_report.hairpin = HAIRPIN_EXTERNAL;
    cr_assert_eq(classifier_bed_tell(b)->hairpin, HAIRPIN_UNKNOWN);
}

Test(classifier_more, what_early_packets_do_is_kept_until_it_is_measured_again)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, "203.0.113.10:3478", "192.0.2.1:4000");
    classifier_bed_saw(b, 0, 4000, "203.0.113.11:3478", "192.0.2.1:4000");
    cr_assert_eq(classifier_bed_tell(b)->clash, CLASH_UNKNOWN);
    b->report.reflex_report.clash = CLASH_CLAIMS;
    cr_assert_eq(classifier_bed_tell(b)->clash, CLASH_CLAIMS);
    b->report.reflex_report.clash = CLASH_UNKNOWN;
    cr_assert_eq(classifier_bed_tell(b)->clash, CLASH_CLAIMS);
    b->report.reflex_report.clash = CLASH_COUNT;
    cr_assert_eq(classifier_bed_tell(b)->clash, CLASH_CLAIMS, "what is no value says nothing");
    b->report.reflex_report.clash = CLASH_NONE;
    cr_assert_eq(classifier_bed_tell(b)->clash, CLASH_NONE);
}

/* Far apart, and the last one has its own. */
static enum allocation draw_own(uint8_t n)
{
    char seen[32];

    classifier_bed_begin(b, "10.0.0.2:4000");
    b->report.reflex_report.peer.b[1] = n; /* somebody else each time */
    for (uint8_t i = 0; i < n; i++) {
        snprintf(seen, sizeof seen, "192.0.2.1:%d", i < n - 1 ? 9000 + 4321 * i : 5000 + i);
        classifier_bed_saw(b, i, (uint16_t)(5000 + i), A1P1, seen);
    }
    return (enum allocation)classifier_bed_tell(b)->allocation;
}

Test(classifier_more, one_of_many_sockets_may_draw_its_own_port)
{
    cr_assert_eq(draw_own(5), ALLOC_UNKNOWN, "the others' may be taken");
    cr_assert_eq(draw_own(6), ALLOC_RANDOM);
}

Test(classifier_more, a_pool_shows_by_the_addresses_of_sockets_or_of_one_socket)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, "203.0.113.10:3478", "192.0.2.1:4000");
    classifier_bed_saw(b, 0, 4000, "203.0.113.11:3478", "192.0.2.1:4000");
    cr_assert_eq(classifier_bed_tell(b)->pool, POOL_UNKNOWN, "one address proves nothing");
    classifier_bed_saw(b, 1, 4001, "203.0.113.10:3478", "192.0.2.9:4001");
    cr_assert_eq(classifier_bed_tell(b)->pool, POOL_ARBITRARY);
    b->report.reflex_report.seen.n--;
    cr_assert_eq(classifier_bed_tell(b)->pool, POOL_ARBITRARY,
                 "it is kept while the NAT looks the same");
    classifier_bed_saw(b, 0, 4000, "203.0.113.11:3479", "192.0.2.7:4000");
    cr_assert_eq(classifier_bed_tell(b)->pool, POOL_BY_DESTINATION);
    b->report.reflex_report.seen.n--;
    cr_assert_eq(classifier_bed_tell(b)->pool, POOL_BY_DESTINATION);
}

Test(classifier_more, where_the_ip_changes_the_mapping_is_that_of_the_ports)
{
    classifier_bed_begin(b, "10.0.0.2:4000");
    classifier_bed_saw(b, 0, 4000, "203.0.113.10:3478", "192.0.2.1:4000");
    classifier_bed_saw(b, 0, 4000, "203.0.113.10:3479", "192.0.2.7:4000");
    classifier_bed_saw(b, 0, 4000, "203.0.113.11:3478", "192.0.2.7:4000");
    cr_assert_eq(classifier_bed_tell(b)->mapping, NAT_EI);
    cr_assert_eq(classifier_bed_tell(b)->allocation, ALLOC_PRESERVE);
    b->report.reflex_report.seen.v[1].seen.port = 5111;
    b->report.reflex_report.seen.v[2].seen.port = 6222;
    cr_assert_eq(classifier_bed_tell(b)->mapping, NAT_APD);
}

Test(classifier_more, a_host_without_nat_is_open_or_firewalled_or_unknown)
{
    struct classifier_model m = classifier_model(NAT_NONE, ALLOC_PRESERVE, 1);

    classifier_bed_probe(b, &m, 0);
    cr_assert_str_eq(profile_display(classifier_bed_tell(b)), "unknown");
    let_in(true, true);
    cr_assert_str_eq(filtering(), "none");
    cr_assert_str_eq(profile_display(classifier_bed_tell(b)), "open");
    let_in(false, true);
    cr_assert_str_eq(profile_display(classifier_bed_tell(b)), "firewalled");
    let_in(false, false);
    cr_assert_str_eq(profile_display(classifier_bed_tell(b)), "firewalled");
}

Test(classifier_more, filtering_is_kept_while_the_nat_looks_the_same)
{
    struct classifier_model m = classifier_model(NAT_EI, ALLOC_RANDOM, 1);

    classifier_bed_probe(b, &m, 0xf0); /* no answer to a sample, so the allocation is not known */
    let_in(false, true);
    cr_assert_str_eq(filtering(), "ad");
    classifier_bed_probe(b, &m, 0); /* a later round knows more, but did not measure it */
    cr_assert_str_eq(filtering(), "ad");
    classifier_bed_begin(b, "10.0.0.2:40000"); /* nothing but a refresh */
    classifier_bed_saw(b, 0, 40000, A1P1, "192.0.2.1:20001");
    cr_assert_str_eq(filtering(), "ad");
    classifier_bed_begin(b, "10.0.0.2:40000"); /* another public ip: another NAT */
    classifier_bed_saw(b, 0, 40000, A1P1, "192.0.2.9:20001");
    cr_assert_str_eq(filtering(), "unknown");
}
