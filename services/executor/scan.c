/*
 * scan.c - both NATs draw a random port for each destination, but from blocks that are known: each side tries all ports
 * of the other one's block, from one socket.
 *
 * Whoever has sent to all K ports of a block has a port of his own for each of them; if the other side has done the same,
 * one of the K pairs of ports is expected to be each other's, so that two packets have opened the way for one another: in 63 of
 * 100 cases (RFC 4787 "address and port-dependent" on both sides; where a mapping depends on the address alone it is
 * certain).  Each further round by a fresh socket is another such chance, as long as there are ports left: no more
 * mappings are made than the share of the own block that was agreed to.
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
    a->birthday.at_once = GUESS_AT_ONCE;
    a->birthday.next_us = start_us;
    (void)executor_pool_take(x, a); /* so that the peer hears at once if it is not to be had */
}

/* One mapping for each port that is tried, or for all of them. */
static void spend(struct attempt *a)
{
    if (a->own_profile.mapping != NAT_AD || a->birthday.tried == 1)
        a->birthday.left--;
}

void executor_scan_tick(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (!executor_pool_take(x, a)) {
        a->birthday.next_us = x->now_us + POOL_AGAIN_US;
        return;
    }
    for (size_t i = 0; i < GUESS_BATCH && a->birthday.next_us <= x->now_us; i++) {
        bool round = a->birthday.from != 0 && !executor_walk_over(a);
        bool spent = a->birthday.left == 0 && a->own_profile.mapping != NAT_AD;
        bool any = !spent && (round || next_round(x, a, out));
        enum may may = any ? executor_may_guess(x, &a->birthday.ip, &a->birthday.next_us) : MAY_NOT;
        if (may == MAY_LATER)
            return;
        if (may == MAY_NOT) {
            a->birthday.next_us = NEVER;
            return;
        }
        a->birthday.ip.port = executor_walk_next(a);
        spend(a);
        if (a->birthday.at_once > 0)
            a->birthday.at_once--;
        else
            a->birthday.next_us += GUESS_EVERY_US;
        x->n.guesses++;
        executor_send_punch(x, a, WAY_DIRECT, PACKET_PUNCH, 0, a->birthday.from, &a->birthday.ip,
                            out);
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
