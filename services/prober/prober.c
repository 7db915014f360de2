/* prober.c - the pure core: which request gets which answer, within which bounds; overview in prober.h. */
#include "services/prober/internal.h"

#include <sodium.h>
#include <string.h>

_Static_assert((int)STUN_MAX <= (int)DATAGRAM_MAX, "an answer is one datagram");

/* ---- answers -------------------------------------------------------------------------------- */

struct stun prober_response(const struct request *r)
{
    struct stun a = {.type = STUN_BINDING_RESPONSE, .mapped = r->src};

    memcpy(a.txid, r->m.txid, sizeof a.txid);
    a.has_fingerprint = r->m.has_fingerprint; /* who sends one expects one (RFC 8489 section 7) */
    a.classic = r->m.classic;
    memcpy(a.classic_id, r->m.classic_id, sizeof a.classic_id);
    a.has_padding = r->m.has_padding; /* and PADDING the same way (RFC 5780 section 7.6) */
    a.padding = r->m.padding;
    return a;
}

/* Is an answer of len bytes at most so many tenths of the request? */
bool prober_within(const struct request *r, size_t len, size_t tenths)
{
    return len * 10 <= r->len * tenths;
}

/* Answer from socket sock, but never with more than so many tenths of the request's size. */
bool prober_send_within(struct prober *p, const struct request *r, uint8_t sock,
                        const struct stun *a, size_t tenths, struct answer *out)
{
    size_t len = stun_encode(a, out->buf);

    if (!prober_within(r, len, tenths)) {
        p->n.over_bound++;
        return false;
    }
    out->dst = r->src;
    if (r->m.response_port != 0)
        out->dst.port = r->m.response_port;
    out->sock = sock;
    out->len = len;
    return true;
}

void prober_send_error(struct prober *p, const struct request *r, struct stun *a, uint16_t error,
                       struct answer *out)
{
    a->type = STUN_BINDING_ERROR;
    a->has_padding = false;
    a->mapped = (struct addr){0};
    a->error = error;
    p->n.errors += prober_send_within(p, r, r->sock, a, PLAIN_TENTHS, out);
}

bool prober_has_budget(struct prober *p, struct budget *b, const struct request *r)
{
    if (budget_take(b, &r->src, p->now_us))
        return true;
    p->n.over_budget++;
    return false;
}

/* ---- plain, discovery, change ------------------------------------------------------------------ */

/* RFC 5780 section 7.3 and 7.4: where this answer comes from, and the address that differs in both. */
static void add_discovery(const struct prober *p, const struct request *r, uint8_t from,
                          struct stun *a)
{
    a->origin = p->info.addrs[from];
    if (p->info.n_addrs == 4)
        a->other = p->info.addrs[r->sock ^ 3];
}

static void on_binding(struct prober *p, const struct request *r, struct answer *out)
{
    struct stun plain = prober_response(r), full = plain;

    add_discovery(p, r, r->sock, &full);
    bool cheap = prober_within(r, stun_size(&plain), PLAIN_TENTHS);
    bool rich = prober_within(r, stun_size(&full), DISCOVERY_TENTHS);
    bool paid = (rich || !cheap) && prober_has_budget(p, &p->discovery, r);
    if (!paid && (rich || !cheap))
        spent_note(p->conf.spent, &r->src, p->now_us);
    if (paid && rich)
        p->n.discovery += prober_send_within(p, r, r->sock, &full, DISCOVERY_TENTHS, out);
    else
        p->n.plain +=
            prober_send_within(p, r, r->sock, &plain, paid ? DISCOVERY_TENTHS : PLAIN_TENTHS, out);
}

static void on_change(struct prober *p, const struct request *r, struct answer *out)
{
    struct stun a = prober_response(r), full = a;
    bool proven = prober_cookie_valid(p, r);

    if (p->info.n_addrs != 4) {
        a.unknown = STUN_CHANGE_REQUEST;
        prober_send_error(p, r, &a, ERROR_UNKNOWN_ATTRIBUTE, out);
        return;
    }
    if (!prober_has_budget(p, proven ? &p->signing : &p->discovery, r)) {
        prober_send_error(p, r, &a, ERROR_SERVER, out);
        return;
    }
    uint8_t from = r->sock;
    if (r->m.change & STUN_CHANGE_PORT)
        from ^= 1;
    if (r->m.change & STUN_CHANGE_IP)
        from ^= 2;
    if (from >= p->conf.info.n_addrs) {
        prober_vantage_ask(p, r, from, proven, out);
        return;
    }
    add_discovery(p, r, from, &full);
    if (prober_within(r, stun_size(&full), DISCOVERY_TENTHS))
        a = full;
    p->n.changed += prober_send_within(p, r, from, &a, DISCOVERY_TENTHS, out);
}

/*
 * Answers that are larger, or go elsewhere: for sources alone that have shown to receive what is sent to
 * them (RFC 5780 section 10 warns of both).  True when the request has been answered with an error.
 */
static bool refuse_costly(struct prober *p, struct request *r, struct answer *out)
{
    bool both = r->m.has_padding && r->m.response_port != 0;
    struct stun a = prober_response(r);

    if (!r->m.has_padding && r->m.response_port == 0)
        return false;
    bool valid = prober_cookie_valid(p, r);
    if (valid && !both && !r->m.has_peer)
        return false;
    if (!valid) {
        a.unknown = r->m.has_padding ? STUN_PADDING : STUN_RESPONSE_PORT;
        a.unknown_rest[0] = both ? STUN_RESPONSE_PORT : 0;
    }
    r->m.response_port = 0; /* this answer goes to who asked */
    prober_send_error(p, r, &a, valid ? ERROR_BAD_REQUEST : ERROR_UNKNOWN_ATTRIBUTE, out);
    return true;
}

static void on_unknown(struct prober *p, const struct request *r, struct answer *out)
{
    struct stun a = prober_response(r);

    a.unknown = r->m.unknown;
    memcpy(a.unknown_rest, r->m.unknown_rest, sizeof a.unknown_rest);
    prober_send_error(p, r, &a, ERROR_UNKNOWN_ATTRIBUTE, out);
}

/* A token for an address inside somebody's network would be worth nothing: who asks sees the address alone. */
static void on_fenced(struct prober *p, const struct request *r, struct answer *out)
{
    struct stun a = prober_response(r);

    p->n.fenced += prober_send_within(p, r, r->sock, &a, PLAIN_TENTHS, out);
}

/* ---- step ---------------------------------------------------------------------------------------- */

static void on_request(struct prober *p, struct request *r, struct answer *out)
{
    gateway_note(&p->gateway, &r->src);
    if (r->m.unknown != 0)
        on_unknown(p, r, out);
    else if (r->m.has_peer && !fence_admits(p->fence, &r->src))
        on_fenced(p, r, out);
    else if (prober_is_claim(r))
        prober_on_claim(p, r, out);
    else if (refuse_costly(p, r, out))
        return;
    else if (r->m.change != 0)
        on_change(p, r, out);
    else if (r->m.has_peer)
        prober_on_token_request(p, r, out);
    else
        on_binding(p, r, out);
}

static void on_datagram(struct prober *p, const struct input *in, struct answer *out)
{
    struct request r = {
        .len = in->dgram.len, .src = in->dgram.src, .sock = (uint8_t)in->dgram.sock};

    assert(r.sock < p->conf.info.n_addrs);
    if (!stun_is(in->dgram.data, in->dgram.len) && !stun_is_classic(in->dgram.data, in->dgram.len))
        p->n.not_stun++;
    else if (!stun_parse(in->dgram.data, in->dgram.len, &r.m) || addr_kind(&r.src) == ADDR_REFUSED)
        p->n.malformed++;
    else if (r.m.type != STUN_BINDING_REQUEST)
        p->n.not_request++;
    else if (ports_has(&p->conf.refused, r.src.port) ||
             (r.m.response_port != 0 && ports_has(&p->conf.refused, r.m.response_port)))
        p->n.refused_ports++;
    else
        on_request(p, &r, out);
}

static void rotate(struct prober *p)
{
    p->epoch++;
    rng_bytes(&p->rng, p->secrets[p->epoch & 1], sizeof p->secrets[0]);
}

/* What is due by time; before the input, so that a flood of datagrams can't hold it up. */
static void on_time(struct prober *p, struct outputs *out)
{
    if (p->now_us >= p->rotate_us) {
        if (p->now_us - p->rotate_us >= COOKIE_ROTATE_US)
            rotate(p); /* slept through one: the older secret is too old as well */
        rotate(p);
        p->rotate_us = p->now_us + COOKIE_ROTATE_US;
    }
    if (p->now_us < p->hello_us)
        return;
    p->hello_us = p->now_us + HELLO_EVERY_US;
    prober_vantage_tick(p);
    prober_vantage_hello(p, out);
}

void prober_init(struct prober *p, const struct prober_conf *conf, const uint8_t rng_key[static 32])
{
    uint8_t secret[16];

    assert(conf->info.n_addrs == 2 || conf->info.n_addrs == 4);
    assert(conf->n_partners <= PARTNERS_MAX);
    memset(p, 0, sizeof *p);
    p->conf = *conf;
    p->info = conf->info;
    rng_init(&p->rng, rng_key);
    rng_bytes(&p->rng, p->secrets, sizeof p->secrets);
    rng_bytes(&p->rng, secret, sizeof secret);
    budget_init(&p->discovery, DISCOVERY_BUDGET, BUDGET_WINDOW_US, secret);
    budget_init(&p->challenge, CHALLENGE_BUDGET, BUDGET_WINDOW_US, secret);
    budget_init(&p->signing, SIGNING_BUDGET, BUDGET_WINDOW_US, secret);
    p->fence = fence_of(conf->info.addrs, conf->info.n_addrs);
    gateway_init(&p->gateway, &conf->info.addrs[0]);
    sodium_memzero(secret, sizeof secret);
}

void prober_answer(struct prober *p, const struct input *in, struct answer *out)
{
    assert(in->kind == IN_DATAGRAM && in->now_us >= p->now_us);
    p->now_us = in->now_us;
    p->wall_ms = in->wall_ms;
    prober_daykeys_renew(p);
    out->len = 0;
    out->link = 0;
    on_datagram(p, in, out);
}

void prober_step(struct prober *p, const struct input *in, struct outputs *out)
{
    uint8_t buf[STUN_MAX];
    struct answer a = {.buf = buf};

    assert(in->now_us >= p->now_us);
    p->now_us = in->now_us;
    p->wall_ms = in->wall_ms;
    prober_daykeys_renew(p);
    out->n = 0;
    on_time(p, out);
    if (in->kind == IN_DATAGRAM)
        prober_answer(p, in, &a);
    else if (in->kind == IN_MSG)
        prober_on_msg(p, in, &a, out);
    if (a.link != 0)
        emit_link(out, a.link, SERVICE_prober, MSG_vantage_request)->vantage_request = a.request;
    if (a.len == 0)
        return;
    struct output *o = outputs_add(out, OUT_DATAGRAM);
    o->dgram.sock = a.sock;
    o->dgram.ttl = 0;
    o->dgram.dst = a.dst;
    o->dgram.len = (uint16_t)a.len;
    memcpy(o->dgram.data, a.buf, a.len);
}

int64_t prober_deadline(const struct prober *p)
{
    return p->hello_us < p->rotate_us ? p->hello_us : p->rotate_us;
}
