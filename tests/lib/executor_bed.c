/* executor_bed.c - see executor_bed.h. */
#include "tests/lib/executor_bed.h"
#include "lib/stun.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

struct executor executor_bed;
struct outputs executor_bed_out;
struct peer_id executor_bed_peer;
uint8_t executor_bed_peer_secret[32];
uint16_t executor_bed_sock;
const struct addr executor_bed_prober = {
    4, {203, 0, 113, 10},
     3478
};
const struct addr executor_bed_relay = {
    4, {203, 0, 113, 10},
     3480
};
const struct addr executor_bed_peer_addr = {
    4, {198, 51, 100, 2},
     4000
};

static const struct addr local = {
    4, {10, 0, 1, 2},
     40000
};
static const struct addr seen = {
    4, {198, 51, 100, 1},
     50000
};

enum { WALL_MS = 1700000 };

static struct prober_info prober;
static uint8_t prober_secret[64];
static char text[65536];
static size_t len;
static int64_t now_ms;
static uint8_t last_punch[PUNCH_BYTES]; /* that it sent, to whomever */

static int64_t wall_at(int64_t ms) { return WALL_MS * INT64_C(1000) + ms; }

static void append(const char *line)
{
    len += (size_t)snprintf(text + len, sizeof text - len, "[%5" PRId64 "] %s\n", now_ms, line);
}

static const char *datagram_name(const uint8_t *data)
{
    static const char *const control[] = {"?",     "bind", "challenge", "prove",
                                          "bound", "keep", "kept",      "unknown"};

    switch (data[0]) {
    case PACKET_PUNCH: return "punch";
    case PACKET_PONG: return "pong";
    case PACKET_DATA: return "data";
    case PACKET_RELAY: return data[1] < 8 ? control[data[1]] : "?";
    default: return "probe";
    }
}

static void show(const struct output *o)
{
    static const char *const events[] = {"enrolled", "attached", "profile", "refused",
                                         "opened",   "settled",  "path",    "data",
                                         "closed",   "reflex",   "moved",   "invited"};
    char line[1024], where[ADDR_TEXT_MAX];

    switch (o->kind) {
    case OUT_MSG: msg_format(&o->msg, line, sizeof line); break;
    case OUT_DATAGRAM:
        snprintf(line, sizeof line, "%u > %s %s", o->dgram.sock,
                 addr_format(&o->dgram.dst, where, sizeof where), datagram_name(o->dgram.data));
        break;
    case OUT_NOTE:
        snprintf(line, sizeof line, "%s -> %s: %s", o->note.from, o->note.to, o->note.why);
        break;
    case OUT_APP: snprintf(line, sizeof line, "app: %s", events[o->app.event]); break;
    case OUT_SOCKET:
        snprintf(line, sizeof line, "socket %s %u %u",
                 o->socket.op == SOCKET_OPEN    ? "open"
                 : o->socket.op == SOCKET_CLOSE ? "close"
                 : o->socket.op == SOCKET_MOVE  ? "move"
                                                : "ask",
                 o->socket.sock, o->socket.to);
        break;
    case OUT_STORE: snprintf(line, sizeof line, "store"); break;
    }
    append(line);
}

static void show_all(void)
{
    for (size_t i = 0; i < executor_bed_out.n; i++) {
        const struct output *o = &executor_bed_out.v[i];
        show(o);
        if (o->kind == OUT_DATAGRAM && o->dgram.data[0] == PACKET_PUNCH)
            memcpy(last_punch, o->dgram.data, sizeof last_punch);
    }
}

static void step(int64_t ms, struct input *in)
{
    now_ms = ms;
    in->now_us = ms * 1000;
    in->wall_ms = wall_at(ms);
    executor_step(&executor_bed, in, &executor_bed_out);
    show_all();
}

void executor_bed_forget(void)
{
    len = 0;
    text[0] = '\0';
}

void executor_bed_expect(const char *expected)
{
    cr_assert_str_eq(text, expected);
    executor_bed_forget();
}

void executor_bed_link(int64_t ms, bool up, bool enrolling)
{
    struct input in = {
        .kind = IN_LINK, .link = {up, enrolling}
    };

    step(ms, &in);
}

void executor_bed_msg(int64_t ms, const struct msg *m)
{
    struct input in = {.kind = IN_MSG};

    in.msg = m;
    in.from = (struct sender){.service = SERVICE_coordinator, .enrolling = m->type == MSG_enrolled};
    step(ms, &in);
}

void executor_bed_datagram(int64_t ms, const struct addr *from, const void *data, size_t n)
{
    struct input in = {.kind = IN_DATAGRAM};

    in.dgram.data = data;
    in.dgram.len = n;
    in.dgram.src = *from;
    in.dgram.sock = executor_bed_sock;
    step(ms, &in);
}

static void tick_at(int64_t us)
{
    struct input in = {.kind = IN_TICK, .now_us = us, .wall_ms = wall_at(us / 1000)};

    now_ms = us / 1000;
    executor_step(&executor_bed, &in, &executor_bed_out);
    show_all();
}

void executor_bed_tick(void)
{
    cr_assert_neq(executor_deadline(&executor_bed), NEVER);
    int64_t due_us = executor_deadline(&executor_bed);
    tick_at(due_us < executor_bed.now_us ? executor_bed.now_us : due_us);
}

void executor_bed_run_to(int64_t ms)
{
    while (executor_deadline(&executor_bed) <= ms * 1000)
        executor_bed_tick();
}

void executor_bed_connect(int64_t ms, const char *target, enum policy policy, int64_t timeout_ms)
{
    struct connect_args args = {
        .policy = (uint16_t)policy, .mode = MODE_MANAGED, .deadline_us = (ms + timeout_ms) * 1000};
    struct input in = {.kind = IN_APP};

    msg_text(args.target, sizeof args.target, target);
    in.app.op = APP_CONNECT;
    in.app.nonce = 7;
    in.app.args = &args;
    in.app.len = sizeof args;
    step(ms, &in);
}

void executor_bed_app(int64_t ms, enum app_op op, uint32_t path, const void *data, size_t n)
{
    struct input in = {.kind = IN_APP};

    in.app.op = op;
    in.app.path = path;
    in.app.args = data;
    in.app.len = n;
    step(ms, &in);
}

/* ---- the parts that others play ------------------------------------------------------------------------ */

void executor_bed_open(void)
{
    uint8_t seed[32] = {1}, authority[64], key[32] = {9};
    struct executor_conf conf = {
        .accept = ACCEPT_ANYONE, .modes = 1u << MODE_MANAGED, .local = local, .name = "alice"};

    conf.fence = fence_of(&executor_bed_prober, 1);
    conf.homes[0] = executor_bed_prober;
    conf.homes[1] = executor_bed_relay;
    conf.homes[2] = executor_bed_relay; /* another one beside it */
    conf.homes[2].ip[3]++;
    conf.n_homes = 3;

    cr_assert_geq(sodium_init(), 0);
    crypto_sign_seed_keypair(conf.authority, authority, seed);
    seed[0] = 2;
    crypto_sign_seed_keypair(prober.key, prober_secret, seed);
    cert_sign('p', prober.key, authority, prober.cert);
    prober.n_addrs = 1;
    prober.addrs[0] = executor_bed_prober;
    memset(conf.secret, 3, sizeof conf.secret);
    crypto_scalarmult_base(conf.id.b, conf.secret);
    memset(executor_bed_peer_secret, 4, sizeof executor_bed_peer_secret);
    crypto_scalarmult_base(executor_bed_peer.b, executor_bed_peer_secret);
    executor_init(&executor_bed, &conf, key);
    now_ms = 0;
    executor_bed_sock = 0;
    executor_bed_forget();
}

struct msg_token executor_bed_token(const struct peer_id *who, const struct addr *where,
                                    int64_t wall_ms)
{
    struct token t = {.addr = *where, .peer = *who, .time_ms = wall_ms};
    struct msg_token raw;

    token_sign(&t, prober_secret, &raw);
    return raw;
}

struct msg_token executor_bed_mapped(const struct peer_id *who, const struct addr *where,
                                     int64_t wall_ms)
{
    struct token t = {.addr = *where, .peer = *who, .time_ms = wall_ms, .mapped = true};
    struct msg_token raw;

    token_sign(&t, prober_secret, &raw);
    return raw;
}

int64_t executor_bed_wall(int64_t ms) { return wall_at(ms); }

/* Answer the probe that the last step sent: first with a cookie, then with the token. */
static void answer_probe(int64_t ms)
{
    struct stun request, answer = {.type = STUN_BINDING_RESPONSE, .mapped = seen};
    uint8_t data[STUN_MAX], any = 0;

    cr_assert_eq(executor_bed_out.v[executor_bed_out.n - 1].kind, OUT_DATAGRAM);
    const struct output *o = &executor_bed_out.v[executor_bed_out.n - 1];
    cr_assert(stun_parse(o->dgram.data, o->dgram.len, &request));
    memcpy(answer.txid, request.txid, sizeof answer.txid);
    for (size_t i = 0; i < sizeof request.cookie; i++)
        any |= request.cookie[i];
    if (any) {
        answer.token = executor_bed_token(&request.peer, &seen, wall_at(ms));
    } else {
        answer.has_cookie = true;
        memset(answer.cookie, 0xc0, sizeof answer.cookie);
    }
    executor_bed_datagram(ms, &executor_bed_prober, data, stun_encode(&answer, data));
}

void executor_bed_ready(void)
{
    struct msg m = {.type = MSG_attached};

    executor_bed_link(0, true, false);
    m.attached = (struct msg_attached){
        .refresh_s = 20, .probers = {1, {prober}}
    };
    executor_bed_msg(40, &m);
    answer_probe(60);
    answer_probe(80);
    memset(&m, 0, sizeof m);
    m.type = MSG_nat_profile;
    m.nat_profile = (struct msg_nat_profile){
        .serial = executor_bed.probe_serial,
        .reflexive = seen,
        .profile = {.mapping = NAT_EI, .allocation = ALLOC_RANDOM, .confidence = 90}
    };
    executor_bed_msg(100, &m);
    executor_bed_forget();
}

struct msg executor_bed_order(uint16_t side, enum technique technique, enum policy policy)
{
    struct msg m;

    memset(&m, 0, sizeof m);
    m.type = MSG_punch_coordinate;
    struct msg_punch_coordinate *c = &m.punch_coordinate;
    memset(c->session.b, 0x55, sizeof c->session.b);
    c->nonce = side == 0 ? 7 : 0;
    c->side = side;
    c->peer = executor_bed_peer;
    msg_text(c->name, sizeof c->name, "bob");
    c->policy = (uint16_t)policy;
    c->deadline_ms = 8000;
    if (technique != TECHNIQUE_RELAYED) {
        c->plan.v[c->plan.n++] =
            (struct step){.technique = (uint8_t)technique, .role = 2, .span_us = 3000000};
        c->own.v[c->own.n++] = executor_bed_token(&executor_bed.conf.id, &seen, wall_at(80));
        c->theirs.v[c->theirs.n++] =
            executor_bed_token(&executor_bed_peer, &executor_bed_peer_addr, wall_at(80));
    }
    if (policy != POLICY_DIRECT) {
        c->plan.v[c->plan.n++] = (struct step){.technique = TECHNIQUE_RELAYED, .role = 2};
        c->relay = executor_bed_relay;
        c->ticket.len = TICKET_BYTES;
    }
    msg_text(c->reason, sizeof c->reason,
             technique == TECHNIQUE_RELAYED ? "both-random" : "direct-synchronous");
    return m;
}

struct msg executor_bed_start(uint16_t side, enum technique technique, enum policy policy)
{
    executor_bed_ready();
    if (side == 0)
        executor_bed_connect(200, "bob", policy, 15000);
    executor_bed_forget();
    struct msg m = executor_bed_order(side, technique, policy);
    executor_bed_msg(240, &m);
    return m;
}

void executor_bed_punch(const struct msg *order, uint8_t type, uint64_t counter, uint64_t echo,
                        uint8_t flags, uint8_t out[static PUNCH_BYTES])
{
    const struct msg_punch_coordinate *c = &order->punch_coordinate;
    uint8_t keys[2][32];
    struct punch p = {.type = type, .counter = counter, .echo = echo, .flags = flags};
    struct path_id to = path_id(&c->session, c->side);

    p.technique = c->plan.v[0].technique;
    if (type == PACKET_PONG)
        p.seen = seen;
    cr_assert(
        punch_keys(executor_bed_peer_secret, &executor_bed.conf.id, &c->session, keys[0], keys[1]));
    struct punch asked;
    if (echo == EXECUTOR_BED_ECHO &&
        punch_open(last_punch, sizeof last_punch, keys[c->side], &asked))
        p.echo = asked.echo;
    punch_seal(&p, &to, keys[!c->side], out);
}

size_t executor_bed_count(uint8_t type, struct addr *to)
{
    size_t n = 0;

    for (size_t i = 0; i < executor_bed_out.n; i++) {
        const struct output *o = &executor_bed_out.v[i];
        if (o->kind != OUT_DATAGRAM || o->dgram.data[0] != type)
            continue;
        n++;
        if (to)
            *to = o->dgram.dst;
    }
    return n;
}
