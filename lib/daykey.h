/*
 * daykey.h - the keys of a day: what a prober signs tokens with, so that its long-term key, which the authority has
 * certified, signs these keys and nothing that a stranger asks for.  Ed25519 (RFC 8032).  Pure.
 *
 *   cert    signature by the prober's long-term key over "natterjack-day-1" | day 4 | key 32; day in days since 1970,
 *           big-endian
 *
 * A day's key follows from the long-term one and the day, so that what was signed before a restart stays good and a
 * prober's workers need not agree.  It vouches for tokens with a time in its day only: with the age that tokens may have,
 * it is of no use to anybody after that.  A prober tells of two at any time, from half a day before the first one's
 * successor is needed.
 */
#ifndef DAYKEY_H
#define DAYKEY_H

#include "lib/msg.h"

#define DAYKEY_MS (INT64_C(24) * 3600000)

/* Which day a time is in, and the first of the two days whose keys are live then. */
uint32_t daykey_day(int64_t wall_ms);
uint32_t daykey_first(int64_t wall_ms);

/* The key of that day: its secret, and what is told of it. */
void daykey_make(const uint8_t prober_secret[static 64], uint32_t day, uint8_t secret[static 64],
                 struct daykey *out);

/* Keep what is told of these probers, when they have signed it, in place of what they told before. */
void daykey_take(struct daykey_list *kept, const struct daykey_list *told,
                 const struct prober_list *probers);

/* The prober's key of that day, or NULL. */
const uint8_t *daykey_find(const struct daykey_list *l, const uint8_t prober[static 8],
                           uint32_t day);

#endif
