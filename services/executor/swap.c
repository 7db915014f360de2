/*
 * swap.c - from one relay to another while data flows, as when the first drains.
 *
 * An order for a settled session that names another relay has its side bind there, beside the one in use.  READY says
 * that both sides are bound there, so each switches when it hears it, and is heard from then on: both relays are
 * listened to.  What is on its way over the first still arrives.
 */
#include "services/executor/internal.h"

#include <sodium.h>
#include <string.h>

enum { SWAP_TRIES = 25, SWAP_RETRY_US = 200 * 1000 };

bool executor_from_relay(const struct attempt *a, const struct addr *src)
{
    return addr_eq(src, &a->relay.addr) || (a->swap.to.len != 0 && addr_eq(src, &a->swap.to)) ||
           (a->swap.was.len != 0 && addr_eq(src, &a->swap.was));
}

void executor_swap_end(struct attempt *a)
{
    a->swap.to = (struct addr){0};
    a->swap.next_us = NEVER;
    sodium_memzero(a->swap.ticket, sizeof a->swap.ticket);
}

/* False when the order says nothing of another relay. */
bool executor_swap_order(struct executor *x, struct attempt *a,
                         const struct msg_punch_coordinate *m, struct outputs *out)
{
    if ((a->state != ATTEMPT_RELAYED && a->state != ATTEMPT_DIRECT) || a->mode != MODE_MANAGED ||
        a->policy == POLICY_DIRECT || a->relay.addr.len == 0 || m->attempt != a->renewals ||
        m->side != a->side || !peer_id_eq(&m->peer, &a->peer) || m->ticket.len != TICKET_BYTES ||
        addr_eq(&m->relay, &a->relay.addr) || addr_eq(&m->relay, &a->swap.to) ||
        !executor_admits(x, &m->relay))
        return false;
    a->swap.to = m->relay;
    memcpy(a->swap.ticket, m->ticket.b, TICKET_BYTES);
    rng_bytes(&x->rng, a->swap.nonce, sizeof a->swap.nonce);
    a->swap.tries = 0;
    executor_swap_tick(x, a, out);
    return true;
}

static void send_swap(struct attempt *a, enum relay_op op, const uint8_t *cookie,
                      struct outputs *out)
{
    struct relay_control c = {.op = (uint8_t)op};
    struct output *o = executor_datagram(out, a->way[WAY_RELAY].sock, &a->swap.to);

    memcpy(c.nonce, a->swap.nonce, sizeof c.nonce);
    memcpy(c.ticket, a->swap.ticket, sizeof c.ticket);
    if (cookie)
        memcpy(c.cookie, cookie, sizeof c.cookie);
    o->dgram.len = (uint16_t)relay_encode(&c, o->dgram.data);
}

static void give_up(struct attempt *a, const char *kind, struct outputs *out)
{
    struct msg_relay_refused *m = &emit(out, SERVICE_coordinator, MSG_relay_refused)->relay_refused;

    m->session = a->session;
    m->relay = a->swap.to;
    msg_text(m->kind, sizeof m->kind, kind);
    executor_swap_end(a);
}

/* Binding again says where the other side is, so it is asked until both are there. */
void executor_swap_tick(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (a->swap.tries++ == SWAP_TRIES) {
        give_up(a, "unreachable", out);
        return;
    }
    if (executor_may_knock(x, &a->swap.to))
        send_swap(a, RELAY_BIND, NULL, out);
    a->swap.next_us = x->now_us + SWAP_RETRY_US;
}

static void arrive(struct executor *x, struct attempt *a, struct outputs *out)
{
    a->swap.was = a->relay.addr;
    a->relay.addr = a->swap.to;
    memcpy(a->relay.ticket, a->swap.ticket, sizeof a->relay.ticket);
    memcpy(a->relay.nonce, a->swap.nonce, sizeof a->relay.nonce);
    a->relay.bound = a->relay.ready = true;
    a->relay.refused = a->relay.full = a->relay.told = a->relay.waiting = false;
    a->relay.tries = 0;
    a->relay.next_us = x->now_us + RELAY_KEEP_BUSY_US;
    executor_swap_end(a);
    x->n.relays_changed++;
    emit_note(out, &a->session, attempt_state_name[a->state], attempt_state_name[a->state],
              "moved to another relay");
}

/* True when it is the answer of a relay that a session moves to. */
bool executor_swap_datagram(struct executor *x, const struct input *in,
                            const struct relay_control *c, struct outputs *out)
{
    struct attempt *a = NULL;

    if (c->op != RELAY_CHALLENGE && c->op != RELAY_BOUND)
        return false;
    for (size_t i = 0; i < ATTEMPTS_MAX && !a; i++) {
        struct attempt *t = &x->attempts[i];
        if (t->swap.to.len != 0 && memcmp(t->swap.nonce, c->nonce, sizeof c->nonce) == 0 &&
            addr_eq(&t->swap.to, &in->dgram.src) && in->dgram.sock == t->way[WAY_RELAY].sock)
            a = t;
    }
    if (!a)
        return false;
    if (c->op == RELAY_CHALLENGE) {
        executor_knock_answered(x, &a->swap.to);
        send_swap(a, RELAY_PROVE, c->cookie, out);
    } else if (c->status == RELAY_READY) {
        arrive(x, a, out);
    } else if (c->status > RELAY_READY) {
        give_up(a, c->status == RELAY_FULL ? "overloaded" : "rendezvous-rejected", out);
    }
    return true;
}
