/* front_shell.c - see front_shell.h. */
#include "services/coordinator/front_shell.h"
#include "services/coordinator/check_shell.h"
#include "services/coordinator/conns_shell.h"
#include "services/coordinator/gate_shell.h"
#include "services/coordinator/queues_shell.h"
#include "services/coordinator/routing.h"

#include "lib/chase_shell.h"
#include "lib/log.h"
#include "lib/service_link.h"
#include "lib/table.h"
#include "lib/zap.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    CONNS_MAX = 32768, /* known at once; the least recently used makes room */
    HWM = 64,          /* messages that wait for one peer */
    BACKLOG = 1024,    /* connections that wait to be taken */
    HEARTBEAT_MS = 5000,
    HEARTBEAT_TIMEOUT_MS = 15000,
    CURVE_OVERHEAD = 64, /* MAXMSGSIZE is held against the sealed frame, 33 bytes longer */
};

/* What tells connections apart; no other connection ever has the same id (routing.h). */
struct conn_key {
    uint8_t enrolling, id[ROUTING_ID];
};

struct conn {
    uint32_t number, number_slot;
    uint32_t newer, older; /* by use; TABLE_NONE at the ends */
    int fd;                /* that its last message came from */
};

static struct {
    struct service *svc;
    struct front_conf conf;
    zsock_t *front, *enrol;
    struct table by_key, by_number;
    struct conn *conns; /* by slot of by_key */
    uint32_t *slot_of;  /* by slot of by_number: the slot of by_key */
    uint32_t newest, oldest;
    uint32_t last_number;
    uint16_t ports[2]; /* as bound: front, enrol */
    void *memory[2];
    struct chaser chaser;
    struct queues queues;
    struct front_counters n;
} front;

/* ---- who is on which connection --------------------------------------------------------------------- */

static void unlink_conn(uint32_t slot)
{
    struct conn *c = &front.conns[slot];

    *(c->newer == TABLE_NONE ? &front.newest : &front.conns[c->newer].older) = c->older;
    *(c->older == TABLE_NONE ? &front.oldest : &front.conns[c->older].newer) = c->newer;
}

static void link_newest(uint32_t slot)
{
    struct conn *c = &front.conns[slot];

    c->newer = TABLE_NONE;
    c->older = front.newest;
    *(c->older == TABLE_NONE ? &front.oldest : &front.conns[c->older].newer) = slot;
    front.newest = slot;
}

static void forget_conn(uint32_t slot)
{
    unlink_conn(slot);
    table_remove(&front.by_number, front.conns[slot].number_slot);
    table_remove(&front.by_key, slot);
}

/* The number of this connection, a new one when it was not seen before or was forgotten. */
static uint32_t conn_number(const struct conn_key *key, int fd)
{
    uint32_t slot = table_find(&front.by_key, key);

    if (slot != TABLE_NONE) {
        unlink_conn(slot);
        link_newest(slot);
        front.conns[slot].fd = fd;
        return front.conns[slot].number;
    }
    if (front.by_key.n == CONNS_MAX) {
        forget_conn(front.oldest);
        front.n.evicted++;
    }
    slot = table_insert(&front.by_key, key);
    struct conn *c = &front.conns[slot];
    c->fd = fd;
    do /* 0 is no connection; after 2^32 of them an old one may still be there */
        c->number = ++front.last_number;
    while (c->number == 0 || table_find(&front.by_number, &c->number) != TABLE_NONE);
    c->number_slot = table_insert(&front.by_number, &c->number);
    front.slot_of[c->number_slot] = slot;
    link_newest(slot);
    front.n.connections++;
    return c->number;
}

/* ---- messages ----------------------------------------------------------------------------------------- */

static bool who_sent(zmq_msg_t *body, struct peer_id *peer)
{
    const char *id = zmq_msg_gets(body, "User-Id");

    return id && peer_id_parse(id, peer);
}

/* The ip at the other end of the connection; len 0 when libzmq doesn't say. */
static struct addr source_of(zmq_msg_t *body)
{
    const char *ip = zmq_msg_gets(body, "Peer-Address");
    struct addr a = {0};

    return ip && addr_parse_ip(ip, 1, &a) ? a : (struct addr){0};
}

/* Should a peer's own choice have come through all the same it is no connection of ours. */
static bool has_given_id(zmq_msg_t *id, bool enrolling, const struct peer_id *peer, int fd)
{
    if (gate_gave(enrolling, peer, zmq_msg_data(id), zmq_msg_size(id)))
        return true;
    front.n.foreign_ids++;
    log_limited("event=connection_cut why=\"a routing id that it was not given\"");
    shutdown(fd, SHUT_RDWR);
    return false;
}

static bool take(struct service *s, zmq_msg_t frame[3], bool enrolling, struct input *in)
{
    struct conn_key key = {.enrolling = enrolling};
    struct peer_id peer;

    if (!who_sent(&frame[2], &peer) ||
        !has_given_id(&frame[0], enrolling, &peer, zmq_msg_get(&frame[2], ZMQ_SRCFD)))
        return false;
    memcpy(key.id, zmq_msg_data(&frame[0]), sizeof key.id);
    if (!service_decode(s, SERVICE_executor, zmq_msg_data(&frame[1]), zmq_msg_size(&frame[1]),
                        zmq_msg_data(&frame[2]), zmq_msg_size(&frame[2]), &s->msg))
        return false;
    in->kind = IN_MSG;
    in->msg = &s->msg;
    in->from = (struct sender){
        .service = SERVICE_executor,
        .peer = peer,
        .conn = conn_number(&key, zmq_msg_get(&frame[2], ZMQ_SRCFD)),
        .enrolling = enrolling,
        .source = source_of(&frame[2]),
    };
    if (!enrolling)
        familiar_note(&front.queues.familiar, &in->from.source);
    return true;
}

static bool receive_peer(struct service *s, void *arg, struct input *in)
{
    zsock_t *sock = arg;
    zmq_msg_t frame[3];

    for (int i = 0; i < 3; i++)
        zmq_msg_init(&frame[i]);
    size_t n = service_frames(zsock_resolve(sock), frame);
    bool ok = n == 3 && take(s, frame, sock == front.enrol, in);
    front.n.taken += ok;
    front.n.malformed += !ok && n != 0;
    for (int i = 0; i < 3; i++)
        zmq_msg_close(&frame[i]);
    return ok && s->msg.type != MSG_chase; /* that one has done its work by coming */
}

static void send_peer(struct service *s, const struct output *o)
{
    char body[MSG_SIZE_MAX];
    uint32_t number_slot = table_find(&front.by_number, &o->to_conn);

    if (number_slot == TABLE_NONE) {
        front.n.vanished++;
        return;
    }
    uint32_t slot = front.slot_of[number_slot];
    const struct conn_key *key = table_key(&front.by_key, slot);
    void *sock = zsock_resolve(key->enrolling ? front.enrol : front.front);
    const char *type = msg_name[o->msg.type];
    size_t len = msg_encode(&o->msg, body);
    /* The first frame finds the peer or fails; then the others can't. */
    if (zmq_send(sock, key->id, sizeof key->id, ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0 &&
        zmq_send(sock, type, strlen(type), ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0 &&
        zmq_send(sock, body, len, ZMQ_DONTWAIT) >= 0) {
        s->n.messages_out++;
        chaser_sent(&front.chaser, o, front.conns[slot].fd);
    } else if (errno == EHOSTUNREACH) {
        front.n.vanished++;
        forget_conn(slot);
    } else { /* it does not read: the core repeats what matters */
        front.n.full++;
        s->n.messages_dropped++;
    }
}

/* ---- life --------------------------------------------------------------------------------------------- */

/* A listening socket that is open already; -1: libzmq opens its own. */
static void use_fd(zsock_t *sock, int fd)
{
    zmq_setsockopt(zsock_resolve(sock), ZMQ_USE_FD, &fd, sizeof fd);
}

static void bind_at(zsock_t *sock, const char *domain, const char *where, uint32_t port)
{
    struct addr at;
    int fd[QUEUES], n = 0;

    if (port != 0 && front.queues.program >= 0 &&
        addr_parse_ip(front.conf.listen_ip, (uint16_t)port, &at)) {
        n = queues_listen(&front.queues, &at, true, BACKLOG, fd) ? QUEUES : -1;
    }
    for (int i = 0; n >= 0 && i < (n > 0 ? n : 1); i++) {
        if (n > 0)
            use_fd(sock, fd[i]);
        if (zmq_bind(zsock_resolve(sock), where) != 0)
            n = -1; /* zsock_bind draws a port itself; the kernel shall */
    }
    int err = errno;
    use_fd(sock, -1);
    if (n < 0)
        die("event=no_front door=%s addr=%s:%u why=\"%s\"", domain, front.conf.listen_ip, port,
            zmq_strerror(err));
}

static zsock_t *bind_router(struct service *s, const char *domain, uint32_t port)
{
    zsock_t *sock = zsock_new(ZMQ_ROUTER);
    bool v6 = strchr(front.conf.listen_ip, ':') != NULL;
    int linger_ms = 200;
    char at[ADDR_TEXT_MAX + sizeof "tcp://"];

    zap_enforce(sock, domain);
    zsock_set_curve_server(sock, 1);
    zsock_set_curve_secretkey_bin(sock, front.conf.secret);
    zsock_set_router_mandatory(sock, 1);
    zsock_set_sndhwm(sock, HWM);
    zsock_set_rcvhwm(sock, HWM);
    zsock_set_backlog(sock, BACKLOG);
    zsock_set_maxmsgsize(sock, MSG_SIZE_MAX + CURVE_OVERHEAD);
    zsock_set_handshake_ivl(sock, (int)(front.conf.handshake_us / 1000));
    zsock_set_heartbeat_ivl(sock, HEARTBEAT_MS);
    zsock_set_heartbeat_timeout(sock, HEARTBEAT_TIMEOUT_MS);
    zsock_set_linger(sock, linger_ms);
    zsock_set_ipv6(sock, v6);
    conns_watch(s, sock);
    snprintf(at, sizeof at, v6 ? "tcp://[%s]:%u" : "tcp://%s:%u", front.conf.listen_ip, port);
    bind_at(sock, domain, at, port);
    return sock;
}

static void make_tables(void)
{
    uint8_t secret[32];

    front.memory[0] = malloc(table_bytes(CONNS_MAX, sizeof(struct conn_key)));
    front.memory[1] = malloc(table_bytes(CONNS_MAX, sizeof(uint32_t)));
    front.conns = calloc(CONNS_MAX, sizeof *front.conns);
    front.slot_of = calloc(CONNS_MAX, sizeof *front.slot_of);
    if (!front.memory[0] || !front.memory[1] || !front.conns || !front.slot_of)
        die("event=no_memory for=connections");
    service_random_key(secret);
    table_init(&front.by_key, CONNS_MAX, sizeof(struct conn_key), secret, front.memory[0]);
    table_init(&front.by_number, CONNS_MAX, sizeof(uint32_t), secret, front.memory[1]);
    front.newest = front.oldest = TABLE_NONE;
}

static uint16_t port_of(zsock_t *sock)
{
    char *where = zsock_last_endpoint(sock); /* "tcp://ip:port" */
    const char *colon = where ? strrchr(where, ':') : NULL;
    uint16_t port = colon ? (uint16_t)atoi(colon + 1) : 0;

    free(where);
    return port;
}

/* The front has an entry of its own for that, on the bus. */
static void try_door(struct service *svc)
{
    struct check_conf conf = {.every_us = front.conf.check_every_us, .serve = gate_serve};

    snprintf(conf.endpoint, sizeof conf.endpoint, "ipc://%s/front", svc->bus_dir);
    if (zmq_bind(zsock_resolve(front.front), conf.endpoint) != 0)
        die("event=no_check at=%s why=\"%s\"", conf.endpoint, zmq_strerror(errno));
    crypto_scalarmult_base(conf.server_key, front.conf.secret);
    check_open(svc, &conf);
}

void front_open(struct service *svc, const struct front_conf *conf)
{
    front.conf = *conf;
    front.svc = svc;
    make_tables();
    gate_open(svc, conf->enrolled); /* before any door is */
    if (!queues_init(&front.queues))
        log_warn("event=one_queue why=\"%s\" text=\"a flood of strangers can crowd out peers' "
                 "connections; it takes CAP_BPF\"",
                 strerror(errno));
    front.front = bind_router(svc, "front", conf->front_port);
    front.enrol = bind_router(svc, "enrol", conf->enrol_port);
    service_watch_zmq(svc, front.front, receive_peer, front.front);
    service_watch_zmq(svc, front.enrol, receive_peer, front.enrol);
    svc->send_peer = send_peer;
    chaser_open(svc, &front.chaser, send_peer);
    front.ports[0] = port_of(front.front), front.ports[1] = port_of(front.enrol);
    try_door(svc);
    sodium_memzero(front.conf.secret, sizeof front.conf.secret);
}

void front_close(void)
{
    check_close();
    chaser_close(front.svc, &front.chaser);
    zsock_destroy(&front.front);
    zsock_destroy(&front.enrol);
    gate_close();
    queues_close(&front.queues);
    free(front.memory[0]);
    free(front.memory[1]);
    free(front.conns);
    free(front.slot_of);
    sodium_memzero(&front, sizeof front);
}

const struct front_counters *front_counters(void)
{
    front.n.chasers = front.chaser.sent;
    front.n.refused_keys = gate_refused();
    return &front.n;
}

void front_ports(uint16_t *front_port, uint16_t *enrol_port)
{
    *front_port = front.ports[0];
    *enrol_port = front.ports[1];
}
