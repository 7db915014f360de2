/*
 * steer_shell.h - two queues for the relay's one port, so that a flood of strangers can't fill the one
 * that sessions wait in.
 *
 * Two sockets share the port (SO_REUSEPORT), and a program of ours in the kernel (eBPF) chooses: packets
 * and KEEPs whose path id is known (marks.h), and what comes from the source of a raw side, to the second;
 * all else to the first.  The program reads the table that the core writes; no system call is needed to change it.
 *
 * The kernel lets only a privileged process load it (CAP_BPF, or CAP_SYS_ADMIN before Linux 5.8).  Without it there
 * is one queue, and floods and sessions share it.
 */
#ifndef RELAY_STEER_SHELL_H
#define RELAY_STEER_SHELL_H

#include "services/relay/marks.h"

#include <stdbool.h>

struct steer {
    struct marks table;
    int map, fd; /* the kernel's table, and the second socket; -1: none */
};

/* Make the table, shared with the kernel; false with errno when it can't be. */
bool steer_init(struct steer *s, uint32_t sessions_max);

/* Open the second socket beside fd, which is bound, and let the program choose; false with errno. */
bool steer_open(struct steer *s, int fd);
void steer_close(struct steer *s);

#endif
