/*
 * pinger.h - pings over a path, as `connect --ping` sends them: PING_BYTES each, one every PING_EVERY_MS, and
 * an answer counts for PING_WAIT_MS.
 */
#ifndef PINGER_H
#define PINGER_H

#include "services/executor/agent_shell.h"

enum { PING_BYTES = 64, PING_EVERY_MS = 100, PING_WAIT_MS = 1000, PINGS_MAX = 100000 };

struct pinger {
    uint32_t pings; /* to send, PINGS_MAX at most */
    int fd;         /* the application's end of the path; -1 for none.  Closed by pinger_fini. */
    bool raw;       /* it is a UDP socket, which has no end that could be read from it */
    bool over;      /* the path is gone: stop */
    uint32_t sent, received;
    int64_t next_us, last_us;
    int64_t *rtt_us; /* of those received; in order once pinger_run is over */
    bool *answered;  /* by number */
};

/* Send all, and wait until each is answered or late, the path is over or a signal asks to stop. */
void pinger_run(struct pinger *p, struct agent *g);

/* The median round trip in microseconds; -1 when nothing was received. */
int64_t pinger_median_us(const struct pinger *p);

/* Closes fd, if there is one. */
void pinger_fini(struct pinger *p);

#endif
