/*
 * express.h - sessions whose packets a program at the hook may forward by itself (xdp/forward.bpf.c).  Pure.
 *
 * In memory that the shell shares with that program: for each path id a cell with who may send there, where it
 * goes, and how many bytes may still; what was sent is taken from it.  The program spends, the core grants and
 * keeps account, so that a quota ends a flow to the byte without the core seeing each packet.
 *
 * Cells are in sets, found by the path id.  Of two workers each writes those of its own sessions; only for a
 * free one they compete.  A path id that finds its set full has no cell, and its packets take the usual way.
 */
#ifndef RELAY_EXPRESS_H
#define RELAY_EXPRESS_H

#include "lib/addr.h"
#include "lib/xdp/slots.h"

enum { EXPRESS_WAYS = 8, EXPRESS_BITS_MIN = 4 };
/* What is forwarded, as lib/packet.h and lib/relaywire.h have it: more than a program at the hook can include. */
enum {
    EXPRESS_CONTROL = 0x08,
    EXPRESS_PUNCH = 0x09,
    EXPRESS_PONG = 0x0a,
    EXPRESS_DATA = 0x0b,
    EXPRESS_KEEP = 5,
    EXPRESS_KEEP_BYTES = 10,
    EXPRESS_PUNCH_BYTES = 109,
    EXPRESS_DATA_MIN = 34,
    EXPRESS_DATA_MAX = 1186,
};
#define EXPRESS_NONE UINT32_MAX
#define EXPRESS_MIX UINT64_C(0x9e3779b97f4a7c15)

struct express_head {
    struct xdp_place place;
    uint32_t bits;
};

struct express_set {
    uint64_t path[EXPRESS_WAYS]; /* 0: free */
};

/* Addresses and ports as they are in packets. */
struct express_cell {
    uint32_t version; /* odd: being written, or nothing */
    uint32_t back;    /* the cell of the other direction */
    uint32_t from_ip, to_ip;
    uint16_t from_port, to_port;
    uint8_t to_mac[6];   /* the program's: whence packets of that side come */
    uint8_t from_mac[6]; /* the same of who sends, as told to the cell of the other direction */
    uint16_t reachable;  /* to_mac is known */
    int64_t credit;      /* bytes */
    uint64_t packets;    /* since the cell was taken */
    uint64_t reserved;   /* a line for each */
};

struct express {
    struct express_set *sets; /* NULL: there is no such program */
    struct express_cell *cells;
    unsigned bits;
};

/* 2^bits sets for so many sessions, of which a fourth is in use at most. */
unsigned express_bits(uint32_t sessions_max);

/* A cell for this path id; EXPRESS_NONE without room, or without a program. */
uint32_t express_take(struct express *e, const uint8_t path[static 8]);
void express_leave(struct express *e, uint32_t at);

/* From now on from may send to `to`, both of IPv4; nothing yet, since there is no credit. */
void express_lead(struct express *e, uint32_t at, uint32_t back, const struct addr *from,
                  const struct addr *to);

/* Give so many bytes more; take back what is left; see what is left; see how many packets there were. */
void express_grant(struct express *e, uint32_t at, uint64_t bytes);
uint64_t express_revoke(struct express *e, uint32_t at);
uint64_t express_left(const struct express *e, uint32_t at);
uint64_t express_packets(const struct express *e, uint32_t at);

#endif
