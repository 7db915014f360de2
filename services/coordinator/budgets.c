/*
 * budgets.c - how much of what costs something a peer, an ip, a target's callers and all together may have.
 *
 *   a peer      so many of each kind in its minute, from its first on
 *   an ip       (IPv6: a /56) requests, new attachments, and calls of one target; public ones only, since behind a
 *               gateway all look alike
 *   a target    calls, whoever makes them; an ip has a part of that, so that none can use up a target's alone
 *   all         requests and new attachments, per second
 *
 * What is refused costs nothing further: an ip that is over its budget takes nothing of what there is for all.
 */
#include "services/coordinator/parts.h"

#include <sodium.h>

enum { SECOND_US = 1000000 };

/* ---- a peer --------------------------------------------------------------------------------------- */

bool coordinator_limited(struct coordinator *c, struct coordinator_peer *p,
                         enum coordinator_limit limit)
{
    if (c->now_us - p->window_us >= COORD_WINDOW_US) {
        p->window_us = c->now_us;
        memset(p->used, 0, sizeof p->used);
    }
    if (p->used[limit] >= c->limits[limit]) {
        c->n.rate_limited++;
        return true;
    }
    p->used[limit]++;
    return false;
}

bool coordinator_spent(const struct coordinator *c, const struct coordinator_peer *p,
                       enum coordinator_limit limit)
{
    return c->now_us - p->window_us < COORD_WINDOW_US && p->used[limit] >= c->limits[limit];
}

uint32_t coordinator_retry_ms(const struct coordinator *c, const struct coordinator_peer *p)
{
    int64_t left_us = p->window_us + COORD_WINDOW_US - c->now_us;

    return left_us > 0 ? (uint32_t)((left_us + 999) / 1000) : 0;
}

void coordinator_unlimited(struct coordinator_peer *p, enum coordinator_limit limit)
{
    if (p->used[limit] > 0)
        p->used[limit]--;
}

/* ---- ips, targets, all ------------------------------------------------------------------------------ */

static uint32_t up_to_ms(int64_t us) { return (uint32_t)((us + 999) / 1000); }

/* 0 when this ip may have one, else how long it has to wait. */
static uint32_t source_wait_ms(struct coordinator *c, struct budget *b, const struct addr *source,
                               uint64_t *counter)
{
    if (addr_kind(source) != ADDR_PUBLIC || budget_take(b, source, c->now_us))
        return 0;
    (*counter)++;
    return up_to_ms(budget_wait_us(b, source, c->now_us));
}

/* The same of all together. */
static uint32_t all_wait_ms(struct coordinator *c, struct coordinator_second *s, uint32_t per_s,
                            uint64_t *counter)
{
    if (c->now_us - s->began_us >= SECOND_US) {
        s->began_us = c->now_us;
        s->used = 0;
    }
    if (s->used < per_s) {
        s->used++;
        return 0;
    }
    (*counter)++;
    return up_to_ms(s->began_us + SECOND_US - c->now_us);
}

uint32_t coordinator_enrol_source_wait_ms(struct coordinator *c, const struct addr *source)
{
    return source_wait_ms(c, &c->enrols_by_source, source, &c->n.enrols_by_source_limited);
}

uint32_t coordinator_enrol_wait_ms(struct coordinator *c)
{
    return all_wait_ms(c, &c->enrols, COORD_ENROLS_PER_S, &c->n.enrols_limited);
}

uint32_t coordinator_join_wait_ms(struct coordinator *c, const struct addr *source)
{
    uint32_t ms = source_wait_ms(c, &c->joins_by_source, source, &c->n.joins_by_source_limited);

    return ms > 0 ? ms : all_wait_ms(c, &c->joins, COORD_JOINS_PER_S, &c->n.joins_limited);
}

uint32_t coordinator_request_wait_ms(struct coordinator *c, const struct coordinator_peer *p)
{
    uint32_t ms =
        source_wait_ms(c, &c->requests_by_source, &p->source, &c->n.requests_by_source_limited);

    return ms > 0 ? ms
                  : all_wait_ms(c, &c->requests, c->conf.requests_per_s, &c->n.requests_limited);
}

/* One ip's calls of one target are a source of their own. */
static struct addr call_key(const struct coordinator *c, const struct addr *source,
                            const struct peer_id *target)
{
    struct addr key = {.len = 16};
    uint8_t in[BUDGET_V6_BYTES + sizeof target->b] = {0}, hash[crypto_shorthash_BYTES];

    memcpy(in, source->ip, source->len == 16 ? BUDGET_V6_BYTES : source->len);
    memcpy(in + BUDGET_V6_BYTES, target->b, sizeof target->b);
    crypto_shorthash(hash, in, sizeof in, c->calls_by_source.secret);
    memcpy(key.ip, hash, BUDGET_V6_BYTES);
    return key;
}

uint32_t coordinator_call_wait_ms(struct coordinator *c, const struct coordinator_peer *p,
                                  struct coordinator_peer *target)
{
    struct addr key = call_key(c, &p->source, &target->id);

    if (addr_kind(&p->source) == ADDR_PUBLIC &&
        !budget_take(&c->calls_by_source, &key, c->now_us)) {
        c->n.calls_by_source_limited++;
        return up_to_ms(budget_wait_us(&c->calls_by_source, &key, c->now_us));
    }
    if (!coordinator_limited(c, target, COORD_LIMIT_CALLED))
        return 0;
    c->n.calls_limited++;
    return coordinator_retry_ms(c, target);
}
