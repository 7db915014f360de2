/* nat_ports.c - see nat_ports.h. */
#include "tests/natlab/nat_ports.h"

#include "tests/natlab/nat_table.h"

enum {
    RANDOM_TRIES = 64, /* then the range is nearly full and is searched */
    POISSON_MAX = 100000
};

/* Where to look: one public address, the ports from lo on, and what was given out last of them. */
struct ports {
    struct addr external;
    uint16_t lo;
    int64_t count;
    struct nat_last *last;
};

/* Taken by an operator's port mapping to another, or by a live mapping; with overloading only by one with the same remote, as by a claim. */
static bool port_free(struct nat *n, const struct nat_request *q, struct addr external)
{
    bool overload = n->conf.overload || q->proto != NAT_UDP;
    uint32_t next;

    if (q->proto == NAT_UDP && n->conf.forward != 0 && external.port == n->conf.forward &&
        addr_ip_eq(&external, &n->conf.external[0]) && !addr_eq(q->internal, &n->conf.forward_to))
        return false;
    for (uint32_t i = *nat_outside(n, q->proto, &external); i != 0; i = next) {
        const struct nat_mapping *m = &n->mappings[i - 1];
        bool claim = m->internal.len == 0;
        next = m->next_outside;
        if (m->proto != q->proto || !addr_eq(&m->external, &external))
            continue;
        if (nat_expired(n, q->proto, m->refreshed_us, q->now_us))
            nat_remove_mapping(n, i);
        else if (claim ? addr_eq(&m->remote, q->dst) : !overload || addr_eq(&m->remote, q->remote))
            return false;
    }
    return true;
}

/* The first free port from an offset on, in steps through the range; 0 if all are taken. */
static uint16_t search(struct nat *n, const struct nat_request *q, const struct ports *p,
                       int64_t offset, int64_t step)
{
    struct addr external = p->external;

    for (int64_t i = 0; i < p->count; i++, offset += step) {
        offset = (offset % p->count + p->count) % p->count;
        external.port = (uint16_t)(p->lo + offset);
        if (port_free(n, q, external))
            return external.port;
    }
    return 0;
}

/* Exponential with mean 1, by comparisons alone (von Neumann 1951). */
static double exponential(struct rng *r)
{
    for (unsigned whole = 0;; whole++) {
        uint64_t first = rng_u64(r), last = first, next;
        unsigned falls = 0;
        for (; (next = rng_u64(r)) < last; last = next)
            falls++;
        if (falls % 2 == 0)
            return whole + (double)first / 18446744073709551616.0;
    }
}

/* How many others took in this time: Poisson, or where it is many anyway just the mean. */
static int64_t taken_by_others(struct nat *n, int64_t us)
{
    double mean = (double)us * n->conf.background_per_s / 1e6;
    int64_t taken = 0;

    if (mean <= 0 || mean > POISSON_MAX)
        return (int64_t)mean;
    for (double sum = exponential(&n->rng); sum < mean; sum += exponential(&n->rng))
        taken++;
    return taken;
}

static uint16_t contiguous_port(struct nat *n, const struct nat_request *q, const struct ports *p)
{
    int64_t taken = taken_by_others(n, q->now_us - p->last->us);
    int64_t offset = p->last->port - p->lo + n->conf.delta * (taken + 1);
    uint16_t port = search(n, q, p, offset, n->conf.delta);

    if (port != 0)
        *p->last = (struct nat_last){port, q->now_us};
    return port;
}

static uint16_t random_port(struct nat *n, const struct nat_request *q, const struct ports *p)
{
    struct addr external = p->external;

    for (int i = 0; i < RANDOM_TRIES; i++) {
        external.port = (uint16_t)(p->lo + rng_below(&n->rng, (uint64_t)p->count));
        if (port_free(n, q, external))
            return external.port;
    }
    return search(n, q, p, (int64_t)rng_below(&n->rng, (uint64_t)p->count), 1);
}

static bool in_range(const struct ports *p, uint16_t port)
{
    return port >= p->lo && port < p->lo + p->count;
}

/* The newest port that this inside port has here already, 0 for none. */
static uint16_t current_port(const struct nat *n, const struct nat_request *q,
                             const struct ports *p)
{
    const struct nat_mapping *m, *newest = NULL;

    for (size_t cursor = 0; (m = nat_next_mapping(n, q->now_us, &cursor)) != NULL;)
        if (m->proto == q->proto && addr_eq(&m->internal, q->internal) &&
            addr_ip_eq(&m->external, &p->external) &&
            (newest == NULL || m->created_us >= newest->created_us))
            newest = m;
    return newest != NULL ? newest->external.port : 0;
}

/* As Linux does: one that it has already, else its own, else any that is free towards this remote. */
static uint16_t overloaded_port(struct nat *n, const struct nat_request *q, const struct ports *p)
{
    const uint16_t wanted[] = {current_port(n, q, p), q->internal->port};
    struct addr external = p->external;

    for (size_t i = 0; i < 2; i++) {
        external.port = wanted[i];
        if (in_range(p, external.port) && port_free(n, q, external))
            return external.port;
    }
    return random_port(n, q, p);
}

/* The own port, else the next above that is free. */
static uint16_t preserved_port(struct nat *n, const struct nat_request *q, const struct ports *p)
{
    if (q->proto == NAT_UDP && n->conf.overload)
        return overloaded_port(n, q, p);
    return search(n, q, p, (int64_t)q->internal->port - p->lo, 1);
}

static uint16_t choose_port(struct nat *n, const struct nat_request *q, const struct ports *p)
{
    switch (q->proto == NAT_UDP ? n->conf.allocation : ALLOC_PRESERVE) {
    case ALLOC_CONTIGUOUS: return contiguous_port(n, q, p);
    case ALLOC_RANDOM: return random_port(n, q, p);
    default: return preserved_port(n, q, p);
    }
}

/* ---- subscribers ---- */

static bool block_taken(const struct nat *n, size_t external, uint32_t block)
{
    for (size_t i = 0; i < n->n_subscribers; i++)
        if (n->subscribers[i].external == external && n->subscribers[i].block == block)
            return true;
    return false;
}

/* Any block that nobody has; false if there is none. */
static bool choose_block(struct nat *n, struct nat_subscriber *s)
{
    uint32_t blocks = ((uint32_t)n->conf.hi - n->conf.lo + 1) / n->conf.block;
    uint32_t start = blocks > 0 ? (uint32_t)rng_below(&n->rng, blocks) : 0;

    for (uint32_t i = 0; i < blocks; i++) {
        s->block = (start + i) % blocks;
        if (!block_taken(n, s->external, s->block)) {
            s->last.port = (uint16_t)(n->conf.lo + s->block * n->conf.block);
            return true;
        }
    }
    return false;
}

static enum nat_result find_subscriber(struct nat *n, const struct addr *ip,
                                       struct nat_subscriber **s)
{
    for (size_t i = 0; i < n->n_subscribers; i++) {
        *s = &n->subscribers[i];
        if (addr_ip_eq(&(*s)->ip, ip))
            return NAT_PASS;
    }
    if (n->n_subscribers == NAT_SUBSCRIBERS_MAX)
        return NAT_TABLE_FULL;
    *s = &n->subscribers[n->n_subscribers];
    **s = (struct nat_subscriber){.ip = *ip, .external = n->n_subscribers % n->conf.n_external};
    if (n->conf.block > 0 && !choose_block(n, *s))
        return NAT_NO_PORT;
    n->n_subscribers++;
    return NAT_PASS;
}

enum nat_result nat_choose(struct nat *n, const struct nat_request *q, struct addr *external)
{
    struct nat_subscriber *s;
    struct ports p = {.lo = n->conf.lo, .count = n->conf.hi - n->conf.lo + 1, .last = &n->last};
    size_t start, tries = 1;
    enum nat_result r = find_subscriber(n, q->internal, &s);

    if (r != NAT_PASS)
        return r;
    start = s->external;
    if (n->conf.block > 0) {
        p.lo = (uint16_t)(n->conf.lo + s->block * n->conf.block);
        p.count = n->conf.block;
        p.last = &s->last;
    } else if (n->conf.pooling == NAT_POOLING_ARBITRARY) {
        start = (size_t)rng_below(&n->rng, n->conf.n_external);
        tries = n->conf.n_external;
    }
    for (size_t i = 0; i < tries; i++) {
        p.external = n->conf.external[(start + i) % n->conf.n_external];
        p.external.port = choose_port(n, q, &p);
        *external = p.external;
        if (external->port != 0)
            return NAT_PASS;
    }
    return NAT_NO_PORT;
}
