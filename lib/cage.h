/*
 * cage.h - what is left to a process that a stranger has taken over: few files, few system calls, no
 * capability, no new program.
 *
 *   cage_secrets   first of all: no core dump, no tracing by others of this user, new files mode 0600
 *   memory_open    lib/memory.h: /proc is closed next
 *   cage_files     keys are read, databases open: Landlock holds all that is opened from here on
 *   ...            sockets, threads
 *   cage_calls     all is set up: capabilities go, and seccomp kills the process that calls anything
 *                  which is not on its list, in any thread
 *
 * Landlock holds the thread that asks for it and those that it makes, so cage_files comes before the first
 * ZeroMQ socket.  It may be missing (Linux 5.13 has it first, and a container's own seccomp may hide it):
 * then one line says so, or with `common.cage: required` the process does not start.  `off` leaves out
 * both, for a debugger.  Builds with UNCAGED defined, to the reason, are never caged.
 *
 * Peers (natterjack listen and connect) and `up` get less: see cage_peer and cage_supervisor.
 *
 * With `common.user` a process that root has started becomes that user first of all.
 */
#ifndef CAGE_H
#define CAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a process does at a path once it is caged. */
enum cage_use {
    CAGE_READS, /* the file, which may be replaced by another of its name: what lies beside it too */
    CAGE_SOCKETS, /* makes and removes sockets in the directory */
    CAGE_SOCKET,  /* is the path of such a socket */
    CAGE_DATABASE, /* is a file that is open already; what lies beside it is looked for and removed */
};

struct cage_path {
    const char *path; /* NULL: none */
    enum cage_use use;
};

enum { CAGE_PORTS_MAX = 4 };

/* What a service calls beside what all of them do. */
enum { CAGE_BATCHES = 1, CAGE_STORE = 2, CAGE_LINKS = 4 };

struct cage_plan {
    const struct cage_path *paths;
    size_t n_paths;
    uint16_t listens[CAGE_PORTS_MAX],
        connects[CAGE_PORTS_MAX]; /* TCP ports; 0 is any to listen on */
    size_t n_listens, n_connects;
};

/* What these do is said above; each dies with a line when the process may not go on without it. */
void cage_secrets(void);

/* Of these what a peer needs before it reads its key: its user's commands must not inherit the rest. */
void cage_peer_secrets(void);

/* The directory of the configuration file stays readable, so that it can be read again. */
void cage_files(const struct cage_plan *plan);

/* For a service, by this name in the log, that calls these as well. */
void cage_calls(const char *name, unsigned also);

/* In a thread that was made before cage_calls, and called before it: capabilities are each thread's own. */
void cage_thread(void);

/*
 * For a peer, whose program and files are its user's own: what no peer ever needs kills it (other programs, the
 * kernel's keys and modules, raw packets, other processes' memory).  One that runs commands for its user
 * (--exec-udp, --ask) may do what they may, so it isn't held.
 */
void cage_peer(bool runs_commands);

/* For a process that starts others, which inherit it: the same without "other programs". */
void cage_supervisor(void);

/* Be common.user from now on.  Dies with a line when that can't be. */
void cage_become(void);

#endif
