/* requests.c - punch requests, until it is known whom they are for. */
#include "services/coordinator/parts.h"

/* A refusal without a session: nothing of the request is kept. */
static void refuse_early(struct coordinator *c, const struct coordinator_peer *p, uint64_t nonce,
                         const char *kind, enum verdict verdict, struct outputs *out)
{
    struct msg_punch_refused *m = &emit_peer(out, p->conn, MSG_punch_refused)->punch_refused;

    c->n.refused++;
    m->nonce = nonce;
    msg_text(m->kind, sizeof m->kind, kind);
    msg_text(m->verdict, sizeof m->verdict, verdict_name(verdict));
}

/* The same, for so long. */
static void limit_early(struct coordinator *c, const struct coordinator_peer *p, uint64_t nonce,
                        uint32_t wait_ms, struct outputs *out)
{
    refuse_early(c, p, nonce, "rate-limited", VERDICT_rate_limited, out);
    out->v[out->n - 1].msg.punch_refused.retry_after_ms = wait_ms;
}

/* Whom a request names: one target, by name or by id, and not the peer itself. */
static bool read_target(const struct coordinator_peer *p, const struct msg_punch_request *m,
                        struct peer_id *id)
{
    bool by_id = !peer_id_none(&m->target_id);

    *id = m->target_id;
    if (by_id == (m->target[0] != '\0'))
        return false;
    if (by_id)
        return !peer_id_eq(id, &p->id);
    if (peer_id_parse(m->target, id))
        return !peer_id_eq(id, &p->id);
    return name_valid(m->target) && (p->name_slot == TABLE_NONE || strcmp(m->target, p->name) != 0);
}

/* The session, not settled yet, that this request is a repetition of, or NULL. */
static struct coordinator_session *repeated(struct coordinator *c, const struct coordinator_peer *p,
                                            uint64_t nonce)
{
    for (uint32_t i = p->sessions[0]; i != TABLE_NONE; i = c->sessions[i].side[0].next)
        if (!c->sessions[i].by_operator && !c->sessions[i].redriven &&
            c->sessions[i].nonce == nonce && c->sessions[i].state <= COORD_EXECUTING &&
            !c->sessions[i].side[0].reported && !c->sessions[i].leaving[0])
            return &c->sessions[i];
    return NULL;
}

struct output *coordinator_ask_store(struct coordinator *c, struct coordinator_session *s,
                                     enum store_op op, struct outputs *out)
{
    struct output *o = outputs_add(out, OUT_STORE);

    s->store_tag = coordinator_tag(c, coordinator_session_slot(c, s));
    memset(&o->store, 0, sizeof o->store);
    o->store.op = op;
    o->store.tag = s->store_tag;
    return o;
}

/* Who it is for is known: go on, or wait for it to attach.  Nobody is called more often than is good. */
static void found(struct coordinator *c, struct coordinator_session *s, uint32_t target,
                  struct outputs *out)
{
    coordinator_session_link(c, s, 1, target);
    if (!s->by_operator && !s->redriven) /* that was asked before it was taken up */
        s->wait_ms = coordinator_call_wait_ms(c, &c->peers[s->side[0].peer], &c->peers[target]);
    if (s->wait_ms > 0)
        coordinator_refuse(c, s, "rate-limited", VERDICT_rate_limited,
                           "the target is called too often", out);
    else
        coordinator_advance(c, s, out);
}

/* Find the target among the peers here, else ask the store. */
static void resolve(struct coordinator *c, struct coordinator_session *s, const struct peer_id *id,
                    struct outputs *out)
{
    uint32_t slot;

    s->side[1].id = *id;
    if (peer_id_none(id)) {
        slot = table_find(&c->peers_by_name, s->target);
        slot = slot == TABLE_NONE ? slot : c->named[slot];
    } else {
        slot = table_find(&c->peers_by_id, id->b);
    }
    if (slot != TABLE_NONE) {
        found(c, s, slot, out);
        return;
    }
    struct output *o =
        coordinator_ask_store(c, s, peer_id_none(id) ? STORE_GET_NAME : STORE_GET_PEER, out);
    o->store.record.peer = *id;
    memcpy(o->store.record.name, s->target, sizeof s->target);
}

static uint32_t timeout_ms(uint32_t asked_ms)
{
    if (asked_ms == 0)
        return COORD_TIMEOUT_DEFAULT_MS;
    return asked_ms < COORD_TIMEOUT_MAX_MS ? asked_ms : COORD_TIMEOUT_MAX_MS;
}

/* A session for this request, not entered yet; NULL when there is no room or none shall begin. */
static struct coordinator_session *begin(struct coordinator *c, const struct sid *sid,
                                         const struct coordinator_peer *p,
                                         const struct msg_punch_request *m, struct outputs *out)
{
    struct peer_id id;
    struct coordinator_session *s =
        c->draining ? NULL : coordinator_session_open(c, sid, (uint32_t)(p - c->peers), out);

    if (!s) {
        c->n.overloaded++;
        return NULL;
    }
    s->mode = m->mode;
    s->policy = m->policy;
    s->warm = true; /* until something has to be waited for */
    s->until_us = c->now_us + timeout_ms(m->timeout_ms) * 1000LL;
    if (peer_id_none(&m->target_id) && !peer_id_parse(m->target, &id))
        memcpy(s->target, m->target, strlen(m->target));
    return s;
}

/*
 * A new try for a session that is not known here: its coordinator, this one before a restart, has died while
 * it lived on.  It is taken up as it says it is; the target's consent is sought as ever, and it is one more call
 * of that target, since who asks may have made it up.
 */
static void redrive(struct coordinator *c, const struct coordinator_peer *p,
                    const struct msg_punch_request *m, const struct peer_id *target,
                    struct outputs *out)
{
    uint32_t slot = table_find(&c->peers_by_id, target->b);

    if (m->policy != POLICY_AUTO || m->mode != MODE_MANAGED || m->attempt >= COORD_TRIES_MAX ||
        slot == TABLE_NONE || !c->peers[slot].attached) {
        c->n.ignored++;
        return;
    }
    uint32_t wait_ms = coordinator_call_wait_ms(c, p, &c->peers[slot]);
    if (wait_ms > 0) { /* nothing of it is kept, so that it can be taken up later */
        limit_early(c, p, m->nonce, wait_ms, out);
        return;
    }
    struct coordinator_session *s = begin(c, &m->session, p, m, out);
    if (!s)
        return;
    s->nonce = m->nonce;
    s->redriven = true;
    s->renewals = m->attempt + 1;
    coordinator_enter(c, s, COORD_REQUESTED, "it was lost, and lives", out);
    found(c, s, slot, out);
}

void coordinator_on_punch_request(struct coordinator *c, struct coordinator_peer *p,
                                  const struct msg_punch_request *m, struct outputs *out)
{
    struct peer_id id = {{0}};

    c->n.requests++;
    if (coordinator_limited(c, p, COORD_LIMIT_REQUEST)) {
        limit_early(c, p, m->nonce, coordinator_retry_ms(c, p), out);
        return;
    }
    uint32_t wait_ms = coordinator_request_wait_ms(c, p);
    if (wait_ms > 0) {
        limit_early(c, p, m->nonce, wait_ms, out);
        return;
    }
    if (m->policy >= POLICY_COUNT || m->mode >= MODE_COUNT || !read_target(p, m, &id)) {
        refuse_early(c, p, m->nonce, "bad-request", VERDICT_bad_request, out);
        return;
    }
    coordinator_take_tokens(c, p, &m->tokens);
    if (!sid_eq(&m->session, &(const struct sid){{0}})) {
        if (coordinator_find(c, &m->session))
            coordinator_renew(c, p, &m->session, out);
        else
            redrive(c, p, m, &id, out);
        return;
    }
    struct coordinator_session *s = repeated(c, p, m->nonce);
    if (s) { /* its answer may have been lost */
        if (s->state >= COORD_COORDINATING)
            coordinator_send_order(c, s, 0, out);
        return;
    }
    /* Who has asked for too many that nobody has, or that did not take the call, learns no more of names. */
    if (peer_id_none(&id) && coordinator_spent(c, p, COORD_LIMIT_REJECTED)) {
        c->n.rate_limited++;
        limit_early(c, p, m->nonce, coordinator_retry_ms(c, p), out);
        return;
    }
    struct sid sid = {{0}};
    rng_bytes(&c->rng, sid.b, sizeof sid.b);
    s = begin(c, &sid, p, m, out);
    if (!s) {
        refuse_early(c, p, m->nonce, "overloaded", VERDICT_overloaded, out);
        return;
    }
    s->nonce = m->nonce;
    coordinator_enter(c, s, COORD_REQUESTED, "asked for", out);
    resolve(c, s, &id, out);
}

void coordinator_on_operator_request(struct coordinator *c, const struct msg_punch_request *m,
                                     struct outputs *out)
{
    uint32_t slot = table_find(&c->peers_by_id, m->initiator.b);
    struct peer_id id = {{0}};

    c->n.requests++;
    if (slot == TABLE_NONE || !c->peers[slot].attached || m->policy >= POLICY_COUNT ||
        m->mode >= MODE_COUNT || !read_target(&c->peers[slot], m, &id) ||
        coordinator_find(c, &m->session)) {
        c->n.ignored++; /* the shell has told the operator why */
        return;
    }
    struct coordinator_session *s = begin(c, &m->session, &c->peers[slot], m, out);
    if (!s)
        return;
    s->by_operator = true;
    coordinator_enter(c, s, COORD_REQUESTED, "the operator asked for it", out);
    resolve(c, s, &id, out);
}

/* The store's answer about a target that is not here. */
void coordinator_on_looked_up(struct coordinator *c, const struct input *in, struct outputs *out)
{
    struct coordinator_session *s = coordinator_session_that_asked(c, in->store.tag);
    const struct peer_id *id = &in->store.record.peer;

    if (!s)
        return;
    s->warm = false;
    if (in->store.status == STORE_NOT_FOUND) {
        c->n.not_found++;
        if (!s->by_operator && s->target[0] != '\0')
            coordinator_limited(c, &c->peers[s->side[0].peer], COORD_LIMIT_REJECTED);
        coordinator_refuse(c, s, "not-found", VERDICT_name_unknown, "nobody has claimed it", out);
        return;
    }
    if (in->store.status != STORE_OK) {
        coordinator_refuse(c, s, "overloaded", VERDICT_overloaded, "the store is away", out);
        return;
    }
    if (peer_id_eq(id, &s->side[0].id)) {
        coordinator_refuse(c, s, "bad-request", VERDICT_bad_request, "it is the initiator", out);
        return;
    }
    uint32_t target = coordinator_peer_slot(c, id);
    if (target == TABLE_NONE) {
        c->n.overloaded++;
        coordinator_refuse(c, s, "overloaded", VERDICT_overloaded, "the peer table is full", out);
        return;
    }
    struct coordinator_peer *p = &c->peers[target];
    if (p->name[0] == '\0' && !coordinator_peer_present(p))
        memcpy(p->name, in->store.record.name, sizeof p->name);
    found(c, s, target, out);
}
