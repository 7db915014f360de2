/* test_service_udp.c - a service's UDP sockets, against a child process that echoes. */
#include "lib/service.h"
#include "tests/lib/child.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <unistd.h>

static struct service svc;
static struct outputs out;
static struct child child;

TestSuite(service_udp, .timeout = 60);

/* Say where, echo until told to stop (a datagram that begins with t goes with TTL 9), say how many. */
static void serve(void *arg, int fd)
{
    struct addr local = addr_v4(127, 0, 0, 1, 0);
    struct input in;

    (void)arg;
    service_open(&svc, SERVICE_prober, NULL);
    cr_assert_eq(service_udp(&svc, &local), 0);
    local = service_udp_local(&svc, 0);
    cr_assert_eq(write(fd, &local, sizeof local), sizeof local);
    while (service_wait(&svc, NEVER, &in)) {
        out.n = 0;
        if (in.kind != IN_DATAGRAM)
            continue;
        struct output *o = outputs_add(&out, OUT_DATAGRAM);
        o->dgram.sock = in.dgram.sock;
        o->dgram.ttl = in.dgram.len > 0 && in.dgram.data[0] == 't' ? 9 : 0;
        o->dgram.dst = in.dgram.src;
        o->dgram.len =
            (uint16_t)(in.dgram.len < DATAGRAM_MAX ? in.dgram.len : (size_t)DATAGRAM_MAX);
        memcpy(o->dgram.data, in.dgram.data, o->dgram.len);
        service_emit(&svc, &out);
    }
    cr_assert_eq(write(fd, &svc.n, sizeof svc.n), sizeof svc.n);
    service_close(&svc);
}

static int udp_client(const struct addr *peer)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {10, 0};
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_port = htons(peer->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;

    cr_assert_eq(connect(fd, (struct sockaddr *)&sin, sizeof sin), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof on);
    return fd;
}

/* Send a datagram of n bytes, take the answer and return the TTL that it came with. */
static int echo(int fd, char first, size_t n)
{
    static char buf[65536], back[65536];
    char control[64];
    struct iovec iov = {back, sizeof back};
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int ttl = -1;

    memset(buf, first, n);
    cr_assert_eq(send(fd, buf, n, 0), (ssize_t)n);
    ssize_t got = recvmsg(fd, &h, 0);
    cr_assert_eq(got, (ssize_t)(n < DATAGRAM_MAX ? n : DATAGRAM_MAX));
    cr_assert_eq(memcmp(buf, back, (size_t)got), 0);
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    if (c && c->cmsg_type == IP_TTL)
        memcpy(&ttl, CMSG_DATA(c), sizeof ttl);
    return ttl;
}

Test(service_udp, datagrams_come_in_and_go_out)
{
    struct service_counters n;
    struct addr local;

    child_start(&child, serve, NULL);
    cr_assert_eq(read(child.in, &local, sizeof local), sizeof local);
    cr_assert(local.len == 4 && local.port != 0);
    int fd = udp_client(&local);
    static const size_t sizes[] = {0, 1, 2, 1472, 1473, 9000, 65507};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        echo(fd, 'x', sizes[i]);
    int usual = echo(fd, 'x', 5);
    cr_assert_eq(echo(fd, 't', 5), 9);
    cr_assert_eq(echo(fd, 'x', 5), usual, "the usual TTL again");
    kill(child.pid, SIGTERM);
    cr_assert_eq(read(child.in, &n, sizeof n), sizeof n);
    cr_assert_eq(child_wait(&child), 0);
    cr_assert_eq(n.datagrams_in, 10);
    cr_assert_eq(n.datagrams_out, 10);
    close(fd);
}

Test(service_udp, a_datagram_that_cannot_leave_is_counted_and_no_more)
{
    struct addr local = addr_v4(127, 0, 0, 1, 0);
    const struct addr loopback_6 = {.len = 16, .ip = {[15] = 1}, .port = 9};
    const struct addr to[] = {{.port = 0}, {.port = 9}, loopback_6};

    service_open(&svc, SERVICE_prober, NULL);
    cr_assert_eq(service_udp(&svc, &local), 0);
    for (size_t i = 0; i < sizeof to / sizeof to[0]; i++) {
        out.n = 0;
        struct output *o = outputs_add(&out, OUT_DATAGRAM);
        o->dgram.sock = 0, o->dgram.ttl = 3, o->dgram.dst = to[i], o->dgram.len = 1;
        service_emit(&svc, &out);
        cr_assert_eq(svc.n.datagrams_dropped, i + 1);
    }
    cr_assert_eq(svc.n.datagrams_out, 0, "no address is not this host");
    service_close(&svc);
}

Test(service_udp, a_port_that_is_taken_is_no_socket)
{
    struct addr local = addr_v4(127, 0, 0, 1, 0);

    service_open(&svc, SERVICE_prober, NULL);
    cr_assert_eq(service_udp(&svc, &local), 0);
    struct addr taken = service_udp_local(&svc, 0);
    cr_assert_eq(service_udp(&svc, &taken), -1);
    cr_assert_eq(errno, EADDRINUSE);
    struct addr foreign = addr_v4(192, 0, 2, 1, 0);
    cr_assert_eq(service_udp(&svc, &foreign), -1);
    cr_assert_eq(svc.n_udp, 1);
    service_close(&svc);
}

Test(service_udp, the_wildcards_of_both_families_share_a_port)
{
    struct addr v4 = addr_v4(0, 0, 0, 0, 0), v6 = {.len = 16};

    service_open(&svc, SERVICE_prober, NULL);
    if (service_udp(&svc, &v6) < 0)
        cr_skip_test("no IPv6 here");
    v4.port = service_udp_local(&svc, 0).port;
    cr_assert_eq(service_udp(&svc, &v4), 1);
    service_close(&svc);
}

Test(service_udp, a_socket_that_is_opened_twice_is_watched_once)
{
    const enum socket_op ops[] = {SOCKET_OPEN, SOCKET_OPEN, SOCKET_CLOSE};
    struct addr local = addr_v4(127, 0, 0, 1, 0);

    service_open(&svc, SERVICE_prober, NULL);
    cr_assert_eq(service_udp(&svc, &local), 0);
    size_t before = svc.n_sources;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        out.n = 0;
        struct output *o = outputs_add(&out, OUT_SOCKET);
        o->socket.op = ops[i], o->socket.sock = o->socket.to = 5;
        service_emit(&svc, &out);
        cr_assert_eq(svc.n_sources, before + (ops[i] == SOCKET_OPEN));
    }
    cr_assert(svc.udp[5] < 0 && svc.n.sockets_refused == 0);
    service_close(&svc);
}
