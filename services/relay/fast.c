/* fast.c - see fast.h. */
#include "services/relay/fast.h"

static bool is_on(const struct relay_session *s)
{
    return s->fast[0].at != EXPRESS_NONE && s->fast[1].at != EXPRESS_NONE;
}

/* What side `from` sends lies in the cell of the other end's path id. */
static void count_side(struct relay *r, struct relay_session *s, unsigned from, int64_t now_us)
{
    struct relay_fast *f = &s->fast[!from];
    uint64_t packets = express_packets(&r->express, f->at) - f->packets,
             left = express_left(&r->express, f->at), bytes = left < f->lent ? f->lent - left : 0;

    if (packets > 0)
        s->side[from].seen_us = now_us;
    f->packets += packets;
    f->lent -= bytes;
    s->packets += packets;
    s->bytes += bytes;
    r->n.forwarded_packets += packets;
    r->n.forwarded_bytes += bytes;
    r->n.by_xdp += packets;
}

void relay_fast_count(struct relay *r, struct relay_session *s)
{
    if (!is_on(s))
        return;
    count_side(r, s, 0, r->now_us);
    count_side(r, s, 1, r->now_us);
}

void relay_fast_take_back(struct relay *r, struct relay_session *s, unsigned from, int64_t now_us)
{
    struct relay_fast *f = &s->fast[!from];

    if (!is_on(s))
        return;
    count_side(r, s, from, now_us);
    uint64_t back = express_revoke(&r->express, f->at);
    uint64_t spent = back < f->lent ? f->lent - back : 0; /* since it was counted */
    s->bytes += spent;
    r->n.forwarded_bytes += spent;
    f->lent = 0;
    quota_return(&s->side[from].quota, back, now_us);
}

void relay_fast_lend(struct relay *r, struct relay_session *s, unsigned from, int64_t now_us)
{
    struct relay_fast *f = &s->fast[!from];

    if (!is_on(s))
        return;
    f->lent = quota_lend(&s->side[from].quota, now_us);
    express_grant(&r->express, f->at, f->lent);
}

void relay_fast_off(struct relay *r, struct relay_session *s)
{
    for (unsigned from = 0; from < 2; from++)
        relay_fast_take_back(r, s, from, r->now_us);
    for (unsigned i = 0; i < 2; i++) {
        if (s->fast[i].at != EXPRESS_NONE)
            express_leave(&r->express, s->fast[i].at);
        s->fast[i] = (struct relay_fast){.at = EXPRESS_NONE};
    }
}

static bool may_be_fast(const struct relay_session *s)
{
    for (unsigned i = 0; i < 2; i++)
        if (s->side[i].addr.len != 4 || s->side[i].raw)
            return false;
    return true;
}

void relay_fast_on(struct relay *r, struct relay_session *s)
{
    relay_fast_off(r, s);
    if (!may_be_fast(s))
        return;
    for (unsigned i = 0; i < 2; i++)
        s->fast[i].at = express_take(&r->express, table_key(&r->by_path, s->end[i]));
    if (!is_on(s)) {
        relay_fast_off(r, s);
        return;
    }
    for (unsigned from = 0; from < 2; from++) {
        express_lead(&r->express, s->fast[!from].at, s->fast[from].at, &s->side[from].addr,
                     &s->side[!from].addr);
        relay_fast_lend(r, s, from, r->now_us);
    }
}
