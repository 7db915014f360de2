/* orders.c - what a session's plan is made from, and the orders that carry it to both sides. */
#include "services/coordinator/parts.h"

static struct profile profile_of(const struct coordinator *c, const struct coordinator_peer *p)
{
    struct profile profile = {0};

    if (p->has_profile) {
        profile = p->profile;
        profile.age_s = (uint32_t)((c->now_us - p->profile_us) / 1000000);
    }
    profile.mapped = coordinator_is_mapped(c, p);
    profile.share = p->blocks;
    return profile;
}

void coordinator_send_order(struct coordinator *c, struct coordinator_session *s, unsigned side,
                            struct outputs *out)
{
    const struct coordinator_side *me = &s->side[side], *other = &s->side[!side];
    uint32_t conn = coordinator_conn(c, s, side);

    if (conn == 0)
        return;
    struct msg_punch_coordinate *m = &emit_peer(out, conn, MSG_punch_coordinate)->punch_coordinate;
    int64_t left_us = s->state >= COORD_DIRECT
                          ? s->order_ms * 1000LL
                          : s->deadline_us - COORD_GRACE_MS * 1000LL - c->now_us;
    m->session = s->id;
    m->nonce = side == 0 ? s->nonce : 0;
    m->side = (uint16_t)side;
    m->peer = other->id;
    memcpy(m->name, other->name, sizeof m->name);
    m->mode = s->mode;
    m->policy = s->policy;
    m->own = me->tokens;
    m->theirs = other->tokens;
    m->own_profile = me->profile;
    m->their_profile = other->profile;
    m->plan = s->plan;
    msg_text(m->reason, sizeof m->reason, verdict_name(s->reason));
    m->deadline_ms = left_us > 0 ? (uint32_t)(left_us / 1000) : 0;
    m->warm = s->warm;
    m->their_local = other->told_local;
    m->spare = me->spare;
    m->attempt = s->renewals;
    m->relays_full = s->relays_full;
    coordinator_put_ticket(c, s, side, m);
}

void coordinator_send_orders(struct coordinator *c, struct coordinator_session *s,
                             struct outputs *out)
{
    struct output *o = outputs_add(out, OUT_STORE);

    memset(&o->store, 0, sizeof o->store);
    o->store.op = STORE_PUT_CONTACT;
    o->store.record.peer = s->side[0].id;
    o->store.other = s->side[1].id;
    for (unsigned side = 0; side < 2; side++)
        coordinator_send_order(c, s, side, out);
}

/* What the plan is made from: both sides as they are at this instant. */
static void take_stock(struct coordinator *c, struct coordinator_session *s)
{
    s->instants = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct coordinator_side *side = &s->side[i];
        struct coordinator_peer *p = &c->peers[side->peer];
        bool raw = s->mode == MODE_RAW && s->policy != POLICY_RELAY;
        struct msg_token_list tokens =
            raw ? coordinator_spend_spare(c, p, side) : coordinator_fresh_tokens(c, p);
        memcpy(side->name, p->name, sizeof side->name);
        side->look.waiting = false;
        side->profile = profile_of(c, p);
        if (s->mode == MODE_RAW) /* a port mapping leads to the socket of managed sessions */
            side->profile.mapped = false;
        side->has_profile = p->has_profile;
        side->has_token = tokens.n > 0;
        if (s->policy != POLICY_RELAY) /* then no address is told to anybody */
            side->tokens = tokens;
    }
}

/*
 * Has a prober seen both come from one address?  Then they may be on one LAN or behind one router, and
 * only then each learns the other's local address.
 */
static bool share_address(const struct coordinator_session *s)
{
    const struct msg_token_list *a = &s->side[0].tokens, *b = &s->side[1].tokens;
    struct token t[2];

    for (size_t i = 0; i < a->n; i++)
        for (size_t j = 0; j < b->n; j++)
            if (token_read(&a->v[i], &t[0]) && token_read(&b->v[j], &t[1]) &&
                addr_ip_eq(&t[0].addr, &t[1].addr))
                return true;
    return false;
}

/*
 * A host without a NAT whose filter was not measured is dialled as if it had none.  Where that came to nothing it has one,
 * for all that a plan can know; what is told of it stays as it was measured.
 */
static struct profile to_plan_with(const struct coordinator_session *s, unsigned side)
{
    struct profile p = s->side[side].profile;
    bool now = s->plan.n > 0 && s->plan.v[0].technique == TECHNIQUE_REVERSAL &&
               (s->verdict == VERDICT_punch_unanswered || s->verdict == VERDICT_one_way);

    if (p.mapping == NAT_NONE && p.filtering == NAT_UNKNOWN &&
        (now || s->history.by[TECHNIQUE_REVERSAL].misses > 0))
        p.filtering = NAT_APD;
    return p;
}

static void make_plan(struct coordinator *c, struct coordinator_session *s)
{
    uint32_t rtts_us[2] = {c->peers[s->side[0].peer].rtt_us, c->peers[s->side[1].peer].rtt_us};
    uint32_t rtt_us = rtts_us[rtts_us[1] > rtts_us[0]];
    struct profile plan_with[2] = {to_plan_with(s, 0), to_plan_with(s, 1)};
    bool shared = share_address(s), both = s->side[0].has_token && s->side[1].has_token;

    for (unsigned i = 0; i < 2; i++)
        s->side[i].told_local =
            s->mode == MODE_RAW ? s->side[i].spare_local : c->peers[s->side[i].peer].local;
    for (unsigned i = 0; i < 2 && !shared; i++)
        s->side[i].told_local = (struct addr){0};
    s->plan =
        shared
            ? strategy_plan_host((enum policy)s->policy, rtt_us, &s->reason)
            : strategy_plan(
                  &plan_with[0], &plan_with[1],
                  /* Who has asked for nothing is aimed at nobody whose own address is not proven. */
                  (bool[2]){s->by_operator ? both : s->side[0].has_token,
                            s->by_operator ? both : s->side[1].has_token},
                  (enum policy)s->policy, rtt_us, &s->reason);
}

static void drop_relayed_step(struct plan *plan)
{
    if (plan->n > 0 && plan->v[plan->n - 1].technique == TECHNIQUE_RELAYED)
        plan->n--;
}

static uint32_t order_ms(const struct coordinator *c, const struct coordinator_session *s)
{
    int64_t left_ms = (s->until_us - c->now_us) / 1000, least_ms = COORD_SPARE_MS;

    for (unsigned i = 0; i < s->plan.n; i++) {
        int64_t end_ms = ((int64_t)s->plan.v[i].start_us + s->plan.v[i].span_us) / 1000;
        if (end_ms + COORD_SPARE_MS > least_ms)
            least_ms = end_ms + COORD_SPARE_MS;
    }
    return (uint32_t)(left_ms > least_ms ? left_ms : least_ms);
}

/* Choose, and order: both are here, and what could be known of them in time is known. */
void coordinator_order(struct coordinator *c, struct coordinator_session *s, struct outputs *out)
{
    if (coordinator_conn(c, s, 0) == 0 || coordinator_conn(c, s, 1) == 0) {
        coordinator_refuse(c, s, "peer-not-reachable", VERDICT_peer_away, "a side has left", out);
        return;
    }
    take_stock(c, s);
    make_plan(c, s);
    if (s->policy != POLICY_DIRECT)
        coordinator_assign_relay(c, s);
    if (s->relay.len != 0)
        history_apply(&s->history, c->wall_ms, &s->plan, &s->reason);
    else
        drop_relayed_step(&s->plan);
    if (s->plan.n == 0 && s->policy == POLICY_DIRECT) {
        bool unseen = s->reason == VERDICT_no_token || s->reason == VERDICT_profile_unknown;
        coordinator_refuse(c, s, unseen ? "reflex-timeout" : "punch-failed", s->reason,
                           "nothing direct can work", out);
        return;
    }
    if (s->plan.n == 0) {
        bool full = s->relays_full;
        c->n.no_relay++;
        coordinator_refuse(c, s, "rendezvous-no-relay",
                           full ? VERDICT_relay_full : VERDICT_no_relay,
                           full ? "every relay is full" : "no relay is up", out);
        return;
    }
    s->order_ms = order_ms(c, s);
    bool direct = s->plan.v[0].technique != TECHNIQUE_RELAYED;
    s->attempted = direct && !s->redriven;
    c->n.punches_attempted += s->attempted;
    c->n.punching_now += s->attempted;
    c->n.upgrades_attempted += direct && s->redriven;
    coordinator_enter(c, s, COORD_COORDINATING, verdict_name(s->reason), out);
}

/*
 * The initiator of a session that lives on the relay wants it tried directly again: with what is known of
 * both now, when that holds out a direct path.  The session stays what it is until both report another.
 */
void coordinator_renew(struct coordinator *c, const struct coordinator_peer *p,
                       const struct sid *id, struct outputs *out)
{
    struct coordinator_session *s = coordinator_find(c, id);

    if (!s || !peer_id_eq(&s->side[0].id, &p->id) || s->policy != POLICY_AUTO ||
        s->mode != MODE_MANAGED || (s->state != COORD_RELAYED && s->state != COORD_HALF) ||
        coordinator_conn(c, s, 0) == 0 || coordinator_conn(c, s, 1) == 0) {
        c->n.ignored++;
        return;
    }
    take_stock(c, s);
    make_plan(c, s);
    if (s->plan.v[0].technique == TECHNIQUE_RELAYED)
        return;
    s->order_ms = order_ms(c, s);
    s->renewals++;
    c->n.upgrades_attempted++;
    for (unsigned side = 0; side < 2; side++)
        coordinator_send_order(c, s, side, out);
}
