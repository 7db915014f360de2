/*
 * packet.bpf.h - for programs at the hook: whose packet it is, checksums, and headers as the host's own sockets
 * write them.
 *
 * Taken are plain UDP packets of IPv4 to the host's own Ethernet address.  What has IP options, is a fragment,
 * is tagged, does not have the length that it says, or is wrong, is for the kernel to judge.
 */
#ifndef XDP_PACKET_BPF_H
#define XDP_PACKET_BPF_H

#include "lib/xdp/slots.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, XDP_SLOTS);
    __type(key, uint32_t);
    __type(value, uint32_t);
} hooks SEC(".maps");

enum { DONT_FRAGMENT = 0x4000, HEADERS = sizeof(struct iphdr) + sizeof(struct udphdr) };

struct frame {
    struct ethhdr *eth;
    struct iphdr *ip;
    struct udphdr *udp;
    uint8_t *payload; /* of len bytes, all before end */
    uint8_t *end;
    uint32_t len;
};

/* Where its headers would be; false when it has no room for them. */
static __always_inline bool frame_at(struct xdp_md *ctx, struct frame *f)
{
    f->end = (uint8_t *)(long)ctx->data_end;
    f->eth = (struct ethhdr *)(long)ctx->data;
    f->ip = (struct iphdr *)(f->eth + 1);
    f->udp = (struct udphdr *)(f->ip + 1);
    f->payload = (uint8_t *)(f->udp + 1);
    return f->payload <= f->end;
}

static __always_inline bool frame_parse(struct xdp_md *ctx, struct frame *f)
{
    if (!frame_at(ctx, f) || f->eth->h_proto != bpf_htons(ETH_P_IP) || *(uint8_t *)f->ip != 0x45 ||
        f->ip->protocol != IPPROTO_UDP ||
        (f->ip->frag_off & bpf_htons((uint16_t)~DONT_FRAGMENT)) != 0)
        return false;
    uint32_t total = bpf_ntohs(f->ip->tot_len), there = (uint32_t)(f->end - (uint8_t *)f->ip);
    if (total < HEADERS || total > XDP_IP_MAX || total > there ||
        (total < there && there > ETH_ZLEN - ETH_HLEN) ||
        bpf_ntohs(f->udp->len) != total - sizeof *f->ip)
        return false;
    f->len = total - HEADERS;
    return f->udp->source != 0;
}

static __always_inline bool place_has(const struct xdp_place *p, const struct frame *f)
{
    const uint16_t *a = (const uint16_t *)f->eth->h_dest, *b = (const uint16_t *)p->mac;
    uint16_t port = f->udp->dest;
    uint32_t ip = f->ip->daddr;

    return port != 0 && (port == p->port[0] || port == p->port[1]) && ip != 0 &&
           (ip == p->ip[0] || ip == p->ip[1]) && a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

static __always_inline uint64_t now_ms(void) { return bpf_ktime_get_coarse_ns() / 1000000; }

/* This clock may be behind the process's by a tick. */
static __always_inline bool place_alive(const struct xdp_place *p, uint64_t at_ms)
{
    return p->alive_ms != 0 && (int64_t)(at_ms - p->alive_ms) < XDP_DEAD_MS;
}

/* ---- checksums (RFC 1071), in whatever order bytes are in memory ------------------------------------- */

static __always_inline uint16_t fold(uint64_t sum)
{
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)((sum >> 16) + (sum & 0xffff));
}

static __always_inline uint64_t sum_words(const void *data, unsigned words)
{
    const uint32_t *w = data;
    uint64_t sum = 0;

#pragma unroll
    for (unsigned i = 0; i < words; i++)
        sum += w[i];
    return sum;
}

/* The kernel drops what is wrong, so nobody may answer it. */
static __always_inline bool ip_right(const struct iphdr *ip)
{
    return fold(sum_words(ip, sizeof *ip / 4)) == 0xffff;
}

static __always_inline uint64_t pseudo_header(const struct frame *f)
{
    return (uint64_t)f->ip->saddr + f->ip->daddr + bpf_htons(IPPROTO_UDP) + f->udp->len;
}

/* ---- what leaves -------------------------------------------------------------------------------------- */

/* As the socket of a process would have sent it: without options, not to be fragmented, with nothing of the
 * packet that came. */
static __always_inline void ip_write(struct iphdr *ip, uint32_t from, uint32_t to, uint16_t len,
                                     uint8_t ttl)
{
    *(uint32_t *)ip = bpf_htonl(0x45000000u | len);
    ip->id = 0;
    ip->frag_off = bpf_htons(DONT_FRAGMENT);
    ip->ttl = ttl;
    ip->protocol = IPPROTO_UDP;
    ip->check = 0;
    ip->saddr = from;
    ip->daddr = to;
    ip->check = (uint16_t)~fold(sum_words(ip, sizeof *ip / 4));
}

#endif
