/*
 * bridge.h - what is at the near end of a path when it is neither pings nor an echo: a local UDP
 * address, or a command that has the path's socket as standard input and output.
 *
 * A datagram of 1 to PAYLOAD_MAX bytes is passed on as it is; others, and those that a full socket
 * can't take, are dropped and counted.  Nothing waits.  In raw mode, where the path is a UDP socket, any
 * datagram is passed on, an empty one too, and the path has no end that could be read from it.
 */
#ifndef BRIDGE_H
#define BRIDGE_H

#include "services/executor/agent_shell.h"

struct bridge {
    struct service *svc;
    int path;         /* the application's end of the path, ours from bridge_open on; -1 for none */
    bool raw;         /* it is a UDP socket: bridge_raw */
    uint32_t number;  /* of the path, to close it by */
    int64_t heard_us; /* when the peer was last heard on it */
    int udp;          /* -1 for none */
    bool bound;       /* udp answers its last sender; else it is connected */
    struct addr last; /* who that is; len 0 before the first */
    pid_t pid;        /* of the command, 0 for none */
    int pidfd;
    uint64_t sent, received, dropped; /* to the peer, from the peer, either way */
};

void bridge_init(struct bridge *b, struct service *s);

/* "HOST:PORT" or "[HOST]:PORT", looked up when it is a name.  False when it is none. */
bool bridge_address(const char *text, struct addr *out);

/*
 * Before the path is there.  Listen on a local address (port 0: any, told in *local): what comes is for
 * the peer, and what the peer sends goes to who was heard last.  False with errno.
 */
bool bridge_bind(struct bridge *b, struct addr *local);

/* A fresh socket that talks to one local service.  False with errno. */
bool bridge_dial(struct bridge *b, const struct addr *service);

/* First, for a path in raw mode: this is its number. */
void bridge_raw(struct bridge *b, uint32_t number);

/* The path is there: pass datagrams between it and the UDP socket, until bridge_close. */
void bridge_open(struct bridge *b, int path);

/*
 * The path is there: run `sh -c command` with it as standard input and output, in a process group of its
 * own, and $NATTERJACK_SESSION and $NATTERJACK_PEER in its environment.  The path ends when it exits.
 */
bool bridge_exec(struct bridge *b, int path, const char *command, const struct attempt *a);

/* The path is gone: the command sees the end of its input and gets SIGTERM, and is reaped when it ends. */
void bridge_close(struct bridge *b);

/* The same, and a command that is still there is killed and reaped now. */
void bridge_fini(struct bridge *b);

#endif
