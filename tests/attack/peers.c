/*
 * peers.c - a hostile coordinator, with the key in the join string, and with it now and then a prober that
 * lies: they try to have a real peer, Alice, send packets to a stranger.
 */
#include "tests/attack/attack.h"

#include "lib/packet.h"
#include "lib/service.h"
#include "lib/strategy.h"
#include "lib/ticket.h"
#include "lib/token.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <time.h>

enum { FIRST_PORT = 7440, LIFE = 64, OLD_MS = 180000, BARRIER_MS = 5000 };

static zsock_t *front, *enrol;
static struct ground_run listener;
static zframe_t *alice; /* her connection */
static struct msg heard;
static struct msg answer; /* to attach */

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
    cr_assert_eq(msg_decode(&heard, type, (const char *)zframe_data(body), zframe_size(body), NULL),
                 MSG_OK);
    if (s == enrol)
        tell(enrol, from, &(struct msg){.type = MSG_enrolled});
    if (s == front && heard.type == MSG_attach) {
        zframe_destroy(&alice);
        alice = zframe_dup(from);
        tell(front, from, &answer);
    }
    zstr_free(&type);
    zframe_destroy(&from);
    zmsg_destroy(&raw);
    return true;
}

static void wait_for(enum msg_type type)
{
    int64_t end_us = service_now_us() + ATTACK_PATIENCE_MS * 1000;

    do
        cr_assert(service_now_us() < end_us && listen_once(ATTACK_PATIENCE_MS), "no %s",
                  msg_name[type]);
    while (heard.type != type);
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

/* Alice joins the suite by this coordinator, and has measured her NAT by the true prober. */
static void open_alice(const char *accept)
{
    static uint16_t port = FIRST_PORT; /* libzmq lets go of the last ones in its own time */
    uint8_t public_key[32], secret[32];
    char public_z85[41], secret_z85[41], honest[sizeof attack.ground.join];
    struct join j = attack.join;

    crypto_box_keypair(public_key, secret);
    zmq_z85_encode(public_z85, public_key, 32);
    zmq_z85_encode(secret_z85, secret, 32);
    front = serve(++port, public_z85, secret_z85);
    j.front[0] = addr_v4(203, 0, 113, 77, port);
    enrol = serve(++port, public_z85, secret_z85);
    j.enrol[0] = addr_v4(203, 0, 113, 77, port);
    memcpy(j.coordinator_key, public_key, 32);
    answer = (struct msg){.type = MSG_attached};
    answer.attached.refresh_s = 20;
    answer.attached.probers = (struct prober_list){1, {attack.prober}};
    answer.attached.places = attack.places;
    memcpy(honest, attack.ground.join, sizeof honest);
    join_format(&j, attack.ground.join);
    listener = attack_program("alice", "listen", ARGS("--name", "alice", "--accept", accept));
    memcpy(attack.ground.join, honest, sizeof honest);
    do
        wait_for(MSG_reflex_report);
    while (heard.reflex_report.tokens.n == 0);
}

static void close_alice(void)
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

static struct msg_token token(const struct peer_id *who, const struct addr *where, int64_t age_ms,
                              const uint8_t secret[64])
{
    struct token t = {.addr = *where, .peer = *who, .time_ms = wall_ms() - age_ms};
    struct msg_token raw;

    token_sign(&t, secret, &raw);
    return raw;
}

/* A call of Mallory's, from her true address. */
static struct msg call(void)
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
    c->theirs =
        (struct msg_token_list){1, {token(&attack.mallory, &attack.own, 0, attack.prober_secret)}};
    msg_text(c->reason, sizeof c->reason, "direct-synchronous");
    return m;
}

static void drain(void)
{
    uint8_t data[2048];

    while (attack_hear(attack.udp, data, sizeof data, 0) > 0)
        ;
}

/* Give this order, and take it back: what it makes leave at once has left. */
static void give(const struct msg *order)
{
    struct msg cancel = {.type = MSG_punch_cancel};

    cancel.punch_cancel.session = order->punch_coordinate.session;
    tell(front, alice, order);
    tell(front, alice, &cancel);
}

/*
 * Until she has done all that she was told: then an honest call comes through, as the proof that she takes
 * orders, and no packet is on its way any more.
 */
static void barrier(void)
{
    uint8_t data[2048];
    struct msg m = call();

    drain();
    give(&m);
    while (listen_once(0))
        ;
    cr_assert_gt(attack_hear(attack.udp, data, sizeof data, BARRIER_MS), 0,
                 "alice takes no honest call");
    drain();
}

/*
 * How many packets go to the victim, or to nobody's address, of n orders.  A session that is over holds its place
 * for a while, and who has taken all places gets no further: so a few orders for each life of Alice's.
 */
static uint64_t aimed_at(unsigned n, void (*open)(void),
                         void (*spoil)(struct msg_punch_coordinate *m, unsigned i))
{
    uint64_t before = attack_sent("alice", "victim") + attack_astray();

    for (unsigned i = 0; i < n; i++) {
        if (i % LIFE == 0)
            open();
        struct msg m = call();
        spoil(&m.punch_coordinate, i);
        give(&m);
        if (i % LIFE == LIFE - 1 || i + 1 == n) {
            barrier();
            close_alice();
        }
    }
    return attack_sent("alice", "victim") + attack_astray() - before;
}

static void open_for_all(void) { open_alice("anyone"); }

static uint64_t aimed(unsigned n, void (*spoil)(struct msg_punch_coordinate *m, unsigned i))
{
    return aimed_at(n, open_for_all, spoil);
}

static void set_token(struct msg_punch_coordinate *m, const struct addr *where)
{
    m->theirs.v[0] = token(&m->peer, where, 0, attack.prober_secret);
}

/* ---- the attacks ---------------------------------------------------------------------------------------- */

static void spoil_signature(struct msg_punch_coordinate *m, unsigned i)
{
    set_token(m, &attack.victim);
    m->theirs.v[0].b[TOKEN_BYTES - 1 - i % 64] ^= (uint8_t)(1u << i % 8);
}
static uint64_t forged_token(unsigned n) { return aimed(n, spoil_signature); }

static void spoil_age(struct msg_punch_coordinate *m, unsigned i)
{
    m->theirs.v[0] =
        token(&m->peer, &attack.victim, OLD_MS + (int64_t)i * 1000, attack.prober_secret);
}
static uint64_t old_token(unsigned n) { return aimed(n, spoil_age); }

static void spoil_owner(struct msg_punch_coordinate *m, unsigned i)
{
    struct peer_id other = m->peer;

    other.b[i % 32] ^= (uint8_t)(1u << i % 8);
    m->theirs.v[0] = token(&other, &attack.victim, 0, attack.prober_secret);
}
static uint64_t token_of_another_peer(unsigned n) { return aimed(n, spoil_owner); }

static void spoil_kind(struct msg_punch_coordinate *m, unsigned i)
{
    static const uint8_t nets[][2] = {
        {10,  0  },
        {192, 168},
        {172, 16 },
        {169, 254},
        {100, 64 },
        {224, 1  },
        {240, 1  },
        {192, 88 }
    };
    struct addr inside =
        addr_v4(nets[i % 8][0], nets[i % 8][1], i % 8 == 7 ? 99 : 3, 4, (uint16_t)(1024 + i));

    set_token(m, &inside);
}
static uint64_t address_inside_a_network(unsigned n) { return aimed(n, spoil_kind); }

static void spoil_local(struct msg_punch_coordinate *m, unsigned i)
{
    m->plan.v[0].technique = TECHNIQUE_HOST;
    m->their_local = attack.victim;
    m->their_local.port = (uint16_t)(1024 + i);
}
static uint64_t local_address_of_a_stranger(unsigned n) { return aimed(n, spoil_local); }

static void spoil_relay(struct msg_punch_coordinate *m, unsigned i)
{
    m->relay = attack.victim;
    m->relay.port = (uint16_t)(1024 + i);
    m->ticket.len = TICKET_BYTES;
    m->policy = POLICY_RELAY;
    m->theirs.n = 0;
    m->plan.v[0].technique = TECHNIQUE_RELAYED;
    m->places.n = 1; /* for another ip */
    m->places.v[0] = attack.places.v[0];
    m->places.v[0].ip = attack.victim;
}
static uint64_t relay_at_a_stranger(unsigned n) { return aimed(n, spoil_relay); }

static void spoil_side(struct msg_punch_coordinate *m, unsigned i)
{
    m->side = 0;
    m->nonce = 1 + i;
    set_token(m, &attack.victim); /* a place of its own, to tell these packets apart */
}
static uint64_t answer_to_no_request(unsigned n) { return aimed(n, spoil_side); }

/* A prober that another authority certified, and its word. */
static uint8_t false_secret[64];

static void spoil_prober(struct msg_punch_coordinate *m, unsigned i)
{
    (void)i;
    m->theirs.v[0] = token(&m->peer, &attack.victim, 0, false_secret);
}

static void open_with_false_prober(void)
{
    uint8_t authority[64], public_key[32];

    crypto_sign_keypair(public_key, authority);
    open_alice("anyone");
    struct msg more = answer;
    struct prober_info *p = &more.attached.probers.v[more.attached.probers.n++];
    *p = attack.prober;
    crypto_sign_keypair(p->key, false_secret);
    cert_sign('p', p->key, authority, p->cert);
    tell(front, alice, &more);
}

static uint64_t prober_of_another_authority(unsigned n)
{
    return aimed_at(n, open_with_false_prober, spoil_prober);
}

/* With each message one that is elsewhere; and each makes her probe anew, as far as she does. */
static uint64_t prober_at_a_stranger(unsigned n)
{
    open_alice("anyone");
    uint64_t before = attack_sent("alice", "victim");
    for (unsigned i = 0; i < n; i++) {
        struct msg m = answer, gone = {.type = MSG_detached};
        for (unsigned k = 0; k < 4; k++) {
            m.attached.probers.v[0].addrs[k] = attack.victim;
            m.attached.probers.v[0].addrs[k].port = (uint16_t)(1024 + i + k);
        }
        m.attached.relays = m.attached.probers;
        m.attached.places.v[0].ip = attack.victim;
        answer = m; /* also to what she asks because of this: */
        msg_text(gone.detached.kind, sizeof gone.detached.kind, "unknown");
        tell(front, alice, &gone);
        wait_for(MSG_attach);
    }
    barrier();
    uint64_t sent = attack_sent("alice", "victim") - before;
    close_alice();
    return sent;
}

/* Her own policy says that nobody may call her. */
static uint64_t call_to_who_takes_none(unsigned n)
{
    struct msg m;

    open_alice("nobody");
    uint64_t before = attack_sent("alice", "victim");
    for (unsigned i = 0; i < n; i++) {
        m = call();
        set_token(&m.punch_coordinate, &attack.victim);
        give(&m);
        if (i % LIFE != LIFE - 1 && i + 1 != n)
            continue;
        m = call();
        m.punch_coordinate.side = 5; /* is refused, by anybody and after all that has been taken */
        tell(front, alice, &m);
        do
            wait_for(MSG_punch_cancel);
        while (!sid_eq(&heard.punch_cancel.session, &m.punch_coordinate.session));
    }
    uint64_t sent = attack_sent("alice", "victim") - before;
    close_alice();
    return sent;
}

const struct attack attack_on_peers[] = {
    {"forged-token",                forged_token,                64, 2000},
    {"old-token",                   old_token,                   64, 2000},
    {"token-of-another-peer",       token_of_another_peer,       64, 2000},
    {"address-inside-a-network",    address_inside_a_network,    64, 2000},
    {"local-address-of-a-stranger", local_address_of_a_stranger, 64, 2000},
    {"relay-at-a-stranger",         relay_at_a_stranger,         64, 2000},
    {"answer-to-no-request",        answer_to_no_request,        64, 2000},
    {"prober-of-another-authority", prober_of_another_authority, 64, 2000},
    {"prober-at-a-stranger",        prober_at_a_stranger,        4,  40  },
    {"call-to-who-takes-none",      call_to_who_takes_none,      64, 2000},
    {NULL,                          NULL,                        0,  0   },
};
