/* executor.c - the pure core's door: who gets which input; overview in executor.h. */
#include "services/executor/internal.h"

#include <string.h>

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

struct attempt *executor_find_path(struct executor *x, const struct path_id *own)
{
    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        struct attempt *a = &x->attempts[i];
        if (a->state > ATTEMPT_REQUESTED && a->state < ATTEMPT_FAILED &&
            memcmp(&a->own_path, own, sizeof *own) == 0)
            return a;
    }
    return NULL;
}

struct output *executor_datagram(struct outputs *out, uint16_t sock, const struct addr *dst)
{
    struct output *o = outputs_add(out, OUT_DATAGRAM);

    o->dgram.sock = sock;
    o->dgram.ttl = 0;
    o->dgram.dst = *dst;
    o->dgram.len = 0;
    return o;
}

/* ---- what the coordinator says about sessions ---------------------------------------------------------- */

static void on_profile(struct executor *x, const struct msg_nat_profile *m, struct outputs *out)
{
    if (m->serial != x->probe_serial)
        return;
    x->profile = m->profile;
    x->reflexive = m->reflexive;
    x->profile_by_us = NEVER;
    if (x->filter.state == FILTER_KNOWN && m->profile.filtering != NAT_UNKNOWN)
        x->filter.word_by_us = NEVER;
    if (m->profile.hairpin != HAIRPIN_UNKNOWN)
        x->hairpin.word_by_us = NEVER;
    executor_range_word(x);
    executor_range_want(x, out);
    if (!x->profile_known) {
        x->profile_known = true;
        executor_app(x, NULL, APP_PROFILE, out);
    }
    executor_ask_all(x, out);
}

static void on_refused(struct executor *x, const struct msg_punch_refused *m, struct outputs *out)
{
    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        struct attempt *a = &x->attempts[i];
        if (a->state == ATTEMPT_REQUESTED && a->asked && a->nonce == m->nonce) {
            enum verdict why = verdict_find(m->verdict);
            a->session = m->session;
            a->retry_after_ms = m->retry_after_ms;
            if (why == VERDICT_no_token && x->udp_silent) /* and this is why */
                executor_fail(x, a, "unreachable", VERDICT_udp_blocked, out);
            else
                executor_fail(x, a,
                              kind_valid(m->kind) && m->kind[0] ? m->kind : "rendezvous-rejected",
                              why, out);
            return;
        }
    }
}

static void on_cancel(struct executor *x, const struct msg_punch_cancel *m, struct outputs *out)
{
    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        struct attempt *a = &x->attempts[i];
        if (a->state <= ATTEMPT_REQUESTED || a->state >= ATTEMPT_FAILED ||
            !sid_eq(&a->session, &m->session))
            continue;
        enum verdict why = verdict_find(m->kind);
        if (a->state == ATTEMPT_EXECUTING && why == VERDICT_peer_udp_blocked)
            executor_fail(x, a, "peer-not-reachable", why, out);
        else if (a->state == ATTEMPT_EXECUTING)
            executor_fail(x, a, kind_valid(m->kind) && m->kind[0] ? m->kind : "cancelled",
                          why ? why : VERDICT_cancelled, out);
        else
            executor_enter(x, a, ATTEMPT_CLOSED, "cancelled by the coordinator", out);
        return;
    }
}

static void on_msg(struct executor *x, const struct input *in, struct outputs *out)
{
    const struct msg *m = in->msg;

    if (in->from.enrolling && m->type != MSG_enrolled) {
        x->n.refused_messages++;
        return;
    }
    switch ((unsigned)m->type) {
    case MSG_enrolled: executor_on_enrolled(x, &m->enrolled, out); break;
    case MSG_attached: executor_on_attached(x, &m->attached, out); break;
    case MSG_detached: executor_on_detached(x, &m->detached, out); break;
    case MSG_nat_profile: on_profile(x, &m->nat_profile, out); break;
    case MSG_punch_coordinate: executor_on_order(x, &m->punch_coordinate, out); break;
    case MSG_punch_execute: executor_on_execute(x, &m->punch_execute, out); break;
    case MSG_punch_refused: on_refused(x, &m->punch_refused, out); break;
    case MSG_invite: executor_on_invite(x, &m->invite, out); break;
    case MSG_punch_cancel: on_cancel(x, &m->punch_cancel, out); break;
    default: x->n.refused_messages++;
    }
}

/* ---- datagrams, time ------------------------------------------------------------------- */

static void on_datagram(struct executor *x, const struct input *in, struct outputs *out)
{
    if (in->dgram.len == 0 || in->dgram.len > DATAGRAM_MAX) {
        x->n.refused_datagrams++;
        return;
    }
    switch (in->dgram.data[0]) {
    case PACKET_RELAY: executor_on_relay(x, in, out); break;
    case PACKET_PUNCH:
    case PACKET_PONG: executor_on_punch(x, in, out); break;
    case PACKET_DATA: executor_on_data(x, in, out); break;
    default:
        if (!executor_probe_datagram(x, in, out))
            x->n.refused_datagrams++;
    }
}

static void on_tick(struct executor *x, struct outputs *out)
{
    executor_attach_tick(x, out);
    executor_probe_tick(x, out);
    for (size_t i = 0; i < ATTEMPTS_MAX && out->n + TICK_OUTPUTS <= OUTPUTS_MAX; i++)
        if (x->attempts[i].state != ATTEMPT_FREE)
            executor_attempt_tick(x, &x->attempts[i], out);
}

void executor_init(struct executor *x, const struct executor_conf *conf,
                   const uint8_t rng_key[static 32])
{
    memset(x, 0, sizeof *x);
    x->conf = *conf;
    rng_init(&x->rng, rng_key);
    x->instance = rng_u64(&x->rng);
    x->next_probe_us = x->profile_by_us = x->next_attach_us = x->next_enrol_us = NEVER;
    x->filter.word_by_us = NEVER;
    executor_hairpin_reset(x);
    executor_early_reset(x);
    executor_range_reset(x);
    x->override = (struct override){.next_us = NEVER, .claimed = conf->override};
    x->override.state = conf->override.len != 0 ? OVERRIDE_WAITING : OVERRIDE_NONE;
    x->pool_owner = ATTEMPTS_MAX;
    x->keep_us = KEEP_US;
    x->lifetime.next_us = NEVER;
}

void executor_step(struct executor *x, const struct input *in, struct outputs *out)
{
    assert(in->now_us >= x->now_us);
    x->now_us = in->now_us;
    out->n = 0;
    switch (in->kind) {
    case IN_TICK: on_tick(x, out); break;
    case IN_MSG: on_msg(x, in, out); break;
    case IN_DATAGRAM: on_datagram(x, in, out); break;
    case IN_LINK: executor_on_link(x, in->link.up, in->link.enrolling, out); break;
    case IN_NETWORK: executor_on_network(x, in->network.sockets, out); break;
    case IN_SOCKET: executor_on_socket(x, in, out); break;
    case IN_APP: executor_on_app(x, in, out); break;
    case IN_STORE: break;
    }
}

int64_t executor_deadline(const struct executor *x)
{
    int64_t next = min64(executor_probe_deadline(x), executor_attach_deadline(x));

    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        const struct attempt *a = &x->attempts[i];
        if (a->state == ATTEMPT_FREE)
            continue;
        next = min64(next, a->deadline_us);
        if (a->state < ATTEMPT_EXECUTING || a->state >= ATTEMPT_FAILED)
            continue;
        next = min64(next, min64(a->relay.next_us, a->result_us));
        next = min64(next, min64(a->give_up_us, min64(a->birthday.next_us, a->swap.next_us)));
        next = min64(next, min64(a->half.next_us, a->hush.next_us));
        next = min64(next, min64(a->foreseen.next_us, min64(a->upgrade_us, a->hand.next_us)));
        for (size_t w = 0; w < WAYS; w++)
            next = min64(next, min64(a->way[w].next_punch_us, a->way[w].next_ping_us));
    }
    return next;
}
