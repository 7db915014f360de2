/* net_link.c - see net_link.h. */
#include "tests/natlab/net_link.h"

bool net_link_has_state(const struct net_link *l) { return l->rate_bps > 0 || l->burst_us > 0; }

static bool roll(struct rng *rng, uint32_t ppm) { return ppm > 0 && rng_below(rng, 1000000) < ppm; }

static int64_t about(struct rng *rng, int64_t us)
{
    return us / 2 + (int64_t)rng_below(rng, (uint64_t)us + 1);
}

/* After a long silence the phases that nobody saw are skipped: it may end in any. */
static bool in_burst(const struct net_link *l, struct net_link_state *s, struct rng *rng,
                     int64_t now_us)
{
    if (l->burst_us == 0)
        return false;
    if (now_us - s->turn_us > 10 * (l->burst_us + l->pause_us)) {
        s->burst = rng_below(rng, (uint64_t)(l->burst_us + l->pause_us)) < (uint64_t)l->burst_us;
        s->turn_us =
            now_us + (int64_t)rng_below(rng, (uint64_t)(s->burst ? l->burst_us : l->pause_us) + 1);
    }
    while (s->turn_us <= now_us) {
        s->burst = !s->burst;
        s->turn_us += 1 + about(rng, s->burst ? l->burst_us : l->pause_us);
    }
    return s->burst;
}

static int64_t delay_us(const struct net_link *l, struct rng *rng)
{
    int64_t us = l->delay_us;

    if (l->jitter_us > 0)
        us += (int64_t)rng_below(rng, (uint64_t)l->jitter_us + 1);
    return us + (roll(rng, l->reorder_ppm) ? l->reorder_us : 0);
}

enum net_link_result net_link_cross(const struct net_link *l, struct net_link_state *s,
                                    struct rng *rng, int64_t now_us, size_t len, int64_t *out_us)
{
    int64_t start_us = now_us;

    if (l->rate_bps > 0) {
        if (s->busy_until_us > start_us)
            start_us = s->busy_until_us;
        if (start_us - now_us > l->queue_us)
            return NET_LINK_CONGESTED;
        start_us += (int64_t)len * 8 * 1000000 / l->rate_bps;
        s->busy_until_us = start_us;
    }
    if (in_burst(l, s, rng, now_us) || roll(rng, l->loss_ppm))
        return NET_LINK_LOST;
    *out_us = start_us + delay_us(l, rng);
    return NET_LINK_PASS;
}

bool net_link_double(const struct net_link *l, struct rng *rng, int64_t now_us, int64_t *out_us)
{
    if (!roll(rng, l->dup_ppm))
        return false;
    *out_us = now_us + delay_us(l, rng);
    return true;
}
