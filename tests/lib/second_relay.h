/* second_relay.h - a second relay of a suite on the proving ground, on the host `other` at 203.0.113.30. */
#ifndef SECOND_RELAY_H
#define SECOND_RELAY_H

#include "tests/lib/ground.h"

/* Certified, and on a bus of its own with the coordinator, who knows it on return; for so many sessions. */
struct ground_run second_relay(struct ground *g, const char *sessions);

#endif
