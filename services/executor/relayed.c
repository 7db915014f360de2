/* relayed.c - the relay's client: bind with the ticket, keep it, bind again when the relay forgot. */
#include "services/executor/internal.h"

#include <string.h>

static const int64_t retry_us[] = {100000, 150000, 250000, 500000, 1000000};
enum { RETRIES = sizeof retry_us / sizeof retry_us[0], READY_POLL_US = 200 * 1000 };

static void send_control(struct attempt *a, const struct relay_control *c, struct outputs *out)
{
    struct output *o = executor_datagram(out, a->way[WAY_RELAY].sock, &a->relay.addr);

    o->dgram.len = (uint16_t)relay_encode(c, o->dgram.data);
}

void executor_relay_start(struct executor *x, struct attempt *a)
{
    rng_bytes(&x->rng, a->relay.nonce, sizeof a->relay.nonce);
    a->relay.bound = false;
    a->relay.tries = 0;
    a->relay.next_us = x->now_us;
}

static void bind(struct attempt *a, enum relay_op op, const uint8_t *cookie, struct outputs *out)
{
    struct relay_control c = {.op = (uint8_t)op};

    memcpy(c.nonce, a->relay.nonce, sizeof c.nonce);
    memcpy(c.ticket, a->relay.ticket, sizeof c.ticket);
    if (cookie)
        memcpy(c.cookie, cookie, sizeof c.cookie);
    send_control(a, &c, out);
}

/* How often a bound side says that it is there: often while a restarted relay would be missed. */
static int64_t keep_gap(const struct executor *x, const struct attempt *a)
{
    bool busy = a->flow == WAY_RELAY && a->opened && x->now_us - a->last_data_us < RELAY_BUSY_US;

    if (!a->relay.ready && a->state == ATTEMPT_EXECUTING) /* its word may have been lost */
        return READY_POLL_US;
    return busy ? RELAY_KEEP_BUSY_US : RELAY_KEEP_IDLE_US;
}

/* Data wants to flow over the relay: look at it sooner than an idle one would be. */
void executor_relay_busy(struct executor *x, struct attempt *a)
{
    if (a->relay.bound && a->relay.next_us > x->now_us + RELAY_KEEP_BUSY_US)
        a->relay.next_us = x->now_us + RELAY_KEEP_BUSY_US;
}

/* The direct way seems dead, and this one was not proven, since that was quicker: it is now. */
void executor_relay_wanted(struct executor *x, struct attempt *a)
{
    struct way_state *w = &a->way[WAY_RELAY];

    if (a->relay.addr.len == 0 || a->relay.refused || a->relay.waiting)
        return;
    if (a->relay.next_us > x->now_us + READY_POLL_US)
        a->relay.next_us = x->now_us;
    if (a->relay.ready && w->next_punch_us == NEVER) {
        w->burst = 0;
        w->next_punch_us = x->now_us;
    }
}

/* This relay is no good for the session: the coordinator may know another, for both sides. */
static void ask_for_another(struct attempt *a, const char *kind, struct outputs *out)
{
    if (a->relay.told)
        return;
    a->relay.told = a->state == ATTEMPT_EXECUTING;
    struct msg_relay_refused *m = &emit(out, SERVICE_coordinator, MSG_relay_refused)->relay_refused;
    m->session = a->session;
    m->relay = a->relay.addr;
    msg_text(m->kind, sizeof m->kind, kind);
}

static void give_up(struct executor *x, struct attempt *a, struct outputs *out)
{
    a->relay.waiting = false;
    a->relay.refused = true;
    a->relay.next_us = NEVER;
    executor_settle(x, a, out);
}

/*
 * The order once more, since one side could not use the relay: another one, or none when all are full.
 * False when it says nothing new.
 */
bool executor_relay_order(struct executor *x, struct attempt *a,
                          const struct msg_punch_coordinate *m, struct outputs *out)
{
    if (a->state != ATTEMPT_EXECUTING || a->policy == POLICY_DIRECT ||
        a->way[WAY_RELAY].confirmed || m->attempt != a->renewals || m->side != a->side ||
        !peer_id_eq(&m->peer, &a->peer) || addr_eq(&m->relay, &a->relay.addr))
        return false;
    if (m->relay.len == 0 && m->relays_full) {
        a->relay.full = true;
        give_up(x, a, out);
        return true;
    }
    if (!executor_admits(x, &m->relay) || m->ticket.len != TICKET_BYTES)
        return false;
    a->relay.addr = m->relay;
    memcpy(a->relay.ticket, m->ticket.b, TICKET_BYTES);
    a->relay.ready = a->relay.refused = a->relay.told = a->relay.waiting = false;
    a->way[WAY_RELAY].heard = false;
    a->way[WAY_RELAY].next_punch_us = NEVER;
    executor_relay_start(x, a);
    executor_relay_tick(x, a, out);
    return true;
}

/* The order of a session that lives once more, for its ticket: the relay is shown it while data flows. */
bool executor_relay_ticket(struct executor *x, struct attempt *a,
                           const struct msg_punch_coordinate *m, struct outputs *out)
{
    if ((a->state != ATTEMPT_RELAYED && a->state != ATTEMPT_DIRECT) || a->mode != MODE_MANAGED ||
        a->relay.addr.len == 0 || a->relay.refused || m->attempt != a->renewals ||
        m->side != a->side || !peer_id_eq(&m->peer, &a->peer) || m->ticket.len != TICKET_BYTES ||
        !addr_eq(&m->relay, &a->relay.addr) ||
        memcmp(m->ticket.b, a->relay.ticket, TICKET_BYTES) == 0)
        return false;
    memcpy(a->relay.ticket, m->ticket.b, TICKET_BYTES);
    a->relay.told = false;
    executor_relay_start(x, a);
    executor_relay_tick(x, a, out);
    return true;
}

void executor_relay_keep(struct attempt *a, struct outputs *out)
{
    struct relay_control c = {.op = RELAY_KEEP, .path = a->own_path};

    send_control(a, &c, out);
}

void executor_relay_tick(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (a->relay.bound && a->relay.tries < RETRIES) {
        executor_relay_keep(a, out);
        if (a->relay.ready)
            a->relay.tries++; /* KEPT clears it; unanswered ones mean that the relay is gone */
        a->relay.next_us = x->now_us + (a->relay.tries > 1 ? RELAY_KEEP_BUSY_US : keep_gap(x, a));
        return;
    }
    if (a->relay.waiting) {
        give_up(x, a, out);
        return;
    }
    if (a->relay.bound)
        executor_relay_start(x, a);
    if (a->relay.tries == BLOCKED_BINDS) /* of a settled session it may have died for good */
        ask_for_another(a, "unreachable", out);
    if (executor_may_knock(x, &a->relay.addr))
        bind(a, RELAY_BIND, NULL, out);
    size_t i = a->relay.tries < RETRIES ? a->relay.tries : RETRIES - 1;
    a->relay.next_us = x->now_us + retry_us[i];
    a->relay.tries = (uint8_t)(a->relay.tries < UINT8_MAX ? a->relay.tries + 1 : BLOCKED_BINDS);
}

static void on_ready(struct executor *x, struct attempt *a)
{
    if (a->relay.ready)
        return;
    a->relay.ready = true;
    executor_peer_is_there(x, a);
    if (!a->way[WAY_RELAY].confirmed) { /* both are bound: the handshake can ride here too */
        a->way[WAY_RELAY].burst = 0;
        a->way[WAY_RELAY].next_punch_us = x->now_us;
    }
}

static void on_bound(struct executor *x, struct attempt *a, uint8_t status, struct outputs *out)
{
    if (status > RELAY_READY) {
        if (a->way[WAY_RELAY].confirmed) { /* it worked before: keep asking */
            if (status == RELAY_BAD_TICKET || status == RELAY_EXPIRED)
                ask_for_another(a, "rendezvous-rejected", out);
            return;
        }
        a->relay.full = a->relay.full || status == RELAY_FULL;
        ask_for_another(a, status == RELAY_FULL ? "overloaded" : "rendezvous-rejected", out);
        a->relay.waiting = true;
        a->relay.next_us = x->now_us + RELAY_OTHER_US;
        return;
    }
    a->relay.bound = true;
    a->relay.told = false;
    a->relay.tries = 0;
    if (status == RELAY_READY)
        on_ready(x, a);
    a->relay.next_us = x->now_us + keep_gap(x, a);
    if (a->way[WAY_RELAY].next_punch_us <= x->now_us)
        executor_punch(x, a, WAY_RELAY, out);
}

static struct attempt *find_nonce(struct executor *x, const struct relay_control *c)
{
    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        struct attempt *a = &x->attempts[i];
        if (a->state >= ATTEMPT_EXECUTING && a->state < ATTEMPT_FAILED &&
            memcmp(a->relay.nonce, c->nonce, sizeof c->nonce) == 0)
            return a;
    }
    return NULL;
}

/* The path as it stood in our packet: ours in a KEEP, else theirs. */
static struct attempt *find_sent(struct executor *x, const struct path_id *path)
{
    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        struct attempt *a = &x->attempts[i];
        if (a->state >= ATTEMPT_EXECUTING && a->state < ATTEMPT_FAILED &&
            (memcmp(&a->own_path, path, sizeof *path) == 0 ||
             memcmp(&a->peer_path, path, sizeof *path) == 0))
            return a;
    }
    return NULL;
}

/* It was asked before it was there, or thinks of this side no more.  While an answer is due another one counts nothing. */
static void on_again(struct executor *x, struct attempt *a, const struct relay_control *c,
                     struct outputs *out)
{
    if (!a->relay.bound && a->relay.tries < 2)
        return;
    executor_relay_start(x, a);
    memcpy(a->relay.nonce, c->path.b, sizeof a->relay.nonce);
    bind(a, RELAY_PROVE, c->cookie, out);
    a->relay.tries = 1;
    a->relay.next_us = x->now_us + retry_us[0];
}

void executor_on_relay(struct executor *x, const struct input *in, struct outputs *out)
{
    struct relay_control c;
    struct attempt *a = NULL;

    if (!relay_parse(in->dgram.data, in->dgram.len, &c))
        c.op = 0;
    else if (c.op == RELAY_KEPT)
        a = executor_find_path(x, &c.path);
    else if (c.op == RELAY_UNKNOWN || c.op == RELAY_AGAIN)
        a = find_sent(x, &c.path);
    else
        a = find_nonce(x, &c);
    if (!a && (executor_relays_datagram(x, in, &c) || executor_swap_datagram(x, in, &c, out)))
        return;
    if (!a || in->dgram.sock != a->way[WAY_RELAY].sock ||
        !addr_eq(&in->dgram.src, &a->relay.addr)) {
        x->n.refused_datagrams++;
        return;
    }
    x->udp_silent = false;
    switch (c.op) {
    case RELAY_CHALLENGE:
        executor_knock_answered(x, &a->relay.addr);
        bind(a, RELAY_PROVE, c.cookie, out);
        break;
    case RELAY_BOUND: on_bound(x, a, c.status, out); break;
    case RELAY_KEPT:
        if (c.status <= RELAY_READY)
            on_bound(x, a, c.status, out);
        break;
    case RELAY_UNKNOWN:
        if (a->relay
                .bound) { /* a forged one costs this much and no more, since bound is false now */
            executor_relay_start(x, a);
            executor_relay_tick(x, a, out);
        }
        break;
    case RELAY_AGAIN: on_again(x, a, &c, out); break;
    default: x->n.refused_datagrams++;
    }
}
