/* settle.c - how an attempt settles: is there an outcome, which one, and with which verdict. */
#include "services/executor/internal.h"

enum verdict executor_direct_verdict(const struct attempt *a)
{
    static const enum verdict by_technique[TECHNIQUE_COUNT] = {
        [TECHNIQUE_HOST] = VERDICT_direct_host,
        [TECHNIQUE_MAPPED] = VERDICT_direct_mapped,
        [TECHNIQUE_REVERSAL] = VERDICT_direct_reversal,
        [TECHNIQUE_SYNCHRONOUS] = VERDICT_direct_synchronous,
        [TECHNIQUE_SEND_FIRST] = VERDICT_direct_send_first,
        [TECHNIQUE_BIRTHDAY] = VERDICT_direct_birthday,
        [TECHNIQUE_PREDICTION] = VERDICT_direct_prediction,
        [TECHNIQUE_BLOCK_BIRTHDAY] = VERDICT_direct_block_birthday,
    };

    return by_technique[a->technique];
}

static bool planned_direct(const struct attempt *a)
{
    return a->plan.n > 0 && a->plan.v[0].technique != TECHNIQUE_RELAYED;
}

/* Why guessing came to nothing; unknown: the technique has none. */
static enum verdict guessed(const struct attempt *a)
{
    static const enum verdict missed[TECHNIQUE_COUNT] = {
        [TECHNIQUE_BIRTHDAY] = VERDICT_birthday_missed,
        [TECHNIQUE_PREDICTION] = VERDICT_prediction_missed,
        [TECHNIQUE_BLOCK_BIRTHDAY] = VERDICT_block_missed,
    };
    bool busy = missed[a->technique] != VERDICT_unknown && (a->aside || a->peer_aside);

    return busy ? VERDICT_sockets_busy : missed[a->technique];
}

/* Of a pool, and not seen to keep one mapping for all: kept ports look as if it were the one. */
static bool may_change_ip(const struct profile *p)
{
    bool one_mapping = p->mapping == NAT_EI && p->allocation != ALLOC_PRESERVE;

    return p->pool == POOL_BY_DESTINATION || (p->pool == POOL_ARBITRARY && !one_mapping);
}

enum verdict executor_relayed_verdict(const struct attempt *a)
{
    if (a->policy == POLICY_RELAY)
        return VERDICT_relay_policy;
    if (a->technique == TECHNIQUE_NONE)
        return planned_direct(a) ? VERDICT_unsupported : a->reason;
    if (!a->direct_over)
        return VERDICT_timed_out;
    bool ip_moves = may_change_ip(&a->own_profile) || may_change_ip(&a->their_profile);
    if (a->technique != TECHNIQUE_HOST && ip_moves && !executor_is_half(a))
        return guessed(a) == VERDICT_sockets_busy ? VERDICT_sockets_busy : VERDICT_pool_missed;
    bool by_chance = a->birthday.part == BIRTHDAY_OPENS && a->way[WAY_DIRECT].sock < KEPT_FIRST;
    if (executor_is_half(a) ||
        (a->way[WAY_DIRECT].heard && !by_chance)) /* by the socket that everybody may know */
        return VERDICT_one_way;
    return a->technique == TECHNIQUE_HOST  ? VERDICT_no_hairpin
           : guessed(a) != VERDICT_unknown ? guessed(a)
                                           : VERDICT_punch_unanswered;
}

/*
 * No prober has answered, and the relay, asked after them, does not either: neither a dead prober nor a
 * dead relay alone, so this host's UDP goes nowhere.
 */
static bool udp_blocked(const struct executor *x, const struct attempt *a)
{
    if (!x->udp_silent || a->way[WAY_DIRECT].heard || a->relay.bound)
        return false;
    return a->relay.addr.len == 0
               ? a->direct_over
               : a->relay.tries >= BLOCKED_BINDS && a->relay.next_us <= x->now_us;
}

/* Nothing but a direct path was asked for, and there is none. */
static void fail_direct(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (a->technique == TECHNIQUE_NONE && planned_direct(a))
        executor_fail(x, a, "unsupported", VERDICT_unsupported, out);
    else if (a->technique == TECHNIQUE_NONE)
        executor_fail(x, a, "punch-failed", a->reason, out);
    else if (guessed(a) != VERDICT_unknown)
        executor_fail(x, a, "all-ports-failed", guessed(a), out);
    else
        executor_fail(x, a, "punch-failed", VERDICT_direct_only, out);
}

/* Why there is not even a relayed path. */
static void fail_unconnected(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (x->udp_silent && !a->relay.bound && !a->way[WAY_DIRECT].heard)
        executor_fail(x, a, "unreachable", VERDICT_udp_blocked, out);
    else if (a->policy == POLICY_DIRECT)
        fail_direct(x, a, out);
    else if (a->relay.full && !a->relay.bound)
        executor_fail(x, a, "rendezvous-no-relay", VERDICT_relay_full, out);
    else if (a->relay.addr.len == 0)
        executor_fail(x, a, "rendezvous-no-relay", VERDICT_no_relay, out);
    else if (!a->relay.bound)
        executor_fail(x, a, "unreachable", VERDICT_relay_unreachable, out);
    else
        executor_fail(x, a, "unreachable", VERDICT_peer_silent, out);
}

/* As below, but side 0 chooses for both, and what it offers is final. */
static void settle_raw(struct executor *x, struct attempt *a, bool direct, bool relayed,
                       struct outputs *out)
{
    bool late = x->now_us >= a->deadline_us;
    bool relay_gone = a->relay.addr.len == 0 || a->relay.refused || a->policy == POLICY_DIRECT;

    if (a->state != ATTEMPT_EXECUTING || (a->hand.phase != HAND_NONE && !late))
        return;
    if (a->side == 0 && a->hand.phase == HAND_NONE && direct)
        executor_hand_offer(x, a, WAY_DIRECT, out);
    else if (a->side == 0 && a->hand.phase == HAND_NONE && relayed && (a->direct_over || late))
        executor_hand_offer(x, a, WAY_RELAY, out);
    else if (late && executor_hand_late(x, a, out))
        return;
    else if (late || (a->direct_over && relay_gone && !direct)) {
        bool offered = a->hand.phase == HAND_OFFERED;
        fail_unconnected(x, a, out);
        if (offered) /* and taken, perhaps: then it is told so */
            executor_cancel(a, out);
    }
}

/* The span is over, and the relay is not proven yet: what kept it from that may keep the peer from being heard. */
static bool may_wait(const struct executor *x, const struct attempt *a, bool relayed)
{
    return a->state == ATTEMPT_EXECUTING && a->policy == POLICY_AUTO && a->span_us > 0 &&
           !relayed && !a->relay.refused && a->relay.addr.len != 0 && x->now_us < a->deadline_us;
}

/* Is there an outcome?  To be asked after whatever may have brought one. */
void executor_settle(struct executor *x, struct attempt *a, struct outputs *out)
{
    bool direct = a->way[WAY_DIRECT].confirmed && a->has_keys;
    bool relayed = a->way[WAY_RELAY].confirmed && a->has_keys && a->policy != POLICY_DIRECT;
    bool late = x->now_us >= a->deadline_us;

    if (x->now_us >= a->give_up_us && may_wait(x, a, relayed))
        a->waits = true, a->give_up_us = a->deadline_us;
    if (a->technique == TECHNIQUE_NONE || x->now_us >= a->give_up_us || (a->waits && relayed))
        a->direct_over = true, a->give_up_us = NEVER;
    bool over = a->direct_over;

    if (a->mode == MODE_RAW) {
        settle_raw(x, a, direct, relayed, out);
        return;
    }
    if (direct && (a->state == ATTEMPT_EXECUTING || a->state == ATTEMPT_RELAYED)) {
        a->verdict = executor_direct_verdict(a);
        executor_moved_proven(x, a);
        executor_enter(x, a, ATTEMPT_DIRECT, "both directions are proven", out);
    } else if (a->state == ATTEMPT_EXECUTING && relayed && (over || late)) {
        a->verdict = executor_relayed_verdict(a);
        executor_enter(x, a, ATTEMPT_RELAYED, verdict_name(a->verdict), out);
    } else if (a->state == ATTEMPT_EXECUTING &&
               (late || (over && (a->relay.addr.len == 0 || a->relay.refused ||
                                  a->policy == POLICY_DIRECT)))) {
        fail_unconnected(x, a, out);
        return;
    }
    if (a->state >= ATTEMPT_EXECUTING && a->state < ATTEMPT_FAILED)
        executor_choose_flow(x, a, out);
}

bool executor_settle_blocked(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (a->state != ATTEMPT_EXECUTING || !udp_blocked(x, a))
        return false;
    fail_unconnected(x, a, out);
    return true;
}
