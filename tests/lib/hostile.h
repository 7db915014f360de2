/*
 * hostile.h - throw garbage at a process that runs, wherever it listens, and see by its own counters that it has
 * taken all of it.
 *
 * What is thrown at a port is waited for before more is, so that nothing is lost on the way.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "lib/join.h"
#include "tests/lib/garbage.h"

#include <czmq.h>

struct hostile {
    const char *name;
    pid_t pid;
    char admin[128]; /* its admin socket */
    uint64_t asked;  /* how often we have asked there */
    long rss_kib;    /* for the caller */
};

/* The sum of counters of its `state`: of "a b:c" those of a, and of c inside of the object b. */
uint64_t hostile_sum(struct hostile *p, const char *names);

/* Its resident memory. */
long hostile_rss_kib(const struct hostile *p);

/* n datagrams from fd, which is connected. */
void hostile_datagrams(struct rng *rng, struct hostile *of, int fd, enum garbage kind, unsigned n);

/* Where messages come in, and how their taker counts them. */
struct hostile_door {
    struct hostile *of;
    enum role service; /* that it is */
    zsock_t *sock;     /* connected */
    bool bus;          /* the first frame says who sends */
    const char *counters;
};
void hostile_messages(struct rng *rng, const struct hostile_door *d, enum garbage kind, unsigned n);

/* n connections to a port of the own host, each until the other side has hung up: how a client of libzmq's begins, spoilt. */
void hostile_capture_hello(const struct join *join); /* first: what that is */
const uint8_t *hostile_hello(size_t *len);           /* that */
void hostile_streams(struct rng *rng, const struct addr *at, enum garbage kind, unsigned n);

/* n requests to its admin socket, each answered or dropped, and counted as such. */
void hostile_requests(struct rng *rng, struct hostile *p, enum garbage kind, unsigned n);

#endif
