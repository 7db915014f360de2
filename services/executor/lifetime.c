/*
 * lifetime.c - how long the own NAT keeps a mapping that nothing is sent by, so that paths which sleep are kept by as
 * few packets as that allows (RFC 5780 section 4.6).
 *
 * Begun when there is a direct path to keep, and in no hurry: a sample socket asks a prober three times over
 * 2.4 s, since NATs keep a stream for longer than a single question, then rests.  Then another one has the
 * prober answer to the first one's port, from the address that it has asked: what comes in there had a mapping
 * and a filter that have lasted.  Longer and longer rests are tried until one fails twice; only what was
 * proven counts, less a tenth.
 */
#include "services/executor/internal.h"

#include <string.h>

enum { RESTING_SOCK = 1, ASKING_SOCK = 2, EXCHANGES = 3, FAILS = 2 };
enum lifetime_times {
    BEGIN_US = 10 * 1000000, /* after there is a path, and when something else is under way */
    AGAIN_US = 60 * 1000000, /* when no prober answers */
    RETRY_US = 400 * 1000,
    EXCHANGE_US = 1200 * 1000,
};
static const uint16_t rests_s[] = {28, 57, 85, 114, 171, 285};
enum { RESTS = sizeof rests_s / sizeof *rests_s };

/* The only place where the state changes. */
static void enter(struct executor *x, enum lifetime_state to, int64_t next_us)
{
    x->lifetime.state = to;
    x->lifetime.next_us = next_us;
}

static void later(struct executor *x, int64_t after_us)
{
    enter(x, LIFETIME_DUE, x->now_us + after_us);
}

/* There is a direct path. */
void executor_lifetime_want(struct executor *x)
{
    if (x->lifetime.state == LIFETIME_OFF && x->conf.n_samples >= ASKING_SOCK)
        later(x, BEGIN_US);
}

/* Its sockets are needed for something else. */
void executor_lifetime_pause(struct executor *x)
{
    if (x->lifetime.state > LIFETIME_DUE)
        later(x, BEGIN_US);
}

/* Another NAT, or one that has not kept what it seemed to keep. */
void executor_lifetime_forget(struct executor *x)
{
    x->lifetime.rest = x->lifetime.fails = 0;
    x->keep_us = KEEP_US;
    if (x->lifetime.state != LIFETIME_OFF)
        later(x, BEGIN_US);
}

static void send(struct executor *x, struct outputs *out)
{
    struct lifetime_test *t = &x->lifetime;
    struct stun m = stun_request(t->txid);
    uint16_t sock = t->state == LIFETIME_OPENING ? RESTING_SOCK : ASKING_SOCK;

    m.has_cookie = true; /* one of zeroes asks for one */
    if (t->state == LIFETIME_ASKING) {
        memcpy(m.cookie, t->cookie, sizeof m.cookie);
        m.response_port = t->port;
    } else {
        m.has_peer = true;
        m.peer = x->conf.id;
    }
    if (executor_may_knock(x, &t->server)) {
        struct output *o = executor_datagram(out, sock, &t->server);
        o->dgram.len = (uint16_t)stun_encode(&m, o->dgram.data);
    }
    t->tries++;
    t->next_us = x->now_us + RETRY_US;
}

static void ask(struct executor *x, enum lifetime_state state, struct outputs *out)
{
    enter(x, state, NEVER); /* send() says when next */
    x->lifetime.tries = 0;
    rng_bytes(&x->rng, x->lifetime.txid, sizeof x->lifetime.txid);
    send(x, out);
}

/* Another rest: after the first exchange, which has the port be known. */
static void open(struct executor *x, struct outputs *out)
{
    struct lifetime_test *t = &x->lifetime;

    t->exchanges = 0;
    t->port = 0;
    for (size_t i = 0; i < x->n_targets; i++)
        if (x->targets[i].sock == 0 && x->targets[i].answered) {
            t->server = x->targets[i].addr;
            ask(x, LIFETIME_OPENING, out);
            return;
        }
    later(x, AGAIN_US);
}

static void rest_failed(struct executor *x, struct outputs *out)
{
    if (++x->lifetime.fails < FAILS) {
        open(x, out);
        return;
    }
    enter(x, LIFETIME_KNOWN, NEVER);
}

static void rest_lasted(struct executor *x, struct outputs *out)
{
    struct lifetime_test *t = &x->lifetime;
    int64_t keep_us = rests_s[t->rest] * INT64_C(900000);

    if (keep_us > x->keep_us)
        x->keep_us = keep_us;
    t->fails = 0;
    if (++t->rest < RESTS) {
        open(x, out);
        return;
    }
    enter(x, LIFETIME_KNOWN, NEVER);
}

void executor_lifetime_tick(struct executor *x, struct outputs *out)
{
    struct lifetime_test *t = &x->lifetime;

    if (t->next_us > x->now_us)
        return;
    switch (t->state) {
    case LIFETIME_DUE:
        if (x->probing || x->filter.state == FILTER_ASKING || x->hairpin.state == HAIRPIN_ASKING)
            later(x, BEGIN_US);
        else
            open(x, out);
        break;
    case LIFETIME_RESTING: ask(x, LIFETIME_COOKIE, out); break;
    case LIFETIME_OPENING:
        if (t->tries == 0) /* one more exchange */
            ask(x, LIFETIME_OPENING, out);
        else if (t->tries < LIFETIME_TRIES)
            send(x, out);
        else
            later(x, AGAIN_US);
        break;
    case LIFETIME_COOKIE:
        if (t->tries < LIFETIME_TRIES)
            send(x, out);
        else
            later(x, AGAIN_US);
        break;
    case LIFETIME_ASKING:
        if (t->tries < LIFETIME_TRIES)
            send(x, out);
        else
            rest_failed(x, out);
        break;
    default: t->next_us = NEVER;
    }
}

/* An exchange of the resting socket's.  A NAT that gives it another port meanwhile makes it begin anew. */
static void on_exchange(struct executor *x, uint16_t port)
{
    struct lifetime_test *t = &x->lifetime;
    bool same = t->port == 0 || t->port == port;

    t->port = port;
    t->exchanges = same ? t->exchanges + 1 : 1;
    t->tries = 0;
    t->next_us = x->now_us + EXCHANGE_US;
    if (t->exchanges == EXCHANGES)
        enter(x, LIFETIME_RESTING, x->now_us + rests_s[t->rest] * INT64_C(1000000));
}

bool executor_lifetime_datagram(struct executor *x, const struct input *in, const struct stun *m,
                                struct outputs *out)
{
    struct lifetime_test *t = &x->lifetime;
    uint16_t sock = t->state == LIFETIME_COOKIE ? ASKING_SOCK : RESTING_SOCK;

    if (t->state <= LIFETIME_DUE || t->state == LIFETIME_RESTING || t->tries == 0 ||
        m->type != STUN_BINDING_RESPONSE || in->dgram.sock != sock ||
        !addr_eq(&in->dgram.src, &t->server) || memcmp(t->txid, m->txid, sizeof t->txid) != 0)
        return false;
    if (t->state == LIFETIME_ASKING) {
        rest_lasted(x, out);
    } else if (t->state == LIFETIME_OPENING && m->mapped.port != 0) {
        on_exchange(x, m->mapped.port);
    } else if (t->state == LIFETIME_COOKIE && m->has_cookie) {
        memcpy(t->cookie, m->cookie, sizeof t->cookie);
        ask(x, LIFETIME_ASKING, out);
    }
    return true;
}
