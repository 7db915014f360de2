/*
 * pcap.h - what passes the hosts' interfaces, as a pcapng file (draft-ietf-opsawg-pcapng) that has an
 * interface for each host: what is in front of a model NAT has inside addresses.
 */
#ifndef NATLAB_PCAP_H
#define NATLAB_PCAP_H

#include "tests/natlab/spec.h"

/* Make the file spec->pcap; its descriptor, or -1 with errno. */
int pcap_open(const struct spec *spec);

/* An IPv4 datagram that this host sends or gets now.  What can't be written is left out. */
void pcap_write(int fd, size_t host, const void *datagram, size_t len);

#endif
