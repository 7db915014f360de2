/*
 * alice.h - Alice, a real peer, and her coordinator, who is hostile: it has the key in her join string, and with it
 * now and then a prober that lies.
 */
#ifndef ALICE_H
#define ALICE_H

#include "tests/attack/attack.h"

extern struct msg alice_heard;  /* the last message that she sent */
extern struct msg alice_answer; /* to attach; alice_open makes it an honest one */

/* Who and where she is, as the prober says. */
extern struct peer_id alice_id;
extern struct addr alice_at;

/* One more prober that she is told of when it is set, and that has a say in calls; and its secret. */
extern struct alice_prober {
    struct prober_info info;
    struct place place;
    uint8_t secret[64];
} * alice_other;

/* She joins the suite by this coordinator, and has measured her NAT by the true prober, and the other. */
void alice_open(const char *accept);
void alice_close(void);

void alice_tell(const struct msg *m);
void alice_wait_for(enum msg_type type);

/* A prober's word, so old, signed by that key. */
struct msg_token alice_token(const struct peer_id *who, const struct addr *where, int64_t age_ms,
                             const uint8_t secret[64]);

/* A call of Mallory's, from her true address. */
struct msg alice_call(void);

/* Give this order, and take it back: what it makes leave at once has left. */
void alice_give(const struct msg *order);

/*
 * Until she has done all that she was told: then an honest call comes through, as the proof that she takes
 * orders, and no packet is on its way any more.
 */
void alice_barrier(void);

#endif
