/* sessions.c - the life of a session: the state table, enter(), refusals, deadlines. */
#include "services/coordinator/parts.h"

#define BIT(state) (1u << (state))

typedef void expiry(struct coordinator *c, struct coordinator_session *s, struct outputs *out);
static expiry give_up_waiting, stop_inviting, close_unrefreshed, forget;

/* clang-format off */
#define SETTLED (BIT(COORD_DIRECT) | BIT(COORD_HALF) | BIT(COORD_RELAYED) | BIT(COORD_FAILED))
enum { SETTLED_MS = 180000, CLOSED_MS = 600000 };

/*
 * The state machine as data: where each state may go, how long it may last (0: what the request or the
 * order leaves), and what then.
 */
static const struct {
    unsigned next;
    int64_t ttl_ms;
    expiry *then;
} states[COORD_STATE_COUNT] = {
    [COORD_FREE]         = {BIT(COORD_REQUESTED),                               0,          NULL},
    [COORD_REQUESTED]    = {BIT(COORD_INVITING) | BIT(COORD_CLOSED),            0,          give_up_waiting},
    [COORD_INVITING]     = {BIT(COORD_COORDINATING) | BIT(COORD_CLOSED),        2000,       stop_inviting},
    [COORD_COORDINATING] = {BIT(COORD_EXECUTING) | SETTLED | BIT(COORD_CLOSED), 0,          coordinator_silence},
    [COORD_EXECUTING]    = {SETTLED | BIT(COORD_CLOSED),                        0,          coordinator_silence},
    [COORD_DIRECT]       = {SETTLED | BIT(COORD_CLOSED),                        SETTLED_MS, close_unrefreshed},
    [COORD_HALF]         = {SETTLED | BIT(COORD_CLOSED),                        SETTLED_MS, close_unrefreshed},
    [COORD_RELAYED]      = {SETTLED | BIT(COORD_CLOSED),                        SETTLED_MS, close_unrefreshed},
    [COORD_FAILED]       = {SETTLED | BIT(COORD_CLOSED),                        SETTLED_MS, close_unrefreshed},
    [COORD_CLOSED]       = {BIT(COORD_FREE),                                    CLOSED_MS,  forget},
};

const char *const coordinator_state_name[COORD_STATE_COUNT] = {
    "free", "requested", "inviting", "coordinating", "executing",
    "direct", "half", "relayed", "failed", "closed",
};
/* clang-format on */

uint32_t coordinator_session_slot(const struct coordinator *c, const struct coordinator_session *s)
{
    return (uint32_t)(s - c->sessions);
}

struct coordinator_session *coordinator_find(struct coordinator *c, const struct sid *id)
{
    uint32_t slot = table_find(&c->sessions_by_id, id->b);

    return slot == TABLE_NONE ? NULL : &c->sessions[slot];
}

/* ---- enter -------------------------------------------------------------------------------------- */

/* The connection of a side that is here, else 0: then nothing is sent to it. */
uint32_t coordinator_conn(const struct coordinator *c, const struct coordinator_session *s,
                          unsigned side)
{
    uint32_t peer = s->side[side].peer;

    if (peer == TABLE_NONE || s->leaving[side] || !coordinator_peer_present(&c->peers[peer]))
        return 0;
    return c->peers[peer].conn;
}

/* The kind of a failure: why it was refused or ended, else what a side said of it. */
static const char *failure_kind(const struct coordinator_session *s)
{
    if (s->kind[0] != '\0')
        return s->kind;
    if (s->verdict == VERDICT_peer_silent)
        return "timeout";
    for (unsigned i = 0; i < 2; i++)
        if (s->side[i].reported && kind_find(s->side[i].kind) < KIND_COUNT)
            return kind_name[kind_find(s->side[i].kind)];
    return "punch-failed";
}

/* Every session and attempt is counted once, by what came of it first; one that was ended before that failed. */
static void count_outcome(struct coordinator *c, struct coordinator_session *s,
                          enum coordinator_state to)
{
    uint64_t *by_outcome[COORD_STATE_COUNT] = {
        [COORD_DIRECT] = &c->n.direct,
        [COORD_HALF] = &c->n.half,
        [COORD_RELAYED] = &c->n.relayed,
    };

    if (s->counted) {
        c->n.upgrades_succeeded += to == COORD_DIRECT;
        return;
    }
    s->counted = true;
    c->n.pending_now--;
    if (by_outcome[to]) {
        ++*by_outcome[to];
    } else {
        s->kind = failure_kind(s);
        c->n.failed++;
        c->kinds[kind_find(s->kind)]++;
    }
    if (!s->attempted)
        return;
    c->n.punching_now--;
    if (to == COORD_DIRECT)
        c->n.punches_direct++;
    else if (to == COORD_HALF)
        c->n.punches_half++;
    else
        c->n.punches_failed++;
}

static int64_t deadline_of(const struct coordinator *c, const struct coordinator_session *s,
                           enum coordinator_state to)
{
    int64_t at_us = c->now_us + states[to].ttl_ms * 1000;

    switch (to) {
    case COORD_FREE: return NEVER;
    case COORD_REQUESTED: return s->until_us;
    case COORD_INVITING:
        if (s->consent != CONSENT_GIVEN)
            at_us = c->now_us + COORD_ASK_MS * 1000LL;
        return at_us < s->until_us ? at_us : s->until_us;
    case COORD_COORDINATING: return c->now_us + (s->order_ms + COORD_GRACE_MS) * 1000LL;
    case COORD_EXECUTING: return s->deadline_us; /* the order's */
    default: return at_us;
    }
}

static void send_refused(struct coordinator *c, struct coordinator_session *s, struct outputs *out)
{
    uint32_t conn = coordinator_conn(c, s, 0);

    c->n.refused++;
    if (conn == 0 || s->by_operator) /* it has asked for nothing */
        return;
    struct msg_punch_refused *m = &emit_peer(out, conn, MSG_punch_refused)->punch_refused;
    m->nonce = s->nonce;
    m->session = s->id;
    if (s->verdict == VERDICT_rate_limited)
        m->retry_after_ms =
            s->wait_ms > 0 ? s->wait_ms : coordinator_retry_ms(c, &c->peers[s->side[0].peer]);
    msg_text(m->kind, sizeof m->kind, s->kind);
    msg_text(m->verdict, sizeof m->verdict, verdict_name(s->verdict));
}

/* The only place a session changes state; what a state does on entry is done here. */
void coordinator_enter(struct coordinator *c, struct coordinator_session *s,
                       enum coordinator_state to, const char *why, struct outputs *out)
{
    uint32_t slot = coordinator_session_slot(c, s);
    enum coordinator_state from = (enum coordinator_state)s->state;

    assert(states[from].next & BIT(to));
    emit_note(out, &s->id, coordinator_state_name[from], coordinator_state_name[to], why);
    s->changes[s->n_changes++ % COORD_HISTORY] =
        (struct coordinator_change){.to = (uint8_t)to, .why = why, .at_us = c->now_us};
    s->deadline_us = deadline_of(c, s, to);
    deadlines_set(&c->deadlines, slot, s->deadline_us);
    c->n.relayed_now -= from == COORD_RELAYED;
    c->n.relayed_now += to == COORD_RELAYED;
    s->state = (uint8_t)to;

    if (to == COORD_COORDINATING)
        coordinator_send_orders(c, s, out);
    if (BIT(to) & SETTLED)
        coordinator_learn(c, s, to, out);
    if (BIT(to) & SETTLED || (to == COORD_CLOSED && !s->counted))
        count_outcome(c, s, to);
    if (to == COORD_CLOSED) {
        if (from < COORD_COORDINATING)
            send_refused(c, s, out);
        coordinator_session_unlink(c, s, 0);
        coordinator_session_unlink(c, s, 1);
        s->store_tag = 0;
        coordinator_closed_append(c, s);
    }
    if (to == COORD_FREE) {
        coordinator_closed_remove(c, s);
        table_remove(&c->sessions_by_id, slot);
    }
}

/* The state has been confirmed: it may last as long again. */
void coordinator_touch(struct coordinator *c, struct coordinator_session *s)
{
    s->deadline_us = deadline_of(c, s, (enum coordinator_state)s->state);
    deadlines_set(&c->deadlines, coordinator_session_slot(c, s), s->deadline_us);
}

/* A session for a request of this peer; NULL when the table is full of live ones. */
struct coordinator_session *coordinator_session_open(struct coordinator *c, const struct sid *id,
                                                     uint32_t initiator, struct outputs *out)
{
    if (c->sessions_by_id.n == c->conf.sessions_max && c->closed_oldest != TABLE_NONE)
        coordinator_enter(c, &c->sessions[c->closed_oldest], COORD_FREE, "made room", out);
    uint32_t slot = table_insert(&c->sessions_by_id, id->b);
    if (slot == TABLE_NONE)
        return NULL;
    struct coordinator_session *s = &c->sessions[slot];
    *s = (struct coordinator_session){
        .id = *id,
        .kind = "",
        .began_us = c->now_us,
        .created_ms = c->wall_ms,
        .side = {{.peer = TABLE_NONE}, {.peer = TABLE_NONE}},
    };
    coordinator_session_link(c, s, 0, initiator);
    c->n.sessions++;
    c->n.pending_now++;
    return s;
}

/* No order was sent, and none will be. */
void coordinator_refuse(struct coordinator *c, struct coordinator_session *s, const char *kind,
                        enum verdict verdict, const char *why, struct outputs *out)
{
    s->kind = kind;
    s->verdict = verdict;
    coordinator_enter(c, s, COORD_CLOSED, why, out);
}

/* What a session that had no outcome yet has come to when it is ended with this kind. */
static enum verdict verdict_of_end(const char *kind)
{
    if (strcmp(kind, "rendezvous-rejected") == 0)
        return VERDICT_not_accepted;
    if (strcmp(kind, "overloaded") == 0)
        return VERDICT_overloaded;
    return strcmp(kind, "bad-request") == 0 ? VERDICT_bad_request : VERDICT_cancelled;
}

/*
 * One side (0 or 1), or with OTHER_SIDE_UNKNOWN the operator, ends it; who did not is told.  kind is one of
 * kind_name.
 */
void coordinator_close(struct coordinator *c, struct coordinator_session *s, unsigned by,
                       const char *kind, const char *why, struct outputs *out)
{
    if (s->state < COORD_COORDINATING) {
        c->n.cancelled++;
        coordinator_refuse(c, s, "cancelled", VERDICT_cancelled, why, out);
        return;
    }
    for (unsigned side = 0; side < 2; side++) {
        uint32_t conn = coordinator_conn(c, s, side);
        if (side == by || conn == 0)
            continue;
        struct msg_punch_cancel *m = &emit_peer(out, conn, MSG_punch_cancel)->punch_cancel;
        m->session = s->id;
        msg_text(m->kind, sizeof m->kind, kind);
    }
    if (s->state < COORD_DIRECT) {
        s->verdict = verdict_of_end(kind);
        if (s->verdict == VERDICT_cancelled) /* which says nothing of why */
            coordinator_settle_by_one(c, s, out);
        else
            s->kind = kind_name[kind_find(kind)];
        c->n.rejections += s->verdict == VERDICT_not_accepted;
    }
    if (s->state < COORD_DIRECT && s->verdict == VERDICT_cancelled) {
        c->n.cancelled++;
        s->kind = kind_name[kind_find(kind)];
    }
    coordinator_enter(c, s, COORD_CLOSED, why, out);
}

/* ---- before the order --------------------------------------------------------------------------- */

/* Is known what its order shall say: its NAT, and where the socket is seen that will punch? */
static bool measured(const struct coordinator *c, const struct coordinator_session *s,
                     unsigned side)
{
    struct coordinator_peer *p = &c->peers[s->side[side].peer];
    bool seen =
        s->mode == MODE_RAW ? coordinator_has_spare(c, p) : coordinator_fresh_tokens(c, p).n > 0;

    return p->has_profile && (p->udp_silent || seen);
}

/* Move a session that has no order yet as far as it can go now. */
void coordinator_advance(struct coordinator *c, struct coordinator_session *s, struct outputs *out)
{
    if (s->state == COORD_REQUESTED) {
        if (s->side[1].peer == TABLE_NONE || !c->peers[s->side[1].peer].attached)
            return;
        s->warm = s->warm && measured(c, s, 0) && measured(c, s, 1);
        s->asked = 1;
        if (!coordinator_seek_consent(c, s, out))
            return;
    }
    if (s->state != COORD_INVITING)
        return;
    if (s->consent == CONSENT_GIVEN && s->by_operator && s->asked == 1) {
        s->asked = 0; /* the target takes it: and the initiator? */
        if (!coordinator_seek_consent(c, s, out))
            return;
        coordinator_touch(c, s);
    }
    if (s->consent != CONSENT_GIVEN) {
        coordinator_repeat_question(c, s, out);
        return;
    }
    bool here = coordinator_peer_present(&c->peers[s->side[0].peer]) &&
                coordinator_peer_present(&c->peers[s->side[1].peer]);
    bool known = s->policy == POLICY_RELAY || (measured(c, s, 0) && measured(c, s, 1));
    bool relay = s->policy == POLICY_DIRECT || !coordinator_relay_expected(c);
    bool asked = s->store_tag != 0 || (here && known && relay && coordinator_recall(c, s, out));
    if (!asked && (!here || (known && relay)))
        coordinator_order(c, s, out);
}

/* ---- deadlines ---------------------------------------------------------------------------------- */

static void give_up_waiting(struct coordinator *c, struct coordinator_session *s,
                            struct outputs *out)
{
    c->n.timeouts++;
    coordinator_refuse(c, s, "peer-not-reachable", VERDICT_peer_away,
                       "the target did not attach in time", out);
}

static void stop_inviting(struct coordinator *c, struct coordinator_session *s, struct outputs *out)
{
    if (s->consent == CONSENT_GIVEN)
        coordinator_order(c, s, out);
    else
        coordinator_unanswered(c, s, out);
}

static void close_unrefreshed(struct coordinator *c, struct coordinator_session *s,
                              struct outputs *out)
{
    coordinator_enter(c, s, COORD_CLOSED, "not confirmed any more", out);
}

static void forget(struct coordinator *c, struct coordinator_session *s, struct outputs *out)
{
    coordinator_enter(c, s, COORD_FREE, "expired", out);
}

/* A session's deadline has come, or something it waits for has changed. */
void coordinator_session_due(struct coordinator *c, uint32_t slot, struct outputs *out)
{
    struct coordinator_session *s = &c->sessions[slot];

    if (s->state < COORD_COORDINATING && s->leaving[1]) {
        coordinator_refuse(c, s, "peer-not-reachable", VERDICT_peer_away, "the target has left",
                           out);
        return;
    }
    if (s->state != COORD_CLOSED && (s->leaving[0] || s->leaving[1])) {
        coordinator_close(c, s, s->leaving[1], "cancelled", "a side has detached", out);
        return;
    }
    if (c->now_us >= s->deadline_us) {
        states[s->state].then(c, s, out);
        return;
    }
    deadlines_set(&c->deadlines, slot, s->deadline_us);
    for (unsigned side = 0; side < 2; side++) {
        if (s->order_owed[side])
            coordinator_send_order(c, s, side, out);
        s->order_owed[side] = false;
    }
    coordinator_advance(c, s, out);
}
