/*
 * binding.h - Mallory's sockets at the true relay: its handshake, step by step.
 */
#ifndef BINDING_H
#define BINDING_H

#include "lib/relaywire.h"
#include "tests/attack/attack.h"

struct addr binding_relay(void);

/* A ticket as the coordinator makes it, of a side of this session, for so long from now. */
void binding_ticket(const struct sid *session, uint8_t side, int64_t life_ms,
                    uint8_t out[static TICKET_BYTES]);

void binding_send(int fd, const struct relay_control *c);
/* The next answer of this kind within ms. */
bool binding_hear(int fd, uint8_t op, struct relay_control *c, int ms);

/* A handshake's begin: what proves this socket and nonce. */
struct relay_control binding_challenge(int fd, const uint8_t ticket[static TICKET_BYTES]);

/* The whole of it. */
void binding_bind(int fd, const uint8_t ticket[static TICKET_BYTES]);

#endif
