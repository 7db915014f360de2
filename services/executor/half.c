/*
 * half.c - one direction came through and the other did not: what goes there goes directly, the rest over the relay.
 *
 * Who hears punches and gets no answer through returns their challenges over the relay (HEARD); only who receives at
 * that address knows them.  Where they went is used from then on, and consent to it (RFC 7675) is asked
 * for directly (ASK, a random word) and given over the relay (HEARD, the same word).
 *
 *   ask  word 8       heard  challenge or word 8
 */
#include "services/executor/internal.h"

#include <string.h>

static bool eligible(const struct attempt *a)
{
    return a->mode == MODE_MANAGED && a->policy == POLICY_AUTO && a->has_keys && !a->fault.lost &&
           a->way[WAY_RELAY].confirmed && !a->way[WAY_DIRECT].confirmed &&
           (a->state == ATTEMPT_EXECUTING || a->state == ATTEMPT_RELAYED);
}

bool executor_is_half(const struct attempt *a)
{
    return !a->way[WAY_DIRECT].confirmed && (a->half.to.len != 0 || a->half.hears);
}

/* A settled session is half from now on, or no more. */
static void update(struct executor *x, struct attempt *a, struct outputs *out)
{
    enum path_kind path = executor_is_half(a) ? PATH_HALF : PATH_RELAYED;

    if (a->state != ATTEMPT_RELAYED || a->path == path)
        return;
    a->path = path;
    a->verdict = path == PATH_HALF ? VERDICT_one_way : VERDICT_direct_lost;
    executor_app(x, a, APP_PATH, out);
    executor_report(x, a, out);
}

static void seal(struct executor *x, struct attempt *a, enum data_kind kind, const void *payload,
                 size_t len, struct outputs *out)
{
    struct output *o = executor_datagram(out, a->way[WAY_DIRECT].sock, &a->half.to);

    o->dgram.len =
        (uint16_t)rekey_seal(&a->send, x->now_us, kind, payload, len, &a->peer_path, o->dgram.data);
}

bool executor_half_send(struct executor *x, struct attempt *a, const void *payload, size_t len,
                        struct outputs *out)
{
    if (a->path != PATH_HALF || a->half.to.len == 0 || !eligible(a))
        return false;
    seal(x, a, DATA_APP, payload, len, out);
    if (a->half.unanswered == 0 && a->half.ask_us > x->now_us + HALF_BUSY_US)
        a->half.ask_us = a->half.next_us = x->now_us + HALF_BUSY_US;
    return true;
}

/* ---- the side that hears ---------------------------------------------------------------------------------- */

static void tell_heard(struct executor *x, struct attempt *a, const void *word, struct outputs *out)
{
    a->half.hears = true;
    a->half.heard_us = x->now_us;
    if (a->half.next_us > x->now_us + HALF_SILENT_US)
        a->half.next_us = x->now_us + HALF_SILENT_US;
    executor_send(x, a, DATA_HEARD, WAY_RELAY, word, HALF_WORD, out);
    update(x, a, out);
}

void executor_half_punched(struct executor *x, struct attempt *a, uint64_t challenge,
                           struct outputs *out)
{
    if (eligible(a) && x->now_us - a->way[WAY_DIRECT].first_heard_us >= HALF_AFTER_US)
        tell_heard(x, a, &challenge, out);
}

void executor_on_ask(struct executor *x, struct attempt *a, enum way way, const uint8_t *payload,
                     size_t len, struct outputs *out)
{
    if (way == WAY_DIRECT && len == HALF_WORD && eligible(a))
        tell_heard(x, a, payload, out);
}

/* ---- the side that is heard ------------------------------------------------------------------------------- */

void executor_on_heard(struct executor *x, struct attempt *a, enum way way, const uint8_t *payload,
                       size_t len, struct outputs *out)
{
    uint64_t challenge;

    if (way != WAY_RELAY || len != sizeof challenge || !eligible(a))
        return;
    if (a->half.to.len != 0) {
        if (a->half.unanswered == 0 || memcmp(payload, a->half.word, HALF_WORD) != 0)
            return;
        bool busy = x->now_us - a->last_sent_us < HALF_IDLE_US && a->last_sent_us != 0;
        a->half.unanswered = 0;
        a->half.ask_us = x->now_us + (busy ? HALF_BUSY_US : HALF_IDLE_US);
        a->half.next_us = a->half.ask_us;
        return;
    }
    memcpy(&challenge, payload, sizeof challenge);
    for (size_t i = 0; i < a->n_candidates && a->half.to.len == 0; i++)
        if (challenge == executor_challenge(a, &a->candidates[i]))
            a->half.to = a->candidates[i];
    if (a->half.to.len == 0)
        return;
    a->half.unanswered = 0;
    a->half.ask_us = a->half.next_us = x->now_us;
    update(x, a, out);
}

static void ask(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (a->half.unanswered == HALF_TRIES) {
        a->half.to = (struct addr){0};
        return;
    }
    if (a->half.unanswered++ == 0)
        rng_bytes(&x->rng, a->half.word, sizeof a->half.word);
    a->half.ask_us = x->now_us + HALF_BUSY_US;
    seal(x, a, DATA_ASK, a->half.word, sizeof a->half.word, out);
}

/* ---- both ------------------------------------------------------------------------------------------------- */

void executor_half_tick(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (!eligible(a)) {
        a->half = (struct half){.next_us = NEVER};
        return;
    }
    if (a->half.to.len != 0 && a->half.ask_us <= x->now_us)
        ask(x, a, out);
    a->half.hears = a->half.hears && x->now_us - a->half.heard_us < HALF_SILENT_US;
    a->half.next_us = a->half.hears ? a->half.heard_us + HALF_SILENT_US : NEVER;
    if (a->half.to.len != 0 && a->half.ask_us < a->half.next_us)
        a->half.next_us = a->half.ask_us;
    update(x, a, out);
}
