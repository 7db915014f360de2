/* relay_bed.c - see relay_bed.h. */
#include "tests/lib/relay_bed.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const op_name[] = {"",     "BIND", "CHALLENGE", "PROVE", "BOUND",
                                      "KEEP", "KEPT", "UNKNOWN",   "AGAIN"};
static const char *const status_name[] = {"waiting", "ready", "bad-ticket", "expired", "full"};

void relay_bed_open(struct relay_bed *b, uint32_t sessions_max, uint64_t seed)
{
    cr_assert_geq(sodium_init(), 0);
    memset(b, 0, sizeof *b);
    rng_seed(&b->rng, seed);
    b->wall_ms = BED_WALL_MS * INT64_C(1000);
    b->conf.sessions_max = sessions_max;
    b->conf.public_addr = addr_v4(192, 0, 2, 1, 3480);
    b->conf.n_coordinators = 1;
    memset(b->conf.cert, 0xce, sizeof b->conf.cert);
    rng_bytes(&b->rng, b->conf.secret, sizeof b->conf.secret);
    rng_bytes(&b->rng, b->coordinator_secret, sizeof b->coordinator_secret);
    crypto_scalarmult_base(b->public_key, b->conf.secret);
    crypto_scalarmult_base(b->conf.coordinators[0], b->coordinator_secret);
    b->memory = malloc(relay_bytes(&b->conf));
    relay_bed_restart(b, seed);
}

void relay_bed_restart(struct relay_bed *b, uint64_t seed)
{
    uint8_t key[32] = {1};

    memcpy(key + 1, &seed, sizeof seed);
    memset(b->memory, 0xa5, relay_bytes(&b->conf)); /* init has to clear what it needs */
    cr_assert(relay_init(&b->r, &b->conf, key, b->memory));
}

void relay_bed_close(struct relay_bed *b) { free(b->memory); }

struct addr relay_bed_peer(char name) { return addr_v4(192, 0, 2, (uint8_t)name, 4000); }

struct sid relay_bed_sid(uint8_t n)
{
    return (struct sid){
        {n, 0x55}
    };
}

struct ticket relay_bed_ticket(const struct relay_bed *b, uint8_t session, uint8_t side)
{
    return (struct ticket){.session = relay_bed_sid(session),
                           .side = side,
                           .expires_ms = b->wall_ms + b->now_ms + 600000,
                           .bytes_max = UINT64_MAX,
                           .bytes_per_s = UINT64_MAX};
}

void relay_bed_seal(struct relay_bed *b, const struct ticket *t, uint8_t out[static TICKET_BYTES])
{
    relay_bed_seal_of(b, t, 0, out);
}

void relay_bed_seal_of(struct relay_bed *b, const struct ticket *t, unsigned age,
                       uint8_t out[static TICKET_BYTES])
{
    uint8_t secret[32], key[32];

    ticket_secret(b->conf.secret, ticket_period(b->wall_ms + b->now_ms, TICKET_PERIOD_MS) - age,
                  secret);
    crypto_scalarmult_base(key, secret);
    cr_assert(ticket_seal(t, key, b->coordinator_secret, &b->rng, out));
}

/* ---- transcript ------------------------------------------------------------------------------- */

static void describe(const struct output *o, char *line, size_t cap)
{
    struct relay_control c;
    char addr[ADDR_TEXT_MAX];

    if (o->kind == OUT_MSG) {
        msg_format(&o->msg, line, cap);
        return;
    }
    if (o->kind == OUT_NOTE) {
        snprintf(line, cap, "%02x %s -> %s: %s", o->note.session.b[0], o->note.from, o->note.to,
                 o->note.why);
        return;
    }
    cr_assert_eq(o->kind, OUT_DATAGRAM);
    struct addr usual = relay_bed_peer((char)o->dgram.dst.ip[3]);
    if (addr_eq(&usual, &o->dgram.dst))
        snprintf(addr, sizeof addr, "%c", o->dgram.dst.ip[3]);
    else
        addr_format(&o->dgram.dst, addr, sizeof addr);
    if (!relay_parse(o->dgram.data, o->dgram.len, &c))
        snprintf(line, cap, "%s: %02x %u bytes", addr, o->dgram.data[0], o->dgram.len);
    else if (c.op == RELAY_BOUND)
        snprintf(line, cap, "%s: BOUND %s %u", addr, status_name[c.status], c.nonce[0]);
    else if (c.op == RELAY_KEPT)
        snprintf(line, cap, "%s: KEPT %s", addr, status_name[c.status]);
    else
        snprintf(line, cap, "%s: %s", addr, op_name[c.op]);
}

static void step(struct relay_bed *b, struct input in)
{
    size_t len = strlen(b->log);
    char line[1024];

    in.now_us = b->now_ms * 1000;
    in.wall_ms = b->wall_ms + b->now_ms;
    relay_step(&b->r, &in, &b->out);
    for (size_t i = 0; i < b->out.n; i++) {
        const struct output *o = &b->out.v[i];
        if (o->kind == OUT_MSG && o->msg.type == MSG_relay_hello && !b->show_hello)
            continue;
        describe(o, line, sizeof line);
        if (len + sizeof line < sizeof b->log)
            len += (size_t)snprintf(b->log + len, sizeof b->log - len, "[%6" PRId64 "] %s\n",
                                    b->now_ms, line);
    }
}

void relay_bed_expect_at(struct relay_bed *b, const char *file, int line, const char *text)
{
    cr_assert(strcmp(b->log, text) == 0, "%s:%d: expected\n%sgot\n%s", file, line, text, b->log);
    relay_bed_forget(b);
}

void relay_bed_forget(struct relay_bed *b) { b->log[0] = '\0'; }

/* ---- inputs ------------------------------------------------------------------------------------- */

void relay_bed_datagram(struct relay_bed *b, char from, const uint8_t *data, size_t len)
{
    struct input in = {.kind = IN_DATAGRAM};

    in.dgram.data = data;
    in.dgram.len = len;
    in.dgram.src = relay_bed_peer(from);
    step(b, in);
}

void relay_bed_control(struct relay_bed *b, char from, const struct relay_control *c)
{
    uint8_t wire[RELAY_CONTROL_MAX];
    size_t len = relay_encode(c, wire);

    relay_bed_datagram(b, from, wire, len);
}

void relay_bed_tick(struct relay_bed *b)
{
    int64_t due_ms = (relay_deadline(&b->r) + 999) / 1000;

    b->now_ms = due_ms > b->now_ms ? due_ms : b->now_ms;
    step(b, (struct input){.kind = IN_TICK});
}

void relay_bed_run(struct relay_bed *b, int64_t to_ms)
{
    while (relay_deadline(&b->r) <= to_ms * 1000)
        relay_bed_tick(b);
    b->now_ms = to_ms;
}

void relay_bed_bind(struct relay_bed *b, char from, const struct ticket *t, uint8_t nonce)
{
    struct relay_control c = {.op = RELAY_BIND, .nonce = {nonce}}, answer;
    size_t len = strlen(b->log);

    relay_bed_seal(b, t, c.ticket);
    relay_bed_control(b, from, &c);
    cr_assert(b->out.n == 1 &&
              relay_parse(b->out.v[0].dgram.data, b->out.v[0].dgram.len, &answer) &&
              answer.op == RELAY_CHALLENGE);
    b->log[len] = '\0';
    c.op = RELAY_PROVE;
    memcpy(c.cookie, answer.cookie, sizeof c.cookie);
    relay_bed_control(b, from, &c);
}

void relay_bed_keep(struct relay_bed *b, char from, uint8_t session, uint8_t side)
{
    struct sid sid = relay_bed_sid(session);
    struct relay_control c = {.op = RELAY_KEEP, .path = path_id(&sid, side)};

    relay_bed_control(b, from, &c);
}

void relay_bed_data(struct relay_bed *b, char from, uint8_t session, uint8_t to_side, size_t len)
{
    uint8_t wire[DATAGRAM_MAX] = {PACKET_DATA};
    struct sid sid = relay_bed_sid(session);
    struct path_id to = path_id(&sid, to_side);

    memcpy(wire + 1, to.b, sizeof to.b);
    relay_bed_datagram(b, from, wire, len);
}

void relay_bed_side(struct relay_bed *b, char peer, uint8_t session, uint8_t side, uint8_t nonce)
{
    struct ticket t = relay_bed_ticket(b, session, side);

    relay_bed_bind(b, peer, &t, nonce);
}

void relay_bed_both(struct relay_bed *b)
{
    relay_bed_side(b, 'A', 7, 0, 1);
    relay_bed_side(b, 'B', 7, 1, 2);
    relay_bed_forget(b);
}

size_t relay_bed_marks(const struct relay_bed *b)
{
    const struct marks *k = &b->conf.marks;
    size_t n = 0;

    for (size_t i = 0; i < marks_bytes(k->bits) / sizeof *k->cells; i++)
        n += k->cells[i] != 0;
    return n;
}
