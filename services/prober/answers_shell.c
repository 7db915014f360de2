/* answers_shell.c - see answers_shell.h. */
#include "services/prober/answers_shell.h"

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

static void answer_all(struct answers *a, struct answers_socket *by, struct service *s,
                       struct input *in)
{
    const uint8_t *data;
    struct answer answer;
    size_t len;

    for (size_t i = 0; (data = batch_next(&by->in, &len)) != NULL; i++) {
        assert(i < BATCH); /* nothing is merged */
        in->dgram.data = data;
        in->dgram.len = len;
        in->dgram.src = by->in.src;
        in->dgram.sock = by->sock;
        answer.buf = a->answer[i];
        prober_answer(a->core, in, &answer);
        if (answer.link != 0)
            pass_on(s, &answer);
        if (answer.len == 0)
            continue;
        struct batch_out *out = &a->socket[answer.sock].out;
        out->from = by->in.local; /* which a client of a wildcard socket asked (RFC 5780) */
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

/* Nothing is left for the core's step: what it has to say beside answers, it says by tick. */
static bool receive(struct service *s, void *arg, struct input *in)
{
    struct answers_socket *by = arg;
    unsigned n = BATCH;

    in->kind = IN_DATAGRAM;
    for (unsigned round = 0; round < ROUNDS && n > LITTLE; round++) {
        n = batch_read(&by->in);
        s->n.datagrams_in += n;
        in->now_us = service_now_us();
        in->wall_ms = service_wall_ms();
        answer_all(by->all, by, s, in);
        send_all(by->all, s);
    }
    return false;
}

void answers_open(struct answers *a, struct service *s, struct prober *core)
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
    }
}
