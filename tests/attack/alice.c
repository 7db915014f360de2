/* alice.c - see alice.h. */
#include "tests/attack/alice.h"

#include "lib/service.h"
#include "lib/strategy.h"
#include "lib/token.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <time.h>

enum { FIRST_PORT = 7440, BARRIER_MS = 5000 };

static zsock_t *front, *enrol;
static struct ground_run listener;
static zframe_t *alice; /* her connection */
struct msg alice_heard, alice_answer;
struct peer_id alice_id;
struct addr alice_at;
struct alice_prober *alice_other;

/* ---- the coordinator ------------------------------------------------------------------------------------ */

static void tell(zsock_t *s, zframe_t *to, const struct msg *m)
{
    static char body[MSG_SIZE_MAX];
    size_t len = msg_encode(m, body);

    cr_assert_eq(zframe_send(&to, s, ZFRAME_MORE | ZFRAME_REUSE), 0);
    cr_assert_eq(zsock_send(s, "sb", msg_name[m->type], body, len), 0);
}

/* The next message that comes in, answering what an honest coordinator answers; false when none comes in time. */
static bool listen_once(int ms)
{
    zsock_t *which[] = {front, enrol};
    zmq_pollitem_t items[2];

    for (size_t i = 0; i < 2; i++)
        items[i] = (zmq_pollitem_t){.socket = zsock_resolve(which[i]), .events = ZMQ_POLLIN};
    if (zmq_poll(items, 2, ms) < 1)
        return false;
    zsock_t *s = items[0].revents ? front : enrol;
    zmsg_t *raw = zmsg_recv(s);
    zframe_t *from = zmsg_pop(raw);
    char *type = zmsg_popstr(raw);
    zframe_t *body = zmsg_first(raw);
    cr_assert(from && type && body);
    cr_assert_eq(
        msg_decode(&alice_heard, type, (const char *)zframe_data(body), zframe_size(body), NULL),
        MSG_OK);
    if (s == enrol)
        tell(enrol, from, &(struct msg){.type = MSG_enrolled});
    if (s == front && alice_heard.type == MSG_attach) {
        zframe_destroy(&alice);
        alice = zframe_dup(from);
        tell(front, from, &alice_answer);
    }
    zstr_free(&type);
    zframe_destroy(&from);
    zmsg_destroy(&raw);
    return true;
}

void alice_wait_for(enum msg_type type)
{
    int64_t end_us = service_now_us() + ATTACK_PATIENCE_MS * 1000;

    do
        cr_assert(service_now_us() < end_us && listen_once(ATTACK_PATIENCE_MS), "no %s",
                  msg_name[type]);
    while (alice_heard.type != type);
}

static zsock_t *serve(uint16_t port, const char *public_z85, const char *secret_z85)
{
    zsock_t *s = attack_zsock(ZMQ_ROUTER);

    zsock_set_curve_server(s, 1);
    zsock_set_curve_publickey(s, public_z85);
    zsock_set_curve_secretkey(s, secret_z85);
    attack_bind(s, port);
    return s;
}

/* Do all probers that she is told of? */
static bool vouched(const struct msg_token_list *l)
{
    struct token t[TOKENS_MAX];

    for (unsigned i = 0; i < l->n; i++) {
        cr_assert(token_read(&l->v[i], &t[i]));
        if (!alice_other || memcmp(t[i].key_id, t[0].key_id, sizeof t[0].key_id) != 0)
            return true;
    }
    return false;
}

void alice_open(const char *accept)
{
    static uint16_t port = FIRST_PORT; /* libzmq lets go of the last ones in its own time */
    uint8_t public_key[32], secret[32];
    char public_z85[41], secret_z85[41], honest[sizeof attack.ground.join];
    struct join j = attack.join;
    struct token seen;

    crypto_box_keypair(public_key, secret);
    zmq_z85_encode(public_z85, public_key, 32);
    zmq_z85_encode(secret_z85, secret, 32);
    front = serve(++port, public_z85, secret_z85);
    j.front[0] = addr_v4(203, 0, 113, 77, port);
    enrol = serve(++port, public_z85, secret_z85);
    j.enrol[0] = addr_v4(203, 0, 113, 77, port);
    memcpy(j.coordinator_key, public_key, 32);
    alice_answer = (struct msg){.type = MSG_attached};
    alice_answer.attached.refresh_s = 20;
    alice_answer.attached.probers = (struct prober_list){1, {attack.prober}};
    alice_answer.attached.places = attack.places;
    if (alice_other) {
        alice_answer.attached.probers.v[alice_answer.attached.probers.n++] = alice_other->info;
        alice_answer.attached.places.v[alice_answer.attached.places.n++] = alice_other->place;
    }
    memcpy(honest, attack.ground.join, sizeof honest);
    join_format(&j, attack.ground.join);
    listener = attack_program("alice", "listen", ARGS("--name", "alice", "--accept", accept));
    memcpy(attack.ground.join, honest, sizeof honest);
    do
        alice_wait_for(MSG_reflex_report);
    while (!vouched(&alice_heard.reflex_report.tokens));
    cr_assert(token_read(&alice_heard.reflex_report.tokens.v[0], &seen));
    alice_id = seen.peer;
    alice_at = seen.addr;
}

void alice_close(void)
{
    kill(ground_program(&listener), SIGKILL);
    close(listener.out);
    zframe_destroy(&alice);
    zsock_destroy(&front);
    zsock_destroy(&enrol);
}

/* ---- orders ------------------------------------------------------------------------------------------------ */

static int64_t wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct msg_token alice_token(const struct peer_id *who, const struct addr *where, int64_t age_ms,
                             const uint8_t secret[64])
{
    struct token t = {.addr = *where, .peer = *who, .time_ms = wall_ms() - age_ms};
    struct msg_token raw;

    token_sign(&t, secret, &raw);
    return raw;
}

struct msg alice_call(void)
{
    struct msg m;

    memset(&m, 0, sizeof m);
    m.type = MSG_punch_coordinate;
    struct msg_punch_coordinate *c = &m.punch_coordinate;
    rng_bytes(&attack.rng, c->session.b, sizeof c->session.b);
    c->side = 1;
    c->peer = attack.mallory;
    c->policy = POLICY_AUTO;
    c->deadline_ms = 8000;
    c->plan.n = 1;
    c->plan.v[0] = (struct step){.technique = TECHNIQUE_SYNCHRONOUS, .role = 2, .span_us = 3000000};
    c->theirs = (struct msg_token_list){
        1, {alice_token(&attack.mallory, &attack.own, 0, attack.prober_secret)}};
    if (alice_other)
        c->theirs.v[c->theirs.n++] =
            alice_token(&attack.mallory, &attack.own, 0, alice_other->secret);
    msg_text(c->reason, sizeof c->reason, "direct-synchronous");
    return m;
}

static void drain(void)
{
    uint8_t data[2048];

    while (attack_hear(attack.udp, data, sizeof data, 0) > 0)
        ;
}

void alice_tell(const struct msg *m) { tell(front, alice, m); }

void alice_give(const struct msg *order)
{
    struct msg cancel = {.type = MSG_punch_cancel};

    cancel.punch_cancel.session = order->punch_coordinate.session;
    alice_tell(order);
    alice_tell(&cancel);
}

void alice_barrier(void)
{
    uint8_t data[2048];
    struct msg m = alice_call();

    drain();
    alice_give(&m);
    while (listen_once(0))
        ;
    cr_assert_gt(attack_hear(attack.udp, data, sizeof data, BARRIER_MS), 0,
                 "alice takes no honest call");
    drain();
}
