/*
 * history.h - what came of earlier contacts of two peers at two addresses, and what a plan makes of it.  Pure.
 *
 * Contacts mostly go as the last ones went.  A technique that has failed every time is left out of the first
 * order, so that the session is on the relay at once; the background tries and, when there have been none
 * for an hour, the next contact show whether it works by now.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include "lib/strategy.h"

enum {
    HISTORY_MISSES_MAX = 3,         /* in a row: then it is left out ... */
    HISTORY_MISSES_PROVEN_MAX = 8,  /* ... and of one that has worked before */
    HISTORY_AGAIN_MS = 3600 * 1000, /* after the last try it is tried again all the same */
    HISTORY_TTL_MS = 7 * 24 * 3600 * 1000,
};

/* Names the two peers and their addresses, whoever called whom. */
struct history_key {
    uint8_t b[16];
};

/* Of one technique. */
struct past {
    uint8_t hits, misses; /* misses: since the last hit; both end at 255 */
    int64_t last_ms;      /* Unix time of the last try */
};

struct history {
    struct past by[TECHNIQUE_COUNT];
};

void history_add(struct history *h, uint8_t technique, bool hit, int64_t wall_ms);

/* Forget what is older than HISTORY_TTL_MS; false when nothing is left. */
bool history_expire(struct history *h, int64_t wall_ms);

/*
 * Take from the plan, which ends on the relay, the techniques that are not worth a try, and put those first
 * that have worked.  When no direct one is left *reason becomes VERDICT_learned, or VERDICT_no_hairpin for the
 * way between two hosts behind one address.
 */
void history_apply(const struct history *h, int64_t wall_ms, struct plan *plan,
                   enum verdict *reason);

#endif
