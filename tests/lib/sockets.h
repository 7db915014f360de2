/* sockets.h - UDP sockets of a test's own, by struct addr. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include "lib/addr.h"

/* A socket bound there (port 0: any that is free), and *at says where that is. */
int sockets_udp(struct addr *at);
int sockets_loopback(struct addr *at); /* 127.0.0.1, and any port */

void sockets_connect(int fd, const struct addr *to);

/* Where it is bound. */
struct addr sockets_name(int fd);

#endif
