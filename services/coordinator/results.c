/* results.c - what executors and relays say of a session, and how it settles. */
#include "services/coordinator/parts.h"

static const uint8_t state_of_path[PATH_COUNT] = {
    [PATH_FAILED] = COORD_FAILED,
    [PATH_RELAYED] = COORD_RELAYED,
    [PATH_HALF] = COORD_HALF,
    [PATH_DIRECT] = COORD_DIRECT,
};

struct coordinator_session *coordinator_own_session(struct coordinator *c,
                                                    const struct coordinator_peer *p,
                                                    const struct sid *id, unsigned *side)
{
    struct coordinator_session *s = coordinator_find(c, id);

    if (!s || s->state < COORD_COORDINATING || s->state == COORD_CLOSED)
        return NULL;
    for (*side = 0; *side < 2; (*side)++)
        if (peer_id_eq(&s->side[*side].id, &p->id))
            return s;
    return NULL;
}

/* ---- settling ----------------------------------------------------------------------------------- */

static enum verdict verdict_of(const struct coordinator_session *s,
                               const struct coordinator_side *worse)
{
    enum verdict said = verdict_find(worse->verdict);

    if (said != VERDICT_unknown)
        return said;
    switch (worse->path) {
    case PATH_DIRECT: return s->reason;
    case PATH_HALF: return VERDICT_one_way;
    case PATH_RELAYED: return s->attempted ? VERDICT_punch_unanswered : s->reason;
    default: return VERDICT_punch_unanswered;
    }
}

static void settle_as(struct coordinator *c, struct coordinator_session *s,
                      enum coordinator_state to, enum verdict verdict, const char *why,
                      struct outputs *out)
{
    s->verdict = verdict;
    if (s->state == to)
        coordinator_touch(c, s);
    else
        coordinator_enter(c, s, to, why, out);
}

/* Of two that have come to the same: who has heard the other, or could not take part, knows more. */
static bool knows_more(enum verdict a, enum verdict b)
{
    return (a == VERDICT_one_way && b == VERDICT_punch_unanswered) ||
           (a == VERDICT_sockets_busy &&
            (b == VERDICT_birthday_missed || b == VERDICT_prediction_missed ||
             b == VERDICT_block_missed));
}

/* The side whose word is the session's: the worse of the two paths. */
static const struct coordinator_side *worse_of(const struct coordinator_session *s)
{
    bool second = s->side[1].path < s->side[0].path;

    if (s->side[0].path == s->side[1].path)
        second = knows_more(verdict_find(s->side[1].verdict), verdict_find(s->side[0].verdict));
    return &s->side[second];
}

/* Both have reported. */
static void settle_by_both(struct coordinator *c, struct coordinator_session *s,
                           struct outputs *out)
{
    const struct coordinator_side *worse = worse_of(s);

    settle_as(c, s, (enum coordinator_state)state_of_path[worse->path], verdict_of(s, worse),
              "both sides have reported", out);
}

/*
 * Only one side has reported, or none, and there is no more time.  Direct is said only after a packet
 * went both ways, so one side's word is good for it; anything else needs both.
 */
void coordinator_silence(struct coordinator *c, struct coordinator_session *s, struct outputs *out)
{
    for (unsigned i = 0; i < 2; i++)
        if (s->side[i].reported && s->side[i].path == PATH_DIRECT) {
            settle_as(c, s, COORD_DIRECT, verdict_of(s, &s->side[i]), "one side is sure of it",
                      out);
            return;
        }
    if (s->state < COORD_DIRECT)
        c->n.timeouts++;
    settle_as(c, s, COORD_FAILED, VERDICT_peer_silent,
              s->side[0].reported || s->side[1].reported ? "one side is silent"
                                                         : "both sides are silent",
              out);
}

/*
 * It ends before both have reported, as when who asked has its answer and goes.  What the one that has reported came
 * to is what it was: a path that it had, or why there was none.  A failure is left to be entered by the end.
 */
void coordinator_settle_by_one(struct coordinator *c, struct coordinator_session *s,
                               struct outputs *out)
{
    unsigned i = !s->side[0].reported;
    const struct coordinator_side *side = &s->side[i];

    if (!side->reported)
        return;
    enum verdict verdict = verdict_of(s, side);
    if (side->path != PATH_FAILED)
        settle_as(c, s, (enum coordinator_state)state_of_path[side->path], verdict,
                  "one side has reported, and it ends", out);
    else /* the session's verdict is the initiator's */
        s->verdict = i == 1 && verdict == VERDICT_udp_blocked ? VERDICT_peer_udp_blocked : verdict;
}

/* ---- what executors say ------------------------------------------------------------------------- */

void coordinator_on_punch_ack(struct coordinator *c, const struct coordinator_peer *p,
                              const struct msg_punch_ack *m, struct outputs *out)
{
    unsigned i;
    struct coordinator_session *s = coordinator_own_session(c, p, &m->session, &i);

    if (!s || m->technique >= TECHNIQUE_COUNT) {
        c->n.ignored++;
        return;
    }
    if (!s->side[i].acked) {
        s->side[i].acked = true;
        s->side[i].ack_technique = m->technique;
        s->side[i].ack_us = m->after_us;
        s->side[i].remote = m->remote;
    }
    if (s->state == COORD_COORDINATING)
        coordinator_enter(c, s, COORD_EXECUTING, "first packet", out);
}

/* No datagram can leave or reach the one side, so the other need not wait for its deadline. */
static void tell_blocked(struct coordinator *c, const struct coordinator_session *s, unsigned side,
                         struct outputs *out)
{
    const struct coordinator_peer *p = &c->peers[s->side[side].peer];

    if (!p->attached)
        return;
    struct msg_punch_cancel *m = &emit_peer(out, p->conn, MSG_punch_cancel)->punch_cancel;
    m->session = s->id;
    msg_text(m->kind, sizeof m->kind, verdict_name(VERDICT_peer_udp_blocked));
}

static bool result_valid(const struct msg_punch_result *m)
{
    if (m->path >= PATH_COUNT || m->technique >= TECHNIQUE_COUNT || !kind_valid(m->kind))
        return false;
    for (unsigned i = 0; i < m->tried.n; i++)
        if (i >= STEPS_MAX || m->tried.v[i].technique >= TECHNIQUE_COUNT)
            return false;
    return true;
}

void coordinator_on_punch_result(struct coordinator *c, const struct coordinator_peer *p,
                                 const struct msg_punch_result *m, struct outputs *out)
{
    unsigned i;
    struct coordinator_session *s = coordinator_own_session(c, p, &m->session, &i);

    if (!s || !result_valid(m)) {
        c->n.ignored++;
        return;
    }
    struct coordinator_side *side = &s->side[i];
    side->reported = true;
    side->path = m->path;
    side->technique = m->technique;
    side->local = m->local;
    side->remote = m->remote;
    side->tried = m->tried;
    side->after_us = m->after_us;
    memcpy(side->kind, m->kind, sizeof side->kind);
    memcpy(side->verdict, m->verdict, sizeof side->verdict);
    if (s->state == COORD_COORDINATING)
        coordinator_enter(c, s, COORD_EXECUTING, "first result", out);
    if (s->side[!i].reported)
        settle_by_both(c, s, out);
    else if (m->path == PATH_FAILED && verdict_find(m->verdict) == VERDICT_udp_blocked)
        tell_blocked(c, s, !i, out);
    else if (s->state != COORD_EXECUTING) /* it settled without the other side before */
        coordinator_silence(c, s, out);
    coordinator_renew_tickets(c, s, out);
}

void coordinator_on_punch_cancel(struct coordinator *c, const struct coordinator_peer *p,
                                 const struct msg_punch_cancel *m, struct outputs *out)
{
    unsigned i;
    struct coordinator_session *s = coordinator_own_session(c, p, &m->session, &i);

    if (!s) {
        c->n.ignored++;
        return;
    }
    coordinator_close(c, s, i, kind_find(m->kind) < KIND_COUNT ? m->kind : "cancelled",
                      i == 0 ? "the initiator ended it" : "the target ended it", out);
}

void coordinator_on_operator_cancel(struct coordinator *c, const struct msg_punch_cancel *m,
                                    struct outputs *out)
{
    struct coordinator_session *s = coordinator_find(c, &m->session);

    if (s && s->state != COORD_CLOSED)
        coordinator_close(c, s, OTHER_SIDE_UNKNOWN, "cancelled", "the operator cancelled it", out);
}

/* ---- what peers are told of it ------------------------------------------------------------------ */

/* By the key alone: a listener that is attached is not replaced by who asks in its name. */
static const char *why_not_explained(struct coordinator *c, const struct input *in,
                                     uint32_t *wait_ms)
{
    const struct coordinator_session *s = coordinator_find(c, &in->msg->explain.session);
    uint32_t slot = coordinator_peer_slot(c, &in->from.peer);

    if (slot == TABLE_NONE)
        return "overloaded";
    bool limited = coordinator_limited(c, &c->peers[slot], COORD_LIMIT_EXPLAIN);
    *wait_ms = limited ? coordinator_retry_ms(c, &c->peers[slot]) : 0;
    coordinator_peer_unused(c, slot);
    if (limited)
        return "rate-limited";
    bool own = s && (peer_id_eq(&s->side[0].id, &in->from.peer) ||
                     peer_id_eq(&s->side[1].id, &in->from.peer));
    return own ? "" : "not-found"; /* whether it exists is nobody else's business */
}

void coordinator_on_explain(struct coordinator *c, const struct input *in, struct outputs *out)
{
    struct msg_explained *m = &emit_peer(out, in->from.conn, MSG_explained)->explained;

    m->session = in->msg->explain.session;
    msg_text(m->kind, sizeof m->kind, why_not_explained(c, in, &m->retry_after_ms));
}

/*
 * A side can't use the relay: both get another one, as long as there are others that the session hasn't
 * tried.  When there are none and one is full, they are told, and need not wait; one that is silent may
 * answer yet.
 */
void coordinator_on_relay_refused(struct coordinator *c, const struct coordinator_peer *p,
                                  const struct msg_relay_refused *m, struct outputs *out)
{
    unsigned i;
    struct coordinator_session *s = coordinator_own_session(c, p, &m->session, &i);

    if (!s || s->relay.len == 0 || !addr_eq(&m->relay, &s->relay)) {
        c->n.ignored++;
        return;
    }
    bool full = strcmp(m->kind, "overloaded") == 0;
    struct coordinator_relay *r = coordinator_relay_at(c, &s->relay);
    const struct addr before = s->relay;
    c->n.relays_refused++;
    if (r)
        s->relays_tried |= (uint16_t)(1u << (r - c->relays));
    if (s->state > COORD_EXECUTING) { /* it was to move there, or its ticket is no longer good */
        if (!coordinator_move(c, s, out))
            coordinator_reseal(c, s, out);
        return;
    }
    coordinator_assign_relay(c, s);
    if (s->relay.len == 0 && !full) {
        s->relay = before;
        s->relays_full = false;
        return;
    }
    for (unsigned side = 0; side < 2; side++)
        coordinator_send_order(c, s, side, out);
}

/* ---- what relays say ---------------------------------------------------------------------------- */

static bool is_relay_at(struct coordinator *c, const struct addr *at, const struct peer_id *key)
{
    const struct coordinator_relay *r = coordinator_relay_at(c, at);

    return r && peer_id_eq(&r->key, key);
}

/* A relay on another host has a word on the sessions that were given to it, and on no others. */
static bool is_carrier(struct coordinator *c, const struct coordinator_session *s,
                       const struct sender *from)
{
    return from->link == 0 || is_relay_at(c, &s->relay, &from->peer) ||
           is_relay_at(c, &s->relay_before, &from->peer);
}

void coordinator_on_relay_usage(struct coordinator *c, const struct input *in)
{
    const struct msg_relay_usage *m = &in->msg->relay_usage;
    struct coordinator_session *s = coordinator_find(c, &m->session);

    if (s && !is_carrier(c, s, &in->from)) {
        c->n.ignored++;
        return;
    }
    c->n.relay_packets += m->packets;
    c->n.relay_bytes += m->bytes;
    if (!s)
        return;
    /* Punches and consent take the relay beside a direct path as well: they are no fallback. */
    bool relayed = (s->side[0].reported && s->side[0].path == PATH_RELAYED) ||
                   (s->side[1].reported && s->side[1].path == PATH_RELAYED);
    if (relayed && !s->fell_back && m->packets > 0) {
        s->fell_back = true;
        c->n.relay_fallbacks++;
    }
    s->relay_ended = m->ended;
    s->relay_packets += m->packets;
    s->relay_bytes += m->bytes;
}
