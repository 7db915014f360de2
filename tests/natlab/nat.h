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
#include "lib/profile.h"
#include "lib/rng.h"

enum {
    NAT_POOL_MAX = 4,         /* public addresses of one NAT */
    NAT_SUBSCRIBERS_MAX = 64, /* inside addresses that it knows at once */
    NAT_MAPPINGS_MAX = 4096,
    NAT_FILTERS_MAX = 16384, /* remotes that mappings have sent to: a birthday attempt is 3,000 */
    NAT_BUCKETS = 4096,      /* a power of two */
};

/* As on the wire, and the only ones a NAT knows; NAT_ERROR stands for all errors of ICMP. */
enum { NAT_ICMP = 1, NAT_TCP = 6, NAT_UDP = 17, NAT_ERROR = 255 };

/* RFC 4787 6: what a host sees as source of a packet that another one sent to the NAT's outside. */
enum nat_hairpin { NAT_HAIRPIN_NONE, NAT_HAIRPIN_INTERNAL, NAT_HAIRPIN_EXTERNAL };

/* RFC 4787 4.1: whether an inside address keeps to one public address of the pool. */
enum nat_pooling { NAT_POOLING_PAIRED, NAT_POOLING_ARBITRARY };

/* ICMP errors about what a mapping has sent: RFC 4787 REQ-10 wants them passed and nothing more. */
enum nat_errors { NAT_ERRORS_PASS, NAT_ERRORS_DROP, NAT_ERRORS_KILL /* and the mapping goes */ };

/*
 * mapping, filtering, allocation are about UDP; unknown means none, none and preserve.  TCP and ICMP echo
 * always get APD mappings and filters with the port (the identifier) kept whenever it is free for that
 * remote.  Mapping `none` keeps addresses as they are: with filtering that is a stateful firewall in front
 * of a public host, without it is no NAT at all.  Filtering `none` lets everything in that has somewhere
 * to go.  Allocation: `preserve` gives the inside port if it is free, else the next free one above; where
 * ports are overloaded, first one that the inside port has already, and any if neither is free (Linux).
 *
 * A forwarded port is what an operator sets up: whoever sends there is let in, and answered from there, as
 * by conntrack; what the inside sends unasked leaves by a mapping like any other.
 */
struct nat_conf {
    enum behaviour mapping, filtering;
    enum allocation allocation;
    enum nat_hairpin hairpin;
    enum nat_pooling pooling;
    enum nat_errors errors;
    struct addr external[NAT_POOL_MAX]; /* the public ips; ports are not used */
    size_t n_external;                  /* 0 means 1 */
    uint16_t block; /* ports of a subscriber's own block; 0: all share the range */
    int32_t delta;  /* contiguous; 0 means 1, may be negative */
    uint32_t
        background_per_s;   /* contiguous: ports that others behind the same NAT take, by chance */
    uint16_t lo, hi;        /* port range, inclusive; 0, 0 means 1024 to 65535 */
    int64_t lifetime_us;    /* UDP, since the last refresh; 0 means 120 s (RFC 4787 REQ-5) */
    bool inbound_refreshes; /* RFC 4787 REQ-6: outbound always does */
    bool overload;          /* a port may serve several mappings whose remotes differ (Linux) */
    bool stranger_same;     /* the answer to an accepted stranger leaves by the mapping it used */
    bool claims;  /* what comes in unasked owns its port towards its sender (Linux, unfiltered) */
    bool rejects; /* what comes in unasked is answered: port unreachable */
    bool expired_maps; /* a packet whose TTL ends in this NAT has its mapping nevertheless */
    bool full_evicts;  /* a full table drops its oldest entry instead of refusing */
    bool udp_blocked;
    uint16_t forward; /* of external[0], to forward_to: UDP from anybody; 0: none */
    struct addr forward_to;
};

/* One row per outcome: name, text. */
#define NAT_RESULTS_X(X)                                                                      \
    X(PASS, "pass")                                                                           \
    X(NO_MAPPING, "no-mapping")     /* inbound to a port that is nobody's */                  \
    X(FILTERED, "filtered")         /* inbound to a mapping that does not admit the source */ \
    X(TABLE_FULL, "table-full")     /* outbound, mappings, filters or subscribers */          \
    X(NO_PORT, "no-port")           /* outbound, every port of the range is taken */          \
    X(NO_HAIRPIN, "no-hairpin")     /* outbound to the NAT's own outside */                   \
    X(UDP_BLOCKED, "udp-blocked")   /* both directions */                                     \
    X(NO_ERRORS, "no-errors")       /* an ICMP error that it does not pass */                 \
    X(PROTOCOL, "unknown-protocol") /* neither UDP, TCP nor ICMP */

enum nat_result {
#define X(name, text) NAT_##name,
    NAT_RESULTS_X(X)
#undef X
        NAT_RESULTS
};

/* A mapping without an internal address is a claim: what came from remote to external unasked. */
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

/* The port that contiguous allocation gave out last, and when. */
struct nat_last {
    uint16_t port;
    int64_t us;
};

/* An inside address, with what is its own of the outside. */
struct nat_subscriber {
    struct addr ip;
    size_t external; /* of the pool */
    uint32_t block;
    struct nat_last last;
};

struct nat {
    struct nat_conf conf;
    struct rng rng;
    struct nat_last last;
    uint64_t results[NAT_RESULTS], evicted, opened;
    uint32_t n_mappings, n_filters;     /* in use or awaiting expiry */
    uint32_t mappings_end, filters_end; /* slots past these were never used */
    uint32_t free_mapping, free_filter; /* chains through next_inside and next */
    size_t n_subscribers;
    struct nat_subscriber subscribers[NAT_SUBSCRIBERS_MAX];
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

/*
 * An ICMP error on its way out or in, about a packet of that proto that went the other way, of which it
 * quotes the addresses: rewritten is the inside's end of the quote.
 */
enum nat_result nat_error_out(struct nat *n, int64_t now_us, uint8_t proto, const struct addr *src,
                              struct addr *dst);
enum nat_result nat_error_in(struct nat *n, int64_t now_us, uint8_t proto, struct addr *src,
                             const struct addr *dst);

/* Ground truth.  Start with *cursor 0; NULL ends.  Expired entries are left out. */
const struct nat_mapping *nat_next_mapping(const struct nat *n, int64_t now_us, size_t *cursor);
const struct nat_filter *nat_next_filter(const struct nat *n, int64_t now_us,
                                         const struct nat_mapping *m, size_t *cursor);

const char *nat_result_name(enum nat_result r);

#endif
