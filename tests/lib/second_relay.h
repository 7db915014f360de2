/*
 * second_relay.h - a suite with one relay more, as docs/operating.md has it: the programs make and certify its key, and
 * it reaches the coordinator by a link from the host `other` at 203.0.113.30.
 */
#ifndef SECOND_RELAY_H
#define SECOND_RELAY_H

#include "tests/lib/ground.h"

#define SECOND_RELAY_LINK "203.0.113.10:7444" /* the coordinator's */

/*
 * Start the suite with this in its environment too, and the relay, for so many sessions; the coordinator knows both
 * on return.  The relay's admin socket is DIR/other/admin.
 */
struct ground_run second_relay_up(struct ground *g, const char *environment, const char *sessions);

/* The relay alone, of the key in DIR/other. */
struct ground_run second_relay_spawn(struct ground *g, const char *sessions);

/* Certify one more in DIR/NAME for this ip; its key, good until the next call. */
const char *second_relay_certify(struct ground *g, const char *name, const char *ip);

/* Wait until the coordinator knows so many that are alive. */
void second_relay_wait(struct ground *g, size_t n);

/* DIR/NAME, good for eight calls. */
const char *second_relay_path(const struct ground *g, const char *name);

#endif
