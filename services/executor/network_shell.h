/*
 * network_shell.h - the kernel's word that an address or a route of this host has changed (rtnetlink(7)).
 */
#ifndef NETWORK_SHELL_H
#define NETWORK_SHELL_H

#include "lib/addr.h"

#include <stdbool.h>

/* A descriptor that becomes readable when something has changed, or -1: then nobody tells. */
int network_watch(void);

/* Take what is waiting there; true when it was about addresses or routes. */
bool network_changed(int fd);

/* The local address that packets towards there leave by, port 0.  False when there is no way. */
bool network_source(const struct addr *towards, struct addr *local);

#endif
