/* udp.h - struct addr to and from the kernel's struct sockaddr. */
#ifndef UDP_H
#define UDP_H

#include "lib/addr.h"

#include <sys/socket.h>

/* Returns how much of *out is used; a->len must be 4 or 16. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out);

/* IPv4-mapped IPv6 addresses come out as IPv4.  len 0 for another family. */
struct addr addr_from_sockaddr(const struct sockaddr_storage *in);

#endif
