/* peers.c - who is here: attachments, names. */
#include "services/coordinator/parts.h"

/* ---- the table of peers ------------------------------------------------------------------------- */

static uint32_t slot_of(const struct coordinator *c, const struct coordinator_peer *p)
{
    return (uint32_t)(p - c->peers);
}

static void set_deadline(struct coordinator *c, const struct coordinator_peer *p, int64_t at_us)
{
    deadlines_set(&c->deadlines, c->conf.sessions_max + slot_of(c, p), at_us);
}

uint32_t coordinator_peer_slot(struct coordinator *c, const struct peer_id *id)
{
    uint32_t slot = table_find(&c->peers_by_id, id->b);

    if (slot != TABLE_NONE)
        return slot;
    slot = table_insert(&c->peers_by_id, id->b);
    if (slot != TABLE_NONE)
        c->peers[slot] = (struct coordinator_peer){
            .id = *id,
            .window_us = c->now_us,
            .sessions = {TABLE_NONE, TABLE_NONE},
            .name_slot = TABLE_NONE,
        };
    return slot;
}

bool coordinator_peer_present(const struct coordinator_peer *p)
{
    return p->attached || p->joining;
}

/* A peer that left is kept while a session names it, and until its minute is over: limits outlive it. */
void coordinator_peer_unused(struct coordinator *c, uint32_t slot)
{
    struct coordinator_peer *p = &c->peers[slot];

    if (coordinator_peer_present(p))
        return;
    if (p->n_sessions > 0) {
        set_deadline(c, p, NEVER);
        return;
    }
    if (c->now_us - p->window_us < COORD_WINDOW_US) {
        set_deadline(c, p, p->window_us + COORD_WINDOW_US);
        return;
    }
    set_deadline(c, p, NEVER);
    table_remove(&c->peers_by_id, slot);
}

/* ---- names -------------------------------------------------------------------------------------- */

static void release_name(struct coordinator *c, struct coordinator_peer *p)
{
    if (p->name_slot != TABLE_NONE)
        table_remove(&c->peers_by_name, p->name_slot);
    p->name_slot = TABLE_NONE;
}

/* The store arbitrates names; while it is away, who came first keeps it. */
static void claim_name(struct coordinator *c, struct coordinator_peer *p, bool arbitrated)
{
    uint32_t slot = table_find(&c->peers_by_name, p->name);

    if (p->name[0] == '\0' || p->name_slot != TABLE_NONE)
        return;
    if (slot != TABLE_NONE) {
        if (!arbitrated)
            return;
        release_name(c, &c->peers[c->named[slot]]);
    }
    p->name_slot = table_insert(&c->peers_by_name, p->name);
    assert(p->name_slot != TABLE_NONE); /* it has room for all peers, and a peer has one name */
    c->named[p->name_slot] = slot_of(c, p);
}

/* ---- attachments -------------------------------------------------------------------------------- */

static void put_row(struct coordinator *c, struct coordinator_peer *p, uint64_t tag,
                    struct outputs *out)
{
    struct output *o = outputs_add(out, OUT_STORE);

    memset(&o->store, 0, sizeof o->store);
    o->store.op = STORE_PUT;
    o->store.tag = tag;
    o->store.record = (struct dir_record){
        .peer = p->id,
        .epoch = c->conf.epoch,
        .seq = p->fence,
        .attached = coordinator_peer_present(p),
        .profile = p->profile,
        .expires_ms = c->wall_ms + COORD_ROW_TTL_MS,
    };
    memcpy(o->store.record.name, p->name, sizeof p->name);
    p->row_us = c->now_us;
}

/* Sessions that wait for something of this peer look again at the next tick. */
void coordinator_kick(struct coordinator *c, const struct coordinator_peer *p)
{
    for (unsigned side = 0; side < 2; side++)
        for (uint32_t i = p->sessions[side]; i != TABLE_NONE; i = c->sessions[i].side[side].next)
            if (c->sessions[i].state <= COORD_INVITING)
                deadlines_set(&c->deadlines, i, c->now_us);
}

/*
 * A side that is back on another connection may have lost its orders with the one before.  (An initiator
 * that has asked does so again by itself.)
 */
static void owe_orders(struct coordinator *c, const struct coordinator_peer *p)
{
    for (unsigned side = 0; side < 2; side++)
        for (uint32_t i = p->sessions[side]; i != TABLE_NONE; i = c->sessions[i].side[side].next) {
            struct coordinator_session *s = &c->sessions[i];
            if (s->state < COORD_COORDINATING || s->state > COORD_EXECUTING ||
                s->side[side].reported || (side == 0 && !s->by_operator))
                continue;
            s->order_owed[side] = true;
            deadlines_set(&c->deadlines, i, c->now_us);
        }
}

static void send_attached(struct coordinator *c, uint32_t conn, const char *kind,
                          const char *verdict, struct outputs *out)
{
    struct msg_attached *m = &emit_peer(out, conn, MSG_attached)->attached;

    msg_text(m->kind, sizeof m->kind, kind);
    msg_text(m->verdict, sizeof m->verdict, verdict);
    m->epoch = c->conf.epoch;
    m->refresh_s = COORD_REFRESH_S;
    if (*kind != '\0') {
        c->n.attach_refused++;
        return;
    }
    m->probers = coordinator_live_probers(c);
    m->daykeys = c->daykeys;
    m->plain = c->n.plain_peers_now > 0;
    m->relays = coordinator_near_relays(c);
    m->places = coordinator_places(c);
}

/* It may come again then; what it has it keeps. */
static void send_limited(struct coordinator *c, uint32_t conn, uint32_t wait_ms,
                         struct outputs *out)
{
    send_attached(c, conn, "rate-limited", "rate-limited", out);
    out->v[out->n - 1].msg.attached.retry_after_ms = wait_ms;
}

static void send_detached(uint32_t conn, const char *kind, struct outputs *out)
{
    struct msg_detached *m = &emit_peer(out, conn, MSG_detached)->detached;

    msg_text(m->kind, sizeof m->kind, kind);
}

static void count(struct coordinator *c, const struct coordinator_peer *p, int one)
{
    c->n.attached_now += (uint64_t)one;
    if (!p->daily)
        c->n.plain_peers_now += (uint64_t)one;
}

/* The attachment ends; what was learned through it goes with it. */
static void leave(struct coordinator *c, struct coordinator_peer *p)
{
    if (p->attached)
        count(c, p, -1);
    p->attached = p->joining = false;
    p->join_tag = 0;
    p->has_profile = p->udp_silent = false;
    p->n_tokens = p->n_relays = 0;
    memset(p->spares, 0, sizeof p->spares);
    p->rtt_us = 0;
    release_name(c, p);
}

static void refresh(struct coordinator *c, struct coordinator_peer *p, const struct msg_attach *m,
                    struct outputs *out)
{
    p->accept = m->accept;
    p->modes = m->modes;
    p->blocks = (uint8_t)(m->blocks < UINT8_MAX ? m->blocks : UINT8_MAX);
    p->expires_us = c->now_us + COORD_ATTACH_TTL_MS * 1000LL;
    set_deadline(c, p, p->expires_us);
    if (c->now_us - p->row_us >= COORD_ROW_TTL_MS * 1000LL / 2) {
        p->join_tag = coordinator_tag(c, slot_of(c, p));
        put_row(c, p, p->join_tag, out);
    }
    send_attached(c, p->conn, "", "", out);
}

/* A new attachment, or another name or connection: the store has its say before it counts. */
/* Close the peer's sessions at the next tick: who held their ends has gone. */
static void abandon_sessions(struct coordinator *c, struct coordinator_peer *p)
{
    for (unsigned side = 0; side < 2; side++)
        for (uint32_t i = p->sessions[side]; i != TABLE_NONE; i = c->sessions[i].side[side].next) {
            c->sessions[i].leaving[side] = true;
            deadlines_set(&c->deadlines, i, c->now_us);
        }
}

static void join(struct coordinator *c, struct coordinator_peer *p, const struct input *in,
                 struct outputs *out)
{
    const struct msg_attach *m = &in->msg->attach;

    if (coordinator_peer_present(p) && p->conn != in->from.conn) {
        send_detached(p->conn, "replaced", out);
        c->n.replaced++;
    }
    if (p->attached)
        count(c, p, -1);
    if (p->instance !=
        m->instance) /* another process: the sessions of the earlier one died with it */
        abandon_sessions(c, p);
    if (p->instance != m->instance || p->seq != m->seq) { /* other sockets, or another network */
        p->has_profile = false;
        p->n_tokens = 0;
        coordinator_forget_spares(p);
    }
    if (strcmp(p->name, m->name) != 0)
        release_name(c, p);
    memset(p->name, 0, sizeof p->name); /* the whole of it is the key of the index */
    memcpy(p->name, m->name, strlen(m->name));
    p->attached = false;
    p->joining = true;
    p->daily = m->daily;
    p->join_tag = coordinator_tag(c, slot_of(c, p));
    p->conn = in->from.conn;
    p->source = in->from.source;
    p->seq = m->seq;
    p->instance = m->instance;
    p->fence = ++c->attachments;
    p->accept = m->accept;
    p->modes = m->modes;
    p->blocks = (uint8_t)(m->blocks < UINT8_MAX ? m->blocks : UINT8_MAX);
    p->expires_us = c->now_us + COORD_ATTACH_TTL_MS * 1000LL;
    set_deadline(c, p, p->expires_us);
    put_row(c, p, p->join_tag, out);
}

/* Connections are numbered as they come: of two with one key the later one is the one to keep. */
static bool from_earlier(uint32_t conn, uint32_t than) { return (int32_t)(conn - than) < 0; }

/* Its key has been taken off the list since it came in. */
static void expel(struct coordinator *c, const struct input *in, struct outputs *out)
{
    uint32_t slot = table_find(&c->peers_by_id, in->from.peer.b);

    send_attached(c, in->from.conn, "not-authorized", "not-enrolled", out);
    if (slot != TABLE_NONE && coordinator_peer_present(&c->peers[slot]))
        coordinator_on_detach(c, &c->peers[slot], out);
}

void coordinator_on_attach(struct coordinator *c, const struct input *in, struct outputs *out)
{
    const struct msg_attach *m = &in->msg->attach;

    if ((m->name[0] != '\0' && !name_valid(m->name)) || m->accept >= ACCEPT_COUNT) {
        send_attached(c, in->from.conn, "bad-request", "bad-request", out);
        return;
    }
    if (c->admission == ADMIT_LISTED && !coordinator_listed(c, &in->from.peer)) {
        expel(c, in, out);
        return;
    }
    uint32_t slot = coordinator_peer_slot(c, &in->from.peer);
    if (slot == TABLE_NONE) {
        c->n.overloaded++;
        send_attached(c, in->from.conn, "overloaded", "overloaded", out);
        return;
    }
    struct coordinator_peer *p = &c->peers[slot];
    bool same = coordinator_peer_present(p) && p->conn == in->from.conn && p->seq == m->seq &&
                p->instance == m->instance && strcmp(p->name, m->name) == 0;
    bool present = coordinator_peer_present(p);
    uint32_t wait_ms;
    /* Who has asked for too many that others have learns no more of names. */
    bool other_name = m->name[0] != '\0' && strcmp(p->name, m->name) != 0;
    if (coordinator_limited(c, p, COORD_LIMIT_ATTACH) ||
        (other_name && coordinator_spent(c, p, COORD_LIMIT_REJECTED))) {
        send_limited(c, in->from.conn, coordinator_retry_ms(c, p), out);
        return;
    }
    if (present && from_earlier(in->from.conn, p->conn))
        send_detached(in->from.conn, "replaced", out);
    else if (present && in->from.conn == p->conn && m->seq < p->seq)
        c->n.ignored++; /* overtaken by a later one */
    else if (same && p->attached)
        refresh(c, p, m, out);
    else if (!same && (wait_ms = coordinator_join_wait_ms(c, &in->from.source)) > 0)
        send_limited(c, in->from.conn, wait_ms, out);
    else if (!same)
        join(c, p, in, out);
    coordinator_peer_unused(c, slot);
}

void coordinator_on_row_written(struct coordinator *c, const struct input *in, struct outputs *out)
{
    uint32_t slot = coordinator_tag_slot(in->store.tag);

    if (in->store.tag == 0 || !table_used(&c->peers_by_id, slot) ||
        c->peers[slot].join_tag != in->store.tag)
        return;
    struct coordinator_peer *p = &c->peers[slot];
    bool joining = p->joining;
    p->join_tag = 0;
    if (in->store.status == STORE_STALE) { /* it has attached elsewhere since */
        send_detached(p->conn, "replaced", out);
        leave(c, p);
    } else if (in->store.status == STORE_NAME_TAKEN) {
        send_attached(c, p->conn, "not-authorized", "name-taken", out);
        coordinator_limited(c, p, COORD_LIMIT_REJECTED); /* it has learned of a name */
        leave(c, p);
        p->name[0] = '\0';
    } else if (in->store.status == STORE_NAMES_SPENT) {
        send_attached(c, p->conn, "not-authorized", "too-many-names", out);
        leave(c, p);
        p->name[0] = '\0';
    } else if (joining) { /* also when the store is away: local peers are served without it */
        p->joining = false;
        p->attached = true;
        c->n.attached++;
        count(c, p, 1);
        claim_name(c, p, in->store.status == STORE_OK);
        send_attached(c, p->conn, "", "", out);
        coordinator_kick(c, p);
        owe_orders(c, p);
    }
    coordinator_peer_unused(c, slot);
}

void coordinator_on_detach(struct coordinator *c, struct coordinator_peer *p, struct outputs *out)
{
    abandon_sessions(c, p);
    leave(c, p);
    put_row(c, p, 0, out);
    coordinator_peer_unused(c, slot_of(c, p));
}

void coordinator_peer_due(struct coordinator *c, uint32_t slot, struct outputs *out)
{
    struct coordinator_peer *p = &c->peers[slot];

    if (coordinator_peer_present(p) && c->now_us >= p->expires_us) {
        c->n.expired++;
        leave(c, p);
        put_row(c, p, 0, out);
    }
    coordinator_peer_unused(c, slot);
}
