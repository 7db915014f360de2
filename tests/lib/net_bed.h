/*
 * net_bed.h - for tests: the model internet with two public hosts, and a household behind a NAT.
 */
#ifndef NET_BED_H
#define NET_BED_H

#include "tests/natlab/net.h"

enum { MS = 1000, BED_SLOTS = 4096 };

#define IS(got, want) cr_assert_str_eq(got, want)
#define H0 "203.0.113.1:1000"
#define H1 "203.0.113.2:2000"
#define IN2 "10.0.0.2:5000"
#define IN3 "10.0.0.3:5000"
#define OUT2 "198.51.100.1:5000"

extern struct net bed_net;
extern struct net_slot bed_slots[BED_SLOTS];
extern struct nat bed_home, bed_carrier;

/* Hosts 0 and 1 are public, 203.0.113.1 and .2, lines 0 and 1. */
void bed_two_hosts(uint64_t seed, struct net_link link);

/* Host 2, 10.0.0.2, behind a NAT with 198.51.100.1, 10 ms from the middle; host 3, 10.0.0.3, beside it. */
void bed_add_home(struct nat_conf conf);

/*
 * Instead: a carrier's NAT with 198.51.100.1, 10 ms from the middle, and behind it the household's, with
 * 100.64.0.1, 1 ms further; host 2, 10.0.0.2, is there, and host 3, 100.64.0.9, on the carrier's LAN.
 */
void bed_add_nested(struct nat_conf home, struct nat_conf carrier);

enum net_result bed_send_ttl(int64_t now_us, size_t host, const char *from, const char *to,
                             const char *text, uint8_t ttl);
enum net_result bed_send(int64_t now_us, size_t host, const char *from, const char *to,
                         const char *text);

/*
 * "HOST FROM>TO TEXT" of what arrives by then, "" for nothing; of an ICMP error "HOST FROM>TO icmp TYPE/CODE
 * FROM>TO" with what it is about.
 */
const char *bed_arrival(int64_t now_us);

#endif
