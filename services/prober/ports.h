/*
 * ports.h - source ports that are never answered: what listens there answers in its turn, so that a forged
 * source makes two servers talk to each other, or one of them shout at a third.  Pure.
 */
#ifndef PROBER_PORTS_H
#define PROBER_PORTS_H

#include <stdbool.h>
#include <stdint.h>

/* echo, daytime, qotd, chargen, DNS, TFTP, portmap, NTP, NetBIOS, SNMP, CLDAP, RIP, SSDP, WS-Discovery, mDNS, memcached */
#define PORTS_REFUSED "7,13,17,19,53,69,111,123,137,161,389,520,1900,3702,5353,11211"

struct ports {
    uint8_t bits[(UINT16_MAX + 1) / 8];
};

/* "7,19,53" or "" for none; false when it is no such list. */
bool ports_parse(const char *text, struct ports *out);

static inline bool ports_has(const struct ports *p, uint16_t port)
{
    return p->bits[port >> 3] >> (port & 7) & 1;
}

#endif
