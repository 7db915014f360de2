/*
 * test_natlab_nested.c - the model internet, further: a NAT behind a NAT, routers that tell of what they
 * drop, and lines that are slow, break off and reorder.
 */
#include "tests/lib/net_bed.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const struct net_link fast = {.delay_us = 10 * MS};
static const struct nat_conf cone = {.mapping = NAT_EI, .filtering = NAT_APD};

/* ---- a NAT behind a NAT ---- */

Test(natlab_nested, both_nats_translate_and_the_answer_finds_its_way_back)
{
    struct nat_conf carrier = cone;

    carrier.lo = 2000;
    carrier.hi = 2999;
    bed_two_hosts(1, fast);
    bed_add_nested(cone, carrier);
    cr_assert_eq(bed_send(0, 2, IN2, H0, "a"), NET_OK);
    IS(bed_arrival(21 * MS), "0 198.51.100.1:2000>" H0 " a");
    size_t cursor = 0;
    const struct nat_mapping *m = nat_next_mapping(&bed_carrier, 0, &cursor);
    cr_assert_eq(m->internal.ip[0], 100);
    cr_assert_eq(m->internal.port, 5000);
    cr_assert_eq(bed_send(30 * MS, 0, H0, "198.51.100.1:2000", "b"), NET_OK);
    IS(bed_arrival(51 * MS - 1), "");
    IS(bed_arrival(51 * MS), "2 " H0 ">" IN2 " b");
    cr_assert_eq(bed_net.sent[2][0].packets, 1);
    cr_assert_eq(bed_net.delivered[0][2].packets, 1);
    cr_assert_eq(bed_send(60 * MS, 0, H0, "100.64.0.1:5000", "c"), NET_NO_ROUTE);
}

Test(natlab_nested, each_nat_filters_when_the_packet_gets_to_it)
{
    bed_two_hosts(1, fast);
    bed_add_nested(cone, (struct nat_conf){.mapping = NAT_EI, .filtering = NAT_EI});
    bed_send(0, 2, IN2, H0, "a");
    bed_arrival(21 * MS);
    /* The carrier lets it in, the household does not. */
    bed_send(30 * MS, 1, H1, OUT2, "b");
    IS(bed_arrival(100 * MS), "");
    cr_assert_eq(bed_home.results[NAT_FILTERED], 1);
    /* A hole that opens while the packet is between the two admits it. */
    bed_send(100 * MS, 1, H1, OUT2, "c");
    IS(bed_arrival(120 * MS), "");
    bed_send(120 * MS, 2, IN2, H1, "d");
    IS(bed_arrival(121 * MS), "2 " H1 ">" IN2 " c");
}

Test(natlab_nested, households_of_one_carrier_meet_on_its_lan_or_in_its_hairpin)
{
    struct nat_conf carrier = {.mapping = NAT_EI, .filtering = NAT_EI};

    bed_two_hosts(1, fast);
    bed_add_nested(cone, carrier);
    bed_send(0, 2, IN2, "100.64.0.9:7", "lan");
    IS(bed_arrival(1 * MS), "3 100.64.0.1:5000>100.64.0.9:7 lan");
    bed_send(10 * MS, 3, "100.64.0.9:7", "100.64.0.1:5000", "back");
    IS(bed_arrival(11 * MS), "2 100.64.0.9:7>" IN2 " back");
    cr_assert_eq(bed_carrier.opened, 0);

    carrier.hairpin = NAT_HAIRPIN_EXTERNAL;
    bed_two_hosts(1, fast);
    bed_add_nested((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_EI}, carrier);
    bed_send(0, 2, IN2, H0, "a");
    bed_arrival(21 * MS);
    bed_send(30 * MS, 3, "100.64.0.9:5000", OUT2, "hairpin");
    IS(bed_arrival(31 * MS), "2 198.51.100.1:5001>" IN2 " hairpin");
}

/* ---- ICMP errors ---- */

Test(natlab_nested, every_router_on_the_way_tells_when_the_ttl_has_run_out)
{
    static const struct {
        const char *want;
        int64_t after_us;
    } rows[] = {
        {"2 192.0.2.4:0>10.0.0.2:0 icmp 11/0 " IN2 ">" H0, 0      },
        {"2 192.0.2.3:0>10.0.0.2:0 icmp 11/0 " IN2 ">" H0, 2 * MS },
        {"2 192.0.2.3:0>10.0.0.2:0 icmp 11/0 " IN2 ">" H0, 22 * MS},
        {"2 192.0.2.1:0>10.0.0.2:0 icmp 11/0 " IN2 ">" H0, 22 * MS},
        {"0 198.51.100.1:5000>" H0 " a",                   21 * MS}
    };

    for (uint8_t i = 0; i < 5; i++) {
        bed_two_hosts(1, fast);
        bed_add_nested(cone, cone);
        bed_send_ttl(0, 2, IN2, H0, "a", (uint8_t)(i + 1));
        IS(bed_arrival(rows[i].after_us - 1), "");
        IS(bed_arrival(rows[i].after_us), rows[i].want);
    }
}

Test(natlab_nested, silent_routers_say_nothing)
{
    bed_two_hosts(1, fast);
    bed_net.lines[1].silent = true;
    cr_assert_eq(bed_send_ttl(0, 0, H0, H1, "a", 2), NET_TTL_EXCEEDED);
    IS(bed_arrival(100 * MS), "");
    cr_assert_eq(bed_send_ttl(0, 0, H0, H1, "a", 1), NET_TTL_EXCEEDED);
    IS(bed_arrival(100 * MS), "0 192.0.2.1:0>203.0.113.1:0 icmp 11/0 " H0 ">" H1);
}

Test(natlab_nested, a_packet_whose_ttl_ends_beyond_the_nat_has_opened_it)
{
    bed_two_hosts(1, fast);
    bed_add_home(cone);
    bed_send_ttl(0, 2, IN2, H0, "a", 2);
    bed_arrival(20 * MS);
    bed_send(20 * MS, 0, H0, OUT2, "b");
    IS(bed_arrival(40 * MS), "2 " H0 ">" IN2 " b");
}

Test(natlab_nested, one_whose_ttl_ends_in_the_nat_opens_it_only_where_configured)
{
    struct nat_conf conf = cone;

    for (int i = 0; i < 2; i++) {
        conf.expired_maps = i == 1;
        bed_two_hosts(1, fast);
        bed_add_home(conf);
        bed_send_ttl(0, 2, IN2, H0, "a", 1);
        cr_assert_eq(bed_home.n_mappings, (uint32_t)i);
        IS(bed_arrival(0), "2 192.0.2.3:0>10.0.0.2:0 icmp 11/0 " IN2 ">" H0);
    }
}

Test(natlab_nested, an_error_on_its_way_back_ends_the_mapping_where_configured)
{
    struct nat_conf conf = cone;

    conf.errors = NAT_ERRORS_KILL;
    bed_two_hosts(1, fast);
    bed_add_home(conf);
    bed_send_ttl(0, 2, IN2, H0, "a", 3);
    bed_arrival(20 * MS);
    cr_assert_eq(bed_home.n_mappings, 0);
}

Test(natlab_nested, a_nat_rejects_what_nobody_asked_for_where_configured)
{
    struct nat_conf conf = cone;

    conf.rejects = true;
    bed_two_hosts(1, fast);
    bed_add_home(conf);
    bed_send(0, 0, H0, OUT2, "a");
    IS(bed_arrival(20 * MS), "");
    IS(bed_arrival(40 * MS), "0 198.51.100.1:0>203.0.113.1:0 icmp 3/3 " H0 ">" OUT2);
    IS(bed_arrival(1000 * MS), "");
    bed_send(0, 2, IN2, H0, "b");
    bed_arrival(20 * MS);
    bed_send(20 * MS, 0, H0, OUT2, "c");
    IS(bed_arrival(40 * MS), "2 " H0 ">" IN2 " c");
}

Test(natlab_nested, an_error_from_inside_hides_who_sent_it)
{
    struct nat_conf inner = cone;

    inner.rejects = true;
    bed_two_hosts(1, fast);
    bed_add_nested(inner, (struct nat_conf){.mapping = NAT_EI, .filtering = NAT_EI});
    bed_send(0, 2, IN2, H0, "a");
    bed_arrival(21 * MS);
    bed_send(30 * MS, 1, H1, OUT2, "b");
    IS(bed_arrival(51 * MS), "");
    IS(bed_arrival(72 * MS), "1 198.51.100.1:0>203.0.113.2:0 icmp 3/3 " H1 ">" OUT2);
}

/* ---- lines ---- */

Test(natlab_nested,
     a_line_with_a_rate_sends_one_packet_after_the_other_and_drops_what_waits_too_long)
{
    static char kilobyte[1000];

    memset(kilobyte, 'x', sizeof kilobyte - 1);
    /* 8 Mbit/s: a millisecond each; one under way and what waits up to 5 ms. */
    bed_two_hosts(1, fast);
    bed_net.lines[0].up.rate_bps = 8000000;
    bed_net.lines[0].up.queue_us = 5 * MS;
    for (int i = 0; i < 6; i++)
        cr_assert_eq(bed_send(0, 0, H0, H1, kilobyte), NET_OK);
    cr_assert_eq(bed_send(0, 0, H0, H1, kilobyte), NET_CONGESTED);
    for (int i = 1; i <= 6; i++) {
        IS(bed_arrival((20 + i) * MS - 1), "");
        cr_assert_neq(bed_arrival((20 + i) * MS)[0], '\0');
    }
    cr_assert_eq(bed_send(7 * MS, 0, H0, H1, kilobyte), NET_OK);
    cr_assert_eq(net_next_us(&bed_net), 28 * MS);
}

/* At the far line packets queue as they arrive, not as they were sent. */
Test(natlab_nested, a_slow_far_line_is_shared_by_all_who_send_over_it)
{
    static char kilobyte[1000];

    memset(kilobyte, 'x', sizeof kilobyte - 1);
    bed_two_hosts(1, fast);
    bed_add_home((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_EI});
    bed_send(0, 2, IN2, H0, "a");
    bed_arrival(20 * MS);
    bed_net.lines[2].down.rate_bps = 8000000;
    bed_net.lines[2].down.queue_us = 100 * MS;
    bed_net.lines[0].up.delay_us = 12 * MS;
    bed_send(20 * MS, 0, H0, OUT2, kilobyte);
    bed_send(20 * MS, 1, H1, OUT2, kilobyte);
    cr_assert_eq(strncmp(bed_arrival(41 * MS), "2 " H1, 17), 0);
    IS(bed_arrival(43 * MS - 1), "");
    cr_assert_eq(strncmp(bed_arrival(43 * MS), "2 " H0, 17), 0);
}

Test(natlab_nested, in_a_burst_nothing_passes_and_bursts_are_as_long_and_as_frequent_as_configured)
{
    int lost = 0, runs = 0, total = 200000;
    bool before = false;

    bed_two_hosts(1, fast);
    bed_net.lines[0].up.burst_us = 50 * MS;
    bed_net.lines[0].up.pause_us = 450 * MS;
    for (int i = 0; i < total; i++) {
        bool now = bed_send(i * MS, 0, H0, H1, "a") == NET_LOST;
        lost += now;
        runs += now && !before;
        before = now;
        while (bed_arrival(i * MS)[0] != '\0')
            ;
    }
    cr_assert_float_eq((double)lost / total, 0.1, 0.01);
    cr_assert_float_eq((double)lost / runs, 50, 5);
}

Test(natlab_nested, reordering_makes_some_packets_late_and_no_others)
{
    int late = 0;

    bed_two_hosts(1, fast);
    bed_net.lines[0].up.reorder_ppm = 100000;
    bed_net.lines[0].up.reorder_us = 5 * MS;
    for (int64_t now = 0; now < 2000 * MS; now += MS) {
        bed_send(now, 0, H0, H1, "a");
        int64_t due = net_next_us(&bed_net);
        if (due == now + 20 * MS) {
            bed_arrival(due);
        } else {
            cr_assert_eq(due, now + 25 * MS);
            bed_arrival(due);
            late++;
        }
    }
    cr_assert_float_eq(late / 2000.0, 0.1, 0.02);
}
