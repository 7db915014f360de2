/* net.c - see net.h. */
#include "tests/natlab/net_queue.h"

#include <assert.h>
#include <string.h>

/* RFC 792. */
enum { ICMP_UNREACHABLE = 3, ICMP_UNREACHABLE_PORT = 3, ICMP_TIME_EXCEEDED = 11 };

static enum net_result travel(struct net *n, int64_t now_us, struct net_trip *t);

/* ---- who is where ---- */

static bool has_ip(const struct addr *ips, size_t n_ips, const struct addr *ip)
{
    for (size_t i = 0; i < n_ips; i++)
        if (addr_ip_eq(&ips[i], ip))
            return true;
    return false;
}

/* A line whose outside is on that LAN, given as line + 1, or on the internet, 0. */
static size_t find_line(const struct net *n, size_t lan, const struct addr *ip)
{
    for (size_t i = 0; i < n->n_lines; i++)
        if (n->lines[i].outer == lan && has_ip(n->lines[i].ips, n->lines[i].n_ips, ip))
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

struct addr net_router(size_t line) { return addr_v4(192, 0, 2, (uint8_t)(line + 1), 0); }

/* ---- ICMP errors ---- */

/* Where the model answers, as whom, and how much later. */
struct place {
    enum net_step step;
    size_t where;
    struct addr src;
    int64_t later_us;
};

static void answer(struct net *n, int64_t now_us, const struct net_trip *t, uint8_t type,
                   uint8_t code, struct place where)
{
    const struct net_packet *p = &t->packet;
    struct net_trip e = {.at_us = t->at_us + where.later_us,
                         .from = t->from,
                         .step = where.step,
                         .where = where.where};

    /* RFC 1122 3.2.2: no errors about errors. */
    if (p->proto != NAT_UDP && p->proto != NAT_TCP && p->proto != NAT_ICMP)
        return;
    e.packet = (struct net_packet){
        .proto = NAT_ERROR,
        .ttl = NET_TTL,
        .made = true,
        .src = where.src,
        .dst = p->src,
        .about = {type, code, p->proto, p->src, p->dst},
        .data = p->data,
        .len = p->len < NET_QUOTE_MAX ? p->len : NET_QUOTE_MAX
    };
    e.packet.src.port = e.packet.dst.port = 0;
    travel(n, now_us, &e);
}

static enum net_result expire(struct net *n, int64_t now_us, const struct net_trip *t, size_t line,
                              struct place where)
{
    if (!n->lines[line].silent)
        answer(n, now_us, t, ICMP_TIME_EXCEEDED, 0, where);
    return NET_TTL_EXCEEDED;
}

/* ---- steps ---- */

/* It has been sent, lost or not, to the host or line that has the destination on this LAN. */
static void count(struct net *n, const struct net_trip *t, size_t lan)
{
    const struct net_packet *p = &t->packet;
    bool host = lan > 0 && find_host(n, lan - 1, &p->dst) != NET_HOSTS_MAX;
    size_t line = host ? lan - 1 : find_line(n, lan, &p->dst);

    if (line == NET_LINES_MAX || p->made)
        return;
    n->sent[t->from][line].packets++;
    n->sent[t->from][line].udp += p->proto == NAT_UDP;
}

/* To the host or the line that has the destination on this LAN; false if none has. */
static bool enter(const struct net *n, struct net_trip *t, size_t lan)
{
    size_t line = find_line(n, lan, &t->packet.dst);
    size_t host = lan > 0 ? find_host(n, lan - 1, &t->packet.dst) : NET_HOSTS_MAX;

    t->step = host != NET_HOSTS_MAX ? STEP_HOST : STEP_DOWN;
    t->where = host != NET_HOSTS_MAX ? host : line;
    return host != NET_HOSTS_MAX || line != NET_LINES_MAX;
}

static enum net_result step_lan(const struct net *n, struct net_trip *t)
{
    size_t lan = t->where;

    if (enter(n, t, lan))
        return NET_OK;
    if (lan == 0)
        return NET_NO_ROUTE;
    t->step = STEP_OUT;
    t->where = lan - 1;
    return NET_OK;
}

/* Between two hosts of one LAN by way of the NAT. */
static enum net_result hairpin(struct net *n, struct net_trip *t)
{
    size_t line = t->where;
    struct nat *nat = n->lines[line].nat;
    struct net_packet *p = &t->packet;
    struct addr inside = p->src;

    if (p->proto == NAT_ERROR || nat->conf.hairpin == NAT_HAIRPIN_NONE) {
        nat->results[NAT_NO_HAIRPIN]++;
        return NET_NAT_OUT;
    }
    if (nat_out(nat, t->at_us, p->proto, &p->src, &p->dst) != NAT_PASS)
        return NET_NAT_OUT;
    if (nat_in(nat, t->at_us, p->proto, &p->src, &p->dst) != NAT_PASS)
        return NET_NAT_IN;
    if (nat->conf.hairpin == NAT_HAIRPIN_INTERNAL)
        p->src = inside;
    count(n, t, line + 1);
    return enter(n, t, line + 1) ? NET_OK : NET_NO_ROUTE;
}

static enum nat_result translate_out(const struct net_line *l, struct net_trip *t)
{
    struct net_packet *p = &t->packet;

    if (p->proto != NAT_ERROR)
        return nat_out(l->nat, t->at_us, p->proto, &p->src, &p->dst);
    enum nat_result r =
        nat_error_out(l->nat, t->at_us, p->about.proto, &p->about.src, &p->about.dst);
    /* Whoever inside has sent it, the world sees the NAT. */
    if (r == NAT_PASS && l->nat->conf.mapping != NAT_NONE)
        p->src = l->ips[0];
    return r;
}

static enum net_result step_out(struct net *n, int64_t now_us, struct net_trip *t)
{
    size_t line = t->where;
    const struct net_line *l = &n->lines[line];
    struct net_packet *p = &t->packet;

    if (l->gateway != 0) {
        t->step = STEP_HOST;
        t->where = l->gateway - 1;
        return NET_OK;
    }
    t->step = STEP_UP;
    if (l->nat == NULL)
        return NET_OK;
    if (p->ttl <= 1) {
        struct addr src = p->src;
        if (l->nat->conf.expired_maps)
            nat_out(l->nat, t->at_us, p->proto, &src, &p->dst);
        return expire(n, now_us, t, line, (struct place){STEP_LAN, line + 1, net_router(line), 0});
    }
    p->ttl--;
    t->where = line;
    if (has_ip(l->ips, l->n_ips, &p->dst))
        return hairpin(n, t);
    return translate_out(l, t) == NAT_PASS ? NET_OK : NET_NAT_OUT;
}

/* Over a link to the next step. */
static enum net_result cross(struct net *n, int64_t now_us, struct net_trip *t,
                             const struct net_link *l, struct net_link_state *s, enum net_step step,
                             size_t where)
{
    struct net_trip copy = *t;

    t->step = step;
    t->where = where;
    switch (net_link_cross(l, s, &n->rng, t->at_us, t->packet.len, &t->at_us)) {
    case NET_LINK_LOST: return NET_LOST;
    case NET_LINK_CONGESTED: return NET_CONGESTED;
    case NET_LINK_PASS: break;
    }
    if (net_link_double(l, &n->rng, copy.at_us, &copy.at_us)) {
        copy.step = step;
        copy.where = where;
        travel(n, now_us, &copy);
    }
    return NET_OK;
}

static enum net_result step_up(struct net *n, int64_t now_us, struct net_trip *t)
{
    size_t line = t->where;
    const struct net_line *l = &n->lines[line];

    if (t->packet.ttl <= l->hops)
        return expire(n, now_us, t, line,
                      (struct place){STEP_DOWN, line, net_router(line), l->up.delay_us});
    t->packet.ttl = (uint8_t)(t->packet.ttl - l->hops);
    count(n, t, l->outer);
    return cross(n, now_us, t, &l->up, &n->up[line], STEP_LAN, l->outer);
}

/* The last router of a line is its NAT. */
static enum net_result step_down(struct net *n, int64_t now_us, struct net_trip *t)
{
    size_t line = t->where;
    const struct net_line *l = &n->lines[line];
    uint8_t hops = (uint8_t)(l->hops + (l->nat != NULL));

    if (t->packet.ttl <= l->hops)
        return expire(n, now_us, t, line, (struct place){STEP_LAN, l->outer, net_router(line), 0});
    if (t->packet.ttl <= hops)
        return expire(n, now_us, t, line,
                      (struct place){STEP_UP, line, t->packet.dst, l->down.delay_us});
    t->packet.ttl = (uint8_t)(t->packet.ttl - hops);
    return cross(n, now_us, t, &l->down, &n->down[line], STEP_IN, line);
}

static enum net_result step_in(struct net *n, int64_t now_us, struct net_trip *t)
{
    size_t line = t->where;
    struct nat *nat = n->lines[line].nat;
    struct net_packet *p = &t->packet;
    enum nat_result r = NAT_PASS;

    if (nat != NULL && p->proto == NAT_ERROR)
        r = nat_error_in(nat, t->at_us, p->about.proto, &p->about.src, &p->about.dst);
    else if (nat != NULL)
        r = nat_in(nat, t->at_us, p->proto, &p->src, &p->dst);
    if (r == NAT_PASS) {
        if (p->proto == NAT_ERROR && nat != NULL) {
            p->dst = p->about.src;
            p->dst.port = 0;
        }
        if (!enter(n, t, line + 1))
            return NET_NO_ROUTE;
        if (t->step == STEP_DOWN)
            count(n, t, line + 1);
        return NET_OK;
    }
    if (nat->conf.rejects && (r == NAT_NO_MAPPING || r == NAT_FILTERED))
        answer(n, now_us, t, ICMP_UNREACHABLE, ICMP_UNREACHABLE_PORT,
               (struct place){STEP_UP, line, p->dst, 0});
    return NET_NAT_IN;
}

/* Does what happens there depend on what happened before, so that the packet has to wait its turn? */
static bool waits(const struct net *n, const struct net_trip *t)
{
    const struct net_line *l = &n->lines[t->step == STEP_LAN ? 0 : t->where];

    switch (t->step) {
    case STEP_LAN: return false;
    case STEP_OUT:
    case STEP_IN: return l->nat != NULL;
    case STEP_UP: return net_link_has_state(&l->up);
    case STEP_DOWN: return net_link_has_state(&l->down);
    case STEP_HOST: break;
    }
    return true;
}

/* As far as it gets by now; from there it goes on when it is due. */
static enum net_result travel(struct net *n, int64_t now_us, struct net_trip *t)
{
    enum net_result r = NET_OK;

    while (r == NET_OK) {
        if (t->step == STEP_HOST || (t->at_us > now_us && waits(n, t)))
            return net_queue_put(n, t) ? NET_OK : NET_QUEUE_FULL;
        switch (t->step) {
        case STEP_LAN: r = step_lan(n, t); break;
        case STEP_OUT: r = step_out(n, now_us, t); break;
        case STEP_UP: r = step_up(n, now_us, t); break;
        case STEP_DOWN: r = step_down(n, now_us, t); break;
        case STEP_IN: r = step_in(n, now_us, t); break;
        case STEP_HOST: break;
        }
    }
    return r;
}

/* ---- sending and arriving ---- */

enum net_result net_send(struct net *n, int64_t now_us, size_t host, const struct net_packet *p)
{
    assert(host < n->n_hosts);
    const struct net_host *h = &n->hosts[host];
    bool gateway = n->lines[h->line].gateway == host + 1;
    struct net_trip t = {
        .at_us = now_us, .from = host, .step = STEP_LAN, .where = h->line + 1, .packet = *p};
    enum net_result r = NET_OK;

    if (p->len > NET_PAYLOAD_MAX)
        r = NET_TOO_LONG;
    else if (!gateway && !n->lines[h->line].forges && !has_ip(h->ips, h->n_ips, &p->src))
        r = NET_SPOOFED;
    if (r == NET_OK) {
        count(n, &t, t.where);
        r = travel(n, now_us, &t);
    }
    n->results[r]++;
    return r;
}

bool net_deliver(struct net *n, int64_t now_us, struct net_packet *p, size_t *host)
{
    n->lent = 0;
    while (net_next_us(n) <= now_us) {
        struct net_slot *s = net_queue_take(n);
        if (s->trip.step != STEP_HOST) {
            struct net_trip t = s->trip;
            enum net_result r = travel(n, now_us, &t);
            n->results[r] += r != NET_OK;
            continue;
        }
        net_queue_lend(n, s);
        *p = s->trip.packet;
        *host = s->trip.where;
        if (!p->made) {
            struct net_count *c = &n->delivered[s->trip.from][*host];
            c->packets++;
            c->udp += p->proto == NAT_UDP;
        }
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
    assert(n->n_lines < NET_LINES_MAX && line->n_ips <= NET_IPS_MAX && line->outer <= n->n_lines);
    n->lines[n->n_lines] = *line;
    return n->n_lines++;
}

size_t net_add_host(struct net *n, size_t line, const struct addr *ips, size_t n_ips)
{
    assert(n->n_hosts < NET_HOSTS_MAX && line < n->n_lines && n_ips <= NET_IPS_MAX);
    struct net_host *h = &n->hosts[n->n_hosts];
    h->line = line;
    h->n_ips = n_ips;
    if (n_ips > 0)
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
