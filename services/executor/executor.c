/* executor.c - the pure core's door: who gets which input; overview in executor.h. */
#include "lib/token.h"
#include "services/executor/internal.h"

#include <string.h>

/* Outputs of one attempt's tick: punches on two ways to every candidate, a ping, a relay message, a result. */
enum { TICK_OUTPUTS = CANDIDATES_MAX + 10 + 2 * POOL_BATCH };

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

void executor_app(struct executor *x, const struct attempt *a, enum app_event event,
                  struct outputs *out)
{
    struct output *o = outputs_add(out, OUT_APP);

    o->app.event = event;
    o->app.path = a ? executor_number(x, a) : UINT32_MAX;
    o->app.len = 0;
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

/* ---- attachment ------------------------------------------------------------------------------------- */

static void send_attach(struct executor *x, struct outputs *out)
{
    struct msg_attach *m = &emit(out, SERVICE_coordinator, MSG_attach)->attach;

    msg_text(m->name, sizeof m->name, x->conf.name);
    m->accept = x->conf.accept;
    m->modes = x->conf.modes;
    m->seq = x->attach_seq;
    m->instance = x->instance;
    m->blocks = x->conf.blocks;
    m->daily = true;
    x->next_attach_us = x->now_us + (x->attached ? x->attach_every_us : ATTACH_RETRY_US);
}

static void refuse(struct executor *x, const char *kind, enum verdict verdict, struct outputs *out)
{
    x->refused = true;
    msg_text(x->refused_kind, sizeof x->refused_kind, kind);
    x->refused_verdict = verdict;
    executor_app(x, NULL, APP_REFUSED, out);
    /* Each makes a note and an event; those that no longer fit end by their own deadline. */
    for (size_t i = 0; i < ATTEMPTS_MAX && out->n + 2 <= OUTPUTS_MAX; i++)
        if (x->attempts[i].state == ATTEMPT_REQUESTED)
            executor_fail(x, &x->attempts[i], kind, verdict, out);
}

/* Another process has our key, and the coordinator has ended what this one had; as above, of those that fit. */
static void end_all(struct executor *x, enum verdict verdict, struct outputs *out)
{
    for (size_t i = 0; i < ATTEMPTS_MAX && out->n + TICK_OUTPUTS <= OUTPUTS_MAX; i++) {
        struct attempt *a = &x->attempts[i];
        if (a->state == ATTEMPT_EXECUTING) {
            executor_fail(x, a, "cancelled", verdict, out);
        } else if (a->state == ATTEMPT_DIRECT || a->state == ATTEMPT_RELAYED) {
            msg_text(a->kind, sizeof a->kind, "cancelled");
            a->verdict = verdict;
            executor_enter(x, a, ATTEMPT_CLOSED, verdict_name(verdict), out);
        }
    }
}

static void send_enrol(struct executor *x, struct outputs *out)
{
    struct msg_enrol *m = &emit(out, SERVICE_coordinator, MSG_enrol)->enrol;

    out->v[out->n - 1].enrolling = true;
    m->token.len = sizeof x->conf.token;
    memcpy(m->token.b, x->conf.token, sizeof x->conf.token);
    x->next_enrol_us = NEVER;
}

static void on_link(struct executor *x, bool up, bool enrolling, struct outputs *out)
{
    if (enrolling) {
        x->next_enrol_us = NEVER;
        if (up)
            send_enrol(x, out);
        return;
    }
    x->link_up = up;
    x->attached = x->told = x->attach_limited = false;
    for (size_t i = 0; i < ATTEMPTS_MAX; i++)
        x->attempts[i].asked = false; /* what left may have died with that coordinator */
    if (!up || x->refused)
        return;
    x->attach_seq++;
    send_attach(x, out);
}

/* What the coordinator asks for, within reason. */
static int64_t within_reason_us(uint32_t retry_after_ms)
{
    int64_t asked_us = retry_after_ms * INT64_C(1000);

    return asked_us < ENROL_AGAIN_US        ? ENROL_AGAIN_US
           : asked_us < 60 * ENROL_AGAIN_US ? asked_us
                                            : 60 * ENROL_AGAIN_US;
}

/* When many knock at once some are told to come again: jittered, so that they don't do so together. */
static int64_t again_at_us(struct executor *x, uint32_t retry_after_ms)
{
    int64_t us = within_reason_us(retry_after_ms);

    return x->now_us + us / 2 + (int64_t)rng_below(&x->rng, (uint64_t)us);
}

static void on_enrolled(struct executor *x, const struct msg_enrolled *m, struct outputs *out)
{
    bool overloaded = strcmp(m->kind, "overloaded") == 0;

    if (m->kind[0] == '\0') {
        x->admitted = true;
        executor_app(x, NULL, APP_ENROLLED, out);
    } else if (strcmp(m->kind, "rate-limited") == 0 || (overloaded && x->admitted)) {
        x->next_enrol_us = again_at_us(x, m->retry_after_ms);
    } else {
        refuse(x, kind_valid(m->kind) ? m->kind : "not-authorized",
               overloaded ? VERDICT_overloaded : VERDICT_not_enrolled, out);
    }
}

static bool all_admitted(const struct executor *x, const struct prober_info *p)
{
    for (size_t i = 0; i < p->n_addrs; i++)
        if (!fence_admits(x->conf.fence, &p->addrs[i]))
            return false;
    return true;
}

/* Only probers whose key the pinned authority certified count. */
static void take_probers(struct executor *x, const struct prober_list *probers)
{
    struct prober_list good = {0};

    for (size_t i = 0; i < probers->n; i++)
        if (cert_verify('p', probers->v[i].key, x->conf.authority, probers->v[i].cert) &&
            all_admitted(x, &probers->v[i]))
            good.v[good.n++] = probers->v[i];
    if (good.n > 0)
        x->probers = good;
}

/*
 * Tokens by keys of a day are asked for where the coordinator tells of them, and everybody reads them; not at one of an
 * earlier version, after one that did, as while several are replaced one by one.
 */
static void take_daykeys(struct executor *x, const struct msg_attached *m)
{
    daykey_take(&x->daykeys, &m->daykeys, &x->probers);
    x->daily = m->daykeys.n > 0 && x->daykeys.n > 0 && !m->plain;
}

static int64_t clamp(int64_t asked_us)
{
    int64_t us = asked_us < ATTACH_EVERY_MIN_US ? ATTACH_EVERY_MIN_US : asked_us;

    return us < ATTACH_EVERY_MAX_US ? us : ATTACH_EVERY_MAX_US;
}

static void on_attached(struct executor *x, const struct msg_attached *m, struct outputs *out)
{
    x->attach_limited = strcmp(m->kind, "rate-limited") == 0;
    if (x->attach_limited) {
        x->next_attach_us = again_at_us(x, m->retry_after_ms);
        return;
    }
    if (m->kind[0] != '\0') {
        refuse(x, kind_valid(m->kind) ? m->kind : "rendezvous-rejected", verdict_find(m->verdict),
               out);
        return;
    }
    bool first = !x->attached;
    x->attached = true;
    x->attach_every_us = clamp(m->refresh_s * INT64_C(1000000));
    if (first)
        x->next_attach_us = x->now_us + x->attach_every_us;
    executor_places_take(x, &m->places);
    take_probers(x, &m->probers);
    take_daykeys(x, m);
    executor_relays_take(x, &m->relays);
    if (first)
        executor_app(x, NULL, APP_ATTACHED, out);
    if (m->probers.n == 0) {
        x->next_attach_us = x->now_us + ATTACH_AGAIN_US;
    } else if (!x->told) { /* new, or restarted: it must learn the tokens (again) */
        x->told = true;
        if (!x->probing) {
            executor_probe_start(x);
            executor_probe_tick(x, out);
        }
    }
    for (size_t i = 0; i < ATTEMPTS_MAX; i++)
        if (x->attempts[i].state == ATTEMPT_REQUESTED)
            executor_ask(x, &x->attempts[i], out);
}

static void on_detached(struct executor *x, const struct msg_detached *m, struct outputs *out)
{
    if (strcmp(m->kind, "replaced") == 0) {
        refuse(x, "cancelled", VERDICT_replaced, out);
        end_all(x, VERDICT_replaced, out);
        return;
    }
    if (!x->attached) /* its answer to what left before the attach arrived there */
        return;
    x->attached = x->told = false;
    x->attach_seq++;
    send_attach(x, out);
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
    for (size_t i = 0; i < ATTEMPTS_MAX; i++)
        if (x->attempts[i].state == ATTEMPT_REQUESTED)
            executor_ask(x, &x->attempts[i], out);
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

static void answer_invitation(const struct sid *session, bool accepted, struct outputs *out)
{
    struct msg_invite_answer *m = &emit(out, SERVICE_coordinator, MSG_invite_answer)->invite_answer;

    m->session = *session;
    m->accepted = accepted;
}

static bool lives(const struct executor *x, const struct msg_invite *m)
{
    for (size_t k = 0; k < ATTEMPTS_MAX; k++) {
        const struct attempt *a = &x->attempts[k];
        if (a->state > ATTEMPT_EXECUTING && a->state < ATTEMPT_FAILED &&
            sid_eq(&a->session, &m->session) && peer_id_eq(&a->peer, &m->peer))
            return true;
    }
    return false;
}

/* Only an application that said that it wants to be asked is. */
static void on_invite(struct executor *x, const struct msg_invite *m, struct outputs *out)
{
    struct invitation i = {.session = m->session, .peer = m->peer, .timeout_ms = m->timeout_ms};

    if (lives(x, m)) { /* with this peer: it was taken */
        answer_invitation(&m->session, true, out);
        return;
    }
    if (x->conf.accept != ACCEPT_ASK) {
        answer_invitation(&m->session, false, out);
        return;
    }
    msg_text(i.name, sizeof i.name, name_valid(m->name) ? m->name : "");
    executor_app(x, NULL, APP_INVITED, out);
    memcpy(out->v[out->n - 1].app.data, &i, sizeof i);
    out->v[out->n - 1].app.len = sizeof i;
}

static void on_msg(struct executor *x, const struct input *in, struct outputs *out)
{
    const struct msg *m = in->msg;

    if (in->from.enrolling && m->type != MSG_enrolled) {
        x->n.refused_messages++;
        return;
    }
    switch ((unsigned)m->type) {
    case MSG_enrolled: on_enrolled(x, &m->enrolled, out); break;
    case MSG_attached: on_attached(x, &m->attached, out); break;
    case MSG_detached: on_detached(x, &m->detached, out); break;
    case MSG_nat_profile: on_profile(x, &m->nat_profile, out); break;
    case MSG_punch_coordinate: executor_on_order(x, &m->punch_coordinate, out); break;
    case MSG_punch_execute: executor_on_execute(x, &m->punch_execute, out); break;
    case MSG_punch_refused: on_refused(x, &m->punch_refused, out); break;
    case MSG_invite: on_invite(x, &m->invite, out); break;
    case MSG_punch_cancel: on_cancel(x, &m->punch_cancel, out); break;
    default: x->n.refused_messages++;
    }
}

/* ---- datagrams, the application, time ------------------------------------------------------------------- */

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

static void on_connect(struct executor *x, const struct input *in, struct outputs *out)
{
    const struct connect_args *args = in->app.args;
    struct attempt *a = executor_new_attempt(x);

    assert(in->app.len == sizeof *args);
    if (!a) { /* the shell bounds what it asks for below this */
        executor_app(x, NULL, APP_CLOSED, out);
        return;
    }
    memcpy(a->target, args->target, sizeof a->target);
    a->peer = args->target_id;
    a->mode = args->mode;
    a->policy = args->policy;
    a->nonce = in->app.nonce;
    executor_enter(x, a, ATTEMPT_REQUESTED, "the application asks", out);
    a->deadline_us = args->deadline_us;
    if (x->refused)
        executor_fail(x, a, x->refused_kind, x->refused_verdict, out);
    else
        executor_ask(x, a, out);
}

void executor_cancel(const struct attempt *a, struct outputs *out)
{
    struct msg_punch_cancel *m = &emit(out, SERVICE_coordinator, MSG_punch_cancel)->punch_cancel;

    m->session = a->session;
    msg_text(m->kind, sizeof m->kind, "cancelled");
}

static void on_close(struct executor *x, struct attempt *a, enum app_op op, struct outputs *out)
{
    if (a->state > ATTEMPT_REQUESTED && a->state < ATTEMPT_FAILED) {
        if (a->opened) /* without keys, as after a raw hand-over, it is not sent */
            executor_send(x, a, DATA_CLOSE, a->flow, NULL, 0, out);
        executor_cancel(a, out);
    }
    if (a->state == ATTEMPT_REQUESTED || a->state == ATTEMPT_EXECUTING)
        executor_fail(x, a, "cancelled", VERDICT_cancelled, out);
    if (a->state != ATTEMPT_CLOSED)
        executor_enter(x, a, ATTEMPT_CLOSED, op == APP_CANCEL ? "cancelled" : "closed", out);
}

static void on_app(struct executor *x, const struct input *in, struct outputs *out)
{
    if (in->app.op == APP_CONNECT) {
        on_connect(x, in, out);
        return;
    }
    if (in->app.op == APP_ANSWER) {
        const struct invitation_answer *a = in->app.args;
        assert(in->app.len == sizeof *a);
        if (a->accepted)
            x->taken[x->n_taken++ % ATTEMPTS_MAX] = a->session;
        answer_invitation(&a->session, a->accepted, out);
        return;
    }
    if (in->app.op == APP_OVERRIDE) {
        assert(in->app.len == sizeof(struct addr));
        executor_override_set(x, in->app.args, out);
        return;
    }
    if (in->app.path >= ATTEMPTS_MAX)
        return;
    struct attempt *a = &x->attempts[in->app.path];
    if (a->state == ATTEMPT_FREE || a->state == ATTEMPT_CLOSED)
        return;
    if (in->app.op != APP_SEND)
        on_close(x, a, in->app.op, out);
    else if (a->opened && in->app.len > 0 && in->app.len <= PAYLOAD_MAX)
        executor_send(x, a, DATA_APP, a->flow, in->app.args, in->app.len, out);
    else
        a->data_dropped++;
}

static void on_tick(struct executor *x, struct outputs *out)
{
    if (x->next_enrol_us <= x->now_us)
        send_enrol(x, out);
    if (x->link_up && !x->refused && x->next_attach_us <= x->now_us)
        send_attach(x, out);
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
    case IN_LINK: on_link(x, in->link.up, in->link.enrolling, out); break;
    case IN_NETWORK: executor_on_network(x, in->network.sockets, out); break;
    case IN_SOCKET: executor_on_socket(x, in, out); break;
    case IN_APP: on_app(x, in, out); break;
    case IN_STORE: break;
    }
}

int64_t executor_deadline(const struct executor *x)
{
    int64_t next = min64(executor_probe_deadline(x), x->next_enrol_us);

    if (x->link_up && !x->refused)
        next = min64(next, x->next_attach_us);
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
