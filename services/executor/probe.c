/*
 * probe.c - what the own NAT does to the socket that will punch: rounds of STUN with signed tokens.
 *
 * Each prober address is asked twice from socket 0 (a cookie, then the token made out against it; RFC
 * 8489, lib/stun.h), and one from each sample socket, in a fixed order, so that the classifier can
 * see how ports are allocated; the last sample asks another ip too.  A round is repeated before mappings and tokens age: the refresh is
 * the keepalive.
 */
#include "lib/stun.h"
#include "lib/token.h"
#include "services/executor/internal.h"

#include <string.h>

const uint32_t executor_probe_retry_us[PROBE_TRIES] = {100000, 150000, 250000, 500000, 500000};

/* Where this prober address saw the socket when it last did. */
static struct addr seen_before(const struct probe_target *old, size_t n, const struct addr *addr)
{
    for (size_t i = 0; i < n; i++)
        if (old[i].sock == 0 && addr_eq(&old[i].addr, addr))
            return old[i].answered ? old[i].seen : old[i].before;
    return (struct addr){0};
}

void executor_probe_target(struct executor *x, const struct addr *addr, uint8_t sock)
{
    struct probe_target *t = &x->targets[x->n_targets++];

    *t = (struct probe_target){
        .addr = *addr, .sock = sock, .plain = sock != 0 && sock < HAIRPIN_SOCK};
    rng_bytes(&x->rng, t->txid, sizeof t->txid);
    t->next_us = x->now_us;
}

/* Is it asked already?  What one prober borrows is another one's own. */
static bool is_target(const struct executor *x, const struct addr *addr)
{
    for (size_t i = 0; i < x->n_targets; i++)
        if (addr_eq(&x->targets[i].addr, addr))
            return true;
    return false;
}

/* Has an answer come from this address to socket 0 in the last round? */
bool executor_probe_answered(const struct executor *x, const struct addr *addr)
{
    for (size_t i = 0; i < x->n_targets; i++)
        if (x->targets[i].sock == 0 && x->targets[i].answered && addr_eq(&x->targets[i].addr, addr))
            return true;
    return false;
}

void executor_probe_start(struct executor *x)
{
    struct probe_target old[TARGETS_MAX];
    size_t n_old = x->n_targets < TARGETS_MAX ? x->n_targets : TARGETS_MAX;

    memcpy(old, x->targets, sizeof old);
    x->n_targets = 0;
    for (size_t i = 0; i < x->probers.n; i++)
        for (size_t j = 0; j < x->probers.v[i].n_addrs && x->n_targets < TARGETS_MAX; j++)
            if (x->probers.v[i].addrs[j].len == x->conf.local.len &&
                !is_target(x, &x->probers.v[i].addrs[j])) {
                executor_probe_target(x, &x->probers.v[i].addrs[j], 0);
                x->targets[x->n_targets - 1].before =
                    seen_before(old, n_old, &x->probers.v[i].addrs[j]);
            }
    /* Samples only while there is something to learn: a refresh needs the tokens alone. */
    x->full_round = !x->profile_known || x->drifted || executor_filter_wanted(x);
    x->drifted = false;
    if (x->full_round && x->n_targets > 0) {
        x->measured = 0;
        executor_filter_start(x);
        executor_hairpin_reset(x);
        executor_early_start(x);
        executor_range_reset(x);
        executor_lifetime_pause(x);
        const struct addr *server = executor_filter_server(x);
        const struct addr to = server ? server[0] : x->targets[0].addr;
        for (uint8_t s = 0; s < x->conf.n_samples; s++)
            executor_probe_target(x, &to, (uint8_t)(s + 1));
        executor_range_second_look(x, &to);
    }
    if (x->n_targets > 0)
        executor_spares_probe(x);
    x->probing = x->n_targets > 0;
    x->relays_due = x->probing;
    x->probe_serial++;
    x->probe_began_us = x->now_us;
    x->probe_until_us = x->now_us + PROBE_GIVE_UP_US;
    x->next_probe_us = x->now_us + PROBE_EVERY_US;
}

static void send_probe(struct executor *x, struct probe_target *t, struct outputs *out)
{
    struct stun m = stun_request(t->txid);
    bool is_spare = t->sock >= SPARE_FIRST;

    m.has_peer = m.has_cookie = true; /* a cookie of zeroes asks for one */
    m.daily = x->daily;
    m.peer = x->conf.id;
    memcpy(m.cookie, t->cookie, sizeof m.cookie);
    enum measure what = t->sock == 0 ? MEASURE_ADDRESS : MEASURE_REST;
    if ((is_spare || executor_may_measure(x, what)) && executor_may_knock(x, &t->addr)) {
        struct output *o = executor_datagram(out, t->sock, &t->addr);
        o->dgram.len = (uint16_t)stun_encode(&m, o->dgram.data);
    }
    if (t->tries ==
        0) /* which try was answered can't be told: too long a time is on the safe side */
        t->sent_us = x->now_us;
    t->next_us = t->tries + 1 < PROBE_TRIES ? x->now_us + executor_probe_retry_us[t->tries] : NEVER;
    t->tries++;
}

static void keep_token(struct executor *x, const struct msg_token *raw, const struct token *t)
{
    struct msg_token_list *l = &x->tokens;
    struct token kept[TOKENS_MAX];
    int64_t born_ms[TOKENS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++)
        if (token_read(&l->v[i], &kept[n]))
            born_ms[n] = kept[n].time_ms, l->v[n++] = l->v[i];
    size_t at = token_place(kept, born_ms, n, t);
    l->n = (uint8_t)(at == n ? n + 1 : n);
    l->v[at] = *raw;
    if (t->time_ms > x->token_time_ms) {
        x->token_time_ms = t->time_ms;
        x->token_at_us = x->now_us;
    }
}

/* Tokens of mappings that a later round no longer saw are of no use to anybody. */
static void drop_old_tokens(struct executor *x)
{
    struct token t;
    size_t kept = 0;

    for (size_t i = 0; i < x->tokens.n; i++)
        if (token_read(&x->tokens.v[i], &t) && t.time_ms > x->token_time_ms - PROBE_EVERY_US / 1000)
            x->tokens.v[kept++] = x->tokens.v[i];
    x->tokens.n = (uint8_t)kept;
}

/* The operator's goes first, and is not crowded out by what a NAT shows here and there. */
struct msg_token_list executor_tokens(const struct executor *x)
{
    struct msg_token_list l = {0};

    if (x->override.token.len > 0)
        l.v[l.n++] = x->override.token;
    for (size_t i = 0; i < x->tokens.n && l.n < TOKENS_MAX; i++)
        l.v[l.n++] = x->tokens.v[i];
    return l;
}

void executor_probe_report(struct executor *x, struct outputs *out)
{
    struct msg_reflex_report *m = &emit(out, SERVICE_coordinator, MSG_reflex_report)->reflex_report;

    drop_old_tokens(x);
    m->serial = x->probe_serial;
    m->local = x->conf.local;
    m->tokens = executor_tokens(x);
    for (size_t i = 0; i < x->n_targets && m->seen.n < OBSERVATIONS_MAX; i++) {
        const struct probe_target *t = &x->targets[i];
        if (!t->answered || t->sock >= SPARE_FIRST)
            continue;
        m->seen.v[m->seen.n++] = (struct observation){
            .sock = t->sock,
            .local_port = t->sock ? x->conf.sample_ports[t->sock - 1] : x->conf.local.port,
            .rtt_ms = t->rtt_ms,
            .prober = t->addr,
            .seen = t->seen,
        };
    }
    executor_early_report(x, &m->seen);
    executor_range_report(x, &m->seen);
    executor_relays_report(x, &m->relays);
    m->hairpin = (uint16_t)x->hairpin.is;
    m->clash = (uint16_t)executor_clash(x);
    m->filter_asked = x->filter.state == FILTER_KNOWN;
    m->filter_other_ip = x->filter.heard[FILTER_OTHER_IP];
    m->filter_other_port = x->filter.heard[FILTER_OTHER_PORT];
    executor_spares_report(x, m);
}

/* Did the NAT give the socket another address than in the rounds before? */
bool executor_probe_drifted(const struct executor *x)
{
    for (size_t i = 0; i < x->n_targets; i++)
        if (x->targets[i].answered && x->targets[i].before.len != 0 &&
            !addr_eq(&x->targets[i].seen, &x->targets[i].before))
            return true;
    return false;
}

static bool all_silent(const struct executor *x)
{
    for (size_t i = 0; i < x->n_targets; i++)
        if (x->targets[i].answered)
            return false;
    return true;
}

/* No prober answers; when the relay was asked as often in vain, attempts needn't wait longer. */
static void fall_silent(struct executor *x)
{
    x->udp_silent = true;
    x->next_probe_us = x->now_us + PROBE_SILENT_US;
    for (size_t i = 0; i < ATTEMPTS_MAX; i++)
        if (x->attempts[i].state == ATTEMPT_EXECUTING && !x->attempts[i].relay.bound &&
            x->attempts[i].relay.tries > BLOCKED_BINDS)
            x->attempts[i].relay.next_us = x->now_us;
}

static void finish(struct executor *x, struct outputs *out)
{
    executor_filter_judge(x, out);
    x->probing = false;
    if (all_silent(x))
        fall_silent(x);
    x->probed_once = true;
    executor_sight(x);
    executor_filter_judge(x, out);
    executor_override_round_over(x, out);
    executor_hairpin_round_over(x, out);
    if (x->told) { /* else the next attached begins another round */
        executor_probe_report(x, out);
        if (!x->profile_known)
            x->profile_by_us = x->now_us + PROFILE_WAIT_US;
    }
    executor_moved_round_over(x, out);
    executor_ask_all(x, out);
    if (executor_spares_wanted(x) && !x->udp_silent)
        x->next_probe_us = x->now_us;
    /* Once: a NAT that forgets between rounds would have us measure without end. */
    if (!x->full_round && executor_probe_drifted(x)) {
        x->drifted = true;
        executor_lifetime_forget(x);
        executor_probe_start(x);
        executor_probe_tick(x, out);
    }
}

static void targets_tick(struct executor *x, struct outputs *out)
{
    executor_spares_open(x, out);
    if (x->now_us >= x->probe_until_us) {
        finish(x, out);
        return;
    }
    for (size_t i = 0; i < x->n_targets; i++)
        if (!x->targets[i].done && x->targets[i].next_us <= x->now_us)
            send_probe(x, &x->targets[i], out);
}

void executor_probe_tick(struct executor *x, struct outputs *out)
{
    if (!x->probing && x->next_probe_us <= x->now_us && x->told)
        executor_probe_start(x);
    if (x->profile_by_us <= x->now_us) { /* no word from the classifier: go on without */
        x->profile_by_us = NEVER;
        if (!x->profile_known)
            executor_app(x, NULL, APP_PROFILE, out);
        executor_ask_all(x, out);
    }
    executor_override_tick(x, out);
    executor_hairpin_tick(x, out);
    executor_lifetime_tick(x, out);
    executor_range_tick(x, out);
    executor_relays_tick(x, out);
    if (x->probing)
        targets_tick(x, out);
    executor_early_tick(x, out); /* after the samples: so are its ports */
    executor_filter_tick(x, out);
}

static bool is_zero(const uint8_t *p, size_t n)
{
    uint8_t any = 0;

    for (size_t i = 0; i < n; i++)
        any |= p[i];
    return any == 0;
}

/* A token takes two round trips, and a round trip may be as long as the patience with each. */
static void wait_longer(struct executor *x)
{
    int64_t longest_us = x->probe_began_us + PROBE_LONGEST_US;

    x->probe_until_us = x->now_us + PROBE_GIVE_UP_US;
    if (x->probe_until_us > longest_us)
        x->probe_until_us = longest_us;
}

/* An answer to the request with this target's transaction id, from the address that was asked. */
static void on_answer(struct executor *x, struct probe_target *t, const struct stun *m,
                      uint16_t local_port, struct outputs *out)
{
    struct token token;
    int64_t rtt_ms = (x->now_us - t->sent_us + 500) / 1000;

    x->udp_silent = false;
    t->answered = true;
    t->seen = m->mapped;
    t->rtt_ms = (uint16_t)(rtt_ms < UINT16_MAX ? rtt_ms : UINT16_MAX);
    if (t->plain) {
        t->done = true;
        executor_filter_begin(x, t, m, out);
    } else if (m->token.len > 0) {
        t->done = token_verify(&m->token, &x->probers, &x->daykeys, &token) &&
                  peer_id_eq(&token.peer, &x->conf.id);
        if (t->done)
            executor_knock_answered(x, &t->addr);
        if (t->done && t->sock == 0)
            keep_token(x, &m->token, &token);
        else if (t->done && t->sock == HAIRPIN_SOCK)
            executor_hairpin_token(x, &token);
        else if (t->done)
            executor_spare_token(x, t, &m->token, local_port);
    } else if (m->has_cookie && !is_zero(m->cookie, sizeof m->cookie)) {
        executor_knock_answered(x, &t->addr); /* no other STUN server has such a thing */
        memcpy(t->cookie, m->cookie, sizeof t->cookie);
        t->has_cookie = true;
        t->tries = 0;
        wait_longer(x);
        rng_bytes(&x->rng, t->txid, sizeof t->txid);
        send_probe(x, t, out);
    } else { /* a STUN server that is no prober of ours: an address, but no token */
        t->done = true;
    }
}

bool executor_probe_datagram(struct executor *x, const struct input *in, struct outputs *out)
{
    struct stun m;

    if (!stun_is(in->dgram.data, in->dgram.len) || !stun_parse(in->dgram.data, in->dgram.len, &m))
        return false;
    if (executor_look_datagram(x, in, &m, out) || executor_filter_datagram(x, in, &m, out))
        return true;
    if (executor_lifetime_datagram(x, in, &m, out) || executor_override_datagram(x, in, &m, out) ||
        executor_hairpin_datagram(x, in, &m, out) || executor_range_datagram(x, in, &m, out))
        return true;
    if (executor_early_datagram(x, in, &m, out)) {
        executor_filter_judge(x, out); /* its first socket has a word there */
        return true;
    }
    if (m.type != STUN_BINDING_RESPONSE || m.mapped.len == 0)
        return false;
    bool all = x->probing, found = false;
    for (size_t i = 0; i < x->n_targets; i++) {
        struct probe_target *t = &x->targets[i];
        if (!found && !t->done && x->probing && t->sock == in->dgram.sock && t->tries > 0 &&
            memcmp(t->txid, m.txid, sizeof t->txid) == 0 && addr_eq(&t->addr, &in->dgram.src)) {
            on_answer(x, t, &m, in->dgram.local_port, out);
            found = true;
        }
        all = all && t->done;
    }
    if (all)
        finish(x, out);
    return found;
}

int64_t executor_probe_deadline(const struct executor *x)
{
    int64_t next = executor_filter_deadline(x);

    if (x->profile_by_us < next)
        next = x->profile_by_us;
    if (x->override.next_us < next)
        next = x->override.next_us;
    if (x->lifetime.next_us < next)
        next = x->lifetime.next_us;
    if (executor_early_deadline(x) < next)
        next = executor_early_deadline(x);
    if (x->range.next_us < next)
        next = x->range.next_us;
    if (executor_hairpin_deadline(x) < next)
        next = executor_hairpin_deadline(x);
    if (!x->probing)
        return x->told && x->next_probe_us < next ? x->next_probe_us : next;
    if (x->probe_until_us < next)
        next = x->probe_until_us;
    for (size_t i = 0; i < x->n_targets; i++)
        if (!x->targets[i].done && x->targets[i].next_us < next)
            next = x->targets[i].next_us;
    return next;
}

bool executor_ready(const struct executor *x)
{
    return x->attached && !executor_override_pending(x) && !executor_range_pending(x) &&
           (x->profile_known || (x->probed_once && x->profile_by_us == NEVER));
}
