/*
 * caller.h - Mallory as a peer whose call Alice has been told to take: she has the keys of her own side, and says
 * with them what she likes.
 */
#ifndef CALLER_H
#define CALLER_H

#include "lib/packet.h"
#include "lib/rekey.h"
#include "tests/attack/alice.h"

struct caller {
    struct msg order; /* that Alice has */
    uint8_t key[2][32];
    struct path_id own, alices;
    uint64_t counter;
};

/* What is to be changed of the order is changed between the two. */
struct caller caller_new(void);
void caller_calls(struct caller *c);
void caller_ends(struct caller *c);

/* A punch or pong of hers, sealed right; and what one of Alice's says.  False: this is none. */
struct punch caller_punch(struct caller *c, uint8_t type);
void caller_seal(const struct caller *c, const struct punch *p, uint8_t out[static PUNCH_BYTES]);
bool caller_open(const struct caller *c, const uint8_t *data, size_t len, struct punch *out);

/* The next one of a type, 0 for any, at this socket, within ms. */
bool caller_hears(const struct caller *c, int fd, uint8_t type, struct punch *out, int ms);

/* Over the true relay, where both are bound: the handshake, and data after it. */
struct caller_path {
    int fd;
    struct rekey_send send;
};
struct caller_path caller_relayed(struct caller *c);
void caller_says(struct caller *c, struct caller_path *p, enum data_kind kind, const void *payload,
                 size_t len);

#endif
