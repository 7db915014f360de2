/* play.c - see play.h. */
#include "tests/matrix/play.h"

enum {
    STEP_US = 1000000,
    WARM_US = 4 * STEP_US, /* measuring what a NAT lets in takes that long */
    TIMEOUT_S = 15,
};

static struct world_peer_conf peer_of(const struct play_conf *conf, const struct matrix_class *c)
{
    struct world_peer_conf p = world_nat(c->text);

    p.nat.overload = p.nat.overload && !conf->no_overload;
    if (c->allocation == ALLOC_CONTIGUOUS)
        p.nat.background_per_s = conf->background_per_s;
    if (c->allocation == ALLOC_RANDOM)
        p.nat.block = conf->block;
    p.nat.overload = p.nat.overload || (c->allocation == ALLOC_RANDOM && conf->reuse);
    p.blocks = conf->share;
    return p;
}

void play_open(struct world *w, const struct play_conf *conf, const struct matrix_class *a,
               const struct matrix_class *b, uint64_t seed)
{
    struct world_conf c = {
        .seed = seed,
        .delay_us = conf->delay_us,
        .loss_ppm = conf->loss_ppm,
        .n_peers = 2,
        .peers = {peer_of(conf, a), peer_of(conf, b)}
    };

    world_open(w, &c);
    world_run(w, WARM_US);
}

size_t play_connect(struct world *w)
{
    return world_connect(w, 0, 1, POLICY_AUTO, (int64_t)TIMEOUT_S * STEP_US);
}

struct matrix_run play_result(struct world *w, size_t result)
{
    const struct world_result *r = &w->results[result];
    const struct attempt *at = &r->at, *other = world_other_side(w, r);
    const struct way_state *direct = &at->way[WAY_DIRECT];
    struct matrix_run run = {0};

    run.direct = at->state == ATTEMPT_DIRECT && other && other->state == ATTEMPT_DIRECT;
    run.verdict = (uint8_t)at->verdict;
    run.rounds = (uint8_t)at->foreseen.round;
    run.us = run.direct ? (uint32_t)(direct->confirmed_us - at->asked_us) : 0;
    run.packets = (uint32_t)direct->punches_sent;
    if (other)
        run.packets += (uint32_t)other->way[WAY_DIRECT].punches_sent;
    return run;
}

struct matrix_run play(struct world *w, const struct play_conf *conf, const struct matrix_class *a,
                       const struct matrix_class *b, uint64_t seed)
{
    play_open(w, conf, a, b, seed);
    size_t n = play_connect(w);
    for (int i = 0; i < TIMEOUT_S && !w->results[n].settled; i++)
        world_run(w, w->now_us + STEP_US);
    world_run(w, w->now_us + STEP_US / 2); /* the other side learns it a little later */
    struct matrix_run run = play_result(w, n);
    world_close(w);
    return run;
}
