/*
 * ticket.h - relay tickets: the coordinator's word to a relay that one side of a session may use it.
 *
 *   version 1 | nonce 24 | crypto_box of 42 bytes (58 with its tag)
 *   plain: session 16 | side 1 | mode 1 | expiry 8 (Unix ms) | byte quota 8 | rate 8 (bytes per second)
 *
 * Sealed to the relay's X25519 key by the coordinator's (libsodium crypto_box: XSalsa20-Poly1305), so
 * that the relay keeps no state to know a ticket and a peer can't read or make one.  Integers are
 * big-endian.  Quotas are of what this side sends and are taken literally: 0 is nothing, UINT64_MAX no
 * limit.  Pure.
 *
 * The relay's key here is not the one that it is certified by, but one of a period, which follows from that and
 * from the period's number; so it outlives a restart, and needs neither a file nor a message of its own.
 *
 * The nonce begins with 4 bytes that are the same in all tickets of a session, a hash under the coordinator's
 * secret: by them a relay of several workers brings both sides to one before it has read the ticket, and who
 * chooses a session's id can't choose the worker.  It ends with 8 bytes, a hash of the others, that show before the
 * ticket is opened that who made it has the key.  By them the kernel tells a ticket from what looks like one; they are a
 * reason to read it sooner, and none to believe it.
 */
#ifndef TICKET_H
#define TICKET_H

#include "lib/id.h"
#include "lib/rng.h"

enum { TICKET_BYTES = 1 + 24 + 16 + 42, TICKET_MARK_AT = 1 };

struct ticket {
    struct sid session;
    uint8_t side, mode;
    int64_t expires_ms;
    uint64_t bytes_max, bytes_per_s; /* UINT64_MAX: no limit; 0: nothing */
};

/* How long tickets are sealed to one key, if not said otherwise: as long as they last, so that none ends early. */
#define TICKET_PERIOD_MS (INT64_C(24) * 3600000)

/* The number of the period, from 1 on, that a time is in; and the relay's X25519 secret of one. */
uint64_t ticket_period(int64_t wall_ms, int64_t period_ms);
void ticket_secret(const uint8_t relay_secret[static 32], uint64_t period,
                   uint8_t secret[static 32]);

/* False when the relay's key has small order. */
bool ticket_seal(const struct ticket *t, const uint8_t relay_public[static 32],
                 const uint8_t coordinator_secret[static 32], struct rng *rng,
                 uint8_t out[static TICKET_BYTES]);

/*
 * The key that a coordinator and a relay share; computed once, it spares the relay a Diffie-Hellman for
 * every ticket that a stranger shows.  False when the coordinator's key has small order.
 */
enum { TICKET_KEY = 32 };
bool ticket_key(const uint8_t coordinator_public[static 32], const uint8_t relay_secret[static 32],
                uint8_t key[static TICKET_KEY]);

/* The two words of the key for SipHash-2-4 under which the nonce's first 16 bytes give its last 8. */
enum { TICKET_PROVEN = 16 };
void ticket_proof_key(const uint8_t key[static TICKET_KEY], uint64_t words[static 2]);

/* As ticket_open, by keys from ticket_key. */
bool ticket_open_with(const uint8_t *data, size_t len, const uint8_t (*keys)[TICKET_KEY],
                      size_t n_keys, struct ticket *out);

/* Which of so many workers a ticket's session is for: its mark, big-endian, modulo their number. */
unsigned ticket_worker(const uint8_t ticket[static TICKET_BYTES], unsigned n_workers);

/* False when it is not from one of this relay's coordinators, or malformed.  Expiry is the caller's. */
bool ticket_open(const uint8_t *data, size_t len, const uint8_t (*coordinators)[32],
                 size_t n_coordinators, const uint8_t relay_secret[static 32], struct ticket *out);

#endif
