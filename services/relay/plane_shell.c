/* plane_shell.c - see plane_shell.h. */
#include "services/relay/plane_shell.h"

#include "lib/crowd_shell.h"

/* Batches before other sources have their turn; fewer where one brings little: then there is time to wait. */
enum { ROUNDS = 8, LITTLE = BATCH / 4 };

/* Binding, keeping, strangers: as if the service's loop had brought it. */
static void step(struct plane *p, struct service *s, struct input *in, const struct addr *src,
                 const uint8_t *data, size_t len)
{
    in->kind = IN_DATAGRAM;
    in->dgram.data = data;
    in->dgram.len = len;
    in->dgram.src = *src;
    in->dgram.sock = p->sock;
    relay_step(p->core, in, p->out);
    service_emit(s, p->out);
    p->stepped = true;
}

/* True when it is another worker's. */
static bool hand_over(struct plane *p, const struct addr *src, const uint8_t *data, size_t len)
{
    unsigned to = relay_worker_of(p->core, src, data, len);
    struct iovec part[] = {
        {(void *)(uintptr_t)src,  sizeof *src},
        {(void *)(uintptr_t)data, len        }
    };
    struct msghdr m = {.msg_iov = part, .msg_iovlen = 2};

    if (to == p->core->marks.worker)
        return false;
    if (sendmsg(p->doors[to].in, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        p->lost++;
    else
        p->handed_over++;
    return true;
}

static void count_sent(struct plane *p, struct service *s)
{
    batch_flush(&p->send);
    s->n.datagrams_out += p->send.sent;
    s->n.datagrams_dropped += p->send.dropped;
    p->send.sent = p->send.dropped = 0;
}

/* Read a batch and forward what it holds; the number of messages. */
static unsigned take(struct plane *p, struct batch_in *from, struct service *s, struct input *in)
{
    const struct addr *dst;
    const uint8_t *data;
    size_t len;
    unsigned n = batch_read(from);

    if (n == 0)
        return 0;
    in->now_us = service_now_us();
    in->wall_ms = service_wall_ms();
    while ((data = batch_next(from, &len)) != NULL) {
        s->n.datagrams_in++;
        switch (relay_forward(p->core, in->now_us, &from->src, data, len, &dst)) {
        case RELAY_FORWARD: batch_add(&p->send, dst, data, len); break;
        case RELAY_DROP: break;
        case RELAY_STEP:
            if (!hand_over(p, &from->src, data, len))
                step(p, s, in, &from->src, data, len);
            break;
        }
    }
    count_sent(p, s);
    return n;
}

/* What another worker was brought of ours; it is not handed over again. */
static bool take_handed(struct plane *p, struct service *s, struct input *in)
{
    struct plane_handed *h = &p->handed;
    const struct addr *dst;
    struct iovec part = {h, sizeof *h};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t n = recvmsg(p->doors[p->core->marks.worker].out, &m, MSG_DONTWAIT);

    if (n < (ssize_t)offsetof(struct plane_handed, data))
        return false;
    size_t len = (size_t)n - offsetof(struct plane_handed, data);
    in->now_us = service_now_us();
    in->wall_ms = service_wall_ms();
    switch (relay_forward(p->core, in->now_us, &h->src, h->data, len, &dst)) {
    case RELAY_FORWARD: batch_add(&p->send, dst, h->data, len); break;
    case RELAY_DROP: break;
    case RELAY_STEP: step(p, s, in, &h->src, h->data, len); break;
    }
    count_sent(p, s);
    return true;
}

/* A step may have brought the core's deadline nearer: then a tick makes the loop ask for it again. */
static bool tick_if_stepped(struct plane *p, struct input *in)
{
    bool stepped = p->stepped;

    p->stepped = false;
    in->kind = IN_TICK;
    return stepped;
}

/* Between two batches of what may be a flood, what has come meanwhile to the queues that are before it. */
static void take_queue(struct plane *p, unsigned queue, struct service *s, struct input *in)
{
    unsigned n = BATCH;

    for (unsigned round = 0; round < ROUNDS && n > LITTLE; round++) {
        n = take(p, &p->queue[queue].in, s, in);
        if (n > 0 && queue == STEER_OTHERS && p->queue[STEER_SESSIONS].in.fd >= 0)
            s->n.datagrams_stale += crowd_keep_short(&p->crowd, &p->queue[queue].in, in->now_us);
        for (unsigned better = STEER_QUEUES - 1; better > queue; better--)
            if (p->queue[better].in.fd >= 0)
                take_queue(p, better, s, in);
    }
}

static bool receive(struct service *s, void *arg, struct input *in)
{
    struct plane_queue *q = arg;

    take_queue(q->plane, (unsigned)(q - q->plane->queue), s, in);
    return tick_if_stepped(q->plane, in);
}

static bool receive_handed(struct service *s, void *arg, struct input *in)
{
    struct plane *p = arg;

    for (unsigned i = 0; i < BATCH && take_handed(p, s, in); i++)
        ;
    return tick_if_stepped(p, in);
}

bool plane_door_open(struct plane_door *d)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        return false;
    *d = (struct plane_door){.in = ends[0], .out = ends[1]};
    return true;
}

void plane_open(struct plane *p, struct service *s, uint8_t sock, const struct steer *steer,
                struct relay *core, struct outputs *out, void *memory,
                const struct plane_door *doors)
{
    unsigned worker = core->marks.worker;
    int fd = s->udp[sock];

    *p = (struct plane){.core = core, .out = out, .sock = sock, .doors = doors};
    batch_out_init(&p->send, fd);
    service_unwatch_fd(s, fd);
    service_watch_fd(s, doors[worker].out, ZMQ_POLLIN, receive_handed, p);
    for (unsigned i = 0; i < STEER_QUEUES; i++) {
        struct plane_queue *q = &p->queue[i];
        q->plane = p;
        q->in.fd = i == STEER_OTHERS ? fd : steer->n_fds > 0 ? steer_fd(steer, worker, i) : -1;
        if (q->in.fd < 0)
            continue;
        batch_in_init(&q->in, q->in.fd, BATCH_MERGED, memory); /* one of them at a time */
        service_watch_fd(s, q->in.fd, ZMQ_POLLIN, receive, q);
    }
    crowd_watch(&p->crowd, &p->queue[STEER_OTHERS].in);
}
