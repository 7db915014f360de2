/*
 * relaywire.h - what a peer and a relay say to each other beside forwarded packets.  All begin with
 * PACKET_RELAY (0x08) and an op.  Pure.
 *
 *   BIND      op 1 | nonce 8 | ticket                  peer: I want my side of this session
 *   CHALLENGE op 2 | nonce 8 | cookie 16               relay: prove that your address receives
 *   PROVE     op 3 | nonce 8 | cookie 16 | ticket      peer: it does
 *   BOUND     op 4 | nonce 8 | status 1                relay: done; sent again when the other side binds
 *   KEEP      op 5 | path id 8                         peer: keep my side (path id of the peer's own end)
 *   KEPT      op 6 | path id 8 | status 1              relay: kept
 *   UNKNOWN   op 7 | path id 8                         relay: I know no such side from your address: bind
 *   AGAIN     op 8 | path id 8 | cookie 16             relay: the same, and PROVE at once, with the path id as nonce
 *
 * UNKNOWN answers a KEEP of an address that the relay doesn't know, as after a restart, and at most once a second
 * and source a packet to a path; AGAIN does where that packet is as long, so that a side which sends is bound again
 * one round trip after its relay is back.  A forged one costs a re-bind at most.  Then a relay forwards by (source address, path id in the packet), unchanged; from a
 * side whose ticket is for raw mode by source address alone, what is none of the above: BIND and PROVE by
 * their length, KEEP by its own path id.
 */
#ifndef RELAYWIRE_H
#define RELAYWIRE_H

#include "lib/packet.h"
#include "lib/ticket.h"

enum relay_op {
    RELAY_BIND = 1,
    RELAY_CHALLENGE,
    RELAY_PROVE,
    RELAY_BOUND,
    RELAY_KEEP,
    RELAY_KEPT,
    RELAY_UNKNOWN,
    RELAY_AGAIN
};

enum relay_status {
    RELAY_WAITING, /* the other side is not bound yet */
    RELAY_READY,   /* both are */
    RELAY_BAD_TICKET,
    RELAY_EXPIRED,
    RELAY_FULL
};

enum {
    RELAY_NONCE = 8,
    RELAY_COOKIE = 16,
    RELAY_AGAIN_BYTES = 2 + 8 + RELAY_COOKIE,
    RELAY_CONTROL_MAX = 2 + 8 + 16 + TICKET_BYTES
};

struct relay_control {
    uint8_t op;
    uint8_t nonce[RELAY_NONCE];
    uint8_t cookie[RELAY_COOKIE];
    uint8_t ticket[TICKET_BYTES];
    struct path_id path;
    uint8_t status;
};

size_t relay_encode(const struct relay_control *c, uint8_t out[static RELAY_CONTROL_MAX]);
bool relay_parse(const uint8_t *data, size_t len,
                 struct relay_control *out); /* exact lengths only */

#endif
