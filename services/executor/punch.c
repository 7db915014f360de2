/*
 * punch.c - punch and pong, directly and through the relay: what opens a path and proves both directions.
 *
 * A punch that comes in authentic proves their direction; a pong that returns our challenge for the address
 * that it comes from proves both.  That the peer says so proves nothing: it may lie about where it is, to
 * have us send to somebody else.  The Noise handshake rides in the same packets, so data keys cost no round
 * trip of their own.
 */
#include "services/executor/internal.h"

#include <sodium.h>
#include <string.h>

enum {
    HAIRPIN_AFTER = 2, /* punches of the schedule: at 40 ms */
    SUSPECT_AFTER = 8, /* at 520 ms, or sooner when the peer is heard */
    /* Once the peer is heard the way is open, and only losses can keep its pong away.  Over a long way, where
     * it is heard after the burst, an address's packets would be used up. */
    HEARD_EVERY_US = 40000,
    HEARD_AGAIN = 6,
    PACED_AFTER = 14,  /* punches: at 1,220 ms who has good lines is heard */
    PACKETS_KEPT = 14, /* of an address's, for a peer that comes late */
};

/*
 * On one network the local address comes first; the way through the router is tried when that is slow, or, where
 * either side has seen it work, at once.
 */
static bool local_alone(const struct attempt *a)
{
    bool hairpins =
        a->own_profile.hairpin > HAIRPIN_NONE || a->their_profile.hairpin > HAIRPIN_NONE;

    return a->technique == TECHNIQUE_HOST && !hairpins && a->way[WAY_DIRECT].burst <= HAIRPIN_AFTER;
}

struct output *executor_send_punch(struct executor *x, struct attempt *a, enum way way,
                                   uint8_t type, uint64_t echo, uint16_t sock,
                                   const struct addr *to, struct outputs *out)
{
    struct way_state *w = &a->way[way];
    struct punch p = {
        .type = type,
        .counter = ++a->punch_counter,
        .echo = type == PACKET_PONG ? echo : executor_challenge(a, to),
        .technique = way == WAY_RELAY ? TECHNIQUE_RELAYED : a->technique,
        .flags = (uint8_t)((a->has_noise_out ? PUNCH_HAS_NOISE : 0) |
                           (w->confirmed ? PUNCH_CONFIRMED : 0) | (a->aside ? PUNCH_ASIDE : 0) |
                           (a->birthday.met ? PUNCH_MET : 0)),
    };
    struct output *o = executor_datagram(out, sock, to);

    if (a->has_noise_out)
        memcpy(p.noise, a->noise_out, sizeof p.noise);
    if (type == PACKET_PONG)
        p.seen = *to;
    punch_seal(&p, &a->peer_path, a->punch_key[a->side], o->dgram.data);
    o->dgram.len = PUNCH_BYTES;
    w->punches_sent++;
    x->n.punches_sent++;
    return o;
}

/*
 * When the next punch goes: over a bad line an address's packets must last until both sides are there and something gets
 * through both ways.  Once the peer is heard half of them are for pongs.
 */
static int64_t pace_us(const struct executor *x, const struct attempt *a)
{
    int64_t left_us = a->give_up_us - x->now_us, spent = 0;
    bool heard = a->way[WAY_DIRECT].heard;

    for (size_t i = 0; i < a->n_candidates; i++)
        spent = a->candidate_packets[i] > spent ? a->candidate_packets[i] : spent;
    if (a->way[WAY_DIRECT].burst < PACED_AFTER)
        return PUNCH_EVERY_US;
    int64_t left = PACKETS_MAX - spent;
    left = heard || a->waits || left < PACKETS_KEPT ? left / 2 : left - PACKETS_KEPT;
    if (left > 0)
        left_us /= left;
    return left_us > PUNCH_EVERY_US ? left_us : PUNCH_EVERY_US;
}

static void schedule(struct way_state *w, int64_t gap)
{
    if (w->burst + 1 < PUNCH_BURST)
        gap = punch_offset_us[w->burst + 1] - punch_offset_us[w->burst];
    if (w->again > 0) {
        w->again--;
        gap = gap < HEARD_EVERY_US ? gap : HEARD_EVERY_US;
    }
    w->next_punch_us += gap;
    if (w->burst < UINT8_MAX)
        w->burst++;
}

/* One punch to every candidate, or through the relay, and the next one's time. */
void executor_punch(struct executor *x, struct attempt *a, enum way way, struct outputs *out)
{
    struct way_state *w = &a->way[way];
    bool over = way == WAY_DIRECT ? a->direct_over || w->confirmed
                                  : w->confirmed || !a->relay.ready || w->burst == UINT8_MAX;

    if (over) {
        w->next_punch_us = NEVER;
        return;
    }
    schedule(w, way == WAY_DIRECT ? pace_us(x, a) : PUNCH_EVERY_US);
    if (way == WAY_RELAY) {
        executor_send_punch(x, a, way, PACKET_PUNCH, 0, w->sock, &a->relay.addr, out);
        return;
    }
    uint8_t ttl = executor_prime_punch_ttl(x, a);
    if (w->burst >= SUSPECT_AFTER) /* where the relay is there to tell of it */
        executor_moved_suspect(x, a);
    if (a->fault.moves > 0 && !a->fault.lost)
        executor_moved_tell(x, a, out);
    size_t n = local_alone(a) && a->n_candidates > 1 ? 1 : a->n_candidates;
    for (size_t i = 0; i < n; i++)
        if (executor_spend(a, &a->candidates[i]))
            executor_send_punch(x, a, way, PACKET_PUNCH, 0, w->sock, &a->candidates[i], out)
                ->dgram.ttl = ttl;
}

static void on_noise(struct attempt *a, const uint8_t in[static NOISE_MSG])
{
    struct noise_keys keys;
    uint8_t none[1];

    if (a->has_keys || noise_read(&a->noise, in, NOISE_MSG, none) != 0)
        return;
    if (a->side == 1) {
        if (noise_write(&a->noise, NULL, 0, a->noise_out) != NOISE_MSG)
            return;
        a->has_noise_out = true;
    }
    noise_split(&a->noise, &keys);
    rekey_start(&a->send, &a->receive, a->side == 0 ? keys.i2r : keys.r2i,
                a->side == 0 ? keys.r2i : keys.i2r);
    sodium_memzero(&keys, sizeof keys);
    a->has_keys = true;
}

/*
 * The peer is heard here for the first time, perhaps at an address that no prober told, since its NAT drew
 * another port for us.  Ask there at once (as RFC 8445 section 7.3.1.4 does), and before the pong, so that
 * this side has its proof no later than the first data comes in.
 */
static void ask_there(struct executor *x, struct attempt *a, const struct addr *src,
                      struct outputs *out)
{
    if (executor_spend(a, src))
        executor_send_punch(x, a, WAY_DIRECT, PACKET_PUNCH, 0, a->way[WAY_DIRECT].sock, src, out);
}

/* Some sign of the peer, on either way: from now on both punch, and they shall for most of the span. */
void executor_peer_is_there(struct executor *x, struct attempt *a)
{
    int64_t until_us = x->now_us + a->span_us / 4 * 3, soon_us = x->now_us + PUNCH_EVERY_US;
    struct way_state *w = &a->way[WAY_DIRECT];

    if (a->peer_is_there)
        return;
    a->peer_is_there = true;
    if (a->waits && w->next_punch_us != NEVER && w->next_punch_us > soon_us)
        w->next_punch_us = soon_us;
    if (!a->direct_over && (a->waits || a->give_up_us < until_us))
        a->give_up_us = until_us;
    a->waits = false;
}

static bool is_new(const struct attempt *a, const struct addr *src)
{
    for (size_t i = 0; i < a->n_candidates; i++)
        if (addr_eq(&a->candidates[i], src))
            return false;
    return true;
}

static void on_first(struct executor *x, struct attempt *a, enum way way, const struct addr *src,
                     struct outputs *out)
{
    struct way_state *w = &a->way[way];

    if (way == WAY_DIRECT && !addr_eq(&w->remote, src)) /* not where it was */
        a->fault.lost = a->fault.guarded = false;
    w->heard = true;
    w->first_heard_us = x->now_us;
    executor_peer_is_there(x, a);
    w->again = w->burst < PUNCH_BURST ? HEARD_AGAIN : 0;
    if (w->again > 0 && w->next_punch_us != NEVER && w->next_punch_us > x->now_us + HEARD_EVERY_US)
        w->next_punch_us = x->now_us + HEARD_EVERY_US;
    w->remote = *src;
    struct msg_punch_ack *m = &emit(out, SERVICE_coordinator, MSG_punch_ack)->punch_ack;
    m->session = a->session;
    m->technique = way == WAY_DIRECT ? a->technique : TECHNIQUE_RELAYED;
    m->remote = *src;
    m->after_us = (uint32_t)(x->now_us - a->asked_us);
}

/*
 * The address that this challenge went to: where the pong comes from, or, of a NAT that answers by another port
 * for each of ours, one that was asked.  There our packets arrive.
 */
static const struct addr *challenged(const struct attempt *a, uint64_t echo, const struct addr *src)
{
    if (echo == executor_challenge(a, src))
        return src;
    for (size_t i = 0; i < a->n_candidates; i++)
        if (addr_ip_eq(&a->candidates[i], src) && echo == executor_challenge(a, &a->candidates[i]))
            return &a->candidates[i];
    return NULL;
}

static bool guesses(const struct attempt *a)
{
    return a->birthday.part != BIRTHDAY_NONE || a->foreseen.phase != FORESEEN_NOT;
}

/* Both directions are proven, to this address. */
static void confirm(struct executor *x, struct attempt *a, enum way way, const struct addr *at,
                    struct outputs *out)
{
    struct way_state *w = &a->way[way];

    w->confirmed = true;
    w->confirmed_us = x->now_us;
    w->remote = *at;
    w->next_punch_us = NEVER;
    if (way != WAY_DIRECT)
        return;
    executor_aim_proven(a, &w->remote);
    a->fault.lost = a->fault.guarded = false;
    health_restart(&w->health);
    w->health.rtt_us = 0;
    w->next_ping_us = NEVER;
    /* Where many sockets were heard first there was no room for the one that counts: it gets its proof now,
     * before the data. */
    if (addr_eq(&a->owed.to, &w->remote) && executor_spend(a, &w->remote))
        executor_send_punch(x, a, way, PACKET_PONG, a->owed.echo, w->sock, &w->remote, out);
}

void executor_on_punch(struct executor *x, const struct input *in, struct outputs *out)
{
    struct packet_head head;
    struct punch p;
    struct attempt *a = NULL;

    if (packet_head(in->dgram.data, in->dgram.len, &head))
        a = executor_find_path(x, &head.path);
    if (!a || !executor_expects(x, a, in)) { /* unknown session: silence */
        x->n.refused_datagrams++;
        return;
    }
    enum way way = executor_from_relay(a, &in->dgram.src) ? WAY_RELAY : WAY_DIRECT;
    struct way_state *w = &a->way[way];
    if (way == WAY_DIRECT && a->technique == TECHNIQUE_NONE) { /* and no address is disclosed */
        x->n.refused_datagrams++;
        return;
    }
    if (!punch_open(in->dgram.data, in->dgram.len, a->punch_key[!a->side], &p)) {
        x->n.forged++;
        return;
    }
    if (!replay_accept(&a->punch_replay, p.counter)) {
        x->n.replays++;
        return;
    }
    if (way == WAY_DIRECT && !executor_may_answer(x, a, &in->dgram.src)) {
        x->n.strangers++; /* it has the keys, but lies about its source, or has a NAT of many ips */
        return;
    }
    x->udp_silent = false;
    if (way == WAY_DIRECT &&
        (executor_foresee_stray(x, a, in) || executor_scan_one_way(x, a, in, &p, out)))
        return;
    w->punches_received++;
    w->last_heard_us = x->now_us;
    if (p.flags & PUNCH_HAS_NOISE)
        on_noise(a, p.noise);
    a->peer_aside = a->peer_aside || (p.flags & PUNCH_ASIDE);
    bool again = w->heard && !w->confirmed && executor_pool_has(x, a, in->dgram.sock);
    if (way == WAY_DIRECT && (again || (!w->heard && guesses(a))))
        executor_guess_met(x, a, in->dgram.sock, out);
    if (way == WAY_DIRECT && !w->confirmed && (!w->heard || is_new(a, &in->dgram.src)))
        ask_there(x, a, &in->dgram.src, out);
    if (!w->heard)
        on_first(x, a, way, &in->dgram.src, out);
    else if (again) /* a later round's */
        w->remote = in->dgram.src;
    /* Of the pool one socket is kept, under another number; what another one receives now is too late. */
    uint16_t sock = w->sock;
    const struct addr *proven =
        p.type == PACKET_PONG ? challenged(a, p.echo, &in->dgram.src) : NULL;
    if (proven && way == WAY_DIRECT && a->fault.guarded && addr_eq(proven, &w->remote) &&
        addr_eq(&p.seen, &a->own_seen)) /* the way that was left, as it was */
        proven = NULL;
    bool answers_ours = proven != NULL;
    if (answers_ours || (way == WAY_RELAY && (p.flags & PUNCH_CONFIRMED))) {
        if (!w->confirmed)
            confirm(x, a, way, proven ? proven : &in->dgram.src, out);
        w->peer_confirmed = w->peer_confirmed || (p.flags & PUNCH_CONFIRMED);
        if (answers_ours && way == WAY_DIRECT)
            a->own_seen = p.seen;
    }
    if (p.type == PACKET_PUNCH && way == WAY_DIRECT && !w->confirmed)
        executor_half_punched(x, a, p.echo, out);
    if (p.type == PACKET_PUNCH) {
        bool counts = way == WAY_DIRECT && !(w->confirmed && addr_eq(&w->remote, &in->dgram.src));
        if (!counts || executor_spend(a, &in->dgram.src)) {
            executor_send_punch(x, a, way, PACKET_PONG, p.echo, sock, &in->dgram.src, out);
        } else {
            a->owed.to = in->dgram.src;
            a->owed.echo = p.echo;
        }
    }
    executor_settle(x, a, out);
}
