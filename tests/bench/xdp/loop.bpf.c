/*
 * loop.bpf.c - the least that a program at the hook can do: bare.h's relay, for the limit that ours is compared with.
 * A datagram goes to the address that its bytes 1 to 6 name, back by the way that it came; nothing is checked.
 */
#include "lib/xdp/packet.bpf.h"

enum { TTL = 64, NAMED = 7, PORT = 3604 }; /* PORT_BARE + BARE_HOOK */

SEC("xdp") int loop(struct xdp_md *ctx)
{
    struct frame f;
    uint16_t mac[3], port, *there, *here;
    uint32_t ip;

    if (!frame_parse(ctx, &f) || f.payload + NAMED > f.end || f.udp->dest != bpf_htons(PORT))
        return XDP_PASS;
    __builtin_memcpy(&ip, f.payload + 1, sizeof ip);
    __builtin_memcpy(&port, f.payload + 5, sizeof port);
    there = (uint16_t *)f.eth->h_source, here = (uint16_t *)f.eth->h_dest;
#pragma unroll
    for (unsigned i = 0; i < 3; i++)
        mac[i] = here[i], here[i] = there[i], there[i] = mac[i];
    uint64_t sum = (uint64_t)(uint16_t)~f.udp->check + (uint32_t)~f.ip->saddr + ip +
                   (uint16_t)~f.udp->source + port;
    if (f.udp->check != 0)
        f.udp->check = (uint16_t)~fold(sum);
    f.udp->source = f.udp->dest;
    f.udp->dest = port;
    ip_write(f.ip, f.ip->daddr, ip, (uint16_t)(HEADERS + f.len), TTL);
    return XDP_TX;
}

/* A veth takes in what the other end's native hook sends only when it has a program itself. */
SEC("xdp") int pass(struct xdp_md *ctx)
{
    (void)ctx;
    return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
