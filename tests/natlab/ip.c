/* ip.c - see ip.h. */
#include "tests/natlab/ip.h"
#include "lib/bytes.h"

#include <string.h>

/* Offsets in the header (RFC 791) and, where noted, behind it. */
enum { TOTAL = 2, FRAGMENT = 6, TTL = 8, PROTO = 9, SUM = 10, SRC = 12, DST = 16, HEADER_MIN = 20 };
enum { UDP_SUM = 6, UDP_MIN = 8, TCP_SUM = 16, TCP_MIN = 20 };
enum { ICMP_SUM = 2, ICMP_ID = 4, ICMP_MIN = 8, ICMP_REPLY = 0, ICMP_REQUEST = 8 };
enum {
    QUOTE_MIN = 8
}; /* RFC 792: of what follows the header in the datagram that an error is about */

static size_t header_len(const uint8_t *buf) { return (size_t)(buf[0] & 15) * 4; }

static struct addr address(const uint8_t *ip) { return addr_v4(ip[0], ip[1], ip[2], ip[3], 0); }

/* RFC 792: unreachable, source quench, redirect, time exceeded, parameter problem. */
static bool is_error(uint8_t type) { return (type >= 3 && type <= 5) || type == 11 || type == 12; }

static bool is_fragment(const uint8_t *buf)
{
    return (get_u16(buf + FRAGMENT) & 0x3fff) != 0; /* offset, or more to come */
}

/* Protocol and ports, of which the first 8 bytes know; proto stays 0 for what has none. */
static void parse_ports(uint8_t proto, const uint8_t *up, uint8_t *out, struct addr *src,
                        struct addr *dst)
{
    if (proto == NAT_UDP || proto == NAT_TCP) {
        *out = proto;
        src->port = get_u16(up);
        dst->port = get_u16(up + 2);
    } else if (proto == NAT_ICMP && (up[0] == ICMP_REQUEST || up[0] == ICMP_REPLY)) {
        *out = NAT_ICMP;
        *(up[0] == ICMP_REQUEST ? &src->port : &dst->port) = get_u16(up + ICMP_ID);
    }
}

/* What an error is about; false if it does not say. */
static bool parse_quote(const uint8_t *buf, size_t len, struct net_about *about)
{
    if (len < HEADER_MIN || buf[0] >> 4 != 4 || header_len(buf) < HEADER_MIN ||
        len < header_len(buf) + QUOTE_MIN || is_fragment(buf))
        return false;
    about->src = address(buf + SRC);
    about->dst = address(buf + DST);
    parse_ports(buf[PROTO], buf + header_len(buf), &about->proto, &about->src, &about->dst);
    return about->proto != 0;
}

bool ip_parse(const uint8_t *buf, size_t len, struct net_packet *p)
{
    if (len < HEADER_MIN || buf[0] >> 4 != 4)
        return false;
    size_t header = header_len(buf), total = get_u16(buf + TOTAL);
    if (header < HEADER_MIN || total < header || total > len)
        return false;
    *p = (struct net_packet){.ttl = buf[TTL],
                             .src = address(buf + SRC),
                             .dst = address(buf + DST),
                             .data = buf,
                             .len = total};
    const uint8_t *up = buf + header;
    size_t left = total - header;
    if (is_fragment(buf) || left < (buf[PROTO] == NAT_TCP ? TCP_MIN : UDP_MIN))
        return true;
    parse_ports(buf[PROTO], up, &p->proto, &p->src, &p->dst);
    if (buf[PROTO] == NAT_ICMP && is_error(up[0]) &&
        parse_quote(up + ICMP_MIN, left - ICMP_MIN, &p->about)) {
        p->proto = NAT_ERROR;
        p->about.type = up[0];
        p->about.code = up[1];
    }
    return true;
}

/* Replace one 16-bit word that a checksum covers (RFC 1624, equation 3). */
static void replace(uint8_t *word, uint16_t with, uint8_t *sum1, uint8_t *sum2)
{
    uint16_t old = get_u16(word);
    uint8_t *sums[2] = {sum1, sum2};

    put_u16(word, with);
    for (int i = 0; i < 2; i++) {
        if (sums[i] == NULL)
            continue;
        uint32_t s = (uint16_t)~get_u16(sums[i]) + (uint32_t)(uint16_t)~old + with;
        s = (s & 0xffff) + (s >> 16);
        s = (s & 0xffff) + (s >> 16);
        put_u16(sums[i], (uint16_t)~s);
    }
}

static uint16_t checksum(const uint8_t *p, size_t len)
{
    uint32_t s = 0;

    for (size_t i = 0; i < len; i++)
        s += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
    while (s >> 16 != 0)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)~s;
}

static void replace_address(uint8_t *at, const struct addr *a, uint8_t *sum1, uint8_t *sum2)
{
    for (size_t i = 0; i < 4; i += 2)
        replace(at + i, get_u16(a->ip + i), sum1, sum2);
}

/* Where the checksum is that covers addresses and ports too; NULL if it is not used, or not there. */
static uint8_t *ports_sum(uint8_t *buf, size_t len, uint8_t proto)
{
    uint8_t *up = buf + header_len(buf);
    const uint8_t no_checksum[2] = {0, 0};

    if (proto == NAT_TCP)
        return header_len(buf) + TCP_SUM + 2 <= len ? up + TCP_SUM : NULL;
    return proto == NAT_UDP && memcmp(up + UDP_SUM, no_checksum, 2) != 0 ? up + UDP_SUM : NULL;
}

/* Of a datagram, or the begin of one. */
static void rewrite_ends(uint8_t *buf, size_t len, uint8_t proto, const struct addr *src,
                         const struct addr *dst)
{
    uint8_t *up = buf + header_len(buf), *sum = ports_sum(buf, len, proto);

    replace_address(buf + SRC, src, buf + SUM, sum);
    replace_address(buf + DST, dst, buf + SUM, sum);
    if (proto == NAT_ICMP) {
        replace(up + ICMP_ID, up[0] == ICMP_REQUEST ? src->port : dst->port, up + ICMP_SUM, NULL);
    } else if (proto == NAT_UDP || proto == NAT_TCP) {
        replace(up, src->port, sum, NULL);
        replace(up + 2, dst->port, sum, NULL);
    }
    /* RFC 768: a computed checksum of zero is sent as all ones. */
    if (proto == NAT_UDP && sum != NULL && get_u16(sum) == 0)
        put_u16(sum, 0xffff);
}

void ip_rewrite(uint8_t *buf, size_t len, const struct net_packet *p)
{
    uint8_t *up = buf + header_len(buf);
    size_t quote = header_len(buf) + ICMP_MIN;

    replace(buf + TTL, (uint16_t)(p->ttl << 8 | buf[PROTO]), buf + SUM, NULL);
    rewrite_ends(buf, len, p->proto, &p->src, &p->dst);
    if (p->proto != NAT_ERROR)
        return;
    rewrite_ends(buf + quote, len - quote, p->about.proto, &p->about.src, &p->about.dst);
    put_u16(up + ICMP_SUM, 0);
    put_u16(up + ICMP_SUM, checksum(up, len - header_len(buf)));
}

size_t ip_make_error(uint8_t *buf, size_t cap, const struct net_packet *p)
{
    size_t quote = HEADER_MIN + ICMP_MIN, len = quote + p->len;
    struct net_about about = {0};

    if (len > cap || !parse_quote(p->data, p->len, &about))
        return 0;
    memmove(buf + quote, p->data, p->len);
    memset(buf, 0, quote);
    buf[0] = 0x45;
    put_u16(buf + TOTAL, (uint16_t)len);
    buf[TTL] = p->ttl;
    buf[PROTO] = NAT_ICMP;
    memcpy(buf + SRC, p->src.ip, 4);
    memcpy(buf + DST, p->dst.ip, 4);
    put_u16(buf + SUM, checksum(buf, HEADER_MIN));
    buf[HEADER_MIN] = p->about.type;
    buf[HEADER_MIN + 1] = p->about.code;
    ip_rewrite(buf, len, p);
    return len;
}
