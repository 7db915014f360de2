/*
 * birthday.c - one side's NAT draws a random port for each destination, the other side's port is known.
 *
 * The random side opens many mappings towards the known port, one for each socket of a pool; the other
 * side tries random ports, without repetition.  With 256 mappings among 64,512 ports half of the attempts
 * meet within 175 tries and 99 % within 1,148, at 500 tries a second.
 *
 * Tries are guesses, so they go only to an ip that two fresh tokens of the accepted peer name, to ports from
 * 1024 up, and no more than GUESSES_MAX in ten minutes to any ip, whoever asks.
 */
#include "services/executor/internal.h"

#include <string.h>

enum {
    PORT_MIN = 1024,
    /* Linux draws its own ports from here; a NAT whose every seen port lies inside probably does too. */
    LINUX_LO = 32768,
    LINUX_HI = 60999,
    LINUX_TRIES = 600, /* of 28,232 ports with 256 open: 99.6 %; after that all others */
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
static void start_walk(struct executor *x, struct attempt *a, uint16_t lo, uint16_t hi)
{
    a->birthday.lo = lo;
    a->birthday.hi = hi;
    a->birthday.at = (uint32_t)rng_below(&x->rng, ports(a));
    do
        a->birthday.stride = 1 + (uint32_t)rng_below(&x->rng, ports(a) - 1);
    while (gcd(a->birthday.stride, ports(a)) != 1);
    a->birthday.tried = 0;
}

/* The ip that at least two of the peer's vouched addresses share; len 0 when there is none. */
static struct addr vouched_ip(const struct attempt *a)
{
    for (size_t i = 0; i < a->n_candidates; i++)
        for (size_t j = 0; j < i; j++)
            if (addr_ip_eq(&a->candidates[i], &a->candidates[j]))
                return a->candidates[i];
    return (struct addr){0};
}

void executor_birthday_arm(struct executor *x, struct attempt *a, unsigned random_side,
                           int64_t start_us)
{
    const struct profile *theirs = &a->their_profile;

    if (random_side == a->side) {
        if (x->pool_owner != ATTEMPTS_MAX || a->n_candidates == 0)
            return; /* one such attempt at a time */
        x->pool_owner = executor_number(x, a);
        a->birthday.part = BIRTHDAY_OPENS;
    } else {
        a->birthday.ip = vouched_ip(a);
        if (a->birthday.ip.len == 0)
            return;
        a->birthday.part = BIRTHDAY_TRIES;
        if (theirs->port_lo >= LINUX_LO && theirs->port_hi <= LINUX_HI)
            start_walk(x, a, LINUX_LO, LINUX_HI);
        else
            start_walk(x, a, PORT_MIN, UINT16_MAX);
    }
    a->birthday.next_us = start_us;
}

/* ---- the side that opens -------------------------------------------------------------------------------- */

static void open_some(struct executor *x, struct attempt *a, struct outputs *out)
{
    for (size_t i = 0; i < POOL_BATCH && a->birthday.opened < POOL_SOCKETS; i++) {
        uint16_t sock = (uint16_t)(POOL_FIRST + a->birthday.opened++);
        struct output *o = outputs_add(out, OUT_SOCKET);
        o->socket.op = SOCKET_OPEN;
        o->socket.sock = o->socket.to = sock;
        executor_send_punch(x, a, WAY_DIRECT, PACKET_PUNCH, 0, sock, &a->candidates[0], out);
    }
    a->birthday.next_us = a->birthday.opened < POOL_SOCKETS ? x->now_us + POOL_EVERY_US : NEVER;
}

static void close_pool(struct executor *x, struct outputs *out)
{
    struct output *o = outputs_add(out, OUT_SOCKET);

    o->socket.op = SOCKET_CLOSE;
    o->socket.sock = POOL_FIRST;
    o->socket.to = POOL_FIRST + POOL_SOCKETS - 1;
    x->pool_owner = ATTEMPTS_MAX;
}

/* The first authentic packet came in by this socket of the pool: keep it, under a number of its own. */
void executor_birthday_met(struct executor *x, struct attempt *a, uint16_t sock,
                           struct outputs *out)
{
    struct way_state *w = &a->way[WAY_DIRECT];

    a->birthday.next_us = NEVER;
    w->burst = 0;
    w->next_punch_us = x->now_us + punch_offset_us[1]; /* from here on as with a known address */
    if (a->birthday.part != BIRTHDAY_OPENS || sock < POOL_FIRST)
        return;
    struct output *o = outputs_add(out, OUT_SOCKET);
    o->socket.op = SOCKET_MOVE;
    o->socket.sock = sock;
    o->socket.to = w->sock = (uint16_t)(KEPT_FIRST + executor_number(x, a));
    close_pool(x, out);
}

/* ---- the side that tries -------------------------------------------------------------------------------- */

static void try_some(struct executor *x, struct attempt *a, struct outputs *out)
{
    for (size_t i = 0; i < GUESS_BATCH && a->birthday.next_us <= x->now_us; i++) {
        bool linux_over = a->birthday.lo == LINUX_LO && a->birthday.tried >= LINUX_TRIES;
        if (linux_over)
            start_walk(x, a, PORT_MIN, UINT16_MAX);
        enum may may = a->birthday.tried >= ports(a)
                           ? MAY_NOT
                           : executor_may_guess(x, &a->birthday.ip, &a->birthday.next_us);
        if (may == MAY_LATER)
            return;
        if (may == MAY_NOT) {
            x->n.guesses_refused++;
            a->birthday.next_us = NEVER;
            return;
        }
        a->birthday.ip.port = (uint16_t)(a->birthday.lo + a->birthday.at);
        a->birthday.at = (a->birthday.at + a->birthday.stride) % ports(a);
        a->birthday.tried++;
        a->birthday.next_us += GUESS_EVERY_US;
        x->n.guesses++;
        executor_send_punch(x, a, WAY_DIRECT, PACKET_PUNCH, 0, a->way[WAY_DIRECT].sock,
                            &a->birthday.ip, out);
    }
    if (a->birthday.next_us <= x->now_us) /* late: what was missed is not made up for in a burst */
        a->birthday.next_us = x->now_us + GUESS_EVERY_US;
}

/* ---- both ------------------------------------------------------------------------------------------------ */

void executor_birthday_tick(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (a->direct_over || a->way[WAY_DIRECT].heard)
        a->birthday.next_us = NEVER;
    else if (a->birthday.part == BIRTHDAY_OPENS)
        open_some(x, a, out);
    else
        try_some(x, a, out);
}

static void close_kept(struct attempt *a, struct outputs *out)
{
    uint16_t *sock = &a->way[WAY_DIRECT].sock;

    if (*sock < KEPT_FIRST)
        return;
    struct output *o = outputs_add(out, OUT_SOCKET);
    o->socket.op = SOCKET_CLOSE;
    o->socket.sock = o->socket.to = *sock;
    *sock = 0;
}

/* The attempt at a direct path is over: the pool is closed; when the session ends, the kept socket too. */
void executor_birthday_end(struct executor *x, struct attempt *a, struct outputs *out)
{
    a->birthday.next_us = NEVER;
    if (x->pool_owner == executor_number(x, a))
        close_pool(x, out);
    if (a->state >= ATTEMPT_FAILED)
        close_kept(a, out);
}

/* Before a new attempt in the same session: nothing of this one is kept. */
void executor_birthday_forget(struct executor *x, struct attempt *a, struct outputs *out)
{
    executor_birthday_end(x, a, out);
    close_kept(a, out);
    memset(&a->birthday, 0, sizeof a->birthday);
    a->birthday.next_us = NEVER;
}

/* Is this one of the sockets that the attempt's packets may come in by? */
bool executor_expects(const struct executor *x, const struct attempt *a, const struct input *in)
{
    uint16_t sock = in->dgram.sock;
    bool relay = addr_eq(&in->dgram.src, &a->relay.addr);
    bool pool = sock >= POOL_FIRST && sock < KEPT_FIRST && x->pool_owner == executor_number(x, a);

    if (a->mode == MODE_RAW && relay)
        return sock == a->way[WAY_RELAY].sock;
    return (sock == 0 && a->mode == MODE_MANAGED) || sock == a->way[WAY_DIRECT].sock || pool;
}
