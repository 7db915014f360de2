/* coordinator.c - the core's entry: memory, inputs, deadlines; the parts are listed in parts.h. */
#include "services/coordinator/coordinator.h"

#include "services/coordinator/parts.h"

enum { TAG_SLOT_BITS = 26, NAME_KEY_BYTES = NAME_MAX_BYTES + 1 };

uint64_t coordinator_tag(struct coordinator *c, uint32_t slot)
{
    return ++c->last_tag << TAG_SLOT_BITS | slot;
}

uint32_t coordinator_tag_slot(uint64_t tag) { return tag & ((1u << TAG_SLOT_BITS) - 1); }

struct coordinator_session *coordinator_session_that_asked(struct coordinator *c, uint64_t tag)
{
    uint32_t slot = coordinator_tag_slot(tag);

    if (tag == 0 || !table_used(&c->sessions_by_id, slot) || c->sessions[slot].store_tag != tag)
        return NULL;
    c->sessions[slot].store_tag = 0;
    return &c->sessions[slot];
}

/* ---- memory ------------------------------------------------------------------------------------- */

static size_t aligned(size_t bytes)
{
    return (bytes + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
}

static void *carve(uint8_t **memory, size_t bytes)
{
    void *p = *memory;

    *memory += aligned(bytes);
    return p;
}

static uint32_t or_else(uint32_t value, uint32_t usual) { return value ? value : usual; }

static struct coordinator_conf with_defaults(const struct coordinator_conf *conf)
{
    struct coordinator_conf full = *conf;

    full.peers_max = or_else(full.peers_max, COORD_PEERS);
    full.sessions_max = or_else(full.sessions_max, COORD_SESSIONS);
    full.requests_per_s = or_else(full.requests_per_s, COORD_REQUESTS_PER_S);
    full.requests_of_source_per_min =
        or_else(full.requests_of_source_per_min, COORD_REQUESTS_OF_SOURCE_PER_MIN);
    full.calls_of_source_per_min =
        or_else(full.calls_of_source_per_min, COORD_CALLS_OF_SOURCE_PER_MIN);
    full.calls_of_target_per_min =
        (uint16_t)or_else(full.calls_of_target_per_min, COORD_CALLS_OF_TARGET_PER_MIN);
    return full;
}

size_t coordinator_bytes(const struct coordinator_conf *conf)
{
    struct coordinator_conf full = with_defaults(conf);

    return aligned(table_bytes(full.peers_max, sizeof(struct peer_id))) +
           aligned(table_bytes(full.peers_max, NAME_KEY_BYTES)) +
           aligned(table_bytes(full.sessions_max, sizeof(struct sid))) +
           aligned(full.peers_max * sizeof(struct coordinator_peer)) +
           aligned(full.peers_max * sizeof(uint32_t)) +
           aligned(full.sessions_max * sizeof(struct coordinator_session)) +
           aligned(deadlines_bytes(full.sessions_max + full.peers_max));
}

void coordinator_init(struct coordinator *c, const struct coordinator_conf *conf,
                      const uint8_t rng_key[static 32], void *memory)
{
    uint8_t *at = memory, secret[16];

    memset(c, 0, sizeof *c);
    c->conf = with_defaults(conf);
    coordinator_limit_requests(c, 0, 0);
    coordinator_limit_relaying(c, 0, 0);
    rng_init(&c->rng, rng_key);
    rng_bytes(&c->rng, secret, sizeof secret);
    budget_init(&c->enrols_by_source, COORD_ENROLS_OF_SOURCE_PER_MIN, COORD_WINDOW_US, secret);
    budget_init(&c->joins_by_source, COORD_JOINS_OF_SOURCE_PER_MIN, COORD_WINDOW_US, secret);
    budget_init(&c->requests_by_source, c->conf.requests_of_source_per_min, COORD_WINDOW_US,
                secret);
    budget_init(&c->calls_by_source, c->conf.calls_of_source_per_min, COORD_WINDOW_US, secret);
    uint32_t peers = c->conf.peers_max, sessions = c->conf.sessions_max;
    assert(peers <= 1u << TAG_SLOT_BITS && sessions <= 1u << TAG_SLOT_BITS);
    table_init(&c->peers_by_id, peers, sizeof(struct peer_id), secret,
               carve(&at, table_bytes(peers, sizeof(struct peer_id))));
    table_init(&c->peers_by_name, peers, NAME_KEY_BYTES, secret,
               carve(&at, table_bytes(peers, NAME_KEY_BYTES)));
    table_init(&c->sessions_by_id, sessions, sizeof(struct sid), secret,
               carve(&at, table_bytes(sessions, sizeof(struct sid))));
    c->peers = carve(&at, peers * sizeof *c->peers);
    c->named = carve(&at, peers * sizeof *c->named);
    c->sessions = carve(&at, sessions * sizeof *c->sessions);
    deadlines_init(&c->deadlines, sessions + peers, carve(&at, deadlines_bytes(sessions + peers)));
    c->closed_oldest = c->closed_newest = TABLE_NONE;
}

/* ---- inputs ------------------------------------------------------------------------------------- */

/* From a peer that is attached on this connection; anybody else is told to attach first. */
static void on_peer_msg(struct coordinator *c, const struct input *in, struct outputs *out)
{
    const struct msg *m = in->msg;
    uint32_t slot = table_find(&c->peers_by_id, in->from.peer.b);
    struct coordinator_peer *p = slot == TABLE_NONE ? NULL : &c->peers[slot];

    if (!p || !coordinator_peer_present(p) || p->conn != in->from.conn) {
        struct msg_detached *no = &emit_peer(out, in->from.conn, MSG_detached)->detached;
        msg_text(no->kind, sizeof no->kind, "unknown");
        c->n.unknown_conn++;
        return;
    }
    if (p->joining && m->type != MSG_detach) { /* too early: the store has not answered yet */
        c->n.ignored++;
        return;
    }
    switch (m->type) {
    case MSG_detach: coordinator_on_detach(c, p, out); break;
    case MSG_reflex_report: coordinator_on_reflex_report(c, p, &m->reflex_report, out); break;
    case MSG_punch_request: coordinator_on_punch_request(c, p, &m->punch_request, out); break;
    case MSG_punch_sample: coordinator_on_punch_sample(c, p, &m->punch_sample, out); break;
    case MSG_punch_ack: coordinator_on_punch_ack(c, p, &m->punch_ack, out); break;
    case MSG_punch_result: coordinator_on_punch_result(c, p, &m->punch_result, out); break;
    case MSG_relay_refused: coordinator_on_relay_refused(c, p, &m->relay_refused, out); break;
    case MSG_invite_answer: coordinator_on_invite_answer(c, p, &m->invite_answer, out); break;
    case MSG_punch_cancel: coordinator_on_punch_cancel(c, p, &m->punch_cancel, out); break;
    default: c->n.ignored++; break;
    }
}

static void on_suite_msg(struct coordinator *c, const struct input *in, struct outputs *out)
{
    const struct msg *m = in->msg;

    switch (m->type) {
    case MSG_nat_profile: coordinator_on_nat_profile(c, &m->nat_profile, out); break;
    case MSG_prober_hello: coordinator_on_prober_hello(c, &m->prober_hello); break;
    case MSG_relay_hello: coordinator_on_relay_hello(c, in, out); break;
    case MSG_relay_usage: coordinator_on_relay_usage(c, in); break;
    case MSG_punch_request: coordinator_on_operator_request(c, &m->punch_request, out); break;
    case MSG_punch_cancel: coordinator_on_operator_cancel(c, &m->punch_cancel, out); break;
    default: c->n.ignored++; break;
    }
}

static void on_msg(struct coordinator *c, const struct input *in, struct outputs *out)
{
    if (in->from.service != SERVICE_executor)
        on_suite_msg(c, in, out);
    else if (in->from.enrolling != (in->msg->type == MSG_enrol))
        c->n.ignored++; /* a stranger may only enrol, and only there */
    else if (in->from.enrolling)
        coordinator_on_enrol(c, in, out);
    else if (in->msg->type == MSG_attach)
        coordinator_on_attach(c, in, out);
    else if (in->msg->type == MSG_explain)
        coordinator_on_explain(c, in, out);
    else
        on_peer_msg(c, in, out);
}

static void on_store(struct coordinator *c, const struct input *in, struct outputs *out)
{
    switch (in->store.op) {
    case STORE_PUT: coordinator_on_row_written(c, in, out); break;
    case STORE_GET_PEER:
    case STORE_GET_NAME: coordinator_on_looked_up(c, in, out); break;
    case STORE_PUT_CONTACT:
    case STORE_PUT_OUTCOME: break;
    case STORE_GET_HISTORY: coordinator_on_recalled(c, in, out); break;
    case STORE_GET_CONTACT: coordinator_on_contact_looked_up(c, in, out); break;
    case STORE_PUT_ENROLLED: coordinator_on_enrolment_written(c, in, out); break;
    }
}

static void on_tick(struct coordinator *c, struct outputs *out)
{
    while (out->n + COORD_ADVANCE_OUTPUTS <= OUTPUTS_MAX) {
        uint32_t slot = deadlines_pop(&c->deadlines, c->now_us);
        if (slot == UINT32_MAX)
            return;
        if (slot < c->conf.sessions_max)
            coordinator_session_due(c, slot, out);
        else
            coordinator_peer_due(c, slot - c->conf.sessions_max, out);
    }
}

void coordinator_step(struct coordinator *c, const struct input *in, struct outputs *out)
{
    assert(in->now_us >= c->now_us);
    c->now_us = in->now_us;
    c->wall_ms = in->wall_ms;
    if (!c->stepped)
        c->first_us = in->now_us;
    c->stepped = true;
    out->n = 0;
    switch (in->kind) {
    case IN_TICK: on_tick(c, out); break;
    case IN_MSG: on_msg(c, in, out); break;
    case IN_STORE: on_store(c, in, out); break;
    default: break; /* a coordinator has no datagrams, no link, no application */
    }
}

int64_t coordinator_deadline(const struct coordinator *c) { return deadlines_first(&c->deadlines); }

/* ---- views -------------------------------------------------------------------------------------- */

const struct coordinator_peer *coordinator_peer(const struct coordinator *c,
                                                const struct peer_id *id)
{
    uint32_t slot = table_find(&c->peers_by_id, id->b);

    return slot == TABLE_NONE ? NULL : &c->peers[slot];
}

const struct coordinator_peer *coordinator_named(const struct coordinator *c, const char *name)
{
    char key[NAME_KEY_BYTES] = {0};

    if (!name_valid(name))
        return NULL;
    memcpy(key, name, strlen(name));
    uint32_t slot = table_find(&c->peers_by_name, key);
    return slot == TABLE_NONE ? NULL : &c->peers[c->named[slot]];
}

const struct coordinator_session *coordinator_session(const struct coordinator *c,
                                                      const struct sid *id)
{
    uint32_t slot = table_find(&c->sessions_by_id, id->b);

    return slot == TABLE_NONE ? NULL : &c->sessions[slot];
}
