/*
 * upgrade.c - a session that lives on the relay is tried directly again, ever more seldom.
 *
 * Side 0 asks the coordinator, which has the newest of both sides, for another order of the same session;
 * both punch anew under the keys that they have, while data flows over the relay.  One at a time.
 */
#include "services/executor/internal.h"

#include <string.h>

/* The session has come to the relay, or has asked in vain: when to ask next. */
void executor_upgrade_later(struct executor *x, struct attempt *a)
{
    const struct way_state *direct = &a->way[WAY_DIRECT];

    a->upgrade_us = NEVER;
    if (a->side != 0 || a->policy != POLICY_AUTO || a->mode != MODE_MANAGED)
        return;
    enum technique last = (enum technique)a->technique;
    /* A path that has lasted is worth another quick try. */
    if (a->path == PATH_DIRECT && x->now_us - direct->confirmed_us >= UPGRADE_LASTED_US)
        a->upgrade_gap_us = 0;
    a->upgrade_gap_us = effort_again_us(last, a->upgrade_gap_us);
    a->upgrade_us = x->now_us + a->upgrade_gap_us * 3 / 4 +
                    (int64_t)rng_below(&x->rng, (uint64_t)a->upgrade_gap_us / 2);
}

/* Why the path was lost is known, and that another order would bring another one. */
void executor_upgrade_soon(struct executor *x, struct attempt *a)
{
    if (a->side != 0 || a->state != ATTEMPT_RELAYED)
        return;
    a->upgrade_soon_us = x->now_us + UPGRADE_SOON_FOR_US;
    a->upgrade_us = x->now_us;
}

/* A new path is what people wait for, and probing brings the addresses that the order will say. */
static bool busy(const struct executor *x, bool soon)
{
    if (!x->attached || !executor_ready(x) || (x->probing && !soon) ||
        x->now_us < x->upgrade_gate_us)
        return true;
    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        const struct attempt *a = &x->attempts[i];
        if (a->state == ATTEMPT_EXECUTING || (a->state == ATTEMPT_RELAYED && !a->direct_over))
            return true;
    }
    return false;
}

/* Peers say that they have moved as often as they like; what may be asked for in a minute is for all sessions. */
static int64_t retry_us(struct executor *x)
{
    int64_t gap_us = 2 * x->upgrade_retry_us;

    if (gap_us == 0 || x->now_us - x->upgrade_gate_us > UPGRADE_CALM_US)
        gap_us = UPGRADE_RETRY_US;
    x->upgrade_retry_us = gap_us < UPGRADE_RETRY_MAX_US ? gap_us : (int64_t)UPGRADE_RETRY_MAX_US;
    return x->upgrade_retry_us;
}

void executor_upgrade_tick(struct executor *x, struct attempt *a, struct outputs *out)
{
    bool soon = x->now_us < a->upgrade_soon_us;

    if (busy(x, soon) || executor_alive_answers(x, a)) {
        int64_t gap_us = UPGRADE_GATE_US / 2 + (int64_t)rng_below(&x->rng, UPGRADE_GATE_US);
        a->upgrade_us = x->now_us + (soon ? UPGRADE_SOON_US : gap_us);
        return;
    }
    struct msg_punch_request *m = &emit(out, SERVICE_coordinator, MSG_punch_request)->punch_request;
    m->nonce = a->nonce;
    m->target_id = a->peer;
    m->mode = a->mode;
    m->policy = a->policy;
    m->tokens = executor_tokens(x);
    m->session = a->session;
    m->attempt = a->renewals; /* a coordinator that has lost the session goes on from there */
    x->upgrade_gate_us = x->now_us + (soon ? retry_us(x) : (int64_t)UPGRADE_GATE_US);
    x->n.upgrades_asked++;
    if (soon) /* the coordinator may not know all yet: then it says nothing; and others are first */
        a->upgrade_us = x->upgrade_gate_us + 2 * UPGRADE_SOON_US;
    else
        executor_upgrade_later(x, a);
}

/* Another order for a session that is settled.  False when it is none that shall be followed. */
bool executor_upgrade_order(struct executor *x, struct attempt *a,
                            const struct msg_punch_coordinate *m, struct outputs *out)
{
    bool relay =
        a->state == ATTEMPT_RELAYED || (a->state == ATTEMPT_DIRECT && a->way[WAY_RELAY].confirmed);

    if (!relay || a->mode != MODE_MANAGED || m->attempt <= a->renewals || m->side != a->side ||
        m->mode != a->mode || m->policy != a->policy || !peer_id_eq(&m->peer, &a->peer) ||
        x->now_us < a->renewed_us + UPGRADE_GATE_US)
        return false;
    a->renewals = m->attempt;
    a->renewed_us = x->now_us;
    a->upgrade_soon_us = x->upgrade_retry_us = 0;
    a->result_us = x->now_us; /* it may have lost what was reported */
    a->attempts++;
    /* A side that thinks otherwise is alone with that. */
    executor_lost_direct(x, a, "another order", out);
    a->fault.guarded = false;
    executor_guess_forget(x, a, out);
    a->n_candidates = 0;
    memset(a->candidate_packets, 0, sizeof a->candidate_packets);
    a->technique = TECHNIQUE_NONE;
    a->aside = a->peer_aside = a->peer_is_there = a->waits = false;
    a->way[WAY_DIRECT].burst = 0;
    a->own_profile = m->own_profile;
    a->their_profile = m->their_profile;
    a->plan = m->plan;
    a->reason = verdict_find(m->reason);
    return true;
}
