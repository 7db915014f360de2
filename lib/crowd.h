/*
 * crowd.h - how long the queue of strangers may be.  While more of them come than are served, what waits in a long
 * one has been given up by who sent it when it is read, and so has all that comes after it: a short one loses as many, and
 * answers the others in time.  Pure.
 */
#ifndef CROWD_H
#define CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CROWD_LOOK_US = 100 * 1000,
    CROWD_WAIT_US =
        200 * 1000, /* in a queue that is too full; who asks repeats it after 100 to 500 ms */
    CROWD_CALM_US = 5 * 1000 * 1000, /* without a loss; then there may be more room again */
    CROWD_IDLE_US =
        1 * 1000 * 1000, /* between two looks: what was read in a longer time says nothing */
    CROWD_ROOM_MIN = 64 * 1024,
};

struct crowd {
    size_t full, room; /* bytes, as the kernel counts them */
    uint64_t taken;    /* since then: */
    int64_t look_us;
    int64_t calm_us; /* of the last loss, and CROWD_CALM_US */
    uint32_t lost;
};

/* A queue that may have `full` bytes, of which so many messages were lost before. */
void crowd_init(struct crowd *c, size_t full, uint32_t lost);

/* These bytes were read.  True when it is time to look. */
bool crowd_took(struct crowd *c, size_t bytes, int64_t now_us);

/* So many were lost so far for want of room: how much of it there shall be. */
size_t crowd_look(struct crowd *c, uint32_t lost, int64_t now_us);

#endif
