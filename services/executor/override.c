/*
 * override.c - the operator's word that a port of the own public ip leads to socket 0, as a port mapping on
 * the router does; it counts once a prober has challenged it.
 *
 * After each round of probing the prober is asked, with the cookie that proves the own address, to send a
 * challenge to that port.  What comes in is returned, and answered with a token of kind 2 (lib/token.h),
 * which is told to the coordinator beside the others.  The source of the challenge is not compared: a router
 * whose own entry for the prober is in the way gives it another port, and only what comes in at all counts.
 */
#include "lib/token.h"
#include "services/executor/internal.h"

#include <string.h>

const char *const override_state_name[OVERRIDE_STATES] = {
    [OVERRIDE_NONE] = "none",     [OVERRIDE_WAITING] = "waiting", [OVERRIDE_ASKING] = "asking",
    [OVERRIDE_PROVEN] = "proven", [OVERRIDE_REFUSED] = "refused",
};

/* The only place where the state changes.  While a proof is renewed the one that there is counts. */
static void enter(struct executor *x, enum override_state to, const char *why, struct outputs *out)
{
    struct override *o = &x->override;
    bool had = o->token.len > 0;

    o->state = to;
    o->why = why;
    if (to == OVERRIDE_ASKING)
        return;
    o->next_us = NEVER;
    if (to != OVERRIDE_PROVEN)
        o->token.len = 0;
    if (to != o->said && to != OVERRIDE_WAITING)
        executor_app(x, NULL, APP_REFLEX, out);
    o->said = to;
    if (had && o->token.len == 0 && x->told && !x->probing) /* else the round's report says it */
        executor_probe_report(x, out);
}

static void prove(struct executor *x, const struct msg_token *token, struct outputs *out)
{
    bool had = x->override.token.len > 0;

    x->override.token = *token;
    enter(x, OVERRIDE_PROVEN, NULL, out);
    if (!had && x->told && !x->probing)
        executor_probe_report(x, out);
}

static void ask(struct executor *x, struct outputs *out)
{
    struct override *o = &x->override;
    struct stun m = stun_request(o->txid);
    struct output *d = executor_datagram(out, 0, &o->prober);

    m.has_peer = m.has_cookie = true;
    m.daily = x->daily;
    m.peer = x->conf.id;
    memcpy(m.cookie, o->cookie, sizeof m.cookie);
    m.response_port = o->claimed.port;
    d->dgram.len = (uint16_t)stun_encode(&m, d->dgram.data);
    o->next_us = x->now_us + executor_probe_retry_us[o->tries];
    o->tries++;
}

static void begin(struct executor *x, const uint8_t cookie[static 16], bool challenged,
                  struct outputs *out)
{
    struct override *o = &x->override;

    memcpy(o->cookie, cookie, sizeof o->cookie);
    o->challenged = challenged;
    o->tries = 0;
    rng_bytes(&x->rng, o->txid, sizeof o->txid);
    ask(x, out);
}

/* A prober that has shown the claimed ip to be the own one is asked: others would send it elsewhere. */
static void start(struct executor *x, struct outputs *out)
{
    struct override *o = &x->override;
    bool answered = false;

    if (o->state == OVERRIDE_NONE || !x->probed_once)
        return;
    for (size_t i = 0; i < x->n_targets; i++) {
        const struct probe_target *t = &x->targets[i];
        if (t->sock != 0 || !t->answered || !t->has_cookie)
            continue;
        answered = true;
        if (!addr_ip_eq(&t->seen, &o->claimed))
            continue;
        o->prober = t->addr;
        enter(x, OVERRIDE_ASKING, NULL, out);
        begin(x, t->cookie, false, out);
        return;
    }
    if (answered)
        enter(x, OVERRIDE_REFUSED, "no prober sees this host at that ip", out);
}

void executor_override_set(struct executor *x, const struct addr *claimed, struct outputs *out)
{
    x->override.claimed = *claimed;
    enter(x, claimed->len != 0 ? OVERRIDE_WAITING : OVERRIDE_NONE, NULL, out);
    if (!x->probing)
        start(x, out);
}

void executor_override_round_over(struct executor *x, struct outputs *out) { start(x, out); }

/* The mapping led to the old socket. */
void executor_override_new_sockets(struct executor *x, struct outputs *out)
{
    if (x->override.state != OVERRIDE_NONE)
        enter(x, OVERRIDE_WAITING, NULL, out);
}

void executor_override_tick(struct executor *x, struct outputs *out)
{
    struct override *o = &x->override;

    if (o->next_us > x->now_us)
        return;
    if (o->tries < PROBE_TRIES) {
        ask(x, out);
        return;
    }
    enter(x, OVERRIDE_REFUSED,
          o->challenged ? "the prober did not sign it" : "nothing came in at that address", out);
    executor_ask_all(x, out);
}

bool executor_override_datagram(struct executor *x, const struct input *in, const struct stun *m,
                                struct outputs *out)
{
    struct override *o = &x->override;
    struct token t;

    if (o->state != OVERRIDE_ASKING || in->dgram.sock != 0 || m->type != STUN_BINDING_RESPONSE ||
        memcmp(o->txid, m->txid, sizeof o->txid) != 0)
        return false;
    if (!o->challenged && m->has_cookie) {
        begin(x, m->cookie, true, out);
        return true;
    }
    if (!o->challenged || !token_verify(&m->token, &x->probers, &x->daykeys, &t) || !t.mapped ||
        !peer_id_eq(&t.peer, &x->conf.id) || !addr_eq(&t.addr, &o->claimed))
        return false;
    x->udp_silent = false;
    prove(x, &m->token, out);
    executor_ask_all(x, out);
    return true;
}

/* A request that is to be made waits for the first word on it, at most as long as the tries last. */
bool executor_override_pending(const struct executor *x)
{
    return x->override.state == OVERRIDE_ASKING && x->override.token.len == 0;
}
