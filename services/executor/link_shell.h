/*
 * link_shell.h - an agent's two connections to its coordinator, CURVE over TCP: to the door that enrols, and to the
 * front.  What arrives by them are inputs of the core: IN_MSG, and IN_LINK when one is usable or not any more.
 */
#ifndef LINK_SHELL_H
#define LINK_SHELL_H

#include "services/executor/agent_shell.h"

/* Connect to one of the two; a coordinator that is away is waited for.  Dies when the system refuses a socket. */
zsock_t *agent_link_open(struct agent *g, const struct addr *to, bool enrolling);

/* Nothing when *sock is NULL, as it is after. */
void agent_link_close(struct agent *g, zsock_t **sock, bool enrolling);

/* A message to the coordinator, for struct service's send_peer: sent now, or dropped and counted. */
void agent_link_send(struct service *s, const struct output *o);

#endif
