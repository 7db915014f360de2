/* attach.c - this peer at its coordinator: enrolled by its token, attached, refused, replaced by another process. */
#include "lib/token.h"
#include "services/executor/internal.h"

#include <string.h>

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

void executor_on_link(struct executor *x, bool up, bool enrolling, struct outputs *out)
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

void executor_on_enrolled(struct executor *x, const struct msg_enrolled *m, struct outputs *out)
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

void executor_on_attached(struct executor *x, const struct msg_attached *m, struct outputs *out)
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
    executor_ask_all(x, out);
}

void executor_on_detached(struct executor *x, const struct msg_detached *m, struct outputs *out)
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

void executor_attach_tick(struct executor *x, struct outputs *out)
{
    if (x->next_enrol_us <= x->now_us)
        send_enrol(x, out);
    if (x->link_up && !x->refused && x->next_attach_us <= x->now_us)
        send_attach(x, out);
}

int64_t executor_attach_deadline(const struct executor *x)
{
    bool due = x->link_up && !x->refused && x->next_attach_us < x->next_enrol_us;

    return due ? x->next_attach_us : x->next_enrol_us;
}
