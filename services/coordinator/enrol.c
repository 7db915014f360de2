/*
 * enrol.c - which keys may come in.
 *
 *   token      one that has shown the token of the join string; the store remembers it
 *   allowlist  one that is on the operator's list, as long as it is
 *   open       any
 */
#include "services/coordinator/parts.h"

#include <sodium.h>

const char *const admission_name[ADMISSION_COUNT] = {"token", "allowlist", "open"};

void coordinator_admission(struct coordinator *c, enum admission how, const struct peer_id *listed,
                           size_t n)
{
    c->admission = how;
    c->listed = listed;
    c->n_listed = n;
}

bool coordinator_listed(const struct coordinator *c, const struct peer_id *peer)
{
    size_t from = 0, to = c->n_listed;

    while (from < to) {
        size_t mid = from + (to - from) / 2;
        int order = memcmp(peer->b, c->listed[mid].b, sizeof peer->b);
        if (order == 0)
            return true;
        if (order < 0)
            to = mid;
        else
            from = mid + 1;
    }
    return false;
}

static bool admitted(const struct coordinator *c, const struct input *in)
{
    const struct msg_enrol *m = &in->msg->enrol;

    switch (c->admission) {
    case ADMIT_OPEN: return true;
    case ADMIT_LISTED: return coordinator_listed(c, &in->from.peer);
    case ADMIT_TOKEN: break;
    }
    return m->token.len == sizeof c->conf.enrol_token &&
           sodium_memcmp(m->token.b, c->conf.enrol_token, sizeof c->conf.enrol_token) == 0;
}

/*
 * Why not, or "", and when again.  A wrong token costs its source, and nothing of what there is for all.
 */
static const char *admit(struct coordinator *c, const struct input *in, uint32_t *wait_ms)
{
    *wait_ms = coordinator_enrol_source_wait_ms(c, &in->from.source);
    if (*wait_ms > 0)
        return "rate-limited";
    if (!admitted(c, in))
        return "not-authorized";
    *wait_ms = coordinator_enrol_wait_ms(c);
    return *wait_ms > 0 ? "rate-limited" : "";
}

static void send_enrolled(uint32_t conn, const char *kind, uint32_t wait_ms, struct outputs *out)
{
    struct msg_enrolled *m = &emit_peer(out, conn, MSG_enrolled)->enrolled;

    out->v[out->n - 1].enrolling = true;
    msg_text(m->kind, sizeof m->kind, kind);
    m->retry_after_ms = wait_ms;
}

/* The answer waits for the store's: who was told that it is admitted stays so through a crash. */
void coordinator_on_enrol(struct coordinator *c, const struct input *in, struct outputs *out)
{
    uint32_t wait_ms;
    const char *kind = admit(c, in, &wait_ms);

    if (*kind != '\0') {
        c->n.enrol_refused++;
        send_enrolled(in->from.conn, kind, wait_ms, out);
        return;
    }
    if (c->admission == ADMIT_OPEN) { /* everybody may come: what is there to remember? */
        c->n.enrolled++;
        send_enrolled(in->from.conn, "", 0, out);
        return;
    }
    struct output *o = outputs_add(out, OUT_STORE);
    memset(&o->store, 0, sizeof o->store);
    o->store.op = STORE_PUT_ENROLLED;
    o->store.tag = in->from.conn; /* whom to answer: there is nothing else to remember */
    o->store.record.peer = in->from.peer;
}

void coordinator_on_enrolment_written(struct coordinator *c, const struct input *in,
                                      struct outputs *out)
{
    bool ok = in->store.status == STORE_OK;

    if (ok)
        c->n.enrolled++;
    else
        c->n.enrol_refused++;
    send_enrolled((uint32_t)in->store.tag, ok ? "" : "overloaded", 0, out);
}
