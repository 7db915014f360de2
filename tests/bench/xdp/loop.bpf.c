/*
 * loop.bpf.c - the least that programs at the hook can do, for the limit that ours are compared with; nothing is checked.
 * loop is bare.h's relay: a datagram goes to the address that its bytes 1 to 6 name, back by the way that it came.
 * stun is its other one: what a request of 20 bytes gets is an answer of 32, to where it came from.
 */
#include "lib/xdp/packet.bpf.h"

enum { TTL = 64, NAMED = 7, ASKED = 20, ANSWERED = 32, PORT = 3604 }; /* PORT_BARE + BARE_HOOK */

static __always_inline void turn_round(struct frame *f)
{
    uint16_t mac[3], *there = (uint16_t *)f->eth->h_source, *here = (uint16_t *)f->eth->h_dest;

#pragma unroll
    for (unsigned i = 0; i < 3; i++)
        mac[i] = here[i], here[i] = there[i], there[i] = mac[i];
}

SEC("xdp") int loop(struct xdp_md *ctx)
{
    struct frame f;
    uint16_t port;
    uint32_t ip;

    if (!frame_parse(ctx, &f) || f.payload + NAMED > f.end || f.udp->dest != bpf_htons(PORT))
        return XDP_PASS;
    __builtin_memcpy(&ip, f.payload + 1, sizeof ip);
    __builtin_memcpy(&port, f.payload + 5, sizeof port);
    turn_round(&f);
    uint64_t sum = (uint64_t)(uint16_t)~f.udp->check + (uint32_t)~f.ip->saddr + ip +
                   (uint16_t)~f.udp->source + port;
    if (f.udp->check != 0)
        f.udp->check = (uint16_t)~fold(sum);
    f.udp->source = f.udp->dest;
    f.udp->dest = port;
    ip_write(f.ip, f.ip->daddr, ip, (uint16_t)(HEADERS + f.len), TTL);
    return XDP_TX;
}

/* Ahead there is room for an answer that is longer. */
SEC("xdp") int stun(struct xdp_md *ctx)
{
    uint8_t asked[sizeof(struct ethhdr) + HEADERS + ASKED];
    struct frame f;

    if (!frame_parse(ctx, &f) || f.len != ASKED || f.payload + ASKED > f.end ||
        f.udp->dest != bpf_htons(PORT))
        return XDP_PASS;
    __builtin_memcpy(asked, f.eth, sizeof asked);
    if (bpf_xdp_adjust_head(ctx, ASKED - ANSWERED) != 0 || !frame_at(ctx, &f) ||
        f.payload + ANSWERED > f.end)
        return XDP_DROP;
    __builtin_memcpy(f.eth, asked, sizeof asked);
    uint32_t *word = (uint32_t *)(void *)f.payload, source = f.ip->saddr;
    word[0] = bpf_htonl(0x0101000c);
    word[5] = bpf_htonl(0x00200008);
    word[6] = bpf_htonl(0x00010000 | (bpf_ntohs(f.udp->source) ^ 0x2112));
    word[7] = source ^ bpf_htonl(0x2112a442);
    turn_round(&f);
    f.udp->dest = f.udp->source;
    f.udp->source = bpf_htons(PORT);
    f.udp->len = bpf_htons(sizeof *f.udp + ANSWERED);
    f.udp->check = 0;
    ip_write(f.ip, f.ip->daddr, source, HEADERS + ANSWERED, TTL);
    return XDP_TX;
}

/* A veth takes in what the other end's native hook sends only when it has a program itself. */
SEC("xdp") int pass(struct xdp_md *ctx)
{
    (void)ctx;
    return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
