/*
 * scan.c - both NATs draw a random port for each destination, but from blocks that are known: each side tries all ports
 * of the other one's block, from one socket.
 *
 * A packet to port d gives its side a port a(d), and one the other way to d' gives b(d').  The two have opened the way for
 * one another when a(d) = d' and b(d') = d.  Where mappings depend on the address alone one port serves all d, and that is
 * certain.  Where they depend on the port too ("address and port-dependent" on both sides), and ports are shared, each round
 * over all K ports of a block is expected to make one such pair, so that something fits in 1 - 1/e = 63 of 100 rounds, and
 * each further one by a fresh socket is another such chance; no more mappings are made than the share of the own block that
 * was agreed to.  Where each mapping takes a port of its own there is one round until they expire, and 63 of 100 is the optimum:
 *
 *   Of K ports t were taken before, by probing (26 in virtual time).  k = K - t mappings can be made; ports are drawn from
 *   those k, so one pair of (d, d') fits with a chance of 1/k * 1/k, if b can be d and a can be d' at all: if d and d' are not
 *   among the t.  With s of the t avoided, the share k / (K - s) of what is sent goes to such ports, on either side, and
 *
 *       pairs expected = k * k * (k / (K - s))^2 / k^2 = (k / (K - s))^2      something fits: 1 - e^-that
 *
 *   K = 256: s = 0 gives 55 of 100, s = 12 59, and s = t 63; K = 1024: 61, 62, 63.  So ports that probers saw, which the profile
 *   names, are tried last: not never, since by then they may be free again.
 *
 * That a packet comes in proves nothing yet where the own NAT lets in other ports as well: it is answered by the
 * socket that heard it, and only an answer to ours, or a peer that has one, shows the way.  Several pairs may fit at once,
 * by different sockets: side 0 chooses one, and side 1 takes what it chose.
 */
#include "services/executor/internal.h"

/* The next round: all ports once more, by a socket that has none of its mappings yet. */
static bool next_round(struct executor *x, struct attempt *a, struct outputs *out)
{
    const struct profile *p = &a->their_profile;

    a->birthday.from = a->birthday.left > 0 ? executor_pool_open(x, out) : 0;
    if (a->birthday.from == 0)
        return false;
    a->birthday.left -= a->own_profile.mapping == NAT_AD; /* one mapping for all of them */
    a->birthday.taken_too = false;
    executor_walk_start(x, a, p->block_lo, p->block_hi);
    return true;
}

void executor_scan_arm(struct executor *x, struct attempt *a, int64_t start_us)
{
    const struct profile *p = &a->their_profile;

    a->birthday.part = BIRTHDAY_SCANS;
    a->birthday.ip = executor_vouched_ip(a);
    if (a->birthday.ip.len == 0 || p->block_lo < GUESS_PORT_MIN || p->block_hi <= p->block_lo)
        return;
    struct profile own = a->own_profile;
    own.share = x->conf.blocks; /* whatever the coordinator says */
    a->birthday.left = strategy_scans(&own);
    a->birthday.ip.port = 0;
    a->birthday.at_once = GUESS_AT_ONCE;
    a->birthday.next_us = start_us;
    (void)executor_pool_take(x, a); /* so that the peer hears at once if it is not to be had */
}

/* Has the peer's NAT given this port to something else?  That is what was seen of it, and may be over by now. */
static bool is_taken(const struct profile *p, uint16_t port)
{
    for (size_t i = 0; i < profile_taken(p); i++)
        if (p->taken[i] == port)
            return true;
    return false;
}

/* The next port of the round, those that are taken after all others; 0: it is over. */
static uint16_t next_of_round(struct attempt *a)
{
    for (;; a->birthday.taken_too = true, a->birthday.tried = 0) {
        while (!executor_walk_over(a)) {
            uint16_t port = executor_walk_next(a);
            if (is_taken(&a->their_profile, port) == a->birthday.taken_too)
                return port;
        }
        if (a->birthday.taken_too)
            return 0;
    }
}

/* The port to try next, in this round or a fresh one; 0 when all that may be used is. */
static uint16_t next_port(struct executor *x, struct attempt *a, struct outputs *out)
{
    uint16_t port = a->birthday.from != 0 ? next_of_round(a) : 0;

    return port != 0 || !next_round(x, a, out) ? port : next_of_round(a);
}

void executor_scan_tick(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (!executor_pool_take(x, a)) {
        a->birthday.next_us = x->now_us + POOL_AGAIN_US;
        return;
    }
    for (size_t i = 0; i < GUESS_BATCH && a->birthday.next_us <= x->now_us; i++) {
        bool each = a->own_profile.mapping != NAT_AD; /* else one mapping serves a round */
        if (a->birthday.ip.port == 0 && !(each && a->birthday.left == 0))
            a->birthday.ip.port = next_port(x, a, out);
        bool any = a->birthday.ip.port != 0;
        enum may may = any ? executor_may_guess(x, &a->birthday.ip, &a->birthday.next_us) : MAY_NOT;
        if (may == MAY_LATER)
            return;
        if (may == MAY_NOT) {
            a->birthday.next_us = NEVER;
            return;
        }
        a->birthday.left -= each;
        if (a->birthday.at_once > 0)
            a->birthday.at_once--;
        else
            a->birthday.next_us += GUESS_EVERY_US;
        x->n.guesses++;
        executor_send_punch(x, a, WAY_DIRECT, PACKET_PUNCH, 0, a->birthday.from, &a->birthday.ip,
                            out);
        a->birthday.ip.port = 0;
    }
    if (a->birthday.at_once == 0 && a->birthday.next_us <= x->now_us)
        a->birthday.next_us = x->now_us + GUESS_EVERY_US;
}

/* To where an authentic packet came from, as to any address that has not answered: PACKETS_MAX of them. */
static void answer(struct executor *x, struct attempt *a, const struct input *in, uint8_t type,
                   uint64_t echo, struct outputs *out)
{
    const struct addr *to = &in->dgram.src;
    uint8_t *n = &a->birthday.answers[to->port % SCAN_ANSWERS];

    if (to->port < GUESS_PORT_MIN || *n == PACKETS_MAX || !executor_may_guess_back(x, to))
        return;
    ++*n;
    executor_send_punch(x, a, WAY_DIRECT, type, echo, in->dgram.sock, to, out);
}

bool executor_scan_one_way(struct executor *x, struct attempt *a, const struct input *in,
                           const struct punch *p, struct outputs *out)
{
    if (a->birthday.part != BIRTHDAY_SCANS || a->birthday.met || a->direct_over)
        return false;
    if (!executor_pool_has(x, a, in->dgram.sock)) /* its port is none that ours were sent by */
        return true;
    bool ours = p->type == PACKET_PONG && p->echo == executor_challenge(a, &in->dgram.src);
    a->birthday.met = ours || (p->flags & PUNCH_MET) != 0;
    if (a->side == 1 && !(p->flags & PUNCH_MET)) {
        if (ours) /* says that it is one */
            answer(x, a, in, PACKET_PUNCH, 0, out);
        a->birthday.met = false;
    }
    if (!a->birthday.met && p->type == PACKET_PUNCH)
        answer(x, a, in, PACKET_PONG, p->echo, out);
    return !a->birthday.met;
}
