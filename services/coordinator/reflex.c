/* reflex.c - what is known of each peer's NAT: verified tokens, reports, profiles. */
#include "services/coordinator/parts.h"

enum { ROUND_US = 5 * 1000000 }; /* tokens of one round of probing are born in, at most */

/* Without the i-th; the others stay in the order in which their addresses were first seen. */
static void drop_token(struct coordinator_peer *p, size_t i)
{
    p->n_tokens--;
    memmove(&p->tokens[i], &p->tokens[i + 1], (p->n_tokens - i) * sizeof p->tokens[i]);
}

/* Keep what each prober says of each address, and one of kind 2. */
static void keep_token(struct coordinator_peer *p, const struct coordinator_token *t)
{
    struct token kept[TOKENS_MAX], fresh;
    int64_t born_us[TOKENS_MAX];

    for (unsigned i = 0; i < p->n_tokens; i++) {
        if (!token_read(&p->tokens[i].raw, &kept[i])) /* they were verified */
            return;
        born_us[i] = p->tokens[i].born_us;
    }
    for (unsigned i = 0; i < p->n_tokens && t->mapped; i++)
        if (kept[i].mapped) {
            if (t->born_us >= born_us[i])
                p->tokens[i] = *t;
            return;
        }
    if (!token_read(&t->raw, &fresh))
        return;
    size_t at = token_place(kept, born_us, p->n_tokens, &fresh);
    if (at < p->n_tokens && !t->mapped && t->born_us < born_us[at])
        return;
    if (at < p->n_tokens && !addr_eq(&kept[at].addr, &fresh.addr)) {
        drop_token(p, at);
        at = p->n_tokens;
    }
    if (at == p->n_tokens)
        p->n_tokens++;
    p->tokens[at] = *t;
}

/* The operator may have taken it back: each report has the one that there is. */
static void forget_mapped(struct coordinator_peer *p)
{
    for (unsigned i = 0; i < p->n_tokens; i++)
        if (p->tokens[i].mapped)
            drop_token(p, i--);
}

bool coordinator_is_mapped(const struct coordinator *c, const struct coordinator_peer *p)
{
    for (unsigned i = 0; i < p->n_tokens; i++)
        if (p->tokens[i].mapped && c->now_us - p->tokens[i].born_us <= TOKEN_TTL_MS * 1000LL)
            return true;
    return false;
}

static bool token_held(const struct coordinator_peer *p, const struct msg_token *raw)
{
    for (unsigned i = 0; i < p->n_tokens; i++)
        if (p->tokens[i].raw.len == raw->len && memcmp(p->tokens[i].raw.b, raw->b, raw->len) == 0)
            return true;
    return false;
}

void coordinator_take_tokens(struct coordinator *c, struct coordinator_peer *p,
                             const struct msg_token_list *tokens)
{
    struct coordinator_token t;

    for (unsigned i = 0; i < tokens->n && i < TOKENS_MAX; i++) {
        if (token_held(p, &tokens->v[i])) /* verified before */
            continue;
        if (coordinator_token_ok(c, &tokens->v[i], &p->id, &t)) {
            keep_token(p, &t);
            c->n.tokens_taken++;
        } else {
            c->n.tokens_refused++;
        }
    }
}

static int64_t newest_us(const struct coordinator_peer *p)
{
    int64_t newest = 0;

    for (unsigned i = 0; i < p->n_tokens; i++)
        if (p->tokens[i].born_us > newest)
            newest = p->tokens[i].born_us;
    return newest;
}

/*
 * The newest first; of one round, those of addresses that were seen for the first time after others (keep_token keeps
 * them in that order): where somebody else has the port towards one prober, a NAT that keeps ports takes another one
 * there, and that one from then on.
 */
struct msg_token_list coordinator_fresh_tokens(const struct coordinator *c,
                                               const struct coordinator_peer *p)
{
    struct msg_token_list list = {0};
    int64_t since_us[TOKENS_MAX], round_us = newest_us(p) - ROUND_US;

    for (unsigned i = p->n_tokens; i-- > 0;) {
        const struct coordinator_token *t = &p->tokens[i];
        int64_t born_us = t->born_us < round_us ? t->born_us : round_us;
        if (c->now_us - t->born_us > TOKEN_TTL_MS * 1000LL)
            continue;
        unsigned at = list.n++;
        for (; at > 0 && since_us[at - 1] < born_us; at--) {
            list.v[at] = list.v[at - 1];
            since_us[at] = since_us[at - 1];
        }
        list.v[at] = t->raw;
        since_us[at] = born_us;
    }
    return list;
}

void coordinator_on_reflex_report(struct coordinator *c, struct coordinator_peer *p,
                                  const struct msg_reflex_report *m, struct outputs *out)
{
    uint32_t rtt_ms = UINT16_MAX;

    if (coordinator_limited(c, p, COORD_LIMIT_REPORT))
        return;
    c->n.reports++;
    for (unsigned i = 0; i < m->seen.n && i < OBSERVATIONS_MAX; i++)
        if (m->seen.v[i].rtt_ms < rtt_ms)
            rtt_ms = m->seen.v[i].rtt_ms;
    p->n_relays = 0;
    for (unsigned i = 0; i < m->relays.n && p->n_relays < PROBERS_MAX; i++) {
        p->relays[p->n_relays].addr = m->relays.v[i].prober;
        p->relays[p->n_relays++].rtt_ms = m->relays.v[i].rtt_ms;
    }
    p->udp_silent = m->seen.n == 0;
    if (rtt_ms < UINT16_MAX)
        p->rtt_us = rtt_ms * 1000;
    forget_mapped(p);
    coordinator_take_tokens(c, p, &m->tokens);
    coordinator_take_spares(c, p, m);
    p->local = m->local;
    if (addr_kind(&p->local) == ADDR_REFUSED)
        p->local = (struct addr){0};
    struct msg_reflex_report *copy =
        &emit(out, SERVICE_classifier, MSG_reflex_report)->reflex_report;
    *copy = *m;
    copy->peer = p->id;
    copy->relays.n = copy->tokens.n = copy->spare_tokens.n = copy->spare2_tokens.n =
        0; /* it has no use for them */
    coordinator_kick(c, p);
}

void coordinator_on_nat_profile(struct coordinator *c, const struct msg_nat_profile *m,
                                struct outputs *out)
{
    uint32_t slot = table_find(&c->peers_by_id, m->peer.b);

    if (slot == TABLE_NONE || !c->peers[slot].attached || !profile_valid(&m->profile)) {
        c->n.ignored++;
        return;
    }
    struct coordinator_peer *p = &c->peers[slot];
    c->n.profiles++;
    p->has_profile = true;
    p->profile = m->profile;
    p->profile_us = c->now_us - m->profile.age_s * 1000000LL;
    p->reflexive = m->reflexive;
    emit_peer(out, p->conn, MSG_nat_profile)->nat_profile = *m;
    coordinator_kick(c, p);
}
