/* tickets.h - the keys by which a relay opens tickets: of this period and of the one before. */
#ifndef RELAY_TICKETS_H
#define RELAY_TICKETS_H

#include "services/relay/relay.h"

/* False when a coordinator's key has small order. */
bool relay_tickets_init(struct relay *r, const struct relay_conf *conf);

/* Renew the keys when it is time; first in every step. */
void relay_tickets_rotate(struct relay *r);

#endif
