/*
 * flow.c - sealed datagrams once there are keys: sending, and which way they go; what keeps a way is in alive.c.
 *
 * Both ways are always listened to, so a switch loses nothing; the seal's one counter orders and
 * protects both.
 */
#include "services/executor/internal.h"

#include <string.h>

void executor_send(struct executor *x, struct attempt *a, enum data_kind kind, enum way way,
                   const void *payload, size_t len, struct outputs *out)
{
    struct way_state *w = &a->way[way];
    if (kind == DATA_APP && executor_half_send(x, a, payload, len, out)) {
        a->data_sent++;
        a->last_data_us = a->last_sent_us = x->now_us;
        return;
    }
    bool asks = way == WAY_DIRECT && a->fault.lost && (kind == DATA_PING || kind == DATA_PONG);

    if (!a->has_keys || !(w->confirmed || asks)) {
        a->data_dropped += kind == DATA_APP;
        return;
    }
    struct output *o =
        executor_datagram(out, w->sock, way == WAY_RELAY ? &a->relay.addr : &w->remote);
    o->dgram.len =
        (uint16_t)rekey_seal(&a->send, x->now_us, kind, payload, len, &a->peer_path, o->dgram.data);
    w->health.sent++;
    w->health.out_us = x->now_us;
    if (kind == DATA_APP) {
        a->data_sent++;
        a->last_data_us = a->last_sent_us = x->now_us;
        executor_alive_sent(x, a, way);
        if (way == WAY_RELAY)
            executor_relay_busy(x, a);
    }
}

/* Data goes directly when that is proven both ways, else over the relay. */
void executor_choose_flow(struct executor *x, struct attempt *a, struct outputs *out)
{
    bool direct = a->way[WAY_DIRECT].confirmed && a->has_keys;
    bool relay = a->way[WAY_RELAY].confirmed && a->has_keys && a->policy != POLICY_DIRECT;
    enum way to = direct ? WAY_DIRECT : WAY_RELAY;

    if (!direct && !relay)
        return;
    if (!a->opened) {
        a->opened = true;
        a->flow = to;
        executor_app(x, a, APP_OPENED, out);
    } else if (a->flow != to) {
        a->flow = to;
        executor_app(x, a, APP_PATH, out);
    }
    executor_alive_begin(x, a);
}

/* ---- receiving -------------------------------------------------------------------------------------------- */

static void heard(struct executor *x, struct attempt *a, enum way way, const struct input *in,
                  struct outputs *out)
{
    struct way_state *w = &a->way[way];

    w->last_heard_us = x->now_us;
    w->health.received++;
    if (way == WAY_DIRECT && a->fault.guarded && addr_eq(&w->remote, &in->dgram.src))
        return; /* that it can be heard is known; pings tell more */
    if (way == WAY_DIRECT && !w->confirmed && a->technique != TECHNIQUE_NONE) {
        /* The peer has proof of both directions; its word is not enough, so get it from where it is. */
        if (x->now_us >= w->asked_us + PUNCH_EVERY_US &&
            executor_may_answer(x, a, &in->dgram.src) && executor_spend(a, &in->dgram.src)) {
            w->asked_us = x->now_us;
            executor_send_punch(x, a, way, PACKET_PUNCH, 0, w->sock, &in->dgram.src, out);
        }
    } else if (way == WAY_RELAY && !w->confirmed) {
        w->heard = w->confirmed = true;
        w->first_heard_us = w->first_heard_us ? w->first_heard_us : x->now_us;
        w->confirmed_us = x->now_us;
        executor_settle(x, a, out);
    }
}

static void deliver(struct executor *x, struct attempt *a, const uint8_t *payload, size_t len,
                    struct outputs *out)
{
    a->data_received++;
    a->last_data_us = x->now_us;
    if (a->flow == WAY_RELAY) {
        executor_relay_busy(x, a);
        executor_hush_heard(x, a);
    }
    executor_app(x, a, APP_DATA, out);
    struct output *o = &out->v[out->n - 1];
    o->app.len = (uint16_t)len;
    memcpy(o->app.data, payload, len);
}

void executor_on_data(struct executor *x, const struct input *in, struct outputs *out)
{
    struct packet_head head;
    struct attempt *a = NULL;
    uint8_t kind, payload[PAYLOAD_MAX];

    if (packet_head(in->dgram.data, in->dgram.len, &head))
        a = executor_find_path(x, &head.path);
    if (!a || !a->has_keys || !executor_expects(x, a, in)) {
        x->n.refused_datagrams++;
        return;
    }
    enum way way = executor_from_relay(a, &in->dgram.src) ? WAY_RELAY : WAY_DIRECT;
    if (way == WAY_DIRECT && a->technique == TECHNIQUE_NONE) {
        x->n.refused_datagrams++;
        return;
    }
    int n = rekey_open(&a->receive, in->dgram.data, in->dgram.len, &kind, payload);
    if (n < 0) {
        x->n.forged += n == REKEY_FORGED;
        x->n.replays += n == REKEY_REPLAYED;
        return;
    }
    heard(x, a, way, in, out);
    if (executor_hand_word(x, a, (enum data_kind)kind, way, &in->dgram.src, out))
        return;
    switch (kind) {
    case DATA_APP:
        if (n > 0 && a->opened)
            deliver(x, a, payload, (size_t)n, out);
        break;
    case DATA_PING: executor_on_ping(x, a, way, payload, (size_t)n, out); break;
    case DATA_PONG: executor_on_pong(x, a, way, payload, (size_t)n, out); break;
    case DATA_LEFT: executor_on_left(x, a, way, payload, (size_t)n, out); break;
    case DATA_MOVED: executor_on_moved(x, a, way, payload, (size_t)n, out); break;
    case DATA_ASK: executor_on_ask(x, a, way, payload, (size_t)n, out); break;
    case DATA_HEARD: executor_on_heard(x, a, way, payload, (size_t)n, out); break;
    case DATA_CLOSE:
        if (a->state == ATTEMPT_EXECUTING)
            executor_fail(x, a, "cancelled", VERDICT_cancelled, out);
        else
            executor_enter(x, a, ATTEMPT_CLOSED, "closed by the peer", out);
        break;
    default: break; /* of a later version */
    }
}
