/*
 * range.c - from how many ports does the own NAT draw?
 *
 * When it draws at random, or by steps that hardly show, and the few that were seen lie close together, fresh sockets ask
 * a prober at once, until RANGE_SAMPLES ports are known; the classifier makes a block of them or not
 * (services/classifier/block.h).  The sockets are closed then, and what they saw goes into one more report of the round.
 */
#include "services/executor/internal.h"

#include <string.h>

/* What is open then is closed with the next tick, which is due at once. */
void executor_range_reset(struct executor *x)
{
    x->range.next_us = x->range.open ? x->now_us : NEVER;
    x->range.state = RANGE_OFF;
    x->range.word_due = false;
    x->range.n = 0;
}

/*
 * Two draws from a small block may be the same by chance, and then a NAT that draws for each address seems to keep one for
 * all.  A sample that asks another ip too has the same luck hardly ever; not one of those that measure the filter.
 */
void executor_range_second_look(struct executor *x, const struct addr *asked)
{
    for (size_t i = 0; i < x->n_targets && x->conf.n_samples >= HAIRPIN_SOCK; i++)
        if (!addr_ip_eq(&x->targets[i].addr, asked)) {
            const struct addr other = x->targets[i].addr;
            executor_probe_target(x, &other, HAIRPIN_SOCK);
            x->targets[x->n_targets - 1].plain = true;
            return;
        }
}

static uint16_t sock_of(size_t i) { return (uint16_t)(RANGE_FIRST + i); }

static void close_all(struct executor *x, struct outputs *out)
{
    if (x->range.open)
        executor_socket(SOCKET_CLOSE, sock_of(0), sock_of(RANGE_SOCKETS - 1), out);
    x->range.open = false;
}

/* Ports that the round has shown: socket 0's may be one and the same everywhere. */
static size_t ports_seen(const struct executor *x)
{
    size_t n = 0;

    for (size_t i = 0; i < x->n_targets; i++) {
        bool again = !x->targets[i].answered || x->targets[i].sock > SAMPLES_MAX;
        for (size_t j = 0; j < i && !again; j++)
            again = x->targets[j].answered && x->targets[j].seen.port == x->targets[i].seen.port;
        n += !again;
    }
    for (size_t i = 0; i < EARLY_SOCKETS; i++)
        n += x->early.first[i].seen.len != 0;
    return n;
}

static void ask(struct executor *x, struct outputs *out)
{
    struct range_test *r = &x->range;

    for (size_t i = 0; i < r->n; i++) {
        struct stun m = stun_request(r->v[i].txid);
        if (r->v[i].seen.len != 0 || !executor_may_measure(x, MEASURE_REST) ||
            !executor_may_knock(x, &r->server))
            continue;
        struct output *o = executor_datagram(out, sock_of(i), &r->server);
        o->dgram.len = (uint16_t)stun_encode(&m, o->dgram.data);
    }
    r->next_us = x->now_us + executor_probe_retry_us[r->tries++];
}

/* So few ports may be steps apart by chance, or seem to be drawn where others take some. */
static bool is_doubtful(const struct profile *p, size_t seen)
{
    return p->allocation == ALLOC_RANDOM ||
           (p->allocation == ALLOC_UNKNOWN && seen >= RANGE_DOUBT_MIN);
}

void executor_range_want(struct executor *x, struct outputs *out)
{
    struct range_test *r = &x->range;
    const struct profile *p = &x->profile;
    size_t seen = ports_seen(x);

    if (r->state != RANGE_OFF || !x->full_round || x->probing || !is_doubtful(p, seen) ||
        p->port_hi == 0 || p->port_hi - p->port_lo >= RANGE_SPREAD_MAX || seen >= RANGE_SAMPLES)
        return;
    close_all(x, out);
    *r = (struct range_test){.state = RANGE_ASKING, .open = true, .server = x->targets[0].addr};
    for (; r->n < RANGE_SOCKETS && seen + r->n < RANGE_SAMPLES; r->n++) {
        rng_bytes(&x->rng, r->v[r->n].txid, sizeof r->v[r->n].txid);
        executor_socket(SOCKET_OPEN, sock_of(r->n), sock_of(r->n), out);
        x->opened_asking++;
    }
    ask(x, out);
}

/* It has come, or won't. */
void executor_range_word(struct executor *x)
{
    if (x->range.state == RANGE_KNOWN) {
        x->range.next_us = NEVER;
        x->range.word_due = false;
    }
}

bool executor_range_measuring(const struct executor *x)
{
    return x->range.state == RANGE_ASKING || x->range.word_due;
}

/* Calls wait for it where they may need the block, or where the few ports of the round did not tell how to be reached. */
bool executor_range_pending(const struct executor *x)
{
    const struct profile *p = &x->profile;
    bool moves = p->mapping == NAT_AD || p->mapping == NAT_APD;

    return executor_range_measuring(x) && (x->conf.blocks > 0 || p->mapping == NAT_UNKNOWN ||
                                           (moves && p->allocation == ALLOC_UNKNOWN));
}

static void finish(struct executor *x, struct outputs *out)
{
    x->range.state = RANGE_KNOWN;
    x->range.next_us = x->now_us + PROFILE_WAIT_US; /* for the classifier's word */
    x->range.word_due = true;
    close_all(x, out);
    if (x->told)
        executor_probe_report(x, out);
}

void executor_range_tick(struct executor *x, struct outputs *out)
{
    if (x->range.next_us > x->now_us)
        return;
    if (x->range.state == RANGE_OFF) {
        close_all(x, out);
        x->range.next_us = NEVER;
        return;
    }
    if (x->range.state == RANGE_KNOWN) {
        executor_range_word(x);
        executor_ask_all(x, out);
        return;
    }
    if (x->range.tries == PROBE_TRIES)
        finish(x, out);
    else
        ask(x, out);
}

bool executor_range_datagram(struct executor *x, const struct input *in, const struct stun *m,
                             struct outputs *out)
{
    struct range_test *r = &x->range;
    size_t i = (size_t)in->dgram.sock - RANGE_FIRST;
    bool all = true;

    if (r->state != RANGE_ASKING || in->dgram.sock < RANGE_FIRST || i >= r->n ||
        m->type != STUN_BINDING_RESPONSE || m->mapped.len == 0 ||
        !addr_eq(&in->dgram.src, &r->server) || memcmp(m->txid, r->v[i].txid, sizeof m->txid) != 0)
        return false;
    r->v[i].seen = m->mapped;
    r->v[i].local_port = in->dgram.local_port;
    for (size_t j = 0; j < r->n; j++)
        all = all && r->v[j].seen.len != 0;
    if (all)
        finish(x, out);
    return true;
}

/* After the round's own: to the classifier they are further samples, in the order of sending. */
void executor_range_report(const struct executor *x, struct observation_list *l)
{
    const struct range_test *r = &x->range;
    size_t first = x->early.state == EARLY_OFF ? EARLY_SAMPLE : EARLY_SAMPLE + EARLY_SOCKETS;

    for (size_t i = 0; i < r->n && x->full_round && l->n < OBSERVATIONS_MAX; i++)
        if (r->v[i].seen.len != 0)
            l->v[l->n++] = (struct observation){.sock = (uint8_t)(first + i),
                                                .local_port = r->v[i].local_port,
                                                .rtt_ms = x->targets[0].rtt_ms,
                                                .prober = r->server,
                                                .seen = r->v[i].seen};
}

/* To the classifier early.c's sockets are samples too, asked for right after the round's own. */
void executor_early_report(const struct executor *x, struct observation_list *l)
{
    const struct early_test *e = &x->early;

    for (size_t i = 0; i < EARLY_SOCKETS && x->full_round && l->n < OBSERVATIONS_MAX; i++)
        if (e->first[i].seen.len != 0)
            l->v[l->n++] = (struct observation){.sock = (uint8_t)(EARLY_SAMPLE + i),
                                                .local_port = e->first[i].local_port,
                                                .rtt_ms = e->first[i].rtt_ms,
                                                .prober = e->server[0],
                                                .seen = e->first[i].seen};
}
