/*
 * chase.h - what is sent after a message on a TCP connection, so that its loss is found early.  Pure.
 *
 * A lone segment that is lost comes again after the retransmission timeout, in Linux 200 ms and a round trip
 * (RFC 6298 has a second), and the tail loss probe of RFC 8985 section 7.2 waits as long for it.  When a later segment
 * is acknowledged the loss is found a round trip after it, and a quarter (RFC 8985 section 6.2).  So a chaser,
 * a message that says nothing, goes a quarter of a round trip after each message that a session waits for, and
 * more of them while something has not been acknowledged when it should be.
 *
 * When what goes again is lost too, Linux waits twice as long each time: 15 s after the third one, at 800 ms.  So the
 * timeout gets an upper bound (TCP_RTO_MAX_MS, of Linux 6.15).  Elsewhere TCP_THIN_LINEAR_TIMEOUTS keeps it from
 * growing, unless four segments are under way or the congestion control has no slow start threshold, as BBR.
 *
 * With a bound, and a long round trip, chasers are left out: they would find a loss no sooner, and what Linux
 * repeats as a probe is the last one of them, not the message.  With losses in bursts of 400 ms at 800 ms
 * round trip the slowest 1 % of 250 messages took 7.7 s, with the bound 4.6 s, without chasers 2.4 s.
 */
#ifndef CHASE_H
#define CHASE_H

#include "lib/core.h"

enum {
    CHASED_MAX = 256,
    CHASED_RTT_US = 600000,
    CHASERS_MAX = 16,
    CHASE_TIMEOUT_LEAST_MS =
        1000, /* Linux takes no less: 15 of them end a connection, as our heartbeats do */
};

struct chase {
    uint32_t n;
    struct chased {
        uint32_t conn;
        int fd;
        uint32_t rtt_us;
        uint8_t sent; /* chasers */
        int64_t next_us;
    } v[CHASED_MAX];
};

/* Does a session stand still until this one is there? */
bool chase_worth(enum msg_type type);

/* Such a message went to conn, whose descriptor is fd, and whose round trip takes rtt_us.  When CHASED_MAX others are
 * chased it is not. */
void chase_begin(struct chase *c, uint32_t conn, int fd, uint32_t rtt_us, int64_t now_us);

/* Does a chaser find a loss before a bounded timeout, where the round trip takes rtt_us? */
bool chase_sooner(uint32_t rtt_us);

/* The longest that a retransmission timeout should be where the round trip takes rtt_us. */
uint32_t chase_timeout_ms(uint32_t rtt_us);

int64_t chase_next_us(const struct chase *c); /* NEVER when there is nothing to do */

/* One whose time has come, or NULL.  Borrowed until the next call. */
struct chased *chase_due(struct chase *c, int64_t now_us);

/*
 * Shall a chaser be sent to the one that is due, on whose connection something has not been acknowledged yet, or
 * nothing?  It is forgotten when not, or after CHASERS_MAX.
 */
bool chase_again(struct chase *c, struct chased *due, bool unacknowledged, int64_t now_us);

#endif
