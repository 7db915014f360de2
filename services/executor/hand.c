/*
 * hand.c - raw hand-over: the two sides agree on one way, and each gives its application the socket.
 *
 * A raw session has sockets of its own: one for the direct way, a spare that probers vouch for, and one
 * for the relay.  Nothing can be changed once the application has one of them, so side 0 decides:
 *
 *   0 -> 1  offer  this way, every HAND_EVERY_US
 *   1 -> 0  take   each time that it is offered; from now on side 1 keeps to it
 *   0 -> 1  go     HAND_GOS times; side 0 hands over
 *   1              hands over on go, or when it hears no more offers for HAND_SILENT_US: then side 0 has
 *                  had its word, and go was lost
 *
 * So when side 0 has handed over a way, side 1 has or will, the same one.  Packets of ours that are late
 * are kept from the application by a filter on its socket: services/executor/raw_shell.h.
 */
#include "services/executor/internal.h"

#include <string.h>

/* Where the direct way will punch from: the spare that the order names, whose address the peer was told. */
void executor_hand_sockets(struct executor *x, struct attempt *a, uint32_t spare,
                           struct outputs *out)
{
    uint16_t direct = (uint16_t)(KEPT_FIRST + executor_number(x, a));
    bool open[WAYS] = {
        [WAY_RELAY] = a->policy != POLICY_DIRECT, [WAY_DIRECT] = a->policy != POLICY_RELAY};

    if (open[WAY_DIRECT] && executor_spare_take(x, spare, direct, out))
        open[WAY_DIRECT] = false;
    a->way[WAY_DIRECT].sock = direct;
    a->way[WAY_RELAY].sock = (uint16_t)(RAW_RELAY_FIRST + executor_number(x, a));
    for (enum way w = 0; w < WAYS; w++)
        if (open[w])
            executor_socket(SOCKET_OPEN, a->way[w].sock, a->way[w].sock, out);
    a->hand.reserve_us = a->side == 0 ? (a->deadline_us - x->now_us) / 4 : 0;
    if (a->hand.reserve_us > HAND_TIME_US)
        a->hand.reserve_us = HAND_TIME_US;
    a->deadline_us -= a->hand.reserve_us; /* agreeing takes time as well */
}

/* The attempt has ended: what the application was not given is closed. */
void executor_hand_end(struct attempt *a, struct outputs *out)
{
    a->hand.next_us = NEVER;
    if (a->mode != MODE_RAW || a->way[WAY_RELAY].sock == 0)
        return;
    if (a->hand.phase == HAND_DONE) {
        executor_swap_close(a, out);
        return;
    }
    for (enum way w = 0; w < WAYS; w++)
        if (a->way[w].sock != 0)
            executor_socket(SOCKET_CLOSE, a->way[w].sock, a->way[w].sock, out);
}

static void hand_over(struct executor *x, struct attempt *a, struct outputs *out)
{
    enum way way = a->hand.way;

    a->hand.phase = HAND_DONE;
    a->hand.next_us = a->relay.next_us = NEVER;
    for (enum way w = 0; w < WAYS; w++)
        a->way[w].next_punch_us = a->way[w].next_ping_us = NEVER;
    executor_guess_end(x, a, out);
    executor_socket(SOCKET_CLOSE, a->way[!way].sock, a->way[!way].sock, out);
    executor_wipe(a);
    a->flow = way;
    a->opened = true;
    executor_app(x, a, APP_OPENED, out); /* the shell takes the socket: nothing leaves by it now */
    if (way == WAY_DIRECT) {
        a->verdict = executor_direct_verdict(a);
        executor_enter(x, a, ATTEMPT_DIRECT, "handed over", out);
        return;
    }
    a->direct_over = a->direct_over || a->side == 1; /* side 0 has seen to it */
    a->verdict = executor_relayed_verdict(a);
    executor_enter(x, a, ATTEMPT_RELAYED, verdict_name(a->verdict), out);
}

/* Side 0: this way it is. */
void executor_hand_offer(struct executor *x, struct attempt *a, enum way way, struct outputs *out)
{
    a->hand.phase = HAND_OFFERED;
    a->hand.way = way;
    a->hand.next_us = x->now_us;
    a->deadline_us += a->hand.reserve_us;
    executor_hand_tick(x, a, out);
}

void executor_hand_tick(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (a->hand.next_us > x->now_us || a->state != ATTEMPT_EXECUTING)
        return;
    if (a->hand.phase == HAND_TAKEN) {
        hand_over(x, a, out);
        return;
    }
    executor_send(x, a, DATA_OFFER, a->hand.way, NULL, 0, out);
    a->hand.next_us = x->now_us + HAND_EVERY_US;
}

/* Its time is over.  Who has taken an offer keeps to it. */
bool executor_hand_late(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (a->hand.phase != HAND_TAKEN)
        return false;
    hand_over(x, a, out);
    return true;
}

/*
 * The way must be proven to us too, and to where the offer comes from: what has been proven may be another
 * of the peer's addresses.  Then that is asked for a proof, and a later offer finds it.
 */
static bool is_proven(struct attempt *a, enum way way, const struct addr *src)
{
    struct way_state *w = &a->way[way];

    if (way == WAY_DIRECT && !addr_eq(&w->remote, src))
        w->confirmed = false;
    return w->confirmed;
}

static void on_offer(struct executor *x, struct attempt *a, enum way way, const struct addr *src,
                     struct outputs *out)
{
    if (a->side != 1 || (a->hand.phase != HAND_NONE && a->hand.way != way) ||
        (way == WAY_RELAY && a->policy == POLICY_DIRECT))
        return;
    if (a->hand.phase == HAND_NONE && !is_proven(a, way, src))
        return;
    if (way == WAY_DIRECT && !addr_eq(&a->way[way].remote, src))
        return;
    a->hand.phase = HAND_TAKEN;
    a->hand.way = way;
    a->hand.next_us = x->now_us + HAND_SILENT_US;
    for (enum way w = 0; w < WAYS; w++)
        a->way[w].next_punch_us = NEVER;
    executor_send(x, a, DATA_TAKE, way, NULL, 0, out);
}

/* An authentic word of the peer about handing over.  False when it was none. */
bool executor_hand_word(struct executor *x, struct attempt *a, enum data_kind kind, enum way way,
                        const struct addr *src, struct outputs *out)
{
    if (kind < DATA_OFFER || kind > DATA_GO)
        return false;
    if (a->mode != MODE_RAW || a->state != ATTEMPT_EXECUTING)
        return true;
    bool ours = a->hand.way == way && (way == WAY_RELAY || addr_eq(&a->way[way].remote, src));
    if (kind == DATA_OFFER) {
        on_offer(x, a, way, src, out);
    } else if (kind == DATA_TAKE && a->hand.phase == HAND_OFFERED && ours) {
        for (int i = 0; i < HAND_GOS; i++)
            executor_send(x, a, DATA_GO, way, NULL, 0, out);
        hand_over(x, a, out);
    } else if (kind == DATA_GO && a->hand.phase == HAND_TAKEN && ours) {
        hand_over(x, a, out);
    }
    return true;
}
