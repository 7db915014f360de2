/* world.c - see world.h. */
#include "tests/sim/world.h"
#include "lib/token.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BUS_US = 100,        /* a hop on the bus */
    PROCESS_US = 150,    /* what a process takes to answer */
    TCP_RTO_US = 200000, /* RFC 6298's floor on Linux */
    RECONNECT_US = 150000,
    HANDSHAKE_RTTS = 4, /* TCP, ZMTP, CURVE */
    WALL_MS = 1700000000,
    PORT = 3478,
    RELAY_PORT = 3480,
    PEER_PORT = 40000,
    CLASSIFIED_MAX = 64,
};
#define WALL_BASE_MS (INT64_C(1000) * WALL_MS)

static void step_peer(struct world *w, size_t i, const struct input *in);
static void step_coordinator(struct world *w, const struct input *in);

/* ---- events: a heap ------------------------------------------------------------------------------------- */

static bool before(const struct world_event *a, const struct world_event *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}

static void swap(struct world_event *a, struct world_event *b)
{
    struct world_event t = *a;

    *a = *b;
    *b = t;
}

static void push(struct world *w, struct world_event e)
{
    assert(w->n_events < WORLD_EVENTS_MAX);
    e.order = w->order++;
    size_t i = w->n_events++;
    w->events[i] = e;
    for (; i > 0 && before(&w->events[i], &w->events[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&w->events[i], &w->events[(i - 1) / 2]);
}

static struct world_event pop(struct world *w)
{
    struct world_event first = w->events[0];
    size_t i = 0;

    w->events[0] = w->events[--w->n_events];
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= w->n_events)
            break;
        if (c + 1 < w->n_events && before(&w->events[c + 1], &w->events[c]))
            c++;
        if (!before(&w->events[c], &w->events[i]))
            break;
        swap(&w->events[c], &w->events[i]);
        i = c;
    }
    return first;
}

static void mix(struct world *w, uint64_t v) { w->hash = (w->hash ^ v) * UINT64_C(1099511628211); }

static struct input input_now(const struct world *w, enum input_kind kind)
{
    return (struct input){
        .kind = kind, .now_us = w->now_us, .wall_ms = WALL_BASE_MS + w->now_us / 1000};
}

/* ---- peers' connections ----------------------------------------------------------------------------------- */

/* When a message sent now arrives: in order, and later when a segment was lost. */
static int64_t tcp_arrival(struct world *w, int64_t *last_us)
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

static void link_up_later(struct world *w, size_t i, int64_t after_us)
{
    int64_t handshake = 2 * HANDSHAKE_RTTS * w->conf.delay_us;

    push(w, (struct world_event){.at_us = w->now_us + after_us + handshake,
                                 .kind = WORLD_LINK_UP,
                                 .peer = i,
                                 .life = w->peers[i].life});
}

static void link_down(struct world *w, size_t i, int64_t after_us)
{
    struct world_peer *p = &w->peers[i];

    p->linked = false;
    p->life++;
    if (p->up)
        push(w, (struct world_event){.at_us = w->now_us + after_us,
                                     .kind = WORLD_LINK_DOWN,
                                     .peer = i,
                                     .life = p->life});
}

/* ---- outputs ------------------------------------------------------------------------------------------------ */

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
        e.kind = WORLD_TO_COORD;
        e.life = p->life;
        e.enrolling = o->enrolling;
        e.at_us = tcp_arrival(w, &p->to_coord_us);
    } else if (o->to == SERVICE_executor) {
        e.peer = peer_of_conn(w, o->to_conn);
        if (e.peer == w->conf.n_peers)
            return;
        struct world_peer *p = &w->peers[e.peer];
        e.kind = WORLD_TO_PEER;
        e.life = p->life;
        e.enrolling = o->enrolling;
        e.at_us = tcp_arrival(w, &p->to_peer_us);
    } else {
        e.kind = WORLD_BUS;
        e.at_us = w->now_us + BUS_US;
    }
    push(w, e);
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
    struct input in = input_now(w, IN_STORE);
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
    step_coordinator(w, &in);
}

static void told(struct world *w, size_t i, const struct output *o)
{
    struct world_peer *p = &w->peers[i];

    if (o->app.event == APP_ENROLLED) {
        p->front = true;
        p->linked = false;
        p->life++;
        link_up_later(w, i, 0);
    }
    p->received += o->app.event == APP_DATA;
    if (o->app.event == APP_DATA && w->on_data)
        w->on_data(w, i, o->app.data, o->app.len);
    if (o->app.event != APP_SETTLED)
        return;
    const struct attempt *a = &p->core.attempts[o->app.path];
    mix(w, (uint64_t)a->state << 8 | a->verdict);
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
    case SOCKET_OPEN: p->sockets[sock].port = fresh_port(w, p); break;
    case SOCKET_CLOSE:
        for (; sock <= to; sock++)
            p->sockets[sock].port = 0;
        break;
    case SOCKET_MOVE:
        p->sockets[to].port = p->sockets[sock].port;
        p->sockets[sock].port = 0;
        break;
    case SOCKET_BESIDE: break; /* they have one relay */
    case SOCKET_ASK:
        push(w, (struct world_event){.at_us = w->now_us,
                                     .kind = WORLD_BOUND,
                                     .peer = (size_t)(p - w->peers),
                                     .sock = sock});
        break;
    }
}

/* Carry out one core's outputs; peer and its host when it is an executor. */
static void emit_all(struct world *w, enum role from, size_t peer, const struct outputs *out)
{
    for (size_t i = 0; i < out->n; i++) {
        const struct output *o = &out->v[i];
        mix(w, (uint64_t)w->now_us * 31 + o->kind);
        switch (o->kind) {
        case OUT_MSG: send_msg(w, from, peer, o); break;
        case OUT_APP: told(w, peer, o); break;
        case OUT_DATAGRAM:
            if (from == SERVICE_executor) {
                w->peers[peer].sent++;
                send_dgram(w, w->peers[peer].host, &w->peers[peer].sockets[o->dgram.sock], o);
            } else if (from == SERVICE_relay) {
                send_dgram(w, w->suite, &w->relay_conf.public_addr, o);
            } else {
                send_dgram(w, w->suite, &w->prober.conf.info.addrs[o->dgram.sock], o);
            }
            break;
        case OUT_SOCKET: change_sockets(w, &w->peers[peer], o); break;
        case OUT_STORE: /* by its own copy: the answer steps the coordinator again */
        case OUT_NOTE: break;
        }
    }
}

static void step_peer(struct world *w, size_t i, const struct input *in)
{
    executor_step(&w->peers[i].core, in, &w->out);
    emit_all(w, SERVICE_executor, i, &w->out);
}

static void step_coordinator(struct world *w, const struct input *in)
{
    struct outputs *out = malloc(sizeof *out);

    coordinator_step(&w->coordinator, in, out);
    emit_all(w, SERVICE_coordinator, 0, out);
    for (size_t i = 0; i < out->n; i++)
        if (out->v[i].kind == OUT_STORE)
            answer_store(w, &out->v[i]);
    free(out);
}

static void step_service(struct world *w, enum role to, const struct input *in)
{
    switch (to) {
    case SERVICE_coordinator:
        if (w->coordinator_up)
            step_coordinator(w, in);
        return;
    case SERVICE_prober: prober_step(&w->prober, in, &w->out); break;
    case SERVICE_classifier: classifier_step(&w->classifier, in, &w->out); break;
    case SERVICE_relay:
        if (!w->relay_up)
            return;
        relay_step(&w->relay, in, &w->out);
        break;
    default: assert(0);
    }
    emit_all(w, to, 0, &w->out);
}

/* ---- what happens ------------------------------------------------------------------------------------------- */

static void start_coordinator(struct world *w)
{
    uint8_t key[32];

    rng_bytes(&w->rng, key, sizeof key);
    w->coordinator_conf.epoch = (uint64_t)(WALL_BASE_MS + w->now_us / 1000);
    coordinator_init(&w->coordinator, &w->coordinator_conf, key, w->coordinator_memory);
    w->coordinator_up = true;
}

static void start_relay(struct world *w)
{
    uint8_t key[32];

    rng_bytes(&w->rng, key, sizeof key);
    assert(relay_init(&w->relay, &w->relay_conf, key, w->relay_memory));
    w->relay_up = true;
}

/* New ones, of the system's choice. */
static void bind_sockets(struct world *w, struct world_peer *p)
{
    for (size_t s = 0; s < WORLD_SOCKETS; s++)
        p->sockets[s] = p->inside[0];
    for (size_t s = 0; s <= SAMPLES_MAX; s++) {
        p->sockets[s].port = (uint16_t)(PEER_PORT + rng_below(&w->rng, 20000));
        if (s > 0)
            p->conf.sample_ports[s - 1] = p->sockets[s].port;
    }
    p->conf.local = p->sockets[0];
}

static void start_peer(struct world *w, size_t i)
{
    struct world_peer *p = &w->peers[i];
    uint8_t key[32];

    /* A new process: new ports, so a new mapping. */
    bind_sockets(w, p);
    rng_bytes(&w->rng, key, sizeof key);
    executor_init(&p->core, &p->conf, key);
    p->up = true;
    p->front = false;
    link_up_later(w, i, 0);
}

static void on_event(struct world *w, const struct world_event *e)
{
    struct world_peer *p = &w->peers[e->peer];
    struct input in = input_now(w, IN_MSG);

    in.msg = &e->msg;
    in.from = (struct sender){.service = e->from};
    switch (e->kind) {
    case WORLD_BUS: step_service(w, e->to, &in); break;
    case WORLD_TO_COORD:
        if (e->life != p->life || !w->coordinator_up)
            break;
        in.from.peer = p->conf.id;
        in.from.conn = p->conn;
        in.from.enrolling = e->enrolling;
        step_coordinator(w, &in);
        break;
    case WORLD_TO_PEER:
        if (e->life != p->life || !p->up)
            break;
        in.from.enrolling = e->enrolling;
        step_peer(w, e->peer, &in);
        break;
    case WORLD_LINK_UP:
        if (e->life != p->life || !p->up)
            break;
        if (!w->coordinator_up) {
            link_up_later(w, e->peer, RECONNECT_US);
            break;
        }
        p->linked = true;
        p->conn = ++w->next_conn;
        in.kind = IN_LINK;
        in.link.up = true;
        in.link.enrolling = !p->front;
        step_peer(w, e->peer, &in);
        break;
    case WORLD_LINK_DOWN:
        if (e->life != p->life || !p->up)
            break;
        in.kind = IN_LINK;
        in.link.up = false;
        in.link.enrolling = !p->front;
        step_peer(w, e->peer, &in);
        link_up_later(w, e->peer, RECONNECT_US);
        break;
    case WORLD_BOUND:
        if (!p->up)
            break;
        in.kind = IN_SOCKET;
        in.socket.sock = e->sock;
        in.socket.port = p->sockets[e->sock].port;
        step_peer(w, e->peer, &in);
        break;
    case WORLD_RESTART:
        if (e->to == SERVICE_coordinator)
            start_coordinator(w);
        else if (e->to == SERVICE_relay)
            start_relay(w);
        else
            start_peer(w, e->peer);
        break;
    }
}

/* A datagram has arrived at a host; whose socket is it for? */
static void on_packet(struct world *w, const struct net_packet *p, size_t host)
{
    struct input in = input_now(w, IN_DATAGRAM);

    in.dgram.data = p->data;
    in.dgram.len = p->len;
    in.dgram.src = p->src;
    if (host == w->suite) {
        if (addr_eq(&p->dst, &w->relay_conf.public_addr)) {
            step_service(w, SERVICE_relay, &in);
            return;
        }
        for (uint8_t s = 0; s < w->prober.conf.info.n_addrs && !w->prober_deaf; s++)
            if (addr_eq(&p->dst, &w->prober.conf.info.addrs[s])) {
                in.dgram.sock = s;
                step_service(w, SERVICE_prober, &in);
                return;
            }
        return;
    }
    for (size_t i = 0; i < w->conf.n_peers; i++)
        for (uint16_t s = 0; s < WORLD_SOCKETS && w->peers[i].host == host; s++)
            if (w->peers[i].up && p->dst.port == w->peers[i].sockets[s].port) {
                in.dgram.sock = s;
                in.dgram.local_port = p->dst.port;
                step_peer(w, i, &in);
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
    if (w->relay_up)
        next = min64(next, relay_deadline(&w->relay));
    for (size_t i = 0; i < w->conf.n_peers; i++)
        if (w->peers[i].up)
            next = min64(next, executor_deadline(&w->peers[i].core));
    return next;
}

static void tick_due(struct world *w)
{
    struct input in = input_now(w, IN_TICK);

    if (prober_deadline(&w->prober) <= w->now_us)
        step_service(w, SERVICE_prober, &in);
    if (classifier_deadline(&w->classifier) <= w->now_us)
        step_service(w, SERVICE_classifier, &in);
    if (w->coordinator_up && coordinator_deadline(&w->coordinator) <= w->now_us)
        step_service(w, SERVICE_coordinator, &in);
    if (w->relay_up && relay_deadline(&w->relay) <= w->now_us)
        step_service(w, SERVICE_relay, &in);
    for (size_t i = 0; i < w->conf.n_peers; i++)
        if (w->peers[i].up && executor_deadline(&w->peers[i].core) <= w->now_us)
            step_peer(w, i, &in);
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
            struct world_event e = pop(w);
            on_event(w, &e);
        }
        while (net_deliver(w->net, w->now_us, &p, &host))
            if (p.proto == NAT_UDP) /* an ICMP error is not told to an unconnected socket */
                on_packet(w, &p, host);
        tick_due(w);
    }
    w->now_us = until_us;
}

/* ---- what tests do -------------------------------------------------------------------------------------------- */

size_t world_connect(struct world *w, size_t from, size_t to, enum policy policy,
                     int64_t timeout_us)
{
    struct world_peer *p = &w->peers[from];
    struct connect_args args = {.policy = (uint16_t)policy,
                                .mode = w->conf.raw ? MODE_RAW : MODE_MANAGED,
                                .deadline_us = w->now_us + timeout_us};
    struct input in = input_now(w, IN_APP);
    size_t r = w->n_results++;

    assert(r < WORLD_RESULTS_MAX && p->up);
    memcpy(args.target, w->peers[to].conf.name, sizeof args.target);
    w->results[r] = (struct world_result){
        .from = from, .to = to, .nonce = ++p->next_nonce, .began_us = w->now_us};
    in.app.op = APP_CONNECT;
    in.app.nonce = p->next_nonce;
    in.app.args = &args;
    in.app.len = sizeof args;
    step_peer(w, from, &in);
    return r;
}

void world_send(struct world *w, size_t peer, uint32_t path, const void *data, size_t len)
{
    struct input in = input_now(w, IN_APP);

    in.app.op = APP_SEND;
    in.app.path = path;
    in.app.args = data;
    in.app.len = len;
    step_peer(w, peer, &in);
}

void world_end(struct world *w, size_t peer, uint32_t path, enum app_op op)
{
    struct input in = input_now(w, IN_APP);

    in.app.op = op;
    in.app.path = path;
    step_peer(w, peer, &in);
}

static void restart_later(struct world *w, enum role what, size_t peer, int64_t down_us)
{
    push(w, (struct world_event){
                .at_us = w->now_us + down_us, .kind = WORLD_RESTART, .to = what, .peer = peer});
}

void world_crash_coordinator(struct world *w, int64_t down_us)
{
    if (!w->coordinator_up)
        return;
    w->coordinator_up = false;
    for (size_t i = 0; i < w->conf.n_peers; i++)
        link_down(w, i, w->conf.delay_us);
    restart_later(w, SERVICE_coordinator, 0, down_us);
}

void world_crash_relay(struct world *w, int64_t down_us)
{
    if (!w->relay_up)
        return;
    w->relay_up = false;
    restart_later(w, SERVICE_relay, 0, down_us);
}

void world_crash_peer(struct world *w, size_t peer, int64_t down_us)
{
    if (!w->peers[peer].up)
        return;
    w->peers[peer].up = false;
    link_down(w, peer, 0);
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
    struct input in = input_now(w, IN_NETWORK);

    assert(p->up);
    swap_addrs(p->inside);
    swap_addrs(p->outside);
    if (w->nats[peer]) {
        nat_flush(w->nats[peer]);
        w->nats[peer]->conf.external[0] = p->outside[0];
    }
    bind_sockets(w, p);
    sockets.local = p->conf.local;
    memcpy(sockets.sample_ports, p->conf.sample_ports, sizeof sockets.sample_ports);
    in.network.sockets = &sockets;
    step_peer(w, peer, &in);
    link_down(w, peer, 0); /* as its shell does, whose connection was of the old address */
}

void world_reboot_nat(struct world *w, size_t peer, bool moved)
{
    if (moved)
        swap_addrs(w->peers[peer].outside);
    nat_flush(w->nats[peer]);
    w->nats[peer]->conf.external[0] = w->peers[peer].outside[0];
}

const struct attempt *world_other_side(const struct world *w, const struct world_result *r)
{
    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        const struct attempt *a = &w->peers[r->to].core.attempts[i];
        if (a->state != ATTEMPT_FREE && a->side == 1 && sid_eq(&a->session, &r->at.session))
            return a;
    }
    return NULL;
}

struct world_peer_conf world_nat(const char *text)
{
    static const char *const scopes[] = {"none", "ei", "ad", "apd"};
    static const char *const allocations[] = {"preserve", "contiguous", "random"};
    struct world_peer_conf c = {.has_nat = true};
    char mapping[16], allocation[16], filtering[16];

    if (strcmp(text, "open") == 0)
        return (struct world_peer_conf){.has_nat = false};
    assert(sscanf(text, "%15[^/]/%15[^/]/%15s", mapping, allocation, filtering) == 3);
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(mapping, scopes[i]) == 0)
            c.nat.mapping = NAT_NONE + i;
        if (strcmp(filtering, scopes[i]) == 0)
            c.nat.filtering = NAT_NONE + i;
        if (i < 3 && strcmp(allocation, allocations[i]) == 0)
            c.nat.allocation = ALLOC_PRESERVE + i;
    }
    c.nat.overload = c.nat.allocation == ALLOC_PRESERVE; /* as Linux does */
    c.nat.inbound_refreshes = true;
    c.nat.full_evicts = true;
    return c;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static struct net_link half_line(const struct world_conf *c)
{
    return (struct net_link){.delay_us = c->delay_us / 2,
                             .jitter_us = c->jitter_us / 2,
                             .loss_ppm = c->loss_ppm,
                             .dup_ppm = c->dup_ppm};
}

static void open_suite(struct world *w, const uint8_t authority[static 64])
{
    struct prober_conf prober = {0};
    uint8_t key[32], seed[32];
    struct net_line line = {.up = half_line(&w->conf), .down = half_line(&w->conf), .n_ips = 2};

    for (uint8_t i = 0; i < 2; i++)
        line.ips[i] = addr_v4(203, 0, 113, (uint8_t)(10 + i), 0);
    w->suite = net_add_host(w->net, net_add_line(w->net, &line), line.ips, line.n_ips);

    rng_bytes(&w->rng, seed, sizeof seed);
    crypto_sign_seed_keypair(prober.info.key, prober.secret, seed);
    cert_sign('p', prober.info.key, authority, prober.info.cert);
    prober.info.n_addrs = w->conf.one_address ? 2 : 4;
    for (uint8_t i = 0; i < prober.info.n_addrs; i++)
        prober.info.addrs[i] =
            addr_v4(203, 0, 113, (uint8_t)(10 + i / 2), (uint16_t)(PORT + i % 2));
    for (uint8_t i = 0; i < 2; i++)
        prober.places.v[prober.places.n++] = place_sign(&line.ips[i], authority);
    rng_bytes(&w->rng, key, sizeof key);
    prober_init(&w->prober, &prober, key);

    rng_bytes(&w->rng, w->relay_conf.secret, 32);
    rng_bytes(&w->rng, w->coordinator_conf.secret, 32);
    crypto_scalarmult_base(key, w->relay_conf.secret);
    cert_sign('r', key, authority, w->relay_conf.cert);
    crypto_scalarmult_base(w->relay_conf.coordinators[0], w->coordinator_conf.secret);
    w->relay_conf.n_coordinators = 1;
    w->relay_conf.public_addr = addr_v4(203, 0, 113, 10, RELAY_PORT);
    w->relay_conf.sessions_max = 256;
    w->relay_memory = malloc(relay_bytes(&w->relay_conf));
    start_relay(w);

    w->coordinator_conf.peers_max = 64;
    w->coordinator_conf.sessions_max = 256;
    w->coordinator_memory = malloc(coordinator_bytes(&w->coordinator_conf));
    start_coordinator(w);

    w->classifier_memory = malloc(classifier_bytes(CLASSIFIED_MAX));
    rng_bytes(&w->rng, key, sizeof key);
    classifier_init(&w->classifier, CLASSIFIED_MAX, key, w->classifier_memory);
}

/* With the line's addresses, of which it takes as many as it has. */
static struct nat *open_nat(struct world *w, const struct nat_conf *conf, struct net_line *line)
{
    struct nat_conf c = *conf;

    memcpy(c.external, line->ips, sizeof c.external);
    line->nat = malloc(sizeof *line->nat);
    nat_init(line->nat, &c, rng_u64(&w->rng));
    return line->nat;
}

/* A peer's own line: it ends at the internet, or on its carrier's LAN. */
static size_t open_line(struct world *w, size_t i)
{
    struct world_peer *p = &w->peers[i];
    const struct world_peer_conf *c = &w->conf.peers[i];
    struct net_line line = {
        .up = half_line(&w->conf), .down = half_line(&w->conf), .n_ips = NET_IPS_MAX, .hops = 1};
    bool public = !c->has_nat || c->nat.mapping == NAT_NONE;

    for (uint8_t k = 0; k < NET_IPS_MAX; k++)
        line.ips[k] = addr_v4(198, 51, (uint8_t)(100 + k), (uint8_t)(1 + i), 0);
    if (c->has_carrier) {
        w->carriers[i] = open_nat(w, &c->carrier, &line);
        line = (struct net_line){
            .n_ips = NET_IPS_MAX, .hops = 1, .outer = net_add_line(w->net, &line) + 1};
        for (uint8_t k = 0; k < NET_IPS_MAX; k++)
            line.ips[k] = addr_v4(100, 64, k, (uint8_t)(1 + i), 0);
    }
    if (c->has_nat)
        w->nats[i] = open_nat(w, &c->nat, &line);
    for (uint8_t k = 0; k < 2; k++) {
        p->outside[k] = line.ips[k];
        p->inside[k] = public ? line.ips[k] : addr_v4(10, k, (uint8_t)i, 2, 0);
    }
    return net_add_line(w->net, &line);
}

static void open_peer(struct world *w, size_t i, const uint8_t authority[static 32])
{
    struct world_peer *p = &w->peers[i];
    const struct addr public_ip = addr_v4(198, 51, 100, (uint8_t)(1 + i), 0);

    p->host = net_add_host(w->net, open_line(w, i), p->inside, 2);
    rng_bytes(&w->rng, p->conf.secret, sizeof p->conf.secret);
    crypto_scalarmult_base(p->conf.id.b, p->conf.secret);
    memcpy(p->conf.authority, authority, sizeof p->conf.authority);
    memcpy(p->conf.token, w->coordinator_conf.enrol_token, sizeof p->conf.token);
    snprintf(p->conf.name, sizeof p->conf.name, "peer%zu", i);
    p->conf.accept = ACCEPT_ANYONE;
    p->conf.fence = fence_of(&public_ip, 1); /* all are of one kind here */
    p->conf.modes = 1u << (w->conf.raw ? MODE_RAW : MODE_MANAGED);
    p->conf.n_samples = SAMPLES_MAX;
    p->conf.blocks = w->conf.peers[i].blocks;
    start_peer(w, i);
}

void world_open(struct world *w, const struct world_conf *conf)
{
    uint8_t seed[32], authority_public[32], authority[64];
    char err[STORE_ERROR_MAX];

    memset(w, 0, sizeof *w);
    w->conf = *conf;
    rng_seed(&w->rng, conf->seed);
    w->events = malloc(WORLD_EVENTS_MAX * sizeof *w->events);
    w->net = malloc(sizeof *w->net);
    w->slots = malloc(WORLD_SLOTS * sizeof *w->slots);
    net_init(w->net, rng_u64(&w->rng), w->slots, WORLD_SLOTS);
    w->store = store_open(":memory:", err);
    assert(w->store);
    rng_bytes(&w->rng, seed, sizeof seed);
    crypto_sign_seed_keypair(authority_public, authority, seed);
    memcpy(w->coordinator_conf.authority, authority_public, sizeof authority_public);
    rng_bytes(&w->rng, w->coordinator_conf.enrol_token, sizeof w->coordinator_conf.enrol_token);
    open_suite(w, authority);
    for (size_t i = 0; i < conf->n_peers; i++)
        open_peer(w, i, authority_public);
}

void world_close(struct world *w)
{
    store_close(w->store);
    for (size_t i = 0; i < w->conf.n_peers; i++)
        free(w->nats[i]), free(w->carriers[i]);
    free(w->coordinator_memory);
    free(w->relay_memory);
    free(w->classifier_memory);
    free(w->events);
    free(w->net);
    free(w->slots);
}
