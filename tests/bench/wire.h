/*
 * wire.h - the generator's end of the wire: UDP from any address and port, by a packet socket.
 *
 * One socket for any number of flows, batched, past this host's own IP stack, so that one CPU of
 * generator saturates one of server.  Trains leave as one frame that the receiver's kernel splits or,
 * for who asks for it (UDP_GRO), leaves merged; frames that come merged are counted by their datagrams.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include "lib/addr.h"

enum { WIRE_HEAD_MAX = 112, WIRE_TRAIN_MAX = 32, WIRE_SEEN = 256 };

/* One way of a session: from where, to where, and how each payload begins. */
struct flow {
    struct addr src, dst; /* IPv4 */
    uint8_t head[WIRE_HEAD_MAX];
    uint8_t head_len;
};

void wire_open(void);

/* Queue train datagrams of len bytes, each with stamp in 8 bytes at stamp_at; sent by 32 frames or wire_flush. */
void wire_put(const struct flow *f, size_t len, unsigned train, size_t stamp_at, uint64_t stamp);

/* Queue a datagram that is the head alone. */
void wire_say(const struct flow *f);
void wire_flush(void);

/* What has come: a frame's first datagram, how many there are in it, and of what size the first is. */
struct seen {
    struct addr src, dst;
    unsigned datagrams;
    size_t len;
    const uint8_t *payload; /* its first WIRE_SEEN bytes, or len */
};

/* The next frame, or false when there is none.  Valid until the next call. */
bool wire_next(struct seen *out);

/* As wire_next, but wait up to timeout_ms. */
bool wire_wait(struct seen *out, int timeout_ms);

#endif
