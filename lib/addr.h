/*
 * addr.h - transport addresses (IP and port) as plain values: compare, hash, print, parse.
 *
 * Pure; the conversions to struct sockaddr live in lib/udp.h.
 */
#ifndef ADDR_H
#define ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDR_TEXT_MAX 56 /* "[" 39 "]:" 5 and the terminator, rounded up */

/* An IPv4 or IPv6 transport address; len 0 means none.  Bytes past len are zero. */
struct addr {
    uint8_t len; /* 0, 4 or 16 */
    uint8_t ip[16];
    uint16_t port; /* host order */
};

/* a.b.c.d, port in host order; equal in all; equal but for the port. */
struct addr addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port);
bool addr_eq(const struct addr *a, const struct addr *b);
bool addr_ip_eq(const struct addr *a, const struct addr *b);

/* Write "192.0.2.1:5", "[2001:db8::1]:5" or "-"; always terminated, truncates to fit; returns buf. */
const char *addr_format(const struct addr *a, char *buf, size_t cap);

/* Parse "IP:PORT" or "[IP6]:PORT".  False, with *out untouched, on anything else. */
bool addr_parse(const char *text, struct addr *out);

/* Parse "IP" alone; the port is set to the one given. */
bool addr_parse_ip(const char *text, uint16_t port, struct addr *out);

#endif
