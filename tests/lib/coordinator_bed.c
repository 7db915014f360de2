/* coordinator_bed.c - see coordinator_bed.h. */
#include "tests/lib/coordinator_bed.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { CONN_FIRST = 100 };

static void key_pair(uint8_t seed, uint8_t pk[32], uint8_t sk[64])
{
    uint8_t s[32] = {seed};

    crypto_sign_seed_keypair(pk, sk, s);
}

struct peer_id coordinator_bed_peer(unsigned i)
{
    return (struct peer_id){
        {(uint8_t)(i + 1), (uint8_t)((i + 1) >> 8), 1}
    };
}

uint32_t coordinator_bed_conn(unsigned i) { return CONN_FIRST + i; }

/* ---- the transcript ----------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void say(struct bed *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(b->text + b->len, sizeof b->text - b->len, fmt, ap);
    va_end(ap);
    if ((size_t)n < sizeof b->text - b->len)
        b->len += (size_t)n;
}

static void say_order(struct bed *b, const struct msg_punch_coordinate *m)
{
    say(b, " side=%u to=%s own=%u theirs=%u plan=", m->side, m->name, m->own.n, m->theirs.n);
    for (unsigned i = 0; i < m->plan.n; i++)
        say(b, "%s%s", i ? "," : "", technique_name[m->plan.v[i].technique]);
    say(b, " reason=%s relay=%s deadline=%" PRIu32 "%s", m->reason,
        m->relay.len && m->ticket.len ? "yes" : "no", m->deadline_ms, m->warm ? " warm" : "");
}

static void say_msg(struct bed *b, const struct output *o)
{
    const struct msg *m = &o->msg;

    if (o->to == SERVICE_executor)
        say(b, "p%" PRIu32 "%s: %s", o->to_conn - CONN_FIRST, o->enrolling ? "(enrol)" : "",
            msg_name[m->type]);
    else
        say(b, "%s: %s", service_name[o->to], msg_name[m->type]);
    switch (m->type) {
    case MSG_enrolled: say(b, " %s", m->enrolled.kind); break;
    case MSG_attached:
        say(b, " %s %s probers=%u", m->attached.kind, m->attached.verdict, m->attached.probers.n);
        break;
    case MSG_detached: say(b, " %s", m->detached.kind); break;
    case MSG_punch_refused:
        say(b, " %s %s", m->punch_refused.kind, m->punch_refused.verdict);
        break;
    case MSG_punch_cancel: say(b, " %s", m->punch_cancel.kind); break;
    case MSG_invite: say(b, " %s", m->invite.name); break;
    case MSG_punch_coordinate: say_order(b, &m->punch_coordinate); break;
    case MSG_reflex_report: say(b, " tokens=%u", m->reflex_report.tokens.n); break;
    default: break;
    }
    say(b, "\n");
}

static void record(struct bed *b, const struct output *o)
{
    static const char *const ops[] = {"put",         "get_peer",    "get_name",    "put_enrolled",
                                      "put_contact", "get_contact", "put_outcome", "get_history"};

    if (b->watch)
        b->watch(b->watch_arg, o);
    switch (o->kind) {
    case OUT_MSG:
        if (o->msg.type == MSG_punch_coordinate) {
            b->last = o->msg.punch_coordinate.session;
            b->order[o->msg.punch_coordinate.side] = o->msg;
        }
        say_msg(b, o);
        break;
    case OUT_NOTE:
        b->last = o->note.session;
        say(b, "%s -> %s: %s\n", o->note.from, o->note.to, o->note.why);
        break;
    case OUT_STORE:
        if (o->store.op == STORE_PUT_CONTACT || o->store.op == STORE_GET_HISTORY)
            break; /* with every pair of orders */
        if (o->store.op == STORE_PUT_OUTCOME) {
            if (b->store.learns)
                say(b, "store: %s %s\n", technique_name[o->store.outcome.technique],
                    o->store.outcome.hit ? "works" : "fails");
            break;
        }
        say(b, "store: %s %s%s\n", ops[o->store.op], o->store.record.name,
            o->store.op == STORE_PUT && !o->store.record.attached ? " away" : "");
        break;
    default: cr_assert_fail("a coordinator makes no output of kind %d", (int)o->kind);
    }
}

void coordinator_bed_forget(struct bed *b)
{
    b->len = 0;
    b->text[0] = '\0';
}

void coordinator_bed_expect(struct bed *b, const char *text, int line)
{
    cr_assert_str_eq(b->text, text, "line %d:\n%s\ninstead of:\n%s", line, b->text, text);
    coordinator_bed_forget(b);
}

/* ---- inputs ------------------------------------------------------------------------------------- */

void coordinator_bed_step(struct bed *b, const struct input *in)
{
    struct input stamped = *in, answers[16];
    size_t n = 0;

    stamped.now_us = b->now_us;
    stamped.wall_ms = BED_WALL_START_MS + b->now_us / 1000;
    coordinator_step(&b->core, &stamped, &b->out);
    for (size_t i = 0; i < b->out.n; i++) {
        record(b, &b->out.v[i]);
        if (b->out.v[i].kind == OUT_STORE) {
            cr_assert_lt(n, sizeof answers / sizeof answers[0]);
            answers[n++] = coordinator_bed_answer(b, &b->out.v[i]);
        }
    }
    for (size_t i = 0; i < n; i++)
        coordinator_bed_step(b, &answers[i]);
}

void coordinator_bed_from_conn(struct bed *b, unsigned i, uint32_t conn, const struct msg *m)
{
    struct input in = {.kind = IN_MSG};

    in.msg = m;
    in.from = (struct sender){.service = SERVICE_executor,
                              .peer = coordinator_bed_peer(i),
                              .conn = conn,
                              .enrolling = m->type == MSG_enrol,
                              .source = b->source};
    coordinator_bed_step(b, &in);
}

void coordinator_bed_from_peer(struct bed *b, unsigned i, const struct msg *m)
{
    coordinator_bed_from_conn(b, i, coordinator_bed_conn(i), m);
}

void coordinator_bed_from_suite(struct bed *b, enum role from, const struct msg *m)
{
    struct input in = {.kind = IN_MSG};

    in.msg = m;
    in.from.service = from;
    coordinator_bed_step(b, &in);
}

void coordinator_bed_prober_hello(struct bed *b)
{
    struct msg m = {.type = MSG_prober_hello};

    m.prober_hello.probers.n = 1;
    m.prober_hello.probers.v[0] = b->prober;
    coordinator_bed_from_suite(b, SERVICE_prober, &m);
}

void coordinator_bed_relay_hello(struct bed *b)
{
    struct msg m = {.type = MSG_relay_hello};

    m.relay_hello = b->relay;
    coordinator_bed_from_suite(b, SERVICE_relay, &m);
}

void coordinator_bed_hellos(struct bed *b)
{
    coordinator_bed_prober_hello(b);
    coordinator_bed_relay_hello(b);
}

void coordinator_bed_pass_alone(struct bed *b, int64_t ms)
{
    int64_t end_us = b->now_us + ms * 1000;

    while (coordinator_deadline(&b->core) <= end_us) {
        if (coordinator_deadline(&b->core) > b->now_us)
            b->now_us = coordinator_deadline(&b->core);
        coordinator_bed_step(b, &(struct input){.kind = IN_TICK});
    }
    b->now_us = end_us;
}

void coordinator_bed_pass(struct bed *b, int64_t ms)
{
    for (; ms > 0; ms -= 2000) {
        coordinator_bed_pass_alone(b, ms < 2000 ? ms : 2000);
        coordinator_bed_hellos(b);
    }
}

void coordinator_bed_attach_as(struct bed *b, unsigned i, uint32_t conn, const char *name,
                               uint64_t seq, uint16_t accept)
{
    struct msg m = {.type = MSG_attach};

    msg_text(m.attach.name, sizeof m.attach.name, name);
    m.attach.accept = accept;
    m.attach.modes = 1u << MODE_MANAGED;
    m.attach.seq = seq;
    coordinator_bed_from_conn(b, i, conn, &m);
}

void coordinator_bed_attach(struct bed *b, unsigned i, const char *name)
{
    coordinator_bed_attach_as(b, i, coordinator_bed_conn(i), name, 1, ACCEPT_ANYONE);
}

struct msg_token coordinator_bed_token(const struct bed *b, unsigned peer, uint16_t port,
                                       int64_t age_ms)
{
    struct msg_token raw;
    struct token t = {
        .addr = addr_v4(198, 51, 100, (uint8_t)(peer + 1), port),
        .peer = coordinator_bed_peer(peer),
        .time_ms = 5000000 + b->now_us / 1000 - age_ms, /* the prober's own clock */
    };

    token_sign(&t, b->prober_secret, &raw);
    return raw;
}

void coordinator_bed_report(struct bed *b, unsigned i, uint16_t port)
{
    struct msg m = {.type = MSG_reflex_report};

    m.reflex_report.tokens.n = 1;
    m.reflex_report.tokens.v[0] = coordinator_bed_token(b, i, port, 0);
    coordinator_bed_from_peer(b, i, &m);
}

void coordinator_bed_profile(struct bed *b, unsigned i, uint8_t mapping, uint8_t filtering,
                             uint8_t allocation)
{
    struct msg m = {.type = MSG_nat_profile};

    m.nat_profile.peer = coordinator_bed_peer(i);
    m.nat_profile.profile.mapping = mapping;
    m.nat_profile.profile.filtering = filtering;
    m.nat_profile.profile.allocation = allocation;
    coordinator_bed_from_suite(b, SERVICE_classifier, &m);
}

void coordinator_bed_ready(struct bed *b, unsigned i, const char *name)
{
    coordinator_bed_attach(b, i, name);
    coordinator_bed_report(b, i, 4000);
    coordinator_bed_profile(b, i, NAT_EI, NAT_APD, ALLOC_PRESERVE);
    coordinator_bed_forget(b);
}

struct msg coordinator_bed_request(const char *target, uint64_t nonce)
{
    struct msg m = {.type = MSG_punch_request};

    msg_text(m.punch_request.target, sizeof m.punch_request.target, target);
    m.punch_request.nonce = nonce;
    m.punch_request.timeout_ms = 15000;
    return m;
}

struct msg coordinator_bed_result(const struct bed *b, enum path_kind path,
                                  enum technique technique, const char *verdict)
{
    struct msg m = {.type = MSG_punch_result};

    m.punch_result.session = b->last;
    m.punch_result.path = (uint16_t)path;
    m.punch_result.technique = (uint16_t)technique;
    msg_text(m.punch_result.verdict, sizeof m.punch_result.verdict, verdict);
    return m;
}

void coordinator_bed_ask(struct bed *b, unsigned from, const char *target, uint64_t nonce)
{
    struct msg m = coordinator_bed_request(target, nonce);

    coordinator_bed_from_peer(b, from, &m);
}

void coordinator_bed_tell(struct bed *b, unsigned from, enum path_kind path, const char *verdict)
{
    struct msg m = coordinator_bed_result(b, path, TECHNIQUE_SYNCHRONOUS, verdict);

    coordinator_bed_from_peer(b, from, &m);
}

const struct coordinator_session *coordinator_bed_session(const struct bed *b)
{
    return coordinator_session(&b->core, &b->last);
}

void coordinator_bed_two(struct bed *b)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ready(b, 1, "bob");
}

void coordinator_bed_ordered(struct bed *b)
{
    coordinator_bed_two(b);
    coordinator_bed_ask(b, 0, "bob", 7);
    coordinator_bed_forget(b);
}

/* ---- life --------------------------------------------------------------------------------------- */

void coordinator_bed_init(struct bed *b, uint32_t peers_max, uint32_t sessions_max)
{
    coordinator_bed_init_alone(b, peers_max, sessions_max);
    coordinator_bed_hellos(b);
}

void coordinator_bed_init_alone(struct bed *b, uint32_t peers_max, uint32_t sessions_max)
{
    static const uint8_t rng_key[32] = {1};
    uint8_t relay_secret[32] = {9};

    memset(b, 0, sizeof *b);
    b->now_us = 1000000;
    key_pair(1, b->conf.authority, b->authority_secret);
    key_pair(2, b->prober_public, b->prober_secret);
    b->conf.secret[0] = 7;
    memcpy(b->conf.enrol_token, "0123456789abcdef", 16);
    b->conf.epoch = 5;
    b->conf.peers_max = peers_max;
    b->conf.sessions_max = sessions_max;
    b->memory = malloc(coordinator_bytes(&b->conf));
    coordinator_init(&b->core, &b->conf, rng_key, b->memory);

    memcpy(b->prober.key, b->prober_public, 32);
    cert_sign('p', b->prober.key, b->authority_secret, b->prober.cert);
    b->prober.n_addrs = 2;
    b->prober.addrs[0] = addr_v4(203, 0, 113, 1, 3478);
    b->prober.addrs[1] = addr_v4(203, 0, 113, 1, 3479);
    crypto_scalarmult_base(b->relay.key.b, relay_secret);
    b->relay.cert.len = 64;
    cert_sign('r', b->relay.key.b, b->authority_secret, b->relay.cert.b);
    b->relay.addr = addr_v4(203, 0, 113, 1, 3480);
    b->relay.sessions_max = 1000;
}

void coordinator_bed_fini(struct bed *b)
{
    free(b->memory);
    b->memory = NULL;
}
