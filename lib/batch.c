/* batch.c - see batch.h. */
#include "lib/batch.h"
#include "lib/udp.h"

#include <assert.h>
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

/* ---- in ------------------------------------------------------------------------------------- */

/* A socket of the wildcard is to be told which of the host's addresses a message came to. */
static bool ask_for_local(int fd)
{
    static const uint8_t any[16];
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    int on = 1;

    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return false;
    struct addr a = addr_from_sockaddr(&sa);
    if (a.len == 0 || memcmp(a.ip, any, a.len) != 0)
        return false;
    return (a.len == 4 ? setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on)
                       : setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on)) == 0;
}

void batch_in_init(struct batch_in *b, int fd, size_t room, void *memory)
{
    int on = 1;

    memset(b, 0, sizeof *b);
    b->fd = fd;
    b->room = room;
    if (room == BATCH_MERGED) /* an older kernel doesn't know it: every message is one datagram */
        setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
    b->told = ask_for_local(fd) || room == BATCH_MERGED;
    for (size_t i = 0; i < BATCH; i++) {
        struct msghdr *m = &b->msg[i].msg_hdr;
        b->iov[i] = (struct iovec){(uint8_t *)memory + i * BATCH_STRIDE(room), room};
        m->msg_iov = &b->iov[i];
        m->msg_iovlen = 1;
        m->msg_name = &b->from[i];
        m->msg_control = b->control[i];
    }
}

/* The size of the datagrams that a message was merged from, or of the one that it is. */
static size_t segment_of(struct mmsghdr *m)
{
    int size;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m->msg_hdr); c; c = CMSG_NXTHDR(&m->msg_hdr, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            memcpy(&size, CMSG_DATA(c), sizeof size);
            if (size > 0)
                return (size_t)size;
        }
    return m->msg_len;
}

static struct addr local_of(struct mmsghdr *m)
{
    struct addr a = {0};
    struct in_pktinfo v4;
    struct in6_pktinfo v6;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m->msg_hdr); c; c = CMSG_NXTHDR(&m->msg_hdr, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            memcpy(&v4, CMSG_DATA(c), sizeof v4);
            a.len = 4;
            memcpy(a.ip, &v4.ipi_spec_dst, 4);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            memcpy(&v6, CMSG_DATA(c), sizeof v6);
            a.len = 16;
            memcpy(a.ip, &v6.ipi6_addr, 16);
        }
    }
    return a;
}

unsigned batch_read(struct batch_in *b)
{
    for (size_t i = 0; i < BATCH; i++) {
        b->msg[i].msg_hdr.msg_namelen = sizeof b->from[i];
        b->msg[i].msg_hdr.msg_controllen = b->told ? sizeof b->control[i] : 0;
    }
    int n = recvmmsg(b->fd, b->msg, BATCH, MSG_DONTWAIT, NULL);
    b->n = n > 0 ? (unsigned)n : 0; /* nothing, or an ICMP error of something sent earlier */
    b->next = 0;
    b->offset = b->size = 0;
    return b->n;
}

const uint8_t *batch_next(struct batch_in *b, size_t *len)
{
    if (b->offset == b->size) {
        if (b->next == b->n)
            return NULL;
        struct mmsghdr *m = &b->msg[b->next];
        b->data = b->iov[b->next].iov_base;
        b->size = m->msg_len;
        b->segment = segment_of(m);
        b->src = addr_from_sockaddr(&b->from[b->next]);
        b->local = b->told ? local_of(m) : (struct addr){0};
        b->offset = 0;
        b->next++;
    }
    const uint8_t *at = b->data + b->offset;
    size_t left = b->size - b->offset;

    *len = left < b->segment ? left : b->segment;
    b->offset += *len;
    return at;
}

/* ---- out ------------------------------------------------------------------------------------ */

void batch_out_init(struct batch_out *b, int fd)
{
    memset(b, 0, sizeof *b);
    b->fd = fd;
}

static struct msghdr *last(struct batch_out *b) { return &b->msg[b->n - 1].msg_hdr; }

static size_t bytes_of(const struct msghdr *m)
{
    size_t sum = 0;

    for (size_t i = 0; i < m->msg_iovlen; i++)
        sum += m->msg_iov[i].iov_len;
    return sum;
}

static bool joins_last(struct batch_out *b, const struct addr *dst, size_t len)
{
    if (b->n == 0 || b->complete)
        return false;
    unsigned i = b->n - 1;
    return len <= b->segment[i] && b->count[i] < BATCH_TRAIN &&
           bytes_of(last(b)) + len <= BATCH_TRAIN_BYTES && addr_eq(&b->dst[i], dst) &&
           addr_eq(&b->src[i], &b->from);
}

static void begin_message(struct batch_out *b, const struct addr *dst, size_t len)
{
    unsigned i = b->n++;
    struct msghdr *m = last(b);

    b->dst[i] = *dst;
    b->src[i] = b->from;
    b->segment[i] = (uint16_t)len;
    b->count[i] = 0;
    b->complete = false;
    *m = (struct msghdr){.msg_name = &b->to[i], .msg_iov = &b->part[b->n_parts]};
    m->msg_namelen = addr_to_sockaddr(dst, &b->to[i]);
}

void batch_add(struct batch_out *b, const struct addr *dst, const uint8_t *data, size_t len)
{
    assert(dst->len != 0 && len > 0 &&
           len <= BATCH_TRAIN_BYTES); /* no address would be this host */
    if (b->n_parts == BATCH_PARTS)
        batch_flush(b);
    if (!joins_last(b, dst, len)) {
        if (b->n == BATCH)
            batch_flush(b);
        begin_message(b, dst, len);
    }
    struct msghdr *m = last(b);
    struct iovec *before = m->msg_iovlen > 0 ? &m->msg_iov[m->msg_iovlen - 1] : NULL;
    b->count[b->n - 1]++;
    b->complete = len < b->segment[b->n - 1];
    if (before && (const uint8_t *)before->iov_base + before->iov_len == data) {
        before->iov_len += len; /* as they lie in a merged message */
        return;
    }
    b->part[b->n_parts++] = (struct iovec){(void *)(uintptr_t)data, len};
    m->msg_iovlen++;
}

static void tell(struct msghdr *m, uint8_t *control, int level, int type, const void *value,
                 size_t len)
{
    struct cmsghdr *c = (struct cmsghdr *)(void *)(control + m->msg_controllen);

    m->msg_control = control;
    m->msg_controllen += CMSG_SPACE(len);
    assert(m->msg_controllen <= BATCH_CONTROL);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), value, len);
}

/* Tell the kernel which address a message leaves from. */
static void tell_source(struct batch_out *b, unsigned i)
{
    struct msghdr *m = &b->msg[i].msg_hdr;
    struct in_pktinfo v4 = {0};
    struct in6_pktinfo v6 = {0};

    if (b->src[i].len == 4) {
        memcpy(&v4.ipi_spec_dst, b->src[i].ip, 4);
        tell(m, b->control[i], IPPROTO_IP, IP_PKTINFO, &v4, sizeof v4);
    } else if (b->src[i].len == 16) {
        memcpy(&v6.ipi6_addr, b->src[i].ip, 16);
        tell(m, b->control[i], IPPROTO_IPV6, IPV6_PKTINFO, &v6, sizeof v6);
    }
}

/* Tell the kernel where to split a train; after tell_source, so that this can be taken back. */
static void ask_to_split(struct batch_out *b, unsigned i)
{
    tell(&b->msg[i].msg_hdr, b->control[i], IPPROTO_UDP, UDP_SEGMENT, &b->segment[i],
         sizeof b->segment[i]);
}

/* What the kernel would not take as a train: a way out that can't split, or a smaller MTU. */
static void send_singly(struct batch_out *b, unsigned i)
{
    struct msghdr m = b->msg[i].msg_hdr;
    struct iovec one;

    m.msg_controllen -= CMSG_SPACE(sizeof b->segment[i]);
    for (size_t part = 0; part < b->msg[i].msg_hdr.msg_iovlen; part++) {
        uint8_t *data = b->msg[i].msg_hdr.msg_iov[part].iov_base;
        size_t left = b->msg[i].msg_hdr.msg_iov[part].iov_len, len;
        for (; left > 0; data += len, left -= len) {
            len = left < b->segment[i] ? left : b->segment[i];
            one = (struct iovec){data, len};
            m.msg_iov = &one;
            m.msg_iovlen = 1;
            if (sendmsg(b->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                b->dropped++;
            else
                b->sent++;
        }
    }
}

void batch_flush(struct batch_out *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        tell_source(b, i);
        if (b->count[i] > 1)
            ask_to_split(b, i);
    }
    for (unsigned at = 0; at < b->n;) {
        int n = sendmmsg(b->fd, b->msg + at, b->n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        for (int i = 0; i < n; i++)
            b->sent += b->count[at++];
        if (n > 0)
            continue;
        if (b->count[at] > 1 && errno != EAGAIN)
            send_singly(b, at);
        else
            b->dropped += b->count[at]; /* full buffer, unreachable: the ends repeat what matters */
        at++;
    }
    b->n = b->n_parts = 0;
    b->complete = false;
}
