/*
 * aim.c - where packets of this peer may go (DESIGN section 11), whatever the coordinator or the peer say.
 *
 * An address is proven when a prober that the pinned authority certified vouches for it in a fresh token of
 * the peer, and two of them where this host itself is served by two.  It gets PACKETS_MAX packets in an
 * attempt, from one socket.  An address where the peer is merely heard must share its ip with a proven one: who
 * knows the keys may lie about its source.  What the coordinator calls a prober or a relay must be where the
 * authority says that the suite lives, and gets little until it has answered as one.  Guesses of ports are counted by ip.
 */
#include "lib/token.h"
#include "services/executor/internal.h"

#include <sodium.h>
#include <string.h>

enum { LOCAL_PORT_MIN = 1024 }; /* no punch is ever for what listens below */

/* ---- the peer's addresses -------------------------------------------------------------------------------- */

/* Worth a packet at all?  (IPv4 now; sockets are.) */
bool executor_admits(const struct executor *x, const struct addr *a)
{
    return a->len == x->conf.local.len && fence_admits(x->conf.fence, a);
}

/* On which clock probers judge age, ours being monotonic: as the own newest token and the time since show it. */
static int64_t probers_ms(const struct executor *x)
{
    return x->token_time_ms + (x->now_us - x->token_at_us) / 1000;
}

/* Is this a word of a certified prober, and fresh? */
static bool fresh(const struct executor *x, const struct msg_token *raw, struct token *out)
{
    return token_verify(raw, &x->probers, &x->daykeys, out) &&
           out->time_ms >= probers_ms(x) - TOKEN_TTL_MS;
}

/* How many probers vouch for an ip in the good ones of these tokens? */
static size_t witnesses(const struct token *good, size_t n, const struct addr *ip)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        bool first = addr_ip_eq(&good[i].addr, ip);
        for (size_t j = 0; j < i && first; j++)
            first = !addr_ip_eq(&good[j].addr, ip) ||
                    memcmp(good[j].key_id, good[i].key_id, sizeof good[i].key_id) != 0;
        found += first;
    }
    return found;
}

/* Two probers, when two vouch for this host: a single one that lies aims nobody then. */
static size_t witnesses_needed(const struct executor *x)
{
    struct token first, other;
    bool any = false;

    for (size_t i = 0; i < x->tokens.n; i++) {
        if (!fresh(x, &x->tokens.v[i], &other))
            continue;
        if (any && memcmp(first.key_id, other.key_id, sizeof first.key_id) != 0)
            return 2;
        first = other;
        any = true;
    }
    return 1;
}

static bool is_candidate(const struct attempt *a, const struct addr *addr)
{
    for (size_t i = 0; i < a->n_candidates; i++)
        if (addr_eq(&a->candidates[i], addr))
            return true;
    return false;
}

static void add(struct attempt *a, const struct addr *addr, enum candidate_by by)
{
    if (a->n_candidates == CANDIDATES_MAX || is_candidate(a, addr))
        return;
    a->candidates[a->n_candidates] = *addr;
    a->candidate_packets[a->n_candidates] = 0;
    a->candidate_by[a->n_candidates++] = (uint8_t)by;
}

/* Do the probers see both come from one address?  Then they may be on one network. */
static bool shares_address(const struct executor *x, const struct attempt *a)
{
    struct token own;

    for (size_t i = 0; i < x->tokens.n; i++)
        for (size_t j = 0; j < a->n_candidates && token_read(&x->tokens.v[i], &own); j++)
            if (addr_ip_eq(&own.addr, &a->candidates[j]))
                return true;
    return false;
}

void executor_aim(struct executor *x, struct attempt *a, const struct msg_token_list *theirs)
{
    struct token good[TOKENS_MAX], t;
    size_t n = 0, needed = witnesses_needed(x);

    if (x->token_time_ms == 0)
        return;
    for (size_t i = 0; i < theirs->n && i < TOKENS_MAX; i++)
        if (fresh(x, &theirs->v[i], &t) && peer_id_eq(&t.peer, &a->peer) &&
            executor_admits(x, &t.addr))
            good[n++] = t;
        else
            x->n.tokens_refused++;
    for (size_t i = 0; i < n; i++)
        if (witnesses(good, n, &good[i].addr) >= needed)
            add(a, &good[i].addr, BY_TOKEN);
        else
            x->n.tokens_refused++;
    a->shares_address = shares_address(x, a);
}

/* An address that leads nowhere but to the own network, or this host. */
static bool stays_here(const struct executor *x, const struct addr *a)
{
    return a->len == x->conf.local.len && a->port >= LOCAL_PORT_MIN &&
           (addr_ip_eq(a, &x->conf.local) || addr_is_local(a));
}

void executor_aim_local(struct executor *x, struct attempt *a, const struct addr *theirs)
{
    if (!a->shares_address || !stays_here(x, theirs) || addr_eq(theirs, &x->conf.local) ||
        is_candidate(a, theirs) || a->n_candidates == CANDIDATES_MAX)
        return;
    add(a, theirs, BY_LOCAL);
    for (size_t i = a->n_candidates - 1; i > 0; i--) { /* first of all */
        a->candidates[i] = a->candidates[i - 1];
        a->candidate_by[i] = a->candidate_by[i - 1];
    }
    a->candidates[0] = *theirs;
    a->candidate_by[0] = BY_LOCAL;
}

/* ---- packets --------------------------------------------------------------------------------------------- */

bool executor_may_answer(const struct executor *x, const struct attempt *a, const struct addr *src)
{
    if (a->shares_address && stays_here(x, src))
        return true;
    for (size_t i = 0; i < a->n_candidates; i++)
        if (a->candidate_by[i] != BY_HEARD && addr_ip_eq(&a->candidates[i], src))
            return src->port != 0;
    return false;
}

bool executor_spend(struct attempt *a, const struct addr *to)
{
    add(a, to, BY_HEARD);
    for (size_t i = 0; i < a->n_candidates; i++)
        if (addr_eq(&a->candidates[i], to) && a->candidate_packets[i] < PACKETS_MAX) {
            a->candidate_packets[i]++;
            return true;
        }
    return false;
}

void executor_aim_proven(struct attempt *a, const struct addr *proven)
{
    size_t last = CANDIDATES_MAX - 1;

    if (a->n_candidates == CANDIDATES_MAX && a->candidate_by[last] == BY_HEARD &&
        !is_candidate(a, proven))
        a->n_candidates--;
    add(a, proven, BY_HEARD);
}

void executor_aim_foreseen(struct attempt *a, const struct addr *at)
{
    a->n_candidates = 0;
    add(a, at, BY_FORESIGHT);
}

uint64_t executor_challenge(const struct attempt *a, const struct addr *to)
{
    uint8_t in[1 + sizeof to->ip + 2] = {to->len}, hash[crypto_shorthash_BYTES];
    uint64_t word;

    memcpy(in + 1, to->ip, sizeof to->ip);
    in[sizeof in - 2] = (uint8_t)(to->port >> 8);
    in[sizeof in - 1] = (uint8_t)to->port;
    crypto_shorthash(hash, in, sizeof in, a->challenge_key);
    memcpy(&word, hash, sizeof word);
    return word;
}

/* ---- guesses --------------------------------------------------------------------------------------------- */

/* This ip's place among those that ports are guessed at; NULL when too many others are. */
static struct guesses *guesses_at(struct executor *x, const struct addr *ip)
{
    struct guesses *oldest = &x->guesses[0], *g = NULL;

    for (size_t i = 0; i < GUESS_IPS_MAX && !g; i++) {
        if (x->guesses[i].since_us < oldest->since_us)
            oldest = &x->guesses[i];
        if (addr_ip_eq(&x->guesses[i].ip, ip))
            g = &x->guesses[i];
    }
    if (!g && oldest->ip.len != 0 && x->now_us - oldest->since_us < GUESS_WINDOW_US)
        return NULL;
    if (!g || x->now_us - g->since_us >= GUESS_WINDOW_US) {
        int64_t next_us = g ? g->next_us : x->now_us - GUESS_WINDOW_US; /* it had silence */
        g = g ? g : oldest;
        *g = (struct guesses){.ip = *ip, .since_us = x->now_us, .next_us = next_us};
    }
    return g;
}

enum may executor_may_guess(struct executor *x, const struct addr *ip, int64_t *again_us)
{
    struct guesses *g = guesses_at(x, ip);

    if (!g || g->n >= GUESSES_MAX)
        return MAY_NOT;
    if (g->next_us > x->now_us) { /* another attempt at the same ip has its turn */
        *again_us = g->next_us;
        return MAY_LATER;
    }
    /* What was missed is made up for in one go, not more. */
    if (g->next_us < x->now_us - GUESS_AT_ONCE * GUESS_EVERY_US)
        g->next_us = x->now_us - GUESS_AT_ONCE * GUESS_EVERY_US;
    g->next_us += GUESS_EVERY_US;
    g->n++;
    return MAY_NOW;
}

bool executor_may_guess_back(struct executor *x, const struct addr *ip)
{
    struct guesses *g = guesses_at(x, ip);

    if (!g || g->n >= GUESSES_MAX ||
        g->next_us >= x->now_us + (int64_t)GUESS_BACK_AT_ONCE * GUESS_EVERY_US)
        return false;
    if (g->next_us < x->now_us)
        g->next_us = x->now_us;
    g->next_us += GUESS_EVERY_US;
    g->n++;
    return true;
}

bool executor_may_guess_at_once(struct executor *x, const struct addr *ip, uint32_t n)
{
    struct guesses *g = guesses_at(x, ip);

    /* As much silence before as after: then no second has more than the pace, whatever follows what. */
    if (!g || g->n + n > GUESSES_MAX || g->next_us + (int64_t)n * GUESS_EVERY_US > x->now_us) {
        x->n.guesses_refused++;
        return false;
    }
    g->next_us = x->now_us + (int64_t)n * GUESS_EVERY_US;
    g->n += n;
    x->n.guesses += n;
    return true;
}

/* The ip that at least two of the peer's vouched addresses share; len 0 when there is none. */
struct addr executor_vouched_ip(const struct attempt *a)
{
    for (size_t i = 0; i < a->n_candidates; i++)
        for (size_t j = 0; j < i; j++)
            if (addr_ip_eq(&a->candidates[i], &a->candidates[j]))
                return a->candidates[i];
    return (struct addr){0};
}

/* ---- probers and relays ------------------------------------------------------------------------------------ */

bool executor_is_place(const struct executor *x, const struct addr *a)
{
    for (size_t i = 0; i < x->conf.n_homes; i++)
        if (addr_ip_eq(&x->conf.homes[i], a))
            return true;
    for (size_t i = 0; i < x->n_places; i++)
        if (addr_ip_eq(&x->places[i], a))
            return true;
    return false;
}

void executor_places_take(struct executor *x, const struct place_list *l)
{
    for (size_t i = 0; i < l->n && i < PLACES_MAX; i++) {
        if (executor_is_place(x, &l->v[i].ip))
            continue;
        if (!place_verify(&l->v[i], x->conf.authority)) {
            x->n.places_refused++;
            continue;
        }
        x->places[x->next_place] = l->v[i].ip;
        x->next_place = (uint8_t)((x->next_place + 1) % PLACES_KNOWN);
        x->n_places = (uint8_t)(x->n_places + (x->n_places < PLACES_KNOWN));
    }
}

static struct knocks *knocks_at(struct executor *x, const struct addr *ip)
{
    struct knocks *room = NULL;

    for (size_t i = 0; i < KNOCK_IPS_MAX; i++) {
        struct knocks *k = &x->knocks[i];
        if (addr_ip_eq(&k->ip, ip))
            return k;
        if (k->full_us <= x->now_us && k->good_until_us <= x->now_us)
            room = k;
    }
    if (room)
        *room = (struct knocks){.ip = *ip};
    return room;
}

bool executor_may_knock(struct executor *x, const struct addr *at)
{
    struct knocks *k = executor_admits(x, at) && executor_is_place(x, at) ? knocks_at(x, at) : NULL;

    if (k && x->now_us < k->good_until_us)
        return true;
    if (k && k->full_us < x->now_us)
        k->full_us = x->now_us;
    if (!k || k->full_us + KNOCK_EVERY_US > x->now_us + KNOCKS_MAX * (int64_t)KNOCK_EVERY_US) {
        x->n.knocks_refused++;
        return false;
    }
    k->full_us += KNOCK_EVERY_US;
    return true;
}

void executor_knock_answered(struct executor *x, const struct addr *at)
{
    struct knocks *k = knocks_at(x, at);

    if (k)
        k->good_until_us = x->now_us + KNOCK_GOOD_US;
}
