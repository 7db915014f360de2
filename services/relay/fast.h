/* fast.h - the core's part in what a program at the hook forwards by itself (express.h): for relay.c and forward.c. */
#ifndef RELAY_FAST_H
#define RELAY_FAST_H

#include "services/relay/relay.h"

/* Both sides are bound, one perhaps from elsewhere than before. */
void relay_fast_on(struct relay *r, struct relay_session *s);
/* One is so no more, or the session ends. */
void relay_fast_off(struct relay *r, struct relay_session *s);

/* Add what flowed there to the session's account, and see which side was heard of. */
void relay_fast_count(struct relay *r, struct relay_session *s);

/* Around what is spent of a side's quota here: all of it is here, or the program's share is there. */
void relay_fast_take_back(struct relay *r, struct relay_session *s, unsigned from, int64_t now_us);
void relay_fast_lend(struct relay *r, struct relay_session *s, unsigned from, int64_t now_us);

#endif
