/*
 * birthday.c - one side's NAT draws a random port for each destination, the other side's port is known, or was
 * looked up.
 *
 * The random side opens many mappings towards the known port, one for each socket of a pool; the other
 * side tries random ports, without repetition.  With 256 mappings among 64,512 ports half of the attempts
 * meet within 175 tries and 99 % within 1,148, at 500 tries a second.  After TRIES_MAX it is over, whatever time
 * is left: by then 99.2 % have met, and both sides have sent PACKETS_OF_BOTH.
 */
#include "services/executor/internal.h"

enum {
    PACKETS_OF_BOTH = 1500,
    MEETING = 24, /* punches and pongs, once a port was met */
    TRIES_MAX = PACKETS_OF_BOTH - POOL_SOCKETS - MEETING,
    /* Linux draws its own ports from here; a NAT whose every seen port lies inside probably does too. */
    LINUX_LO = 32768,
    LINUX_HI = 60999,
    LINUX_TRIES = 600, /* of 28,232 ports with 256 open: 99.6 %; after that all others */
    /* A carrier's NAT has a block for each subscriber: seen ports so close together are of one, known or not. */
    BLOCK_SPREAD_MAX = 2048,
    BLOCK_WIDER = 1024, /* how far past the seen ones it may reach, either side */
};

static uint32_t ports(const struct attempt *a)
{
    return (uint32_t)a->birthday.hi - a->birthday.lo + 1;
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
    while (b != 0) {
        uint32_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* A walk over all ports of the range that visits each once: its NAT drew them at random, we need not. */
void executor_walk_start(struct executor *x, struct attempt *a, uint16_t lo, uint16_t hi)
{
    a->birthday.lo = lo;
    a->birthday.hi = hi;
    a->birthday.at = (uint32_t)rng_below(&x->rng, ports(a));
    do
        a->birthday.stride = 1 + (uint32_t)rng_below(&x->rng, ports(a) - 1);
    while (gcd(a->birthday.stride, ports(a)) != 1);
    a->birthday.tried = 0;
}

bool executor_walk_over(const struct attempt *a) { return a->birthday.tried >= ports(a); }

uint16_t executor_walk_next(struct attempt *a)
{
    uint16_t port = (uint16_t)(a->birthday.lo + a->birthday.at);

    a->birthday.at = (a->birthday.at + a->birthday.stride) % ports(a);
    a->birthday.tried++;
    return port;
}

/* The i-th range to try ports of, the likeliest first: where some were seen, then wider.  False: not here. */
enum { RANGES = 4 };
static bool range_of(const struct profile *p, unsigned i, uint16_t *lo, uint16_t *hi)
{
    bool seen = p->port_lo >= GUESS_PORT_MIN && p->port_hi > p->port_lo;
    bool block = seen && p->port_hi - p->port_lo < BLOCK_SPREAD_MAX;

    *lo = GUESS_PORT_MIN;
    *hi = UINT16_MAX;
    switch (i) {
    case 0:
        *lo = p->block_hi != 0 ? p->block_lo : p->port_lo;
        *hi = p->block_hi != 0 ? p->block_hi : p->port_hi;
        return block && *lo >= GUESS_PORT_MIN && *hi > *lo;
    case 1:
        if (p->port_lo > GUESS_PORT_MIN + BLOCK_WIDER)
            *lo = (uint16_t)(p->port_lo - BLOCK_WIDER);
        if (p->port_hi < UINT16_MAX - BLOCK_WIDER)
            *hi = (uint16_t)(p->port_hi + BLOCK_WIDER);
        return block;
    case 2:
        *lo = LINUX_LO;
        *hi = LINUX_HI;
        return seen && !block && p->port_lo >= LINUX_LO && p->port_hi <= LINUX_HI;
    default: return true;
    }
}

static bool next_range(struct executor *x, struct attempt *a)
{
    uint16_t lo, hi;

    while (a->birthday.range < RANGES && a->birthday.tries < TRIES_MAX)
        if (range_of(&a->their_profile, a->birthday.range++, &lo, &hi)) {
            executor_walk_start(x, a, lo, hi);
            return true;
        }
    return false;
}

/* Has the range had its chance? */
static bool range_over(const struct attempt *a)
{
    bool all = a->birthday.lo != LINUX_LO || a->birthday.hi != LINUX_HI;

    return a->birthday.tries >= TRIES_MAX || a->birthday.tried >= (all ? ports(a) : LINUX_TRIES);
}

/* Where probers see the side that tries: at two ports when one was taken, and then a retry has the other one. */
static struct addr known_port(const struct attempt *a)
{
    size_t n = 0;

    while (n < a->n_candidates && a->candidate_by[n] == BY_TOKEN &&
           addr_ip_eq(&a->candidates[n], &a->candidates[0]))
        n++;
    return a->candidates[n > 1 && a->attempts > 1 ? (a->attempts - 1) % n : 0];
}

void executor_birthday_arm(struct executor *x, struct attempt *a, const struct addr *foreseen,
                           uint16_t from, int64_t start_us)
{
    if (a->birthday.part == BIRTHDAY_OPENS) {
        if (a->n_candidates == 0)
            return;
        (void)executor_pool_take(x, a); /* so that the peer hears at once if it is not to be had */
        if (foreseen->len != 0 && !executor_may_guess_at_once(x, foreseen, POOL_SOCKETS))
            return;
        a->birthday.to = foreseen->len != 0 ? *foreseen : known_port(a);
    } else {
        a->birthday.ip = executor_vouched_ip(a);
        if (a->birthday.ip.len == 0)
            return;
        a->birthday.from = from;
        a->birthday.at_once = GUESS_AT_ONCE;
        next_range(x, a);
    }
    a->birthday.next_us = start_us;
}

/* ---- the side that opens -------------------------------------------------------------------------------- */

static void open_some(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (!executor_pool_take(x, a)) {
        a->birthday.next_us = x->now_us + POOL_AGAIN_US;
        return;
    }
    for (size_t i = 0; i < POOL_BATCH && x->pool_opened < POOL_SOCKETS; i++)
        executor_pool_punch(x, a, &a->birthday.to, out);
    a->birthday.next_us = x->pool_opened < POOL_SOCKETS ? x->now_us + POOL_EVERY_US : NEVER;
}

/* ---- the side that tries -------------------------------------------------------------------------------- */

static void try_some(struct executor *x, struct attempt *a, struct outputs *out)
{
    uint16_t from = a->birthday.from ? a->birthday.from : a->way[WAY_DIRECT].sock;

    for (size_t i = 0; i < GUESS_BATCH && a->birthday.next_us <= x->now_us; i++) {
        bool any = !range_over(a) || next_range(x, a);
        enum may may = any ? executor_may_guess(x, &a->birthday.ip, &a->birthday.next_us) : MAY_NOT;
        if (may == MAY_LATER)
            return;
        if (may == MAY_NOT) {
            x->n.guesses_refused++;
            a->birthday.next_us = NEVER;
            return;
        }
        a->birthday.ip.port = executor_walk_next(a);
        if (a->birthday.at_once > 0)
            a->birthday.at_once--;
        else
            a->birthday.next_us += GUESS_EVERY_US;
        x->n.guesses++;
        a->birthday.tries++;
        executor_send_punch(x, a, WAY_DIRECT, PACKET_PUNCH, 0, from, &a->birthday.ip, out);
    }
    if (a->birthday.at_once == 0 &&
        a->birthday.next_us <= x->now_us) /* late: what was missed is not made up for in a burst */
        a->birthday.next_us = x->now_us + GUESS_EVERY_US;
}

/* ---- both ------------------------------------------------------------------------------------------------ */

void executor_birthday_tick(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (a->direct_over)
        a->birthday.next_us = NEVER;
    else if (a->birthday.part == BIRTHDAY_SCANS)
        executor_scan_tick(x, a, out);
    else if (a->birthday.part == BIRTHDAY_OPENS)
        open_some(x, a, out);
    else
        try_some(x, a, out);
}
