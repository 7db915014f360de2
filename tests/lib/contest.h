/*
 * contest.h - for tests: the same two hosts connected by ours, by libnice and by aioice, one after the other.
 *
 * All three know what STUN tells them and have their signalling before the time begins: ours is attached
 * to the coordinator, the others have gathered candidates and their TCP to tests/compare/signalling.py, on the
 * same host.  None has a relay that counts: it is about direct paths.
 */
#ifndef CONTEST_H
#define CONTEST_H

#include "tests/lib/ground.h"

enum contestant { OURS, LIBNICE, AIOICE, CONTESTANTS };

extern const char *const contestant_name[CONTESTANTS];

/* One attempt of one of them, from one host to another. */
struct bout {
    const char *from, *to;
    struct ground_run offer, answer;
    bool direct;
    double ms;        /* until connected; of direct ones */
    char verdict[32]; /* of ours */
    long packets;     /* UDP that both have sent to the other's address, lost ones too */
};

/* Start the signalling, after ground_open. */
void contest_open(struct ground *g);

/*
 * The laboratory's words for host PREFIXi behind this kind of NAT: others draw CONTEST_RATE ports a second of
 * a contiguous one; what a search has opened in a random one ends as the kernel's does.
 */
enum { CONTEST_RATE = 20 };
void contest_host(char *out, size_t cap, const char *prefix, size_t i, const char *kind);

/* Have each `to` listen for ours. */
void contest_listen(struct ground *g, const struct bout *bouts, size_t n);

/* Start both sides of n bouts; they are ready when this returns.  Each `to` must listen. */
void contest_prepare(struct ground *g, enum contestant who, struct bout *bouts, size_t n);

/* Tell them to connect, and wait for what comes of it. */
void contest_run(struct ground *g, struct bout *bouts, size_t n);

#endif
