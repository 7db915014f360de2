/* relays_bed.h - several relays for a coordinator's core on the bench: 203.0.113.LAST each, with a certificate. */
#ifndef RELAYS_BED_H
#define RELAYS_BED_H

#include "tests/lib/coordinator_bed.h"

/* What such a relay says of itself; and it says so. */
struct msg relays_bed_hello(struct bed *b, uint8_t last, uint32_t sessions, uint32_t sessions_max);
void relays_bed_say_hello(struct bed *b, uint8_t last, uint32_t sessions, uint32_t sessions_max);

/* A new core with relays .21 and .22, and peers 1 and 2, alice and bob, behind random NATs. */
void relays_bed_two_random(struct bed *b);
/* How far this peer says that the two are. */
void relays_bed_measure(struct bed *b, unsigned peer, uint16_t to_21, uint16_t to_22);
/* The last byte of the relay in both orders of a new session of theirs; 0 when they have none. */
unsigned relays_bed_chosen(struct bed *b, uint64_t nonce);
/* This peer says that the relay has refused it, of the last session, in this way. */
void relays_bed_refuse(struct bed *b, unsigned peer, uint8_t last, const char *kind);
/* Hello by the link that CURVE gave the key with this first byte. */
void relays_bed_say_hello_by_link(struct bed *b, uint8_t last, uint8_t key);

#endif
