/* ip.c - see ip.h. */
#include "tests/natlab/ip.h"

#include <string.h>

/* Offsets in the header (RFC 791) and, where noted, behind it. */
enum { TOTAL = 2, FRAGMENT = 6, TTL = 8, PROTO = 9, SUM = 10, SRC = 12, DST = 16, HEADER_MIN = 20 };
enum { UDP_SUM = 6, UDP_MIN = 8, TCP_SUM = 16, TCP_MIN = 20 };
enum { ICMP_SUM = 2, ICMP_ID = 4, ICMP_MIN = 8, ICMP_REPLY = 0, ICMP_REQUEST = 8 };

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static size_t header_len(const uint8_t *buf) { return (size_t)(buf[0] & 15) * 4; }

static struct addr address(const uint8_t *ip) { return addr_v4(ip[0], ip[1], ip[2], ip[3], 0); }

bool ip_parse(const uint8_t *buf, size_t len, struct net_packet *p)
{
    if (len < HEADER_MIN || buf[0] >> 4 != 4)
        return false;
    size_t header = header_len(buf), total = get16(buf + TOTAL);
    if (header < HEADER_MIN || total < header || total > len)
        return false;
    *p = (struct net_packet){.ttl = buf[TTL],
                             .src = address(buf + SRC),
                             .dst = address(buf + DST),
                             .data = buf,
                             .len = total};
    const uint8_t *up = buf + header;
    size_t left = total - header;
    if ((get16(buf + FRAGMENT) & 0x3fff) != 0) /* offset, or more to come */
        return true;
    if ((buf[PROTO] == NAT_UDP && left >= UDP_MIN) || (buf[PROTO] == NAT_TCP && left >= TCP_MIN)) {
        p->proto = buf[PROTO];
        p->src.port = get16(up);
        p->dst.port = get16(up + 2);
    } else if (buf[PROTO] == NAT_ICMP && left >= ICMP_MIN &&
               (up[0] == ICMP_REQUEST || up[0] == ICMP_REPLY)) {
        p->proto = NAT_ICMP;
        *(up[0] == ICMP_REQUEST ? &p->src.port : &p->dst.port) = get16(up + ICMP_ID);
    }
    return true;
}

/* Replace one 16-bit word that a checksum covers (RFC 1624, equation 3). */
static void replace(uint8_t *word, uint16_t with, uint8_t *sum1, uint8_t *sum2)
{
    uint16_t old = get16(word);
    uint8_t *sums[2] = {sum1, sum2};

    put16(word, with);
    for (int i = 0; i < 2; i++) {
        if (sums[i] == NULL)
            continue;
        uint32_t s = (uint16_t)~get16(sums[i]) + (uint32_t)(uint16_t)~old + with;
        s = (s & 0xffff) + (s >> 16);
        s = (s & 0xffff) + (s >> 16);
        put16(sums[i], (uint16_t)~s);
    }
}

void ip_rewrite(uint8_t *buf, const struct net_packet *p)
{
    uint8_t *up = buf + header_len(buf), *sum = NULL;
    const uint8_t no_checksum[2] = {0, 0};

    if (p->proto == NAT_TCP)
        sum = up + TCP_SUM;
    else if (p->proto == NAT_UDP && memcmp(up + UDP_SUM, no_checksum, 2) != 0)
        sum = up + UDP_SUM;
    replace(buf + TTL, (uint16_t)(p->ttl << 8 | buf[PROTO]), buf + SUM, NULL);
    for (size_t i = 0; i < 4; i += 2) {
        replace(buf + SRC + i, get16(p->src.ip + i), buf + SUM, sum);
        replace(buf + DST + i, get16(p->dst.ip + i), buf + SUM, sum);
    }
    if (p->proto == NAT_ICMP) {
        uint16_t id = up[0] == ICMP_REQUEST ? p->src.port : p->dst.port;
        replace(up + ICMP_ID, id, up + ICMP_SUM, NULL);
    } else if (p->proto != 0) {
        replace(up, p->src.port, sum, NULL);
        replace(up + 2, p->dst.port, sum, NULL);
    }
    /* RFC 768: a computed checksum of zero is sent as all ones. */
    if (p->proto == NAT_UDP && sum != NULL && get16(sum) == 0)
        put16(sum, 0xffff);
}
