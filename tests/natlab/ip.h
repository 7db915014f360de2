/*
 * ip.h - IPv4 datagrams as the model's packets and back: where the addresses, ports and checksums are.
 *
 * Pure.
 */
#ifndef NATLAB_IP_H
#define NATLAB_IP_H

#include "tests/natlab/net.h"

/*
 * Look at a datagram; p borrows it.  False if it is not well-formed IPv4.  What has no ports (fragments,
 * other ICMP than echo and errors, other protocols) gets proto 0, which passes only where no NAT is.
 */
bool ip_parse(const uint8_t *buf, size_t len, struct net_packet *p);

/* Make the datagram say what p says: addresses, ports and TTL, with the checksums to match. */
void ip_rewrite(uint8_t *buf, size_t len, const struct net_packet *p);

/* The model's error p out of the begin of the datagram it is about; the length, or 0 if that is no such. */
size_t ip_make_error(uint8_t *buf, size_t cap, const struct net_packet *p);

#endif
