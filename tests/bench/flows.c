/* flows.c - see flows.h. */
#include "tests/bench/flows.h"

#include "lib/bytes.h"
#include "lib/log.h"
#include "lib/relaywire.h"
#include "lib/service.h"
#include "lib/stun.h"

#include <string.h>

enum { CHUNK = 64, WAIT_MS = 20, TRIES = 250, STAMP_AT = 9, CHANNEL_HEAD = 4 };

static struct addr at_port(const struct addr *ip, uint16_t port)
{
    struct addr a = *ip;

    a.port = port;
    return a;
}

static struct addr left(unsigned i) { return at_port(&room_left, (uint16_t)(FLOW_PORT + i)); }
static struct addr right(unsigned i) { return at_port(&room_right, (uint16_t)(FLOW_PORT + i)); }

/* ---- asking ---- */

/* A question of side s (2 x session + side) and what to do with its answer: true when that was it. */
struct questions {
    void (*ask)(void *arg, unsigned s, struct flow *f);
    bool (*take)(void *arg, unsigned s, const struct seen *answer);
    void *arg;
    struct addr server;
    const char *name;
};

static void say(const struct questions *q, unsigned s)
{
    struct flow f = {.src = s % 2 ? right(s / 2) : left(s / 2), .dst = q->server};

    q->ask(q->arg, s, &f);
    wire_say(&f);
}

/* Ask for sides from, from + step, ... below end, CHUNK of them at a time, again until all have an answer. */
static void ask_chunk(const struct questions *q, unsigned from, unsigned end, unsigned step)
{
    bool done[CHUNK * 2] = {0};
    unsigned missing = (end - from + step - 1) / step;
    struct seen answer;

    for (unsigned try = 0; missing > 0; try++) {
        if (try == TRIES)
            die("event=no_answer from=%s", q->name);
        for (unsigned s = from; s < end; s += step)
            if (!done[s - from])
                say(q, s);
        wire_flush();
        while (missing > 0 && wire_wait(&answer, WAIT_MS)) {
            unsigned s =
                2u * (answer.dst.port - FLOW_PORT) + (answer.dst.ip[2] == room_right.ip[2]);
            if (s < from || s >= end || done[s - from] || !q->take(q->arg, s, &answer))
                continue;
            done[s - from] = true;
            missing--;
        }
    }
}

static void ask_all(const struct questions *q, unsigned sides, unsigned step)
{
    for (unsigned from = 0; from < sides; from += CHUNK * step)
        ask_chunk(q, from, from + CHUNK * step < sides ? from + CHUNK * step : sides, step);
}

/* ---- natterjack's relay ---- */

static struct {
    const struct servers_keys *keys;
    struct rng rng;
    unsigned n;
    uint8_t ticket[2 * SESSIONS_MAX][TICKET_BYTES];
    uint8_t cookie[2 * SESSIONS_MAX][RELAY_COOKIE];
} nj;

static struct sid sid_of(unsigned session)
{
    struct sid sid = {.b = {1}};

    put_u64(sid.b + 8, session);
    return sid;
}

static void ask_control(unsigned s, uint8_t op, struct flow *f)
{
    struct relay_control c = {.op = op};
    struct sid sid = sid_of(s / 2);

    put_u64(c.nonce, s);
    c.path = path_id(&sid, s % 2);
    memcpy(c.cookie, nj.cookie[s], sizeof c.cookie);
    memcpy(c.ticket, nj.ticket[s], sizeof c.ticket);
    f->head_len = (uint8_t)relay_encode(&c, f->head);
}

static void ask_bind(void *arg, unsigned s, struct flow *f)
{
    struct ticket t = {.session = sid_of(s / 2),
                       .side = s % 2,
                       .expires_ms = service_wall_ms() + 3600000,
                       .bytes_max = UINT64_MAX,
                       .bytes_per_s = UINT64_MAX};

    (void)arg;
    ticket_seal(&t, nj.keys->relay_public, nj.keys->coordinator_secret, &nj.rng, nj.ticket[s]);
    ask_control(s, RELAY_BIND, f);
}

static bool take_challenge(void *arg, unsigned s, const struct seen *answer)
{
    struct relay_control c;

    (void)arg;
    if (!relay_parse(answer->payload, answer->len, &c) || c.op != RELAY_CHALLENGE)
        return false;
    memcpy(nj.cookie[s], c.cookie, sizeof c.cookie);
    return true;
}

static void ask_prove(void *arg, unsigned s, struct flow *f)
{
    (void)arg;
    ask_control(s, RELAY_PROVE, f);
}

static bool take_bound(void *arg, unsigned s, const struct seen *answer)
{
    struct relay_control c;

    (void)arg, (void)s;
    return relay_parse(answer->payload, answer->len, &c) && c.op == RELAY_BOUND &&
           c.status <= RELAY_READY;
}

static void ask_keep(void *arg, unsigned s, struct flow *f)
{
    (void)arg;
    ask_control(s, RELAY_KEEP, f);
}

static bool take_kept(void *arg, unsigned s, const struct seen *answer)
{
    struct relay_control c;

    (void)arg, (void)s;
    return relay_parse(answer->payload, answer->len, &c) && c.op == RELAY_KEPT;
}

static void keep_relay(struct target *t)
{
    struct questions q = {ask_keep, take_kept, NULL, at_port(&room_server, PORT_RELAY), t->name};

    ask_all(&q, 2 * nj.n, 1);
}

static struct flow data_flow(unsigned session, unsigned to_side)
{
    struct sid sid = sid_of(session);
    struct path_id to = path_id(&sid, to_side);
    struct flow f = {.src = to_side ? left(session) : right(session),
                     .dst = at_port(&room_server, PORT_RELAY),
                     .head = {PACKET_DATA},
                     .head_len = 1 + sizeof to.b};

    memcpy(f.head + 1, to.b, sizeof to.b);
    return f;
}

void flows_relay(struct target *t, const struct servers_keys *keys, unsigned n)
{
    struct questions bind = {ask_bind, take_challenge, NULL, at_port(&room_server, PORT_RELAY),
                             t->name};
    struct questions prove = {ask_prove, take_bound, NULL, bind.server, t->name};
    uint8_t key[32];

    service_random_key(key);
    rng_init(&nj.rng, key);
    nj.keys = keys;
    nj.n = n;
    ask_all(&bind, 2, 1); /* it is up */
    for (unsigned from = 0; from < 2 * n; from += CHUNK) {
        unsigned end = from + CHUNK < 2 * n ? from + CHUNK : 2 * n;
        ask_chunk(&bind, from, end, 1);
        ask_chunk(&prove, from, end, 1);
    }
    for (unsigned i = 0; i < n; i++) {
        t->up.flow[i] = data_flow(i, 1);
        t->down.flow[i] = data_flow(i, 0);
    }
    t->up.stamp_sent = t->up.stamp_seen = t->down.stamp_sent = t->down.stamp_seen = STAMP_AT;
    t->keep = keep_relay;
}

/* ---- coturn, RFC 8656 ---- */

enum {
    TURN_ALLOCATE = 0x0003,
    TURN_CHANNEL_BIND = 0x0009,
    TURN_OK = 0x0100,
    TURN_CHANNEL_NUMBER = 0x000C,
    TURN_LIFETIME = 0x000D,
    TURN_PEER = 0x0012,
    TURN_RELAYED = 0x0016,
    TURN_TRANSPORT = 0x0019,
    TURN_CHANNEL = 0x4000,
};

static void turn_begin(struct flow *f, uint16_t type, unsigned s)
{
    memset(f->head, 0, STUN_HEADER);
    put_u16(f->head, type);
    put_u16(f->head + 4, STUN_MAGIC >> 16);
    put_u16(f->head + 6, STUN_MAGIC & 0xffff);
    put_u64(f->head + 8, (uint64_t)type << 32 | s);
    f->head_len = STUN_HEADER;
}

static uint8_t *turn_add(struct flow *f, uint16_t type, uint16_t len)
{
    uint8_t *p = f->head + f->head_len;

    put_u16(p, type);
    put_u16(p + 2, len);
    memset(p + 4, 0, len);
    f->head_len = (uint8_t)(f->head_len + 4 + len);
    put_u16(f->head + 2, (uint16_t)(f->head_len - STUN_HEADER));
    return p + 4;
}

static void turn_xor(uint8_t *p, size_t n)
{
    static const uint8_t magic[4] = {0x21, 0x12, 0xa4, 0x42};

    for (size_t i = 0; i < n; i++)
        p[i] ^= magic[i];
}

static void ask_allocate(void *arg, unsigned s, struct flow *f)
{
    (void)arg;
    turn_begin(f, TURN_ALLOCATE, s);
    turn_add(f, TURN_TRANSPORT, 4)[0] = 17;
    put_u16(turn_add(f, TURN_LIFETIME, 4) + 2, 3600);
}

static bool take_allocated(void *arg, unsigned s, const struct seen *answer)
{
    struct target *t = arg;
    const uint8_t *p = answer->payload;

    if (answer->len < STUN_HEADER || answer->len > WIRE_SEEN ||
        get_u16(p) != (TURN_ALLOCATE | TURN_OK))
        return false;
    for (size_t at = STUN_HEADER; at + 12 <= answer->len;
         at += 4 + ((get_u16(p + at + 2) + 3u) & ~3u))
        if (get_u16(p + at) == TURN_RELAYED) {
            uint8_t ip[4], port[2];
            memcpy(port, p + at + 6, sizeof port), memcpy(ip, p + at + 8, sizeof ip);
            turn_xor(port, sizeof port), turn_xor(ip, sizeof ip);
            t->down.flow[s / 2] = (struct flow){
                .src = right(s / 2), .dst = addr_v4(ip[0], ip[1], ip[2], ip[3], get_u16(port))};
            return true;
        }
    return false;
}

static void ask_channel(void *arg, unsigned s, struct flow *f)
{
    struct addr peer = right(s / 2);

    (void)arg;
    turn_begin(f, TURN_CHANNEL_BIND, s);
    put_u16(turn_add(f, TURN_CHANNEL_NUMBER, 4), TURN_CHANNEL);
    uint8_t *p = turn_add(f, TURN_PEER, 8);
    p[1] = 1;
    put_u16(p + 2, peer.port);
    memcpy(p + 4, peer.ip, 4);
    turn_xor(p + 2, 2);
    turn_xor(p + 4, 4);
}

static bool take_channel(void *arg, unsigned s, const struct seen *answer)
{
    (void)arg, (void)s;
    return answer->len >= STUN_HEADER && get_u16(answer->payload) == (TURN_CHANNEL_BIND | TURN_OK);
}

/* ChannelData: channel, length, payload. */
static void set_channel_size(struct target *t, size_t size)
{
    for (unsigned i = 0; i < SESSIONS_MAX; i++)
        put_u16(t->up.flow[i].head + 2, (uint16_t)size);
}

void flows_coturn(struct target *t, unsigned n)
{
    struct addr server = at_port(&room_server, PORT_COTURN);
    struct questions allocate = {ask_allocate, take_allocated, t, server, t->name};
    struct questions channel = {ask_channel, take_channel, t, server, t->name};

    ask_all(&allocate, 1, 2); /* it is up */
    for (unsigned from = 0; from < 2 * n; from += CHUNK) {
        unsigned end = from + CHUNK < 2 * n ? from + CHUNK : 2 * n;
        ask_chunk(&allocate, from, end, 2);
        ask_chunk(&channel, from, end, 2);
    }
    for (unsigned i = 0; i < n; i++) {
        t->up.flow[i] = (struct flow){.src = left(i), .dst = server, .head_len = CHANNEL_HEAD};
        put_u16(t->up.flow[i].head, TURN_CHANNEL);
    }
    t->up.extra = CHANNEL_HEAD;
    t->up.stamp_sent = t->down.stamp_seen = CHANNEL_HEAD + STAMP_AT;
    t->up.stamp_seen = t->down.stamp_sent = STAMP_AT;
    t->set_size = set_channel_size;
}

/* ---- bare loops, STUN ---- */

static struct flow bare_flow(const struct addr *src, const struct addr *dst, uint16_t port)
{
    struct flow f = {.src = *src, .dst = at_port(&room_server, port), .head_len = 7};

    memcpy(f.head + 1, dst->ip, 4);
    put_u16(f.head + 5, dst->port);
    return f;
}

void flows_bare(struct target *t, enum bare_kind kind, unsigned n)
{
    uint16_t port = (uint16_t)(PORT_BARE + kind);

    for (unsigned i = 0; i < n; i++) {
        struct addr a = left(i), b = right(i);
        t->up.flow[i] = bare_flow(&a, &b, port);
        t->down.flow[i] = bare_flow(&b, &a, port);
    }
    t->up.stamp_sent = t->up.stamp_seen = t->down.stamp_sent = t->down.stamp_seen = STAMP_AT;
}

void flows_forwarded(struct target *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        t->up.flow[i] = (struct flow){.src = left(i), .dst = right(i)};
        t->down.flow[i] = (struct flow){.src = right(i), .dst = left(i)};
    }
    t->up.stamp_sent = t->up.stamp_seen = t->down.stamp_sent = t->down.stamp_seen = STAMP_AT;
}

void flows_stun(struct target *t, uint16_t port, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        t->up.flow[i] = (struct flow){.src = left(i), .dst = at_port(&room_server, port)};
        turn_begin(&t->up.flow[i], STUN_BINDING_REQUEST, 0);
    }
    t->up.stamp_sent = t->up.stamp_seen = 8; /* in the transaction id */
}

/* ---- strangers ---- */

static struct flow stranger(unsigned i, uint16_t port)
{
    return (struct flow){.src = at_port(&room_left, (uint16_t)(FLOOD_PORT + i)),
                         .dst = at_port(&room_server, port)};
}

void flows_strangers(struct way *w, uint16_t port)
{
    for (unsigned i = 0; i < FLOOD_FLOWS; i++) {
        struct flow *f = &w->flow[i];
        *f = stranger(i, port);
        f->head[0] = PACKET_DATA;
        put_u64(f->head + 1, UINT64_C(0x9e3779b97f4a7c15) * (i + 1));
        f->head_len = 1 + 8;
    }
    w->stamp_sent = STAMP_AT;
}

void flows_binds(struct way *w, uint16_t port)
{
    for (unsigned i = 0; i < FLOOD_FLOWS; i++) {
        w->flow[i] = stranger(i, port);
        w->flow[i].head[0] = PACKET_RELAY;
        w->flow[i].head[1] = RELAY_BIND;
        w->flow[i].head_len = 2;
    }
    w->stamp_sent = 2; /* in the nonce */
}
