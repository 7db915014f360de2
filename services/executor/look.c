/*
 * look.c - where the own NAT stands, when it gives out ports one after the other.
 *
 * Fresh sockets ask a prober at one instant, and between each two of them a pin sends to the peer.  When two
 * neighbours were given ports two steps apart, the pin's lies between them, and is so known without the peer.
 * Without pins the last of them shows the newest port, and what others took since the sight before.
 *
 * A NAT that keeps ports, but each for one destination, needs no prober: a fresh socket has its own port towards whom
 * it sends to first, so that one is the pin.
 */
#include "services/executor/internal.h"

#include <string.h>

static uint32_t own_mappings(const struct executor *x) { return x->opened + x->opened_asking; }

/*
 * The last round of probing began with the samples, if it had some: what they got was the newest then.  Spares were
 * opened after them, or in a round long ago.
 */
void executor_sight(struct executor *x)
{
    uint32_t opened = x->early.state == EARLY_OFF ? own_mappings(x) : x->early.opened;

    for (size_t i = 0; i < x->n_targets; i++)
        if (x->targets[i].sock != 0 && x->targets[i].sock <= SAMPLES_MAX && x->targets[i].answered)
            x->sight = (struct sight){x->targets[i].seen.port, x->probe_began_us, opened};
}

void executor_look_start(struct executor *x, const struct attempt *a, const struct addr *pin_to)
{
    x->look = (struct look){.pins = a->foreseen.pins,
                            .keeps = a->own_profile.allocation == ALLOC_PRESERVE,
                            .server = x->targets[0].addr,
                            .pin_to = *pin_to};
    x->look.again_us = x->now_us;
}

/* The one that keeps its port, and who knows which that is. */
static void open_keeping(struct executor *x, struct attempt *a, struct outputs *out)
{
    struct look *l = &x->look;

    l->again_us = NEVER;
    l->v[0].sock = executor_pool_open(x, out);
    if (l->v[0].sock == 0)
        return;
    l->n = 1;
    x->n.looks++;
    executor_socket(SOCKET_ASK, l->v[0].sock, l->v[0].sock, out);
    if (l->pin_to.len != 0)
        executor_send_punch(x, a, WAY_DIRECT, PACKET_PUNCH, 0, l->v[0].sock, &l->pin_to, out);
}

void executor_on_socket(struct executor *x, const struct input *in, struct outputs *out)
{
    struct look *l = &x->look;

    if (!l->keeps || l->n == 0 || in->socket.sock != l->v[0].sock)
        return;
    l->n = 0;
    if (in->socket.port == 0 || x->reflexive.len == 0) /* this round comes to nothing */
        return;
    struct attempt *a = &x->attempts[x->pool_owner];
    struct addr seen = x->reflexive;
    seen.port = in->socket.port;
    a->foreseen.own = (struct forecast){.port = seen.port};
    a->foreseen.own_us = x->now_us;
    executor_foresee_seen(x, a, &seen, l->v[0].sock, out);
}

static void ask(struct executor *x, size_t i, struct outputs *out)
{
    struct look *l = &x->look;
    struct stun m = stun_request(l->v[i].txid);

    if (!executor_may_knock(x, &l->server))
        return;
    struct output *o = executor_datagram(out, l->v[i].sock, &l->server);
    o->dgram.len = (uint16_t)stun_encode(&m, o->dgram.data);
}

static void open_all(struct executor *x, struct attempt *a, struct outputs *out)
{
    struct look *l = &x->look;

    if (x->pool_opened + 2 * LOOKS_MAX > POOL_SOCKETS)
        executor_pool_renew(x, out);
    x->n.looks++;
    l->at_us = x->now_us;
    for (l->n = 0; l->n < LOOKS_MAX; l->n++) {
        if (l->pins && l->n > 0)
            executor_pool_punch(x, a, &l->pin_to, out);
        l->v[l->n].sock = executor_pool_open(x, out);
        l->v[l->n].port = 0;
        l->v[l->n].opened = own_mappings(x);
        rng_bytes(&x->rng, l->v[l->n].txid, sizeof l->v[l->n].txid);
        ask(x, l->n, out);
    }
}

/* Once more from the same sockets, which have their ports already; or with fresh ones. */
void executor_look_tick(struct executor *x, struct attempt *a, struct outputs *out)
{
    struct look *l = &x->look;
    int64_t rtt_us = x->targets[0].rtt_ms * 1000;

    if (l->again_us > x->now_us)
        return;
    if (l->keeps) {
        open_keeping(x, a, out);
        return;
    }
    if (l->tries++ == LOOK_TRIES) {
        l->n = 0;
        l->again_us = NEVER;
        return;
    }
    if (l->n == 0)
        open_all(x, a, out);
    else
        for (size_t i = 0; i < l->n; i++)
            if (l->v[i].port == 0)
                ask(x, i, out);
    l->again_us = x->now_us + (2 * rtt_us > LOOK_RETRY_US ? 2 * rtt_us : (int64_t)LOOK_RETRY_US);
}

/* The pin whose neighbours were given ports two steps apart; 0 when there is none. */
static uint16_t pinned(const struct look *l, int16_t delta, uint16_t *port)
{
    for (size_t i = 1; i < l->n; i++)
        if (l->v[i - 1].port != 0 && l->v[i].port == l->v[i - 1].port + 2 * delta) {
            *port = (uint16_t)(l->v[i - 1].port + delta);
            return (uint16_t)(l->v[i].sock - 1);
        }
    return 0;
}

/* With fresh sockets: others took ports between these, or what they took is to be counted first. */
static void look_again(struct look *l, struct attempt *a, int64_t at_us)
{
    l->n = 0;
    l->again_us = a->foreseen.next_us = at_us;
}

static void all_seen(struct executor *x, struct attempt *a, const struct addr *ip,
                     struct outputs *out)
{
    struct look *l = &x->look;
    struct sight now = {l->v[l->n - 1].port, l->at_us, l->v[l->n - 1].opened};
    struct forecast *f = &a->foreseen.own;
    struct addr seen = *ip;
    uint16_t pin = 0;

    *f = (struct forecast){.port = now.port, .delta = a->own_profile.delta};
    bool counted =
        x->sight.port != 0 && x->now_us - x->sight.at_us < LOOK_KEEP_US &&
        forecast_count(x->sight.port, now.port, f->delta, now.opened - x->sight.opened, &f->others);
    f->over_us = (uint32_t)(now.at_us - x->sight.at_us);
    seen.port = now.port;
    if (l->pins)
        pin = pinned(l, f->delta, &seen.port);
    else
        x->sight = now;
    if (l->pins && pin == 0) {
        look_again(l, a, x->now_us);
    } else if (!l->pins && !counted) {
        look_again(l, a, x->now_us + LOOK_COUNT_US);
    } else {
        l->n = 0;
        a->foreseen.own_us = now.at_us;
        executor_foresee_seen(x, a, &seen, pin, out);
    }
}

bool executor_look_datagram(struct executor *x, const struct input *in, const struct stun *m,
                            struct outputs *out)
{
    struct look *l = &x->look;
    bool found = false, all = true;
    uint16_t port;

    if (l->n == 0 || l->keeps || m->type != STUN_BINDING_RESPONSE || m->mapped.len == 0 ||
        !addr_eq(&in->dgram.src, &l->server))
        return false;
    struct attempt *a = &x->attempts[x->pool_owner];
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i].sock == in->dgram.sock && memcmp(l->v[i].txid, m->txid, sizeof m->txid) == 0) {
            l->v[i].port = m->mapped.port;
            found = true;
        }
        all = all && l->v[i].port != 0;
    }
    if (found && (all || (l->pins && pinned(l, a->own_profile.delta, &port) != 0)))
        all_seen(x, a, &m->mapped, out);
    return found;
}
