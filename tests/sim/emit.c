/* emit.c - a step of one core, and what becomes of its outputs: messages, datagrams, rows, sockets, words to the application. */
#include "tests/sim/parts.h"

#include <stdlib.h>

enum { BUS_US = 100 /* a hop on the bus */ };

static size_t peer_of_conn(const struct world *w, uint32_t conn)
{
    size_t i = 0;

    while (i < w->conf.n_peers && (w->peers[i].conn != conn || !w->peers[i].linked))
        i++;
    return i;
}

static void send_msg(struct world *w, enum role from, size_t peer, const struct output *o)
{
    struct world_event e = {.from = from, .to = o->to, .peer = peer, .msg = o->msg};

    assert(msg_routed(o->msg.type, from, o->to));
    if (from == SERVICE_executor) {
        struct world_peer *p = &w->peers[peer];
        if (!p->linked)
            return;
        if (p->older && e.msg.type == MSG_attach)
            e.msg.attach.daily = false;
        e.kind = WORLD_TO_COORD;
        e.life = p->life;
        e.enrolling = o->enrolling;
        e.at_us = world_tcp_arrival(w, p, true, &p->to_coord_us);
    } else if (o->to == SERVICE_executor) {
        e.peer = peer_of_conn(w, o->to_conn);
        if (e.peer == w->conf.n_peers)
            return;
        struct world_peer *p = &w->peers[e.peer];
        if (p->older && e.msg.type == MSG_attached)
            e.msg.attached.daykeys.n = e.msg.attached.plain = 0;
        e.kind = WORLD_TO_PEER;
        e.life = p->life;
        e.enrolling = o->enrolling;
        e.at_us = world_tcp_arrival(w, p, false, &p->to_peer_us);
    } else {
        e.kind = WORLD_BUS;
        e.at_us = w->now_us + BUS_US;
    }
    world_push(w, e);
}

static void send_dgram(struct world *w, size_t host, const struct addr *src, const struct output *o)
{
    struct net_packet p = {.proto = NAT_UDP,
                           .ttl = o->dgram.ttl ? o->dgram.ttl : NET_TTL,
                           .src = *src,
                           .dst = o->dgram.dst,
                           .data = o->dgram.data,
                           .len = o->dgram.len};

    bool to_peer = host != w->suite && o->dgram.dst.ip[0] != 203; /* that is the suite's net */
    uint32_t lost_ppm = host < WORLD_HOSTS_MAX && to_peer ? w->holes_ppm[host] : 0;
    bool walled = w->wall || (host < WORLD_HOSTS_MAX && w->walled[host]);
    if (walled && to_peer)
        return;
    if (lost_ppm > 0 && rng_below(&w->rng, 1000000) < lost_ppm)
        return;
    net_send(w->net, w->now_us, host, &p);
}

static void answer_store(struct world *w, const struct output *o)
{
    struct input in = world_input(w, IN_STORE);
    struct dir_record r = o->store.record;

    in.store.op = o->store.op;
    in.store.tag = o->store.tag;
    switch (o->store.op) {
    case STORE_PUT: in.store.status = store_put(w->store, &r); break;
    case STORE_GET_PEER:
        in.store.status = store_get(w->store, &o->store.record.peer, in.wall_ms, &r);
        break;
    case STORE_GET_NAME:
        in.store.status = store_get_name(w->store, o->store.record.name, in.wall_ms, &r);
        break;
    case STORE_PUT_CONTACT:
        in.store.status = store_put_contact(w->store, &r.peer, &o->store.other, in.wall_ms);
        break;
    case STORE_GET_CONTACT:
        in.store.status = store_is_contact(w->store, &r.peer, &o->store.other);
        break;
    case STORE_PUT_OUTCOME:
        in.store.status = store_put_outcome(w->store, &o->store.outcome, in.wall_ms);
        break;
    case STORE_GET_HISTORY:
        in.store.status = w->forgets ? STORE_NOT_FOUND
                                     : store_get_history(w->store, &o->store.outcome.key,
                                                         in.wall_ms, &in.store.history);
        break;
    case STORE_PUT_ENROLLED: in.store.status = store_put_enrolled(w->store, &r.peer); break;
    }
    in.store.record = r;
    world_step_coordinator(w, &in);
}

static void told(struct world *w, size_t i, const struct output *o)
{
    struct world_peer *p = &w->peers[i];

    if (o->app.event == APP_ENROLLED) {
        p->front = true;
        p->linked = false;
        p->life++;
        world_link_up_later(w, i, 0);
    }
    p->received += o->app.event == APP_DATA;
    if (o->app.event == APP_DATA && w->on_data)
        w->on_data(w, i, o->app.data, o->app.len);
    if (o->app.event != APP_SETTLED)
        return;
    const struct attempt *a = &p->core.attempts[o->app.path];
    world_mix(w, (uint64_t)a->state << 8 | a->verdict);
    for (size_t r = 0; r < w->n_results; r++)
        if (a->side == 0 && w->results[r].from == i && w->results[r].nonce == a->nonce &&
            !w->results[r].settled) {
            w->results[r].settled = true;
            w->results[r].at = *a;
            w->results[r].settled_us = w->now_us;
        }
}

static uint16_t fresh_port(struct world *w, const struct world_peer *p)
{
    for (;;) {
        uint16_t port = (uint16_t)(10000 + rng_below(&w->rng, 20000));
        size_t i = 0;
        while (i < WORLD_SOCKETS && p->sockets[i].port != port)
            i++;
        if (i == WORLD_SOCKETS)
            return port;
    }
}

static void change_sockets(struct world *w, struct world_peer *p, const struct output *o)
{
    uint16_t sock = o->socket.sock, to = o->socket.to;

    assert(sock > SAMPLES_MAX && to < WORLD_SOCKETS);
    switch (o->socket.op) {
    case SOCKET_OPEN:
        p->sockets[sock] = p->inside[0];
        p->sockets[sock].port = fresh_port(w, p);
        break;
    case SOCKET_CLOSE:
        for (; sock <= to; sock++)
            p->sockets[sock].port = 0;
        break;
    case SOCKET_MOVE:
        p->sockets[to] = p->sockets[sock];
        p->sockets[sock].port = 0;
        break;
    case SOCKET_BESIDE: break; /* relays don't drain raw sessions here */
    case SOCKET_ASK:
        world_push(w, (struct world_event){.at_us = w->now_us,
                                           .kind = WORLD_BOUND,
                                           .peer = (size_t)(p - w->peers),
                                           .sock = sock});
        break;
    }
}

/* Carry out one core's outputs; which executor or relay. */
static void emit_all(struct world *w, enum role from, size_t which, const struct outputs *out)
{
    for (size_t i = 0; i < out->n; i++) {
        const struct output *o = &out->v[i];
        world_mix(w, (uint64_t)w->now_us * 31 + o->kind);
        switch (o->kind) {
        case OUT_MSG: send_msg(w, from, which, o); break;
        case OUT_APP: told(w, which, o); break;
        case OUT_DATAGRAM:
            if (from == SERVICE_executor) {
                w->peers[which].sent++;
                send_dgram(w, w->peers[which].host, &w->peers[which].sockets[o->dgram.sock], o);
            } else if (from == SERVICE_relay) {
                const struct world_relay *r = &w->relays[which];
                send_dgram(w, r->host, &r->conf.public_addr, o);
            } else {
                send_dgram(w, w->suite, &w->prober.conf.info.addrs[o->dgram.sock], o);
            }
            break;
        case OUT_SOCKET: change_sockets(w, &w->peers[which], o); break;
        case OUT_STORE: /* by its own copy: the answer steps the coordinator again */
        case OUT_NOTE: break;
        }
    }
}

void world_step_peer(struct world *w, size_t i, const struct input *in)
{
    executor_step(&w->peers[i].core, in, &w->out);
    emit_all(w, SERVICE_executor, i, &w->out);
}

void world_step_coordinator(struct world *w, const struct input *in)
{
    struct outputs *out = malloc(sizeof *out);

    coordinator_step(&w->coordinator, in, out);
    emit_all(w, SERVICE_coordinator, 0, out);
    for (size_t i = 0; i < out->n; i++)
        if (out->v[i].kind == OUT_STORE)
            answer_store(w, &out->v[i]);
    free(out);
}

void world_step_service(struct world *w, enum role to, const struct input *in)
{
    switch (to) {
    case SERVICE_coordinator:
        if (w->coordinator_up)
            world_step_coordinator(w, in);
        return;
    case SERVICE_prober: prober_step(&w->prober, in, &w->out); break;
    case SERVICE_classifier: classifier_step(&w->classifier, in, &w->out); break;
    default: assert(0);
    }
    emit_all(w, to, 0, &w->out);
}

void world_step_relay(struct world *w, size_t i, const struct input *in)
{
    if (!w->relays[i].up)
        return;
    relay_step(&w->relays[i].core, in, &w->out);
    emit_all(w, SERVICE_relay, i, &w->out);
}
