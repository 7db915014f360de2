/*
 * filter.c - what the own NAT lets in (RFC 5780 section 4.4): probers answer from addresses that a socket
 * has never sent to.
 *
 * The sockets are samples, which send to one prober address alone, so that the test spoils neither their
 * filters nor anybody's mapping, and the first one of early.c, which is as fresh.  The first two of them that can ask
 * for an answer from another ip and port, and for one from another port: without the second there is no need to ask
 * again for the first, since no NAT lets in another ip and keeps out the port of one that it knows.  An answer to one
 * alone does not tell, since its port may be one that the NAT still holds open from a process before; and its silence
 * would make a NAT look stricter than it is when answers got lost.  So when the two differ the third one asks too, and
 * two of three have it.  Silence tells some time after the last try; and only of addresses that have answered this
 * round when they were asked themselves, since what is borrowed may be another host's, and that one away.  The
 * report of the mapping does not wait for it.
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
        if (s->heard[k] || (k == FILTER_OTHER_IP && s->tries > 0 && !s->heard[FILTER_OTHER_PORT]))
            continue;
        if (!executor_may_measure(x, MEASURE_REST)) { /* a later round tries again */
            x->filter.state = FILTER_OFF;
            return;
        }
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

/* ---- what they say ------------------------------------------------------------------------------------ */

enum { VOTERS = FILTER_SOCKETS + 1, CONTROL = FILTER_SOCKETS }; /* the samples, and early.c's */

static enum filter_vote vote(const struct executor *x, size_t i, enum filter_ask k)
{
    if (i == CONTROL)
        return executor_early_vote(x, k);
    const struct filter_socket *s = &x->filter.from[i];
    if (!s->begun)
        return FILTER_ABSENT;
    if (s->heard[k])
        return FILTER_HEARD;
    return s->over ? FILTER_SILENT : FILTER_OPEN;
}

static size_t votes(const struct executor *x, enum filter_ask k, enum filter_vote which)
{
    size_t n = 0;

    for (size_t i = 0; i < VOTERS; i++)
        n += vote(x, i, k) == which;
    return n;
}

static uint8_t tries(const struct executor *x, size_t i)
{
    return i == CONTROL ? x->early.from[0].tries : x->filter.from[i].tries;
}

/* Has one heard what another one didn't, though it has asked again? */
static bool differ(const struct executor *x)
{
    bool differ = false;

    for (size_t k = 0; k < FILTER_ASKS; k++) {
        bool again = votes(x, k, FILTER_SILENT) > 0;
        for (size_t i = 0; i < VOTERS; i++)
            again = again || (vote(x, i, k) == FILTER_OPEN && tries(x, i) > 1);
        differ = differ || (again && votes(x, k, FILTER_HEARD) == 1);
    }
    return differ;
}

/* Has one of them asked again, so that others were to be heard of? */
static bool is_late(const struct executor *x)
{
    bool late = false;

    for (size_t i = 0; i < VOTERS; i++)
        late = late || (vote(x, i, 0) != FILTER_ABSENT && tries(x, i) > 1);
    return late;
}

/* As many as are needed of those that can.  Early.c's mostly begins by itself, and is not waited for long. */
static void begin_more(struct executor *x, struct outputs *out)
{
    bool awaited = !is_late(x) && executor_early_pending(x) && vote(x, CONTROL, 0) == FILTER_ABSENT;
    size_t wanted = differ(x) ? VOTERS : VOTERS - 1 - (size_t)awaited;
    size_t n = VOTERS - votes(x, 0, FILTER_ABSENT);

    for (size_t i = 0; i < FILTER_SOCKETS && n < wanted; i++) {
        struct filter_socket *s = &x->filter.from[i];
        if (!s->ready || s->begun)
            continue;
        s->begun = true;
        ask(x, s, out);
        n++;
    }
    if (n > 0 && n < wanted && is_late(x))
        executor_early_ask(x, out);
}

/* The plain answer has come to this socket: the same path carries the questions. */
void executor_filter_begin(struct executor *x, const struct probe_target *t, const struct stun *m,
                           struct outputs *out)
{
    struct filter_test *f = &x->filter;

    if (f->state != FILTER_ASKING || t->sock > FILTER_SOCKETS || !addr_eq(&t->addr, &f->server[0]))
        return;
    struct filter_socket *s = &f->from[t->sock - 1];
    s->ready = true;
    s->has_cookie = m->has_cookie;
    memcpy(s->cookie, m->cookie, sizeof s->cookie);
    for (size_t k = 0; k < FILTER_ASKS; k++)
        rng_bytes(&x->rng, s->txid[k], sizeof s->txid[k]);
    if (t->rtt_ms * 1000 > f->rtt_us)
        f->rtt_us = t->rtt_ms * 1000;
    begin_more(x, out);
}

static void known(struct executor *x, struct outputs *out)
{
    x->filter.state = FILTER_KNOWN;
    x->filter.rounds = 0;
    if (x->probing || !x->told) /* the round's own report will say it */
        return;
    executor_hairpin_round_over(x, out); /* which may have waited for it */
    executor_probe_report(x, out);
    x->filter.word_by_us = x->now_us + PROFILE_WAIT_US;
}

/* Are the addresses that were silent there, and do they answer who asks them? */
static bool all_answer(const struct executor *x)
{
    for (size_t k = 0; k < FILTER_ASKS; k++)
        if (!x->filter.heard[k] && !executor_probe_answered(x, &x->filter.server[asks[k].answers]))
            return false;
    return true;
}

/* Is there one that may still say something? */
static bool may_tell(const struct executor *x)
{
    return x->probing || votes(x, FILTER_OTHER_IP, FILTER_OPEN) > 0 || executor_early_pending(x);
}

/* What two say is so. */
void executor_filter_judge(struct executor *x, struct outputs *out)
{
    struct filter_test *f = &x->filter;
    bool silent = true;

    if (f->state == FILTER_ASKING)
        begin_more(x, out);
    if (f->state != FILTER_ASKING)
        return;
    for (size_t k = 0; k < FILTER_ASKS; k++) {
        f->heard[k] = votes(x, k, FILTER_HEARD) > 1;
        silent = silent && (f->heard[k] || votes(x, k, FILTER_SILENT) > 1);
    }
    if (f->heard[FILTER_OTHER_IP] || (silent && all_answer(x)))
        known(x, out);
    else if (!may_tell(x)) /* a later round tries again */
        f->state = FILTER_OFF;
}

void executor_filter_tick(struct executor *x, struct outputs *out)
{
    struct filter_test *f = &x->filter;

    if (f->word_by_us <= x->now_us)
        f->word_by_us = NEVER;
    if (f->state != FILTER_ASKING)
        return;
    for (size_t i = 0; i < FILTER_SOCKETS; i++)
        if (f->from[i].begun && f->from[i].next_us <= x->now_us)
            ask(x, &f->from[i], out);
        else if (f->from[i].begun && f->from[i].next_us == NEVER)
            f->from[i].over = f->from[i].silent_us <= x->now_us;
    executor_filter_judge(x, out);
}

/* What lets in another ip lets in another port. */
static void hear(struct executor *x, struct filter_socket *s, enum filter_ask k,
                 struct outputs *out)
{
    s->heard[FILTER_OTHER_PORT] = true;
    s->heard[k] = true;
    if (s->heard[FILTER_OTHER_IP]) {
        s->next_us = NEVER;
        s->over = true;
    } else if (s->tries > 1) { /* it was asked for the other ip once only */
        s->tries = 1;
        s->over = false;
        ask(x, s, out);
    }
    executor_filter_judge(x, out);
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
        if (!s->heard[k])
            hear(x, s, (enum filter_ask)k, out);
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
    for (size_t i = 0; i < FILTER_SOCKETS; i++) {
        const struct filter_socket *s = &f->from[i];
        int64_t at_us = s->next_us != NEVER ? s->next_us : s->silent_us;
        if (s->begun && !s->over && at_us < next)
            next = at_us;
    }
    return next;
}

bool executor_filter_pending(const struct executor *x)
{
    return x->filter.state == FILTER_ASKING || x->filter.word_by_us != NEVER;
}
