/*
 * relay_bed.h - a relay core on a bench: peers of one letter, tickets to order, and a transcript.
 *
 * Peer 'A' is 192.0.2.65:4000, and so on; session n is the id that begins with the byte n.  The
 * transcript has one line an output, such as
 *
 *   [  1000] A: BOUND waiting 1           to peer A, with the nonce that begins with 1
 *   [  1000] 07 free -> waiting: first side bound
 *   [  2000] B: 0b 40 bytes               forwarded
 *   [  9000] relay_usage ...
 */
#ifndef RELAY_BED_H
#define RELAY_BED_H

#include "services/relay/relay.h"

struct relay_bed {
    struct relay r;
    struct relay_conf conf;
    struct outputs out;
    struct rng rng;
    uint8_t public_key[32], coordinator_secret[32];
    int64_t now_ms, wall_ms; /* wall_ms: what the wall clock says at now_ms 0 */
    bool show_hello;
    void *memory;
    char log[65536];
};

enum { BED_WALL_MS = 1700000000 }; /* in thousands of ms */

void relay_bed_open(struct relay_bed *b, uint32_t sessions_max, uint64_t seed);
void relay_bed_restart(struct relay_bed *b, uint64_t seed); /* the relay forgets everything */
void relay_bed_close(struct relay_bed *b);

struct addr relay_bed_peer(char name);
struct sid relay_bed_sid(uint8_t n);
struct ticket relay_bed_ticket(const struct relay_bed *b, uint8_t session,
                               uint8_t side); /* for 10 minutes */
void relay_bed_seal(struct relay_bed *b, const struct ticket *t, uint8_t out[static TICKET_BYTES]);
/* To the key of so many periods ago. */
void relay_bed_seal_of(struct relay_bed *b, const struct ticket *t, unsigned age,
                       uint8_t out[static TICKET_BYTES]);

/* Inputs.  What comes out is added to the transcript. */
void relay_bed_datagram(struct relay_bed *b, char from, const uint8_t *data, size_t len);
void relay_bed_control(struct relay_bed *b, char from, const struct relay_control *c);
void relay_bed_tick(struct relay_bed *b); /* at the deadline, which must be ahead or now */
void relay_bed_run(struct relay_bed *b, int64_t to_ms); /* every tick until then */

/* The whole handshake of peer `from` with this ticket; the transcript has what PROVE led to. */
void relay_bed_bind(struct relay_bed *b, char from, const struct ticket *t, uint8_t nonce);
/* This side of a session, with a right ticket; and A and B as the sides of session 7, the transcript emptied. */
void relay_bed_side(struct relay_bed *b, char peer, uint8_t session, uint8_t side, uint8_t nonce);
void relay_bed_both(struct relay_bed *b);
void relay_bed_keep(struct relay_bed *b, char from, uint8_t session, uint8_t side);

/* A data packet of len bytes to that side's end. */
void relay_bed_data(struct relay_bed *b, char from, uint8_t session, uint8_t to_side, size_t len);

/* The transcript since the last call is exactly this. */
void relay_bed_expect_at(struct relay_bed *b, const char *file, int line, const char *text);
#define relay_bed_expect(b, text) relay_bed_expect_at(b, __FILE__, __LINE__, text)
void relay_bed_forget(struct relay_bed *b);

/* How many keys the core keeps in conf.marks. */
size_t relay_bed_marks(const struct relay_bed *b);

#endif
