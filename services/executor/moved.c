/*
 * moved.c - this host has another address than before, or the peer has: told over the relay, and punched anew.
 *
 * The coordinator is not asked, since the relay is nearer and the plan is known; when nothing comes of it the
 * next order of upgrade.c has both profiles.  What is told are probers' tokens, held to the same rules as
 * those of an order (aim.c), and no more often.
 */
#include "services/executor/internal.h"

#include <string.h>

/* Has a prober seen this host there in this round? */
static bool is_seen_at(const struct executor *x, const struct addr *at)
{
    for (size_t i = 0; i < x->n_targets; i++)
        if (x->targets[i].sock == 0 && x->targets[i].answered && addr_eq(&x->targets[i].seen, at))
            return true;
    return false;
}

/* Where the peer has, or, if that has not, where probers had? */
static bool is_where_it_was(const struct executor *x, const struct attempt *a)
{
    return a->own_seen.len == 0 ? !executor_probe_drifted(x) : is_seen_at(x, &a->own_seen);
}

/* There is a direct path, or will be: where do probers see this host meanwhile? */
void executor_moved_proven(const struct executor *x, struct attempt *a)
{
    a->fault.seen = (struct addr){0};
    for (size_t i = 0; i < x->n_targets && a->fault.seen.len == 0; i++)
        if (x->targets[i].sock == 0)
            a->fault.seen = x->targets[i].answered ? x->targets[i].seen : x->targets[i].before;
}

/* Those that need no look at the NAT right before. */
static bool punches(const struct attempt *a)
{
    return a->technique == TECHNIQUE_MAPPED || a->technique == TECHNIQUE_REVERSAL ||
           a->technique == TECHNIQUE_SYNCHRONOUS || a->technique == TECHNIQUE_SEND_FIRST;
}

/* The first schedule once more, to the candidates that there are. */
static void punch_again(struct executor *x, struct attempt *a)
{
    memset(a->candidate_packets, 0, sizeof a->candidate_packets);
    a->direct_over = a->waits = false;
    a->fault.moved_us = x->now_us;
    a->give_up_us = x->now_us + MOVED_SPAN_US;
    a->way[WAY_DIRECT].burst = 0;
    a->way[WAY_DIRECT].next_punch_us = x->now_us;
}

/* What takes a look at the NAT, or luck, needs another order, for which side 0 asks. */
static void begin_again(struct executor *x, struct attempt *a)
{
    if (punches(a)) {
        punch_again(x, a);
        return;
    }
    a->fault.moved_us = x->now_us;
    executor_moved_proven(x, a);
    executor_upgrade_soon(x, a);
}

static bool may_follow(const struct executor *x, const struct attempt *a)
{
    return a->mode == MODE_MANAGED && a->policy == POLICY_AUTO && a->way[WAY_RELAY].confirmed &&
           a->state >= ATTEMPT_EXECUTING && a->state < ATTEMPT_FAILED &&
           (a->fault.moved_us == 0 || x->now_us >= a->fault.moved_us + MOVED_EVERY_US);
}

/* Is there no direct way, since it was lost, or not yet? */
static bool wants_direct(const struct attempt *a)
{
    return !a->way[WAY_DIRECT].confirmed && (a->fault.lost || !a->direct_over);
}

/* A while of punching has come to nothing: is this host still where the peer was told? */
void executor_moved_suspect(struct executor *x, const struct attempt *a)
{
    if (may_follow(x, a) && punches(a) && x->now_us - x->probe_began_us > MOVED_EVERY_US &&
        x->next_probe_us > x->now_us)
        x->next_probe_us = x->now_us;
}

/*
 * A port that was met by chance only the peer has seen: so what counts is where probers see this host, now and
 * when the path was proven.  Another order needs the coordinator, which has been told that.
 */
static bool has_moved(const struct executor *x, const struct attempt *a)
{
    if (punches(a))
        return !is_where_it_was(x, a);
    return a->fault.lost && x->told && !is_seen_at(x, &a->fault.seen);
}

/* Probing is over: who has no direct way may hear of another address. */
void executor_moved_round_over(struct executor *x, struct outputs *out)
{
    for (size_t i = 0; i < ATTEMPTS_MAX && out->n + 2 <= OUTPUTS_MAX; i++) {
        struct attempt *a = &x->attempts[i];
        if (!may_follow(x, a) || !wants_direct(a) || x->tokens.n == 0 || !has_moved(x, a))
            continue;
        a->fault.moves = MOVED_COPIES;
        executor_lifetime_forget(x); /* it has not kept the mapping */
        executor_moved_tell(x, a, out);
        begin_again(x, a);
    }
}

void executor_moved_tell(struct executor *x, struct attempt *a, struct outputs *out)
{
    struct msg_token_list own = executor_tokens(x);
    uint8_t payload[TOKENS_MAX * TOKEN_BYTES];
    size_t n = 0;

    a->fault.moves--;
    for (size_t i = 0; i < own.n; i++)
        if (own.v[i].len == TOKEN_BYTES)
            memcpy(payload + TOKEN_BYTES * n++, own.v[i].b, TOKEN_BYTES);
    executor_send(x, a, DATA_MOVED, WAY_RELAY, payload, n * TOKEN_BYTES, out);
}

/* What these tokens vouch for instead of what was known; false, and all as it was, when that is nothing. */
static bool aim_anew(struct executor *x, struct attempt *a, const struct msg_token_list *theirs)
{
    struct addr candidates[CANDIDATES_MAX];
    uint8_t by[CANDIDATES_MAX], n = a->n_candidates;

    memcpy(candidates, a->candidates, sizeof candidates);
    memcpy(by, a->candidate_by, sizeof by);
    a->n_candidates = 0;
    executor_aim(x, a, theirs);
    if (a->n_candidates > 0)
        return true;
    a->n_candidates = n;
    memcpy(a->candidates, candidates, sizeof candidates);
    memcpy(a->candidate_by, by, sizeof by);
    return false;
}

void executor_on_moved(struct executor *x, struct attempt *a, enum way way, const uint8_t *payload,
                       size_t len, struct outputs *out)
{
    struct msg_token_list theirs = {0};

    if (way != WAY_RELAY || len == 0 || len % TOKEN_BYTES != 0 || len > TOKENS_MAX * TOKEN_BYTES ||
        !may_follow(x, a) || executor_alive_is_new(x, a))
        return;
    for (; theirs.n < len / TOKEN_BYTES; theirs.n++) {
        theirs.v[theirs.n].len = TOKEN_BYTES;
        memcpy(theirs.v[theirs.n].b, payload + TOKEN_BYTES * theirs.n, TOKEN_BYTES);
    }
    if (!aim_anew(x, a, &theirs))
        return;
    executor_lost_direct(x, a, "the peer has another address", out);
    begin_again(x, a);
}
