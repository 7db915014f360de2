/* net_bed.c - see net_bed.h. */
#include "tests/lib/net_bed.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

struct net bed_net;
struct net_slot bed_slots[BED_SLOTS];
struct nat bed_home, bed_carrier;

void bed_two_hosts(uint64_t seed, struct net_link link)
{
    net_init(&bed_net, seed, bed_slots, BED_SLOTS);
    for (uint8_t i = 0; i < 2; i++) {
        struct net_line line = {.up = link, .down = link, .n_ips = 1, .hops = 1};
        line.ips[0] = addr_v4(203, 0, 113, (uint8_t)(1 + i), 0);
        net_add_host(&bed_net, net_add_line(&bed_net, &line), line.ips, 1);
    }
}

static size_t add_nat(struct nat *nat, struct nat_conf conf, struct addr ip, size_t outer,
                      int64_t delay_us)
{
    struct net_line line = {.nat = nat, .n_ips = 1, .outer = outer, .up.delay_us = delay_us};

    line.down = line.up;
    line.hops = outer == 0;
    line.ips[0] = conf.external[0] = ip;
    nat_init(nat, &conf, 1);
    return net_add_line(&bed_net, &line);
}

void bed_add_home(struct nat_conf conf)
{
    const struct addr inside[2] = {addr_v4(10, 0, 0, 2, 0), addr_v4(10, 0, 0, 3, 0)};
    size_t line = add_nat(&bed_home, conf, addr_v4(198, 51, 100, 1, 0), 0, 10 * MS);

    net_add_host(&bed_net, line, &inside[0], 1);
    net_add_host(&bed_net, line, &inside[1], 1);
}

void bed_add_nested(struct nat_conf home, struct nat_conf carrier)
{
    const struct addr inside[2] = {addr_v4(10, 0, 0, 2, 0), addr_v4(100, 64, 0, 9, 0)};
    size_t outer = add_nat(&bed_carrier, carrier, addr_v4(198, 51, 100, 1, 0), 0, 10 * MS);
    size_t line = add_nat(&bed_home, home, addr_v4(100, 64, 0, 1, 0), outer + 1, 1 * MS);

    net_add_host(&bed_net, line, &inside[0], 1);
    net_add_host(&bed_net, outer, &inside[1], 1);
}

enum net_result bed_send_ttl(int64_t now_us, size_t host, const char *from, const char *to,
                             const char *text, uint8_t ttl)
{
    struct net_packet p = {.proto = NAT_UDP, .ttl = ttl, .data = text, .len = strlen(text) + 1};
    bool ok = addr_parse(from, &p.src) && addr_parse(to, &p.dst);

    assert(ok);
    return net_send(&bed_net, now_us, host, &p);
}

enum net_result bed_send(int64_t now_us, size_t host, const char *from, const char *to,
                         const char *text)
{
    return bed_send_ttl(now_us, host, from, to, text, NET_TTL);
}

const char *bed_arrival(int64_t now_us)
{
    static char text[256];
    char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];
    struct net_packet p;
    size_t host;

    if (!net_deliver(&bed_net, now_us, &p, &host))
        return "";
    int n = snprintf(text, sizeof text, "%zu %s>%s ", host, addr_format(&p.src, from, sizeof from),
                     addr_format(&p.dst, to, sizeof to));
    if (p.proto == NAT_ERROR)
        snprintf(text + n, sizeof text - (size_t)n, "icmp %u/%u %s>%s", p.about.type, p.about.code,
                 addr_format(&p.about.src, from, sizeof from),
                 addr_format(&p.about.dst, to, sizeof to));
    else
        snprintf(text + n, sizeof text - (size_t)n, "%s", (const char *)p.data);
    return text;
}
