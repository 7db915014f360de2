/* nat.c - see nat.h. */
#include "tests/natlab/nat_ports.h"
#include "tests/natlab/nat_table.h"

#include <assert.h>
#include <string.h>

#define NAT_UDP_LIFETIME_US (120 * 1000000LL) /* RFC 4787 REQ-5 */

/* ---- what entries depend on, and for how long ---- */

static enum behaviour mapping_scope(const struct nat *n, uint8_t proto)
{
    return n->conf.mapping == NAT_NONE ? NAT_EI : proto == NAT_UDP ? n->conf.mapping : NAT_APD;
}

static enum behaviour filter_scope(const struct nat *n, uint8_t proto)
{
    return proto == NAT_UDP || n->conf.filtering == NAT_NONE ? n->conf.filtering : NAT_APD;
}

static struct addr narrow(const struct addr *a, enum behaviour scope)
{
    struct addr r = *a;

    if (scope == NAT_AD)
        r.port = 0;
    return scope >= NAT_AD ? r : (struct addr){0};
}

/* ---- packets ---- */

static enum nat_result open_mapping(struct nat *n, const struct nat_request *q,
                                    struct nat_mapping **m)
{
    struct addr external = *q->internal;

    if (n->n_mappings == NAT_MAPPINGS_MAX && !nat_room_for_mapping(n, q->now_us))
        return NAT_TABLE_FULL;
    enum nat_result r = n->conf.mapping == NAT_NONE ? NAT_PASS : nat_choose(n, q, &external);
    if (r == NAT_PASS)
        *m = nat_add_mapping(n, q->now_us, q->proto, q->internal, q->remote, &external);
    return r;
}

/* Let what the mapping sent to answer. */
static enum nat_result admit(struct nat *n, int64_t now_us, struct nat_mapping *m,
                             const struct addr *dst)
{
    struct addr remote = narrow(dst, filter_scope(n, m->proto));

    if (remote.len == 0)
        return NAT_PASS;
    struct nat_filter *f = nat_find_filter(n, m, &remote);
    if (f == NULL) {
        if (n->n_filters == NAT_FILTERS_MAX && !nat_room_for_filter(n, now_us))
            return NAT_TABLE_FULL;
        f = nat_add_filter(n, m, &remote);
    }
    f->refreshed_us = now_us;
    return NAT_PASS;
}

static bool admits(struct nat *n, int64_t now_us, const struct nat_mapping *m,
                   const struct addr *src)
{
    struct addr remote = narrow(src, filter_scope(n, m->proto));

    if (remote.len == 0)
        return true;
    const struct nat_filter *f = nat_find_filter(n, m, &remote);
    return f != NULL && !nat_expired(n, m->proto, f->refreshed_us, now_us);
}

static bool transparent(const struct nat *n)
{
    return n->conf.mapping == NAT_NONE && n->conf.filtering == NAT_NONE;
}

static enum nat_result refuse(const struct nat *n, uint8_t proto)
{
    if (proto != NAT_UDP && proto != NAT_TCP && proto != NAT_ICMP)
        return transparent(n) ? NAT_PASS : NAT_PROTOCOL;
    return proto == NAT_UDP && n->conf.udp_blocked ? NAT_UDP_BLOCKED : NAT_PASS;
}

static bool is_forward(const struct nat *n, uint8_t proto, const struct addr *external)
{
    return proto == NAT_UDP && n->conf.forward != 0 && external->port == n->conf.forward &&
           addr_ip_eq(external, &n->conf.external[0]);
}

/* An operator's port mapping: in to where it leads, and a mapping by which the answers leave. */
static enum nat_result forwarded(struct nat *n, int64_t now_us, const struct addr *src,
                                 struct addr *dst)
{
    const struct addr *to = &n->conf.forward_to;
    struct nat_mapping *m = nat_find_mapping(n, now_us, NAT_UDP, to, src);

    if (m == NULL || !addr_eq(&m->external, dst)) {
        if (n->n_mappings == NAT_MAPPINGS_MAX && !nat_room_for_mapping(n, now_us))
            return NAT_TABLE_FULL;
        m = nat_add_mapping(n, now_us, NAT_UDP, to, src, dst);
    }
    m->refreshed_us = now_us;
    *dst = *to;
    return NAT_PASS;
}

static enum nat_result outbound(struct nat *n, int64_t now_us, uint8_t proto, struct addr *src,
                                const struct addr *dst)
{
    enum nat_result r = refuse(n, proto);

    if (r != NAT_PASS || transparent(n))
        return r;
    struct addr remote = narrow(dst, mapping_scope(n, proto));
    struct nat_request q = {now_us, proto, src, &remote, dst};
    struct nat_mapping *m = NULL;
    if (proto == NAT_UDP && n->conf.forward != 0) /* the newest: an answer's goes before others */
        m = nat_find_mapping(n, now_us, proto, src, dst);
    if (m == NULL)
        m = nat_find_mapping(n, now_us, proto, src, &remote);
    if (m == NULL && (r = open_mapping(n, &q, &m)) != NAT_PASS)
        return r;
    m->refreshed_us = now_us;
    r = admit(n, now_us, m, dst);
    if (r == NAT_PASS)
        *src = m->external;
    return r;
}

/*
 * The mapping by which what src sends to external comes in.  Where several share the port, the one that was
 * made for this remote goes first.  NULL: *why.  *claim is src's own, if it has one.
 */
static struct nat_mapping *find_outside(struct nat *n, int64_t now_us, uint8_t proto,
                                        const struct addr *src, const struct addr *external,
                                        enum nat_result *why, struct nat_mapping **claim)
{
    struct addr key = narrow(src, mapping_scope(n, proto));
    struct nat_mapping *best = NULL;
    uint32_t next;

    *why = NAT_NO_MAPPING;
    *claim = NULL;
    for (uint32_t i = *nat_outside(n, proto, external); i != 0; i = next) {
        struct nat_mapping *m = &n->mappings[i - 1];
        next = m->next_outside;
        if (m->proto != proto || !addr_eq(&m->external, external))
            continue;
        if (nat_expired(n, proto, m->refreshed_us, now_us)) {
            nat_remove_mapping(n, i);
        } else if (m->internal.len == 0) {
            if (addr_eq(&m->remote, src))
                *claim = m;
        } else {
            *why = NAT_FILTERED;
            if ((best == NULL || addr_eq(&m->remote, &key)) && admits(n, now_us, m, src))
                best = m;
        }
    }
    return best;
}

/* Nothing is lost when the table is full: the port just stays free. */
static void make_claim(struct nat *n, int64_t now_us, uint8_t proto, const struct addr *src,
                       const struct addr *dst)
{
    const struct addr nobody = {0};

    if (n->n_mappings < NAT_MAPPINGS_MAX)
        nat_add_mapping(n, now_us, proto, &nobody, src, dst);
}

static enum nat_result inbound(struct nat *n, int64_t now_us, uint8_t proto, const struct addr *src,
                               struct addr *dst)
{
    enum nat_result r = refuse(n, proto);
    struct nat_mapping *claim;

    if (r != NAT_PASS || transparent(n))
        return r;
    if (is_forward(n, proto, dst))
        return forwarded(n, now_us, src, dst);
    struct addr key = narrow(src, mapping_scope(n, proto));
    struct nat_mapping *m = find_outside(n, now_us, proto, src, dst, &r, &claim);
    if (m == NULL) {
        if (claim != NULL)
            claim->refreshed_us = now_us;
        else if (n->conf.claims)
            make_claim(n, now_us, proto, src, dst);
        return r;
    }
    if (n->conf.inbound_refreshes) {
        m->refreshed_us = now_us;
        admit(n, now_us, m, src);
    }
    *dst = m->internal;
    /* Nothing is lost when the table is full: the answer just leaves by a new mapping. */
    if (n->conf.stranger_same && !addr_eq(&m->remote, &key) && n->n_mappings < NAT_MAPPINGS_MAX &&
        nat_find_mapping(n, now_us, proto, dst, &key) == NULL) {
        struct addr external = m->external;
        admit(n, now_us, nat_add_mapping(n, now_us, proto, dst, &key, &external), src);
    }
    return NAT_PASS;
}

static enum nat_result error_out(struct nat *n, int64_t now_us, uint8_t proto,
                                 const struct addr *src, struct addr *dst)
{
    struct addr remote = narrow(src, mapping_scope(n, proto));

    if (transparent(n))
        return NAT_PASS;
    const struct nat_mapping *m = nat_find_mapping(n, now_us, proto, dst, &remote);
    if (m == NULL)
        return NAT_NO_MAPPING;
    *dst = m->external;
    return NAT_PASS;
}

static enum nat_result error_in(struct nat *n, int64_t now_us, uint8_t proto, struct addr *src,
                                const struct addr *dst)
{
    enum nat_result why;
    struct nat_mapping *claim;

    if (transparent(n))
        return NAT_PASS;
    if (n->conf.errors == NAT_ERRORS_DROP)
        return NAT_NO_ERRORS;
    struct nat_mapping *m = find_outside(n, now_us, proto, dst, src, &why, &claim);
    if (m == NULL)
        return why;
    *src = m->internal;
    if (n->conf.errors == NAT_ERRORS_KILL)
        nat_remove_mapping(n, (uint32_t)(m - n->mappings) + 1);
    return NAT_PASS;
}

/* ---- the public face ---- */

void nat_init(struct nat *n, const struct nat_conf *conf, uint64_t seed)
{
    n->conf = *conf;
    if (n->conf.mapping == NAT_UNKNOWN)
        n->conf.mapping = NAT_NONE;
    if (n->conf.filtering == NAT_UNKNOWN)
        n->conf.filtering = NAT_NONE;
    if (n->conf.allocation == ALLOC_UNKNOWN)
        n->conf.allocation = ALLOC_PRESERVE;
    if (n->conf.n_external == 0)
        n->conf.n_external = 1;
    assert(n->conf.n_external <= NAT_POOL_MAX);
    if (n->conf.lo == 0 && n->conf.hi == 0) {
        n->conf.lo = 1024;
        n->conf.hi = 65535;
    }
    assert(n->conf.lo > 0 && n->conf.lo <= n->conf.hi);
    if (n->conf.delta == 0)
        n->conf.delta = 1;
    if (n->conf.lifetime_us == 0)
        n->conf.lifetime_us = NAT_UDP_LIFETIME_US;
    rng_seed(&n->rng, seed);
    uint64_t range = (uint64_t)n->conf.hi - n->conf.lo + 1;
    n->last = (struct nat_last){(uint16_t)(n->conf.lo + rng_below(&n->rng, range)), 0};
    memset(n->results, 0, sizeof n->results);
    n->evicted = n->opened = 0;
    nat_flush(n);
}

static enum nat_result counted(struct nat *n, enum nat_result r)
{
    n->results[r]++;
    return r;
}

enum nat_result nat_out(struct nat *n, int64_t now_us, uint8_t proto, struct addr *src,
                        const struct addr *dst)
{
    return counted(n, outbound(n, now_us, proto, src, dst));
}

enum nat_result nat_in(struct nat *n, int64_t now_us, uint8_t proto, const struct addr *src,
                       struct addr *dst)
{
    return counted(n, inbound(n, now_us, proto, src, dst));
}

enum nat_result nat_error_out(struct nat *n, int64_t now_us, uint8_t proto, const struct addr *src,
                              struct addr *dst)
{
    return counted(n, error_out(n, now_us, proto, src, dst));
}

enum nat_result nat_error_in(struct nat *n, int64_t now_us, uint8_t proto, struct addr *src,
                             const struct addr *dst)
{
    return counted(n, error_in(n, now_us, proto, src, dst));
}

const char *nat_result_name(enum nat_result r)
{
    static const char *const names[] = {
#define X(name, text) [NAT_##name] = text,
        NAT_RESULTS_X(X)
#undef X
    };

    return r < NAT_RESULTS ? names[r] : "?";
}
