/*
 * swap.c - from one relay to another while data flows, as when the first drains.
 *
 * An order for a settled session that names another relay has its side bind there, beside the one in use.  READY says
 * that both sides are bound there, so each switches when it hears it, and is heard from then on: both relays are
 * listened to.  What is on its way over the first still arrives.
 *
 * In raw mode the application's socket hears the first relay only.  Another one at the same port binds at the second
 * and is heard there at the same address, since NATs can't tell the two apart; on READY the shell connects the
 * application's to the second.  What is on its way over the first then is lost.
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

/* The socket that has bound there beside the application's has done its part. */
void executor_swap_close(struct attempt *a, struct outputs *out)
{
    uint16_t sock = a->way[WAY_RELAY].sock;

    if (a->mode == MODE_RAW && a->swap.to.len != 0)
        executor_socket(SOCKET_CLOSE, sock, sock, out);
}

static bool may_swap(const struct attempt *a)
{
    if (a->mode == MODE_RAW)
        return a->state == ATTEMPT_RELAYED && a->hand.phase == HAND_DONE && a->flow == WAY_RELAY;
    return a->state == ATTEMPT_RELAYED || a->state == ATTEMPT_DIRECT;
}

/* False when the order says nothing of another relay. */
bool executor_swap_order(struct executor *x, struct attempt *a,
                         const struct msg_punch_coordinate *m, struct outputs *out)
{
    if (!may_swap(a) || a->policy == POLICY_DIRECT || a->relay.addr.len == 0 ||
        m->attempt != a->renewals || m->side != a->side || !peer_id_eq(&m->peer, &a->peer) ||
        m->ticket.len != TICKET_BYTES || addr_eq(&m->relay, &a->relay.addr) ||
        addr_eq(&m->relay, &a->swap.to) || !executor_admits(x, &m->relay))
        return false;
    uint16_t sock = a->way[WAY_RELAY].sock;
    if (a->mode == MODE_RAW && a->swap.to.len == 0)
        executor_socket(SOCKET_BESIDE, sock, sock, out);
    a->swap.to = m->relay;
    memcpy(a->swap.ticket, m->ticket.b, TICKET_BYTES);
    rng_bytes(&x->rng, a->swap.nonce, sizeof a->swap.nonce);
    a->swap.tries = 0;
    a->swap.next_us = x->now_us;
    if (a->mode == MODE_MANAGED) /* else when there is a socket to send by */
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
    executor_swap_close(a, out);
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

/* What keeps a managed session there, and binds it again. */
static void keep(const struct executor *x, struct attempt *a)
{
    memcpy(a->relay.ticket, a->swap.ticket, sizeof a->relay.ticket);
    a->relay.bound = a->relay.ready = true;
    a->relay.refused = a->relay.full = a->relay.told = a->relay.waiting = false;
    a->relay.tries = 0;
    a->relay.next_us = x->now_us + RELAY_KEEP_BUSY_US;
}

static void arrive(struct executor *x, struct attempt *a, struct outputs *out)
{
    a->swap.was = a->relay.addr;
    a->relay.addr = a->swap.to;
    memcpy(a->relay.nonce, a->swap.nonce, sizeof a->relay.nonce);
    if (a->mode == MODE_MANAGED) {
        keep(x, a);
    } else {
        executor_app(x, a, APP_MOVED, out);
        executor_swap_close(a, out);
    }
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
