/*
 * nat.h - one network address translator in the words of RFC 4787: what an inside host sends gets a
 * mapping, what the outside sends passes the filter or is dropped with a reason.
 *
 * Pure: time comes in, randomness is a generator in the struct, memory is the struct itself (about
 * 1.2 MB: let the caller allocate it).  nat_init touches little of it, so thousands are cheap.
 */
#ifndef NATLAB_NAT_H
#define NATLAB_NAT_H

#include "lib/addr.h"
#include "lib/rng.h"

enum {
    NAT_MAPPINGS_MAX = 4096,
    NAT_FILTERS_MAX = 16384, /* remotes that mappings have sent to: a birthday attempt is 3,000 */
    NAT_BUCKETS = 4096,      /* a power of two */
};

/* As on the wire, and the only ones a NAT knows. */
enum { NAT_ICMP = 1, NAT_TCP = 6, NAT_UDP = 17 };

/*
 * What a mapping (RFC 4787 4.1) or a filter (5) depends on.  Mapping SCOPE_NONE keeps addresses as they
 * are: with filtering that is a stateful firewall in front of a public host, without it is no NAT at all.
 * Filtering SCOPE_NONE lets everything in that has somewhere to go.
 */
enum nat_scope { SCOPE_NONE, SCOPE_EI, SCOPE_AD, SCOPE_APD };

enum nat_allocation {
    NAT_PRESERVE,   /* the inside port if it is free, else the next free one above */
    NAT_CONTIGUOUS, /* the last one given out + delta */
    NAT_RANDOM,     /* uniform over the range */
};

/* RFC 4787 6: what a host sees as source of a packet that another one sent to the NAT's outside. */
enum nat_hairpin { NAT_HAIRPIN_NONE, NAT_HAIRPIN_INTERNAL, NAT_HAIRPIN_EXTERNAL };

/*
 * mapping, filtering, allocation are about UDP.  TCP and ICMP echo always get APD mappings and filters
 * with the port (the identifier) kept whenever it is free for that remote.
 */
struct nat_conf {
    enum nat_scope mapping, filtering;
    enum nat_allocation allocation;
    enum nat_hairpin hairpin;
    struct addr external;      /* the public ip; the port is not used */
    int32_t delta;             /* contiguous; 0 means 1, may be negative */
    uint32_t background_per_s; /* contiguous: ports that others behind the same NAT take */
    uint16_t lo, hi;           /* port range, inclusive; 0, 0 means 1024 to 65535 */
    int64_t lifetime_us;       /* UDP, since the last refresh; 0 means 120 s (RFC 4787 REQ-5) */
    bool inbound_refreshes;    /* RFC 4787 REQ-6: outbound always does */
    bool overload;             /* a port may serve several mappings whose remotes differ (Linux) */
    bool stranger_same; /* the answer to an accepted stranger leaves by the mapping it used */
    bool full_evicts;   /* a full table drops its oldest entry instead of refusing */
    bool udp_blocked;
};

/* One row per outcome: name, text. */
#define NAT_RESULTS_X(X)                                                                      \
    X(PASS, "pass")                                                                           \
    X(NO_MAPPING, "no-mapping")     /* inbound to a port that is nobody's */                  \
    X(FILTERED, "filtered")         /* inbound to a mapping that does not admit the source */ \
    X(TABLE_FULL, "table-full")     /* outbound, mappings or filters */                       \
    X(NO_PORT, "no-port")           /* outbound, every port of the range is taken */          \
    X(NO_HAIRPIN, "no-hairpin")     /* outbound to the NAT's own outside */                   \
    X(UDP_BLOCKED, "udp-blocked")   /* both directions */                                     \
    X(PROTOCOL, "unknown-protocol") /* neither UDP, TCP nor ICMP echo */

enum nat_result {
#define X(name, text) NAT_##name,
    NAT_RESULTS_X(X)
#undef X
        NAT_RESULTS
};

struct nat_mapping {
    uint8_t proto; /* 0: the slot is free */
    struct addr internal, external;
    struct addr remote; /* as far as the mapping depends on it: none, ip with port 0, both */
    int64_t created_us, refreshed_us;
    uint32_t first_filter; /* slot + 1, and so are all links; 0 ends a chain */
    uint32_t next_inside, next_outside;
};

struct nat_filter {
    struct addr remote; /* as far as the filter depends on it; len 0: the slot is free */
    uint32_t mapping;   /* slot + 1 */
    int64_t refreshed_us;
    uint32_t next, next_of_mapping;
};

struct nat {
    struct nat_conf conf;
    struct rng rng;
    uint16_t last_port;   /* contiguous */
    int64_t last_port_us; /* when it was given out */
    uint64_t results[NAT_RESULTS], evicted, opened;
    uint32_t n_mappings, n_filters;     /* in use or awaiting expiry */
    uint32_t mappings_end, filters_end; /* slots past these were never used */
    uint32_t free_mapping, free_filter; /* chains through next_inside and next */
    uint32_t inside[NAT_BUCKETS], outside[NAT_BUCKETS], filter[NAT_BUCKETS];
    struct nat_mapping mappings[NAT_MAPPINGS_MAX];
    struct nat_filter filters[NAT_FILTERS_MAX];
};

void nat_init(struct nat *n, const struct nat_conf *conf, uint64_t seed);
void nat_flush(struct nat *n); /* forget all mappings, as a reboot does; counters stay */

/*
 * Translate one packet in place: outbound rewrites *src, inbound rewrites *dst.  On anything but
 * NAT_PASS the packet is to be dropped and the addresses are as they were.  For ICMP echo the port
 * of the inside end is the identifier and the other port is 0.
 */
enum nat_result nat_out(struct nat *n, int64_t now_us, uint8_t proto, struct addr *src,
                        const struct addr *dst);
enum nat_result nat_in(struct nat *n, int64_t now_us, uint8_t proto, const struct addr *src,
                       struct addr *dst);

/* Ground truth.  Start with *cursor 0; NULL ends.  Expired entries are left out. */
const struct nat_mapping *nat_next_mapping(const struct nat *n, int64_t now_us, size_t *cursor);
const struct nat_filter *nat_next_filter(const struct nat *n, int64_t now_us,
                                         const struct nat_mapping *m, size_t *cursor);

const char *nat_result_name(enum nat_result r);

#endif
