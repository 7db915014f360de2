/*
 * stun.bpf.c - at the hook, the prober's answer to a bare Binding request of a source that has had its share.
 *
 * What more than its own address a source is told has a budget, which is the core's to keep: it says which
 * sources have none left (services/prober/spent.h).  They get here what it would answer them, to the
 * byte.  All else goes to the process.
 */
#include "lib/xdp/packet.bpf.h"
#include "services/prober/spent.h"

enum { REQUEST = 20, ANSWER = 32, MAGIC = 0x2112A442 };

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct spent);
} spent SEC(".maps");

static __always_inline bool is_bare(const struct frame *f)
{
    const uint32_t *w = (const uint32_t *)f->payload;

    return f->len == REQUEST && f->payload + REQUEST <= f->end && w[0] == bpf_htonl(0x00010000) &&
           w[1] == bpf_htonl(MAGIC);
}

/* Without a checksum, or with the right one; one that is only begun is the kernel's to know of. */
static __always_inline bool checksum_right(const struct frame *f)
{
    return f->udp->check == 0 ||
           fold(pseudo_header(f) + sum_words(f->udp, (sizeof *f->udp + REQUEST) / 4)) == 0xffff;
}

/* What of a request is in its answer. */
struct asked {
    uint8_t client_mac[ETH_ALEN], mac[ETH_ALEN];
    uint32_t client, ip, id[4]; /* magic cookie, transaction id */
    uint16_t client_port, port;
};

static __always_inline void read_request(const struct frame *f, struct asked *a)
{
    __builtin_memcpy(a->client_mac, f->eth->h_source, ETH_ALEN);
    __builtin_memcpy(a->mac, f->eth->h_dest, ETH_ALEN);
    __builtin_memcpy(a->id, f->payload + 4, sizeof a->id);
    a->client = f->ip->saddr;
    a->ip = f->ip->daddr;
    a->client_port = f->udp->source;
    a->port = f->udp->dest;
}

static __always_inline void write_answer(struct frame *f, const struct asked *a, uint8_t ttl)
{
    uint32_t *w = (uint32_t *)f->payload;

    __builtin_memcpy(f->eth->h_dest, a->client_mac, ETH_ALEN);
    __builtin_memcpy(f->eth->h_source, a->mac, ETH_ALEN);
    f->eth->h_proto = bpf_htons(ETH_P_IP);
    ip_write(f->ip, a->ip, a->client, HEADERS + ANSWER, ttl);
    f->udp->source = a->port;
    f->udp->dest = a->client_port;
    f->udp->len = bpf_htons(sizeof *f->udp + ANSWER);
    f->udp->check = 0;
    w[0] = bpf_htonl(0x01010000 | (ANSWER - REQUEST));
    __builtin_memcpy(w + 1, a->id, sizeof a->id);
    w[5] = bpf_htonl(0x00200008); /* XOR-MAPPED-ADDRESS */
    w[6] = bpf_htonl(0x00010000 | (bpf_ntohs(a->client_port) ^ (MAGIC >> 16)));
    w[7] = a->client ^ bpf_htonl(MAGIC);
    uint16_t check =
        (uint16_t)~fold(pseudo_header(f) + sum_words(f->udp, (sizeof *f->udp + ANSWER) / 4));
    f->udp->check = check == 0 ? 0xffff : check;
}

static __always_inline void count(struct spent *s)
{
    __sync_fetch_and_add(&s->answered[bpf_get_smp_processor_id() & (XDP_CPUS - 1)].n, 1);
}

SEC("xdp") int prober(struct xdp_md *ctx)
{
    uint32_t zero = 0;
    struct spent *s = bpf_map_lookup_elem(&spent, &zero);
    struct asked a;
    struct frame f;

    if (!s || !frame_parse(ctx, &f) || !place_has(&s->place, &f)) {
        bpf_tail_call(ctx, &hooks, XDP_RELAY);
        return XDP_PASS;
    }
    uint32_t port = bpf_ntohs(f.udp->source);
    uint64_t at_ms = now_ms();
    if (!is_bare(&f) || (s->refused_ports[port >> 3] >> (port & 7) & 1) ||
        !place_alive(&s->place, at_ms) ||
        !spent_is(s->sources[spent_cell(f.ip->saddr)], f.ip->saddr, at_ms) || !ip_right(f.ip) ||
        !checksum_right(&f))
        return XDP_PASS;
    read_request(&f, &a);
    /* Ahead there is room; behind not always. */
    if (bpf_xdp_adjust_head(ctx, REQUEST - ANSWER) != 0)
        return XDP_PASS;
    if (!frame_at(ctx, &f) || f.payload + ANSWER > f.end)
        return XDP_DROP; /* no more what it was; and it can't be */
    write_answer(&f, &a, s->place.ttl);
    count(s);
    return XDP_TX;
}

char _license[] SEC("license") = "GPL";
