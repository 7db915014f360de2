/* raw_shell.c - see raw_shell.h. */
#include "services/executor/raw_shell.h"
#include "lib/log.h"
#include "lib/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

enum { UDP_HEADER = 8, SCAN = 32, IDS = 3 };

/* Ours are at least so long: an UNKNOWN of the relay. */
enum { OURS_MIN = 2 + sizeof(struct path_id) };

/* What a packet of ours has in its bytes 1..8, or 2..9 when it is the relay's. */
struct marks {
    uint8_t id[IDS][8];
};

static struct marks marks_of(const struct attempt *a)
{
    struct marks m = {0};

    memcpy(m.id[0], a->own_path.b, 8);
    memcpy(m.id[1], a->peer_path.b, 8); /* UNKNOWN: as it stood in our packet */
    memcpy(m.id[2], a->relay.nonce, 8); /* CHALLENGE, BOUND */
    return m;
}

static uint32_t word(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static bool is_ours(const struct marks *m, const uint8_t *data, size_t len)
{
    if (len < OURS_MIN || data[0] < PACKET_RELAY || data[0] > PACKET_DATA)
        return false;
    for (size_t i = 0; i < IDS; i++)
        if (memcmp(data + (data[0] == PACKET_RELAY ? 2 : 1), m->id[i], 8) == 0)
            return true;
    return false;
}

/* is_ours() as the kernel can run it; offsets are from the UDP header. */
static bool filter(int fd, const struct marks *m)
{
    struct sock_filter code[8 + 2 * 4 * IDS + 2];
    size_t n = 0;
    const uint8_t pass = sizeof code / sizeof *code - 2, drop = pass + 1;

#define ADD(op, t, f, value) \
    code[n] = (struct sock_filter){(op), (uint8_t)(t), (uint8_t)(f), (uint32_t)(value)}, n++
#define TO(label) ((label)-n - 1)
    ADD(BPF_LD | BPF_W | BPF_LEN, 0, 0, 0);
    ADD(BPF_JMP | BPF_JGE | BPF_K, 0, TO(pass), UDP_HEADER + OURS_MIN);
    ADD(BPF_LD | BPF_B | BPF_ABS, 0, 0, UDP_HEADER);
    ADD(BPF_JMP | BPF_JGE | BPF_K, 0, TO(pass), PACKET_RELAY);
    ADD(BPF_JMP | BPF_JGT | BPF_K, TO(pass), 0, PACKET_DATA);
    ADD(BPF_JMP | BPF_JEQ | BPF_K, 4 * IDS + 1, 0, PACKET_RELAY);
    for (uint32_t at = UDP_HEADER + 1; at <= UDP_HEADER + 2; at++) {
        for (size_t i = 0; i < IDS; i++) {
            ADD(BPF_LD | BPF_W | BPF_ABS, 0, 0, at);
            ADD(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, word(m->id[i]));
            ADD(BPF_LD | BPF_W | BPF_ABS, 0, 0, at + 4);
            ADD(BPF_JMP | BPF_JEQ | BPF_K, TO(drop), 0, word(m->id[i] + 4));
        }
        ADD(BPF_RET | BPF_K, 0, 0, UINT32_MAX);
    }
    assert(n == pass);
    ADD(BPF_RET | BPF_K, 0, 0, UINT32_MAX);
    ADD(BPF_RET | BPF_K, 0, 0, 0);
#undef TO
#undef ADD
    struct sock_fprog prog = {.len = (unsigned short)n, .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog) == 0;
}

/*
 * What waits in the socket came before the connection or the filter: how many datagrams are there up to
 * the last one that is ours or somebody else's?
 */
static size_t count_ours(int fd, const struct marks *m, const struct addr *remote)
{
    int offset = 0, none = -1;
    size_t last = 0;

    if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) != 0)
        return 0;
    for (size_t i = 1;; i++) {
        uint8_t data[SCAN];
        struct sockaddr_storage from;
        socklen_t from_len = sizeof from;
        ssize_t n = recvfrom(fd, data, sizeof data, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT,
                             (struct sockaddr *)&from, &from_len);
        if (n <= 0) /* an empty datagram can't be looked past */
            break;
        struct addr src = addr_from_sockaddr(&from);
        if (!addr_eq(&src, remote) || is_ours(m, data, (size_t)n))
            last = i;
    }
    setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &none, sizeof none);
    return last;
}

static bool connect_to(int fd, const struct addr *remote)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(remote, &sa);

    return connect(fd, (struct sockaddr *)&sa, len) == 0;
}

static bool prepare(int fd, const struct attempt *a)
{
    const struct addr *remote = a->flow == WAY_DIRECT ? &a->way[WAY_DIRECT].remote : &a->relay.addr;
    const struct marks m = marks_of(a);
    int error = 0;
    socklen_t error_len = sizeof error;
    uint8_t byte;

    if (!connect_to(fd, remote) || !filter(fd, &m) ||
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) != 0)
        return false;
    /* The error of a punch that met a closed port would be taken for an empty queue. */
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len);
    for (size_t n = count_ours(fd, &m, remote); n > 0; n--)
        (void)!recv(fd, &byte, sizeof byte, MSG_DONTWAIT);
    return true;
}

int raw_socket(struct service *s, const struct attempt *a)
{
    int fd = service_udp_take(s, a->way[a->flow].sock);

    if (fd >= 0 && prepare(fd, a))
        return fd;
    log_warn("event=no_raw_socket why=\"%s\"", strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

int raw_beside(int fd)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    int on = 1, off = 0, other = -1;

    /* Both must say so, and say so no longer when they share it: nobody else is to. */
    if (getsockname(fd, (struct sockaddr *)&at, &len) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0)
        other = socket(at.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (other >= 0 && (setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
                       bind(other, (struct sockaddr *)&at, len) != 0)) {
        int err = errno;
        close(other);
        other = -1;
        errno = err;
    }
    if (other >= 0)
        setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &off, sizeof off);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof off);
    return other;
}

/* The filter first: what waits is the application's, and what comes from there may be ours from now on. */
bool raw_lead(int fd, const struct attempt *a)
{
    const struct marks m = marks_of(a);

    return filter(fd, &m) && connect_to(fd, &a->relay.addr);
}
