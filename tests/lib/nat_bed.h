/*
 * nat_bed.h - for tests: one NAT, packet by packet.  A packet out shows the source address that the world
 * sees, a packet in the inside address it reaches; where it is dropped, the reason.
 */
#ifndef NAT_BED_H
#define NAT_BED_H

#include "tests/natlab/nat.h"

#define S 1000000LL /* a second */
#define A "10.0.0.2:5000"
#define B "10.0.0.3:5000"
#define X "203.0.113.1:53"
#define X2 "203.0.113.1:54" /* X's other port */
#define Y "203.0.113.2:53"
#define IS(got, want) cr_assert_str_eq(got, want)

extern struct nat bed_nat;

/* A NAT of this kind; the first of its addresses is 198.51.100.1 unless given. */
void bed_use(struct nat_conf conf);

/* Texts live until seven more were asked for. */
const char *bed_text(enum nat_result r, const struct addr *a);
const char *bed_out_proto(int64_t now_us, uint8_t proto, const char *from, const char *to);
const char *bed_in_proto(int64_t now_us, uint8_t proto, const char *from, const char *to);
const char *bed_out(int64_t now_us, const char *from, const char *to); /* UDP */
const char *bed_in(int64_t now_us, const char *from, const char *to);

/* An ICMP error about a UDP packet: what the inside's end of the quote becomes. */
const char *bed_error_out(int64_t now_us, const char *from, const char *to);
const char *bed_error_in(int64_t now_us, const char *from, const char *to);

struct addr bed_addr(const char *text);

#endif
