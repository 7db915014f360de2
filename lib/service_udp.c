/* service_udp.c - a service's UDP sockets: those it begins with, and those its core opens; see service.h. */
#include "lib/service.h"
#include "lib/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { UDP_BUFFER = 4 << 20 }; /* a burst of punches from many sessions; the kernel caps it */

static bool receive_udp(struct service *s, void *arg, struct input *in)
{
    struct sockaddr_storage from;
    socklen_t from_len = sizeof from;
    uint16_t sock = (uint16_t)(uintptr_t)arg;
    ssize_t n = recvfrom(s->udp[sock], s->dgram, sizeof s->dgram, MSG_DONTWAIT,
                         (struct sockaddr *)&from, &from_len);

    if (n < 0) /* nothing there, or an ICMP error of something sent earlier: nobody's end */
        return false;
    s->n.datagrams_in++;
    in->kind = IN_DATAGRAM;
    in->dgram.data = s->dgram;
    in->dgram.len = (size_t)n;
    in->dgram.src = addr_from_sockaddr(&from);
    in->dgram.sock = sock;
    in->dgram.local_port = s->udp_port[sock];
    return true;
}

/* One that shares its port asks to before it is bound. */
static int open_bound(const struct addr *local, int buffer, int shared)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(local, &sa);
    int on = 1;
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (sa.ss_family == AF_INET6) /* the wildcard of one family must not take the other's port */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (buffer > 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    }
    if ((shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shared, sizeof shared) != 0) ||
        bind(fd, (struct sockaddr *)&sa, len) != 0) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

static int bound_socket(const struct addr *local, int buffer)
{
    return open_bound(local, buffer, 0);
}

static void watch(struct service *s, uint16_t sock)
{
    s->udp_port[sock] = service_udp_local(s, sock).port;
    service_watch_fd(s, s->udp[sock], ZMQ_POLLIN, receive_udp, (void *)(uintptr_t)sock);
}

int service_udp_add(struct service *s, int fd)
{
    assert(s->n_udp < UDP_MAX);
    s->udp[s->n_udp] = fd;
    watch(s, s->n_udp);
    return s->n_udp++;
}

int service_udp(struct service *s, const struct addr *local)
{
    int fd = bound_socket(local, UDP_BUFFER);

    return fd < 0 ? -1 : service_udp_add(s, fd);
}

int service_udp_join(int fd)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        return -1;
    struct addr local = addr_from_sockaddr(&at);
    return open_bound(&local, UDP_BUFFER, on);
}

bool service_udp_rebind(struct service *s, uint16_t sock, const struct addr *local)
{
    int fd = bound_socket(local, UDP_BUFFER);

    assert(sock < s->n_udp);
    if (fd < 0)
        return false;
    service_unwatch_fd(s, s->udp[sock]);
    close(s->udp[sock]);
    s->udp[sock] = fd;
    watch(s, sock);
    return true;
}

static void open_beside(struct service *s, uint16_t sock)
{
    struct addr local = service_udp_local(s, 0);

    if (s->udp[sock] >= 0) /* it is watched, once */
        return;
    local.port = 0;
    if (s->n_sources < SOURCES_MAX)
        s->udp[sock] = bound_socket(&local, 0);
    if (s->udp[sock] < 0)
        s->n.sockets_refused++; /* what is sent by it is dropped: one chance fewer */
    else
        watch(s, sock);
}

int service_udp_take(struct service *s, uint16_t sock)
{
    int fd = s->udp[sock];

    assert(sock >= s->n_udp && sock < UDP_MAX);
    if (fd >= 0)
        service_unwatch_fd(s, fd);
    s->udp[sock] = -1;
    return fd;
}

void service_udp_give(struct service *s, uint16_t sock, int fd)
{
    assert(sock >= s->n_udp && sock < UDP_MAX && s->udp[sock] < 0);
    if (s->n_sources == SOURCES_MAX) {
        s->n.sockets_refused++;
        close(fd);
        return;
    }
    s->udp[sock] = fd;
    watch(s, sock);
}

static void close_beside(struct service *s, uint16_t sock)
{
    if (s->udp[sock] < 0)
        return;
    service_unwatch_fd(s, s->udp[sock]);
    close(s->udp[sock]);
    s->udp[sock] = -1;
}

void service_udp_change(struct service *s, const struct output *o)
{
    uint16_t sock = o->socket.sock, to = o->socket.to;

    assert(sock >= s->n_udp && sock < UDP_MAX);
    switch (o->socket.op) {
    case SOCKET_OPEN: open_beside(s, sock); break;
    case SOCKET_CLOSE:
        for (; sock <= to && sock < UDP_MAX; sock++)
            close_beside(s, sock);
        break;
    case SOCKET_MOVE:
        assert(to >= s->n_udp && to < UDP_MAX);
        close_beside(s, to);
        if (s->udp[sock] < 0)
            break;
        service_unwatch_fd(s, s->udp[sock]);
        s->udp[to] = s->udp[sock];
        s->udp[sock] = -1;
        watch(s, to);
        break;
    case SOCKET_ASK:
    case SOCKET_BESIDE: break; /* by the shell that steps the core */
    }
}

struct addr service_udp_local(const struct service *s, uint16_t sock)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;

    getsockname(s->udp[sock], (struct sockaddr *)&sa, &len);
    return addr_from_sockaddr(&sa);
}

void service_udp_send(struct service *s, const struct output *o)
{
    assert(o->dgram.sock < UDP_MAX);
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&o->dgram.dst, &sa);
    int fd = s->udp[o->dgram.sock], ttl = o->dgram.ttl, usual = -1;
    int level = o->dgram.dst.len == 4 ? IPPROTO_IP : IPPROTO_IPV6;
    int option = o->dgram.dst.len == 4 ? IP_TTL : IPV6_UNICAST_HOPS;

    if (fd < 0 || o->dgram.dst.len == 0) { /* to the kernel no address would be this host */
        s->n.datagrams_dropped++;
        return;
    }
    if (ttl > 0)
        setsockopt(fd, level, option, &ttl, sizeof ttl);
    if (sendto(fd, o->dgram.data, o->dgram.len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&sa,
               len) < 0)
        s->n.datagrams_dropped++; /* full buffer, unreachable: the core repeats what matters */
    else
        s->n.datagrams_out++;
    if (ttl > 0)
        setsockopt(fd, level, option, &usual, sizeof usual);
}
