/* net.c - see net.h. */
#include "tests/natlab/net.h"

#include <assert.h>
#include <string.h>

/* ---- packets under way: a heap of slots by time of arrival ---- */

static bool earlier(const struct net *n, uint32_t a, uint32_t b)
{
    const struct net_slot *x = &n->slots[a], *y = &n->slots[b];

    return x->at_us != y->at_us ? x->at_us < y->at_us : x->order < y->order;
}

static void swap(struct net *n, uint32_t i, uint32_t j)
{
    uint32_t t = n->slots[i].heap;

    n->slots[i].heap = n->slots[j].heap;
    n->slots[j].heap = t;
}

/* Entries past n_flying are the free slots, so that the heap is a permutation at all times. */
static void push(struct net *n)
{
    uint32_t i = n->n_flying++;

    while (i > 0 && earlier(n, n->slots[i].heap, n->slots[(i - 1) / 2].heap)) {
        swap(n, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static uint32_t pop(struct net *n)
{
    uint32_t slot = n->slots[0].heap, i = 0;

    swap(n, 0, --n->n_flying);
    for (;;) {
        uint32_t least = i, left = 2 * i + 1;
        if (left < n->n_flying && earlier(n, n->slots[left].heap, n->slots[least].heap))
            least = left;
        if (left + 1 < n->n_flying && earlier(n, n->slots[left + 1].heap, n->slots[least].heap))
            least = left + 1;
        if (least == i)
            return slot;
        swap(n, i, least);
        i = least;
    }
}

/* ---- who is where ---- */

static bool has_ip(const struct addr *ips, size_t n_ips, const struct addr *ip)
{
    for (size_t i = 0; i < n_ips; i++)
        if (addr_ip_eq(&ips[i], ip))
            return true;
    return false;
}

size_t net_find_line(const struct net *n, const struct addr *ip)
{
    for (size_t i = 0; i < n->n_lines; i++)
        if (has_ip(n->lines[i].ips, n->lines[i].n_ips, ip))
            return i;
    return NET_LINES_MAX;
}

static size_t find_host(const struct net *n, size_t line, const struct addr *ip)
{
    for (size_t i = 0; i < n->n_hosts; i++)
        if (n->hosts[i].line == line && has_ip(n->hosts[i].ips, n->hosts[i].n_ips, ip))
            return i;
    return NET_HOSTS_MAX;
}

/* ---- sending ---- */

static bool roll(struct net *n, uint32_t ppm)
{
    return ppm > 0 && rng_below(&n->rng, 1000000) < ppm;
}

static int64_t delay_us(struct net *n, const struct net_link *l)
{
    return l->delay_us +
           (l->jitter_us > 0 ? (int64_t)rng_below(&n->rng, (uint64_t)l->jitter_us + 1) : 0);
}

static bool put(struct net *n, int64_t at_us, size_t from, size_t line, bool local,
                const struct net_packet *p)
{
    if (n->n_flying + (n->lent != 0) >= n->n_slots)
        return false;
    /* The slot lent to the caller, whose data p may point to, is the last of the free ones. */
    uint32_t slot = n->slots[n->n_flying].heap;
    struct net_slot *s = &n->slots[slot];
    s->at_us = at_us;
    s->order = n->order++;
    s->from = from;
    s->line = line;
    s->local = local;
    s->packet = *p;
    s->packet.data = s->data;
    memcpy(s->data, p->data, p->len);
    push(n);
    return true;
}

static void count(struct net_count *c, uint8_t proto)
{
    c->packets++;
    c->udp += proto == NAT_UDP;
}

/* Between two hosts of one line: on its LAN or, by way of the NAT, in a hairpin. */
static enum net_result send_local(struct net *n, int64_t now_us, size_t host, struct net_packet *p)
{
    size_t line = n->hosts[host].line;

    count(&n->sent[host][line], p->proto);
    return put(n, now_us, host, line, true, p) ? NET_OK : NET_QUEUE_FULL;
}

static enum net_result hairpin(struct net *n, int64_t now_us, size_t host, struct net_packet *p)
{
    size_t line = n->hosts[host].line;
    struct nat *nat = n->lines[line].nat;
    struct addr inside = p->src;

    if (nat->conf.hairpin == NAT_HAIRPIN_NONE) {
        nat->results[NAT_NO_HAIRPIN]++;
        return NET_NAT_OUT;
    }
    if (nat_out(nat, now_us, p->proto, &p->src, &p->dst) != NAT_PASS)
        return NET_NAT_OUT;
    if (nat_in(nat, now_us, p->proto, &p->src, &p->dst) != NAT_PASS)
        return NET_NAT_IN;
    if (nat->conf.hairpin == NAT_HAIRPIN_INTERNAL)
        p->src = inside;
    return send_local(n, now_us, host, p);
}

static enum net_result cross(struct net *n, int64_t now_us, size_t host, size_t line,
                             struct net_packet *p)
{
    const struct net_line *a = &n->lines[n->hosts[host].line], *b = &n->lines[line];

    count(&n->sent[host][line], p->proto);
    if (p->ttl <= a->hops + b->hops + (b->nat != NULL))
        return NET_TTL_EXCEEDED;
    p->ttl = (uint8_t)(p->ttl - a->hops - b->hops - (b->nat != NULL));
    if (roll(n, a->up.loss_ppm) || roll(n, b->down.loss_ppm))
        return NET_LOST;
    int copies = 1 + roll(n, a->up.dup_ppm) + roll(n, b->down.dup_ppm);
    for (int i = 0; i < copies; i++) {
        int64_t at_us = now_us + delay_us(n, &a->up) + delay_us(n, &b->down);
        if (!put(n, at_us, host, line, false, p))
            return NET_QUEUE_FULL;
    }
    return NET_OK;
}

static enum net_result route(struct net *n, int64_t now_us, size_t host, struct net_packet *p)
{
    const struct net_host *h = &n->hosts[host];
    struct nat *nat = n->lines[h->line].nat;

    if (p->len > NET_PAYLOAD_MAX)
        return NET_TOO_LONG;
    if (!has_ip(h->ips, h->n_ips, &p->src))
        return NET_SPOOFED;
    if (find_host(n, h->line, &p->dst) != NET_HOSTS_MAX)
        return send_local(n, now_us, host, p);
    if (nat != NULL) {
        /* A router looks at the TTL before anything else, so a packet that dies here maps nothing. */
        if (p->ttl <= 1)
            return NET_TTL_EXCEEDED;
        p->ttl--;
        if (has_ip(n->lines[h->line].ips, n->lines[h->line].n_ips, &p->dst))
            return hairpin(n, now_us, host, p);
        if (nat_out(nat, now_us, p->proto, &p->src, &p->dst) != NAT_PASS)
            return NET_NAT_OUT;
    }
    size_t line = net_find_line(n, &p->dst);
    return line == NET_LINES_MAX ? NET_NO_ROUTE : cross(n, now_us, host, line, p);
}

enum net_result net_send(struct net *n, int64_t now_us, size_t host, const struct net_packet *p)
{
    assert(host < n->n_hosts);
    struct net_packet copy = *p;
    enum net_result r = route(n, now_us, host, &copy);

    n->results[r]++;
    return r;
}

/* ---- arriving ---- */

int64_t net_next_us(const struct net *n)
{
    return n->n_flying > 0 ? n->slots[n->slots[0].heap].at_us : NET_NEVER;
}

/* The packet is in front of the line's NAT: at which host does it come out? */
static enum net_result arrive(struct net *n, int64_t now_us, struct net_slot *s, size_t *host)
{
    struct nat *nat = n->lines[s->line].nat;
    struct net_packet *p = &s->packet;

    if (!s->local && nat != NULL && nat_in(nat, now_us, p->proto, &p->src, &p->dst) != NAT_PASS)
        return NET_NAT_IN;
    *host = find_host(n, s->line, &p->dst);
    return *host == NET_HOSTS_MAX ? NET_NO_ROUTE : NET_OK;
}

bool net_deliver(struct net *n, int64_t now_us, struct net_packet *p, size_t *host)
{
    n->lent = 0;
    while (net_next_us(n) <= now_us) {
        uint32_t slot = pop(n);
        struct net_slot *s = &n->slots[slot];
        enum net_result r = arrive(n, now_us, s, host);
        if (r != NET_OK) {
            n->results[r]++;
            continue;
        }
        /* Out of the way of the next sends, which take the first free entry. */
        swap(n, n->n_flying, n->n_slots - 1);
        n->lent = slot + 1;
        count(&n->delivered[s->from][*host], s->packet.proto);
        *p = s->packet;
        return true;
    }
    return false;
}

/* ---- building ---- */

void net_init(struct net *n, uint64_t seed, struct net_slot *slots, uint32_t n_slots)
{
    memset(n, 0, sizeof *n);
    rng_seed(&n->rng, seed);
    n->slots = slots;
    n->n_slots = n_slots;
    for (uint32_t i = 0; i < n_slots; i++)
        slots[i].heap = i;
}

size_t net_add_line(struct net *n, const struct net_line *line)
{
    assert(n->n_lines < NET_LINES_MAX && line->n_ips <= NET_IPS_MAX);
    n->lines[n->n_lines] = *line;
    return n->n_lines++;
}

size_t net_add_host(struct net *n, size_t line, const struct addr *ips, size_t n_ips)
{
    assert(n->n_hosts < NET_HOSTS_MAX && line < n->n_lines && n_ips <= NET_IPS_MAX);
    struct net_host *h = &n->hosts[n->n_hosts];
    h->line = line;
    h->n_ips = n_ips;
    memcpy(h->ips, ips, n_ips * sizeof *ips);
    return n->n_hosts++;
}

const char *net_result_name(enum net_result r)
{
    static const char *const names[] = {
#define X(name, text) [NET_##name] = text,
        NET_RESULTS_X(X)
#undef X
    };

    return r < NET_RESULTS ? names[r] : "?";
}
