/*
 * forecast.h - which port a NAT will give out next that gives them out one after the other.  Pure.
 *
 * Others behind the same NAT take ports meanwhile: so many were counted over a time, and how many it will be
 * over another time follows the negative binomial law (Poisson's, where the rate is itself known from a
 * count only).  A side that opens several sockets at once then has a run of ports, and as it is as long as
 * the bulk of that law is wide, one port in its middle is known beforehand to be among them.
 */
#ifndef FORECAST_H
#define FORECAST_H

#include <stdbool.h>
#include <stdint.h>

struct forecast {
    uint16_t port;    /* the newest that is known */
    int16_t delta;    /* from one to the next; not 0 */
    uint32_t others;  /* ports that were taken by others ... */
    uint32_t over_us; /* ... in this time before */
};

enum {
    FORECAST_SOCKETS_MAX = 240,
    FORECAST_SLACK = 3, /* ports, at either end: what nobody has counted */
    FORECAST_LAW_MAX = 1000,
};

/* So few are taken by others in this time that it will be no more with this probability. */
uint32_t forecast_most(const struct forecast *f, uint32_t after_us, double probability);

/* How many sockets opened at once then surely have the port in the middle: 99 times of 100. */
uint32_t forecast_sockets(const struct forecast *f, uint32_t after_us);

/* That port; 0 when it would be none that may be guessed, below 1024 or past the last. */
uint16_t forecast_port(const struct forecast *f, uint32_t after_us);

/*
 * What others took between two mappings that were seen, between which own sockets opened so many, the
 * later one included.  False when that can't be told: too long ago, or the ports began again from below.
 */
bool forecast_count(uint16_t before, uint16_t now, int16_t delta, uint32_t own, uint32_t *others);

#endif
