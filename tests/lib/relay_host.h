/*
 * relay_host.h - the relay as a process on the loopback, with keys in files, and a coordinator's inbox beside it.
 */
#ifndef RELAY_HOST_H
#define RELAY_HOST_H

#include "lib/core.h"
#include "lib/relaywire.h"

#include <czmq.h>
#include <jansson.h>

enum { RELAY_HOST_WAIT_S = 10 };

struct relay_host {
    uint8_t secret[32], public_key[32], coordinator_secret[32], coordinator_public[32], cert[64];
    uint8_t ticket_public[32]; /* that tickets are sealed to */
    zsock_t *coordinator;      /* what the relay tells it */
    pid_t pid;
    struct addr addr; /* where it listens */
    struct rng rng;
};
extern struct relay_host relay_host;

void relay_host_setup(void);
void relay_host_teardown(void);

/* A file of it, such as "key" or "admin". */
const char *relay_host_path(const char *name);

/* Start it; its ready line comes, or false when it died.  more: up to three flags and values, then NULL; or NULL. */
pid_t relay_host_spawn(const char *public_ip, const char *const *more, bool *ready);

/* Start it, and learn its address. */
void relay_host_start(const char *public_ip, const char *const *more);
json_t *relay_host_state(void);
int64_t relay_host_counter(const char *name);

int relay_host_peer(void); /* a socket that is connected to it */
struct relay_control relay_host_receive(int fd);
void relay_host_send(int fd, const struct relay_control *c);

/* As its coordinator does. */
void relay_host_seal(const struct ticket *t, uint8_t out[static TICKET_BYTES]);

/* The whole handshake; what the relay says at the end. */
enum relay_status relay_host_bind(int fd, const struct ticket *t);

/* For a minute, without a limit. */
struct ticket relay_host_ticket(const struct sid *session, uint8_t side);

/* What it next tells the coordinator of itself. */
struct msg_relay_hello relay_host_hello(void);

#endif
