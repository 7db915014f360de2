/*
 * steer_shell.h - the relay's one port as many sockets: three for each worker, so that both sides of a session
 * come to one worker, and a flood of strangers can't fill the queues that sessions and tickets wait in.
 *
 * All share the port (SO_REUSEPORT), and a program of ours in the kernel (eBPF) chooses:
 *
 *   to the third socket of the worker that has it    packets and KEEPs whose path id is known (marks.h), and what
 *                                                    comes from the source of a raw side
 *   to the second socket of the worker that the ticket is for   BIND and PROVE with a ticket that was made with
 *                                                    a key of ours (lib/ticket.h), whoever shows it
 *   to the first socket of that worker               BIND and PROVE with another one
 *   to the first socket of a worker by the source    all else
 *
 * The program reads what the cores write, the table and the keys of tickets; no system call is needed to change
 * it.  The kernel asks it once for datagrams that it has merged, which may be for several workers: plane_shell.h
 * hands those over.
 *
 * The kernel lets only a privileged process load it (CAP_BPF, or CAP_SYS_ADMIN before Linux 5.8).  Without it there
 * is one worker with one queue, and floods and sessions share it.
 */
#ifndef RELAY_STEER_SHELL_H
#define RELAY_STEER_SHELL_H

#include "services/relay/relay.h"

#include <stdbool.h>

enum { STEER_WORKERS_MAX = 64 };
enum steer_queue { STEER_OTHERS, STEER_TICKETS, STEER_SESSIONS, STEER_QUEUES };
_Static_assert((int)STEER_WORKERS_MAX <= (int)MARKS_WORKERS, "a mark has room for every worker");

struct steer {
    struct marks table;
    uint64_t (*proofs)[2]; /* for the cores, as the table is */
    int map, keys;         /* the kernel's of both; -1: none */
    unsigned n_workers;
    unsigned n_fds; /* 0: not open */
    int fd[STEER_WORKERS_MAX * STEER_QUEUES];
};

static inline int steer_fd(const struct steer *s, unsigned worker, enum steer_queue queue)
{
    return s->fd[worker * STEER_QUEUES + queue];
}

/* Make both tables, shared with the kernel; false with errno when it can't be. */
bool steer_init(struct steer *s, uint32_t sessions_max);

/* Open the other sockets beside fd, which is bound and is the first one, and let the program choose; false with
 * errno. */
bool steer_open(struct steer *s, int fd, unsigned n_workers);

/* Closes those for sessions and tickets; a worker's first is its service's. */
void steer_close(struct steer *s);

#endif
