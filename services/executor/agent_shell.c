/* agent_shell.c - see agent_shell.h. */
#include "services/executor/agent_shell.h"
#include "lib/log.h"
#include "services/executor/link_shell.h"
#include "services/executor/network_shell.h"
#include "services/executor/raw_shell.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIR_BUFFER = 1 << 20 };

static void step(struct agent *g, const struct input *in);

static struct input input_now(enum input_kind kind)
{
    return (struct input){.kind = kind, .now_us = service_now_us(), .wall_ms = service_wall_ms()};
}

/* ---- the application ------------------------------------------------------------------------------------- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* A datagram that the application wrote; nothing more means that it closed its end. */
static bool receive_pair(struct service *s, void *arg, struct input *in)
{
    struct agent *g = s->arg;
    uint32_t path = (uint32_t)(uintptr_t)arg;
    ssize_t n = recv(g->pair[path], s->dgram, sizeof s->dgram, MSG_DONTWAIT);

    if (n < 0)
        return false;
    if (n == 0) {
        service_unwatch_fd(s, g->pair[path]);
        close_fd(&g->pair[path]);
    }
    in->kind = IN_APP;
    in->app.op = n == 0 ? APP_CLOSE : APP_SEND;
    in->app.path = path;
    in->app.args = s->dgram;
    in->app.len = (size_t)n;
    return true;
}

/* A Unix socket can't be told to refuse what is over PAYLOAD_MAX: the core drops and counts it. */
static void open_pair(struct agent *g, uint32_t path)
{
    int fd[2], size = PAIR_BUFFER;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) != 0) {
        log_warn("event=no_socketpair why=\"%s\"", strerror(errno));
        return;
    }
    for (size_t i = 0; i < 2; i++)
        setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    g->pair[path] = fd[0];
    g->app[path] = fd[1];
    service_watch_fd(&g->svc, fd[0], ZMQ_POLLIN, receive_pair, (void *)(uintptr_t)path);
}

static void open_raw(struct agent *g, uint32_t path)
{
    const struct attempt *a = &g->core.attempts[path];

    g->app[path] = raw_socket(&g->svc, a);
    if (a->flow == WAY_RELAY && g->app[path] >= 0)
        g->raw[path] = fcntl(g->app[path], F_DUPFD_CLOEXEC, 0);
}

static void close_pair(struct agent *g, uint32_t path)
{
    if (g->pair[path] >= 0)
        service_unwatch_fd(&g->svc, g->pair[path]);
    close_fd(&g->pair[path]);
    close_fd(&g->app[path]);
    close_fd(&g->raw[path]);
}

static void on_app(struct service *s, const struct output *o)
{
    struct agent *g = s->arg;

    if (o->app.event == APP_DATA) {
        if (g->pair[o->app.path] < 0 ||
            send(g->pair[o->app.path], o->app.data, o->app.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            g->dropped++;
        return;
    }
    if (o->app.event == APP_INVITED) {
        struct invitation i;
        memcpy(&i, o->app.data, sizeof i);
        if (g->conf.on_invite)
            g->conf.on_invite(&i);
        return;
    }
    if (o->app.event == APP_MOVED) {
        if (g->raw[o->app.path] < 0 ||
            !raw_lead(g->raw[o->app.path], &g->core.attempts[o->app.path]))
            log_warn("event=not_moved why=\"%s\"", strerror(errno));
        return;
    }
    if (o->app.event == APP_OPENED && g->core.attempts[o->app.path].mode == MODE_RAW)
        open_raw(g, o->app.path);
    else if (o->app.event == APP_OPENED)
        open_pair(g, o->app.path);
    assert(g->n_events < AGENT_EVENTS_MAX); /* one step makes at most OUTPUTS_MAX */
    g->events[g->n_events].event = o->app.event;
    g->events[g->n_events++].path = o->app.path;
}

/* Callbacks run after the step is carried out, since they may cause further steps. */
static void tell(struct agent *g)
{
    for (size_t i = 0; i < g->n_events; i++) {
        uint32_t path = g->events[i].path;
        enum app_event event = g->events[i].event;
        if (event == APP_ENROLLED) {
            agent_link_close(g, &g->enrol, true);
            agent_link_close(g, &g->front, false); /* one that was refused does not try again */
            g->front = agent_link_open(g, &g->conf.join.front[0], false);
        }
        bool lost = event == APP_OPENED && g->pair[path] < 0 && g->app[path] < 0;
        if (g->conf.on_event)
            g->conf.on_event(g, event, path < ATTEMPTS_MAX ? &g->core.attempts[path] : NULL);
        if (lost) /* the system gave no socket */
            agent_close_path(g, &g->core.attempts[path], APP_CLOSE);
        if (event == APP_CLOSED && path < ATTEMPTS_MAX)
            close_pair(g, path);
    }
    g->n_events = 0;
}

/* It asks for one at a time. */
static bool asked_where(struct agent *g, struct input *in)
{
    for (size_t i = 0; i < g->out.n; i++) {
        const struct output *o = &g->out.v[i];
        if (o->kind != OUT_SOCKET || o->socket.op != SOCKET_ASK)
            continue;
        *in = input_now(IN_SOCKET);
        in->socket.sock = o->socket.sock;
        in->socket.port = service_udp_local(&g->svc, o->socket.sock).port;
        return true;
    }
    return false;
}

/* By these a raw session is bound at another relay; the core sends by them in its next step. */
static void open_beside(struct agent *g)
{
    for (size_t i = 0; i < g->out.n; i++) {
        const struct output *o = &g->out.v[i];
        if (o->kind != OUT_SOCKET || o->socket.op != SOCKET_BESIDE)
            continue;
        int fd = raw_beside(g->raw[o->socket.sock - RAW_RELAY_FIRST]);
        if (fd >= 0)
            service_udp_give(&g->svc, o->socket.sock, fd);
        else
            log_warn("event=no_socket why=\"%s\"", strerror(errno));
    }
}

static void step(struct agent *g, const struct input *in)
{
    bool nested = g->n_events > 0;
    struct input bound;

    executor_step(&g->core, in, &g->out);
    service_emit(&g->svc, &g->out);
    open_beside(g);
    while (asked_where(g, &bound)) {
        executor_step(&g->core, &bound, &g->out);
        service_emit(&g->svc, &g->out);
    }
    if (!nested) /* the outer one tells, in order */
        tell(g);
}

uint64_t agent_connect(struct agent *g, const struct connect_args *args)
{
    struct input in = input_now(IN_APP);

    in.app.op = APP_CONNECT;
    in.app.nonce = ++g->next_nonce;
    in.app.args = args;
    in.app.len = sizeof *args;
    step(g, &in);
    return in.app.nonce;
}

void agent_close_path(struct agent *g, const struct attempt *a, enum app_op op)
{
    struct input in = input_now(IN_APP);

    in.app.op = op;
    in.app.path = (uint32_t)(a - g->core.attempts);
    step(g, &in);
}

void agent_override(struct agent *g, const struct addr *claimed)
{
    struct input in = input_now(IN_APP);

    in.app.op = APP_OVERRIDE;
    in.app.args = claimed;
    in.app.len = sizeof *claimed;
    step(g, &in);
}

int agent_take_socket(struct agent *g, const struct attempt *a)
{
    int *fd = &g->app[a - g->core.attempts], taken = *fd;

    *fd = -1;
    return taken;
}

/* ---- life -------------------------------------------------------------------------------------------------- */

/* Where the sockets are bound, once they are. */
static void bound_at(struct agent *g)
{
    g->sockets.local = service_udp_local(&g->svc, 0);
    for (uint16_t i = 0; i < SAMPLES_MAX; i++)
        g->sockets.sample_ports[i] = service_udp_local(&g->svc, i + 1).port;
}

/* To the coordinator from the new address; libzmq would find out by its heartbeat only. */
static void reconnect(struct agent *g)
{
    if (g->front) {
        agent_link_close(g, &g->front, false);
        g->front = agent_link_open(g, &g->conf.join.front[0], false);
    } else if (g->enrol) {
        agent_link_close(g, &g->enrol, true);
        g->enrol = agent_link_open(g, &g->conf.join.enrol[0], true);
    }
}

static bool receive_network(struct service *s, void *arg, struct input *in)
{
    struct agent *g = s->arg;
    struct addr local;

    (void)arg;
    if (!network_changed(g->network) || !network_source(&g->conf.join.front[0], &local))
        return false; /* no way out now: what brings one back is a change again */
    in->kind = IN_NETWORK;
    in->network.sockets = NULL;
    if (addr_ip_eq(&local, &g->core.conf.local))
        return true;
    for (uint16_t i = 0; i <= SAMPLES_MAX; i++) {
        local.port = i == 0 ? g->conf.port : 0;
        if (!service_udp_rebind(s, i, &local)) {
            log_warn("event=no_udp port=%u why=\"%s\"", local.port, strerror(errno));
            return false;
        }
    }
    bound_at(g);
    in->network.sockets = &g->sockets;
    reconnect(g);
    return true;
}

void agent_open(struct agent *g, const struct agent_conf *conf)
{
    uint8_t key[32];
    struct executor_conf core = {.id = conf->id,
                                 .accept = conf->accept,
                                 .modes = conf->modes,
                                 .override = conf->override,
                                 .blocks = conf->blocks};

    memset(g, 0, offsetof(struct agent, svc));
    g->conf = *conf;
    g->n_events = 0;
    g->enrol = g->front = NULL;
    g->n_links = 0;
    g->dropped = 0;
    randombytes_buf(&g->next_nonce,
                    sizeof g->next_nonce); /* an earlier process asked with others */
    for (size_t i = 0; i < ATTEMPTS_MAX; i++)
        g->pair[i] = g->app[i] = g->raw[i] = -1;
    service_open(&g->svc, SERVICE_executor, NULL);
    g->svc.arg = g;
    g->svc.send_peer = agent_link_send;
    g->svc.app = on_app;
    g->front_fd = -1;
    chaser_open(&g->svc, &g->chaser, agent_link_send);

    /* The address that packets to the coordinator leave by is the one to probe and punch from. */
    struct addr local;
    if (!network_source(&conf->join.front[0], &local))
        die("event=no_route to the coordinator why=\"%s\"", strerror(errno));
    for (size_t i = 0; i <= SAMPLES_MAX; i++) {
        local.port = i == 0 ? conf->port : 0;
        if (service_udp(&g->svc, &local) < 0)
            die("event=no_udp port=%u why=\"%s\"", local.port, strerror(errno));
    }
    bound_at(g);
    core.local = g->sockets.local;
    core.fence = fence_of(conf->join.front, conf->join.n);
    core.n_homes = (uint8_t)conf->join.n;
    memcpy(core.homes, conf->join.front, conf->join.n * sizeof *core.homes);
    core.n_samples = SAMPLES_MAX;
    memcpy(core.sample_ports, g->sockets.sample_ports, sizeof core.sample_ports);
    g->network = network_watch();
    if (g->network >= 0)
        service_watch_fd(&g->svc, g->network, ZMQ_POLLIN, receive_network, NULL);
    memcpy(core.secret, conf->secret, sizeof core.secret);
    memcpy(core.authority, conf->join.authority, sizeof core.authority);
    memcpy(core.token, conf->join.token, sizeof core.token);
    msg_text(core.name, sizeof core.name, conf->name);
    service_random_key(key);
    executor_init(&g->core, &core, key);
    sodium_memzero(key, sizeof key);
    sodium_memzero(&core, sizeof core);
    g->enrol = agent_link_open(g, &conf->join.enrol[0], true);
}

void agent_run(struct agent *g, int64_t deadline_us, bool (*stop)(void *arg), void *arg)
{
    struct input in;

    while (!stop(arg) && service_now_us() < deadline_us) {
        int64_t due = executor_deadline(&g->core);
        if (!service_wait(&g->svc, due < deadline_us ? due : deadline_us, &in))
            break;
        step(g, &in);
    }
}

void agent_close(struct agent *g)
{
    if (g->front && g->core.attached) {
        struct output *o = &g->out.v[0];
        g->out.n = 0;
        emit(&g->out, SERVICE_coordinator, MSG_detach);
        agent_link_send(&g->svc, o);
    }
    for (uint32_t i = 0; i < ATTEMPTS_MAX; i++)
        close_pair(g, i);
    agent_link_close(g, &g->enrol, true);
    agent_link_close(g, &g->front, false);
    chaser_close(&g->svc, &g->chaser);
    if (g->network >= 0)
        service_unwatch_fd(&g->svc, g->network);
    close_fd(&g->network);
    service_close(&g->svc);
    sodium_memzero(&g->core, sizeof g->core);
    sodium_memzero(&g->conf, sizeof g->conf);
}
