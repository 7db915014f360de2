/* chase_shell.h - chasers (lib/chase.h) for the connections of a service. */
#ifndef CHASE_SHELL_H
#define CHASE_SHELL_H

#include "lib/chase.h"
#include "lib/service.h"

struct chaser {
    struct chase chase;
    int timer;
    void (*send)(struct service *s, const struct output *o);
    uint64_t sent;
};

/* Send them by send, a service's send_peer.  c stays in use until chaser_close().  Dies when there is no timer. */
void chaser_open(struct service *s, struct chaser *c,
                 void (*send)(struct service *s, const struct output *o));
void chaser_close(struct service *s, struct chaser *c);

/* o went to connection o->to_conn, whose TCP socket is fd, or -1 when that is not known. */
void chaser_sent(struct chaser *c, const struct output *o, int fd);

#endif
