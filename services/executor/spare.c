/*
 * spare.c - a pool of sockets for raw hand-over, probed like socket 0, so that an order can name one by an
 * address that a prober vouched for.  One is spent by each raw session, and another takes its place.
 */
#include "services/executor/internal.h"

#include <string.h>

static uint16_t sock_of(const struct executor *x, const struct spare *s)
{
    return (uint16_t)(SPARE_FIRST + (s - x->spares));
}

static bool is_spare(uint16_t sock)
{
    return sock >= SPARE_FIRST && sock < SPARE_FIRST + SPARES_MAX;
}

/* Whom to ask, as different as there are: two probers, or two addresses of the one. */
static size_t choose_targets(const struct executor *x, struct addr to[static SPARE_TARGETS])
{
    size_t n = 0;

    for (size_t last = 0; last < 2; last++)
        for (size_t i = 0; i < x->probers.n && n < SPARE_TARGETS; i++) {
            const struct prober_info *p = &x->probers.v[i];
            const struct addr *a = &p->addrs[last ? p->n_addrs - 1 : 0];
            if (p->n_addrs > last && a->len == x->conf.local.len)
                to[n++] = *a;
        }
    return n;
}

/* In a round of probing: those that are missing are made, and all are asked for. */
void executor_spares_probe(struct executor *x)
{
    struct addr to[SPARE_TARGETS];
    size_t n = choose_targets(x, to);

    for (size_t i = 0; i < SPARES_MAX && x->conf.modes & 1u << MODE_RAW; i++) {
        struct spare *s = &x->spares[i];
        if (s->number == 0) {
            *s = (struct spare){.number = ++x->spare_number};
            s->is_new = true;
        }
        for (size_t j = 0; j < n; j++)
            executor_probe_target(x, &to[j], (uint8_t)sock_of(x, s));
    }
}

void executor_spares_open(struct executor *x, struct outputs *out)
{
    for (size_t i = 0; i < SPARES_MAX; i++) {
        struct spare *s = &x->spares[i];
        if (!s->is_new)
            continue;
        s->is_new = false;
        x->opened_asking++;
        executor_socket(SOCKET_CLOSE, sock_of(x, s), sock_of(x, s), out); /* of another network */
        executor_socket(SOCKET_OPEN, sock_of(x, s), sock_of(x, s), out);
    }
}

/* The prober's word on where one of them is seen. */
void executor_spare_token(struct executor *x, const struct probe_target *t,
                          const struct msg_token *raw, uint16_t local_port)
{
    struct spare *s = &x->spares[t->sock - SPARE_FIRST];
    size_t i = 0;

    assert(is_spare(t->sock));
    for (const struct probe_target *u = x->targets; u < t; u++)
        i += u->sock == t->sock;
    if (s->number == 0 || i >= SPARE_TARGETS)
        return;
    s->tokens[i] = *raw;
    s->port = local_port;
}

static void report(const struct executor *x, const struct spare *s, uint32_t *number,
                   struct addr *local, struct msg_token_list *tokens)
{
    for (size_t i = 0; i < SPARE_TARGETS && s->number != 0; i++)
        if (s->tokens[i].len > 0)
            tokens->v[tokens->n++] = s->tokens[i];
    if (tokens->n == 0)
        return;
    *number = s->number;
    *local = x->conf.local;
    local->port = s->port;
}

void executor_spares_report(const struct executor *x, struct msg_reflex_report *m)
{
    report(x, &x->spares[0], &m->spare, &m->spare_local, &m->spare_tokens);
    report(x, &x->spares[1], &m->spare2, &m->spare2_local, &m->spare2_tokens);
}

/* A round is over: is there one that it did not ask for? */
bool executor_spares_wanted(const struct executor *x)
{
    for (size_t i = 0; i < SPARES_MAX; i++)
        if (x->spares[i].number == 0 && x->conf.modes & 1u << MODE_RAW)
            return true;
    return false;
}

/* The sockets were bound to an address that is gone. */
void executor_spares_forget(struct executor *x) { memset(x->spares, 0, sizeof x->spares); }

/* The spare of this number becomes the socket `to`, and another one is made.  False when it is gone. */
bool executor_spare_take(struct executor *x, uint32_t number, uint16_t to, struct outputs *out)
{
    for (size_t i = 0; i < SPARES_MAX; i++) {
        struct spare *s = &x->spares[i];
        if (number == 0 || s->number != number || s->is_new)
            continue;
        executor_socket(SOCKET_MOVE, sock_of(x, s), to, out);
        for (size_t j = 0; j < x->n_targets; j++)
            if (x->targets[j].sock == sock_of(x, s))
                x->targets[j].done = true; /* its probes would leave by the next one */
        *s = (struct spare){0};
        if (!x->probing && x->next_probe_us > x->now_us)
            x->next_probe_us = x->now_us;
        return true;
    }
    return false;
}
