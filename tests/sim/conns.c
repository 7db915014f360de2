/* conns.c - the connections of peers to the coordinator: in order, slow where a segment is lost, down while either end is. */
#include "lib/chase.h"
#include "tests/sim/parts.h"

enum {
    PROCESS_US = 150,    /* what a process takes to answer */
    TCP_RTO_US = 200000, /* beside the round trip: RFC 6298's floor on Linux */
    HANDSHAKE_RTTS = 4,  /* TCP, ZMTP, CURVE */
};

/* Does a segment get over both lines then?  What they will be like by then may be other in the end. */
static bool crosses(struct world *w, const struct world_peer *p, bool up, int64_t at_us)
{
    const size_t on[2] = {w->net->hosts[p->host].line, w->net->hosts[w->suite].line};
    bool all = true;

    for (size_t i = 0; i < 2; i++) {
        bool out = up == (i == 0);
        const struct net_line *l = &w->net->lines[on[i]];
        struct net_link_state s = out ? w->net->up[on[i]] : w->net->down[on[i]];
        int64_t out_us;
        all = net_link_cross(out ? &l->up : &l->down, &s, &w->rng, at_us, 0, &out_us) ==
                  NET_LINK_PASS &&
              all;
    }
    return all;
}

/*
 * What was sent at sent_us and once more at lost_us is lost: when does it go again?  When a chaser that went later
 * (lib/chase.h) is acknowledged, and a quarter of a round trip after that (RFC 8985), or after the timeout.
 */
static int64_t again_at(struct world *w, const struct world_peer *p, bool up, int64_t sent_us,
                        int64_t lost_us, int64_t timeout_us)
{
    int64_t rtt_us = 2 * w->conf.delay_us + 1, chaser_us = sent_us + rtt_us / 4;

    for (unsigned i = 0; chase_sooner((uint32_t)rtt_us) && i < CHASERS_MAX &&
                         chaser_us + rtt_us * 5 / 4 < lost_us + timeout_us;
         i++) {
        if (chaser_us > lost_us && crosses(w, p, up, chaser_us) &&
            crosses(w, p, !up, chaser_us + w->conf.delay_us))
            return chaser_us + rtt_us * 5 / 4;
        chaser_us += i == 0 ? rtt_us * 5 / 4 : rtt_us / 3;
    }
    return lost_us + timeout_us;
}

int64_t world_tcp_arrival(struct world *w, const struct world_peer *p, bool up, int64_t *last_us)
{
    int64_t at = w->now_us, timeout_us = TCP_RTO_US + 2 * w->conf.delay_us;
    int64_t most_us = INT64_C(1000) * chase_timeout_ms((uint32_t)(2 * w->conf.delay_us));

    for (; !crosses(w, p, up, at); timeout_us *= 2) {
        if (timeout_us > most_us)
            timeout_us = most_us;
        at = again_at(w, p, up, w->now_us, at, timeout_us);
    }
    while (w->late_ppm > 0 && rng_below(&w->rng, 1000000) < w->late_ppm)
        at += TCP_RTO_US;
    at += w->conf.delay_us + PROCESS_US;
    if (w->conf.jitter_us > 0)
        at += (int64_t)rng_below(&w->rng, (uint64_t)w->conf.jitter_us);
    if (at <= *last_us)
        at = *last_us + 1;
    *last_us = at;
    return at;
}

void world_link_up_later(struct world *w, size_t i, int64_t after_us)
{
    int64_t handshake = 2 * HANDSHAKE_RTTS * w->conf.delay_us;

    world_push(w, (struct world_event){.at_us = w->now_us + after_us + handshake,
                                       .kind = WORLD_LINK_UP,
                                       .peer = i,
                                       .life = w->peers[i].life});
}

void world_link_down(struct world *w, size_t i, int64_t after_us)
{
    struct world_peer *p = &w->peers[i];

    p->linked = false;
    p->life++;
    if (p->up)
        world_push(w, (struct world_event){.at_us = w->now_us + after_us,
                                           .kind = WORLD_LINK_DOWN,
                                           .peer = i,
                                           .life = p->life});
}
