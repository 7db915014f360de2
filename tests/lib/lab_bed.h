/*
 * lab_bed.h - for tests: a laboratory, and sockets on its hosts that speak in texts.  What can't be done
 * fails the test.
 */
#ifndef LAB_BED_H
#define LAB_BED_H

#include "tests/natlab/lab.h"

#include <netinet/in.h>

#define PUB "pub=open,ip=203.0.113.10+203.0.113.11"
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { SOON = 5000, NEVER = 150 }; /* limits in ms for what must and must not come, 20 ms apart */

extern struct lab bed_lab;

void bed_start(const char *const *args);
int64_t bed_now_ms(void);

int bed_udp(const char *host, uint16_t port);
int bed_udp_at(const char *host, const char *ip, uint16_t port);
struct sockaddr_in bed_sockaddr(const char *to);
void bed_say(int fd, const char *to, const char *text);

/* "FROM TEXT" of the next datagram, "" if none comes within the time.  Good for four more. */
const char *bed_hear(int fd, int wait_ms);

/* The address part of what was heard; good for four more. */
const char *bed_source(const char *heard);

#endif
