/*
 * test_natlab_net.c - the model internet: who hears what, when, and that all of it follows from the seed.
 */
#include "tests/lib/net_bed.h"
#include "tests/natlab/ip.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const struct net_link fast = {.delay_us = 10 * MS};

Test(natlab_net, delay_between_hosts_is_the_sum_of_their_lines)
{
    bed_two_hosts(1, fast);
    cr_assert_eq(net_next_us(&bed_net), NET_NEVER);
    cr_assert_eq(bed_send(5 * MS, 0, H0, H1, "a"), NET_OK);
    cr_assert_eq(net_next_us(&bed_net), 25 * MS);
    IS(bed_arrival(25 * MS - 1), "");
    IS(bed_arrival(25 * MS), "1 " H0 ">" H1 " a");
    cr_assert_eq(net_next_us(&bed_net), NET_NEVER);
}

Test(natlab_net, keeps_order_without_jitter_even_at_one_instant)
{
    char text[16];

    bed_two_hosts(1, fast);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "%02d", i);
        bed_send(0, 0, H0, H1, text);
    }
    for (int i = 0; i < 100; i++) {
        const char *got = bed_arrival(20 * MS);
        snprintf(text, sizeof text, "%02d", i);
        IS(got + strlen(got) - 2, text);
    }
}

Test(natlab_net, jitter_reorders_within_its_bound)
{
    char text[16], last[16] = "000";
    int overtaken = 0;

    bed_two_hosts(1, (struct net_link){.delay_us = 10 * MS, .jitter_us = 5 * MS});
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "%03d", i);
        bed_send(0, 0, H0, H1, text);
    }
    IS(bed_arrival(20 * MS - 1), "");
    for (int i = 0; i < 200; i++) {
        const char *got = bed_arrival(30 * MS);
        cr_assert(got[0] != '\0');
        overtaken += strcmp(got + strlen(got) - 3, last) < 0;
        strcpy(last, got + strlen(got) - 3);
    }
    cr_assert_gt(overtaken, 50);
}

/* Loss is 1 - 0.9 x 0.9 over both lines, and each line doubles a tenth of what is left. */
Test(natlab_net, loses_and_duplicates_as_much_as_configured)
{
    int sent = 0, arrived = 0;

    bed_two_hosts(1, (struct net_link){.loss_ppm = 100000, .dup_ppm = 100000});
    for (; sent < 20000; sent++) {
        bed_send(sent, 0, H0, H1, "a");
        while (bed_arrival(sent)[0] != '\0')
            arrived++;
    }
    cr_assert_float_eq((double)bed_net.results[NET_LOST] / sent, 0.19, 0.02);
    cr_assert_float_eq((double)arrived / sent, 0.81 * 1.2, 0.02);
    cr_assert_eq(bed_net.sent[0][1].packets, 20000);
    cr_assert_eq(bed_net.delivered[0][1].udp, (uint64_t)arrived);
}

static uint64_t fingerprint(uint64_t seed)
{
    uint64_t h = 0;
    struct net_packet p;
    size_t host;

    bed_two_hosts(
        seed, (struct net_link){
                  .delay_us = 10 * MS, .jitter_us = 9 * MS, .loss_ppm = 100000, .dup_ppm = 50000});
    for (int i = 0; i < 500; i++)
        bed_send(i * MS, 0, H0, H1, i % 2 == 0 ? "even" : "odd");
    while (net_next_us(&bed_net) != NET_NEVER) {
        h = h * 31 + (uint64_t)net_next_us(&bed_net);
        if (net_deliver(&bed_net, net_next_us(&bed_net), &p, &host))
            h = h * 31 + p.len;
    }
    return h;
}

Test(natlab_net, same_seed_same_losses_copies_and_times)
{
    cr_assert_eq(fingerprint(42), fingerprint(42));
    cr_assert_neq(fingerprint(42), fingerprint(43));
}

Test(natlab_net, translates_at_both_ends_and_answers_come_back)
{
    bed_two_hosts(1, fast);
    bed_add_home((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_APD});
    cr_assert_eq(bed_send(0, 0, H0, OUT2, "early"), NET_OK);
    IS(bed_arrival(20 * MS), "");
    cr_assert_eq(bed_net.results[NET_NAT_IN], 1);
    bed_send(20 * MS, 2, IN2, H0, "hello");
    IS(bed_arrival(40 * MS), "0 " OUT2 ">" H0 " hello");
    bed_send(40 * MS, 0, H0, OUT2, "welcome");
    IS(bed_arrival(60 * MS), "2 " H0 ">" IN2 " welcome");
    cr_assert_eq(bed_net.sent[0][2].packets, 2);
    cr_assert_eq(bed_net.delivered[0][2].packets, 1);
    cr_assert_eq(bed_net.sent[2][0].packets, 1);
    cr_assert_eq(bed_net.sent[2][1].packets, 0);
}

/* The NAT translates when a packet arrives, so a hole that opens meanwhile lets it in. */
Test(natlab_net, a_hole_opened_while_the_packet_was_under_way_admits_it)
{
    bed_two_hosts(1, fast);
    bed_add_home((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_APD});
    bed_send(0, 0, H0, OUT2, "a");
    bed_send(19 * MS, 2, IN2, H0, "b");
    IS(bed_arrival(20 * MS), "2 " H0 ">" IN2 " a");
}

Test(natlab_net, ttl_runs_out_at_the_hop_where_it_should)
{
    bed_two_hosts(1, fast);
    bed_add_home((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_APD});
    /* 1 dies in the own NAT and maps nothing, 2 and 3 on the way, 4 arrives. */
    cr_assert_eq(bed_send_ttl(0, 2, IN2, H0, "a", 1), NET_TTL_EXCEEDED);
    cr_assert_eq(bed_home.n_mappings, 0);
    cr_assert_eq(bed_send_ttl(0, 2, IN2, H0, "a", 2), NET_TTL_EXCEEDED);
    cr_assert_eq(bed_home.n_mappings, 1);
    cr_assert_eq(bed_send_ttl(0, 2, IN2, H0, "a", 3), NET_TTL_EXCEEDED);
    cr_assert_eq(bed_send_ttl(0, 2, IN2, H0, "a", 4), NET_OK);
    /* Towards a NAT the last hop is that NAT. */
    cr_assert_eq(bed_send_ttl(0, 0, H0, OUT2, "a", 3), NET_TTL_EXCEEDED);
    cr_assert_eq(bed_send_ttl(0, 0, H0, OUT2, "a", 4), NET_OK);
}

Test(natlab_net, hosts_of_one_lan_talk_directly)
{
    bed_two_hosts(1, fast);
    bed_add_home((struct nat_conf){.mapping = NAT_EI, .filtering = NAT_APD});
    cr_assert_eq(bed_send(0, 2, IN2, IN3, "a"), NET_OK);
    IS(bed_arrival(0), "3 " IN2 ">" IN3 " a");
    cr_assert_eq(bed_home.n_mappings, 0);
    cr_assert_eq(bed_send(0, 0, H0, IN2, "a"), NET_NO_ROUTE);
}

Test(natlab_net, hairpins_as_configured)
{
    static const struct {
        enum nat_hairpin hairpin;
        const char *want;
    } rows[] = {
        {NAT_HAIRPIN_NONE,     ""                             },
        {NAT_HAIRPIN_INTERNAL, "3 " IN2 ">" IN3 " a"          },
        {NAT_HAIRPIN_EXTERNAL, "3 198.51.100.1:5001>" IN3 " a"},
    };

    for (size_t i = 0; i < 3; i++) {
        bed_two_hosts(1, fast);
        bed_add_home(
            (struct nat_conf){.mapping = NAT_EI, .filtering = NAT_EI, .hairpin = rows[i].hairpin});
        bed_send(0, 3, IN3, H0, "x");
        bed_send(0, 2, IN2, OUT2, "a");
        IS(bed_arrival(0), rows[i].want);
    }
}

Test(natlab_net, refuses_spoofed_sources_unknown_destinations_and_long_packets)
{
    static const uint8_t long_data[NET_PAYLOAD_MAX + 1];
    struct net_packet p = {.proto = NAT_UDP,
                           .ttl = NET_TTL,
                           .src = addr_v4(203, 0, 113, 1, 1),
                           .dst = addr_v4(203, 0, 113, 2, 1),
                           .data = long_data,
                           .len = sizeof long_data};

    bed_two_hosts(1, fast);
    cr_assert_eq(bed_send(0, 0, H1, H0, "a"), NET_SPOOFED);
    cr_assert_eq(bed_send(0, 0, H0, "192.0.2.1:1", "a"), NET_NO_ROUTE);
    cr_assert_eq(net_send(&bed_net, 0, 0, &p), NET_TOO_LONG);
    p.len--;
    cr_assert_eq(net_send(&bed_net, 0, 0, &p), NET_OK);
}

Test(natlab_net, a_full_queue_drops_and_recovers)
{
    bed_two_hosts(1, fast);
    bed_net.n_slots = 3;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(bed_send(0, 0, H0, H1, "a"), NET_OK);
    cr_assert_eq(bed_send(0, 0, H0, H1, "b"), NET_QUEUE_FULL);
    IS(bed_arrival(20 * MS), "1 " H0 ">" H1 " a");
    /* The slot just read is still the reader's. */
    cr_assert_eq(bed_send(0, 0, H0, H1, "b"), NET_QUEUE_FULL);
    bed_arrival(20 * MS);
    cr_assert_eq(bed_send(20 * MS, 0, H0, H1, "c"), NET_OK);
}

Test(natlab_net, an_answer_may_be_sent_out_of_the_packet_being_read)
{
    struct net_packet p;
    size_t host;

    bed_two_hosts(1, fast);
    bed_send(0, 0, H0, H1, "echo");
    cr_assert(net_deliver(&bed_net, 20 * MS, &p, &host));
    cr_assert_eq(bed_send(20 * MS, 0, H0, H1, "next"), NET_OK);
    struct net_packet answer = p;
    answer.src = p.dst;
    answer.dst = p.src;
    cr_assert_eq(net_send(&bed_net, 20 * MS, host, &answer), NET_OK);
    IS((const char *)p.data, "echo");
    IS(bed_arrival(40 * MS), "1 " H0 ">" H1 " next");
    IS(bed_arrival(40 * MS), "0 " H1 ">" H0 " echo");
}

/* ---- datagrams ---- */

static uint16_t sum_of(const uint8_t *p, size_t n, uint32_t s)
{
    for (size_t i = 0; i < n; i += 2)
        s += (uint32_t)(p[i] << 8) + (i + 1 < n ? p[i + 1] : 0);
    while (s >> 16 != 0)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)s;
}

/* All ones: the Internet checksum over header and, with the pseudo header, over the rest is right. */
static void check_sums(const uint8_t *d, size_t len)
{
    cr_assert_eq(sum_of(d, 20, 0), 0xffff);
    uint32_t pseudo = d[9] == NAT_ICMP ? 0 : sum_of(d + 12, 8, d[9] + (uint32_t)len - 20);
    cr_assert_eq(sum_of(d + 20, len - 20, pseudo), 0xffff);
}

static void set_sum(uint8_t *d, size_t at, uint16_t s)
{
    d[at] = (uint8_t)((uint16_t)~s >> 8);
    d[at + 1] = (uint8_t)~s;
}

static size_t datagram(uint8_t *d, uint8_t proto)
{
    size_t sum_at = proto == NAT_UDP ? 26 : proto == NAT_TCP ? 36 : 22, len = 45;

    memset(d, 0, 64);
    memcpy(d, (const uint8_t[]){0x45, 0, 0, 45, 1,   2, 0x40, 0, 64,   proto, 0, 0,
                                10,   0, 0, 2,  203, 0, 113,  1, 0x13, 0x88,  0, 53},
           24);
    if (proto == NAT_ICMP)
        memcpy(d + 20, (const uint8_t[]){8, 0, 0, 0, 0x13, 0x88}, 6);
    if (proto == NAT_UDP)
        d[25] = 25;
    memcpy(d + 40, "hello", 5);
    set_sum(d, 10, sum_of(d, 20, 0));
    uint32_t pseudo = proto == NAT_ICMP ? 0 : sum_of(d + 12, 8, proto + (uint32_t)len - 20);
    set_sum(d, sum_at, sum_of(d + 20, len - 20, pseudo));
    check_sums(d, len);
    return len;
}

Test(natlab_ip, rewriting_keeps_every_checksum_right)
{
    static const uint8_t protos[] = {NAT_UDP, NAT_TCP, NAT_ICMP};
    struct net_packet p, q;
    uint8_t d[64];
    struct rng rng;

    rng_seed(&rng, 1);
    for (int i = 0; i < 30000; i++) {
        size_t len = datagram(d, protos[i % 3]);
        cr_assert(ip_parse(d, sizeof d, &p));
        cr_assert_eq(p.len, len);
        cr_assert_eq(p.proto, protos[i % 3]);
        cr_assert_eq(p.src.port, 5000);
        rng_bytes(&rng, p.src.ip, 4);
        p.src.port = (uint16_t)rng_u64(&rng);
        p.ttl = (uint8_t)rng_u64(&rng);
        ip_rewrite(d, sizeof d, &p);
        check_sums(d, len);
        cr_assert(ip_parse(d, sizeof d, &q));
        cr_assert(addr_eq(&p.src, &q.src) && addr_eq(&p.dst, &q.dst) && p.ttl == q.ttl);
    }
}

Test(natlab_ip, a_udp_checksum_that_comes_to_zero_is_sent_as_all_ones_and_none_stays_none)
{
    struct net_packet p;
    uint8_t d[64];
    size_t len = datagram(d, NAT_UDP);
    int ones = 0;

    ip_parse(d, len, &p);
    for (unsigned port = 0; port <= UINT16_MAX; port++) {
        p.src.port = (uint16_t)port;
        ip_rewrite(d, sizeof d, &p);
        cr_assert(d[26] != 0 || d[27] != 0);
        ones += d[26] == 0xff && d[27] == 0xff;
    }
    cr_assert_geq(ones, 1);
    d[26] = d[27] = 0;
    p.src.port = 7;
    ip_rewrite(d, sizeof d, &p);
    cr_assert(d[26] == 0 && d[27] == 0 && d[21] == 7);
}

Test(natlab_ip, refuses_what_is_not_a_whole_ipv4_datagram_and_fragments_have_no_ports)
{
    struct net_packet p;
    uint8_t d[64];
    size_t len = datagram(d, NAT_UDP);

    for (size_t n = 0; n < len; n++)
        cr_assert_not(ip_parse(d, n, &p));
    d[0] = 0x65;
    cr_assert_not(ip_parse(d, len, &p));
    d[0] = 0x44;
    cr_assert_not(ip_parse(d, len, &p));
    datagram(d, NAT_UDP);
    d[7] = 1;
    cr_assert(ip_parse(d, len, &p));
    cr_assert_eq(p.proto, 0);
}

/* An error by a router of its own: header, then type 3 code 3, then the begin of what it is about. */
static size_t error_about(uint8_t *d, uint8_t proto)
{
    uint8_t about[64];
    size_t len = datagram(about, proto);

    memset(d, 0, 128);
    memcpy(d,
           (const uint8_t[]){0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 203, 0, 113, 1, 10, 0, 0, 2},
           20);
    d[3] = (uint8_t)(28 + len);
    d[20] = d[21] = 3;
    memcpy(d + 28, about, len);
    set_sum(d, 10, sum_of(d, 20, 0));
    set_sum(d, 22, sum_of(d + 20, 8 + len, 0));
    check_sums(d, 28 + len);
    return 28 + len;
}

Test(natlab_ip, rewriting_an_error_rewrites_what_it_is_about_and_keeps_every_checksum_right)
{
    static const uint8_t protos[] = {NAT_UDP, NAT_TCP, NAT_ICMP};
    struct net_packet p, q;
    uint8_t d[128];

    for (int i = 0; i < 3; i++) {
        size_t len = error_about(d, protos[i]);
        cr_assert(ip_parse(d, sizeof d, &p));
        cr_assert(p.proto == NAT_ERROR && p.about.type == 3 && p.about.code == 3);
        cr_assert(p.about.proto == protos[i] && p.about.src.port == 5000 && p.src.port == 0);
        p.dst = addr_v4(198, 51, 100, 1, 0);
        p.about.src = addr_v4(198, 51, 100, 1, 4711);
        ip_rewrite(d, len, &p);
        check_sums(d, len);
        check_sums(d + 28, len - 28);
        cr_assert(ip_parse(d, sizeof d, &q));
        cr_assert(addr_eq(&p.dst, &q.dst) && addr_eq(&p.about.src, &q.about.src) &&
                  addr_eq(&p.about.dst, &q.about.dst));
    }
}

Test(natlab_ip, an_error_that_quotes_too_little_has_no_ports)
{
    struct net_packet p;
    uint8_t d[128];
    size_t len = error_about(d, NAT_UDP);

    for (size_t n = 28; n < 28 + 28; n++) {
        d[3] = (uint8_t)n;
        cr_assert(ip_parse(d, len, &p));
        cr_assert_eq(p.proto, 0);
    }
    d[3] = 28 + 28;
    cr_assert(ip_parse(d, len, &p));
    cr_assert_eq(p.proto, NAT_ERROR);
    d[28] = 0x4f; /* a header longer than what is there */
    cr_assert(ip_parse(d, len, &p));
    cr_assert_eq(p.proto, 0);
}

Test(natlab_ip, makes_an_error_out_of_the_packet_it_is_about)
{
    struct net_packet p = {
        .proto = NAT_ERROR,
        .ttl = NET_TTL,
        .made = true,
        .src = addr_v4(192, 0, 2, 1, 0),
        .dst = addr_v4(10, 0, 0, 2, 0),
        .about = {11, 0, NAT_UDP, addr_v4(10, 0, 0, 2, 5000), addr_v4(203, 0, 113, 1, 53)}
    };
    struct net_packet q;
    uint8_t d[NET_PAYLOAD_MAX];
    size_t len = datagram(d, NAT_UDP);

    p.data = d;
    p.len = len;
    cr_assert_eq(ip_make_error(d, sizeof d, &p), len + 28);
    check_sums(d, len + 28);
    cr_assert(ip_parse(d, sizeof d, &q));
    cr_assert(q.proto == NAT_ERROR && q.about.type == 11);
    cr_assert(addr_eq(&q.dst, &p.dst) && addr_eq(&q.about.src, &p.about.src));
    datagram(d, NAT_UDP);
    p.len = 27;
    cr_assert_eq(ip_make_error(d, sizeof d, &p), 0);
}
