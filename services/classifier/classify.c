/* classify.c - see classify.h. */
#include "services/classifier/classify.h"

#include "services/classifier/allocation.h"
#include "services/classifier/block.h"

#include <string.h>

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
    bool changed;                     /* one prober address saw two */
    bool ports_agree, ports_differ;   /* two ports of one prober ip */
    bool ips_agree, ips_differ;       /* two prober ips */
    bool others_agree, others_differ; /* two prober ips, of another socket's */
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

/* What another socket than the first one shows to two prober ips. */
static void compare_others(const struct observation_list *l, bool ports, struct comparison *c)
{
    for (size_t i = 1; i < l->n; i++)
        for (size_t j = 0; j < i; j++) {
            struct comparison two = {0};
            if (l->v[i].sock != 0 && l->v[i].sock == l->v[j].sock)
                compare(&l->v[j], &l->v[i], ports, &two);
            c->others_agree |= two.ips_agree;
            c->others_differ |= two.ips_differ;
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
    compare_others(l, ports, &c);
    return c;
}

static bool moved(const struct comparison *c) { return c->ports_differ || c->ips_differ; }

/* Kept here and not there, as no NAT would that has a rule for it. */
static bool mixed(const struct comparison *c)
{
    return (c->ports_differ && (c->ports_agree || c->ips_agree)) || (c->ips_differ && c->ips_agree);
}

/* May two draws from a block have been the same? */
static bool by_chance(const struct comparison *c, const struct mappings *m,
                      enum allocation allocation)
{
    return (allocation == ALLOC_RANDOM || allocation == ALLOC_UNKNOWN) && m->n > 1 &&
           allocation_spread(m) < BLOCK_MAX && !c->others_agree;
}

static enum behaviour mapping_of(const struct comparison *c, const struct mappings *m,
                                 enum allocation allocation)
{
    if (c->n == 0 || c->changed)
        return NAT_UNKNOWN;
    if (c->all_local)
        return NAT_NONE;
    if (allocation == ALLOC_PRESERVE &&
        mixed(c)) /* one port for all, and here somebody else has it */
        return NAT_EI;
    if (allocation == ALLOC_PRESERVE && moved(c) && !allocation_all_kept(m))
        return NAT_UNKNOWN;
    if (allocation == ALLOC_UNKNOWN && mixed(c)) /* perhaps as above: a refresh shows too little */
        return NAT_UNKNOWN;
    if (c->ports_differ)
        return NAT_APD;
    if (c->ips_differ || (allocation == ALLOC_RANDOM && c->others_differ))
        return c->ports_agree ? NAT_AD : NAT_UNKNOWN;
    return c->ips_agree && !by_chance(c, m, allocation) ? NAT_EI : NAT_UNKNOWN;
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

_Static_assert((int)OBSERVATIONS_MAX <= (int)PORTS_TAKEN_MAX, "all that was seen can be told");

static void find_block(const struct mappings *m, struct profile *p)
{
    uint16_t ports[OBSERVATIONS_MAX];

    for (size_t i = 0; i < m->n; i++)
        ports[i] = m->v[i].port;
    if (p->allocation == ALLOC_RANDOM && p->pool == POOL_UNKNOWN &&
        block_of(ports, m->n, &p->block_lo, &p->block_hi))
        memcpy(p->taken, ports, m->n * sizeof *ports);
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
    struct mappings m = allocation_mappings(&l);
    enum allocation allocation = allocation_of(&m, &out->profile.delta);
    out->profile.allocation = (uint8_t)allocation;
    out->profile.mapping = (uint8_t)mapping_of(&c, &m, allocation);
    out->profile.filtering = (uint8_t)filtering_of(r, out->profile.mapping);
    if (r->hairpin < HAIRPIN_COUNT && out->profile.mapping != NAT_NONE)
        out->profile.hairpin = (uint8_t)r->hairpin;
    if (r->clash < CLASH_COUNT)
        out->profile.clash = (uint8_t)r->clash;
    out->profile.pool = (uint8_t)pool_of(&l);
    out->profile.confidence = confidence(&out->profile, c.n, m.n);
    out->reflexive = most_common(&l);
    out->varies = c.changed || moved(&c);
    port_range(&l, &out->reflexive, &out->profile);
    find_block(&m, &out->profile);
}
