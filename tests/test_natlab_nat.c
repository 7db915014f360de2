/*
 * test_natlab_nat.c - the model NAT in the words of RFC 4787, packet by packet.
 *
 * A packet out shows the source address that the world sees, a packet in the inside address it reaches;
 * where it is dropped, the reason.
 */
#include "tests/natlab/nat.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define S 1000000LL /* a second */

static struct nat nat;
static char seen[8][ADDR_TEXT_MAX]; /* results live until seven more were asked for */
static size_t n_seen;

static void use(struct nat_conf conf)
{
    conf.external = addr_v4(198, 51, 100, 1, 0);
    nat_init(&nat, &conf, 1);
}

static const char *text_of(enum nat_result r, const struct addr *a)
{
    char *buf = seen[n_seen++ % 8];

    return r == NAT_PASS ? addr_format(a, buf, ADDR_TEXT_MAX) : nat_result_name(r);
}

static struct addr at(const char *text)
{
    struct addr a;

    cr_assert(addr_parse(text, &a), "%s", text);
    return a;
}

static const char *send_proto(int64_t now, uint8_t proto, const char *from, const char *to)
{
    struct addr src = at(from), dst = at(to);
    enum nat_result r = nat_out(&nat, now, proto, &src, &dst);

    return text_of(r, &src);
}

static const char *recv_proto(int64_t now, uint8_t proto, const char *from, const char *to)
{
    struct addr src = at(from), dst = at(to);
    enum nat_result r = nat_in(&nat, now, proto, &src, &dst);

    return text_of(r, &dst);
}

static const char *out(int64_t now, const char *from, const char *to)
{
    return send_proto(now, NAT_UDP, from, to);
}

static const char *in(int64_t now, const char *from, const char *to)
{
    return recv_proto(now, NAT_UDP, from, to);
}

#define IS(got, want) cr_assert_str_eq(got, want)
#define A "10.0.0.2:5000"
#define B "10.0.0.3:5000"
#define X "203.0.113.1:53"
#define X2 "203.0.113.1:54" /* X's other port */
#define Y "203.0.113.2:53"

/* ---- mapping ---- */

Test(natlab_nat, endpoint_independent_mapping_serves_every_remote)
{
    use((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_EI});
    IS(out(0, A, X), "198.51.100.1:5000");
    IS(out(0, A, X2), "198.51.100.1:5000");
    IS(out(0, A, Y), "198.51.100.1:5000");
    cr_assert_eq(nat.n_mappings, 1);
}

Test(natlab_nat, address_dependent_mapping_changes_with_the_remote_address_only)
{
    use((struct nat_conf){.mapping = SCOPE_AD, .filtering = SCOPE_EI});
    IS(out(0, A, X), "198.51.100.1:5000");
    IS(out(0, A, X2), "198.51.100.1:5000");
    IS(out(0, A, Y), "198.51.100.1:5001");
    IS(out(0, A, X), "198.51.100.1:5000");
}

Test(natlab_nat, address_and_port_dependent_mapping_changes_with_the_remote_port)
{
    use((struct nat_conf){.mapping = SCOPE_APD, .filtering = SCOPE_EI});
    IS(out(0, A, X), "198.51.100.1:5000");
    IS(out(0, A, X2), "198.51.100.1:5001");
    IS(out(0, A, Y), "198.51.100.1:5002");
    IS(out(0, A, X2), "198.51.100.1:5001");
}

/* ---- filtering ---- */

Test(natlab_nat, endpoint_independent_filtering_admits_anybody_to_a_mapping)
{
    use((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_EI});
    IS(in(0, Y, "198.51.100.1:5000"), "no-mapping");
    out(0, A, X);
    IS(in(0, Y, "198.51.100.1:5000"), A);
    IS(in(0, Y, "198.51.100.1:5001"), "no-mapping");
}

Test(natlab_nat, address_dependent_filtering_admits_the_address_it_was_sent_to_from_any_port)
{
    use((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_AD});
    out(0, A, X);
    IS(in(0, X2, "198.51.100.1:5000"), A);
    IS(in(0, Y, "198.51.100.1:5000"), "filtered");
    out(0, A, Y);
    IS(in(0, Y, "198.51.100.1:5000"), A);
}

Test(natlab_nat, address_and_port_dependent_filtering_admits_exactly_what_it_was_sent_to)
{
    use((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_APD});
    out(0, A, X);
    IS(in(0, X, "198.51.100.1:5000"), A);
    IS(in(0, X2, "198.51.100.1:5000"), "filtered");
    IS(in(0, Y, "198.51.100.1:5000"), "filtered");
    cr_assert_eq(nat.results[NAT_FILTERED], 2);
}

Test(natlab_nat, a_firewall_keeps_addresses_and_drops_what_nobody_asked_for)
{
    use((struct nat_conf){.mapping = SCOPE_NONE, .filtering = SCOPE_APD});
    IS(in(0, X, "198.51.100.9:5000"), "no-mapping");
    IS(out(0, "198.51.100.9:5000", X), "198.51.100.9:5000");
    IS(in(0, X, "198.51.100.9:5000"), "198.51.100.9:5000");
    IS(in(0, Y, "198.51.100.9:5000"), "filtered");
}

Test(natlab_nat, without_mapping_and_filtering_there_is_no_nat)
{
    use((struct nat_conf){0});
    IS(in(0, X, A), A);
    IS(out(0, A, X), A);
    IS(send_proto(0, 47, A, X), A);
    cr_assert_eq(nat.n_mappings, 0);
}

Test(natlab_nat, a_stranger_is_answered_by_a_new_mapping_or_by_the_one_it_used)
{
    struct nat_conf conf = {.mapping = SCOPE_APD, .filtering = SCOPE_EI};

    use(conf);
    out(0, A, X);
    IS(in(0, Y, "198.51.100.1:5000"), A);
    IS(out(0, A, Y), "198.51.100.1:5001");
    conf.stranger_same = true;
    use(conf);
    out(0, A, X);
    IS(in(0, Y, "198.51.100.1:5000"), A);
    IS(out(0, A, Y), "198.51.100.1:5000");
    IS(in(0, X, "198.51.100.1:5000"), A);
}

/* ---- allocation ---- */

Test(natlab_nat, a_preserved_port_that_is_taken_gives_the_next_free_one)
{
    use((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_EI, .lo = 4999, .hi = 5001});
    IS(out(0, A, X), "198.51.100.1:5000");
    IS(out(0, B, X), "198.51.100.1:5001");
    IS(out(0, "10.0.0.4:5000", X), "198.51.100.1:4999");
    IS(out(0, "10.0.0.5:5000", X), "no-port");
    IS(in(0, X, "198.51.100.1:5001"), B);
}

Test(natlab_nat, overloading_keeps_a_port_for_remotes_that_differ)
{
    use((struct nat_conf){.mapping = SCOPE_APD, .filtering = SCOPE_APD, .overload = true});
    IS(out(0, A, X), "198.51.100.1:5000");
    IS(out(0, A, Y), "198.51.100.1:5000");
    IS(out(0, B, X), "198.51.100.1:5001");
    IS(out(0, B, X2), "198.51.100.1:5000");
    IS(in(0, Y, "198.51.100.1:5000"), A);
    IS(in(0, X2, "198.51.100.1:5000"), B);
}

Test(natlab_nat, contiguous_ports_step_by_delta_and_wrap_in_the_range)
{
    use((struct nat_conf){.mapping = SCOPE_APD,
                          .filtering = SCOPE_APD,
                          .allocation = NAT_CONTIGUOUS,
                          .delta = 2,
                          .lo = 2000,
                          .hi = 2009});
    nat.last_port = 2005;
    IS(out(0, A, X), "198.51.100.1:2007");
    IS(out(0, A, X2), "198.51.100.1:2009");
    IS(out(0, A, Y), "198.51.100.1:2001");
    IS(out(0, A, X2), "198.51.100.1:2009");
}

Test(natlab_nat, others_take_contiguous_ports_meanwhile)
{
    use((struct nat_conf){.mapping = SCOPE_APD,
                          .filtering = SCOPE_APD,
                          .allocation = NAT_CONTIGUOUS,
                          .background_per_s = 10});
    nat.last_port = 2000;
    IS(out(0, A, X), "198.51.100.1:2001");
    IS(out(1 * S, A, Y), "198.51.100.1:2012");
    IS(out(1 * S, A, X2), "198.51.100.1:2013");
}

Test(natlab_nat, random_ports_stay_in_range_use_all_of_it_and_follow_the_seed)
{
    struct nat_conf conf = {.mapping = SCOPE_APD,
                            .filtering = SCOPE_APD,
                            .allocation = NAT_RANDOM,
                            .lo = 3000,
                            .hi = 3063};
    char order[2][64 * 6 + 1] = {"", ""};

    for (int run = 0; run < 2; run++) {
        bool used[64] = {false};
        use(conf);
        for (int i = 0; i < 64; i++) {
            struct addr src = at(A), dst = addr_v4(203, 0, 113, 1, (uint16_t)(100 + i));
            cr_assert_eq(nat_out(&nat, 0, NAT_UDP, &src, &dst), NAT_PASS);
            cr_assert(src.port >= 3000 && src.port <= 3063 && !used[src.port - 3000]);
            used[src.port - 3000] = true;
            sprintf(order[run] + strlen(order[run]), "%u ", src.port);
        }
        IS(out(0, A, Y), "no-port");
    }
    IS(order[0], order[1]);
}

/* ---- time ---- */

Test(natlab_nat, outbound_packets_refresh_a_mapping_and_inbound_ones_do_not)
{
    use((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_APD, .lifetime_us = 30 * S});
    out(0, A, X);
    IS(in(29 * S, X, "198.51.100.1:5000"), A);
    IS(in(30 * S, X, "198.51.100.1:5000"), "no-mapping");
    out(40 * S, A, X);
    out(60 * S, A, X);
    IS(in(89 * S, X, "198.51.100.1:5000"), A);
    IS(in(90 * S, X, "198.51.100.1:5000"), "no-mapping");
}

Test(natlab_nat, inbound_packets_refresh_where_configured)
{
    use((struct nat_conf){.mapping = SCOPE_EI,
                          .filtering = SCOPE_APD,
                          .lifetime_us = 30 * S,
                          .inbound_refreshes = true});
    out(0, A, X);
    IS(in(29 * S, X, "198.51.100.1:5000"), A);
    IS(in(58 * S, X, "198.51.100.1:5000"), A);
    IS(in(88 * S, X, "198.51.100.1:5000"), "no-mapping");
}

Test(natlab_nat, a_filter_expires_on_its_own_while_the_mapping_lives)
{
    use((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_APD, .lifetime_us = 30 * S});
    out(0, A, X);
    out(20 * S, A, Y);
    IS(in(35 * S, Y, "198.51.100.1:5000"), A);
    IS(in(35 * S, X, "198.51.100.1:5000"), "filtered");
}

Test(natlab_nat, an_expired_mapping_gives_its_port_back)
{
    use((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_EI, .lifetime_us = 30 * S});
    IS(out(0, A, X), "198.51.100.1:5000");
    IS(out(10 * S, B, X), "198.51.100.1:5001");
    IS(out(31 * S, "10.0.0.4:5000", X), "198.51.100.1:5000");
    IS(in(31 * S, X, "198.51.100.1:5000"), "10.0.0.4:5000");
}

Test(natlab_nat, a_flush_forgets_everything)
{
    use((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_APD});
    out(0, A, X);
    nat_flush(&nat);
    IS(in(0, X, "198.51.100.1:5000"), "no-mapping");
    IS(out(0, B, X), "198.51.100.1:5000");
}

/* ---- limits ---- */

static void fill_mappings(int64_t now)
{
    for (uint32_t i = 0; i < NAT_MAPPINGS_MAX; i++) {
        struct addr src = addr_v4(10, 0, 0, 2, (uint16_t)(10000 + i)), dst = at(X);
        cr_assert_eq(nat_out(&nat, now + i, NAT_UDP, &src, &dst), NAT_PASS);
    }
}

Test(natlab_nat, a_full_table_refuses_until_something_expires)
{
    use((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_APD, .lifetime_us = 30 * S});
    fill_mappings(0);
    IS(out(1 * S, A, X), "table-full");
    IS(in(1 * S, X, "198.51.100.1:10000"), "10.0.0.2:10000");
    IS(out(30 * S, A, X), "198.51.100.1:5000");
    IS(in(30 * S, X, "198.51.100.1:10000"), "no-mapping");
}

Test(natlab_nat, a_full_table_evicts_the_oldest_where_configured)
{
    use((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_APD, .full_evicts = true});
    fill_mappings(0);
    IS(out(1 * S, "10.0.0.2:10000", X), "198.51.100.1:10000");
    IS(out(1 * S, A, X), "198.51.100.1:5000");
    IS(in(1 * S, X, "198.51.100.1:10001"), "no-mapping");
    IS(in(1 * S, X, "198.51.100.1:10000"), "10.0.0.2:10000");
    cr_assert_eq(nat.evicted, 1);
}

Test(natlab_nat, a_full_filter_table_refuses_new_remotes_or_evicts)
{
    struct nat_conf conf = {.mapping = SCOPE_EI, .filtering = SCOPE_APD};

    for (int run = 0; run < 2; run++) {
        conf.full_evicts = run == 1;
        use(conf);
        for (uint32_t i = 0; i < NAT_FILTERS_MAX; i++) {
            struct addr src = at(A), dst = addr_v4(203, 0, 113, 1, (uint16_t)(1 + i));
            cr_assert_eq(nat_out(&nat, i, NAT_UDP, &src, &dst), NAT_PASS);
        }
        IS(out(1 * S, A, Y), run == 0 ? "table-full" : "198.51.100.1:5000");
        IS(in(1 * S, "203.0.113.1:1", "198.51.100.1:5000"), run == 0 ? A : "filtered");
    }
}

/* ---- other protocols ---- */

Test(natlab_nat, blocks_udp_alone_where_configured)
{
    use((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_EI, .udp_blocked = true});
    IS(out(0, A, X), "udp-blocked");
    IS(in(0, X, "198.51.100.1:5000"), "udp-blocked");
    IS(send_proto(0, NAT_TCP, A, X), "198.51.100.1:5000");
}

Test(natlab_nat, tcp_gets_a_mapping_per_connection_whatever_udp_gets)
{
    use((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_EI, .allocation = NAT_RANDOM});
    IS(send_proto(0, NAT_TCP, A, X), "198.51.100.1:5000");
    IS(send_proto(0, NAT_TCP, B, X), "198.51.100.1:5001");
    IS(send_proto(0, NAT_TCP, B, Y), "198.51.100.1:5000");
    IS(recv_proto(0, NAT_TCP, X, "198.51.100.1:5001"), B);
    IS(recv_proto(0, NAT_TCP, Y, "198.51.100.1:5001"), "filtered");
    IS(recv_proto(3600 * S, NAT_TCP, X, "198.51.100.1:5000"), A);
}

Test(natlab_nat, echo_requests_are_mapped_by_their_identifier)
{
    use((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_EI});
    IS(send_proto(0, NAT_ICMP, "10.0.0.2:7000", "203.0.113.1:0"), "198.51.100.1:7000");
    IS(send_proto(0, NAT_ICMP, "10.0.0.3:7000", "203.0.113.1:0"), "198.51.100.1:7001");
    IS(recv_proto(0, NAT_ICMP, "203.0.113.1:0", "198.51.100.1:7001"), "10.0.0.3:7000");
    IS(send_proto(0, 47, A, X), "unknown-protocol");
}

/* ---- ground truth ---- */

Test(natlab_nat, tells_its_live_mappings_and_what_they_admit)
{
    size_t cursor = 0, inner = 0;

    use((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_AD, .lifetime_us = 30 * S});
    out(0, B, X);
    out(20 * S, A, X);
    out(20 * S, A, Y);
    const struct nat_mapping *m = nat_next_mapping(&nat, 40 * S, &cursor);
    IS(text_of(NAT_PASS, &m->internal), A);
    const struct nat_filter *f = nat_next_filter(&nat, 40 * S, m, &inner);
    IS(text_of(NAT_PASS, &f->remote), "203.0.113.2:0");
    f = nat_next_filter(&nat, 40 * S, m, &inner);
    IS(text_of(NAT_PASS, &f->remote), "203.0.113.1:0");
    cr_assert_null(nat_next_filter(&nat, 40 * S, m, &inner));
    cr_assert_null(nat_next_mapping(&nat, 40 * S, &cursor));
}

/* A walk over random packets must keep the chains and the counts together. */
Test(natlab_nat, keeps_its_tables_consistent_over_many_random_packets)
{
    struct rng rng;

    rng_seed(&rng, 7);
    use((struct nat_conf){.mapping = SCOPE_APD,
                          .filtering = SCOPE_APD,
                          .allocation = NAT_RANDOM,
                          .lifetime_us = S,
                          .lo = 1024,
                          .hi = 5500,
                          .full_evicts = true});
    for (int64_t now = 0; now < 6 * S; now += (int64_t)rng_below(&rng, 400)) {
        struct addr src = addr_v4(10, 0, 0, 2, (uint16_t)(1 + rng_below(&rng, 5000)));
        struct addr dst = addr_v4(203, 0, 113, (uint8_t)rng_below(&rng, 4), 9), inside = src;
        enum nat_result r = nat_out(&nat, now, NAT_UDP, &src, &dst);
        cr_assert(r == NAT_PASS || r == NAT_NO_PORT);
        if (r == NAT_PASS) {
            cr_assert_eq(nat_in(&nat, now, NAT_UDP, &dst, &src), NAT_PASS);
            cr_assert(addr_eq(&src, &inside));
        }
    }
    size_t cursor = 0, n = 0;
    while (nat_next_mapping(&nat, 0, &cursor) != NULL)
        n++;
    cr_assert_eq(n, nat.n_mappings);
    cr_assert_eq(n, nat.n_filters);
    cr_assert_gt(nat.opened, 10000);
}
