/*
 * hairpin.c - does the NAT bring back in what is sent to its own outside, and under which source?  (RFC 4787
 * section 6.)  Two hosts behind one NAT that share no LAN have no other direct way.
 *
 * Socket 0 and a sample send to each other's public address, so that filters are open both ways, as they are
 * when two peers punch.  Only exact addresses of fresh tokens of this peer are sent to: they are its own,
 * whatever a coordinator says.
 */
#include "services/executor/internal.h"

#include <string.h>

static const uint32_t retry_us[HAIRPIN_TRIES - 1] = {100000, 150000};

void executor_hairpin_reset(struct executor *x)
{
    x->hairpin = (struct hairpin_test){.next_us = NEVER, .word_by_us = NEVER};
}

/* A prober's word on where the sample is seen, in a round that measures everything. */
void executor_hairpin_token(struct executor *x, const struct token *t)
{
    x->hairpin.outside[1] = t->addr;
}

/* The own token for socket 0 at the ip where the sample was seen: a pool of addresses has others. */
static bool find_outside(const struct executor *x, struct addr *out)
{
    struct token t;

    for (size_t i = 0; i < x->tokens.n; i++)
        if (token_read(&x->tokens.v[i], &t) && addr_ip_eq(&t.addr, &x->hairpin.outside[1])) {
            *out = t.addr;
            return true;
        }
    return false;
}

static void ask(struct executor *x, struct outputs *out)
{
    static const uint16_t from[2] = {HAIRPIN_SOCK, 0};
    struct hairpin_test *h = &x->hairpin;
    struct stun m = stun_request(h->txid);

    for (size_t i = 0; i < 2; i++) {
        if (!executor_may_measure(x, MEASURE_REST)) { /* it stays unknown */
            h->state = HAIRPIN_KNOWN;
            h->next_us = NEVER;
            return;
        }
        struct output *o = executor_datagram(out, from[i], &h->outside[i]);
        o->dgram.len = (uint16_t)stun_encode(&m, o->dgram.data);
    }
    h->next_us =
        x->now_us + (h->tries < HAIRPIN_TRIES - 1 ? retry_us[h->tries] : HAIRPIN_SILENCE_US);
    h->tries++;
}

/*
 * A host that is seen at its own address has no NAT that could.  What has another port for each prober, and lets in
 * only those that it has sent to, lets in nothing that is sent to a port which a prober has seen.
 */
void executor_hairpin_round_over(struct executor *x, struct outputs *out)
{
    struct hairpin_test *h = &x->hairpin;
    bool moves = executor_moves(x);

    if (h->state != HAIRPIN_OFF || h->outside[1].len == 0 ||
        addr_ip_eq(&h->outside[1], &x->conf.local) || !find_outside(x, &h->outside[0]) ||
        (moves && x->filter.state == FILTER_ASKING))
        return;
    if (moves && x->filter.state == FILTER_KNOWN && !x->filter.heard[FILTER_OTHER_IP]) {
        h->state = HAIRPIN_KNOWN;
        h->is = HAIRPIN_NONE;
        return;
    }
    h->state = HAIRPIN_ASKING;
    rng_bytes(&x->rng, h->txid, sizeof h->txid);
    ask(x, out);
}

static void known(struct executor *x, enum hairpin is, struct outputs *out)
{
    struct hairpin_test *h = &x->hairpin;

    h->state = HAIRPIN_KNOWN;
    h->is = is;
    h->next_us = NEVER;
    if (x->probing || !x->told) /* the round's own report will say it */
        return;
    executor_probe_report(x, out);
    h->word_by_us = x->now_us + PROFILE_WAIT_US;
}

void executor_hairpin_tick(struct executor *x, struct outputs *out)
{
    struct hairpin_test *h = &x->hairpin;

    if (h->word_by_us <= x->now_us)
        h->word_by_us = NEVER;
    if (h->next_us > x->now_us)
        return;
    if (h->tries < HAIRPIN_TRIES)
        ask(x, out);
    else
        known(x, HAIRPIN_NONE, out);
}

bool executor_hairpin_datagram(struct executor *x, const struct input *in, const struct stun *m,
                               struct outputs *out)
{
    struct hairpin_test *h = &x->hairpin;

    if (h->state != HAIRPIN_ASKING || m->type != STUN_BINDING_REQUEST ||
        (in->dgram.sock != 0 && in->dgram.sock != HAIRPIN_SOCK) ||
        memcmp(h->txid, m->txid, sizeof h->txid) != 0)
        return false;
    known(x, addr_ip_eq(&in->dgram.src, &x->conf.local) ? HAIRPIN_INTERNAL : HAIRPIN_EXTERNAL, out);
    return true;
}

int64_t executor_hairpin_deadline(const struct executor *x)
{
    return x->hairpin.next_us < x->hairpin.word_by_us ? x->hairpin.next_us : x->hairpin.word_by_us;
}

bool executor_hairpin_pending(const struct executor *x)
{
    return x->hairpin.state == HAIRPIN_ASKING || x->hairpin.word_by_us != NEVER;
}
