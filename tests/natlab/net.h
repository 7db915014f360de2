/*
 * net.h - the internet between the hosts: access lines (net_link.h), NATs in front of them, and the packets
 * that are under way.
 *
 * Pure, and used twice: the laboratory runs it in real time with IP datagrams as payload, the
 * simulation in virtual time with UDP payloads.  Everything follows from the seed.
 *
 *   host - its NAT, if any - access line - (the middle) - access line - NAT, if any - host
 *
 * A NAT sits at the inner end of its line: it translates at the instant of sending and of arrival.  Behind
 * it is a LAN, with hosts and, where a carrier's NAT has households as subscribers, further lines.
 * One-way delay between two hosts is the sum of all lines between them.
 */
#ifndef NATLAB_NET_H
#define NATLAB_NET_H

#include "tests/natlab/nat.h"
#include "tests/natlab/net_link.h"

enum {
    NET_HOSTS_MAX = 64,
    NET_LINES_MAX = 64,
    NET_IPS_MAX = NAT_POOL_MAX, /* of one host or one line */
    NET_PAYLOAD_MAX = 1600,
    NET_QUOTE_MAX = 128, /* of a packet, in an ICMP error about it */
    NET_TTL = 64,        /* what hosts usually send with */
};

#define NET_NEVER INT64_MAX

/* An access line: what a household or a server rents.  Its addresses are those its outside can reach. */
struct net_line {
    struct net_link up, down;
    struct nat *nat; /* the caller's; NULL for none */
    struct addr ips[NET_IPS_MAX];
    size_t n_ips;
    size_t outer; /* line + 1 on whose LAN its outside is; 0: on the internet */
    size_t
        gateway;  /* host + 1 that is the router between the LAN and its outside; 0: the model is */
    uint8_t hops; /* routers on it besides the NAT, each takes one from the TTL */
    bool silent;  /* they and the NAT don't tell the sender when the TTL has run out */
    bool forges;  /* its hosts may send from anybody's address */
};

/* What an ICMP error (RFC 792) says: type, code, and what the packet was that it is about. */
struct net_about {
    uint8_t type, code, proto;
    struct addr src, dst;
};

/*
 * src and dst ports: those of UDP and TCP; for ICMP echo see nat.h; 0 for an ICMP error.  data is opaque.
 * An error that the model made has the begin of the packet it is about as data.
 */
struct net_packet {
    uint8_t proto; /* NAT_UDP, NAT_TCP, NAT_ICMP, NAT_ERROR; others travel only where no NAT is */
    uint8_t ttl;
    bool made; /* an error, by the model */
    struct addr src, dst;
    struct net_about about;
    const void *data;
    size_t len;
};

/* Why a packet got no further.  What its NAT did not like is in that NAT's own counters. */
#define NET_RESULTS_X(X)                                                                  \
    X(OK, "ok")                                                                           \
    X(LOST, "lost")           /* the dice */                                              \
    X(CONGESTED, "congested") /* a line with a rate has too much waiting already */       \
    X(SPOOFED, "spoofed")     /* source not one of the host's addresses */                \
    X(NO_ROUTE, "no-route")   /* nobody has the destination, or nobody behind that NAT */ \
    X(TTL_EXCEEDED, "ttl-exceeded")                                                       \
    X(TOO_LONG, "too-long")     /* payload over NET_PAYLOAD_MAX */                        \
    X(QUEUE_FULL, "queue-full") /* no slot left for a packet under way */                 \
    X(NAT_OUT, "nat-out")       /* dropped by a NAT on the sender's side */               \
    X(NAT_IN, "nat-in")         /* dropped by a NAT on the receiver's side */

enum net_result {
#define X(name, text) NET_##name,
    NET_RESULTS_X(X)
#undef X
        NET_RESULTS
};

struct net_count {
    uint64_t packets, udp; /* all, and those of them that are UDP */
};

struct net_host {
    size_t line;
    struct addr ips[NET_IPS_MAX];
    size_t n_ips;
};

/*
 * Where a packet is next: on a LAN on its way out (where: line + 1; 0: the internet), at a NAT or link of
 * a line (where: line), at its host (where: host).
 */
enum net_step { STEP_LAN, STEP_OUT, STEP_UP, STEP_DOWN, STEP_IN, STEP_HOST };

struct net_trip {
    int64_t at_us;
    size_t from; /* the host that sent it */
    enum net_step step;
    size_t where;
    struct net_packet packet;
};

/* A packet under way. */
struct net_slot {
    struct net_trip trip;
    uint64_t order; /* ties arrive in the order they were sent */
    uint32_t heap;  /* entry number i of the heap lives in slot i */
    uint8_t data[NET_PAYLOAD_MAX];
};

struct net {
    struct rng rng;
    uint64_t order;
    size_t n_hosts, n_lines;
    struct net_host hosts[NET_HOSTS_MAX];
    struct net_line lines[NET_LINES_MAX]; /* links may be changed at any time */
    struct net_link_state up[NET_LINES_MAX], down[NET_LINES_MAX];
    struct net_slot *slots;
    uint32_t n_slots, n_flying,
        lent; /* slots; entries in the heap; slot + 1 that the caller reads */
    uint64_t results[NET_RESULTS];
    struct net_count sent[NET_HOSTS_MAX][NET_LINES_MAX]; /* past the sender's NATs, lost ones too */
    struct net_count delivered[NET_HOSTS_MAX][NET_HOSTS_MAX];
};

/* slots stays the caller's; a full queue drops. */
void net_init(struct net *n, uint64_t seed, struct net_slot *slots, uint32_t n_slots);

/*
 * Both return the new index.  A host's ips are private when its line has a NAT, else the line's.  The host
 * that is a line's gateway may send from any address, and gets what leaves the LAN.
 */
size_t net_add_line(struct net *n, const struct net_line *line);
size_t net_add_host(struct net *n, size_t line, const struct addr *ips, size_t n_ips);

/* Who a router on the line says it is: of TEST-NET-1 (RFC 5737). */
struct addr net_router(size_t line);

/* The packet is copied.  What comes back is for tests: a real sender would not know. */
enum net_result net_send(struct net *n, int64_t now_us, size_t host, const struct net_packet *p);

/* When the next packet arrives somewhere, or NET_NEVER. */
int64_t net_next_us(const struct net *n);

/*
 * Take the next packet that has arrived by now_us at a host, as that host sees it.  p->data is good until
 * the next net_deliver.  False: nothing more has arrived.
 */
bool net_deliver(struct net *n, int64_t now_us, struct net_packet *p, size_t *host);

const char *net_result_name(enum net_result r);

#endif
