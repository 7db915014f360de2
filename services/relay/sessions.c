/* sessions.c - the life of the relay's sessions; see sessions.h. */
#include "services/relay/sessions.h"
#include "services/relay/fast.h"
#include "services/relay/forward.h"

#define BIT(state) (1u << (state))

/* The state machine as data: where each state may go, and what a side is told in it. */
/* clang-format off */
static const struct {
    const char *name;
    unsigned next;
    enum relay_status status;
} states[] = {
    [RELAY_STATE_FREE]    = {"free",    BIT(RELAY_STATE_WAITING),                         0},
    [RELAY_STATE_WAITING] = {"waiting", BIT(RELAY_STATE_READY) | BIT(RELAY_STATE_FREE),   RELAY_WAITING},
    [RELAY_STATE_READY]   = {"ready",   BIT(RELAY_STATE_WAITING) | BIT(RELAY_STATE_FREE), RELAY_READY},
};
/* clang-format on */

void relay_send_control(struct outputs *out, const struct addr *dst, const struct relay_control *c)
{
    struct output *o = outputs_add(out, OUT_DATAGRAM);

    o->dgram.sock = RELAY_SOCK;
    o->dgram.ttl = 0;
    o->dgram.dst = *dst;
    o->dgram.len = (uint16_t)relay_encode(c, o->dgram.data);
}

void relay_send_bound(struct outputs *out, const struct addr *dst,
                      const uint8_t nonce[static RELAY_NONCE], enum relay_status status)
{
    struct relay_control c = {.op = RELAY_BOUND, .status = (uint8_t)status};

    memcpy(c.nonce, nonce, sizeof c.nonce);
    relay_send_control(out, dst, &c);
}

void relay_session_tell(const struct relay_session *s, unsigned side, struct outputs *out)
{
    relay_send_bound(out, &s->side[side].addr, s->side[side].nonce, states[s->state].status);
}

enum relay_status relay_session_status(const struct relay_session *s)
{
    return states[s->state].status;
}

struct relay_load *relay_load_of(struct relay *r) { return r->load ? r->load : &r->own; }

/* Other workers take from the same number. */
static bool take_room(struct relay *r)
{
    struct relay_load *l = relay_load_of(r);

    if (__atomic_fetch_add(&l->sessions, 1, __ATOMIC_RELAXED) < l->sessions_max)
        return true;
    __atomic_fetch_sub(&l->sessions, 1, __ATOMIC_RELAXED);
    return false;
}

static void report(struct relay *r, struct relay_session *s, bool ended, struct outputs *out)
{
    struct msg *m = emit_link(out, r->link, SERVICE_coordinator, MSG_relay_usage);

    m->relay_usage = (struct msg_relay_usage){
        .session = s->sid, .packets = s->packets, .bytes = s->bytes, .ended = ended};
    s->packets = s->bytes = 0;
    s->report_us = r->now_us + RELAY_USAGE_US;
}

void relay_session_enter(struct relay *r, struct relay_session *s, enum relay_state to,
                         const char *why, struct outputs *out)
{
    assert(states[s->state].next & BIT(to));
    emit_note(out, &s->sid, states[s->state].name, states[to].name, why);
    s->state = to;
    switch (to) {
    case RELAY_STATE_WAITING: relay_fast_off(r, s); break;
    case RELAY_STATE_READY:
        relay_session_tell(s, 0, out);
        relay_session_tell(s, 1, out);
        break;
    case RELAY_STATE_FREE:
        relay_fast_off(r, s);
        report(r, s, true, out);
        relay_source_unset(r, s->end[0]);
        relay_source_unset(r, s->end[1]);
        for (unsigned i = 0; i < 2; i++) {
            marks_remove(&r->marks, marks_path(table_key(&r->by_path, s->end[i])));
            table_remove(&r->by_path, s->end[i]);
        }
        table_remove(&r->by_sid, (uint32_t)(s - r->sessions));
        __atomic_fetch_sub(&relay_load_of(r)->sessions, 1, __ATOMIC_RELAXED);
        r->n.sessions_ended++;
        break;
    }
}

/*
 * One deadline per session.  Traffic moves seen_us without touching the heap: a deadline that came too
 * early is set again, and none is further off than the next report may be.
 */
void relay_session_arm(struct relay *r, const struct relay_session *s)
{
    int64_t at = s->report_us > r->now_us ? s->report_us : r->now_us + RELAY_USAGE_US;

    for (unsigned i = 0; i < 2; i++) {
        const struct relay_side *side = &s->side[i];
        if (!relay_is_bound(side))
            continue;
        if (side->seen_us + RELAY_IDLE_US < at)
            at = side->seen_us + RELAY_IDLE_US;
        if (side->expires_us < at)
            at = side->expires_us;
    }
    deadlines_set(&r->due, (uint32_t)(s - r->sessions), at);
}

struct relay_session *relay_session_open(struct relay *r, const struct sid *sid,
                                         struct outputs *out)
{
    struct path_id path[2] = {path_id(sid, 0), path_id(sid, 1)};

    if (memcmp(path[0].b, path[1].b, sizeof path[0].b) == 0 ||
        table_find(&r->by_path, path[0].b) != TABLE_NONE ||
        table_find(&r->by_path, path[1].b) != TABLE_NONE)
        return NULL;
    if (r->by_sid.n == r->by_sid.capacity || !take_room(r))
        return NULL;
    uint32_t slot = table_insert(&r->by_sid, sid->b);
    struct relay_session *s = &r->sessions[slot];
    memset(s, 0, sizeof *s);
    s->sid = *sid;
    s->report_us = r->now_us + RELAY_USAGE_US;
    for (unsigned i = 0; i < 2; i++) {
        s->end[i] = table_insert(&r->by_path, path[i].b); /* has room for two a session */
        r->end_of[s->end[i]] = slot << 1 | i;
        r->source_of[s->end[i]] = TABLE_NONE;
        s->fast[i].at = EXPRESS_NONE;
        marks_add(&r->marks, marks_path(path[i].b));
    }
    r->n.sessions_opened++;
    relay_session_enter(r, s, RELAY_STATE_WAITING, "first side bound", out);
    return s;
}

void relay_session_due(struct relay *r, struct relay_session *s, struct outputs *out)
{
    const char *why = "";

    relay_fast_count(r, s);
    for (unsigned i = 0; i < 2; i++) {
        struct relay_side *side = &s->side[i];
        bool expired = side->expires_us <= r->now_us;
        if (!relay_is_bound(side) || (!expired && side->seen_us + RELAY_IDLE_US > r->now_us))
            continue;
        side->addr = (struct addr){0};
        relay_source_unset(r, s->end[i]);
        why = expired ? "ticket expired" : "idle";
        r->n.sides_dropped++;
    }
    unsigned n_bound =
        (unsigned)relay_is_bound(&s->side[0]) + (unsigned)relay_is_bound(&s->side[1]);
    if (n_bound == 0) {
        relay_session_enter(r, s, RELAY_STATE_FREE, why, out);
        return;
    }
    if (n_bound == 1 && s->state == RELAY_STATE_READY)
        relay_session_enter(r, s, RELAY_STATE_WAITING, why, out);
    if (s->packets > 0 && s->report_us <= r->now_us)
        report(r, s, false, out);
    relay_session_arm(r, s);
}
