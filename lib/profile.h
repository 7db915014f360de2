/*
 * profile.h - what is known of a peer's NAT, in the words of RFC 4787 (mapping, filtering) and
 * NATCracker (allocation).  `unknown` is a value; a guess is not.  Pure.
 */
#ifndef PROFILE_H
#define PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 4787 sections 4.1 and 5.  `none`: no NAT, or nothing is filtered. */
enum behaviour { NAT_UNKNOWN, NAT_NONE, NAT_EI, NAT_AD, NAT_APD, BEHAVIOUR_COUNT };

/* How the port of a new mapping is chosen (RFC 4787 section 4.2). */
enum allocation { ALLOC_UNKNOWN, ALLOC_PRESERVE, ALLOC_CONTIGUOUS, ALLOC_RANDOM, ALLOCATION_COUNT };

/*
 * RFC 4787 section 6: is what a host sends to the NAT's own outside brought back in, and under which source?
 * `none`: nothing was seen to come back.  What comes back under the private source may be dropped by the host that
 * measures, as its own address is on it, so `none` forbids nothing.
 */
enum hairpin { HAIRPIN_UNKNOWN, HAIRPIN_NONE, HAIRPIN_INTERNAL, HAIRPIN_EXTERNAL, HAIRPIN_COUNT };

/*
 * Does a packet that comes in unasked take its port, so that what is then sent to its sender leaves by another one?
 * unknown too where nothing comes unasked, or each destination sees another port anyway.
 */
enum clash { CLASH_UNKNOWN, CLASH_NONE, CLASH_CLAIMS, CLASH_COUNT };

/*
 * RFC 4787 section 4.1: arbitrary when sockets of one host were seen at several public ips, by destination when one
 * socket was, so that nobody knows the ip that its next peer will see.  That a pool is paired, or none, can't be
 * seen from outside.
 */
enum pool { POOL_UNKNOWN, POOL_ARBITRARY, POOL_BY_DESTINATION, POOL_COUNT };

enum { PORTS_TAKEN_MAX = 16 };

struct profile {
    uint8_t mapping;           /* enum behaviour */
    uint8_t filtering;         /* enum behaviour */
    uint8_t allocation;        /* enum allocation */
    uint8_t confidence;        /* percent */
    int16_t delta;             /* contiguous: step from one new mapping's port to the next */
    uint16_t port_lo, port_hi; /* range that external ports were seen in; 0, 0 when not known */
    uint32_t age_s;            /* since it was measured, at the time of sending */
    uint8_t hairpin;           /* enum hairpin */
    uint8_t clash;             /* enum clash */
    uint8_t pool;              /* enum pool */
    uint16_t block_lo,
        block_hi; /* random: the block that ports are drawn from; 0, 0 when not known */
    uint8_t
        share; /* so much of its block, in percent, the peer opens at most to be met there; 0: it does not */
    uint16_t taken[PORTS_TAKEN_MAX]; /* of the block: ports that probers saw; 0 after the last */
    bool mapped; /* by an operator, and a prober's fresh token proves it: known to coordinators */
};

extern const char *const behaviour_name[BEHAVIOUR_COUNT]; /* "unknown", "none", "ei", "ad", "apd" */
extern const char *const allocation_name[ALLOCATION_COUNT]; /* "unknown", "preserve", ... */
extern const char *const hairpin_name[HAIRPIN_COUNT];       /* "unknown", "none", "internal", ... */
extern const char *const clash_name[CLASH_COUNT];           /* "unknown", "none", "claims" */
extern const char *const pool_name[POOL_COUNT];             /* "unknown", "arbitrary", ... */

/* False when a field holds no value of its enumeration. */
bool profile_valid(const struct profile *p);

/* How many ports are told as taken. */
size_t profile_taken(const struct profile *p);

/*
 * The name people know, derived for display only and never stored or decided on: open, firewalled,
 * full_cone, restricted, port_restricted, symmetric, unknown (RFC 3489 section 5).  When filtering is
 * not known an ei mapping is "cone", and a host without NAT, which a firewall may hide, "unknown".
 */
const char *profile_display(const struct profile *p);

#endif
