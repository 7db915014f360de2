/*
 * alive.c - does the way that data takes work?  Leaving it for the relay, and coming back.
 *
 * A ping holds a word that only who receives it at that address knows (consent, RFC 7675), and how many packets
 * have been sent there; its pong returns the word, and tells how many have come in.  While data is sent,
 * pings go with it; while it rests, twice a second; when there has been none for RELAY_BUSY_US the way sleeps, and
 * only what keeps the mapping is sent, until a datagram or a missed answer wakes it.
 *
 *   ping  word 8 | number 4 | sent 4       pong  what the ping held | received 4       left  how often 4
 *
 * The direct way is left when answers are missing for LEAVE_BUSY_US beside the round trip (LEAVE_IDLE_US without data)
 * while something comes over the relay, which may be as bad (after LEAVE_ANYWAY_US whatever it does); or when much of what is sent gets lost.  The peer is told,
 * and leaves too.  The old address is then asked on; once TRIAL_PINGS in a row are answered it is good again.
 * A way that is left soon after that waits, each time for longer.
 */
#include "lib/bytes.h"
#include "services/executor/internal.h"

#include <sodium.h>
#include <string.h>

enum { WORD = 8, PING_BYTES = WORD + 4 + 4, PONG_BYTES = PING_BYTES + 4, LEFT_BYTES = 4 };

/* Nobody can know it beforehand, nor make it for another address. */
static void word(const struct attempt *a, enum way way, uint32_t number, uint8_t out[static WORD])
{
    const struct addr *to = way == WAY_RELAY ? &a->relay.addr : &a->way[way].remote;
    uint64_t there = executor_challenge(a, to);
    uint8_t in[sizeof there + 1 + 4] = {0};

    memcpy(in, &there, sizeof there);
    in[sizeof there] = (uint8_t)way;
    put_u32(in + sizeof there + 1, number);
    _Static_assert(WORD == crypto_shorthash_BYTES, "a word is a hash");
    crypto_shorthash(out, in, sizeof in, a->challenge_key);
}

static void ping(struct executor *x, struct attempt *a, enum way way, struct outputs *out)
{
    struct health *h = &a->way[way].health;
    uint32_t number = health_ping(h, x->now_us);
    uint8_t payload[PING_BYTES];

    word(a, way, number, payload);
    put_u32(payload + WORD, number);
    put_u32(payload + WORD + 4, h->sent + 1); /* this one too */
    executor_send(x, a, DATA_PING, way, payload, sizeof payload, out);
}

/* ---- when ------------------------------------------------------------------------------------------------ */

static bool is_busy(const struct executor *x, const struct attempt *a)
{
    return a->last_sent_us != 0 && x->now_us - a->last_sent_us < FLOW_US;
}

static bool is_awake(const struct executor *x, const struct attempt *a)
{
    return a->last_data_us != 0 && x->now_us - a->last_data_us < RELAY_BUSY_US;
}

/* Side 1 leaves it to side 0, whose NAT may have a longer memory: what is answered needn't be sent. */
static int64_t keep_us(const struct executor *x, const struct attempt *a)
{
    return x->keep_us + (a->side == 1 ? x->keep_us / 16 : 0);
}

static int64_t lost_gap(const struct executor *x, const struct attempt *a)
{
    if (a->way[WAY_DIRECT].health.trial == TRIAL_ON)
        return PING_TRIAL_US;
    if (x->now_us - a->fault.left_us < PING_LEFT_FOR_US)
        return PING_LEAVING_US;
    if (x->now_us < a->fault.hold_until_us)
        return PING_HELD_US;
    return is_awake(x, a) ? PING_LEFT_US : PING_ASLEEP_US;
}

/* When this way is due for a ping, as things are now. */
static int64_t due_us(const struct executor *x, const struct attempt *a, enum way way)
{
    const struct health *h = &a->way[way].health;
    int64_t overdue_us = health_overdue_us(h), last_us = health_pinged_us(h);
    bool busy = is_busy(x, a) && a->flow == way, late = overdue_us <= x->now_us;

    if (way == WAY_DIRECT && a->fault.lost)
        return last_us + lost_gap(x, a);
    if (h->rtt_us == 0 && health_open(h) == 0) /* how long does it take? */
        return x->now_us;
    if (late && health_open(h) > PINGS_SOON)
        return last_us + PING_IDLE_US;
    if (late || (h->some && busy))
        return last_us + (busy ? PING_DOUBT_US : PING_MISSED_US);
    int64_t gap_us = busy             ? (h->since >= PACKETS_SOON ? PING_SOON_US : PING_BUSY_US)
                     : is_awake(x, a) ? PING_IDLE_US
                                      : 0;
    int64_t next_us = gap_us ? last_us + gap_us : h->out_us + keep_us(x, a);
    return next_us < overdue_us ? next_us : overdue_us;
}

static bool is_watched(const struct attempt *a, enum way way)
{
    if (way == WAY_DIRECT)
        return a->way[way].confirmed || a->fault.lost;
    return a->way[way].confirmed && a->flow == way;
}

static void schedule(const struct executor *x, struct attempt *a, enum way way)
{
    a->way[way].next_ping_us =
        is_watched(a, way) && a->has_keys && a->mode == MODE_MANAGED ? due_us(x, a, way) : NEVER;
}

/* A way was proven, or chosen. */
void executor_alive_begin(struct executor *x, struct attempt *a)
{
    for (enum way w = 0; w < WAYS; w++)
        if (a->way[w].next_ping_us == NEVER || !is_watched(a, w))
            schedule(x, a, w);
}

void executor_alive_sent(struct executor *x, struct attempt *a, enum way way)
{
    a->way[way].health.since++;
    schedule(x, a, way);
}

/* ---- leaving --------------------------------------------------------------------------------------------- */

/* The direct path is no good: over to the relay, and see at once where the own NAT shows us now. */
void executor_lost_direct(struct executor *x, struct attempt *a, const char *why,
                          struct outputs *out)
{
    struct way_state *w = &a->way[WAY_DIRECT];

    if (w->confirmed && a->way[WAY_RELAY].confirmed) {
        int64_t held_us = x->now_us - a->fault.won_us;
        bool again = a->fault.won_us != 0 && held_us < HOLD_LASTED_US;
        a->fault.hold_us = !again                               ? 0
                           : a->fault.hold_us == 0              ? HOLD_FIRST_US
                           : a->fault.hold_us < HOLD_MAX_US / 2 ? 2 * a->fault.hold_us
                                                                : HOLD_MAX_US;
        a->fault.hold_until_us = x->now_us + a->fault.hold_us;
        a->fault.lost = a->fault.guarded = true;
        a->fault.left_us = x->now_us;
        health_restart(&w->health);
        a->fault.answer_us = 0;
    }
    w->confirmed = w->heard = w->peer_confirmed = false;
    if (a->state == ATTEMPT_DIRECT && a->way[WAY_RELAY].confirmed) {
        a->verdict = VERDICT_direct_lost;
        if (x->next_probe_us > x->now_us)
            x->next_probe_us = x->now_us;
        executor_enter(x, a, ATTEMPT_RELAYED, why, out);
    }
    w->next_ping_us = a->fault.lost ? x->now_us : NEVER;
    executor_choose_flow(x, a, out);
}

static void tell_left(struct executor *x, struct attempt *a, struct outputs *out)
{
    uint8_t payload[LEFT_BYTES];

    put_u32(payload, a->fault.times);
    executor_send(x, a, DATA_LEFT, WAY_RELAY, payload, sizeof payload, out);
    a->fault.words--;
}

static void leave(struct executor *x, struct attempt *a, const char *why, struct outputs *out)
{
    a->fault.times++;
    a->fault.words = LEFT_COPIES;
    executor_lost_direct(x, a, why, out);
    tell_left(x, a, out);
}

/* Nothing can be missing yet of a path that was proven just now: what the peer says is about the one before. */
bool executor_alive_is_new(const struct executor *x, const struct attempt *a)
{
    return a->way[WAY_DIRECT].confirmed &&
           x->now_us - a->way[WAY_DIRECT].confirmed_us < LEAVE_BUSY_US;
}

void executor_on_left(struct executor *x, struct attempt *a, enum way way, const uint8_t *payload,
                      size_t len, struct outputs *out)
{
    if (way != WAY_RELAY || len != LEFT_BYTES || a->mode != MODE_MANAGED)
        return;
    uint32_t times = get_u32(payload);
    if (times <= a->fault.peer_times) /* a copy */
        return;
    a->fault.peer_times = times;
    if (a->state == ATTEMPT_DIRECT && a->way[WAY_DIRECT].confirmed && !executor_alive_is_new(x, a))
        executor_lost_direct(x, a, "the peer has left the direct path", out);
}

/* Why the direct way is to be left now, or NULL. */
static const char *fault(const struct executor *x, const struct attempt *a)
{
    const struct health *h = &a->way[WAY_DIRECT].health;
    bool busy = is_busy(x, a);

    if (!a->way[WAY_DIRECT].confirmed || !a->way[WAY_RELAY].confirmed ||
        a->state != ATTEMPT_DIRECT || a->policy == POLICY_DIRECT)
        return NULL;
    if (h->lossy && busy)
        return "the direct path loses too much";
    /* A few have to be missing, not only open: a process that was stopped has not asked meanwhile, and of a path
     * that rested few were sent. */
    if (h->first_us == NEVER || !health_missed(h, x->now_us, PINGS_MISSED) ||
        x->now_us < h->first_us + health_rtt_us(h) + (busy ? LEAVE_BUSY_US : LEAVE_IDLE_US) ||
        (a->way[WAY_RELAY].last_heard_us <= h->first_us &&
         x->now_us < h->first_us + LEAVE_ANYWAY_US))
        return NULL;
    return "the direct path went silent";
}

/* ---- coming back ------------------------------------------------------------------------------------------- */

bool executor_alive_answers(const struct executor *x, const struct attempt *a)
{
    return a->fault.lost && a->fault.guarded && a->fault.answer_us != 0 &&
           x->now_us - a->fault.answer_us < ANSWERS_US;
}

/*
 * A fault that is over leaves a line as it was before, so hardly an answer is missing; but a line that always loses
 * six in a hundred each way would never be good again.  It is given more as time goes by.
 */
static uint32_t misses_allowed(const struct executor *x, const struct attempt *a)
{
    int64_t more = (x->now_us - a->fault.left_us) / TRIAL_EASIER_US;

    return more < TRIAL_MISSED_MAX - TRIAL_MISSED ? (uint32_t)(TRIAL_MISSED + more)
                                                  : TRIAL_MISSED_MAX;
}

static void come_back(struct executor *x, struct attempt *a, struct outputs *out)
{
    struct way_state *w = &a->way[WAY_DIRECT];

    health_restart(&w->health);
    a->fault.lost = a->fault.guarded = false;
    a->fault.words = a->fault.moves = 0;
    a->fault.won_us = x->now_us;
    w->heard = w->confirmed = true;
    w->confirmed_us = x->now_us;
    w->next_punch_us = w->next_ping_us = NEVER;
    executor_settle(x, a, out);
}

static void lost_tick(struct executor *x, struct attempt *a, struct outputs *out)
{
    struct health *h = &a->way[WAY_DIRECT].health;

    if (a->fault.words > 0)
        tell_left(x, a, out);
    if (a->fault.moves > 0)
        executor_moved_tell(x, a, out);
    if (h->trial == TRIAL_ON && h->first_us != NEVER &&
        x->now_us > h->first_us + health_rtt_us(h) + LEAVE_BUSY_US)
        h->trial = TRIAL_NONE;
    ping(x, a, WAY_DIRECT, out);
}

/* ---- time and answers -------------------------------------------------------------------------------------- */

static void tick(struct executor *x, struct attempt *a, enum way way, struct outputs *out)
{
    const struct health *relay = &a->way[WAY_RELAY].health;
    const char *why = way == WAY_DIRECT ? fault(x, a) : NULL;

    if (why) {
        leave(x, a, why, out);
        return;
    }
    schedule(x, a, way); /* what was due by how things were */
    if (a->way[way].next_ping_us > x->now_us)
        return;
    if (way == WAY_DIRECT && a->fault.lost)
        lost_tick(x, a, out);
    else
        ping(x, a, way, out);
    bool late =
        way == WAY_DIRECT && a->flow == way && health_overdue_us(&a->way[way].health) <= x->now_us;
    if (late && !a->way[WAY_RELAY].confirmed) /* is the relay any better? */
        executor_relay_wanted(x, a);
    else if (late && x->now_us - health_pinged_us(relay) >= PING_BUSY_US)
        ping(x, a, WAY_RELAY, out);
    schedule(x, a, way);
}

void executor_alive_tick(struct executor *x, struct attempt *a, struct outputs *out)
{
    int64_t heard_us = 0;

    for (enum way w = 0; w < WAYS; w++) {
        if (a->way[w].next_ping_us <= x->now_us)
            tick(x, a, w, out);
        if (a->way[w].last_heard_us > heard_us)
            heard_us = a->way[w].last_heard_us;
    }
    int64_t first_us = a->way[a->flow].health.first_us; /* of a path that sleeps nothing is due */
    if (a->opened && a->state != ATTEMPT_EXECUTING && x->now_us - heard_us >= CONSENT_US &&
        first_us != NEVER && x->now_us - first_us >= CONSENT_LATE_US)
        executor_enter(x, a, ATTEMPT_CLOSED, "nothing heard from the peer", out);
}

void executor_on_ping(struct executor *x, struct attempt *a, enum way way, const uint8_t *payload,
                      size_t len, struct outputs *out)
{
    uint8_t pong[PONG_BYTES];

    if (len > PING_BYTES)
        return;
    memcpy(pong, payload, len);
    put_u32(pong + len, a->way[way].health.received);
    executor_send(x, a, DATA_PONG, way, pong, len < PING_BYTES ? len : sizeof pong, out);
}

void executor_on_pong(struct executor *x, struct attempt *a, enum way way, const uint8_t *payload,
                      size_t len, struct outputs *out)
{
    struct health *h = &a->way[way].health;
    uint8_t own[WORD];

    if (len != PONG_BYTES)
        return;
    uint32_t number = get_u32(payload + WORD);
    word(a, way, number, own);
    if (sodium_memcmp(own, payload, WORD) != 0 || !health_pong(h, x->now_us, number))
        return;
    if (way == WAY_DIRECT && a->fault.lost) {
        a->fault.answer_us = x->now_us;
        if (h->trial == TRIAL_NONE && x->now_us >= a->fault.hold_until_us)
            health_try(h, misses_allowed(x, a));
        if (h->trial == TRIAL_PASSED) {
            come_back(x, a, out);
            return;
        }
    } else {
        health_arrived(h, get_u32(payload + WORD + 4), get_u32(payload + PING_BYTES));
    }
    schedule(x, a, way);
}
