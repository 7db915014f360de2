/*
 * hops.c - which TTL passes the own NATs where each destination sees another port, so that nobody can be had to answer
 * through a mapping that packets with few hops have opened: see early.c.
 *
 * There the way to a prober is measured, by halves, and one hop less is used.  It lies behind the own NATs, and peers are
 * farther.  One socket does all that, which the prober has seen before: when it sees it where it was, after all the
 * packets that fell short, their errors end no mapping.  Each step has transaction ids of its own, since an
 * answer that comes late would speak of more hops than are tried now.
 */
#include "services/executor/internal.h"

enum { BEYOND = 2 }; /* hops: the first one is the own NAT */

/* All else is known; or a session waits, which may need it. */
bool executor_hops_due(const struct executor *x)
{
    const struct early_socket *control = &x->early.from[EARLY_CONTROL];
    bool waits = false, done = control->phase == EARLY_DONE;

    if (x->early.state != EARLY_ASKING || x->early.ways || control->seen.len == 0)
        return false;
    for (size_t i = 0; i < ATTEMPTS_MAX; i++)
        waits = waits || x->attempts[i].state == ATTEMPT_REQUESTED ||
                x->attempts[i].state == ATTEMPT_EXECUTING;
    return waits ? done || !executor_moves(x) : done && executor_whole(x);
}

/* What the last step has shown.  False: all is known. */
static bool learn(struct early_test *e, const struct early_socket *s)
{
    bool again = e->reaches != 0 && s->ttl == e->falls_short; /* all was tried before */

    if (e->reaches == 0) {
        e->reaches = EARLY_WAY_MAX + 1;
        e->before = s->out[EARLY_FAR];
        return e->before.len != 0;
    }
    if (s->far) {
        e->reaches = s->ttl;
        e->falls_short = again ? 0 : e->falls_short; /* it was said to by mere losses */
        return true;
    }
    e->falls_short = s->ttl;
    if (!again)
        return true;
    bool same = addr_eq(&s->out[EARLY_FAR], &e->before);
    e->kills = s->out[EARLY_FAR].len != 0 && !same;
    e->ttl = same ? e->falls_short : 0;
    return false;
}

bool executor_hops_next(struct executor *x, struct outputs *out)
{
    struct early_test *e = &x->early;
    struct early_socket *s = &e->from[EARLY_CONTROL];

    if (!learn(e, s))
        return false;
    bool between = e->reaches - e->falls_short > 1;
    if (!between && (e->falls_short < BEYOND || e->reaches > EARLY_WAY_MAX))
        return false;
    s->ttl = (uint8_t)(between ? (e->falls_short + e->reaches) / 2 : e->falls_short);
    s->far = false;
    s->out[EARLY_FAR] = (struct addr){0};
    rng_bytes(&x->rng, s->txid, sizeof s->txid);
    executor_early_enter(x, s, between ? EARLY_WAY : EARLY_OUT, out);
    return true;
}

/* Does any of those that tried a TTL show that packets arrive, or that an error ends mappings? */
bool executor_hops_end(struct early_test *e)
{
    bool far = false;

    for (size_t i = EARLY_CONTROL + 1; i < EARLY_SOCKETS; i++) {
        const struct early_socket *s = &e->from[i];
        far = far || s->far;
        e->kills = e->kills || (s->out[0].len != 0 && !addr_eq(&s->out[0], &s->seen));
    }
    return far || e->kills || e->tried + EARLY_PER_TURN > EARLY_TTL_MAX;
}

int64_t executor_early_deadline(const struct executor *x)
{
    return executor_hops_due(x) ? x->now_us : x->early.next_us;
}
