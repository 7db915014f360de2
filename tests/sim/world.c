/* world.c - time passes: what is due happens to who is up. */
#include "tests/sim/parts.h"

enum { RECONNECT_US = 150000 };

static void on_event(struct world *w, const struct world_event *e)
{
    struct world_peer *p = &w->peers[e->peer];
    struct input in = world_input(w, IN_MSG);

    in.msg = &e->msg;
    in.from = (struct sender){.service = e->from};
    switch (e->kind) {
    case WORLD_BUS: world_step_service(w, e->to, &in); break;
    case WORLD_TO_COORD:
        if (e->life != p->life || !w->coordinator_up)
            break;
        in.from.peer = p->conf.id;
        in.from.conn = p->conn;
        in.from.enrolling = e->enrolling;
        world_step_coordinator(w, &in);
        break;
    case WORLD_TO_PEER:
        if (e->life != p->life || !p->up)
            break;
        in.from.enrolling = e->enrolling;
        world_step_peer(w, e->peer, &in);
        break;
    case WORLD_LINK_UP:
        if (e->life != p->life || !p->up)
            break;
        if (!w->coordinator_up) {
            world_link_up_later(w, e->peer, RECONNECT_US);
            break;
        }
        p->linked = true;
        p->conn = ++w->next_conn;
        in.kind = IN_LINK;
        in.link.up = true;
        in.link.enrolling = !p->front;
        world_step_peer(w, e->peer, &in);
        break;
    case WORLD_LINK_DOWN:
        if (e->life != p->life || !p->up)
            break;
        in.kind = IN_LINK;
        in.link.up = false;
        in.link.enrolling = !p->front;
        world_step_peer(w, e->peer, &in);
        world_link_up_later(w, e->peer, RECONNECT_US);
        break;
    case WORLD_BOUND:
        if (!p->up)
            break;
        in.kind = IN_SOCKET;
        in.socket.sock = e->sock;
        in.socket.port = p->sockets[e->sock].port;
        world_step_peer(w, e->peer, &in);
        break;
    case WORLD_RESTART:
        if (e->to == SERVICE_coordinator)
            world_start_coordinator(w);
        else if (e->to == SERVICE_relay)
            world_start_relay(w, e->peer);
        else
            world_start_peer(w, e->peer);
        break;
    }
}

/* A datagram has arrived at a host; whose socket is it for? */
static void on_packet(struct world *w, const struct net_packet *p, size_t host)
{
    struct input in = world_input(w, IN_DATAGRAM);

    in.dgram.data = p->data;
    in.dgram.len = p->len;
    in.dgram.src = p->src;
    for (size_t i = 0; i < world_relays(w); i++)
        if (host == w->relays[i].host && addr_eq(&p->dst, &w->relays[i].conf.public_addr)) {
            world_step_relay(w, i, &in);
            return;
        }
    if (host == w->suite) {
        for (uint8_t s = 0; s < w->prober.conf.info.n_addrs && !w->prober_deaf; s++)
            if (addr_eq(&p->dst, &w->prober.conf.info.addrs[s])) {
                in.dgram.sock = s;
                world_step_service(w, SERVICE_prober, &in);
                return;
            }
        return;
    }
    for (size_t i = 0; i < w->conf.n_peers; i++)
        for (uint16_t s = 0; s < WORLD_SOCKETS && w->peers[i].host == host; s++)
            if (w->peers[i].up && p->dst.port == w->peers[i].sockets[s].port) {
                in.dgram.sock = s;
                in.dgram.local_port = p->dst.port;
                world_step_peer(w, i, &in);
                return;
            }
}

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t next_us(const struct world *w)
{
    int64_t next = w->n_events ? w->events[0].at_us : NEVER;

    next = min64(next, net_next_us(w->net));
    next = min64(next, prober_deadline(&w->prober));
    next = min64(next, classifier_deadline(&w->classifier));
    if (w->coordinator_up)
        next = min64(next, coordinator_deadline(&w->coordinator));
    for (size_t i = 0; i < world_relays(w); i++)
        if (w->relays[i].up)
            next = min64(next, relay_deadline(&w->relays[i].core));
    for (size_t i = 0; i < w->conf.n_peers; i++)
        if (w->peers[i].up)
            next = min64(next, executor_deadline(&w->peers[i].core));
    return next;
}

static void tick_due(struct world *w)
{
    struct input in = world_input(w, IN_TICK);

    if (prober_deadline(&w->prober) <= w->now_us)
        world_step_service(w, SERVICE_prober, &in);
    if (classifier_deadline(&w->classifier) <= w->now_us)
        world_step_service(w, SERVICE_classifier, &in);
    if (w->coordinator_up && coordinator_deadline(&w->coordinator) <= w->now_us)
        world_step_service(w, SERVICE_coordinator, &in);
    for (size_t i = 0; i < world_relays(w); i++)
        if (w->relays[i].up && relay_deadline(&w->relays[i].core) <= w->now_us)
            world_step_relay(w, i, &in);
    for (size_t i = 0; i < w->conf.n_peers; i++)
        if (w->peers[i].up && executor_deadline(&w->peers[i].core) <= w->now_us)
            world_step_peer(w, i, &in);
}

void world_run(struct world *w, int64_t until_us)
{
    for (;;) {
        int64_t next = next_us(w);
        struct net_packet p;
        size_t host;
        if (next > until_us)
            break;
        if (next > w->now_us)
            w->now_us = next;
        while (w->n_events > 0 && w->events[0].at_us <= w->now_us) {
            struct world_event e = world_pop(w);
            on_event(w, &e);
        }
        while (net_deliver(w->net, w->now_us, &p, &host))
            if (p.proto == NAT_UDP) /* an ICMP error is not told to an unconnected socket */
                on_packet(w, &p, host);
        tick_due(w);
    }
    w->now_us = until_us;
}
