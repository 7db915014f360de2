/* classify.c - see classify.h. */
#include "services/classifier/classify.h"

#include "services/classifier/block.h"

#include <stdlib.h>
#include <string.h>

/* A new mapping: the first sight of a socket at an address. */
struct mapping {
    uint8_t sock;
    uint16_t port, local_port;
};

struct mappings {
    size_t n;
    struct mapping v[OBSERVATIONS_MAX];
};

/* ---- observations that can be used ------------------------------------------------------------------ */

static bool concrete(const struct addr *a)
{
    static const uint8_t zeroes[16];

    return (a->len == 4 || a->len == 16) && a->port != 0 && memcmp(a->ip, zeroes, a->len) != 0;
}

static uint8_t family(const struct msg_reflex_report *r)
{
    return r->local.len != 0 || r->seen.n == 0 ? r->local.len : r->seen.v[0].seen.len;
}

static void take_usable(const struct msg_reflex_report *r, struct observation_list *l,
                        struct finding *f)
{
    uint8_t len = family(r);
    size_t n = r->seen.n < OBSERVATIONS_MAX ? r->seen.n : OBSERVATIONS_MAX;

    for (size_t i = 0; i < n; i++) {
        const struct observation *o = &r->seen.v[i];
        if (concrete(&o->prober) && concrete(&o->seen) && o->local_port != 0 &&
            o->prober.len == len && o->seen.len == len)
            l->v[l->n++] = *o;
    }
    f->family = len;
    f->used = l->n;
    f->ignored = (uint8_t)(n - l->n);
}

/* ---- mapping ------------------------------------------------------------------------------------------ */

static enum pool pool_of(const struct observation_list *l)
{
    enum pool pool = POOL_UNKNOWN;

    for (size_t i = 1; i < l->n; i++)
        for (size_t j = 0; j < i; j++)
            if (addr_ip_eq(&l->v[i].seen, &l->v[j].seen))
                continue;
            else if (l->v[i].sock == 0 && l->v[j].sock == 0 &&
                     !addr_eq(&l->v[i].prober, &l->v[j].prober))
                return POOL_BY_DESTINATION;
            else
                pool = POOL_ARBITRARY;
    return pool;
}

/* What comparing every two observations of socket 0 shows. */
struct comparison {
    size_t n; /* prober addresses that saw it */
    bool all_local;
    bool changed;                   /* one prober address saw two */
    bool ports_agree, ports_differ; /* two ports of one prober ip */
    bool ips_agree, ips_differ;     /* two prober ips */
};

/* Where ips change with the destination, the ports are what can be compared. */
static void compare(const struct observation *a, const struct observation *b, bool ports,
                    struct comparison *c)
{
    bool agree = ports ? a->seen.port == b->seen.port : addr_eq(&a->seen, &b->seen);

    if (!addr_ip_eq(&a->prober, &b->prober)) {
        c->ips_agree |= agree;
        c->ips_differ |= !agree;
    } else if (a->prober.port != b->prober.port) {
        c->ports_agree |= agree;
        c->ports_differ |= !agree;
    } else {
        c->changed |= !agree;
    }
}

static struct comparison compare_all(const struct observation_list *l, const struct addr *local)
{
    bool ports = pool_of(l) == POOL_BY_DESTINATION;
    struct comparison c = {.all_local = true}; /* a wildcard is not, as what was seen is concrete */

    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i].sock != 0)
            continue;
        bool again = false; /* the same prober address */
        c.all_local = c.all_local && addr_eq(&l->v[i].seen, local);
        for (size_t j = 0; j < i; j++)
            if (l->v[j].sock == 0) {
                compare(&l->v[j], &l->v[i], ports, &c);
                again = again || addr_eq(&l->v[j].prober, &l->v[i].prober);
            }
        c.n += !again;
    }
    return c;
}

static enum behaviour mapping_of(const struct comparison *c)
{
    if (c->n == 0 || c->changed)
        return NAT_UNKNOWN;
    if (c->all_local)
        return NAT_NONE;
    if (c->ports_differ)
        return NAT_APD;
    if (c->ips_differ)
        return c->ports_agree ? NAT_AD : NAT_UNKNOWN;
    return c->ips_agree ? NAT_EI : NAT_UNKNOWN;
}

/* ---- allocation ----------------------------------------------------------------------------------------- */

static struct mappings new_mappings(const struct observation_list *l)
{
    struct mappings m = {0};

    for (size_t i = 0; i < l->n; i++) {
        bool known = false;
        for (size_t j = 0; j < i; j++)
            known =
                known || (l->v[j].sock == l->v[i].sock && addr_eq(&l->v[j].seen, &l->v[i].seen));
        if (!known)
            m.v[m.n++] = (struct mapping){l->v[i].sock, l->v[i].seen.port, l->v[i].local_port};
    }
    return m;
}

static bool preserves(const struct mappings *m)
{
    bool kept = false;

    for (size_t i = 0; i < m->n; i++) {
        int above = m->v[i].port - m->v[i].local_port;
        int above_max = m->v[i].sock == 0 ? OBSERVATIONS_MAX : 0;
        if (above < 0 || above > above_max)
            return false;
        kept = kept || above == 0;
    }
    return kept;
}

static int gcd(int a, int b)
{
    while (b != 0) {
        int rest = a % b;
        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

/* How many mappings were made from the one before to this one, by the numbers of fresh sockets. */
static int steps_between(const struct mapping *before, const struct mapping *m)
{
    return m->sock > before->sock ? m->sock - before->sock : 1;
}

/* The step when all ports lie exactly where it puts them, answers lost on the way included; or 0. */
static int exact_delta(const struct mappings *m)
{
    int delta = 0;

    for (size_t i = 1; i < m->n; i++) {
        int steps = steps_between(&m->v[i - 1], &m->v[i]);
        int d = m->v[i].port - m->v[i - 1].port;
        if (d % steps != 0 || (i > 1 && d / steps != delta))
            return 0;
        delta = d / steps;
    }
    return delta;
}

/*
 * The largest step whose multiples all the distances are, when they stay close together; or 0.  Between the samples and
 * further ones, which come after the first word on them, others may have taken any number of ports.
 */
static int loose_delta(const struct mappings *m)
{
    int g = 0, steps = 0, ups = 0, way = 0, widest = 0, lo = m->v[0].port, hi = lo;

    for (size_t i = 1; i < m->n; i++) {
        int d = m->v[i].port - m->v[i - 1].port;
        g = gcd(g, d);
        way += abs(d);
        widest = abs(d) > widest ? abs(d) : widest;
        steps += steps_between(&m->v[i - 1], &m->v[i]);
        ups += d > 0 ? 1 : -1;
        lo = m->v[i].port < lo ? m->v[i].port : lo;
        hi = m->v[i].port > hi ? m->v[i].port : hi;
    }
    int most = g * steps * CONTIGUOUS_SLACK;
    bool paused = m->n >= BLOCK_SAMPLES_MIN && way - widest <= most;
    if (hi - lo > most && !paused)
        return 0;
    if (ups == 0) /* as many up as down: from the first to the last */
        ups = m->v[m->n - 1].port - m->v[0].port;
    return ups < 0 ? -g : g;
}

static int contiguous_delta(const struct mappings *m)
{
    if (m->n < RANDOM_MAPPINGS_MIN)
        return 0;
    int delta = exact_delta(m);
    if (delta == 0)
        delta = loose_delta(m);
    return delta >= -DELTA_MAX && delta <= DELTA_MAX ? delta : 0;
}

static enum allocation allocation_of(const struct mappings *m, int16_t *delta)
{
    struct mappings samples = {0};

    if (preserves(m))
        return ALLOC_PRESERVE;
    if (m->n < RANDOM_MAPPINGS_MIN)
        return ALLOC_UNKNOWN;
    /* Socket 0 may have got its port long before the fresh ones got theirs. */
    for (size_t i = 0; i < m->n; i++)
        if (m->v[i].sock != 0)
            samples.v[samples.n++] = m->v[i];
    int d = contiguous_delta(m);
    if (d == 0)
        d = contiguous_delta(&samples);
    *delta = (int16_t)d;
    return d != 0 ? ALLOC_CONTIGUOUS : ALLOC_RANDOM;
}

/* ---- filtering ------------------------------------------------------------------------------------------ */

static enum behaviour filtering_of(const struct msg_reflex_report *r, enum behaviour mapping)
{
    if (!r->filter_asked)
        return NAT_UNKNOWN;
    if (r->filter_other_ip)
        return mapping == NAT_NONE ? NAT_NONE : NAT_EI;
    return r->filter_other_port ? NAT_AD : NAT_APD;
}

/* ---- all of it -------------------------------------------------------------------------------------------- */

static struct addr most_common(const struct observation_list *l)
{
    struct addr best = {0};
    size_t best_n = 0;

    for (size_t i = 0; i < l->n; i++) {
        size_t n = 0;
        for (size_t j = 0; j < l->n; j++)
            n += l->v[j].sock == 0 && addr_eq(&l->v[j].seen, &l->v[i].seen);
        if (l->v[i].sock == 0 && n > best_n) {
            best_n = n;
            best = l->v[i].seen;
        }
    }
    return best;
}

static void port_range(const struct observation_list *l, const struct addr *reflexive,
                       struct profile *p)
{
    for (size_t i = 0; i < l->n; i++) {
        uint16_t port = l->v[i].seen.port;
        if (!addr_ip_eq(&l->v[i].seen, reflexive))
            continue;
        p->port_lo = p->port_lo == 0 || port < p->port_lo ? port : p->port_lo;
        p->port_hi = port > p->port_hi ? port : p->port_hi;
    }
}

static void find_block(const struct mappings *m, struct profile *p)
{
    uint16_t ports[OBSERVATIONS_MAX];

    for (size_t i = 0; i < m->n; i++)
        ports[i] = m->v[i].port;
    if (p->allocation == ALLOC_RANDOM && p->pool == POOL_UNKNOWN)
        block_of(ports, m->n, &p->block_lo, &p->block_hi);
}

static uint8_t confidence(const struct profile *p, size_t n_probers, size_t n_mappings)
{
    static const uint8_t percent[] = {0, 50, 75, 90, 95};
    size_t n = 0;

    if (p->mapping != NAT_UNKNOWN)
        n = n_probers;
    if (p->allocation != ALLOC_UNKNOWN && p->mapping != NAT_NONE && (n == 0 || n_mappings < n))
        n = n_mappings;
    return percent[n < 4 ? n : 4];
}

void classify(const struct msg_reflex_report *r, struct finding *out)
{
    struct observation_list l = {0};

    memset(out, 0, sizeof *out);
    take_usable(r, &l, out);
    struct comparison c = compare_all(&l, &r->local);
    struct mappings m = new_mappings(&l);
    out->profile.mapping = (uint8_t)mapping_of(&c);
    out->profile.filtering = (uint8_t)filtering_of(r, out->profile.mapping);
    out->profile.allocation = (uint8_t)allocation_of(&m, &out->profile.delta);
    if (r->hairpin < HAIRPIN_COUNT && out->profile.mapping != NAT_NONE)
        out->profile.hairpin = (uint8_t)r->hairpin;
    if (r->clash < CLASH_COUNT)
        out->profile.clash = (uint8_t)r->clash;
    out->profile.pool = (uint8_t)pool_of(&l);
    out->profile.confidence = confidence(&out->profile, c.n, m.n);
    out->reflexive = most_common(&l);
    out->varies = c.changed || c.ports_differ || c.ips_differ;
    port_range(&l, &out->reflexive, &out->profile);
    find_block(&m, &out->profile);
}
