/* relay.c - the pure core: binding a side, what is no packet of a session, time; overview in relay.h. */
#include "services/relay/relay.h"

#include "services/relay/cookie.h"
#include "services/relay/fast.h"
#include "services/relay/forward.h"
#include "services/relay/sessions.h"
#include "services/relay/tickets.h"

enum { TICK_OUTPUTS_MAX = 2 }; /* the most that one session's expiry makes */

_Static_assert((int)RELAY_CONTROL_MAX <= (int)DATAGRAM_MAX, "control fits a datagram");
_Static_assert((int)DATA_BYTES_MAX <= (int)DATAGRAM_MAX, "what is forwarded fits a datagram");

/* ---- binding --------------------------------------------------------------------------------------- */

/* Limits come from the ticket that lasts longest; what was used already stays used. */
static void grant(struct relay *r, struct relay_side *side, const struct ticket *t)
{
    if (t->expires_ms <= side->expires_ms)
        return;
    int64_t life_ms = t->expires_ms - r->wall_ms;
    if (life_ms > RELAY_TICKET_LIFE_MAX_MS)
        life_ms = RELAY_TICKET_LIFE_MAX_MS;
    side->expires_ms = r->wall_ms + life_ms;
    side->expires_us = r->now_us + life_ms * 1000;
    quota_grant(&side->quota, t->bytes_max, t->bytes_per_s, r->now_us);
}

static void bind_side(struct relay *r, struct relay_session *s, const struct ticket *t,
                      const struct addr *src, const uint8_t nonce[static RELAY_NONCE],
                      struct outputs *out)
{
    struct relay_side *side = &s->side[t->side];

    relay_fast_off(r, s);
    grant(r, side, t);
    if (!relay_is_bound(side))
        r->n.bound++;
    else if (!addr_eq(&side->addr, src))
        r->n.rebound++;
    else
        r->n.repeated++;
    side->addr = *src;
    side->raw = t->mode == MODE_RAW;
    relay_source_set(r, s->end[t->side]);
    memcpy(side->nonce, nonce, sizeof side->nonce);
    side->seen_us = r->now_us;
    if (s->state == RELAY_STATE_WAITING && relay_is_bound(&s->side[!t->side]))
        relay_session_enter(r, s, RELAY_STATE_READY, "both sides bound", out);
    else
        relay_session_tell(s, t->side, out);
    if (s->state == RELAY_STATE_READY)
        relay_fast_on(r, s);
    relay_session_arm(r, s);
}

static void on_bind(struct relay *r, const struct addr *src, const struct relay_control *in,
                    struct outputs *out)
{
    struct relay_control c = {.op = RELAY_CHALLENGE};

    memcpy(c.nonce, in->nonce, sizeof c.nonce);
    relay_cookie_make(r, src, in->nonce, c.cookie);
    relay_send_control(out, src, &c);
    r->n.challenged++;
}

/* A stale cookie gets no answer, lest a NAT that changes the port with every packet makes a loop. */
static void on_prove(struct relay *r, const struct addr *src, const struct relay_control *in,
                     struct outputs *out)
{
    struct ticket t;

    if (!relay_cookie_good(r, src, in->nonce, in->cookie)) {
        r->n.bad_cookie++;
        return;
    }
    if (!ticket_open_with(in->ticket, sizeof in->ticket, (const uint8_t(*)[TICKET_KEY])r->keys,
                          r->n_keys, &t)) {
        r->n.bad_ticket++;
        relay_send_bound(out, src, in->nonce, RELAY_BAD_TICKET);
        return;
    }
    if (t.expires_ms <= r->wall_ms) {
        r->n.expired_ticket++;
        relay_send_bound(out, src, in->nonce, RELAY_EXPIRED);
        return;
    }
    uint32_t slot = table_find(&r->by_sid, t.session.b);
    if (slot == TABLE_NONE && r->draining) {
        r->n.refused_draining++;
        relay_send_bound(out, src, in->nonce, RELAY_FULL);
        return;
    }
    struct relay_session *s =
        slot == TABLE_NONE ? relay_session_open(r, &t.session, out) : &r->sessions[slot];
    if (!s) {
        r->n.refused_full++;
        relay_send_bound(out, src, in->nonce, RELAY_FULL);
        return;
    }
    bind_side(r, s, &t, src, in->nonce, out);
}

static void on_keep(struct relay *r, const struct addr *src, const struct relay_control *in,
                    struct outputs *out)
{
    struct relay_control c = {.op = RELAY_UNKNOWN, .path = in->path};
    uint32_t end = table_find(&r->by_path, in->path.b);

    r->n.keep_unknown++;
    if (end != TABLE_NONE) {
        struct relay_session *s = &r->sessions[r->end_of[end] >> 1];
        struct relay_side *side = &s->side[r->end_of[end] & 1];
        if (relay_is_bound(side) && addr_eq(&side->addr, src)) {
            side->seen_us = r->now_us;
            c.op = RELAY_KEPT;
            c.status = (uint8_t)relay_session_status(s);
            r->n.keep_unknown--;
            r->n.kept++;
        }
    }
    relay_send_control(out, src, &c);
}

/* ---- step -------------------------------------------------------------------------------------- */

/* A packet of ours that no bound side sent: after a restart, or from a rebound NAT. */
static void on_stranger(struct relay *r, const struct addr *src, const struct packet_head *head,
                        size_t len, struct outputs *out)
{
    struct relay_control c = {.op = RELAY_UNKNOWN, .path = head->path};

    r->n.strangers++;
    if (!relay_stranger_may_be_told(r, src))
        return;
    r->n.strangers_told++;
    if (len >= RELAY_AGAIN_BYTES) {
        c.op = RELAY_AGAIN;
        relay_cookie_rotate(r);
        relay_cookie_make(r, src, head->path.b, c.cookie);
    }
    relay_send_control(out, src, &c);
}

static void on_control(struct relay *r, const struct addr *src, const uint8_t *data, size_t len,
                       struct outputs *out)
{
    struct relay_control c;
    bool ok = relay_parse(data, len, &c);

    relay_cookie_rotate(r);
    if (ok && c.op == RELAY_BIND)
        on_bind(r, src, &c, out);
    else if (ok && c.op == RELAY_PROVE)
        on_prove(r, src, &c, out);
    else if (ok && c.op == RELAY_KEEP)
        on_keep(r, src, &c, out);
    else
        r->n.malformed++;
}

static void on_datagram(struct relay *r, const struct input *in, struct outputs *out)
{
    const struct addr *src = &in->dgram.src, *dst;
    struct packet_head head;

    switch (relay_forward(r, r->now_us, src, in->dgram.data, in->dgram.len, &dst)) {
    case RELAY_DROP: return;
    case RELAY_FORWARD: {
        struct output *o = outputs_add(out, OUT_DATAGRAM);
        o->dgram.sock = RELAY_SOCK;
        o->dgram.ttl = 0;
        o->dgram.dst = *dst;
        o->dgram.len = (uint16_t)in->dgram.len;
        memcpy(o->dgram.data, in->dgram.data, in->dgram.len);
        return;
    }
    case RELAY_STEP: break;
    }
    if (addr_kind(src) == ADDR_REFUSED) /* nobody to answer */
        r->n.malformed++;
    else if (packet_head(in->dgram.data, in->dgram.len, &head))
        on_stranger(r, src, &head, in->dgram.len, out);
    else
        on_control(r, src, in->dgram.data, in->dgram.len, out);
}

/* What no longer fits the outputs waits for the next tick, which relay_deadline asks for at once. */
static void on_tick(struct relay *r, struct outputs *out)
{
    if (r->hello_us <= r->now_us) {
        struct msg_relay_hello *m =
            &emit_link(out, r->link, SERVICE_coordinator, MSG_relay_hello)->relay_hello;
        memcpy(m->key.b, r->public_key, sizeof m->key.b);
        m->cert.len = sizeof r->cert;
        memcpy(m->cert.b, r->cert, sizeof r->cert);
        m->places = r->places;
        m->addr = r->public_addr;
        m->epoch = r->epoch;
        m->sessions = __atomic_load_n(&relay_load_of(r)->sessions, __ATOMIC_RELAXED);
        m->sessions_max = r->draining ? m->sessions : relay_load_of(r)->sessions_max;
        m->draining = r->told_so = r->draining;
        memcpy(m->ticket_key.b, r->ticket_key, sizeof m->ticket_key.b);
        r->hello_us = r->now_us + (r->draining ? RELAY_HELLO_DRAIN_US : RELAY_HELLO_US);
    }
    while (out->n + TICK_OUTPUTS_MAX <= OUTPUTS_MAX) {
        uint32_t slot = deadlines_pop(&r->due, r->now_us);
        if (slot == UINT32_MAX)
            return;
        relay_session_due(r, &r->sessions[slot], out);
    }
}

void relay_step(struct relay *r, const struct input *in, struct outputs *out)
{
    assert(in->now_us >= r->now_us);
    r->now_us = in->now_us;
    r->wall_ms = in->wall_ms;
    out->n = 0;
    relay_tickets_rotate(r);
    if (in->kind == IN_TICK)
        on_tick(r, out);
    else if (in->kind == IN_DATAGRAM)
        on_datagram(r, in, out);
}

void relay_drain(struct relay *r)
{
    r->draining = true;
    relay_hello_now(r);
}

bool relay_drained(struct relay *r)
{
    return r->told_so && __atomic_load_n(&relay_load_of(r)->sessions, __ATOMIC_RELAXED) == 0;
}

int64_t relay_deadline(const struct relay *r)
{
    int64_t due = deadlines_first(&r->due);

    return due < r->hello_us ? due : r->hello_us;
}
