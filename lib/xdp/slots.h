/*
 * slots.h - what programs at the hook and the processes that own them agree on (lib/xdp_shell.h).
 */
#ifndef XDP_SLOTS_H
#define XDP_SLOTS_H

#include <stdint.h>

/* Whose turn it is, in this order. */
enum xdp_slot { XDP_PROBER, XDP_RELAY, XDP_SLOTS };

/* An IP packet of at most this many bytes passes any path there is, nearly; of larger ones the kernel knows more. */
enum { XDP_IP_MAX = 1280 };

/* A process that has not said for this long that it lives is dead: what it answered goes the usual way. */
enum { XDP_DEAD_MS = 5000 };

enum { XDP_CPUS = 64 }; /* counters have a line each; more share */

/* What is for the process, at an interface: the same for all programs. */
struct xdp_place {
    uint64_t alive_ms; /* of the monotonic clock; 0: no more */
    uint32_t ip[2];    /* its own addresses, of IPv4 and in the network's order; 0: none */
    uint16_t port[2];  /* in the network's order; 0: none */
    uint8_t mac[6];
    uint8_t ttl; /* of what is sent */
};

#endif
