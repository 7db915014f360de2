/* service_link.c - see service_link.h. */
#include "lib/service_link.h"
#include "lib/log.h"

#include <sodium.h>
#include <stdio.h>

enum {
    HWM = 1000, /* messages that wait on a link */
    BACKLOG = 16,
    HANDSHAKE_MS = 5000,
    HEARTBEAT_MS = 1000,
    HEARTBEAT_TIMEOUT_MS = 3000,
    RECONNECT_MS = 100,
    RECONNECT_MAX_MS = 2000,
    CURVE_OVERHEAD = 64, /* MAXMSGSIZE is held against the sealed frame, 33 bytes longer */
};

static struct {
    struct service_link_conf conf;
    zsock_t *zap, *inbox;
    uint64_t refused;
} links;

/* ---- in ------------------------------------------------------------------------------------------ */

/* The link that this key stands for, or 0. */
static uint8_t link_of(const struct peer_id *key)
{
    for (uint8_t i = 0; i < links.conf.n; i++)
        if (memcmp(links.conf.to[i].key, key->b, LINK_KEY) == 0)
            return (uint8_t)(i + 1);
    return 0;
}

/* The key itself is the User-Id: a list that changes numbers its links anew. */
void service_links_answer(zsock_t *zap, const struct zap_request *z)
{
    char user[PEER_ID_TEXT];

    if (link_of(&z->key) != 0) {
        zap_answer(zap, z, peer_id_format(&z->key, user));
        return;
    }
    links.refused++;
    zap_put_off(zap, z);
}

static bool receive_zap(struct service *s, void *arg, struct input *in)
{
    struct zap_request z;

    (void)s, (void)arg, (void)in;
    if (!zap_receive(links.zap, &z, &links.refused))
        return false;
    if (strcmp(z.domain, LINK_DOMAIN) == 0)
        service_links_answer(links.zap, &z);
    else
        zap_answer(links.zap, &z, NULL);
    return false;
}

/* Three frames: sender, type, body. */
static bool receive_link(struct service *s, void *arg, struct input *in)
{
    zmq_msg_t frame[3];
    bool ok = false;

    (void)arg;
    for (int i = 0; i < 3; i++)
        zmq_msg_init(&frame[i]);
    size_t n = service_frames(zsock_resolve(links.inbox), frame);
    if (n == 3) {
        const char *user = zmq_msg_gets(&frame[2], "User-Id");
        struct peer_id key;
        uint8_t link = user && peer_id_parse(user, &key) ? link_of(&key) : 0;
        enum role who = link ? links.conf.to[link - 1].role : SERVICE_none;
        ok = service_decode(s, who, zmq_msg_data(&frame[1]), zmq_msg_size(&frame[1]),
                            zmq_msg_data(&frame[2]), zmq_msg_size(&frame[2]), &s->msg);
        in->kind = IN_MSG;
        in->msg = &s->msg;
        in->from = (struct sender){.service = who, .peer = key, .link = link};
    } else if (n > 0) {
        s->n.messages_refused++;
    }
    for (int i = 0; i < 3; i++)
        zmq_msg_close(&frame[i]);
    return ok;
}

/* ---- out ----------------------------------------------------------------------------------------- */

static void send_link(struct service *s, const struct output *o)
{
    char body[MSG_SIZE_MAX];
    size_t len = msg_encode(&o->msg, body);

    assert(s->link[o->link - 1]);
    if (zsock_send(s->link[o->link - 1], "ssb", service_name[s->self], msg_name[o->msg.type], body,
                   len) == 0)
        s->n.messages_out++;
    else /* it is away, or does not read: the core repeats what matters */
        s->n.messages_dropped++;
}

/* ---- life ---------------------------------------------------------------------------------------- */

static void set_common(zsock_t *sock, const struct service_link_conf *conf)
{
    zsock_set_curve_secretkey_bin(sock, conf->secret);
    zsock_set_sndhwm(sock, HWM);
    zsock_set_rcvhwm(sock, HWM);
    zsock_set_maxmsgsize(sock, MSG_SIZE_MAX + CURVE_OVERHEAD);
    zsock_set_handshake_ivl(sock, HANDSHAKE_MS);
    zsock_set_heartbeat_ivl(sock, HEARTBEAT_MS);
    zsock_set_heartbeat_timeout(sock, HEARTBEAT_TIMEOUT_MS);
    zsock_set_linger(sock, 0);
}

static const char *endpoint(const struct addr *a, char text[static ADDR_TEXT_MAX])
{
    return addr_format(a, text, ADDR_TEXT_MAX);
}

static void bind_inbox(struct service *s)
{
    char at[ADDR_TEXT_MAX];

    links.inbox = zsock_new(ZMQ_PULL);
    set_common(links.inbox, &links.conf);
    zap_enforce(links.inbox, LINK_DOMAIN);
    if (links.conf.watch)
        links.conf.watch(s, links.inbox);
    zsock_set_curve_server(links.inbox, 1);
    zsock_set_backlog(links.inbox, BACKLOG);
    zsock_set_ipv6(links.inbox, links.conf.listen.len == 16);
    if (zsock_bind(links.inbox, "tcp://%s", endpoint(&links.conf.listen, at)) < 0)
        die("event=no_link addr=%s why=\"%s\"", at, zmq_strerror(errno));
}

static zsock_t *connect_to(const struct service_link_conf *conf, const struct service_link *to)
{
    char at[ADDR_TEXT_MAX];
    zsock_t *push = zsock_new(ZMQ_PUSH);

    set_common(push, conf);
    zsock_set_curve_publickey_bin(push, conf->key);
    zsock_set_curve_serverkey_bin(push, to->key);
    zsock_set_sndtimeo(push, 0);
    zsock_set_immediate(push, 1); /* what a link can't take now is of no use later */
    zsock_set_reconnect_ivl(push, RECONNECT_MS);
    zsock_set_reconnect_ivl_max(push, RECONNECT_MAX_MS);
    zsock_set_ipv6(push, to->addr.len == 16);
    if (zsock_connect(push, "tcp://%s", endpoint(&to->addr, at)) != 0)
        die("event=no_link addr=%s why=\"%s\"", at, zmq_strerror(errno));
    return push;
}

void service_links_join(struct service *s, const struct service_link_conf *conf)
{
    for (uint8_t i = 0; i < conf->n; i++)
        if (conf->to[i].addr.len)
            s->link[i] = connect_to(conf, &conf->to[i]);
    s->send_link = send_link;
}

void service_links_open(struct service *s, const struct service_link_conf *conf)
{
    links.conf = *conf;
    assert(conf->n <= LINKS_MAX);
    if (conf->listen.len && !conf->has_handler) { /* before the door is */
        links.zap = zap_open();
        service_watch_zmq(s, links.zap, receive_zap, NULL);
    }
    if (conf->listen.len) {
        bind_inbox(s);
        service_watch_zmq(s, links.inbox, receive_link, NULL);
    }
    service_links_join(s, conf);
    sodium_memzero(links.conf.secret, sizeof links.conf.secret);
}

void service_links_change(const struct service_link *to, uint8_t n)
{
    assert(n <= LINKS_MAX);
    memcpy(links.conf.to, to, n * sizeof *to);
    links.conf.n = n;
}

void service_links_close(void)
{
    zsock_destroy(&links.inbox);
    zsock_destroy(&links.zap);
}

uint64_t service_links_refused(void) { return links.refused; }
