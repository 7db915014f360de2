/* nat.c - see nat.h. */
#include "tests/natlab/nat_table.h"

#include <assert.h>
#include <string.h>

#define NAT_UDP_LIFETIME_US (120 * 1000000LL) /* RFC 4787 REQ-5 */

enum { RANDOM_TRIES = 64 }; /* then the range is nearly full and is searched */

/* ---- what entries depend on, and for how long ---- */

static enum nat_scope mapping_scope(const struct nat *n, uint8_t proto)
{
    return n->conf.mapping == SCOPE_NONE ? SCOPE_EI
           : proto == NAT_UDP            ? n->conf.mapping
                                         : SCOPE_APD;
}

static enum nat_scope filter_scope(const struct nat *n, uint8_t proto)
{
    return proto == NAT_UDP || n->conf.filtering == SCOPE_NONE ? n->conf.filtering : SCOPE_APD;
}

static struct addr narrow(const struct addr *a, enum nat_scope scope)
{
    struct addr r = *a;

    if (scope == SCOPE_AD)
        r.port = 0;
    return scope >= SCOPE_AD ? r : (struct addr){0};
}

/* ---- ports ---- */

/* A port is taken by a live mapping; with overloading only by one with the same remote. */
static bool port_free(struct nat *n, int64_t now_us, uint8_t proto, uint16_t port,
                      const struct addr *remote)
{
    struct addr external = n->conf.external;
    bool overload = n->conf.overload || proto != NAT_UDP;
    uint32_t next;

    external.port = port;
    for (uint32_t i = *nat_outside(n, proto, &external); i != 0; i = next) {
        const struct nat_mapping *m = &n->mappings[i - 1];
        next = m->next_outside;
        if (m->proto != proto || !addr_eq(&m->external, &external))
            continue;
        if (nat_expired(n, proto, m->refreshed_us, now_us))
            nat_remove_mapping(n, i);
        else if (!overload || addr_eq(&m->remote, remote))
            return false;
    }
    return true;
}

/* The first free port from one on, in steps through the range; 0 if all are taken. */
static uint16_t search(struct nat *n, int64_t now_us, uint8_t proto, const struct addr *remote,
                       int64_t offset, int64_t step)
{
    int64_t range = (int64_t)n->conf.hi - n->conf.lo + 1;

    for (int64_t i = 0; i < range; i++, offset += step) {
        offset = (offset % range + range) % range;
        uint16_t port = (uint16_t)(n->conf.lo + offset);
        if (port_free(n, now_us, proto, port, remote))
            return port;
    }
    return 0;
}

static uint16_t contiguous_port(struct nat *n, int64_t now_us, uint8_t proto,
                                const struct addr *remote)
{
    int64_t taken = (now_us - n->last_port_us) * n->conf.background_per_s / 1000000;
    int64_t offset = n->last_port - n->conf.lo + n->conf.delta * (taken + 1);
    uint16_t port = search(n, now_us, proto, remote, offset, n->conf.delta);

    if (port != 0) {
        n->last_port = port;
        n->last_port_us = now_us;
    }
    return port;
}

static uint16_t random_port(struct nat *n, int64_t now_us, uint8_t proto, const struct addr *remote)
{
    uint64_t range = (uint64_t)n->conf.hi - n->conf.lo + 1;

    for (int i = 0; i < RANDOM_TRIES; i++) {
        uint16_t port = (uint16_t)(n->conf.lo + rng_below(&n->rng, range));
        if (port_free(n, now_us, proto, port, remote))
            return port;
    }
    return search(n, now_us, proto, remote, (int64_t)rng_below(&n->rng, range), 1);
}

static uint16_t choose_port(struct nat *n, int64_t now_us, uint8_t proto, uint16_t internal,
                            const struct addr *remote)
{
    switch (proto == NAT_UDP ? n->conf.allocation : NAT_PRESERVE) {
    case NAT_CONTIGUOUS: return contiguous_port(n, now_us, proto, remote);
    case NAT_RANDOM: return random_port(n, now_us, proto, remote);
    case NAT_PRESERVE: break;
    }
    return search(n, now_us, proto, remote, (int64_t)internal - n->conf.lo, 1);
}

/* ---- packets ---- */

static enum nat_result open_mapping(struct nat *n, int64_t now_us, uint8_t proto,
                                    const struct addr *internal, const struct addr *remote,
                                    struct nat_mapping **m)
{
    if (n->n_mappings == NAT_MAPPINGS_MAX && !nat_room_for_mapping(n, now_us))
        return NAT_TABLE_FULL;
    struct addr external = *internal;
    if (n->conf.mapping != SCOPE_NONE) {
        external = n->conf.external;
        external.port = choose_port(n, now_us, proto, internal->port, remote);
        if (external.port == 0)
            return NAT_NO_PORT;
    }
    *m = nat_add_mapping(n, now_us, proto, internal, remote, &external);
    return NAT_PASS;
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
    struct nat_filter *f = nat_find_filter(n, m, &remote);
    if (f == NULL || nat_expired(n, m->proto, f->refreshed_us, now_us))
        return false;
    if (n->conf.inbound_refreshes)
        f->refreshed_us = now_us;
    return true;
}

static bool transparent(const struct nat *n)
{
    return n->conf.mapping == SCOPE_NONE && n->conf.filtering == SCOPE_NONE;
}

static enum nat_result refuse(const struct nat *n, uint8_t proto)
{
    if (proto != NAT_UDP && proto != NAT_TCP && proto != NAT_ICMP)
        return transparent(n) ? NAT_PASS : NAT_PROTOCOL;
    return proto == NAT_UDP && n->conf.udp_blocked ? NAT_UDP_BLOCKED : NAT_PASS;
}

static enum nat_result outbound(struct nat *n, int64_t now_us, uint8_t proto, struct addr *src,
                                const struct addr *dst)
{
    enum nat_result r = refuse(n, proto);

    if (r != NAT_PASS || transparent(n))
        return r;
    struct addr remote = narrow(dst, mapping_scope(n, proto));
    struct nat_mapping *m = nat_find_mapping(n, now_us, proto, src, &remote);
    if (m == NULL && (r = open_mapping(n, now_us, proto, src, &remote, &m)) != NAT_PASS)
        return r;
    m->refreshed_us = now_us;
    r = admit(n, now_us, m, dst);
    if (r == NAT_PASS)
        *src = m->external;
    return r;
}

static enum nat_result inbound(struct nat *n, int64_t now_us, uint8_t proto, const struct addr *src,
                               struct addr *dst)
{
    enum nat_result r = refuse(n, proto);

    if (r != NAT_PASS || transparent(n))
        return r;
    struct addr key = narrow(src, mapping_scope(n, proto));
    struct nat_mapping *best = NULL;
    uint32_t next;

    r = NAT_NO_MAPPING;
    for (uint32_t i = *nat_outside(n, proto, dst); i != 0; i = next) {
        struct nat_mapping *m = &n->mappings[i - 1];
        next = m->next_outside;
        if (m->proto != proto || !addr_eq(&m->external, dst))
            continue;
        if (nat_expired(n, proto, m->refreshed_us, now_us)) {
            nat_remove_mapping(n, i);
            continue;
        }
        r = NAT_FILTERED;
        /* Where several mappings share the port, the one that was made for this remote goes first. */
        if ((best == NULL || addr_eq(&m->remote, &key)) && admits(n, now_us, m, src))
            best = m;
    }
    if (best == NULL)
        return r;
    if (n->conf.inbound_refreshes)
        best->refreshed_us = now_us;
    *dst = best->internal;
    /* Nothing is lost when the table is full: the answer just leaves by a new mapping. */
    if (n->conf.stranger_same && !addr_eq(&best->remote, &key) &&
        n->n_mappings < NAT_MAPPINGS_MAX && nat_find_mapping(n, now_us, proto, dst, &key) == NULL) {
        struct addr external = best->external;
        admit(n, now_us, nat_add_mapping(n, now_us, proto, dst, &key, &external), src);
    }
    return NAT_PASS;
}

/* ---- the public face ---- */

void nat_init(struct nat *n, const struct nat_conf *conf, uint64_t seed)
{
    n->conf = *conf;
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
    n->last_port =
        (uint16_t)(n->conf.lo + rng_below(&n->rng, (uint64_t)n->conf.hi - n->conf.lo + 1));
    n->last_port_us = 0;
    memset(n->results, 0, sizeof n->results);
    n->evicted = n->opened = 0;
    nat_flush(n);
}

enum nat_result nat_out(struct nat *n, int64_t now_us, uint8_t proto, struct addr *src,
                        const struct addr *dst)
{
    enum nat_result r = outbound(n, now_us, proto, src, dst);

    n->results[r]++;
    return r;
}

enum nat_result nat_in(struct nat *n, int64_t now_us, uint8_t proto, const struct addr *src,
                       struct addr *dst)
{
    enum nat_result r = inbound(n, now_us, proto, src, dst);

    n->results[r]++;
    return r;
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
