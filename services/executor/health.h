/*
 * health.h - what is known of one way to the peer: which pings were answered, how long that takes, and how much
 * of what was sent there has arrived.
 *
 * A pong says how many packets had come in with that way's ping; with how many had been sent that is the
 * loss of this direction alone.  It is called bad when it is more than a tenth by 4.5 standard deviations,
 * over 50 packets or more: 30 % shows after about 130, and 10 % never.  Pure.
 */
#ifndef EXECUTOR_HEALTH_H
#define EXECUTOR_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HEALTH_PINGS = 128,      /* whose time is known */
    HEALTH_MARKS = 32,       /* pongs that loss is counted from */
    HEALTH_PACKETS_MIN = 50, /* that loss is told by */
    TRIAL_PINGS = 50,        /* answered, for a way that was left to be good again ... */
    TRIAL_MISSED = 2,        /* ... with no more missing than these, */
    TRIAL_MISSED_MAX = 8,    /* or, of a line that always loses some, these */
};

enum health_times {
    RTT_UNKNOWN_US = 300 * 1000,
    OVERDUE_MIN_US =
        20 * 1000, /* past the round trip: a ping that is not answered by then is missed */
};

struct health {
    int64_t rtt_us, var_us; /* RFC 6298's SRTT and RTTVAR; 0 while unknown */
    int64_t out_us;         /* when anything last left there */
    int64_t first_us; /* when the oldest ping left that newer answers leave open; NEVER: none */
    uint32_t pings,
        answered;   /* numbers of the last one sent, and of the newest that was answered */
    uint32_t since; /* data packets after the last ping */
    uint32_t sent, received;
    int64_t at_us[HEALTH_PINGS]; /* by number */
    struct {
        uint32_t sent, arrived;
    } marks[HEALTH_MARKS];
    uint32_t n_marks;
    bool lossy; /* much has not arrived */
    bool some;  /* something has not */
    enum trial { TRIAL_NONE, TRIAL_ON, TRIAL_PASSED } trial;
    uint32_t trial_first, trial_answered, trial_missed_max;
};

/* Nothing is known, nothing sent. */
void health_init(struct health *h);

/* What was seen of the way is over; the counts go on, since the peer's do. */
void health_restart(struct health *h);

/* A ping leaves now; returns its number. */
uint32_t health_ping(struct health *h, int64_t now_us);

/* When ping number is answered: false when it is not known or was answered before. */
bool health_pong(struct health *h, int64_t now_us, uint32_t number);

/* The peer had this many of our packets, the ping among them, when we had sent so many. */
void health_arrived(struct health *h, uint32_t sent, uint32_t arrived);

/* When the oldest open ping is missed, or NEVER. */
int64_t health_overdue_us(const struct health *h);

/* Are so many missed that were sent after the newest answered one? */
bool health_missed(const struct health *h, int64_t now_us, uint32_t n);

int64_t health_rtt_us(const struct health *h);
uint32_t health_open(const struct health *h); /* pings after the newest answered one */
int64_t health_pinged_us(const struct health *h);

/* A way that was left is tried: from the next ping on, and no more answers than this may be missing. */
void health_try(struct health *h, uint32_t missed_max);

#endif
