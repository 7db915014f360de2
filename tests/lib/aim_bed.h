/*
 * aim_bed.h - what test_aim.c and test_aim_peer.c share: who is not to be hit, and what was sent there.
 */
#ifndef AIM_BED_H
#define AIM_BED_H

#include "services/executor/executor.h"

enum { AIM_BED_WALL_MS = 1700000000 };

extern const struct addr aim_bed_victim;

/* The peer's token for this place, 80 ms after AIM_BED_WALL_MS. */
struct msg_token aim_bed_token(const struct addr *where);

/* How many datagrams of the last step went to this ip; and of all steps until then. */
size_t aim_bed_sent(const struct addr *ip);
size_t aim_bed_sent_until(int64_t ms, const struct addr *ip);

#endif
