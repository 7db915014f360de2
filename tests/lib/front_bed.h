/*
 * front_bed.h - a coordinator as a process in a directory of its own, and peers that are bare sockets.
 */
#ifndef FRONT_BED_H
#define FRONT_BED_H

#include "lib/admin.h"

enum { FRONT_BED_PATIENCE_MS = 10000 };

extern pid_t front_bed_pid; /* 0: the test has seen to its end */
extern uint16_t front_bed_port, front_bed_enrol_port;

/* Its directory with keys and a token, and the process. */
void front_bed_setup(void);
void front_bed_teardown(void);

/* The path of its "key", "authority", "token", "store", "admin", "bus" or "err", or of another "list". */
const char *front_bed_in_dir(const char *name);

/* Start a process, on this port of 127.0.0.1 and with more flags, up to a NULL; it is ready, or has ended. */
pid_t front_bed_spawn(const char *front, const char *const *more);

/* Start it (again), as front_bed_pid. */
void front_bed_start(void);
void front_bed_start_with(const char *const *more);

json_t *front_bed_ask(const char *request); /* an admin verb */

struct front_peer {
    uint8_t secret[32], public_key[32];
    zsock_t *sock;
};

struct front_peer front_bed_new_peer(void); /* with a key */
zsock_t *front_bed_unconnected(struct front_peer *p);
void front_bed_go(struct front_peer *p, uint16_t port); /* connect anew */
void front_bed_send_to(struct front_peer *p, const struct msg *m);
struct msg front_bed_receive(struct front_peer *p);

/* Show the token, by a connection of its own; the answer. */
struct msg front_bed_knock(struct front_peer *p);
void front_bed_enrol(struct front_peer *p); /* and it must be let in */
void front_bed_attach(struct front_peer *p, const char *name);

/* Connect, and how the handshake ends: ZMQ_EVENT_HANDSHAKE_SUCCEEDED or _FAILED_AUTH. */
uint16_t front_bed_handshake(struct front_peer *p, uint16_t port);

#endif
