/*
 * instants.c - where NATs stand right before an attempt, and the one instant for both sides to begin.
 *
 * Who must look says what it saw; when all have, both are told at once.  No clocks are compared: ages are
 * times that have passed, and a message's way is taken for half of that side's round trip to its prober.
 */
#include "services/coordinator/parts.h"

static uint32_t way_us(const struct coordinator *c, const struct coordinator_session *s,
                       unsigned side)
{
    return c->peers[s->side[side].peer].rtt_us / 2;
}

static uint32_t clamp(int64_t us) { return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX; }

static void execute(struct coordinator *c, struct coordinator_session *s, unsigned side,
                    struct outputs *out)
{
    const struct coordinator_look *own = &s->side[side].look, *look = &s->side[!side].look;
    uint32_t conn = coordinator_conn(c, s, side);
    int64_t ways_us[2] = {way_us(c, s, 0), way_us(c, s, 1)};
    int64_t longest_us = ways_us[ways_us[1] > ways_us[0]];

    if (conn == 0)
        return;
    struct msg_punch_execute *m = &emit_peer(out, conn, MSG_punch_execute)->punch_execute;
    m->session = s->id;
    m->round = own->waiting ? own->said.round : look->said.round;
    m->fire_in_us = (uint32_t)(longest_us - ways_us[side]);
    if (!look->waiting)
        return;
    m->exact = look->said.exact;
    m->seen = look->said.seen;
    m->others = look->said.others;
    m->over_us = look->said.over_us;
    m->age_us = clamp(look->said.age_us + ways_us[!side] + c->now_us - look->at_us + longest_us);
}

void coordinator_on_punch_sample(struct coordinator *c, const struct coordinator_peer *p,
                                 const struct msg_punch_sample *m, struct outputs *out)
{
    unsigned side, waiting = 0;
    struct coordinator_session *s = coordinator_own_session(c, p, &m->session, &side);
    unsigned wanted = s && s->plan.n > 0
                          ? strategy_looks(&s->plan.v[0], &s->side[0].profile, &s->side[1].profile)
                          : 0;

    if (!(wanted >> side & 1) || m->seen.len == 0 || s->instants == COORD_INSTANTS_MAX) {
        c->n.ignored++;
        return;
    }
    s->side[side].look = (struct coordinator_look){true, *m, c->now_us};
    for (unsigned i = 0; i < 2; i++)
        waiting |= (unsigned)s->side[i].look.waiting << i;
    if (waiting != wanted)
        return;
    s->instants++;
    for (unsigned i = 0; i < 2; i++)
        execute(c, s, i, out);
    s->side[0].look.waiting = s->side[1].look.waiting = false;
}
