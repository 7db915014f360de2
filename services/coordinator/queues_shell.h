/*
 * queues_shell.h - a door's one TCP port as two listening sockets, so that a flood of strangers can't fill the
 * queue in which the connections of peers wait.
 *
 * Both share the port (SO_REUSEPORT), and a program of ours in the kernel (eBPF) chooses by the source: who has
 * been here with an enrolled key (lib/familiar.h) waits in the second one.  libzmq takes one connection of each in turn.
 * The first is bound before it shares the port, so that a port which somebody has is still refused.
 *
 * The kernel lets only a privileged process load it (CAP_BPF, or CAP_SYS_ADMIN before Linux 5.8).  Without it, and
 * where the kernel draws the port, there is one queue for all.
 */
#ifndef QUEUES_SHELL_H
#define QUEUES_SHELL_H

#include "lib/familiar.h"

#include <stdbool.h>

enum queue { QUEUE_STRANGERS, QUEUE_FAMILIAR, QUEUES };

struct queues {
    struct familiar familiar;
    int table, program; /* -1: none */
};

/* Make the table, shared with the kernel, and load the program; false with errno. */
bool queues_init(struct queues *q);

/* Listen at this address with both; false with errno.  The sockets are the caller's. */
bool queues_listen(const struct queues *q, const struct addr *at, bool dual, int backlog,
                   int fd[static QUEUES]);

void queues_close(struct queues *q);

#endif
