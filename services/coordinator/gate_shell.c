/* gate_shell.c - see gate_shell.h. */
#include "services/coordinator/gate_shell.h"
#include "services/coordinator/check_shell.h"
#include "services/coordinator/routing.h"

#include "lib/log.h"
#include "lib/service_link.h"
#include "lib/zap.h"

#include <sodium.h>

enum { ASKED_MAX = 4096, AT_ONCE = 64 };

static struct {
    bool (*enrolled)(const struct peer_id *peer);
    zsock_t *zap, *there,
        *back; /* from there a message goes through libzmq's thread and comes back */
    struct zap_request asked[ASKED_MAX]; /* those whom answers wait for: a ring */
    unsigned first, n, under_way;        /* so many from the first on when it comes back */
    struct routing routing;
    uint64_t refused;
} gate;

static bool is_enrolling(const struct zap_request *z) { return strcmp(z->domain, "enrol") == 0; }

static bool admitted(const struct zap_request *z)
{
    if (is_enrolling(z))
        return true;
    return strcmp(z->domain, "front") == 0 && (check_is_own(&z->key) || gate.enrolled(&z->key));
}

static void send_there(void)
{
    if (gate.under_way > 0 || gate.n == 0)
        return;
    if (zmq_send(zsock_resolve(gate.there), "", 0, ZMQ_DONTWAIT) == 0)
        gate.under_way = gate.n; /* else the next request tries again */
}

static void take_request(const struct zap_request *z)
{
    if (strcmp(z->domain, LINK_DOMAIN) == 0) {
        service_links_answer(gate.zap, z);
    } else if (!admitted(z)) {
        gate.refused += !check_is_stranger(&z->key);
        zap_answer(gate.zap, z, NULL);
    } else if (gate.n == ASKED_MAX) {
        zap_put_off(gate.zap, z);
    } else {
        gate.asked[(gate.first + gate.n++) % ASKED_MAX] = *z;
    }
}

static void take_requests(void)
{
    struct zap_request z;

    for (int i = 0; i < AT_ONCE && zap_receive(gate.zap, &z, &gate.refused); i++)
        take_request(&z);
    send_there();
}

static void take_back(void)
{
    char user[PEER_ID_TEXT];
    uint8_t id[ROUTING_ID];

    if (zmq_recv(zsock_resolve(gate.back), NULL, 0, ZMQ_DONTWAIT) < 0)
        return;
    for (; gate.under_way > 0; gate.under_way--, gate.n--) {
        const struct zap_request *z = &gate.asked[gate.first];
        routing_give(&gate.routing, is_enrolling(z), &z->key, id);
        zap_admit(gate.zap, z, peer_id_format(&z->key, user), id, sizeof id);
        gate.first = (gate.first + 1) % ASKED_MAX;
    }
    send_there();
}

static bool receive_request(struct service *s, void *arg, struct input *in)
{
    (void)s, (void)arg, (void)in;
    take_requests();
    return false;
}

static bool receive_back(struct service *s, void *arg, struct input *in)
{
    (void)s, (void)arg, (void)in;
    take_back();
    return false;
}

void gate_serve(void)
{
    take_requests();
    take_back();
}

/* By a real connection: one within the process would not go through the thread. */
static void open_turn(const struct service *svc)
{
    gate.there = zsock_new(ZMQ_PAIR);
    gate.back = zsock_new(ZMQ_PAIR);
    zsock_set_linger(gate.there, 0);
    if (zmq_ctx_get(zsys_init(), ZMQ_IO_THREADS) != 1)
        die("event=no_gate why=\"libzmq has more than one thread that reads\"");
    if (zsock_bind(gate.back, "ipc://%s/turn", svc->bus_dir) != 0 ||
        zsock_connect(gate.there, "ipc://%s/turn", svc->bus_dir) != 0)
        die("event=no_gate why=\"%s\"", zmq_strerror(errno));
}

void gate_open(struct service *svc, bool (*enrolled)(const struct peer_id *peer))
{
    uint8_t secret[32];

    gate.enrolled = enrolled;
    service_random_key(secret);
    memcpy(gate.routing.secret, secret, sizeof gate.routing.secret);
    sodium_memzero(secret, sizeof secret);
    gate.zap = zap_open();
    open_turn(svc);
    service_watch_zmq(svc, gate.zap, receive_request, NULL);
    service_watch_zmq(svc, gate.back, receive_back, NULL);
}

void gate_close(void)
{
    zsock_destroy(&gate.zap);
    zsock_destroy(&gate.there);
    zsock_destroy(&gate.back);
    sodium_memzero(&gate, sizeof gate);
}

bool gate_gave(bool enrolling, const struct peer_id *peer, const void *id, size_t len)
{
    return routing_is_given(&gate.routing, enrolling, peer, id, len);
}

uint64_t gate_refused(void) { return gate.refused; }
