/* act.c - what tests do to the world: connect, send, end, crash, move. */
#include "tests/sim/parts.h"

enum { SECOND_US = 1000000 };

size_t world_connect(struct world *w, size_t from, size_t to, enum policy policy,
                     int64_t timeout_us)
{
    struct world_peer *p = &w->peers[from];
    struct connect_args args = {.policy = (uint16_t)policy,
                                .mode = w->conf.raw ? MODE_RAW : MODE_MANAGED,
                                .deadline_us = w->now_us + timeout_us};
    struct input in = world_input(w, IN_APP);
    size_t r = w->n_results++;

    assert(r < WORLD_RESULTS_MAX && p->up);
    memcpy(args.target, w->peers[to].conf.name, sizeof args.target);
    w->results[r] = (struct world_result){
        .from = from, .to = to, .nonce = ++p->next_nonce, .began_us = w->now_us};
    in.app.op = APP_CONNECT;
    in.app.nonce = p->next_nonce;
    in.app.args = &args;
    in.app.len = sizeof args;
    world_step_peer(w, from, &in);
    return r;
}

void world_send(struct world *w, size_t peer, uint32_t path, const void *data, size_t len)
{
    struct input in = world_input(w, IN_APP);

    in.app.op = APP_SEND;
    in.app.path = path;
    in.app.args = data;
    in.app.len = len;
    world_step_peer(w, peer, &in);
}

void world_end(struct world *w, size_t peer, uint32_t path, enum app_op op)
{
    struct input in = world_input(w, IN_APP);

    in.app.op = op;
    in.app.path = path;
    world_step_peer(w, peer, &in);
}

static void restart_later(struct world *w, enum role what, size_t peer, int64_t down_us)
{
    world_push(w,
               (struct world_event){
                   .at_us = w->now_us + down_us, .kind = WORLD_RESTART, .to = what, .peer = peer});
}

void world_crash_coordinator(struct world *w, int64_t down_us)
{
    if (!w->coordinator_up)
        return;
    w->coordinator_up = false;
    for (size_t i = 0; i < w->conf.n_peers; i++)
        world_link_down(w, i, w->conf.delay_us);
    restart_later(w, SERVICE_coordinator, 0, down_us);
}

void world_crash_relay(struct world *w, size_t relay, int64_t down_us)
{
    if (!w->relays[relay].up)
        return;
    w->relays[relay].up = false;
    restart_later(w, SERVICE_relay, relay, down_us);
}

void world_crash_peer(struct world *w, size_t peer, int64_t down_us)
{
    if (!w->peers[peer].up)
        return;
    w->peers[peer].up = false;
    world_link_down(w, peer, 0);
    for (size_t r = 0; r < w->n_results; r++)
        if (w->results[r].from == peer && !w->results[r].settled)
            w->results[r].failed_by_crash = true;
    restart_later(w, SERVICE_executor, peer, down_us);
}

static void swap_addrs(struct addr a[static 2])
{
    struct addr first = a[0];

    a[0] = a[1];
    a[1] = first;
}

void world_move_peer(struct world *w, size_t peer)
{
    struct world_peer *p = &w->peers[peer];
    struct executor_sockets sockets;
    struct input in = world_input(w, IN_NETWORK);

    assert(p->up);
    swap_addrs(p->inside);
    swap_addrs(p->outside);
    if (w->nats[peer]) {
        nat_flush(w->nats[peer]);
        w->nats[peer]->conf.external[0] = p->outside[0];
    }
    world_bind_sockets(w, p);
    sockets.local = p->conf.local;
    memcpy(sockets.sample_ports, p->conf.sample_ports, sizeof sockets.sample_ports);
    in.network.sockets = &sockets;
    world_step_peer(w, peer, &in);
    world_link_down(w, peer, 0); /* as its shell does, whose connection was of the old address */
}

void world_reboot_nat(struct world *w, size_t peer, bool moved)
{
    if (moved)
        swap_addrs(w->peers[peer].outside);
    nat_flush(w->nats[peer]);
    w->nats[peer]->conf.external[0] = w->peers[peer].outside[0];
}

void world_losses(struct world *w, size_t peer, const struct net_link *losses)
{
    struct net_line *l = &w->net->lines[w->net->hosts[w->peers[peer].host].line];
    struct net_link *both[2] = {&l->up, &l->down};

    for (size_t i = 0; i < 2; i++) {
        both[i]->loss_ppm = losses->loss_ppm;
        both[i]->burst_us = losses->burst_us;
        both[i]->pause_us = losses->pause_us;
    }
}

struct world_conf world_two(const char *a, const char *b, uint64_t seed)
{
    struct world_conf c = {.seed = seed, .delay_us = 20000, .n_peers = 2};

    c.peers[0] = world_nat(a);
    c.peers[1] = world_nat(b);
    return c;
}

const struct world_result *world_pair(struct world *w, const struct world_conf *c,
                                      enum policy policy)
{
    world_open(w, c);
    world_run(w, 2 * SECOND_US);
    size_t r = world_connect(w, 0, 1, policy, 15 * SECOND_US);
    world_run(w, w->now_us + 16 * SECOND_US);
    return &w->results[r];
}

struct attempt *world_attempt(struct world *w, size_t peer, const struct sid *session)
{
    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        struct attempt *a = &w->peers[peer].core.attempts[i];
        if (a->state != ATTEMPT_FREE && sid_eq(&a->session, session))
            return a;
    }
    return NULL;
}

const struct attempt *world_other_side(struct world *w, const struct world_result *r)
{
    return world_attempt(w, r->to, &r->at.session);
}
