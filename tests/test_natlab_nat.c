/*
 * test_natlab_nat.c - the model NAT in the words of RFC 4787, packet by packet.
 *
 * A packet out shows the source address that the world sees, a packet in the inside address it reaches;
 * where it is dropped, the reason.
 */
#include "tests/lib/nat_bed.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* ---- mapping ---- */

Test(natlab_nat, endpoint_independent_mapping_serves_every_remote)
{
    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_EI});
    IS(bed_out(0, A, X), "198.51.100.1:5000");
    IS(bed_out(0, A, X2), "198.51.100.1:5000");
    IS(bed_out(0, A, Y), "198.51.100.1:5000");
    cr_assert_eq(bed_nat.n_mappings, 1);
}

Test(natlab_nat, address_dependent_mapping_changes_with_the_remote_address_only)
{
    bed_use((struct nat_conf){.mapping = NAT_AD, .filtering = NAT_EI});
    IS(bed_out(0, A, X), "198.51.100.1:5000");
    IS(bed_out(0, A, X2), "198.51.100.1:5000");
    IS(bed_out(0, A, Y), "198.51.100.1:5001");
    IS(bed_out(0, A, X), "198.51.100.1:5000");
}

Test(natlab_nat, address_and_port_dependent_mapping_changes_with_the_remote_port)
{
    bed_use((struct nat_conf){.mapping = NAT_APD, .filtering = NAT_EI});
    IS(bed_out(0, A, X), "198.51.100.1:5000");
    IS(bed_out(0, A, X2), "198.51.100.1:5001");
    IS(bed_out(0, A, Y), "198.51.100.1:5002");
    IS(bed_out(0, A, X2), "198.51.100.1:5001");
}

/* ---- filtering ---- */

Test(natlab_nat, endpoint_independent_filtering_admits_anybody_to_a_mapping)
{
    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_EI});
    IS(bed_in(0, Y, "198.51.100.1:5000"), "no-mapping");
    bed_out(0, A, X);
    IS(bed_in(0, Y, "198.51.100.1:5000"), A);
    IS(bed_in(0, Y, "198.51.100.1:5001"), "no-mapping");
}

Test(natlab_nat, address_dependent_filtering_admits_the_address_it_was_sent_to_from_any_port)
{
    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_AD});
    bed_out(0, A, X);
    IS(bed_in(0, X2, "198.51.100.1:5000"), A);
    IS(bed_in(0, Y, "198.51.100.1:5000"), "filtered");
    bed_out(0, A, Y);
    IS(bed_in(0, Y, "198.51.100.1:5000"), A);
}

Test(natlab_nat, address_and_port_dependent_filtering_admits_exactly_what_it_was_sent_to)
{
    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_APD});
    bed_out(0, A, X);
    IS(bed_in(0, X, "198.51.100.1:5000"), A);
    IS(bed_in(0, X2, "198.51.100.1:5000"), "filtered");
    IS(bed_in(0, Y, "198.51.100.1:5000"), "filtered");
    cr_assert_eq(bed_nat.results[NAT_FILTERED], 2);
}

Test(natlab_nat, a_firewall_keeps_addresses_and_drops_what_nobody_asked_for)
{
    bed_use((struct nat_conf){.mapping = NAT_NONE, .filtering = NAT_APD});
    IS(bed_in(0, X, "198.51.100.9:5000"), "no-mapping");
    IS(bed_out(0, "198.51.100.9:5000", X), "198.51.100.9:5000");
    IS(bed_in(0, X, "198.51.100.9:5000"), "198.51.100.9:5000");
    IS(bed_in(0, Y, "198.51.100.9:5000"), "filtered");
}

Test(natlab_nat, without_mapping_and_filtering_there_is_no_nat)
{
    bed_use((struct nat_conf){0});
    IS(bed_in(0, X, A), A);
    IS(bed_out(0, A, X), A);
    IS(bed_out_proto(0, 47, A, X), A);
    cr_assert_eq(bed_nat.n_mappings, 0);
}

Test(natlab_nat, a_stranger_is_answered_by_a_new_mapping_or_by_the_one_it_used)
{
    struct nat_conf conf = {.mapping = NAT_APD, .filtering = NAT_EI};

    bed_use(conf);
    bed_out(0, A, X);
    IS(bed_in(0, Y, "198.51.100.1:5000"), A);
    IS(bed_out(0, A, Y), "198.51.100.1:5001");
    conf.stranger_same = true;
    bed_use(conf);
    bed_out(0, A, X);
    IS(bed_in(0, Y, "198.51.100.1:5000"), A);
    IS(bed_out(0, A, Y), "198.51.100.1:5000");
    IS(bed_in(0, X, "198.51.100.1:5000"), A);
}

/* ---- allocation ---- */

Test(natlab_nat, a_preserved_port_that_is_taken_gives_the_next_free_one)
{
    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_EI, .lo = 4999, .hi = 5001});
    IS(bed_out(0, A, X), "198.51.100.1:5000");
    IS(bed_out(0, B, X), "198.51.100.1:5001");
    IS(bed_out(0, "10.0.0.4:5000", X), "198.51.100.1:4999");
    IS(bed_out(0, "10.0.0.5:5000", X), "no-port");
    IS(bed_in(0, X, "198.51.100.1:5001"), B);
}

Test(natlab_nat, overloading_keeps_a_port_for_remotes_that_differ)
{
    bed_use((struct nat_conf){.mapping = NAT_APD, .filtering = NAT_APD, .overload = true});
    IS(bed_out(0, A, X), "198.51.100.1:5000");
    IS(bed_out(0, A, Y), "198.51.100.1:5000");
    IS(bed_out(0, B, X2), "198.51.100.1:5000");
    IS(bed_in(0, Y, "198.51.100.1:5000"), A);
    IS(bed_in(0, X2, "198.51.100.1:5000"), B);
}

Test(natlab_nat, where_an_overloaded_port_clashes_one_is_drawn_and_preferred_from_then_on)
{
    bed_use((struct nat_conf){.mapping = NAT_APD, .filtering = NAT_APD, .overload = true});
    bed_out(0, A, X);
    bed_out(0, A, X2);
    const char *drawn = bed_out(0, B, X);
    cr_assert_str_neq(drawn, "198.51.100.1:5000");
    IS(bed_out(1, B, Y), drawn);
    /* Another host that has the drawn port towards a remote leaves the own one to try. */
    struct addr inside = bed_addr(drawn), dst = bed_addr("203.0.113.9:9");
    inside.ip[0] = 10;
    cr_assert_eq(nat_out(&bed_nat, 1, NAT_UDP, &inside, &dst), NAT_PASS);
    IS(bed_text(NAT_PASS, &inside), drawn);
    IS(bed_out(2, B, "203.0.113.9:9"), "198.51.100.1:5000");
}

Test(natlab_nat, contiguous_ports_step_by_delta_and_wrap_in_the_range)
{
    bed_use((struct nat_conf){.mapping = NAT_APD,
                              .filtering = NAT_APD,
                              .allocation = ALLOC_CONTIGUOUS,
                              .delta = 2,
                              .lo = 2000,
                              .hi = 2009});
    bed_nat.last.port = 2005;
    IS(bed_out(0, A, X), "198.51.100.1:2007");
    IS(bed_out(0, A, X2), "198.51.100.1:2009");
    IS(bed_out(0, A, Y), "198.51.100.1:2001");
    IS(bed_out(0, A, X2), "198.51.100.1:2009");
}

Test(natlab_nat, others_take_contiguous_ports_meanwhile)
{
    bed_use((struct nat_conf){.mapping = NAT_APD,
                              .filtering = NAT_APD,
                              .allocation = ALLOC_CONTIGUOUS,
                              .background_per_s = 10});
    /* Over a second 10, give or take 3; in the mean of a hundred, 0.3: six times that is allowed. */
    bed_nat.last.port = 2000;
    IS(bed_out(0, A, X), "198.51.100.1:2001");
    unsigned same = 0, before = bed_nat.last.port;
    for (unsigned i = 1; i <= 100; i++) {
        struct addr src = bed_addr(A), dst = addr_v4(203, 0, 113, 1, (uint16_t)(100 + i));
        cr_assert_eq(nat_out(&bed_nat, i * S, NAT_UDP, &src, &dst), NAT_PASS);
        same += src.port - before == 11;
        before = src.port;
    }
    cr_assert(before >= 2101 + 820 && before <= 2101 + 1180, "%u", before);
    cr_assert(same > 2 && same < 40, "%u", same);
    struct addr src = bed_addr(A), dst = addr_v4(203, 0, 113, 1, 99); /* and none in no time */
    cr_assert_eq(nat_out(&bed_nat, 100 * S, NAT_UDP, &src, &dst), NAT_PASS);
    cr_assert_eq(src.port, before + 1);
}

Test(natlab_nat, random_ports_stay_in_range_use_all_of_it_and_follow_the_seed)
{
    struct nat_conf conf = {.mapping = NAT_APD,
                            .filtering = NAT_APD,
                            .allocation = ALLOC_RANDOM,
                            .lo = 3000,
                            .hi = 3063};
    char order[2][64 * 6 + 1] = {"", ""};

    for (int run = 0; run < 2; run++) {
        bool used[64] = {false};
        bed_use(conf);
        for (int i = 0; i < 64; i++) {
            struct addr src = bed_addr(A), dst = addr_v4(203, 0, 113, 1, (uint16_t)(100 + i));
            cr_assert_eq(nat_out(&bed_nat, 0, NAT_UDP, &src, &dst), NAT_PASS);
            cr_assert(src.port >= 3000 && src.port <= 3063 && !used[src.port - 3000]);
            used[src.port - 3000] = true;
            sprintf(order[run] + strlen(order[run]), "%u ", src.port);
        }
        IS(bed_out(0, A, Y), "no-port");
    }
    IS(order[0], order[1]);
}

/* ---- time ---- */

Test(natlab_nat, outbound_packets_refresh_a_mapping_and_inbound_ones_do_not)
{
    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_APD, .lifetime_us = 30 * S});
    bed_out(0, A, X);
    IS(bed_in(29 * S, X, "198.51.100.1:5000"), A);
    IS(bed_in(30 * S, X, "198.51.100.1:5000"), "no-mapping");
    bed_out(40 * S, A, X);
    bed_out(60 * S, A, X);
    IS(bed_in(89 * S, X, "198.51.100.1:5000"), A);
    IS(bed_in(90 * S, X, "198.51.100.1:5000"), "no-mapping");
}

Test(natlab_nat, inbound_packets_refresh_where_configured)
{
    bed_use((struct nat_conf){
        .mapping = NAT_EI, .filtering = NAT_APD, .lifetime_us = 30 * S, .inbound_refreshes = true});
    bed_out(0, A, X);
    IS(bed_in(29 * S, X, "198.51.100.1:5000"), A);
    IS(bed_in(58 * S, X, "198.51.100.1:5000"), A);
    IS(bed_in(88 * S, X, "198.51.100.1:5000"), "no-mapping");
}

Test(natlab_nat, a_filter_expires_on_its_own_while_the_mapping_lives)
{
    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_APD, .lifetime_us = 30 * S});
    bed_out(0, A, X);
    bed_out(20 * S, A, Y);
    IS(bed_in(35 * S, Y, "198.51.100.1:5000"), A);
    IS(bed_in(35 * S, X, "198.51.100.1:5000"), "filtered");
}

Test(natlab_nat, an_expired_mapping_gives_its_port_back)
{
    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_EI, .lifetime_us = 30 * S});
    IS(bed_out(0, A, X), "198.51.100.1:5000");
    IS(bed_out(10 * S, B, X), "198.51.100.1:5001");
    IS(bed_out(31 * S, "10.0.0.4:5000", X), "198.51.100.1:5000");
    IS(bed_in(31 * S, X, "198.51.100.1:5000"), "10.0.0.4:5000");
}

Test(natlab_nat, a_flush_forgets_everything)
{
    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_APD});
    bed_out(0, A, X);
    nat_flush(&bed_nat);
    IS(bed_in(0, X, "198.51.100.1:5000"), "no-mapping");
    IS(bed_out(0, B, X), "198.51.100.1:5000");
}

/* ---- limits ---- */

static void fill_mappings(int64_t now)
{
    for (uint32_t i = 0; i < NAT_MAPPINGS_MAX; i++) {
        struct addr src = addr_v4(10, 0, 0, 2, (uint16_t)(10000 + i)), dst = bed_addr(X);
        cr_assert_eq(nat_out(&bed_nat, now + i, NAT_UDP, &src, &dst), NAT_PASS);
    }
}

Test(natlab_nat, a_full_table_refuses_until_something_expires)
{
    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_APD, .lifetime_us = 30 * S});
    fill_mappings(0);
    IS(bed_out(1 * S, A, X), "table-full");
    IS(bed_in(1 * S, X, "198.51.100.1:10000"), "10.0.0.2:10000");
    IS(bed_out(30 * S, A, X), "198.51.100.1:5000");
    IS(bed_in(30 * S, X, "198.51.100.1:10000"), "no-mapping");
}

Test(natlab_nat, a_full_table_evicts_the_oldest_where_configured)
{
    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_APD, .full_evicts = true});
    fill_mappings(0);
    IS(bed_out(1 * S, "10.0.0.2:10000", X), "198.51.100.1:10000");
    IS(bed_out(1 * S, A, X), "198.51.100.1:5000");
    IS(bed_in(1 * S, X, "198.51.100.1:10001"), "no-mapping");
    IS(bed_in(1 * S, X, "198.51.100.1:10000"), "10.0.0.2:10000");
    cr_assert_eq(bed_nat.evicted, 1);
}

Test(natlab_nat, a_full_filter_table_refuses_new_remotes_or_evicts)
{
    struct nat_conf conf = {.mapping = NAT_EI, .filtering = NAT_APD};

    for (int run = 0; run < 2; run++) {
        conf.full_evicts = run == 1;
        bed_use(conf);
        for (uint32_t i = 0; i < NAT_FILTERS_MAX; i++) {
            struct addr src = bed_addr(A), dst = addr_v4(203, 0, 113, 1, (uint16_t)(1 + i));
            cr_assert_eq(nat_out(&bed_nat, i, NAT_UDP, &src, &dst), NAT_PASS);
        }
        IS(bed_out(1 * S, A, Y), run == 0 ? "table-full" : "198.51.100.1:5000");
        IS(bed_in(1 * S, "203.0.113.1:1", "198.51.100.1:5000"), run == 0 ? A : "filtered");
    }
}

/* ---- other protocols ---- */

Test(natlab_nat, blocks_udp_alone_where_configured)
{
    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_EI, .udp_blocked = true});
    IS(bed_out(0, A, X), "udp-blocked");
    IS(bed_in(0, X, "198.51.100.1:5000"), "udp-blocked");
    IS(bed_out_proto(0, NAT_TCP, A, X), "198.51.100.1:5000");
}

Test(natlab_nat, tcp_gets_a_mapping_per_connection_whatever_udp_gets)
{
    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_EI, .allocation = ALLOC_RANDOM});
    IS(bed_out_proto(0, NAT_TCP, A, X), "198.51.100.1:5000");
    IS(bed_out_proto(0, NAT_TCP, B, X), "198.51.100.1:5001");
    IS(bed_out_proto(0, NAT_TCP, B, Y), "198.51.100.1:5000");
    IS(bed_in_proto(0, NAT_TCP, X, "198.51.100.1:5001"), B);
    IS(bed_in_proto(0, NAT_TCP, Y, "198.51.100.1:5001"), "filtered");
    IS(bed_in_proto(3600 * S, NAT_TCP, X, "198.51.100.1:5000"), A);
}

Test(natlab_nat, echo_requests_are_mapped_by_their_identifier)
{
    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_EI});
    IS(bed_out_proto(0, NAT_ICMP, "10.0.0.2:7000", "203.0.113.1:0"), "198.51.100.1:7000");
    IS(bed_out_proto(0, NAT_ICMP, "10.0.0.3:7000", "203.0.113.1:0"), "198.51.100.1:7001");
    IS(bed_in_proto(0, NAT_ICMP, "203.0.113.1:0", "198.51.100.1:7001"), "10.0.0.3:7000");
    IS(bed_out_proto(0, 47, A, X), "unknown-protocol");
}

/* ---- ground truth ---- */

Test(natlab_nat, tells_its_live_mappings_and_what_they_admit)
{
    size_t cursor = 0, inner = 0;

    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_AD, .lifetime_us = 30 * S});
    bed_out(0, B, X);
    bed_out(20 * S, A, X);
    bed_out(20 * S, A, Y);
    const struct nat_mapping *m = nat_next_mapping(&bed_nat, 40 * S, &cursor);
    IS(bed_text(NAT_PASS, &m->internal), A);
    const struct nat_filter *f = nat_next_filter(&bed_nat, 40 * S, m, &inner);
    IS(bed_text(NAT_PASS, &f->remote), "203.0.113.2:0");
    f = nat_next_filter(&bed_nat, 40 * S, m, &inner);
    IS(bed_text(NAT_PASS, &f->remote), "203.0.113.1:0");
    cr_assert_null(nat_next_filter(&bed_nat, 40 * S, m, &inner));
    cr_assert_null(nat_next_mapping(&bed_nat, 40 * S, &cursor));
}

/* A walk over random packets must keep the chains and the counts together. */
Test(natlab_nat, keeps_its_tables_consistent_over_many_random_packets)
{
    struct rng rng;

    rng_seed(&rng, 7);
    bed_use((struct nat_conf){.mapping = NAT_APD,
                              .filtering = NAT_APD,
                              .allocation = ALLOC_RANDOM,
                              .lifetime_us = S,
                              .lo = 1024,
                              .hi = 5500,
                              .full_evicts = true});
    for (int64_t now = 0; now < 6 * S; now += (int64_t)rng_below(&rng, 400)) {
        struct addr src = addr_v4(10, 0, 0, 2, (uint16_t)(1 + rng_below(&rng, 5000)));
        struct addr dst = addr_v4(203, 0, 113, (uint8_t)rng_below(&rng, 4), 9), inside = src;
        enum nat_result r = nat_out(&bed_nat, now, NAT_UDP, &src, &dst);
        cr_assert(r == NAT_PASS || r == NAT_NO_PORT);
        if (r == NAT_PASS) {
            cr_assert_eq(nat_in(&bed_nat, now, NAT_UDP, &dst, &src), NAT_PASS);
            cr_assert(addr_eq(&src, &inside));
        }
    }
    size_t cursor = 0, n = 0;
    while (nat_next_mapping(&bed_nat, 0, &cursor) != NULL)
        n++;
    cr_assert_eq(n, bed_nat.n_mappings);
    cr_assert_eq(n, bed_nat.n_filters);
    cr_assert_gt(bed_nat.opened, 10000);
}

/* ---- an operator's port mapping ---- */

static struct nat_conf forwarding(enum behaviour mapping)
{
    return (struct nat_conf){.mapping = mapping,
                             .filtering = NAT_APD,
                             .allocation = ALLOC_RANDOM,
                             .forward = 7000,
                             .forward_to = bed_addr(A)};
}

Test(natlab_nat, a_forwarded_port_lets_anybody_in_and_is_what_the_answers_leave_by)
{
    for (enum behaviour mapping = NAT_EI; mapping <= NAT_APD; mapping++) {
        bed_use(forwarding(mapping));
        cr_assert_str_neq(bed_out(0, A, X), "198.51.100.1:7000");
        IS(bed_in(0, Y, "198.51.100.1:7000"), A);
        IS(bed_out(0, A, Y), "198.51.100.1:7000");
        IS(bed_in(0, X, "198.51.100.1:7000"), A);
        IS(bed_out(0, A, X), "198.51.100.1:7000");
        IS(bed_in_proto(0, NAT_TCP, Y, "198.51.100.1:7000"), "no-mapping");
    }
}

Test(natlab_nat, a_forwarded_port_is_nobody_elses)
{
    struct nat_conf conf = forwarding(NAT_EI);

    conf.allocation = ALLOC_PRESERVE;
    bed_use(conf);
    IS(bed_out(0, "10.0.0.9:7000", X), "198.51.100.1:7001");
    IS(bed_in(0, X, "198.51.100.1:7000"), A);
}
