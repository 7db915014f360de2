/*
 * packet.h - what peers send each other over UDP, directly or through a relay: punch, pong, data.
 *
 * Datagrams are told apart by their first byte, which RFC 9443 leaves free:
 *
 *   0x00..0x03  STUN (lib/stun.h)
 *   0x08        relay control (lib/relaywire.h)
 *   0x09 punch, 0x0a pong, 0x0b data: below
 *
 *   type 1 | path id 8 | counter 8 | sealed body | tag 16
 *
 * The path id names the receiver's end: path_id(session, receiver's side).  It is all that a relay
 * reads.  The seal is ChaCha20-Poly1305 (RFC 8439) with nonce 0000 | counter and the 17 bytes before
 * the body as associated data.  Counters start at 1, are never reused under a key and guard against
 * replay (struct replay).  Integers are big-endian.
 *
 *   punch, pong  body of 76 bytes: echo 8 | technique 1 | flags 1 | Noise message 48 | seen address 18
 *                under the punch key of the sender's side, from X25519 of the two ids and the session;
 *                echo is, in a punch, a challenge made for the address that it goes to, and a pong returns
 *                that of the punch that it answers; seen (port 2 | ip 16, IPv4 as
 *                ::ffff:a.b.c.d) is where that punch came from, zero in a punch
 *   data         body: kind 1 | payload, under the Noise transport key, or a later one (lib/rekey.h)
 *
 * A punch and a pong have the same length, so that nobody is amplified.  Pure.
 */
#ifndef PACKET_H
#define PACKET_H

#include "lib/addr.h"
#include "lib/id.h"
#include "lib/noise.h"

enum { PACKET_RELAY = 0x08, PACKET_PUNCH = 0x09, PACKET_PONG = 0x0a, PACKET_DATA = 0x0b };
enum {
    PACKET_HEADER = 17,
    PACKET_TAG = 16,
    PUNCH_BODY = 8 + 1 + 1 + NOISE_MSG + 18,
    PUNCH_BYTES = PACKET_HEADER + PUNCH_BODY + PACKET_TAG,
    PAYLOAD_MAX = 1152, /* what an application may send in one datagram */
    DATA_OVERHEAD = PACKET_HEADER + 1 + PACKET_TAG,
    DATA_BYTES_MAX = DATA_OVERHEAD + PAYLOAD_MAX,
};

struct path_id {
    uint8_t b[8];
};

/* First 8 bytes of BLAKE2b-256 over the side (one byte), keyed by the session id; side 0 is the initiator. */
struct path_id path_id(const struct sid *session, unsigned side);

/* What of a packet can be read without keys.  False when it is of another type or can't have its length. */
struct packet_head {
    uint8_t type;
    struct path_id path;
    uint64_t counter;
};
bool packet_head(const uint8_t *data, size_t len, struct packet_head *out);

/* ---- punch and pong ----------------------------------------------------------------------- */

enum {
    PUNCH_HAS_NOISE = 1,
    PUNCH_CONFIRMED = 2, /* I have had a pong from you here */
    PUNCH_MET = 8,       /* what you sent to this very port gets in, and the answer got back */
    PUNCH_ASIDE = 4      /* another session of mine has the sockets that this one needs */
};

struct punch {
    uint8_t type; /* PACKET_PUNCH or PACKET_PONG */
    uint64_t counter, echo;
    uint8_t technique, flags;
    uint8_t noise[NOISE_MSG];
    struct addr seen;
};

/* The key that a side seals its punches with: one for each side, the same bytes computed by both peers.
 * False when the remote key has small order. */
bool punch_keys(const uint8_t secret[static 32], const struct peer_id *remote,
                const struct sid *session, uint8_t side0[static 32], uint8_t side1[static 32]);

/* Seal p with the own side's key, for the path that its receiver named; the counter must not come twice. */
void punch_seal(const struct punch *p, const struct path_id *to, const uint8_t key[static 32],
                uint8_t out[static PUNCH_BYTES]);

/* False when it was not sealed with this key. */
bool punch_open(const uint8_t *data, size_t len, const uint8_t key[static 32], struct punch *out);

/* ---- data ----------------------------------------------------------------------------------- */

enum data_kind {
    DATA_APP,
    DATA_PING,
    DATA_PONG,
    DATA_CLOSE,
    DATA_OFFER, /* raw hand-over: services/executor/hand.c */
    DATA_TAKE,
    DATA_GO,
    DATA_LEFT,  /* the direct way: services/executor/alive.c */
    DATA_MOVED, /* to another address: services/executor/moved.c */
    DATA_ASK,   /* one direction only: services/executor/half.c */
    DATA_HEARD,
    DATA_KINDS
};

/* Seal len <= PAYLOAD_MAX bytes; returns the packet's length. */
size_t data_seal(enum data_kind kind, const uint8_t *payload, size_t len, uint64_t counter,
                 const struct path_id *to, const uint8_t key[static 32],
                 uint8_t out[static DATA_BYTES_MAX]);

/* Open into payload; returns its length, or -1 when forged or malformed. */
int data_open(const uint8_t *data, size_t len, const uint8_t key[static 32], uint8_t *kind,
              uint8_t payload[static PAYLOAD_MAX]);

/* ---- replay ----------------------------------------------------------------------------------- */

/* A sliding window over counters (RFC 4303 section 3.4.3), wide enough for a path switch.  Begins zeroed. */
enum { REPLAY_WINDOW = 2048 };
struct replay {
    uint64_t top;
    uint64_t seen[REPLAY_WINDOW / 64];
};

/* True, and remembered, when this counter is in or above the window and not yet seen.  Call only after the seal was opened. */
bool replay_accept(struct replay *r, uint64_t counter);

#endif
