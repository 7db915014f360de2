/*
 * main.c - a hostile relay: it has a relay's secret and says hello to a coordinator like one, takes sessions, and
 * passes on what they send, also more often, altered, and in another order; it keeps all of it.
 *
 *   hostile-relay BUS SECRET-FILE COORDINATOR-KEY-FILE CERT-FILE PLACE-FILE SAYS-IP BINDS-IP KEEPS-FILE
 *
 * At SAYS-IP it says that it is, at BINDS-IP it listens, both at port 3480.  It ends with who has started it.
 */
#include "lib/keys.h"
#include "lib/log.h"
#include "lib/relaywire.h"
#include "lib/rng.h"
#include "lib/service.h"

#include <sodium.h>
#include <stdio.h>
#include <sys/prctl.h>

enum {
    SESSIONS = 64,
    HELLO_US = 100000,
    HELD = 8,
    PORT = 3480,
    COPIES = 2,
    SESSIONS_MAX = 1000000
};

struct session {
    struct sid sid;
    struct addr side[2];
    uint8_t nonce[2][RELAY_NONCE];
};

static struct service svc; /* too large for the stack */
static struct outputs out;
static struct rng rng;
static struct session sessions[SESSIONS];
static size_t n_sessions;
static uint8_t secret[32], coordinator[1][32];
static FILE *kept;

/* Packets that wait to leave in another order. */
static struct held {
    struct addr to;
    size_t len;
    uint8_t data[DATAGRAM_MAX];
} held[HELD];
static size_t n_held;

static void send_to(const struct addr *to, const uint8_t *data, size_t len)
{
    if (out.n == OUTPUTS_MAX) {
        service_emit(&svc, &out);
        out.n = 0;
    }
    struct output *o = outputs_add(&out, OUT_DATAGRAM);
    o->dgram.sock = 0;
    o->dgram.ttl = 0;
    o->dgram.dst = *to;
    o->dgram.len = (uint16_t)len;
    memcpy(o->dgram.data, data, len);
}

static void say(const struct addr *to, const struct relay_control *c)
{
    uint8_t data[RELAY_CONTROL_MAX];

    send_to(to, data, relay_encode(c, data));
}

/* ---- sessions --------------------------------------------------------------------------------------------- */

static struct session *of_ticket(const struct ticket *t)
{
    for (size_t i = 0; i < n_sessions; i++)
        if (sid_eq(&sessions[i].sid, &t->session))
            return &sessions[i];
    struct session *s = &sessions[n_sessions++ % SESSIONS];
    n_sessions = n_sessions > SESSIONS ? SESSIONS : n_sessions;
    *s = (struct session){.sid = t->session};
    return s;
}

static void on_prove(const struct addr *from, const struct relay_control *in)
{
    struct ticket t;
    struct relay_control c = {.op = RELAY_BOUND};

    if (!ticket_open(in->ticket, sizeof in->ticket, (const uint8_t(*)[32])coordinator, 1, secret,
                     &t))
        return;
    struct session *s = of_ticket(&t);
    s->side[t.side] = *from;
    memcpy(s->nonce[t.side], in->nonce, sizeof in->nonce);
    bool ready = s->side[!t.side].len != 0;
    c.status = ready ? RELAY_READY : RELAY_WAITING;
    for (unsigned i = 0; i < 2; i++)
        if (s->side[i].len != 0) {
            memcpy(c.nonce, s->nonce[i], sizeof c.nonce);
            say(&s->side[i], &c);
        }
}

static bool is_ours(const struct path_id *path)
{
    for (size_t i = 0; i < 2 * n_sessions; i++) {
        struct path_id own = path_id(&sessions[i / 2].sid, i % 2);
        if (memcmp(&own, path, sizeof own) == 0)
            return true;
    }
    return false;
}

static void on_control(const struct addr *from, const uint8_t *data, size_t len)
{
    struct relay_control in, c;

    if (!relay_parse(data, len, &in))
        return;
    c = in;
    if (in.op == RELAY_BIND)
        c.op = RELAY_CHALLENGE; /* any cookie will do */
    else if (in.op == RELAY_KEEP)
        c.op = is_ours(&in.path) ? RELAY_KEPT : RELAY_UNKNOWN, c.status = RELAY_READY;
    if (in.op == RELAY_PROVE)
        on_prove(from, &in);
    else if (c.op != in.op)
        say(from, &c);
}

/* ---- what they send ---------------------------------------------------------------------------------------- */

/* Once more, and with another counter, payload and tag. */
static void send_changed(const struct addr *to, const uint8_t *data, size_t len)
{
    uint8_t other[DATAGRAM_MAX];

    for (int i = 0; i < COPIES; i++) {
        memcpy(other, data, len);
        send_to(to, other, len);
        other[rng_below(&rng, 8) + PACKET_HEADER - 8] ^= (uint8_t)(1 + rng_below(&rng, 255));
        send_to(to, other, len);
        rng_bytes(&rng, other + PACKET_HEADER, len - PACKET_HEADER);
        send_to(to, other, len);
        memcpy(other, data, len);
        other[len - 1 - rng_below(&rng, len - PACKET_HEADER)] ^= 1;
        send_to(to, other, len);
    }
}

static void pass_on(const struct addr *to, const uint8_t *data, size_t len)
{
    struct held *h = &held[n_held++];

    fwrite(data, 1, len, kept);
    fflush(kept);
    h->to = *to;
    h->len = len;
    memcpy(h->data, data, len);
    if (data[0] == PACKET_DATA && n_held < HELD)
        return;
    while (n_held > 0) {
        h = &held[--n_held];
        send_to(&h->to, h->data, h->len);
        send_changed(&h->to, h->data, h->len);
    }
}

static void on_packet(const uint8_t *data, size_t len)
{
    struct packet_head head;

    if (len > DATAGRAM_MAX || !packet_head(data, len, &head))
        return;
    for (size_t i = 0; i < n_sessions; i++)
        for (unsigned side = 0; side < 2; side++) {
            struct path_id path = path_id(&sessions[i].sid, side);
            if (memcmp(&path, &head.path, sizeof path) == 0 && sessions[i].side[side].len != 0)
                pass_on(&sessions[i].side[side], data, len);
        }
}

/* ---- the process ------------------------------------------------------------------------------------------- */

static struct msg_relay_hello hello;

static void greet(void)
{
    emit(&out, SERVICE_coordinator, MSG_relay_hello)->relay_hello = hello;
    for (size_t i = 0; i < n_sessions; i++) /* and what it has carried, it says, was all */
        emit(&out, SERVICE_coordinator, MSG_relay_usage)->relay_usage = (struct msg_relay_usage){
            .session = sessions[i].sid, .packets = UINT32_MAX, .bytes = UINT32_MAX, .ended = true};
}

static bool start(char **argv)
{
    struct addr at = {0};
    uint8_t certs[2][64], cert[64];

    bool ok = key_load(argv[2], secret, sizeof secret) &&
              key_load_public(argv[3], coordinator[0], sizeof coordinator[0]) &&
              key_load_public(argv[4], cert, sizeof cert) &&
              key_load_public(argv[5], certs, sizeof certs) &&
              addr_parse_ip(argv[6], PORT, &hello.addr) && addr_parse_ip(argv[7], PORT, &at) &&
              (kept = fopen(argv[8], "we")) != NULL;
    if (!ok)
        return false;
    crypto_scalarmult_base(hello.key.b, secret);
    hello.cert.len = sizeof cert;
    memcpy(hello.cert.b, cert, sizeof cert);
    hello.places.n = 1;
    hello.places.v[0].ip = at;
    hello.places.v[0].ip.port = 0;
    memcpy(hello.places.v[0].cert, certs[0], sizeof certs[0]);
    hello.sessions_max = SESSIONS_MAX; /* and none of them taken, ever */
    service_open(&svc, SERVICE_relay, argv[1]);
    return service_udp(&svc, &at) == 0;
}

int main(int argc, char **argv)
{
    uint8_t key[32];
    struct input in;
    int64_t next_us = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    log_init("hostile-relay");
    if (argc != 9 || !start(argv))
        die("event=bad_arguments why=\"%s\"", strerror(errno));
    service_random_key(key);
    rng_init(&rng, key);
    while (service_wait(&svc, next_us, &in)) {
        out.n = 0;
        if (in.now_us >= next_us) {
            greet();
            next_us = in.now_us + HELLO_US;
        }
        if (in.kind == IN_DATAGRAM && in.dgram.len > 0) {
            if (in.dgram.data[0] == PACKET_RELAY)
                on_control(&in.dgram.src, in.dgram.data, in.dgram.len);
            else
                on_packet(in.dgram.data, in.dgram.len);
        }
        service_emit(&svc, &out);
    }
    service_close(&svc);
    fclose(kept);
    return service_status(&svc);
}
