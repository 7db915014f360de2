/*
 * test_natlab_carrier.c - what the model NAT does beyond one household: pools and blocks of ports, claims by
 * early packets, and ICMP errors.
 */
#include "tests/lib/nat_bed.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const struct nat_conf pool_of_three = {
    .mapping = NAT_APD,
    .filtering = NAT_APD,
    .external = {{.len = 4, .ip = {198, 51, 100, 1}},
                 {.len = 4, .ip = {198, 51, 100, 2}},
                 {.len = 4, .ip = {198, 51, 100, 3}}},
    .n_external = 3
};

/* The last byte of the public address that inside sees for a new remote, so a new mapping. */
static int pool_address(uint8_t inside, uint16_t remote)
{
    struct addr src = addr_v4(10, 0, 0, inside, 5000), dst = addr_v4(203, 0, 113, 1, remote);

    cr_assert_eq(nat_out(&bed_nat, 0, NAT_UDP, &src, &dst), NAT_PASS);
    return src.ip[3];
}

Test(natlab_carrier, a_paired_pool_gives_each_subscriber_one_address)
{
    bed_use(pool_of_three);
    for (uint16_t remote = 1; remote <= 50; remote++)
        for (uint8_t inside = 2; inside < 8; inside++)
            cr_assert_eq(pool_address(inside, remote), 1 + (inside - 2) % 3);
    IS(bed_out(0, "10.0.0.3:6000", X), "198.51.100.2:6000");
    IS(bed_in(0, X, "198.51.100.2:6000"), "10.0.0.3:6000");
    IS(bed_in(0, X, "198.51.100.1:6000"), "no-mapping");
}

Test(natlab_carrier, an_arbitrary_pool_gives_a_subscriber_all_addresses)
{
    struct nat_conf conf = pool_of_three;
    int seen[4] = {0};

    conf.pooling = NAT_POOLING_ARBITRARY;
    bed_use(conf);
    for (uint16_t remote = 1; remote <= 90; remote++)
        seen[pool_address(2, remote)]++;
    for (int i = 1; i <= 3; i++)
        cr_assert_geq(seen[i], 15);
}

Test(natlab_carrier, an_arbitrary_pool_is_used_up_before_ports_are_refused)
{
    struct nat_conf conf = pool_of_three;

    conf.pooling = NAT_POOLING_ARBITRARY;
    conf.lo = conf.hi = 5000;
    bed_use(conf);
    for (uint16_t remote = 1; remote <= 3; remote++)
        pool_address(2, remote);
    IS(bed_out(0, A, Y), "no-port");
}

Test(natlab_carrier, each_subscriber_has_a_block_of_ports_of_its_own)
{
    struct nat_conf conf = {.mapping = NAT_APD,
                            .filtering = NAT_APD,
                            .allocation = ALLOC_RANDOM,
                            .lo = 1024,
                            .hi = 1024 + 4 * 64 - 1,
                            .block = 64};
    unsigned owners[4] = {0};

    bed_use(conf);
    for (uint16_t remote = 1; remote <= 64; remote++)
        for (uint8_t inside = 2; inside < 6; inside++) {
            struct addr src = addr_v4(10, 0, 0, inside, 5000),
                        dst = addr_v4(203, 0, 113, 1, remote);
            cr_assert_eq(nat_out(&bed_nat, 0, NAT_UDP, &src, &dst), NAT_PASS);
            owners[(src.port - 1024) / 64] |= 1u << inside;
        }
    for (int i = 0; i < 4; i++)
        cr_assert_eq(__builtin_popcount(owners[i]), 1);
    /* The own block is full, though the range may not be; and there are no more blocks. */
    IS(bed_out(0, A, Y), "no-port");
    IS(bed_out(0, "10.0.0.9:5000", X), "no-port");
}

Test(natlab_carrier, contiguous_allocation_steps_within_the_block_unmoved_by_other_subscribers)
{
    bed_use((struct nat_conf){
        .mapping = NAT_APD, .filtering = NAT_APD, .allocation = ALLOC_CONTIGUOUS, .block = 100});
    uint16_t last = 0;
    for (uint16_t remote = 1; remote <= 20; remote++) {
        struct addr src = bed_addr(A), dst = addr_v4(203, 0, 113, 1, remote);
        cr_assert_eq(nat_out(&bed_nat, 0, NAT_UDP, &src, &dst), NAT_PASS);
        cr_assert(last == 0 || src.port == last + 1);
        last = src.port;
        bed_out(0, B, X);
        bed_out(0, B, X2);
    }
}

Test(natlab_carrier, knows_only_so_many_subscribers)
{
    bed_use((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_EI});
    for (uint8_t i = 0; i < NAT_SUBSCRIBERS_MAX; i++) {
        struct addr src = addr_v4(10, 0, 1, i, 5000), dst = bed_addr(X);
        cr_assert_eq(nat_out(&bed_nat, 0, NAT_UDP, &src, &dst), NAT_PASS);
    }
    IS(bed_out(0, A, X), "table-full");
    nat_flush(&bed_nat);
    IS(bed_out(0, A, X), "198.51.100.1:5000");
}

/* ---- clashes ---- */

static const struct nat_conf claiming = {.mapping = NAT_APD,
                                         .filtering = NAT_APD,
                                         .overload = true,
                                         .lifetime_us = 30 * S,
                                         .claims = true};

Test(natlab_carrier, an_early_packet_claims_the_port_towards_its_sender_alone)
{
    bed_use(claiming);
    IS(bed_in(0, X, "198.51.100.1:5000"), "no-mapping");
    IS(bed_out(0, A, Y), "198.51.100.1:5000");
    const char *other = bed_out(0, A, X);
    cr_assert_str_neq(other, "198.51.100.1:5000");
    IS(bed_in(0, X, "198.51.100.1:5000"), "filtered");
    IS(bed_in(0, X, other), A);
}

Test(natlab_carrier, a_packet_that_is_filtered_claims_too_and_one_that_passes_does_not)
{
    bed_use(claiming);
    bed_out(0, A, X);
    IS(bed_in(0, X, "198.51.100.1:5000"), A);
    IS(bed_in(0, Y, "198.51.100.1:5000"), "filtered");
    cr_assert_eq(bed_nat.n_mappings, 2);
    cr_assert_str_neq(bed_out(0, A, Y), "198.51.100.1:5000");
}

Test(natlab_carrier, a_claim_lives_as_long_as_its_packets_come)
{
    bed_use(claiming);
    bed_in(0, X, "198.51.100.1:5000");
    bed_in(20 * S, X, "198.51.100.1:5000");
    cr_assert_eq(bed_nat.n_mappings, 1);
    cr_assert_str_neq(bed_out(40 * S, A, X), "198.51.100.1:5000");
    bed_in(41 * S, Y, "198.51.100.1:5000");
    IS(bed_out(71 * S, A, Y), "198.51.100.1:5000");
}

Test(natlab_carrier, without_claims_an_early_packet_leaves_nothing)
{
    bed_use((struct nat_conf){.mapping = NAT_APD, .filtering = NAT_APD, .overload = true});
    bed_in(0, X, "198.51.100.1:5000");
    IS(bed_out(0, A, X), "198.51.100.1:5000");
}

/* ---- ICMP errors ---- */

Test(natlab_carrier, an_error_about_a_packet_finds_who_sent_it)
{
    bed_use(
        (struct nat_conf){.mapping = NAT_APD, .filtering = NAT_APD, .allocation = ALLOC_RANDOM});
    const char *external = bed_out(0, A, X);
    IS(bed_error_in(0, external, X), A);
    IS(bed_error_in(0, external, Y), "filtered");
    IS(bed_error_in(0, "198.51.100.1:1", X), "no-mapping");
    IS(bed_in(0, X, external), A);
}

Test(natlab_carrier, an_error_from_inside_speaks_of_the_outside_address)
{
    bed_use(
        (struct nat_conf){.mapping = NAT_APD, .filtering = NAT_APD, .allocation = ALLOC_RANDOM});
    const char *external = bed_out(0, A, X);
    IS(bed_error_out(0, X, A), external);
    IS(bed_error_out(0, Y, A), "no-mapping");
}

Test(natlab_carrier, an_error_is_dropped_or_ends_the_mapping_where_configured)
{
    struct nat_conf conf = {.mapping = NAT_EI, .filtering = NAT_APD, .errors = NAT_ERRORS_DROP};

    bed_use(conf);
    bed_out(0, A, X);
    IS(bed_error_in(0, "198.51.100.1:5000", X), "no-errors");
    IS(bed_in(0, X, "198.51.100.1:5000"), A);
    conf.errors = NAT_ERRORS_KILL;
    bed_use(conf);
    bed_out(0, A, X);
    IS(bed_error_in(0, "198.51.100.1:5000", Y), "filtered");
    IS(bed_error_in(0, "198.51.100.1:5000", X), A);
    IS(bed_in(0, X, "198.51.100.1:5000"), "no-mapping");
}

Test(natlab_carrier, an_error_refreshes_nothing)
{
    bed_use((struct nat_conf){
        .mapping = NAT_EI, .filtering = NAT_EI, .lifetime_us = 30 * S, .inbound_refreshes = true});
    bed_out(0, A, X);
    IS(bed_error_in(29 * S, "198.51.100.1:5000", X), A);
    IS(bed_error_in(30 * S, "198.51.100.1:5000", X), "no-mapping");
}
