/*
 * answers_shell.h - the prober's data plane: read a batch, let prober_answer() write the answers where
 * they are sent from, send a batch.  No allocation for a datagram.
 *
 * Where those of peers come by sockets of their own (doors_shell.h), these come first: between any two batches of the
 * others.
 */
#ifndef PROBER_ANSWERS_SHELL_H
#define PROBER_ANSWERS_SHELL_H

#include "lib/batch.h"
#include "lib/crowd.h"
#include "lib/service.h"
#include "services/prober/prober.h"

enum { PROBER_SOCKETS_MAX = 4 };

struct answers {
    struct prober *core;
    struct answers_socket {
        struct answers *all;
        uint8_t sock;
        struct batch_in in;    /* all, or all but what is in: */
        struct batch_in known; /* fd -1: there is none */
        struct crowd crowd;    /* at the first of both, if there are both */
        struct batch_out out;  /* an answer may leave by another socket than the request came by */
    } socket[PROBER_SOCKETS_MAX];
    uint8_t answer[BATCH][STUN_MAX];
    uint8_t buffers[BATCH][BATCH_STRIDE(BATCH_SINGLE)]; /* one socket at a time */
};

/* Take over the sockets of s, which are the core's, and read those beside them, each of which may be -1. */
void answers_open(struct answers *a, struct service *s, struct prober *core,
                  const int known[static PROBER_SOCKETS_MAX]);

#endif
