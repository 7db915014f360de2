/*
 * service_link.h - links to services on other hosts: the bus over TCP, under CURVE.
 *
 * A service that has links binds one more inbox (PULL), into which only the keys of its list come, under a
 * ZAP domain of their own, and connects one PUSH to the inbox of each.  Frames are as on the bus, but who
 * sent a message is the link that its key stands for, whatever its first frame says.  What is sent while
 * a link is down, or faster than it takes, is dropped and counted.
 */
#ifndef SERVICE_LINK_H
#define SERVICE_LINK_H

#include "lib/service.h"

enum { LINKS_MAX = 3, LINK_KEY = 32 };

struct service_link_conf {
    uint8_t secret[LINK_KEY], key[LINK_KEY]; /* own X25519 pair */
    struct addr listen;
    uint8_t n;
    struct service_link {
        enum role role;
        uint8_t key[LINK_KEY]; /* its X25519 public key */
        struct addr addr;
    } to[LINKS_MAX]; /* number 1 and so on, as in struct sender and struct output */
};

/* Bind, connect and hook into the service.  Dies with a line on failure; to be called at start-up. */
void service_links_open(struct service *s, const struct service_link_conf *conf);
void service_links_close(void);

/* Strangers that wanted to come in. */
uint64_t service_links_refused(void);

#endif
