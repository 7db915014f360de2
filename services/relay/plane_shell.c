/* plane_shell.c - see plane_shell.h. */
#include "services/relay/plane_shell.h"

/* Batches before other sources have their turn; fewer where one brings little: then there is time to wait. */
enum { ROUNDS = 8, LITTLE = BATCH / 4 };

/* Binding, keeping, strangers: as if the service's loop had brought it. */
static void step(struct plane *p, const struct batch_in *from, struct service *s, struct input *in,
                 const uint8_t *data, size_t len)
{
    in->kind = IN_DATAGRAM;
    in->dgram.data = data;
    in->dgram.len = len;
    in->dgram.src = from->src;
    in->dgram.sock = p->sock;
    relay_step(p->core, in, p->out);
    service_emit(s, p->out);
    p->stepped = true;
}

/* Read a batch and forward what it holds; the number of messages. */
static unsigned take(struct plane *p, struct batch_in *from, struct service *s, struct input *in)
{
    const struct addr *dst;
    const uint8_t *data;
    size_t len;
    unsigned n = batch_read(from);

    in->now_us = service_now_us();
    in->wall_ms = service_wall_ms();
    while ((data = batch_next(from, &len)) != NULL) {
        s->n.datagrams_in++;
        switch (relay_forward(p->core, in->now_us, &from->src, data, len, &dst)) {
        case RELAY_FORWARD: batch_add(&p->send, dst, data, len); break;
        case RELAY_DROP: break;
        case RELAY_STEP: step(p, from, s, in, data, len); break;
        }
    }
    batch_flush(&p->send);
    s->n.datagrams_out += p->send.sent;
    s->n.datagrams_dropped += p->send.dropped;
    p->send.sent = p->send.dropped = 0;
    return n;
}

/* A step may have brought the core's deadline nearer: then a tick makes the loop ask for it again. */
static bool tick_if_stepped(struct plane *p, struct input *in)
{
    bool stepped = p->stepped;

    p->stepped = false;
    in->kind = IN_TICK;
    return stepped;
}

static void take_sessions(struct plane *p, struct service *s, struct input *in)
{
    unsigned n = BATCH;

    for (unsigned round = 0; round < ROUNDS && n > LITTLE; round++)
        n = take(p, &p->sessions, s, in);
}

static bool receive_sessions(struct service *s, void *arg, struct input *in)
{
    struct plane *p = arg;

    take_sessions(p, s, in);
    return tick_if_stepped(p, in);
}

/* Between two batches of what may be a flood, what sessions have sent meanwhile. */
static bool receive(struct service *s, void *arg, struct input *in)
{
    struct plane *p = arg;
    unsigned n = BATCH;

    for (unsigned round = 0; round < ROUNDS && n > LITTLE; round++) {
        n = take(p, &p->in, s, in);
        if (p->sessions.fd >= 0)
            take_sessions(p, s, in);
    }
    return tick_if_stepped(p, in);
}

void plane_open(struct plane *p, struct service *s, uint8_t sock, int sessions, struct relay *core,
                struct outputs *out, void *memory)
{
    int fd = s->udp[sock];

    *p = (struct plane){.core = core, .out = out, .sock = sock, .sessions = {.fd = -1}};
    batch_in_init(&p->in, fd, BATCH_MERGED, memory);
    batch_out_init(&p->send, fd);
    service_unwatch_fd(s, fd);
    service_watch_fd(s, fd, ZMQ_POLLIN, receive, p);
    if (sessions < 0)
        return;
    batch_in_init(&p->sessions, sessions, BATCH_MERGED, memory); /* one of both at a time */
    service_watch_fd(s, sessions, ZMQ_POLLIN, receive_sessions, p);
}
