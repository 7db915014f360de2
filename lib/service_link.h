/*
 * service_link.h - links to services on other hosts: the bus over TCP, under CURVE.
 *
 * A service that hears others binds one more inbox (PULL), into which only the keys of its list come, under a
 * ZAP domain of their own; to each that it says something it connects one PUSH.  Frames are as on the bus, but
 * who sent a message is the link that its key stands for, whatever its first frame says.  What is sent while
 * a link is down, or faster than it takes, is dropped and counted.
 */
#ifndef SERVICE_LINK_H
#define SERVICE_LINK_H

#include "lib/service.h"
#include "lib/zap.h"

enum { LINK_KEY = 32 };
#define LINK_DOMAIN "bus" /* of ZAP */

struct service_link_conf {
    uint8_t secret[LINK_KEY], key[LINK_KEY]; /* own X25519 pair */
    struct addr listen;                      /* len 0: nobody is heard */
    /* Of a process that has a ZAP handler: it leaves LINK_DOMAIN to service_links_answer. */
    bool has_handler;
    void (*watch)(struct service *s, zsock_t *inbox); /* before it is bound; or NULL */
    uint8_t n;
    struct service_link {
        enum role role;
        uint8_t key[LINK_KEY]; /* its X25519 public key */
        struct addr addr;      /* len 0: nothing is said to it */
    } to[LINKS_MAX];           /* number 1 and so on, as in struct sender and struct output */
};

/* Bind, connect and hook into the service.  Dies with a line on failure; to be called at start-up. */
void service_links_open(struct service *s, const struct service_link_conf *conf);
void service_links_close(void);

/* For another thread of the same process: its own ways out by the same links. */
void service_links_join(struct service *s, const struct service_link_conf *conf);

/* Who comes in from now on: other keys of the same kind, to which nothing is said. */
void service_links_change(const struct service_link *to, uint8_t n);

/* Answer who wants to come in: whose key is on no list may be on one that is read later, and tries again. */
void service_links_answer(zsock_t *zap, const struct zap_request *z);

/* Strangers that wanted to come in. */
uint64_t service_links_refused(void);

#endif
