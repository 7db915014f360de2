/* conns.c - the connections of peers to the coordinator: in order, slow where a segment is lost, down while either end is. */
#include "tests/sim/parts.h"

enum {
    PROCESS_US = 150,    /* what a process takes to answer */
    TCP_RTO_US = 200000, /* RFC 6298's floor on Linux */
    HANDSHAKE_RTTS = 4,  /* TCP, ZMTP, CURVE */
};

int64_t world_tcp_arrival(struct world *w, int64_t *last_us)
{
    int64_t at = w->now_us + w->conf.delay_us + PROCESS_US;

    if (w->conf.jitter_us > 0)
        at += (int64_t)rng_below(&w->rng, (uint64_t)w->conf.jitter_us);
    for (uint32_t p = 2 * w->conf.loss_ppm; rng_below(&w->rng, 1000000) < p;)
        at += TCP_RTO_US;
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
