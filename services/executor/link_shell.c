/* link_shell.c - see link_shell.h. */
#include "services/executor/link_shell.h"
#include "lib/log.h"

#include <errno.h>

enum {
    HEARTBEAT_MS = 5000,
    HEARTBEAT_TIMEOUT_MS = 15000,
    RECONNECT_MS = 100, /* a restarted coordinator is found again within that */
    RECONNECT_MAX_MS = 1000,
    HANDSHAKE_MS = 10000,
    CURVE_BYTES = 64, /* the limit is held against the sealed frame, which is longer */
};

static bool receive_coordinator(struct service *s, void *arg, struct input *in)
{
    zsock_t *sock = arg;
    struct agent *g = s->arg;
    zmq_msg_t frame[3];

    for (int i = 0; i < 3; i++)
        zmq_msg_init(&frame[i]);
    size_t n = service_frames(zsock_resolve(sock), frame);
    bool ok = n == 2 && service_decode(s, SERVICE_coordinator, zmq_msg_data(&frame[0]),
                                       zmq_msg_size(&frame[0]), zmq_msg_data(&frame[1]),
                                       zmq_msg_size(&frame[1]), &s->msg);
    if (ok && sock == g->front)
        g->front_fd = zmq_msg_get(&frame[1], ZMQ_SRCFD);
    for (int i = 0; i < 3; i++)
        zmq_msg_close(&frame[i]);
    s->n.messages_refused += n != 0 && n != 2;
    in->kind = IN_MSG;
    in->msg = &s->msg;
    in->from = (struct sender){.service = SERVICE_coordinator, .enrolling = sock == g->enrol};
    return ok && s->msg.type != MSG_chase; /* that one has done its work by coming */
}

/* An event of libzmq's monitor: the connection is usable, or not any more. */
static bool receive_monitor(struct service *s, void *arg, struct input *in)
{
    struct agent *g = s->arg;
    bool enrolling = arg != NULL;
    zmq_msg_t msg;
    uint16_t event = 0;

    zmq_msg_init(&msg);
    if (zmq_msg_recv(&msg, g->monitor[enrolling], ZMQ_DONTWAIT) >= (int)sizeof event)
        memcpy(&event, zmq_msg_data(&msg), sizeof event);
    while (zmq_msg_more(&msg)) /* the endpoint */
        if (zmq_msg_recv(&msg, g->monitor[enrolling], ZMQ_DONTWAIT) < 0)
            break;
    zmq_msg_close(&msg);
    /* The front does not know this key (any more): the store may be another one.  Knock again. */
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH && !enrolling && !g->enrol && !g->core.refused)
        g->enrol = agent_link_open(g, &g->conf.join.enrol[0], true);
    if (event == ZMQ_EVENT_DISCONNECTED && !enrolling)
        g->front_fd = -1; /* closed: the number may soon be another one's */
    in->kind = IN_LINK;
    in->link.enrolling = enrolling;
    in->link.up = event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
    return event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED ||
           (event == ZMQ_EVENT_DISCONNECTED && (enrolling || g->core.link_up));
}

zsock_t *agent_socket(const struct agent_conf *conf)
{
    zsock_t *sock = zsock_new(ZMQ_DEALER);

    zsock_set_curve_serverkey_bin(sock, conf->join.coordinator_key);
    zsock_set_curve_publickey_bin(sock, conf->id.b);
    zsock_set_curve_secretkey_bin(sock, conf->secret);
    zsock_set_ipv6(sock, conf->join.front[0].len == 16);
    zsock_set_linger(sock, 200);
    zsock_set_sndtimeo(sock, 0);
    zsock_set_immediate(sock, 1); /* nothing waits for a connection that isn't there */
    zsock_set_reconnect_ivl(sock, RECONNECT_MS);
    zsock_set_reconnect_ivl_max(sock, RECONNECT_MAX_MS);
    zsock_set_handshake_ivl(sock, HANDSHAKE_MS);
    zsock_set_heartbeat_ivl(sock, HEARTBEAT_MS);
    zsock_set_heartbeat_timeout(sock, HEARTBEAT_TIMEOUT_MS);
    zsock_set_maxmsgsize(sock, MSG_SIZE_MAX + CURVE_BYTES);
    return sock;
}

zsock_t *agent_link_open(struct agent *g, const struct addr *to, bool enrolling)
{
    char text[ADDR_TEXT_MAX], where[ADDR_TEXT_MAX + 8], monitor[64];
    zsock_t *sock = agent_socket(&g->conf);

    /* Each has a name of its own: libzmq frees that of a closed socket when it gets round to it. */
    snprintf(monitor, sizeof monitor, "inproc://agent-%p-%u", (void *)g, g->n_links++);
    if (zmq_socket_monitor(zsock_resolve(sock), monitor,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                               ZMQ_EVENT_DISCONNECTED) != 0)
        die("event=no_monitor why=\"%s\"", zmq_strerror(errno));
    g->monitor[enrolling] = zmq_socket(zsys_init(), ZMQ_PAIR);
    if (!g->monitor[enrolling] || zmq_connect(g->monitor[enrolling], monitor) != 0)
        die("event=no_monitor why=\"%s\"", zmq_strerror(errno));
    service_watch_zmq(&g->svc, g->monitor[enrolling], receive_monitor, enrolling ? g : NULL);
    service_watch_zmq(&g->svc, sock, receive_coordinator, sock);

    snprintf(where, sizeof where, "tcp://%s", addr_format(to, text, sizeof text));
    if (zsock_connect(sock, "%s", where) != 0)
        die("event=no_coordinator where=%s why=\"%s\"", where, zmq_strerror(errno));
    return sock;
}

void agent_link_close(struct agent *g, zsock_t **sock, bool enrolling)
{
    if (!*sock)
        return;
    service_unwatch_zmq(&g->svc, *sock);
    service_unwatch_zmq(&g->svc, g->monitor[enrolling]);
    zmq_socket_monitor(zsock_resolve(*sock), NULL, 0);
    zmq_close(g->monitor[enrolling]);
    g->monitor[enrolling] = NULL;
    if (!enrolling)
        g->front_fd = -1;
    zsock_destroy(sock);
}

void agent_link_send(struct service *s, const struct output *o)
{
    struct agent *g = s->arg;
    zsock_t *sock = o->enrolling ? g->enrol : g->front;
    char body[MSG_SIZE_MAX];
    size_t len = msg_encode(&o->msg, body);

    /* The handshake's event can be here before the socket has looked at its mail and knows of the connection,
     * which it does at most once a millisecond when sending, but always when asked for its events. */
    if (sock)
        (void)zsock_events(sock);

    if (sock && zsock_send(sock, "sb", msg_name[o->msg.type], body, len) == 0)
        s->n.messages_out++;
    else
        s->n.messages_dropped++; /* the core asks again by deadline, or when the link is up */
    chaser_sent(&g->chaser, o, g->front_fd);
}
