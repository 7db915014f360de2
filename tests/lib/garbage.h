/*
 * garbage.h - what may come to an open port: bytes without sense, real messages cut short, and real ones
 * with bits flipped.  The same seed gives the same.
 */
#ifndef GARBAGE_H
#define GARBAGE_H

#include "lib/core.h"
#include "lib/rng.h"

enum garbage { GARBAGE_RANDOM, GARBAGE_CUT, GARBAGE_FLIPPED, GARBAGE_KINDS };
enum { GARBAGE_MAX = 4096, GARBAGE_DATAGRAM_MAX = 1400, GARBAGE_FRAMES_MAX = 6 };

/* Spoil what is in data in the way of kind; random bytes are up to max of them.  Returns the new length. */
size_t garbage_spoil(struct rng *r, enum garbage kind, uint8_t data[static GARBAGE_MAX], size_t len,
                     size_t max);

/* A spoilt datagram of any protocol that we speak: STUN, relay, punch, data. */
size_t garbage_datagram(struct rng *r, enum garbage kind, uint8_t data[static GARBAGE_MAX]);

/* The frames of a spoilt message that from may send to to; of GARBAGE_RANDOM their number is wrong too. */
struct garbage_frames {
    size_t n;
    struct {
        size_t len;
        uint8_t data[GARBAGE_MAX];
    } v[GARBAGE_FRAMES_MAX];
};
void garbage_message(struct rng *r, enum garbage kind, enum role from, enum role to,
                     struct garbage_frames *out);

#endif
