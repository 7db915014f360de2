/*
 * intruder.h - a hostile peer with a key of its own, as a bare socket on Mallory's host, at the true coordinator.
 */
#ifndef INTRUDER_H
#define INTRUDER_H

#include "tests/attack/attack.h"

struct intruder {
    uint8_t secret[32];
    struct peer_id id;
    zsock_t *sock;
};

/* Connect (again) to a door of the coordinator's, with CURVE. */
void intruder_go(struct intruder *p, const struct addr *to);
void intruder_meets(struct intruder *p, const struct addr *to); /* by the socket that it has */
void intruder_say(struct intruder *p, const struct msg *m);

/* The next message within ms; the next one of this type. */
bool intruder_hear(struct intruder *p, struct msg *m, int ms);
bool intruder_hear_a(struct intruder *p, enum msg_type type, struct msg *m);

struct msg intruder_attach_as(const char *name);
bool intruder_enrols(struct intruder *p, const uint8_t token[static JOIN_TOKEN_BYTES]);

/* A key that the suite has admitted, on the front's connection; and attached by this name. */
struct intruder intruder_open(void);
struct intruder intruder_attached(const char *name);

/* Until all that it has said was taken: an answer to one more thing comes after it. */
void intruder_waits(struct intruder *p);

#endif
