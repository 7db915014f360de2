/*
 * sessions.h - the life of the relay's sessions: the state table and who may change a state, the one deadline of each,
 * what the coordinator is told of them, and what their sides are.
 */
#ifndef RELAY_SESSIONS_H
#define RELAY_SESSIONS_H

#include "services/relay/relay.h"

enum { RELAY_SOCK = 0 }; /* our one socket */

/* How many sessions there are, and may be: of all workers. */
struct relay_load *relay_load_of(struct relay *r);

/*
 * A slot for a new session, waiting for its sides; NULL when there is none.  Two sessions whose path ids collide, once
 * in 2^64, can't both be served.
 */
struct relay_session *relay_session_open(struct relay *r, const struct sid *sid,
                                         struct outputs *out);

/* The only place a session changes state; what a state does on entry is done there. */
void relay_session_enter(struct relay *r, struct relay_session *s, enum relay_state to,
                         const char *why, struct outputs *out);

/* Set its deadline anew, after anything that it depends on has changed; and when it has come. */
void relay_session_arm(struct relay *r, const struct relay_session *s);
void relay_session_due(struct relay *r, struct relay_session *s, struct outputs *out);

/* What a side is told in this state, and telling it. */
enum relay_status relay_session_status(const struct relay_session *s);
void relay_session_tell(const struct relay_session *s, unsigned side, struct outputs *out);

/* A control datagram, and one that answers a PROVE with this nonce. */
void relay_send_control(struct outputs *out, const struct addr *dst, const struct relay_control *c);
void relay_send_bound(struct outputs *out, const struct addr *dst,
                      const uint8_t nonce[static RELAY_NONCE], enum relay_status status);

#endif
