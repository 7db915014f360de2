/*
 * foresee.c - a side that gives out ports one after the other says where it stands, and both begin at one
 * instant.
 *
 * A side that could pin its port (look.c) or keeps it for everybody sends from that one socket.  One that
 * could not, since its port changes with the peer's and that one's does too, opens so many sockets for the one
 * port foreseen there that the port foreseen here is among theirs.  So do both: each is a row of own ports
 * against one of the other's, and the two rows cross.
 *
 * What has missed is tried again after another look.  A peer that was heard, though it hears nothing, has
 * shown by which port: the next round's pin goes there.
 */
#include "services/executor/internal.h"

#include <string.h>

void executor_foresee_arm(struct executor *x, struct attempt *a, bool looks, uint16_t rounds,
                          int64_t start_us)
{
    a->foreseen.ip = executor_vouched_ip(a);
    a->foreseen.looks = looks;
    a->foreseen.rounds = rounds;
    a->foreseen.pins = strategy_pins(&a->own_profile, &a->their_profile);
    a->foreseen.phase = looks ? FORESEEN_FIRED : FORESEEN_WAITING;
    a->foreseen.next_us = looks && x->n_targets > 0 ? start_us : NEVER;
}

static void begin_round(struct executor *x, struct attempt *a, struct outputs *out)
{
    const struct way_state *w = &a->way[WAY_DIRECT];

    bool over = a->foreseen.round == a->foreseen.rounds || a->n_candidates == 0;
    if (over || !executor_pool_take(x, a)) {
        a->foreseen.next_us = over ? NEVER : x->now_us + POOL_AGAIN_US;
        return;
    }
    a->foreseen.round++;
    a->foreseen.phase = FORESEEN_LOOKING;
    a->foreseen.began_us = x->now_us;
    executor_pool_renew(x, out);
    const struct addr *to = w->heard ? &w->remote : &a->candidates[0];
    bool opens = w->heard || strategy_opens(&a->own_profile, &a->their_profile);
    executor_look_start(x, a, opens ? to : &(struct addr){0});
    executor_look_tick(x, a, out);
    a->foreseen.next_us = x->look.again_us;
}

void executor_foresee_seen(struct executor *x, struct attempt *a, const struct addr *seen,
                           uint16_t pin, struct outputs *out)
{
    struct msg_punch_sample *m = &emit(out, SERVICE_coordinator, MSG_punch_sample)->punch_sample;

    a->foreseen.pin = pin;
    a->foreseen.phase = FORESEEN_WAITING;
    a->foreseen.next_us = NEVER;
    m->session = a->session;
    m->round = a->foreseen.round;
    m->exact = pin != 0;
    m->seen = *seen;
    m->others = a->foreseen.own.others;
    m->over_us = a->foreseen.own.over_us;
    m->age_us = (uint32_t)(x->now_us - a->foreseen.own_us);
}

bool executor_foresee_stray(const struct executor *x, const struct attempt *a,
                            const struct input *in)
{
    bool kept = in->dgram.sock != 0 && !executor_pool_has(x, a, in->dgram.sock);

    return a->technique == TECHNIQUE_PREDICTION && a->foreseen.looks && !a->foreseen.pins &&
           !kept && !addr_eq(&in->dgram.src, &a->foreseen.target);
}

/* ---- the instant ------------------------------------------------------------------------------------------ */

/* Where the other side is to be met: len 0 when it has nothing to tell, or that may not be sent to. */
static struct addr target_of(const struct executor *x, const struct attempt *a,
                             const struct msg_punch_execute *m)
{
    struct forecast f = {m->seen.port, a->their_profile.delta, m->others, m->over_us};
    struct addr to = m->seen;

    if (!addr_ip_eq(&to, &a->foreseen.ip) || (f.delta == 0 && !m->exact) ||
        !executor_admits(x, &to))
        return (struct addr){0};
    if (!m->exact)
        to.port = forecast_port(&f, m->age_us);
    return to.port >= GUESS_PORT_MIN ? to : (struct addr){0};
}

void executor_on_execute(struct executor *x, const struct msg_punch_execute *m, struct outputs *out)
{
    struct attempt *a = NULL;

    for (size_t i = 0; i < ATTEMPTS_MAX && !a; i++)
        if (x->attempts[i].foreseen.phase != FORESEEN_NOT &&
            sid_eq(&x->attempts[i].session, &m->session))
            a = &x->attempts[i];
    bool due =
        a && !a->direct_over && m->fire_in_us <= FIRE_IN_MAX_US &&
        (a->foreseen.looks ? a->foreseen.phase == FORESEEN_WAITING && m->round == a->foreseen.round
                           : m->round > a->foreseen.round && m->round <= a->foreseen.rounds);
    if (!due) {
        x->n.orders_refused++;
        return;
    }
    a->foreseen.round = m->round;
    a->foreseen.target = target_of(x, a, m);
    a->foreseen.phase = FORESEEN_ARMED;
    a->foreseen.next_us = x->now_us + m->fire_in_us;
    if (a->foreseen.looks && !a->foreseen.pins) {
        int64_t after_us = a->foreseen.next_us - a->foreseen.own_us;
        a->foreseen.sockets = (uint16_t)forecast_sockets(&a->foreseen.own, (uint32_t)after_us);
    }
    executor_attempt_tick(x, a, out);
}

/* From one socket whose port the other side knows, as long as the schedule of known addresses goes. */
static void send_from(struct executor *x, struct attempt *a, uint16_t sock)
{
    struct way_state *w = &a->way[WAY_DIRECT];

    if (a->foreseen.target.len != 0) {
        if (!executor_may_guess_at_once(x, &a->foreseen.target, PACKETS_MAX))
            return;
        executor_aim_foreseen(a, &a->foreseen.target);
    }
    if (sock != 0)
        w->sock = sock;
    w->burst = 0;
    w->next_punch_us = x->now_us;
}

static void open_row(struct executor *x, struct attempt *a, struct outputs *out)
{
    for (size_t i = 0; i < POOL_BATCH && a->foreseen.sockets > 0; i++, a->foreseen.sockets--)
        executor_pool_punch(x, a, &a->foreseen.target, out);
}

static void fire(struct executor *x, struct attempt *a, struct outputs *out)
{
    bool row = a->foreseen.looks && !a->foreseen.pins;

    if (a->technique == TECHNIQUE_BIRTHDAY) {
        a->foreseen.phase = FORESEEN_FIRED;
        a->foreseen.next_us = NEVER;
        executor_birthday_arm(x, a, &a->foreseen.target, a->foreseen.pin, x->now_us);
        return;
    }
    if (row && a->foreseen.phase == FORESEEN_ARMED &&
        (a->foreseen.target.len == 0 ||
         !executor_may_guess_at_once(x, &a->foreseen.target, a->foreseen.sockets)))
        a->foreseen.sockets = 0;
    if (row)
        open_row(x, a, out);
    else
        send_from(x, a, a->foreseen.pin);
    a->foreseen.phase = FORESEEN_FIRED;
    a->foreseen.next_us = row && a->foreseen.sockets > 0
                              ? x->now_us + POOL_EVERY_US
                              : 2 * x->now_us - a->foreseen.began_us + ROUND_REST_US;
    if (!a->foreseen.looks)
        a->foreseen.next_us = NEVER; /* who looks begins the next round */
}

void executor_foresee_tick(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (a->direct_over || a->way[WAY_DIRECT].confirmed) {
        a->foreseen.next_us = NEVER;
    } else if (a->foreseen.phase == FORESEEN_LOOKING) {
        executor_look_tick(x, a, out);
        a->foreseen.next_us = x->look.again_us;
    } else if (a->foreseen.phase == FORESEEN_ARMED ||
               (a->foreseen.sockets > 0 && !a->way[WAY_DIRECT].heard)) {
        fire(x, a, out);
    } else if (a->foreseen.phase == FORESEEN_FIRED) {
        begin_round(x, a, out);
    }
}
