/*
 * raw_shell.h - the UDP socket that an application gets in raw mode, and what is kept from it.
 *
 * The socket is connected to the peer, or to the relay, which forwards by its source alone and adds no
 * byte.  A packet of natterjack's for this session that is still under way, doubled or late, never reaches
 * the application: a filter in the kernel drops what begins as one does, down to the session's own ids,
 * which are random; any other datagram passes, whatever its first byte.  Those that came before the filter
 * was there are taken out, with what lies before them.
 *
 * When its relay drains, the socket is led to another one while the application has it: a second socket at the same port
 * binds there, since the first hears its own relay only, and then the first is connected anew.
 */
#ifndef RAW_SHELL_H
#define RAW_SHELL_H

#include "lib/service.h"
#include "services/executor/executor.h"

/* The socket of an attempt that was just handed over, blocking; -1, after a line in the log, if it can't be. */
int raw_socket(struct service *s, const struct attempt *a);

/* One more socket at the port of this one, which hears what that is not connected to; -1 with errno. */
int raw_beside(int fd);

/* From now on this socket leads to the attempt's relay.  False with errno. */
bool raw_lead(int fd, const struct attempt *a);

#endif
