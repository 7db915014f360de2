/*
 * strategy.h - which techniques can open a path between two profiles, in order, and why.
 *
 * A pure function over a table that one can read.  Unknown filtering plans as apd.
 */
#ifndef STRATEGY_H
#define STRATEGY_H

#include "lib/msg.h"
#include "lib/verdict.h"

enum technique {
    TECHNIQUE_NONE,
    TECHNIQUE_HOST,
    TECHNIQUE_MAPPED,
    TECHNIQUE_REVERSAL,
    TECHNIQUE_SYNCHRONOUS,
    TECHNIQUE_SEND_FIRST,
    TECHNIQUE_PREDICTION,
    TECHNIQUE_BIRTHDAY,
    TECHNIQUE_BLOCK_BIRTHDAY,
    TECHNIQUE_RELAYED,
    TECHNIQUE_COUNT
};
extern const char *const technique_name[TECHNIQUE_COUNT]; /* "synchronous", ... */

enum policy { POLICY_AUTO, POLICY_DIRECT, POLICY_RELAY, POLICY_COUNT };
enum mode { MODE_MANAGED, MODE_RAW, MODE_COUNT };
enum accept { ACCEPT_ANYONE, ACCEPT_KNOWN, ACCEPT_ASK, ACCEPT_NOBODY, ACCEPT_COUNT };
enum path_kind { PATH_FAILED, PATH_RELAYED, PATH_HALF, PATH_DIRECT, PATH_COUNT };
extern const char *const policy_name[POLICY_COUNT];
extern const char *const mode_name[MODE_COUNT];
extern const char *const accept_name[ACCEPT_COUNT];
extern const char *const path_name[PATH_COUNT];

/* When a technique's packets leave (DESIGN section 6), in us after the start; then every 100 ms, or less often. */
enum { PUNCH_BURST = 6, PUNCH_EVERY_US = 100000 };
extern const uint32_t punch_offset_us[PUNCH_BURST];

/*
 * The plan for side 0 (the initiator) and side 1.  *reason says why it is what it is: of a plan with a
 * direct technique the verdict that its success will carry, else why there is none.
 * has_token: a fresh address token of that side is at hand.  rtt_us: the larger round trip between a
 * side and its probers, 0 when not known; the techniques' spans follow from it.
 */
struct plan strategy_plan(const struct profile *a, const struct profile *b, const bool has_token[2],
                          enum policy policy, uint32_t rtt_us, enum verdict *reason);

/* How many ports a side tries at most in a block-birthday attempt: its share of its own block. */
uint32_t strategy_scans(const struct profile *own);

/* Which sides must look where their NAT stands before the step can begin: bit i for side i. */
unsigned strategy_looks(const struct step *s, const struct profile *a, const struct profile *b);

/*
 * Can a side that looks open its mapping towards the other at once?  Not where it has another one for each port of
 * the other side, and that one's is not known either.
 */
bool strategy_opens(const struct profile *own, const struct profile *theirs);

/* Can it tell the port that it will send by?  When it can open it; or has it whoever it sends to first. */
bool strategy_pins(const struct profile *own, const struct profile *theirs);

/* The plan for two sides that share a public address: one LAN, one router, or one carrier's NAT. */
struct plan strategy_plan_host(enum policy policy, uint32_t rtt_us, enum verdict *reason);

#endif
