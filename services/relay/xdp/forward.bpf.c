/*
 * forward.bpf.c - at the hook, packets from one side of a session to the other: those that the core has led the
 * way for (services/relay/express.h).
 *
 * A packet goes on as the relay's socket would have sent it, with the checksum that it came with, changed by what
 * was changed.  The way to a side is the one by which its packets come, which the program notes when it sees one.
 * Handshakes, KEEPs, raw sides, who is unknown or has no credit: all that is the process's.
 */
#include "lib/xdp/packet.bpf.h"
#include "services/relay/express.h"

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct express_head);
} head SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct express_set);
} sets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct express_cell);
} cells SEC(".maps");

static __always_inline struct express_cell *find(const struct express_head *h, uint64_t path)
{
    uint32_t at = (uint32_t)(path * EXPRESS_MIX >> (64 - (h->bits & 63)));
    struct express_set *set = bpf_map_lookup_elem(&sets, &at);

    if (!set || path == 0)
        return NULL;
    at *= EXPRESS_WAYS;
#pragma unroll
    for (unsigned i = 0; i < EXPRESS_WAYS; i++, at++)
        if (set->path[i] == path)
            return bpf_map_lookup_elem(&cells, &at);
    return NULL;
}

static __always_inline bool is_mac(const uint8_t *a, const uint8_t *b)
{
    const uint16_t *x = (const uint16_t *)a, *y = (const uint16_t *)b;

    return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

static __always_inline void copy_mac(uint8_t *to, const uint8_t *from)
{
    uint16_t *t = (uint16_t *)to;
    const uint16_t *f = (const uint16_t *)from;

    if (!is_mac(to, from))
        t[0] = f[0], t[1] = f[1], t[2] = f[2];
}

static __always_inline uint64_t path_at(const uint8_t *p)
{
    uint64_t path;

    __builtin_memcpy(&path, p, sizeof path);
    return bpf_be64_to_cpu(path);
}

/* A side says that it is there: so this is the way to it. */
static __always_inline void on_keep(const struct express_head *h, const struct frame *f)
{
    struct express_cell *c = find(h, path_at(f->payload + 2));

    if (!c || (c->version & 1) || c->to_ip != f->ip->saddr || c->to_port != f->udp->source)
        return;
    copy_mac(c->to_mac, f->eth->h_source);
    c->reachable = 1;
}

/* So is a packet of it, for what goes the other way; unless the cell has become another session's meanwhile. */
static __always_inline void learn(struct express_cell *c, uint32_t version, const struct frame *f)
{
    uint32_t at = c->back;

    if (is_mac(c->from_mac, f->eth->h_source) || __sync_fetch_and_add(&c->version, 0) != version)
        return;
    copy_mac(c->from_mac, f->eth->h_source);
    struct express_cell *back = bpf_map_lookup_elem(&cells, &at);
    if (back) {
        copy_mac(back->to_mac, f->eth->h_source);
        back->reachable = 1;
    }
}

/* A sum that is only begun: the sender's kernel leaves it to a card, and ours knows. */
static __always_inline bool checksum_begun(const struct frame *f)
{
    return f->udp->check == fold(pseudo_header(f));
}

static __always_inline void change_checksum(struct frame *f, uint32_t to_ip, uint16_t to_port)
{
    uint64_t sum = (uint64_t)(uint16_t)~f->udp->check + (uint32_t)~f->ip->saddr + to_ip +
                   (uint16_t)~f->udp->source + to_port;

    if (f->udp->check == 0)
        return;
    uint16_t check = (uint16_t)~fold(sum);
    f->udp->check = check == 0 ? 0xffff : check;
}

static __always_inline void turn(struct frame *f, const struct express_head *h, const uint8_t *mac,
                                 uint32_t to_ip, uint16_t to_port)
{
    uint32_t ip = f->ip->daddr;

    change_checksum(f, to_ip, to_port);
    f->udp->source = f->udp->dest;
    f->udp->dest = to_port;
    ip_write(f->ip, ip, to_ip, (uint16_t)(HEADERS + f->len), h->place.ttl);
    copy_mac(f->eth->h_dest, mac);
    copy_mac(f->eth->h_source, h->place.mac);
}

/* All that the cell says is of one moment when its version is even, and the same before and after. */
static __always_inline int forward(struct frame *f, const struct express_head *h,
                                   struct express_cell *c)
{
    uint32_t version = __sync_fetch_and_add(&c->version, 0), to_ip = c->to_ip;
    uint16_t to_port = c->to_port;
    uint8_t mac[6];
    int64_t len = f->len;

    if ((version & 1) || c->from_ip != f->ip->saddr || c->from_port != f->udp->source ||
        !ip_right(f->ip))
        return XDP_PASS;
    __builtin_memcpy(mac, c->to_mac, sizeof mac);
    learn(c, version, f);
    if (!c->reachable || c->credit < len || checksum_begun(f))
        return XDP_PASS;
    int64_t credit = __sync_fetch_and_add(&c->credit, -len);
    if (credit < len || *(volatile uint32_t *)&c->version != version) {
        __sync_fetch_and_add(&c->credit, len);
        return XDP_PASS;
    }
    __sync_fetch_and_add(&c->packets, 1);
    turn(f, h, mac, to_ip, to_port);
    return XDP_TX;
}

static __always_inline bool is_forwarded(const struct frame *f)
{
    uint8_t type = f->payload[0];

    return type == EXPRESS_DATA
               ? f->len >= EXPRESS_DATA_MIN && f->len <= EXPRESS_DATA_MAX
               : (type == EXPRESS_PUNCH || type == EXPRESS_PONG) && f->len == EXPRESS_PUNCH_BYTES;
}

SEC("xdp") int relay(struct xdp_md *ctx)
{
    uint32_t zero = 0;
    struct express_head *h = bpf_map_lookup_elem(&head, &zero);
    struct frame f;

    if (!h || !frame_parse(ctx, &f) || !place_has(&h->place, &f) || f.len < EXPRESS_KEEP_BYTES ||
        f.payload + EXPRESS_KEEP_BYTES > f.end || !place_alive(&h->place, now_ms()))
        return XDP_PASS;
    if (f.payload[0] == EXPRESS_CONTROL && f.payload[1] == EXPRESS_KEEP &&
        f.len == EXPRESS_KEEP_BYTES)
        on_keep(h, &f);
    if (!is_forwarded(&f))
        return XDP_PASS;
    struct express_cell *c = find(h, path_at(f.payload + 1));
    return c ? forward(&f, h, c) : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
