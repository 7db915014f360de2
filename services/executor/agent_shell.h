/*
 * agent_shell.h - an executor with sockets: what the command (and later the library) embeds.
 *
 * One agent is one peer: it enrols, attaches, probes, and hands the application one end of a
 * SOCK_SEQPACKET pair for each path (managed hand-over).  Datagrams of 1 to PAYLOAD_MAX bytes; what the
 * application does not read in time is dropped and counted, never waited for; closing the end closes
 * the session.  In raw mode it hands over the connected UDP socket itself (raw_shell.h), and the session
 * lasts until agent_close_path or the other side ends it.
 * Single-threaded: callbacks come from within agent_run.
 */
#ifndef AGENT_SHELL_H
#define AGENT_SHELL_H

#include "lib/chase_shell.h"
#include "lib/join.h"
#include "lib/service.h"
#include "services/executor/executor.h"

struct agent;

struct agent_conf {
    struct join join;
    uint8_t secret[32];
    struct peer_id id;
    const char *name; /* "" claims none */
    uint16_t accept;  /* enum accept */
    uint16_t port;    /* local, of the socket that carries the sessions; 0: the system's choice */
    struct addr override; /* an operator's port mapping that leads there; len 0: none */
    uint16_t modes;       /* a bit for each enum mode that sessions may have */
    uint8_t blocks;       /* percent of the own NAT's block that a session may open; 0: none */
    /* An event of the core; attempt is NULL for those about the peer itself.  Not for APP_DATA. */
    void (*on_event)(struct agent *g, enum app_event event, const struct attempt *attempt);
    /* With ACCEPT_ASK: run what decides; its answer is an input APP_ANSWER.  Must not step the agent. */
    void (*on_invite)(const struct invitation *i);
    void *arg;
};

enum { AGENT_EVENTS_MAX = 1024 };

struct agent {
    struct agent_conf conf;
    struct service svc;
    struct executor core;
    struct outputs out;
    zsock_t *enrol, *front;
    unsigned n_links; /* opened so far */
    int front_fd;     /* of the connection to the front, once it said something; -1 */
    struct chaser chaser;
    void *monitor[2]; /* of front and enrol: PAIRs that tell of handshakes */
    int network;      /* tells of changes of addresses and routes; -1 when it can't */
    struct executor_sockets sockets;
    int pair[ATTEMPTS_MAX]; /* our end of the hand-over, -1 when there is none */
    int app[ATTEMPTS_MAX];  /* the application's end, until it takes it */
    int raw
        [ATTEMPTS_MAX]; /* another descriptor of a UDP socket that it was given, to lead it elsewhere */
    uint64_t dropped; /* datagrams that the application did not read in time */
    uint64_t next_nonce;
    struct {
        enum app_event event;
        uint32_t path;
    } events[AGENT_EVENTS_MAX]; /* those of the step just made */
    size_t n_events;
};

/* Dies with a line when the system refuses sockets; a coordinator that is away is waited for. */
void agent_open(struct agent *g, const struct agent_conf *conf);

/* Run until stop(arg) is true, or a signal asks to stop; checked after each step and at deadline_us. */
void agent_run(struct agent *g, int64_t deadline_us, bool (*stop)(void *arg), void *arg);

/* Ask for a path; the attempt shows up in events with the nonce returned. */
uint64_t agent_connect(struct agent *g, const struct connect_args *args);

/* Close the session of this attempt; its socket pair ends. */
void agent_close_path(struct agent *g, const struct attempt *a, enum app_op op);

/* Set an operator's port mapping, or take it back (len 0). */
void agent_override(struct agent *g, const struct addr *claimed);

/*
 * The application's end of an opened path, once; the caller owns it.  -1 when there is none (any more).
 * In raw mode it is the UDP socket, whose keepalives are the application's business too.
 */
int agent_take_socket(struct agent *g, const struct attempt *a);

void agent_close(struct agent *g); /* detaches */

/* A socket that this peer may connect to its coordinator's doors; it neither blocks nor queues. */
zsock_t *agent_socket(const struct agent_conf *conf);

#endif
