/* order.c - a punch_coordinate, checked and turned into keys, candidates and deadlines. */
#include "lib/token.h"
#include "services/executor/internal.h"

#include <sodium.h>
#include <string.h>

/* What a coordinator may say of when to begin, so that a wrong one can't park an attempt. */
enum { SPAN_MAX_US = 60 * 1000000, ORDER_DEADLINE_MAX_MS = 120000 };

/* Both sides must have been told the same: it goes into the Noise prologue. */
static void prologue(const struct msg_punch_coordinate *m, uint8_t hash[static 64])
{
    static const char label[] = "natterjack-session-1";
    crypto_generichash_blake2b_state st;
    const struct msg_token_list *by_side[2] = {m->side == 0 ? &m->own : &m->theirs,
                                               m->side == 0 ? &m->theirs : &m->own};
    uint8_t fixed[2] = {(uint8_t)m->mode, (uint8_t)m->policy};

    crypto_generichash_blake2b_init(&st, NULL, 0, 64);
    crypto_generichash_blake2b_update(&st, (const uint8_t *)label, sizeof label);
    crypto_generichash_blake2b_update(&st, m->session.b, sizeof m->session.b);
    crypto_generichash_blake2b_update(&st, fixed, sizeof fixed);
    for (size_t s = 0; s < 2; s++) {
        crypto_generichash_blake2b_update(&st, &by_side[s]->n, 1);
        for (size_t i = 0; i < by_side[s]->n; i++) {
            crypto_generichash_blake2b_update(&st, &by_side[s]->v[i].len, 1);
            crypto_generichash_blake2b_update(&st, by_side[s]->v[i].b, by_side[s]->v[i].len);
        }
    }
    crypto_generichash_blake2b_final(&st, hash, 64);
}

static bool set_keys(struct executor *x, struct attempt *a, const struct msg_punch_coordinate *m)
{
    uint8_t ephemeral[32], hash[64];

    if (!punch_keys(x->conf.secret, &a->peer, &a->session, a->punch_key[0], a->punch_key[1]))
        return false;
    prologue(m, hash);
    rng_bytes(&x->rng, ephemeral, sizeof ephemeral);
    noise_init(&a->noise, a->side == 0, hash, sizeof hash, x->conf.secret, a->peer.b, ephemeral);
    sodium_memzero(ephemeral, sizeof ephemeral);
    rng_bytes(&x->rng, a->challenge_key, sizeof a->challenge_key);
    if (a->side == 0)
        a->has_noise_out = noise_write(&a->noise, NULL, 0, a->noise_out) == NOISE_MSG;
    return a->side == 1 || a->has_noise_out;
}

static bool plausible(const struct executor *x, const struct msg_punch_coordinate *m)
{
    if (m->side > 1 || m->mode >= MODE_COUNT || !(x->conf.modes & 1u << m->mode) ||
        m->policy >= POLICY_COUNT || peer_id_none(&m->peer) || peer_id_eq(&m->peer, &x->conf.id) ||
        m->fire_in_us > FIRE_IN_MAX_US || m->deadline_ms > ORDER_DEADLINE_MAX_MS)
        return false;
    for (size_t i = 0; i < m->plan.n; i++)
        if (m->plan.v[i].technique == TECHNIQUE_NONE || m->plan.v[i].technique >= TECHNIQUE_COUNT ||
            m->plan.v[i].start_us > FIRE_IN_MAX_US || m->plan.v[i].span_us > SPAN_MAX_US)
            return false;
    return m->ticket.len == 0 || m->ticket.len == TICKET_BYTES;
}

/*
 * May others bring this peer into a session that it has not asked for?  Who is known to whom only the
 * coordinator remembers; all else is checked here as well, whatever it says.
 */
static bool consents(const struct executor *x, const struct sid *session)
{
    if (x->conf.accept != ACCEPT_ASK)
        return x->conf.accept != ACCEPT_NOBODY;
    for (size_t i = 0; i < ATTEMPTS_MAX && i < x->n_taken; i++)
        if (sid_eq(&x->taken[i], session))
            return true;
    return false;
}

/* An ip that probers have seen this peer at; len 0 when none is told.  Not checked: it only sorts callers. */
static struct addr seen_at(const struct msg_token_list *tokens)
{
    struct token t;

    return tokens->n > 0 && token_read(&tokens->v[0], &t) ? t.addr : (struct addr){0};
}

/*
 * Is there a slot for one more call of this peer?  The last RESERVED_ATTEMPTS are for who has few, and whose
 * neighbours at one ip have few: keys are free, so counting those alone would keep nobody out.
 */
static bool has_share(const struct executor *x, const struct peer_id *peer, const struct addr *ip)
{
    size_t used = 0, by_key = 0, by_ip = 0;

    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        const struct attempt *a = &x->attempts[i];
        if (a->state == ATTEMPT_FREE)
            continue;
        used++;
        by_key += a->side == 1 && peer_id_eq(&a->peer, peer);
        by_ip += a->side == 1 && ip->len != 0 && addr_ip_eq(&a->caller_at, ip);
    }
    return used < ATTEMPTS_MAX - RESERVED_ATTEMPTS ||
           (by_key < RESERVED_BY_KEY && by_ip < RESERVED_BY_IP);
}

/* The attempt that this order is for; NULL, and why, when there is none and there shall be none. */
static struct attempt *attempt_for(struct executor *x, const struct msg_punch_coordinate *m,
                                   const char **why)
{
    struct addr ip = seen_at(&m->theirs);

    for (size_t i = 0; i < ATTEMPTS_MAX && m->side == 0 && m->nonce != 0; i++) {
        struct attempt *a = &x->attempts[i];
        if (a->state == ATTEMPT_REQUESTED && a->asked && a->nonce == m->nonce &&
            a->policy == m->policy && a->mode == m->mode &&
            (peer_id_none(&a->peer) || peer_id_eq(&a->peer, &m->peer)))
            return a;
    }
    *why = "bad-request";
    if (m->side == 0 && m->nonce != 0) /* an answer to nothing */
        return NULL;
    *why = "rendezvous-rejected";
    if (!consents(x, &m->session))
        return NULL;
    *why = "overloaded";
    struct attempt *a = has_share(x, &m->peer, &ip) ? executor_new_attempt(x) : NULL;
    if (a)
        a->caller_at = ip;
    return a;
}

static struct attempt *find_session(struct executor *x, const struct sid *session)
{
    for (size_t i = 0; i < ATTEMPTS_MAX; i++)
        if (x->attempts[i].state > ATTEMPT_REQUESTED && sid_eq(&x->attempts[i].session, session))
            return &x->attempts[i];
    return NULL;
}

/*
 * Techniques that send the same packets, so that one schedule serves: to the addresses in the peer's tokens,
 * and to where it is heard.  Under send-first the stable side's packets to the tokens' addresses reach
 * nobody, but open its filter for what the other side sends meanwhile.
 */
static bool punches(uint8_t technique)
{
    return technique == TECHNIQUE_MAPPED || technique == TECHNIQUE_REVERSAL ||
           technique == TECHNIQUE_SYNCHRONOUS || technique == TECHNIQUE_SEND_FIRST ||
           technique == TECHNIQUE_HOST;
}

static bool guesses(const struct executor *x, uint8_t technique)
{
    return technique == TECHNIQUE_BIRTHDAY || technique == TECHNIQUE_PREDICTION ||
           (technique == TECHNIQUE_BLOCK_BIRTHDAY && x->conf.blocks > 0);
}

static void arm_guess(struct executor *x, struct attempt *a, const struct step *s, int64_t start_us)
{
    const struct profile *own = &a->own_profile, *theirs = &a->their_profile;
    bool birthday = s->technique == TECHNIQUE_BIRTHDAY;
    unsigned looks = a->side == 0 ? strategy_looks(s, own, theirs) : strategy_looks(s, theirs, own);

    if (s->technique == TECHNIQUE_BLOCK_BIRTHDAY) {
        executor_scan_arm(x, a, start_us);
        return;
    }
    if (birthday)
        a->birthday.part = s->role == a->side ? BIRTHDAY_OPENS : BIRTHDAY_TRIES;
    if (looks != 0)
        executor_foresee_arm(x, a, looks >> a->side & 1, birthday ? 1 : FORESEEN_ROUNDS, start_us);
    else
        executor_birthday_arm(x, a, &(struct addr){0}, 0, start_us);
}

static void arm_direct(struct executor *x, struct attempt *a, const struct msg_punch_coordinate *m)
{
    a->direct_over = true;
    if (a->policy == POLICY_RELAY)
        return;
    executor_aim(x, a, &m->theirs);
    for (size_t i = 0; i < m->plan.n; i++) {
        const struct step *s = &m->plan.v[i];
        if (!punches(s->technique) && !guesses(x, s->technique))
            continue;
        int64_t start = x->now_us + m->fire_in_us + s->start_us;
        if (executor_prime_waits(x, a)) /* what the far NAT refuses would cost the own mapping */
            start += EARLY_KILLS_WAIT_US;
        a->technique = s->technique;
        if (s->technique == TECHNIQUE_HOST)
            executor_aim_local(x, a, &m->their_local);
        a->direct_over = false;
        if (guesses(x, s->technique))
            arm_guess(x, a, s, start);
        else
            a->way[WAY_DIRECT].next_punch_us = start;
        a->span_us = guesses(x, s->technique) ? 0 : s->span_us;
        a->give_up_us = start + s->span_us;
        return;
    }
}

void executor_on_order(struct executor *x, const struct msg_punch_coordinate *m,
                       struct outputs *out)
{
    bool good = plausible(x, m);
    const char *why = "bad-request";
    struct attempt *a = find_session(x, &m->session);
    if (good)
        executor_places_take(x, &m->places);
    if (a) { /* delivered twice, unless it is a new try */
        if (good && !executor_relay_order(x, a, m, out) && !executor_swap_order(x, a, m, out) &&
            !executor_relay_ticket(x, a, m, out) && executor_upgrade_order(x, a, m, out)) {
            arm_direct(x, a, m);
            executor_attempt_tick(x, a, out);
        }
        return;
    }
    a = good ? attempt_for(x, m, &why) : NULL;
    if (!a) {
        x->n.orders_refused++;
        struct msg_punch_cancel *c =
            &emit(out, SERVICE_coordinator, MSG_punch_cancel)->punch_cancel;
        c->session = m->session;
        msg_text(c->kind, sizeof c->kind, why);
        return;
    }
    int64_t deadline_us = x->now_us + (int64_t)m->deadline_ms * 1000;
    if (m->side == 0 && a->deadline_us < deadline_us)
        deadline_us = a->deadline_us;
    a->session = m->session;
    a->side = (uint8_t)m->side;
    a->mode = m->mode;
    a->policy = m->policy;
    a->peer = m->peer;
    msg_text(a->peer_name, sizeof a->peer_name, name_valid(m->name) ? m->name : "");
    a->own_profile = m->own_profile;
    a->their_profile = m->their_profile;
    a->plan = m->plan;
    a->reason = verdict_find(m->reason);
    a->warm = m->warm;
    a->own_path = path_id(&a->session, a->side);
    a->peer_path = path_id(&a->session, !a->side);
    a->attempts++;
    executor_enter(x, a, ATTEMPT_EXECUTING, "ordered", out);
    a->deadline_us = deadline_us;
    if (a->mode == MODE_RAW)
        executor_hand_sockets(x, a, m->spare, out);
    if (!set_keys(x, a, m)) {
        executor_fail(x, a, "bad-request", VERDICT_bad_request, out);
        return;
    }
    arm_direct(x, a, m);
    a->relay.full = m->relays_full;
    if (a->policy != POLICY_DIRECT && executor_admits(x, &m->relay) &&
        m->ticket.len == TICKET_BYTES) {
        a->relay.addr = m->relay;
        memcpy(a->relay.ticket, m->ticket.b, TICKET_BYTES);
        executor_relay_start(x, a);
    }
    executor_attempt_tick(x, a, out); /* what is due at once leaves at once */
    if (a->state == ATTEMPT_EXECUTING)
        executor_settle(x, a, out);
}
