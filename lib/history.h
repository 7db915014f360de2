/*
 * history.h - what came of earlier contacts of two peers at two addresses, and what a plan makes of it.  Pure.
 *
 * Contacts mostly go as the last ones went.  A technique that has failed every time is left out of the first
 * order, so that the session is on the relay at once; the background tries and, when there have been none
 * for an hour, the next contact show whether it works by now.
 *
 * The same is kept of pairs of classes of NATs, each pair of peers counting once.  What has failed for many such
 * pairs one after the other, and worked for none since, is tried once with another one of these classes and
 * not HISTORY_MISSES_MAX times; what works for them goes first.  More it can't do: peers that lie about what
 * came of their tries must not take direct paths from others.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include "lib/strategy.h"

enum {
    HISTORY_MISSES_MAX = 3,         /* in a row: then it is left out ... */
    HISTORY_MISSES_PROVEN_MAX = 8,  /* ... and of one that has worked before */
    HISTORY_MISSES_DOUBTED_MAX = 1, /* ... and of one that fails for others of these classes */
    HISTORY_PAIRS_MISSED = 8,       /* so many pairs of peers of two classes in a row: it fails */
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
    uint16_t doubted,
        favoured; /* bits of techniques that fail, or work, for others of their classes */
};
_Static_assert((int)TECHNIQUE_COUNT <= 16, "a bit for each technique");

/* A try of this technique (enum technique) has come to something, or not; at this Unix time. */
void history_add(struct history *h, uint8_t technique, bool hit, int64_t wall_ms);

/* What is known of the two peers' classes, to what is known of the two themselves, which counts for more. */
void history_prior(struct history *h, const struct history *of_classes);

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
