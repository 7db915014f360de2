/* attempt.c - an attempt's state machine: the states as data, what entering one does, what is due in which. */
#include "services/executor/internal.h"

#include <sodium.h>
#include <string.h>

#define BIT(state) (1u << (state))

const char *const attempt_state_name[ATTEMPT_STATES] = {
    [ATTEMPT_FREE] = "free",           [ATTEMPT_REQUESTED] = "requested",
    [ATTEMPT_EXECUTING] = "executing", [ATTEMPT_DIRECT] = "direct",
    [ATTEMPT_RELAYED] = "relayed",     [ATTEMPT_FAILED] = "failed",
    [ATTEMPT_CLOSED] = "closed",
};

/* Where each state may go.  Requested and executing expire by the caller's deadline, direct and relayed
 * by consent, failed at once into closed, closed after LINGER_CLOSED_US into free. */
static const unsigned next_states[ATTEMPT_STATES] = {
    [ATTEMPT_FREE] = BIT(ATTEMPT_REQUESTED) | BIT(ATTEMPT_EXECUTING),
    [ATTEMPT_REQUESTED] = BIT(ATTEMPT_EXECUTING) | BIT(ATTEMPT_FAILED),
    [ATTEMPT_EXECUTING] = BIT(ATTEMPT_DIRECT) | BIT(ATTEMPT_RELAYED) | BIT(ATTEMPT_FAILED),
    [ATTEMPT_DIRECT] = BIT(ATTEMPT_RELAYED) | BIT(ATTEMPT_CLOSED),
    [ATTEMPT_RELAYED] = BIT(ATTEMPT_DIRECT) | BIT(ATTEMPT_CLOSED),
    [ATTEMPT_FAILED] = BIT(ATTEMPT_CLOSED),
    [ATTEMPT_CLOSED] = BIT(ATTEMPT_FREE),
};

enum path_kind executor_path(const struct attempt *a) { return a->path; }

struct addr executor_remote(const struct attempt *a)
{
    switch (a->path) {
    case PATH_DIRECT: return a->way[WAY_DIRECT].remote;
    case PATH_HALF: return a->half.to.len ? a->half.to : a->way[WAY_DIRECT].remote;
    case PATH_RELAYED: return a->relay.addr;
    default: return (struct addr){0};
    }
}

void executor_report(struct executor *x, struct attempt *a, struct outputs *out)
{
    struct msg_punch_result *m = &emit(out, SERVICE_coordinator, MSG_punch_result)->punch_result;
    const struct way_state *direct = &a->way[WAY_DIRECT];

    m->session = a->session;
    m->path = (uint16_t)executor_path(a);
    m->technique = a->path >= PATH_HALF ? a->technique : TECHNIQUE_NONE;
    m->local = a->own_seen.len ? a->own_seen : x->reflexive;
    m->remote = a->state == ATTEMPT_FAILED ? a->relay.addr : executor_remote(a);
    if (a->policy == POLICY_RELAY)
        m->local = (struct addr){0};
    msg_text(m->kind, sizeof m->kind, a->kind);
    msg_text(m->verdict, sizeof m->verdict, verdict_name(a->verdict));
    for (size_t i = 0; i < a->plan.n; i++) {
        uint8_t technique = a->plan.v[i].technique;
        const struct way_state *w =
            &a->way[technique == TECHNIQUE_RELAYED ? WAY_RELAY : WAY_DIRECT];
        bool mine = technique == TECHNIQUE_RELAYED || technique == a->technique;
        m->tried.v[m->tried.n++] =
            (struct tried_one){technique, mine ? (uint32_t)w->punches_sent : 0,
                               mine ? (uint32_t)w->punches_received : 0};
    }
    int64_t since_us = a->state == ATTEMPT_DIRECT ? direct->confirmed_us : a->settled_us;
    m->after_us = (uint32_t)(since_us - a->asked_us); /* the same in each repetition */
    a->result_us = x->now_us + RESULT_EVERY_US;
}

/* All that could open or seal anything of this session. */
void executor_wipe(struct attempt *a)
{
    a->has_keys = a->has_noise_out = false;
    sodium_memzero(&a->send, sizeof a->send);
    sodium_memzero(&a->receive, sizeof a->receive);
    sodium_memzero(&a->noise, sizeof a->noise);
    sodium_memzero(a->noise_out, sizeof a->noise_out);
    sodium_memzero(a->punch_key, sizeof a->punch_key);
    sodium_memzero(a->challenge_key, sizeof a->challenge_key);
    sodium_memzero(a->relay.ticket, sizeof a->relay.ticket);
    executor_swap_end(a);
}

/* The only place an attempt changes state; what a state does on entry is done here. */
void executor_enter(struct executor *x, struct attempt *a, enum attempt_state to, const char *why,
                    struct outputs *out)
{
    assert(next_states[a->state] & BIT(to));
    emit_note(out, &a->session, attempt_state_name[a->state], attempt_state_name[to], why);

    bool settling = a->state == ATTEMPT_REQUESTED || a->state == ATTEMPT_EXECUTING;
    a->state = to;
    a->deadline_us = NEVER;
    switch (to) {
    case ATTEMPT_DIRECT:
    case ATTEMPT_RELAYED:
    case ATTEMPT_FAILED:
        a->give_up_us = NEVER;
        executor_guess_end(x, a, out);
        a->upgrade_us = NEVER;
        if (to == ATTEMPT_FAILED)
            executor_hand_end(a, out);
        if (to == ATTEMPT_DIRECT && a->mode == MODE_MANAGED)
            executor_lifetime_want(x);
        if (to == ATTEMPT_RELAYED) {
            a->direct_over = true;
            executor_upgrade_later(x, a);
        }
        a->path = to == ATTEMPT_DIRECT   ? PATH_DIRECT
                  : to == ATTEMPT_FAILED ? PATH_FAILED
                  : executor_is_half(a)  ? PATH_HALF
                                         : PATH_RELAYED;
        if (settling) {
            a->settled_us = x->now_us;
            executor_app(x, a, APP_SETTLED, out);
        }
        if (a->attempts > 0)
            executor_report(x, a, out);
        if (to == ATTEMPT_FAILED)
            a->deadline_us = x->now_us;
        break;
    case ATTEMPT_CLOSED:
        a->upgrade_us = NEVER;
        executor_guess_end(x, a, out);
        executor_hand_end(a, out);
        executor_app(x, a, APP_CLOSED, out);
        a->deadline_us = x->now_us + LINGER_CLOSED_US;
        executor_wipe(a);
        break;
    default: break;
    }
}

void executor_fail(struct executor *x, struct attempt *a, const char *kind, enum verdict verdict,
                   struct outputs *out)
{
    msg_text(a->kind, sizeof a->kind, kind);
    a->verdict = verdict;
    executor_enter(x, a, ATTEMPT_FAILED, verdict_name(verdict), out);
}

struct attempt *executor_new_attempt(struct executor *x)
{
    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        struct attempt *a = &x->attempts[i];
        if (a->state != ATTEMPT_FREE)
            continue;
        memset(a, 0, sizeof *a);
        a->deadline_us = a->upgrade_us = a->give_up_us = a->result_us = a->relay.next_us =
            a->birthday.next_us = a->foreseen.next_us = a->hand.next_us = a->swap.next_us =
                a->half.next_us = a->hush.next_us = NEVER;
        a->hush.gap_us = RELAY_KEEP_BUSY_US;
        for (size_t w = 0; w < WAYS; w++)
            a->way[w].next_punch_us = a->way[w].next_ping_us = NEVER,
            health_init(&a->way[w].health);
        a->asked_us = x->now_us;
        return a;
    }
    return NULL;
}

/* Send the request once all is known that it says; who waits for less is asked again when it comes. */
void executor_ask(struct executor *x, struct attempt *a, struct outputs *out)
{
    bool ready = a->policy == POLICY_RELAY ? x->attached : executor_ready(x);

    if (a->asked || !ready)
        return;
    struct msg_punch_request *m = &emit(out, SERVICE_coordinator, MSG_punch_request)->punch_request;
    m->nonce = a->nonce;
    memcpy(m->target, a->target, sizeof m->target);
    m->target_id = a->peer;
    m->mode = a->mode;
    m->policy = a->policy;
    if (a->policy != POLICY_RELAY)
        m->tokens = executor_tokens(x);
    /* A coordinator that has waited in vain must be able to say so in time. */
    int64_t left_us = a->deadline_us - x->now_us;
    int64_t left_ms = (left_us - (left_us / 4 < ANSWER_US ? left_us / 4 : ANSWER_US)) / 1000;
    m->timeout_ms = (uint32_t)(left_ms < 1 ? 1 : left_ms < UINT32_MAX ? left_ms : UINT32_MAX);
    a->asked = true;
    a->asked_us = x->now_us;
}

void executor_ask_all(struct executor *x, struct outputs *out)
{
    for (size_t i = 0; i < ATTEMPTS_MAX; i++)
        if (x->attempts[i].state == ATTEMPT_REQUESTED)
            executor_ask(x, &x->attempts[i], out);
}

static void expire(struct executor *x, struct attempt *a, struct outputs *out)
{
    switch (a->state) {
    case ATTEMPT_REQUESTED:
        if (x->next_enrol_us != NEVER || x->attach_limited)
            executor_fail(x, a, "rate-limited", VERDICT_rate_limited, out);
        else
            executor_fail(x, a, x->attached ? "timeout" : "transport",
                          x->attached ? VERDICT_timed_out : VERDICT_coordinator_unreachable, out);
        break;
    case ATTEMPT_FAILED: executor_enter(x, a, ATTEMPT_CLOSED, "failed", out); break;
    case ATTEMPT_CLOSED: executor_enter(x, a, ATTEMPT_FREE, "forgotten", out); break;
    default: executor_settle(x, a, out);
    }
}

void executor_attempt_tick(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (a->deadline_us <= x->now_us) {
        expire(x, a, out);
        return;
    }
    if (a->state < ATTEMPT_EXECUTING || a->state >= ATTEMPT_FAILED)
        return;
    if (executor_settle_blocked(x, a, out))
        return;
    for (enum way w = 0; w < WAYS; w++)
        if (a->way[w].next_punch_us <= x->now_us)
            executor_punch(x, a, w, out);
    if (a->birthday.next_us <= x->now_us)
        executor_birthday_tick(x, a, out);
    if (a->relay.next_us <= x->now_us)
        executor_relay_tick(x, a, out);
    if (a->hush.next_us <= x->now_us)
        executor_hush_tick(x, a, out);
    if (a->swap.next_us <= x->now_us)
        executor_swap_tick(x, a, out);
    if (a->foreseen.next_us <= x->now_us)
        executor_foresee_tick(x, a, out);
    if (a->half.next_us <= x->now_us)
        executor_half_tick(x, a, out);
    if (a->hand.next_us <= x->now_us)
        executor_hand_tick(x, a, out);
    if (a->mode == MODE_MANAGED)
        executor_alive_tick(x, a, out);
    if (a->give_up_us <= x->now_us)
        executor_settle(x, a, out);
    if (a->upgrade_us <= x->now_us && a->state == ATTEMPT_RELAYED)
        executor_upgrade_tick(x, a, out);
    if (a->result_us <= x->now_us && a->state < ATTEMPT_FAILED)
        executor_report(x, a, out);
}
