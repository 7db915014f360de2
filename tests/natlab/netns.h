/*
 * netns.h - network namespaces without names, and the interfaces, addresses, routes and rules in them.
 *
 * A namespace lives as long as a descriptor or a process holds it, so nothing is left when they are gone.
 * Functions that configure act on the namespace the caller is in, return false with errno, and need root.
 */
#ifndef NATLAB_NETNS_H
#define NATLAB_NETNS_H

#include "lib/addr.h"

enum { NETNS_MTU = 1500 };

/* A descriptor of the caller's own namespace; -1 with errno. */
int netns_current(void);

/* Move to a new namespace with its loopback up; returns its descriptor or -1. */
int netns_new(void);
bool netns_enter(int fd);

/* A TUN device, up, non-blocking; -1 with errno. */
int netns_tun(const char *name);

/* A pair of Ethernets: one end here, the other in the namespace of fd; both are down. */
bool netns_veth(const char *here, const char *there, int fd);

/* One address with a prefix; index tells several on one interface apart. */
bool netns_address(const char *name, unsigned index, const struct addr *ip, int prefix);
bool netns_up(const char *name);

/* The default route, by a gateway or, if that is NULL, straight through the interface. */
bool netns_default_route(const char *name, const struct addr *gateway);

/* A route to one host, straight through the interface. */
bool netns_host_route(const char *name, const struct addr *ip);

/* Forward between the named interfaces, without needing a writable /proc/sys. */
bool netns_forward(const char *name);

/* Load nftables rules with nft(8). */
bool netns_rules(const char *rules);

#endif
