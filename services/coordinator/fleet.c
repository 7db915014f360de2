/* fleet.c - the probers and relays that are up, and the tokens that probers sign. */
#include "services/coordinator/parts.h"

static bool lately(const struct coordinator *c, int64_t seen_us)
{
    return c->now_us - seen_us <= COORD_HELLO_TTL_MS * 1000LL;
}

/* ---- probers ------------------------------------------------------------------------------------ */

/* The prober's slot: its own, a fresh one, or that of one that is gone. */
static unsigned prober_slot(const struct coordinator *c, const uint8_t key[static 32])
{
    for (unsigned i = 0; i < c->probers.n; i++)
        if (memcmp(c->probers.v[i].key, key, 32) == 0)
            return i;
    if (c->probers.n < PROBERS_MAX)
        return c->probers.n;
    for (unsigned i = 0; i < PROBERS_MAX; i++)
        if (!lately(c, c->prober_seen_us[i]))
            return i;
    return PROBERS_MAX;
}

static bool all_reachable(const struct prober_info *info)
{
    for (unsigned i = 0; i < info->n_addrs; i++)
        if (addr_kind(&info->addrs[i]) == ADDR_REFUSED)
            return false;
    return true;
}

static void hear_prober(struct coordinator *c, const struct prober_info *info)
{
    unsigned i = prober_slot(c, info->key);

    if (i == PROBERS_MAX || !all_reachable(info)) {
        c->n.hellos_refused++;
        return;
    }
    struct prober_info *known = &c->probers.v[i];
    bool same = i < c->probers.n && memcmp(known->key, info->key, 32) == 0 &&
                memcmp(known->cert, info->cert, 64) == 0;
    if (!same && !cert_verify('p', info->key, c->conf.authority, info->cert)) {
        c->n.hellos_refused++;
        return;
    }
    /* A prober that was away may be back with another clock. */
    if (!same || !lately(c, c->prober_seen_us[i]))
        c->prober_has_offset[i] = false;
    if (i == c->probers.n)
        c->probers.n++;
    *known = *info;
    c->prober_seen_us[i] = c->now_us;
}

static bool is_known(const struct place_list *l, const struct place *p)
{
    for (unsigned i = 0; i < l->n; i++)
        if (addr_ip_eq(&l->v[i].ip, &p->ip))
            return true;
    return false;
}

void coordinator_on_prober_hello(struct coordinator *c, const struct msg_prober_hello *m)
{
    for (unsigned i = 0; i < m->probers.n && i < PROBERS_MAX; i++)
        hear_prober(c, &m->probers.v[i]);
    daykey_take(&c->daykeys, &m->daykeys, &c->probers);
    for (unsigned i = 0; i < m->places.n && i < PLACES_MAX; i++)
        if (!is_known(&c->places, &m->places.v[i]) &&
            place_verify(&m->places.v[i], c->conf.authority))
            place_add(&c->places, &m->places.v[i]);
}

struct prober_list coordinator_live_probers(const struct coordinator *c)
{
    struct prober_list list = {0};

    for (unsigned i = 0; i < c->probers.n; i++)
        if (lately(c, c->prober_seen_us[i]))
            list.v[list.n++] = c->probers.v[i];
    return list;
}

/* ---- tokens ------------------------------------------------------------------------------------- */

/*
 * Is this a prober's word about this peer, and fresh?  A token's age is judged by its prober's own clock:
 * the newest of its tokens that we have seen, and the monotonic time since.
 */
bool coordinator_token_ok(struct coordinator *c, const struct msg_token *raw,
                          const struct peer_id *peer, struct coordinator_token *out)
{
    const int64_t time_max_ms = INT64_MAX / 4000; /* so that the sums below can't overflow */
    struct token t;
    unsigned i = 0;

    if (!token_verify(raw, &c->probers, &c->daykeys, &t) || !peer_id_eq(&t.peer, peer) ||
        t.time_ms < 0 || t.time_ms > time_max_ms)
        return false;
    while (i < c->probers.n && memcmp(c->probers.v[i].key, t.key_id, sizeof t.key_id) != 0)
        i++;
    if (i == c->probers.n ||
        !fence_admits(fence_of(c->probers.v[i].addrs, c->probers.v[i].n_addrs), &t.addr))
        return false;
    int64_t offset_us = t.time_ms * 1000 - c->now_us;
    if (!c->prober_has_offset[i] || offset_us > c->prober_offset_us[i])
        c->prober_offset_us[i] = offset_us;
    c->prober_has_offset[i] = true;
    int64_t age_us = c->prober_offset_us[i] - offset_us;
    *out = (struct coordinator_token){
        .raw = *raw, .addr = t.addr, .born_us = c->now_us - age_us, .mapped = t.mapped};
    return age_us <= TOKEN_TTL_MS * 1000LL;
}

/* ---- relays ------------------------------------------------------------------------------------- */

static struct coordinator_relay *relay_slot(struct coordinator *c, const struct peer_id *key)
{
    struct coordinator_relay *room = NULL;

    for (unsigned i = 0; i < COORD_RELAYS_MAX; i++) {
        struct coordinator_relay *r = &c->relays[i];
        if (r->used && peer_id_eq(&r->key, key))
            return r;
        if (!room && (!r->used || !lately(c, r->seen_us)))
            room = r;
    }
    return room;
}

/* Just started, and no relay has said hello yet: one that is up will within a second. */
bool coordinator_relay_expected(const struct coordinator *c)
{
    for (unsigned i = 0; i < COORD_RELAYS_MAX; i++)
        if (c->relays[i].used)
            return false;
    return c->now_us - c->first_us < COORD_HELLO_TTL_MS * 1000LL;
}

/* A relay has begun a new life, or another one has this slot: who could not use it may now. */
static void untry(struct coordinator *c, unsigned slot)
{
    for (uint32_t i = 0; i < c->sessions_by_id.capacity; i++)
        if (table_used(&c->sessions_by_id, i))
            c->sessions[i].relays_tried &= (uint16_t) ~(1u << slot);
}

/* Is another one there that is up?  Its sessions are not taken over by who says that it is at its place. */
static bool is_anothers(const struct coordinator *c, const struct msg_relay_hello *m)
{
    for (unsigned i = 0; i < COORD_RELAYS_MAX; i++) {
        const struct coordinator_relay *r = &c->relays[i];
        if (r->used && lately(c, r->seen_us) && addr_eq(&r->addr, &m->addr) &&
            !peer_id_eq(&r->key, &m->key))
            return true;
    }
    return false;
}

void coordinator_on_relay_hello(struct coordinator *c, const struct input *in, struct outputs *out)
{
    const struct msg_relay_hello *m = &in->msg->relay_hello;
    bool own = in->from.link == 0 || peer_id_eq(&in->from.peer, &m->key);
    struct coordinator_relay *r = relay_slot(c, &m->key);
    bool same = r && r->used && peer_id_eq(&r->key, &m->key);

    if (!r || !own || addr_kind(&m->addr) == ADDR_REFUSED || is_anothers(c, m) ||
        (!same &&
         (m->cert.len != 64 || !cert_verify('r', m->key.b, c->conf.authority, m->cert.b)))) {
        c->n.hellos_refused++;
        return;
    }
    uint8_t cert[sizeof r->cert]; /* the one that was verified */
    memcpy(cert, same ? r->cert : m->cert.b, sizeof cert);
    bool untries =
        !same || (r->epoch != m->epoch && c->now_us - r->untried_us >= COORD_UNTRY_MS * 1000LL);
    if (untries)
        untry(c, (unsigned)(r - c->relays));
    *r = (struct coordinator_relay){
        .key = m->key,
        .ticket_key = peer_id_none(&m->ticket_key) ? m->key : m->ticket_key,
        .addr = m->addr,
        .epoch = untries ? m->epoch : r->epoch, /* a later hello makes up for it */
        .sessions = m->sessions,
        .sessions_max = m->sessions_max,
        .seen_us = c->now_us,
        .untried_us = untries ? c->now_us : r->untried_us,
        .used = true,
        .draining = m->draining,
        .link = in->from.link,
    };
    memcpy(r->cert, cert, sizeof r->cert);
    r->places.n = m->places.n > 0;
    r->places.v[0] = m->places.v[0];
    if (!same) /* sessions may wait for it; those that no longer fit the outputs have their deadline */
        for (uint32_t i = 0; i < c->sessions_by_id.capacity; i++)
            if (table_used(&c->sessions_by_id, i) && c->sessions[i].state == COORD_INVITING &&
                out->n + COORD_ADVANCE_OUTPUTS <= OUTPUTS_MAX)
                coordinator_advance(c, &c->sessions[i], out);
    if (m->draining)
        coordinator_move_sessions(c, r, out);
}

/* Any, with room or without? */
static bool relay_up(const struct coordinator *c)
{
    for (unsigned i = 0; i < COORD_RELAYS_MAX; i++)
        if (c->relays[i].used && lately(c, c->relays[i].seen_us))
            return true;
    return false;
}

/* Of those that have been there, the one that is. */
struct coordinator_relay *coordinator_relay_at(struct coordinator *c, const struct addr *a)
{
    struct coordinator_relay *newest = NULL;

    for (unsigned i = 0; i < COORD_RELAYS_MAX; i++)
        if (c->relays[i].used && addr_eq(&c->relays[i].addr, a) &&
            (!newest || c->relays[i].seen_us > newest->seen_us))
            newest = &c->relays[i];
    return newest;
}

static uint64_t load_of(const struct coordinator_relay *r)
{
    return (uint64_t)r->sessions + r->assigned;
}

/* Is the share of its room that is taken smaller?  One that drains, or has no room, has none to share. */
static bool is_freer(const struct coordinator_relay *r, const struct coordinator_relay *than)
{
    bool room = !r->draining && load_of(r) < r->sessions_max,
         other = !than->draining && load_of(than) < than->sessions_max;

    if (room != other)
        return room;
    return load_of(r) * than->sessions_max < load_of(than) * r->sessions_max;
}

/*
 * Those that peers are told of, to measure: as many as a message has room for, and of more the freest.  All
 * peers are told of the same, so that two of a session have measured relays in common.
 */
struct prober_list coordinator_near_relays(const struct coordinator *c)
{
    struct prober_list list = {0};
    bool named[COORD_RELAYS_MAX] = {false};

    while (list.n < PROBERS_MAX) {
        const struct coordinator_relay *best = NULL;
        for (unsigned i = 0; i < COORD_RELAYS_MAX; i++) {
            const struct coordinator_relay *r = &c->relays[i];
            if (r->used && lately(c, r->seen_us) && !named[i] && (!best || is_freer(r, best)))
                best = r;
        }
        if (!best)
            break;
        named[best - c->relays] = true;
        struct prober_info *p = &list.v[list.n++];
        memcpy(p->key, best->key.b, sizeof p->key);
        memcpy(p->cert, best->cert, sizeof p->cert);
        p->addrs[p->n_addrs++] = best->addr;
    }
    return list;
}

/* Where those are that an attached peer is told of. */
struct place_list coordinator_places(const struct coordinator *c)
{
    struct place_list list = c->places;

    for (unsigned i = 0; i < COORD_RELAYS_MAX; i++)
        if (c->relays[i].used && lately(c, c->relays[i].seen_us) && c->relays[i].places.n > 0)
            place_add(&list, &c->relays[i].places.v[0]);
    return list;
}

/* ---- the relay for a session -------------------------------------------------------------------- */

bool coordinator_has_other_relay(const struct coordinator *c, const struct coordinator_relay *than)
{
    for (unsigned i = 0; i < COORD_RELAYS_MAX; i++) {
        const struct coordinator_relay *r = &c->relays[i];
        if (r != than && r->used && lately(c, r->seen_us) && !r->draining &&
            load_of(r) < r->sessions_max)
            return true;
    }
    return false;
}

bool coordinator_relays_done(const struct coordinator *c, bool waited)
{
    for (unsigned i = 0; i < COORD_RELAYS_MAX; i++) {
        const struct coordinator_relay *r = &c->relays[i];
        if (!r->used || r->link != 0 || !lately(c, r->seen_us))
            continue;
        if (r->draining ? r->sessions > 0 : !waited)
            return false;
    }
    return true;
}

/* Both round trips, which is one over the relay; where a side has measured none it is as far as can be. */
static uint32_t distance_ms(const struct coordinator *c, const struct coordinator_session *s,
                            const struct coordinator_relay *r)
{
    uint32_t sum = 0;

    for (unsigned side = 0; side < 2; side++) {
        const struct coordinator_peer *p =
            s->side[side].peer == TABLE_NONE ? NULL : &c->peers[s->side[side].peer];
        uint32_t ms = UINT16_MAX;
        for (unsigned i = 0; p && i < p->n_relays; i++)
            if (addr_eq(&p->relays[i].addr, &r->addr))
                ms = p->relays[i].rtt_ms;
        sum += ms;
    }
    return sum;
}

static bool has_room(const struct coordinator *c, const struct coordinator_session *s, unsigned i)
{
    const struct coordinator_relay *r = &c->relays[i];

    return r->used && lately(c, r->seen_us) && load_of(r) < r->sessions_max &&
           !(s->relays_tried & 1u << i);
}

/* Of the nearest to both sides, as they have measured, the one with the smallest share of its room taken. */
struct coordinator_relay *coordinator_choose_relay(struct coordinator *c,
                                                   const struct coordinator_session *s)
{
    struct coordinator_relay *best = NULL;
    uint32_t nearest = UINT32_MAX;

    for (unsigned i = 0; i < COORD_RELAYS_MAX; i++)
        if (has_room(c, s, i) && distance_ms(c, s, &c->relays[i]) < nearest)
            nearest = distance_ms(c, s, &c->relays[i]);
    for (unsigned i = 0; i < COORD_RELAYS_MAX; i++) {
        struct coordinator_relay *r = &c->relays[i];
        if (has_room(c, s, i) && distance_ms(c, s, r) < nearest + COORD_RELAY_NEAR_MS &&
            (!best || is_freer(r, best)))
            best = r;
    }
    return best;
}

/* It counts as one more of that relay's from here on. */
void coordinator_assign_relay(struct coordinator *c, struct coordinator_session *s)
{
    struct coordinator_relay *r = coordinator_choose_relay(c, s);

    s->relay_before = s->relay;
    s->relay = r ? r->addr : (struct addr){0};
    s->relays_full = !r && relay_up(c);
    if (!r)
        return;
    r->assigned++;
}
