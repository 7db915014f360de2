/* plane_shell.c - see plane_shell.h. */
#include "services/relay/plane_shell.h"

/* Batches before other sources have their turn; fewer where one brings little: then there is time to wait. */
enum { ROUNDS = 8, LITTLE = BATCH / 4 };

/* Binding, keeping, strangers: as if the service's loop had brought it. */
static void step(struct plane *p, struct service *s, struct input *in, const uint8_t *data,
                 size_t len)
{
    in->kind = IN_DATAGRAM;
    in->dgram.data = data;
    in->dgram.len = len;
    in->dgram.src = p->in.src;
    in->dgram.sock = p->sock;
    relay_step(p->core, in, p->out);
    service_emit(s, p->out);
}

/* Forward what was read.  True when there was something for the core. */
static bool pass(struct plane *p, struct service *s, struct input *in)
{
    const struct addr *dst;
    const uint8_t *data;
    size_t len;
    bool stepped = false;

    in->now_us = service_now_us();
    in->wall_ms = service_wall_ms();
    while ((data = batch_next(&p->in, &len)) != NULL) {
        s->n.datagrams_in++;
        switch (relay_forward(p->core, in->now_us, &p->in.src, data, len, &dst)) {
        case RELAY_FORWARD: batch_add(&p->send, dst, data, len); break;
        case RELAY_DROP: break;
        case RELAY_STEP:
            step(p, s, in, data, len);
            stepped = true;
            break;
        }
    }
    batch_flush(&p->send);
    s->n.datagrams_out += p->send.sent;
    s->n.datagrams_dropped += p->send.dropped;
    p->send.sent = p->send.dropped = 0;
    return stepped;
}

/* A step may have brought the core's deadline nearer: then a tick makes the loop ask for it again. */
static bool receive(struct service *s, void *arg, struct input *in)
{
    struct plane *p = arg;
    bool stepped = false;
    unsigned n = BATCH;

    for (unsigned round = 0; round < ROUNDS && n > LITTLE; round++) {
        n = batch_read(&p->in);
        stepped = pass(p, s, in) || stepped;
    }
    in->kind = IN_TICK;
    return stepped;
}

void plane_open(struct plane *p, struct service *s, uint8_t sock, struct relay *core,
                struct outputs *out, void *memory)
{
    int fd = s->udp[sock];

    *p = (struct plane){.core = core, .out = out, .sock = sock};
    batch_in_init(&p->in, fd, BATCH_MERGED, memory);
    batch_out_init(&p->send, fd);
    service_unwatch_fd(s, fd);
    service_watch_fd(s, fd, ZMQ_POLLIN, receive, p);
}
