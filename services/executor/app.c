/* app.c - the application: what it is told, what it asks for, and whether it takes a call. */
#include "services/executor/internal.h"

#include <string.h>

void executor_app(struct executor *x, const struct attempt *a, enum app_event event,
                  struct outputs *out)
{
    struct output *o = outputs_add(out, OUT_APP);

    o->app.event = event;
    o->app.path = a ? executor_number(x, a) : UINT32_MAX;
    o->app.len = 0;
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
void executor_on_invite(struct executor *x, const struct msg_invite *m, struct outputs *out)
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

void executor_on_app(struct executor *x, const struct input *in, struct outputs *out)
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
