/* bare.c - see bare.h. */
#include "tests/bench/bare.h"

#include "lib/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum { N = 32, ROOM = 65536, BUFFER = 4 << 20, STUN_ANSWER = 32 };

static int fd;
static uint8_t data[N][ROOM + 192];
static struct sockaddr_in from[N], to[N];
static struct mmsghdr in[N], out[N];
static struct iovec in_iov[N], out_iov[N];
static _Alignas(struct cmsghdr) uint8_t control[N][CMSG_SPACE(sizeof(int))];

static void open_port(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int size = BUFFER;

    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0)
        die("event=no_bare port=%u why=\"%s\"", port, strerror(errno));
}

static void address(const uint8_t *d, struct sockaddr_in *sin)
{
    *sin = (struct sockaddr_in){.sin_family = AF_INET};
    memcpy(&sin->sin_addr, d + 1, 4);
    memcpy(&sin->sin_port, d + 5, 2);
}

static void one_by_one(void)
{
    struct sockaddr_in dst;

    for (;;) {
        ssize_t n = recv(fd, data[0], ROOM, 0);
        if (n < 7)
            continue;
        address(data[0], &dst);
        sendto(fd, data[0], (size_t)n, 0, (struct sockaddr *)&dst, sizeof dst);
    }
}

/* How large the datagrams of a merged message are; 0 when it is one. */
static uint16_t merged(struct msghdr *m)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    int size = 0;

    if (c && c->cmsg_type == UDP_GRO)
        memcpy(&size, CMSG_DATA(c), sizeof size);
    return (uint16_t)size;
}

/* Leave a merged message as it is: control holds UDP_GRO's size, which becomes UDP_SEGMENT's. */
static void split_again(unsigned i, uint16_t size)
{
    struct msghdr *m = &out[i].msg_hdr;

    m->msg_control = control[i];
    m->msg_controllen = CMSG_SPACE(sizeof size);
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(c), &size, sizeof size);
}

/* The request's transaction id and where it came from. */
static size_t answer(uint8_t *d, const struct sockaddr_in *src)
{
    static const uint8_t head[] = {1, 1, 0, 12}, attribute[] = {0, 0x20, 0, 8, 0, 1};
    uint32_t cookie;

    memcpy(d, head, sizeof head);
    memcpy(&cookie, d + 4, 4);
    memcpy(d + 20, attribute, sizeof attribute);
    uint16_t port = (uint16_t)(src->sin_port ^ cookie);
    uint32_t ip = src->sin_addr.s_addr ^ cookie;
    memcpy(d + 26, &port, 2);
    memcpy(d + 28, &ip, 4);
    return STUN_ANSWER;
}

static void prepare(unsigned i, enum bare_kind kind)
{
    out_iov[i] = (struct iovec){data[i], in[i].msg_len};
    out[i].msg_hdr = (struct msghdr){
        .msg_name = &to[i], .msg_namelen = sizeof to[i], .msg_iov = &out_iov[i], .msg_iovlen = 1};
    if (kind == BARE_STUN) {
        to[i] = from[i];
        out_iov[i].iov_len = answer(data[i], &from[i]);
        return;
    }
    address(data[i], &to[i]);
    uint16_t size = kind == BARE_MERGED ? merged(&in[i].msg_hdr) : 0;
    if (size > 0 && size < in[i].msg_len)
        split_again(i, size);
}

static void batched(enum bare_kind kind)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int on = 1;

    if (kind == BARE_MERGED)
        setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
    for (;;) {
        for (unsigned i = 0; i < N; i++) {
            in_iov[i] = (struct iovec){data[i], ROOM};
            in[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                            .msg_namelen = sizeof from[i],
                                            .msg_iov = &in_iov[i],
                                            .msg_iovlen = 1};
            if (kind == BARE_MERGED) {
                in[i].msg_hdr.msg_control = control[i];
                in[i].msg_hdr.msg_controllen = sizeof control[i];
            }
        }
        int n = recvmmsg(fd, in, N, MSG_DONTWAIT, NULL);
        if (n <= 0) {
            poll(&p, 1, -1);
            continue;
        }
        for (unsigned i = 0; i < (unsigned)n; i++)
            prepare(i, kind);
        sendmmsg(fd, out, (unsigned)n, 0);
    }
}

_Noreturn void bare_serve(enum bare_kind kind, uint16_t port)
{
    open_port(port);
    if (kind == BARE_SINGLE)
        one_by_one();
    for (;;)
        batched(kind);
}
