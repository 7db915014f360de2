/* nat_table.c - see nat_table.h. */
#include "tests/natlab/nat_table.h"

#include <assert.h>
#include <string.h>

#define NAT_TCP_LIFETIME_US (7440 * 1000000LL) /* RFC 5382 REQ-5: 2 h 4 min */
#define NAT_ICMP_LIFETIME_US (60 * 1000000LL)  /* RFC 5508 REQ-2 */

static int64_t lifetime_us(const struct nat *n, uint8_t proto)
{
    return proto == NAT_UDP ? n->conf.lifetime_us
                            : (proto == NAT_TCP ? NAT_TCP_LIFETIME_US : NAT_ICMP_LIFETIME_US);
}

bool nat_expired(const struct nat *n, uint8_t proto, int64_t refreshed_us, int64_t now_us)
{
    return now_us - refreshed_us >= lifetime_us(n, proto);
}

static uint32_t hash(uint32_t h, const struct addr *a)
{
    for (size_t i = 0; i < a->len; i++)
        h = (h ^ a->ip[i]) * 16777619u; /* FNV-1a */
    h = (h ^ (a->port & 0xff)) * 16777619u;
    h = (h ^ (uint32_t)(a->port >> 8)) * 16777619u;
    return h;
}

static uint32_t bucket(uint32_t h) { return (h ^ (h >> 15)) & (NAT_BUCKETS - 1); }

static uint32_t *inside_bucket(struct nat *n, uint8_t proto, const struct addr *internal,
                               const struct addr *remote)
{
    return &n->inside[bucket(hash(hash(proto, internal), remote))];
}

uint32_t *nat_outside(struct nat *n, uint8_t proto, const struct addr *external)
{
    return &n->outside[bucket(hash(proto, external))];
}

static uint32_t *filter_bucket(struct nat *n, uint32_t mapping, const struct addr *remote)
{
    return &n->filter[bucket(hash(mapping * 2654435761u, remote))];
}

static void remove_filter(struct nat *n, uint32_t slot)
{
    struct nat_filter *f = &n->filters[slot - 1];
    uint32_t *p = filter_bucket(n, f->mapping, &f->remote);

    while (*p != slot)
        p = &n->filters[*p - 1].next;
    *p = f->next;
    p = &n->mappings[f->mapping - 1].first_filter;
    while (*p != slot)
        p = &n->filters[*p - 1].next_of_mapping;
    *p = f->next_of_mapping;
    f->remote.len = 0;
    f->next = n->free_filter;
    n->free_filter = slot;
    n->n_filters--;
}

void nat_remove_mapping(struct nat *n, uint32_t slot)
{
    struct nat_mapping *m = &n->mappings[slot - 1];

    while (m->first_filter != 0)
        remove_filter(n, m->first_filter);
    uint32_t *p = inside_bucket(n, m->proto, &m->internal, &m->remote);
    while (*p != slot)
        p = &n->mappings[*p - 1].next_inside;
    *p = m->next_inside;
    p = nat_outside(n, m->proto, &m->external);
    while (*p != slot)
        p = &n->mappings[*p - 1].next_outside;
    *p = m->next_outside;
    m->proto = 0;
    m->next_inside = n->free_mapping;
    n->free_mapping = slot;
    n->n_mappings--;
}

bool nat_room_for_mapping(struct nat *n, int64_t now_us)
{
    uint32_t oldest = 1;

    for (uint32_t i = 1; i <= NAT_MAPPINGS_MAX; i++) {
        const struct nat_mapping *m = &n->mappings[i - 1];
        if (nat_expired(n, m->proto, m->refreshed_us, now_us))
            nat_remove_mapping(n, i);
        else if (m->refreshed_us < n->mappings[oldest - 1].refreshed_us)
            oldest = i;
    }
    if (n->n_mappings < NAT_MAPPINGS_MAX)
        return true;
    if (!n->conf.full_evicts)
        return false;
    nat_remove_mapping(n, oldest);
    n->evicted++;
    return true;
}

bool nat_room_for_filter(struct nat *n, int64_t now_us)
{
    uint32_t oldest = 1;

    for (uint32_t i = 1; i <= NAT_FILTERS_MAX; i++) {
        const struct nat_filter *f = &n->filters[i - 1];
        if (nat_expired(n, n->mappings[f->mapping - 1].proto, f->refreshed_us, now_us))
            remove_filter(n, i);
        else if (f->refreshed_us < n->filters[oldest - 1].refreshed_us)
            oldest = i;
    }
    if (n->n_filters < NAT_FILTERS_MAX)
        return true;
    if (!n->conf.full_evicts)
        return false;
    remove_filter(n, oldest);
    n->evicted++;
    return true;
}

struct nat_mapping *nat_find_mapping(struct nat *n, int64_t now_us, uint8_t proto,
                                     const struct addr *internal, const struct addr *remote)
{
    for (uint32_t i = *inside_bucket(n, proto, internal, remote); i != 0;) {
        struct nat_mapping *m = &n->mappings[i - 1];
        if (m->proto == proto && addr_eq(&m->internal, internal) && addr_eq(&m->remote, remote)) {
            if (!nat_expired(n, proto, m->refreshed_us, now_us))
                return m;
            nat_remove_mapping(n, i);
            return NULL;
        }
        i = m->next_inside;
    }
    return NULL;
}

struct nat_filter *nat_find_filter(struct nat *n, const struct nat_mapping *m,
                                   const struct addr *remote)
{
    uint32_t mapping = (uint32_t)(m - n->mappings) + 1;

    for (uint32_t i = *filter_bucket(n, mapping, remote); i != 0; i = n->filters[i - 1].next)
        if (n->filters[i - 1].mapping == mapping && addr_eq(&n->filters[i - 1].remote, remote))
            return &n->filters[i - 1];
    return NULL;
}

struct nat_mapping *nat_add_mapping(struct nat *n, int64_t now_us, uint8_t proto,
                                    const struct addr *internal, const struct addr *remote,
                                    const struct addr *external)
{
    uint32_t slot = n->free_mapping;

    if (slot != 0)
        n->free_mapping = n->mappings[slot - 1].next_inside;
    else
        slot = ++n->mappings_end;
    assert(slot <= NAT_MAPPINGS_MAX);
    struct nat_mapping *m = &n->mappings[slot - 1];
    uint32_t *inside = inside_bucket(n, proto, internal, remote);
    uint32_t *outside = nat_outside(n, proto, external);
    *m = (struct nat_mapping){.proto = proto,
                              .internal = *internal,
                              .external = *external,
                              .remote = *remote,
                              .created_us = now_us,
                              .refreshed_us = now_us,
                              .next_inside = *inside,
                              .next_outside = *outside};
    *inside = *outside = slot;
    n->n_mappings++;
    n->opened++;
    return m;
}

struct nat_filter *nat_add_filter(struct nat *n, struct nat_mapping *m, const struct addr *remote)
{
    uint32_t slot = n->free_filter;

    if (slot != 0)
        n->free_filter = n->filters[slot - 1].next;
    else
        slot = ++n->filters_end;
    assert(slot <= NAT_FILTERS_MAX);
    struct nat_filter *f = &n->filters[slot - 1];
    *f = (struct nat_filter){.remote = *remote, .mapping = (uint32_t)(m - n->mappings) + 1};
    uint32_t *head = filter_bucket(n, f->mapping, remote);
    f->next = *head;
    f->next_of_mapping = m->first_filter;
    *head = m->first_filter = slot;
    n->n_filters++;
    return f;
}

void nat_flush(struct nat *n)
{
    n->n_mappings = n->n_filters = 0;
    n->mappings_end = n->filters_end = 0;
    n->free_mapping = n->free_filter = 0;
    n->n_subscribers = 0;
    memset(n->inside, 0, sizeof n->inside);
    memset(n->outside, 0, sizeof n->outside);
    memset(n->filter, 0, sizeof n->filter);
}

const struct nat_mapping *nat_next_mapping(const struct nat *n, int64_t now_us, size_t *cursor)
{
    while (*cursor < n->mappings_end) {
        const struct nat_mapping *m = &n->mappings[(*cursor)++];
        if (m->proto != 0 && !nat_expired(n, m->proto, m->refreshed_us, now_us))
            return m;
    }
    return NULL;
}

const struct nat_filter *nat_next_filter(const struct nat *n, int64_t now_us,
                                         const struct nat_mapping *m, size_t *cursor)
{
    uint32_t slot = *cursor == 0 ? m->first_filter : n->filters[*cursor - 1].next_of_mapping;

    for (; slot != 0; slot = n->filters[slot - 1].next_of_mapping) {
        const struct nat_filter *f = &n->filters[slot - 1];
        if (nat_expired(n, m->proto, f->refreshed_us, now_us))
            continue;
        *cursor = slot;
        return f;
    }
    return NULL;
}
