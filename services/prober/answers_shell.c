/* answers_shell.c - see answers_shell.h. */
#include "services/prober/answers_shell.h"

#include "lib/crowd_shell.h"

/* Batches before other sources have their turn; fewer where one brings little: then there is time to wait. */
enum { ROUNDS = 8, LITTLE = BATCH / 4 };

static void pass_on(struct service *s, const struct answer *answer)
{
    static struct outputs one; /* too large for the stack */

    one.n = 0;
    emit_link(&one, answer->link, SERVICE_prober, MSG_vantage_request)->vantage_request =
        answer->request;
    service_emit(s, &one);
}

static void answer_all(struct answers_socket *by, struct batch_in *from, struct service *s,
                       struct input *in)
{
    struct answers *a = by->all;
    const uint8_t *data;
    struct answer answer;
    size_t len;

    for (size_t i = 0; (data = batch_next(from, &len)) != NULL; i++) {
        assert(i < BATCH); /* nothing is merged */
        in->dgram.data = data;
        in->dgram.len = len;
        in->dgram.src = from->src;
        in->dgram.sock = by->sock;
        answer.buf = a->answer[i];
        prober_answer(a->core, in, &answer);
        if (answer.link != 0)
            pass_on(s, &answer);
        if (answer.len == 0)
            continue;
        struct batch_out *out = &a->socket[answer.sock].out;
        out->from = from->local; /* which a client of a wildcard socket asked (RFC 5780) */
        batch_add(out, &answer.dst, answer.buf, answer.len);
    }
}

static void send_all(struct answers *a, struct service *s)
{
    for (size_t i = 0; i < s->n_udp; i++) {
        struct batch_out *out = &a->socket[i].out;
        batch_flush(out);
        s->n.datagrams_out += out->sent;
        s->n.datagrams_dropped += out->dropped;
        out->sent = out->dropped = 0;
    }
}

/* Read a batch and answer what it holds; the number of datagrams. */
static unsigned take(struct answers_socket *by, struct batch_in *from, struct service *s,
                     struct input *in)
{
    unsigned n = batch_read(from);

    if (n == 0)
        return 0;
    s->n.datagrams_in += n;
    in->kind = IN_DATAGRAM;
    in->now_us = service_now_us();
    in->wall_ms = service_wall_ms();
    answer_all(by, from, s, in);
    send_all(by->all, s);
    return n;
}

static void take_known(struct answers_socket *by, struct service *s, struct input *in)
{
    unsigned n = BATCH;

    for (unsigned round = 0; round < ROUNDS && n > LITTLE; round++)
        n = take(by, &by->known, s, in);
}

/* Nothing is left for the core's step: what it has to say beside answers, it says by tick. */
static bool receive_known(struct service *s, void *arg, struct input *in)
{
    take_known(arg, s, in);
    return false;
}

/* Between two batches of what may be a flood, what peers have asked meanwhile. */
static bool receive(struct service *s, void *arg, struct input *in)
{
    struct answers_socket *by = arg;
    unsigned n = BATCH;

    for (unsigned round = 0; round < ROUNDS && n > LITTLE; round++) {
        for (size_t i = 0; round > 0 && i < s->n_udp; i++)
            if (by->all->socket[i].known.fd >= 0)
                take_known(&by->all->socket[i], s, in);
        n = take(by, &by->in, s, in);
        if (n > 0 && by->known.fd >= 0)
            s->n.datagrams_stale += crowd_keep_short(&by->crowd, &by->in, in->now_us);
    }
    return false;
}

void answers_open(struct answers *a, struct service *s, struct prober *core,
                  const int known[static PROBER_SOCKETS_MAX])
{
    assert(s->n_udp <= PROBER_SOCKETS_MAX);
    a->core = core;
    for (uint8_t i = 0; i < s->n_udp; i++) {
        struct answers_socket *by = &a->socket[i];
        by->all = a;
        by->sock = i;
        batch_in_init(&by->in, s->udp[i], BATCH_SINGLE, a->buffers);
        batch_out_init(&by->out, s->udp[i]);
        service_unwatch_fd(s, s->udp[i]);
        service_watch_fd(s, s->udp[i], ZMQ_POLLIN, receive, by);
        by->known.fd = -1;
        if (known[i] < 0)
            continue;
        crowd_watch(&by->crowd, &by->in);
        batch_in_init(&by->known, known[i], BATCH_SINGLE, a->buffers);
        service_watch_fd(s, known[i], ZMQ_POLLIN, receive_known, by);
    }
}
