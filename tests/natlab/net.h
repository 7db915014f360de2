/*
 * net.h - the internet between the hosts: access lines with delay, jitter, loss and duplication, NATs
 * in front of them, and the packets that are under way.
 *
 * Pure, and used twice: the laboratory runs it in real time with IP datagrams as payload, the
 * simulation in virtual time with UDP payloads.  Everything follows from the seed.
 *
 *   host - its NAT, if any - access line - (the middle) - access line - NAT, if any - host
 *
 * A NAT sits at the host's end of the line: it translates at the instant of sending and of arrival.
 * One-way delay between two hosts is the sum of both lines'.
 */
#ifndef NATLAB_NET_H
#define NATLAB_NET_H

#include "tests/natlab/nat.h"

enum {
    NET_HOSTS_MAX = 64,
    NET_LINES_MAX = 64,
    NET_IPS_MAX = 4, /* of one host or one line */
    NET_PAYLOAD_MAX = 1600,
    NET_TTL = 64, /* what hosts usually send with */
};

#define NET_NEVER INT64_MAX

/* One direction of an access line. */
struct net_link {
    int64_t delay_us;
    int64_t jitter_us; /* added, uniform from 0: packets overtake each other */
    uint32_t loss_ppm, dup_ppm;
};

/* An access line: what a household or a server rents.  Its addresses are those the world can reach. */
struct net_line {
    struct net_link up, down;
    struct nat *nat; /* the caller's; NULL for none */
    struct addr ips[NET_IPS_MAX];
    size_t n_ips;
    uint8_t hops; /* routers on it besides the NAT, each takes one from the TTL */
};

/* src and dst ports: those of UDP and TCP; for ICMP echo see nat.h.  data is opaque. */
struct net_packet {
    uint8_t proto; /* NAT_UDP, NAT_TCP, NAT_ICMP; others travel only where no NAT is */
    uint8_t ttl;
    struct addr src, dst;
    const void *data;
    size_t len;
};

/* Why a packet got no further.  What its NAT did not like is in that NAT's own counters. */
#define NET_RESULTS_X(X)                                                                \
    X(OK, "ok")                                                                         \
    X(LOST, "lost")         /* the dice */                                              \
    X(SPOOFED, "spoofed")   /* source not one of the host's addresses */                \
    X(NO_ROUTE, "no-route") /* nobody has the destination, or nobody behind that NAT */ \
    X(TTL_EXCEEDED, "ttl-exceeded")                                                     \
    X(TOO_LONG, "too-long")     /* payload over NET_PAYLOAD_MAX */                      \
    X(QUEUE_FULL, "queue-full") /* no slot left for a packet under way */               \
    X(NAT_OUT, "nat-out")       /* dropped by the sender's NAT */                       \
    X(NAT_IN, "nat-in")         /* dropped by the receiver's NAT */

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

/* A packet under way. */
struct net_slot {
    int64_t at_us;
    uint64_t order; /* ties arrive in the order they were sent */
    size_t from, line;
    bool local; /* stays on the sender's side of its line: no NAT on the way in */
    struct net_packet packet;
    uint32_t heap; /* entry number i of the heap lives in slot i */
    uint8_t data[NET_PAYLOAD_MAX];
};

struct net {
    struct rng rng;
    uint64_t order;
    size_t n_hosts, n_lines;
    struct net_host hosts[NET_HOSTS_MAX];
    struct net_line lines[NET_LINES_MAX]; /* links may be changed at any time */
    struct net_slot *slots;
    uint32_t n_slots, n_flying,
        lent; /* slots; entries in the heap; slot + 1 that the caller reads */
    uint64_t results[NET_RESULTS];
    struct net_count sent[NET_HOSTS_MAX][NET_LINES_MAX]; /* past the sender's NAT, lost ones too */
    struct net_count delivered[NET_HOSTS_MAX][NET_HOSTS_MAX];
};

/* slots stays the caller's; a full queue drops. */
void net_init(struct net *n, uint64_t seed, struct net_slot *slots, uint32_t n_slots);

/* Both return the new index.  A host's ips are private when its line has a NAT, else the line's. */
size_t net_add_line(struct net *n, const struct net_line *line);
size_t net_add_host(struct net *n, size_t line, const struct addr *ips, size_t n_ips);

/* Who has this ip on the outside; NET_LINES_MAX for nobody. */
size_t net_find_line(const struct net *n, const struct addr *ip);

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
