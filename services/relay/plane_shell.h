/*
 * plane_shell.h - the relay's data plane: read a batch, forward what relay_forward() lets through, send
 * a batch; what is for the core goes to its step.  No allocation and no copy of a packet.
 *
 * Where the kernel sorts packets of sessions, and those with tickets, into queues of their own (steer_shell.h), these come
 * first: between any two batches of a lesser one.
 *
 * A plane is one worker's, in one thread: sessions and quotas are tables of its own, which no lock guards.  What
 * the kernel brought it that is another worker's, since it was merged with what is ours, it hands over.
 */
#ifndef RELAY_PLANE_SHELL_H
#define RELAY_PLANE_SHELL_H

#include "lib/batch.h"
#include "lib/crowd.h"
#include "lib/service.h"
#include "services/relay/steer_shell.h"

struct plane {
    struct relay *core;
    struct outputs *out;
    uint8_t sock;
    struct plane_queue {
        struct plane *plane;
        struct batch_in in; /* fd -1: there is none, and what it would have is in the first one */
    } queue[STEER_QUEUES];
    struct crowd crowd; /* at the first of them, if there are others */
    struct batch_out send;
    bool stepped; /* the core, since its deadline was asked for */
    const struct plane_door *doors;
    uint64_t handed_over, lost; /* to others: taken, or no room */
    struct plane_handed {
        struct addr src;
        uint8_t data[BATCH_MERGED];
    } handed; /* the one that was just taken from others */
};

/* Of each worker, by number: what others put in, and where it takes it out. */
struct plane_door {
    int in, out;
};
bool plane_door_open(struct plane_door *d);

/* Take over socket sock of s, the core's only one, and read those beside it, if steer is open, as well.  out is for the
 * core's steps, memory of BATCH_IN_BYTES(BATCH_MERGED) for what is read; doors are those of all workers. */
void plane_open(struct plane *p, struct service *s, uint8_t sock, const struct steer *steer,
                struct relay *core, struct outputs *out, void *memory,
                const struct plane_door *doors);

#endif
