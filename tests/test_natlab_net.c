/*
 * test_natlab_net.c - the model internet: who hears what, when, and that all of it follows from the seed.
 */
#include "tests/natlab/ip.h"
#include "tests/natlab/net.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { MS = 1000, SLOTS = 4096 };

static struct net net;
static struct net_slot slots[SLOTS];
static struct nat nats[2];

/* Hosts 0 and 1 are public, 203.0.113.1 and .2, each 10 ms from the middle. */
static void two_hosts(uint64_t seed, struct net_link link)
{
    net_init(&net, seed, slots, SLOTS);
    for (uint8_t i = 0; i < 2; i++) {
        struct net_line line = {.up = link, .down = link, .n_ips = 1, .hops = 1};
        line.ips[0] = addr_v4(203, 0, 113, (uint8_t)(1 + i), 0);
        cr_assert_eq(net_add_host(&net, net_add_line(&net, &line), line.ips, 1), i);
    }
}

/* Host 2, 10.0.0.2, behind a NAT with 198.51.100.1; host 3, 10.0.0.3, beside it. */
static void add_home(struct nat_conf conf)
{
    struct net_line line = {.nat = &nats[0], .n_ips = 1, .hops = 1, .up.delay_us = 10 * MS};
    struct addr inside[2] = {addr_v4(10, 0, 0, 2, 0), addr_v4(10, 0, 0, 3, 0)};

    line.down = line.up;
    line.ips[0] = conf.external = addr_v4(198, 51, 100, 1, 0);
    nat_init(&nats[0], &conf, 1);
    size_t n = net_add_line(&net, &line);
    net_add_host(&net, n, &inside[0], 1);
    net_add_host(&net, n, &inside[1], 1);
}

static enum net_result send_ttl(int64_t now, size_t host, const char *from, const char *to,
                                const char *text, uint8_t ttl)
{
    struct net_packet p = {.proto = NAT_UDP, .ttl = ttl, .data = text, .len = strlen(text) + 1};

    cr_assert(addr_parse(from, &p.src) && addr_parse(to, &p.dst));
    return net_send(&net, now, host, &p);
}

static enum net_result send_text(int64_t now, size_t host, const char *from, const char *to,
                                 const char *text)
{
    return send_ttl(now, host, from, to, text, NET_TTL);
}

/* "HOST FROM>TO TEXT" of what arrives next, "" for nothing by now. */
static const char *arrival(int64_t now)
{
    static char text[256];
    char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];
    struct net_packet p;
    size_t host;

    if (!net_deliver(&net, now, &p, &host))
        return "";
    snprintf(text, sizeof text, "%zu %s>%s %s", host, addr_format(&p.src, from, sizeof from),
             addr_format(&p.dst, to, sizeof to), (const char *)p.data);
    return text;
}

#define IS(got, want) cr_assert_str_eq(got, want)
#define H0 "203.0.113.1:1000"
#define H1 "203.0.113.2:2000"
#define IN2 "10.0.0.2:5000"
#define IN3 "10.0.0.3:5000"
#define OUT2 "198.51.100.1:5000"

static const struct net_link fast = {.delay_us = 10 * MS};

Test(natlab_net, delay_between_hosts_is_the_sum_of_their_lines)
{
    two_hosts(1, fast);
    cr_assert_eq(net_next_us(&net), NET_NEVER);
    cr_assert_eq(send_text(5 * MS, 0, H0, H1, "a"), NET_OK);
    cr_assert_eq(net_next_us(&net), 25 * MS);
    IS(arrival(25 * MS - 1), "");
    IS(arrival(25 * MS), "1 " H0 ">" H1 " a");
    cr_assert_eq(net_next_us(&net), NET_NEVER);
}

Test(natlab_net, keeps_order_without_jitter_even_at_one_instant)
{
    char text[16];

    two_hosts(1, fast);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "%02d", i);
        send_text(0, 0, H0, H1, text);
    }
    for (int i = 0; i < 100; i++) {
        const char *got = arrival(20 * MS);
        snprintf(text, sizeof text, "%02d", i);
        IS(got + strlen(got) - 2, text);
    }
}

Test(natlab_net, jitter_reorders_within_its_bound)
{
    char text[16], last[16] = "000";
    int overtaken = 0;

    two_hosts(1, (struct net_link){.delay_us = 10 * MS, .jitter_us = 5 * MS});
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "%03d", i);
        send_text(0, 0, H0, H1, text);
    }
    IS(arrival(20 * MS - 1), "");
    for (int i = 0; i < 200; i++) {
        const char *got = arrival(30 * MS);
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

    two_hosts(1, (struct net_link){.loss_ppm = 100000, .dup_ppm = 100000});
    for (; sent < 20000; sent++) {
        send_text(sent, 0, H0, H1, "a");
        while (arrival(sent)[0] != '\0')
            arrived++;
    }
    cr_assert_float_eq((double)net.results[NET_LOST] / sent, 0.19, 0.02);
    cr_assert_float_eq((double)arrived / sent, 0.81 * 1.2, 0.02);
    cr_assert_eq(net.sent[0][1].packets, 20000);
    cr_assert_eq(net.delivered[0][1].udp, (uint64_t)arrived);
}

static uint64_t fingerprint(uint64_t seed)
{
    uint64_t h = 0;
    struct net_packet p;
    size_t host;

    two_hosts(seed, (struct net_link){10 * MS, 9 * MS, 100000, 50000});
    for (int i = 0; i < 500; i++)
        send_text(i * MS, 0, H0, H1, i % 2 == 0 ? "even" : "odd");
    while (net_next_us(&net) != NET_NEVER) {
        h = h * 31 + (uint64_t)net_next_us(&net);
        if (net_deliver(&net, net_next_us(&net), &p, &host))
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
    two_hosts(1, fast);
    add_home((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_APD});
    cr_assert_eq(send_text(0, 0, H0, OUT2, "early"), NET_OK);
    IS(arrival(20 * MS), "");
    cr_assert_eq(net.results[NET_NAT_IN], 1);
    send_text(20 * MS, 2, IN2, H0, "hello");
    IS(arrival(40 * MS), "0 " OUT2 ">" H0 " hello");
    send_text(40 * MS, 0, H0, OUT2, "welcome");
    IS(arrival(60 * MS), "2 " H0 ">" IN2 " welcome");
    cr_assert_eq(net.sent[0][2].packets, 2);
    cr_assert_eq(net.delivered[0][2].packets, 1);
    cr_assert_eq(net.sent[2][0].packets, 1);
    cr_assert_eq(net.sent[2][1].packets, 0);
}

/* The NAT translates when a packet arrives, so a hole that opens meanwhile lets it in. */
Test(natlab_net, a_hole_opened_while_the_packet_was_under_way_admits_it)
{
    two_hosts(1, fast);
    add_home((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_APD});
    send_text(0, 0, H0, OUT2, "a");
    send_text(19 * MS, 2, IN2, H0, "b");
    IS(arrival(20 * MS), "2 " H0 ">" IN2 " a");
}

Test(natlab_net, ttl_runs_out_at_the_hop_where_it_should)
{
    two_hosts(1, fast);
    add_home((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_APD});
    /* 1 dies in the own NAT and maps nothing, 2 and 3 on the way, 4 arrives. */
    cr_assert_eq(send_ttl(0, 2, IN2, H0, "a", 1), NET_TTL_EXCEEDED);
    cr_assert_eq(nats[0].n_mappings, 0);
    cr_assert_eq(send_ttl(0, 2, IN2, H0, "a", 2), NET_TTL_EXCEEDED);
    cr_assert_eq(nats[0].n_mappings, 1);
    cr_assert_eq(send_ttl(0, 2, IN2, H0, "a", 3), NET_TTL_EXCEEDED);
    cr_assert_eq(send_ttl(0, 2, IN2, H0, "a", 4), NET_OK);
    /* Towards a NAT the last hop is that NAT. */
    cr_assert_eq(send_ttl(0, 0, H0, OUT2, "a", 3), NET_TTL_EXCEEDED);
    cr_assert_eq(send_ttl(0, 0, H0, OUT2, "a", 4), NET_OK);
}

Test(natlab_net, hosts_of_one_lan_talk_directly)
{
    two_hosts(1, fast);
    add_home((struct nat_conf){.mapping = SCOPE_EI, .filtering = SCOPE_APD});
    cr_assert_eq(send_text(0, 2, IN2, IN3, "a"), NET_OK);
    IS(arrival(0), "3 " IN2 ">" IN3 " a");
    cr_assert_eq(nats[0].n_mappings, 0);
    cr_assert_eq(send_text(0, 0, H0, IN2, "a"), NET_NO_ROUTE);
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
        two_hosts(1, fast);
        add_home((struct nat_conf){
            .mapping = SCOPE_EI, .filtering = SCOPE_EI, .hairpin = rows[i].hairpin});
        send_text(0, 3, IN3, H0, "x");
        send_text(0, 2, IN2, OUT2, "a");
        IS(arrival(0), rows[i].want);
    }
}

Test(natlab_net, refuses_spoofed_sources_unknown_destinations_and_long_packets)
{
    static const uint8_t long_data[NET_PAYLOAD_MAX + 1];
    struct net_packet p = {
        NAT_UDP,   NET_TTL,         addr_v4(203, 0, 113, 1, 1), addr_v4(203, 0, 113, 2, 1),
        long_data, sizeof long_data};

    two_hosts(1, fast);
    cr_assert_eq(send_text(0, 0, H1, H0, "a"), NET_SPOOFED);
    cr_assert_eq(send_text(0, 0, H0, "192.0.2.1:1", "a"), NET_NO_ROUTE);
    cr_assert_eq(net_send(&net, 0, 0, &p), NET_TOO_LONG);
    p.len--;
    cr_assert_eq(net_send(&net, 0, 0, &p), NET_OK);
}

Test(natlab_net, a_full_queue_drops_and_recovers)
{
    two_hosts(1, fast);
    net.n_slots = 3;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(send_text(0, 0, H0, H1, "a"), NET_OK);
    cr_assert_eq(send_text(0, 0, H0, H1, "b"), NET_QUEUE_FULL);
    IS(arrival(20 * MS), "1 " H0 ">" H1 " a");
    /* The slot just read is still the reader's. */
    cr_assert_eq(send_text(0, 0, H0, H1, "b"), NET_QUEUE_FULL);
    arrival(20 * MS);
    cr_assert_eq(send_text(20 * MS, 0, H0, H1, "c"), NET_OK);
}

Test(natlab_net, an_answer_may_be_sent_out_of_the_packet_being_read)
{
    struct net_packet p;
    size_t host;

    two_hosts(1, fast);
    send_text(0, 0, H0, H1, "echo");
    cr_assert(net_deliver(&net, 20 * MS, &p, &host));
    cr_assert_eq(send_text(20 * MS, 0, H0, H1, "next"), NET_OK);
    struct net_packet answer = {NAT_UDP, NET_TTL, p.dst, p.src, p.data, p.len};
    cr_assert_eq(net_send(&net, 20 * MS, host, &answer), NET_OK);
    IS((const char *)p.data, "echo");
    IS(arrival(40 * MS), "1 " H0 ">" H1 " next");
    IS(arrival(40 * MS), "0 " H1 ">" H0 " echo");
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
        ip_rewrite(d, &p);
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
        ip_rewrite(d, &p);
        cr_assert(d[26] != 0 || d[27] != 0);
        ones += d[26] == 0xff && d[27] == 0xff;
    }
    cr_assert_geq(ones, 1);
    d[26] = d[27] = 0;
    p.src.port = 7;
    ip_rewrite(d, &p);
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
