/* conns_shell.c - see conns_shell.h. */
#include "services/coordinator/conns_shell.h"

#include "lib/log.h"
#include "lib/table.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { DOORS = 3, IP = 16, NET56 = 7, DESCRIPTORS_MAX = 1 << 20, EVENTS_AT_ONCE = 256 };

/* What is known of a descriptor. */
struct conn {
    uint32_t slot; /* of its ip in by_ip, or TABLE_NONE */
    uint8_t door;  /* 0: none of ours */
};

static struct {
    zsock_t *monitor[DOORS];
    int n_doors;
    struct conn *of; /* by descriptor */
    uint32_t descriptors, all, per_ip;
    struct table by_ip;
    void *memory;
    uint32_t *count; /* by slot */
    struct conns_counters n;
} conns;

static void forget(int fd)
{
    struct conn *c = &conns.of[fd];

    if (c->door == 0)
        return;
    conns.n.now--;
    if (c->slot != TABLE_NONE && --conns.count[c->slot] == 0)
        table_remove(&conns.by_ip, c->slot);
    c->door = 0;
}

/* Who is at the other end.  False when it is nobody from outside. */
static bool source_of(int fd, uint8_t ip[static IP])
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } sa;
    socklen_t len = sizeof sa;

    memset(ip, 0, IP);
    if (getpeername(fd, &sa.any, &len) != 0)
        return errno == ENOTCONN; /* gone, but libzmq holds it yet */
    if (sa.any.sa_family == AF_INET)
        memcpy(ip, &sa.v4.sin_addr, sizeof sa.v4.sin_addr);
    else if (sa.any.sa_family != AF_INET6)
        return false;
    else
        memcpy(ip, &sa.v6.sin6_addr, IN6_IS_ADDR_V4MAPPED(&sa.v6.sin6_addr) ? IP : NET56);
    return true;
}

static void shut(int fd, uint64_t *counter, const char *limit)
{
    ++*counter;
    log_limited("event=connection_refused limit=%s open=%u", limit, conns.n.now);
    shutdown(fd, SHUT_RDWR); /* libzmq sees its end, and closes it */
}

static void accepted(int fd, uint8_t door)
{
    uint8_t ip[IP];
    struct conn *c = &conns.of[fd];

    forget(fd); /* the other door's word on its end may come later */
    if (!source_of(fd, ip))
        return;
    c->door = door;
    c->slot = table_find(&conns.by_ip, ip);
    if (c->slot == TABLE_NONE) {
        c->slot = table_insert(&conns.by_ip, ip);
        if (c->slot != TABLE_NONE)
            conns.count[c->slot] = 0;
    }
    conns.n.now++;
    if (c->slot != TABLE_NONE)
        conns.count[c->slot]++;
    if (conns.n.now > conns.all)
        shut(fd, &conns.n.refused_all, "connections");
    else if (c->slot != TABLE_NONE && conns.count[c->slot] > conns.per_ip)
        shut(fd, &conns.n.refused_ip, "connections-per-ip");
}

/* Two frames: what, with which descriptor; and an address of no use here. */
static bool next_event(void *monitor, uint16_t *event, uint32_t *value)
{
    zmq_msg_t part;

    *event = 0;
    *value = 0;
    zmq_msg_init(&part);
    bool any = zmq_msg_recv(&part, monitor, ZMQ_DONTWAIT) >= 0;
    if (any && zmq_msg_size(&part) == sizeof *event + sizeof *value) {
        const char *data = zmq_msg_data(&part);
        memcpy(event, data, sizeof *event);
        memcpy(value, data + sizeof *event, sizeof *value);
    }
    while (any && zmq_msg_more(&part) && zmq_msg_recv(&part, monitor, 0) >= 0)
        continue;
    zmq_msg_close(&part);
    return any;
}

static bool receive_event(struct service *s, void *arg, struct input *in)
{
    zsock_t **monitor = arg;
    uint8_t door = (uint8_t)(monitor - conns.monitor + 1);
    uint16_t event;
    uint32_t fd;

    (void)s, (void)in;
    for (int i = 0; i < EVENTS_AT_ONCE && next_event(zsock_resolve(*monitor), &event, &fd); i++) {
        if (fd >= conns.descriptors)
            continue;
        if (event == ZMQ_EVENT_ACCEPTED)
            accepted((int)fd, door);
        else if (event == ZMQ_EVENT_DISCONNECTED && conns.of[fd].door == door)
            forget((int)fd);
    }
    return false;
}

void conns_watch(struct service *s, zsock_t *door)
{
    char at[64];
    int i = conns.n_doors++;

    assert(i < DOORS);
    snprintf(at, sizeof at, "inproc://conns-%d", i);
    conns.monitor[i] = zsock_new(ZMQ_PAIR);
    zsock_set_rcvhwm(conns.monitor[i], 0); /* or the thread that tells would wait for us */
    if (zmq_socket_monitor(zsock_resolve(door), at, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED) !=
            0 ||
        zsock_connect(conns.monitor[i], "%s", at) != 0)
        die("event=no_monitor why=\"%s\"", zmq_strerror(errno));
    service_watch_zmq(s, conns.monitor[i], receive_event, &conns.monitor[i]);
}

void conns_open(uint32_t peers, uint32_t all, uint32_t per_ip)
{
    struct rlimit limit = {0, 0};
    rlim_t wanted = (rlim_t)peers + CONNS_ENROLLING + CONNS_RESERVE;
    uint8_t secret[32];

    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    conns.descriptors =
        limit.rlim_cur < DESCRIPTORS_MAX ? (uint32_t)limit.rlim_cur : DESCRIPTORS_MAX;
    if (conns.descriptors <= CONNS_RESERVE)
        die("event=few_descriptors limit=%u why=\"at least %d\"", conns.descriptors,
            CONNS_RESERVE + 1);
    if (conns.descriptors < wanted)
        log_warn("event=few_descriptors limit=%u peers=%u", conns.descriptors, peers);
    uint32_t room = conns.descriptors - CONNS_RESERVE;
    conns.all = all > 0 && all < room ? all : room;
    conns.per_ip = per_ip;
    conns.of = calloc(conns.descriptors, sizeof *conns.of);
    conns.count = calloc(conns.descriptors, sizeof *conns.count);
    conns.memory = malloc(table_bytes(conns.descriptors, IP));
    if (!conns.of || !conns.count || !conns.memory)
        die("event=no_memory for=connections");
    service_random_key(secret);
    table_init(&conns.by_ip, conns.descriptors, IP, secret, conns.memory);
}

void conns_close(void)
{
    for (int i = 0; i < conns.n_doors; i++)
        zsock_destroy(&conns.monitor[i]);
    free(conns.of);
    free(conns.count);
    free(conns.memory);
}

const struct conns_counters *conns_counters(void) { return &conns.n; }
