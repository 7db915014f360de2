/*
 * filter.c - what the own NAT lets in (RFC 5780 section 4.4): probers answer from addresses that a socket
 * has never sent to.
 *
 * The sockets are samples, which send to one prober address alone, so that the test spoils neither their
 * filters nor anybody's mapping.  Each asks for an answer from another ip and port and for one from
 * another port.  Answers to all of them tell at once; an answer to one alone does not, since its port may
 * be one that the NAT still holds open from a process before.  Silence tells after the last try of all and
 * more, since one lost answer would make a NAT look stricter than it is, and of one of them only where the
 * fresh socket of early.c has heard nothing either; and only of addresses that have answered this round when
 * they were asked themselves, since what is borrowed may be another host's, and that one away.  The report
 * of the mapping does not wait for it.
 */
#include "lib/stun.h"
#include "services/executor/internal.h"

#include <string.h>

/* What is asked for, and which of the prober's addresses (a1p1, a1p2, a2p1, a2p2) then answers. */
static const struct {
    uint32_t change;
    uint8_t answers;
} asks[FILTER_ASKS] = {
    [FILTER_OTHER_IP] = {STUN_CHANGE_IP | STUN_CHANGE_PORT, 3},
    [FILTER_OTHER_PORT] = {STUN_CHANGE_PORT,                  1},
};

static const uint32_t retry_us[FILTER_TRIES - 1] = {100000, 150000, 250000};

/* The first prober that has a second ip to answer from. */
const struct addr *executor_filter_server(const struct executor *x)
{
    for (size_t i = 0; i < x->probers.n && x->conf.n_samples >= FILTER_SOCKETS; i++)
        if (x->probers.v[i].n_addrs == 4 && x->probers.v[i].addrs[0].len == x->conf.local.len)
            return x->probers.v[i].addrs;
    return NULL;
}

bool executor_filter_wanted(const struct executor *x)
{
    return x->filter.state == FILTER_OFF && x->filter.rounds < FILTER_ROUNDS &&
           executor_filter_server(x);
}

void executor_filter_start(struct executor *x)
{
    struct filter_test *f = &x->filter;
    const struct addr *server = executor_filter_server(x);
    uint8_t rounds = f->rounds;

    memset(f, 0, sizeof *f);
    f->word_by_us = NEVER;
    for (size_t i = 0; i < FILTER_SOCKETS; i++)
        f->from[i].next_us = NEVER;
    if (!server)
        return;
    f->state = FILTER_ASKING;
    f->rounds = rounds + 1;
    memcpy(f->server, server, sizeof f->server);
}

static void ask(struct executor *x, struct filter_socket *s, struct outputs *out)
{
    for (size_t k = 0; k < FILTER_ASKS; k++) {
        struct stun m = stun_request(s->txid[k]);
        if (s->heard[k])
            continue;
        struct output *o =
            executor_datagram(out, (uint8_t)(s - x->filter.from + 1), &x->filter.server[0]);
        m.has_change = true;
        m.change = asks[k].change;
        m.has_cookie = s->has_cookie;
        memcpy(m.cookie, s->cookie, sizeof m.cookie);
        o->dgram.len = (uint16_t)stun_encode(&m, o->dgram.data);
    }
    s->next_us = s->tries < FILTER_TRIES - 1 ? x->now_us + retry_us[s->tries] : NEVER;
    s->tries++;
    int64_t silence_us = 3 * x->filter.rtt_us;
    s->silent_us =
        x->now_us + (silence_us > FILTER_SILENCE_US ? silence_us : (int64_t)FILTER_SILENCE_US);
}

/* The plain answer has come to this socket: the same path carries the questions. */
void executor_filter_begin(struct executor *x, const struct probe_target *t, const struct stun *m,
                           struct outputs *out)
{
    struct filter_test *f = &x->filter;

    if (f->state != FILTER_ASKING || t->sock > FILTER_SOCKETS || !addr_eq(&t->addr, &f->server[0]))
        return;
    struct filter_socket *s = &f->from[t->sock - 1];
    s->begun = true;
    s->has_cookie = m->has_cookie;
    memcpy(s->cookie, m->cookie, sizeof s->cookie);
    for (size_t k = 0; k < FILTER_ASKS; k++)
        rng_bytes(&x->rng, s->txid[k], sizeof s->txid[k]);
    if (t->rtt_ms * 1000 > f->rtt_us)
        f->rtt_us = t->rtt_ms * 1000;
    ask(x, s, out);
}

static void known(struct executor *x, struct outputs *out)
{
    x->filter.state = FILTER_KNOWN;
    x->filter.rounds = 0;
    if (x->probing || !x->told) /* the round's own report will say it */
        return;
    executor_probe_report(x, out);
    x->filter.word_by_us = x->now_us + PROFILE_WAIT_US;
}

/* Without plain answers to every socket, silence would say nothing: a later round tries again. */
void executor_filter_round_over(struct executor *x)
{
    for (size_t i = 0; i < FILTER_SOCKETS; i++)
        if (x->filter.state == FILTER_ASKING && !x->filter.from[i].begun)
            x->filter.state = FILTER_OFF;
}

/* When the silence of all sockets will have said it; NEVER while one of them still has tries. */
static int64_t silent_us(const struct filter_test *f)
{
    int64_t last_us = 0;

    for (size_t i = 0; i < FILTER_SOCKETS; i++) {
        if (!f->from[i].begun || f->from[i].next_us != NEVER)
            return NEVER;
        if (f->from[i].silent_us > last_us)
            last_us = f->from[i].silent_us;
    }
    return last_us;
}

/* Are the addresses that were silent there, and do they answer who asks them? */
static bool all_answer(const struct executor *x)
{
    for (size_t k = 0; k < FILTER_ASKS; k++)
        if (!x->filter.heard[k] && !executor_probe_answered(x, &x->filter.server[asks[k].answers]))
            return false;
    return true;
}

void executor_filter_tick(struct executor *x, struct outputs *out)
{
    struct filter_test *f = &x->filter;

    if (f->word_by_us <= x->now_us)
        f->word_by_us = NEVER;
    if (f->state != FILTER_ASKING)
        return;
    for (size_t i = 0; i < FILTER_SOCKETS; i++)
        if (f->from[i].next_us <= x->now_us)
            ask(x, &f->from[i], out);
    if (silent_us(f) > x->now_us)
        return;
    for (size_t k = 0; k < FILTER_ASKS; k++) /* two of three: answers get lost */
        f->heard[k] = f->heard[k] || ((f->from[0].heard[k] || f->from[1].heard[k]) &&
                                      executor_early_heard(x, (enum filter_ask)k));
    if (all_answer(x))
        known(x, out);
    else
        f->state = FILTER_OFF;
}

static bool all_heard(const struct filter_test *f, size_t k)
{
    for (size_t i = 0; i < FILTER_SOCKETS; i++)
        if (!f->from[i].heard[k])
            return false;
    return true;
}

bool executor_filter_datagram(struct executor *x, const struct input *in, const struct stun *m,
                              struct outputs *out)
{
    struct filter_test *f = &x->filter;

    if (f->state != FILTER_ASKING || in->dgram.sock == 0 || in->dgram.sock > FILTER_SOCKETS)
        return false;
    struct filter_socket *s = &f->from[in->dgram.sock - 1];
    for (size_t k = 0; k < FILTER_ASKS && s->begun; k++) {
        if (memcmp(s->txid[k], m->txid, sizeof s->txid[k]) != 0)
            continue;
        if (m->type == STUN_BINDING_ERROR && addr_eq(&in->dgram.src, &f->server[0])) {
            f->state = FILTER_OFF; /* over its budget, or has one address: nothing is known */
            return true;
        }
        if (m->type != STUN_BINDING_RESPONSE ||
            !addr_eq(&in->dgram.src, &f->server[asks[k].answers]))
            return false;
        s->heard[k] = true;
        f->heard[k] = all_heard(f, k);
        if (f->heard[FILTER_OTHER_IP])
            known(x, out);
        return true;
    }
    return false;
}

int64_t executor_filter_deadline(const struct executor *x)
{
    const struct filter_test *f = &x->filter;
    int64_t next = f->word_by_us;

    if (f->state != FILTER_ASKING)
        return next;
    if (silent_us(f) < next)
        next = silent_us(f);
    for (size_t i = 0; i < FILTER_SOCKETS; i++)
        if (f->from[i].next_us < next)
            next = f->from[i].next_us;
    return next;
}

bool executor_filter_pending(const struct executor *x)
{
    return x->filter.state == FILTER_ASKING || x->filter.word_by_us != NEVER;
}
