/*
 * vantage.c - probers on other hosts: they lend each other their addresses, so that each can show its
 * clients an answer from where they have not sent to (RFC 5780 section 6.1).
 *
 * The one that is asked holds its client to its own bounds, as for an address of its own, and passes the
 * request on; the one that answers holds the client to its bounds again.  So what reaches a victim from one
 * host stays under that host's budget, however many pass requests on to it.
 */
#include "lib/token.h"
#include "services/prober/internal.h"

#include <string.h>

enum { TXID = 4 + STUN_TXID_BYTES, OWN = 2 };

static struct prober_partner *partner(struct prober *p, uint8_t link)
{
    assert(link >= 1 && link <= p->conf.n_partners);
    return &p->partners[link - 1];
}

static bool is_heard(const struct prober *p, const struct prober_partner *o)
{
    return o->info.n_addrs > 0 && p->now_us - o->heard_us <= PARTNER_TTL_US;
}

/*
 * Can its addresses stand for a second one of ours?  A client puts other ip and own port together by
 * itself (RFC 5780 section 4.3), so that both must have the same two ports.
 */
static bool can_lend(const struct prober *p, const struct prober_partner *o)
{
    const struct addr *own = p->conf.info.addrs, *its = o->info.addrs;

    return is_heard(p, o) && o->hears_us && its[0].len == own[0].len &&
           !addr_ip_eq(&its[0], &own[0]) && addr_ip_eq(&its[0], &its[1]) &&
           its[0].port == own[0].port && its[1].port == own[1].port;
}

void prober_vantage_tick(struct prober *p)
{
    uint8_t before = p->lender;

    if (p->conf.info.n_addrs != OWN)
        return;
    if (p->lender == 0 || !can_lend(p, partner(p, p->lender))) {
        p->lender = 0;
        for (uint8_t i = p->conf.n_partners; i > 0; i--)
            if (can_lend(p, partner(p, i)))
                p->lender = i;
    }
    if (p->lender != before) /* peers that attach meanwhile should hear of it */
        p->hello_us = p->now_us;
    p->info = p->conf.info;
    if (p->lender == 0)
        return;
    p->info.n_addrs = 2 * OWN;
    memcpy(&p->info.addrs[OWN], partner(p, p->lender)->info.addrs, OWN * sizeof *p->info.addrs);
}

static void add_daykeys(struct daykey_list *l, const struct daykey_list *more)
{
    for (size_t i = 0; i < more->n && l->n < DAYKEYS_MAX; i++)
        l->v[l->n++] = more->v[i];
}

/* To the suite on this host: us, and those whose word only comes here.  To each of those: us. */
void prober_vantage_hello(struct prober *p, struct outputs *out)
{
    static const enum role to[] = {SERVICE_coordinator, SERVICE_classifier};

    for (size_t i = 0; i < sizeof to / sizeof *to && !p->conf.no_bus; i++) {
        struct msg_prober_hello *m = &emit(out, to[i], MSG_prober_hello)->prober_hello;
        struct prober_list *l = &m->probers;
        l->v[l->n++] = p->info;
        m->places = p->conf.places;
        m->daykeys = p->daykeys;
        for (uint8_t k = 1; k <= p->conf.n_partners; k++) {
            const struct prober_partner *o = partner(p, k);
            if (!is_heard(p, o))
                continue;
            l->v[l->n++] = o->info;
            add_daykeys(&m->daykeys, &o->daykeys);
            for (size_t j = 0; j < o->places.n; j++)
                place_add(&m->places, &o->places.v[j]);
        }
    }
    for (uint8_t k = 1; k <= p->conf.n_partners; k++) {
        struct msg_prober_hello *m =
            &emit_link(out, k, SERVICE_prober, MSG_prober_hello)->prober_hello;
        m->probers.n = 1;
        m->probers.v[0] = p->info;
        m->heard = is_heard(p, partner(p, k));
        m->places = p->conf.places;
        m->daykeys = p->daykeys;
    }
}

/* ---- what is borrowed ----------------------------------------------------------------------------- */

static void put_txid(const struct stun *m, uint16_t *len, uint8_t b[static TXID])
{
    *len = TXID;
    memcpy(b, m->classic_id, sizeof m->classic_id);
    memcpy(b + sizeof m->classic_id, m->txid, sizeof m->txid);
}

void prober_vantage_ask(struct prober *p, const struct request *r, uint8_t from, bool proven,
                        struct answer *out)
{
    struct msg_vantage_request *m = &out->request;

    assert(p->lender != 0 && from >= OWN);
    *m = (struct msg_vantage_request){
        .client = r->src,
        .port = r->m.response_port != 0 ? r->m.response_port : r->src.port,
        .asked = r->sock,
        .from = from - OWN,
        .size = (uint16_t)r->len,
        .proven = proven,
        .classic = r->m.classic,
        .fingerprint = r->m.has_fingerprint,
        .padded = r->m.has_padding,
        .padding = r->m.padding,
    };
    put_txid(&r->m, &m->txid.len, m->txid.b);
    out->link = p->lender;
    p->n.borrowed++;
}

static void on_refused(struct prober *p, const struct msg_vantage_refused *m, struct answer *out)
{
    struct request r = {.len = m->size, .src = m->client, .sock = (uint8_t)m->asked};

    if (m->client.len == 0 || m->client.port == 0 || m->asked >= OWN || m->txid.len != TXID) {
        p->n.links_refused++;
        return;
    }
    memcpy(r.m.classic_id, m->txid.b, sizeof r.m.classic_id);
    memcpy(r.m.txid, m->txid.b + sizeof r.m.classic_id, sizeof r.m.txid);
    r.m.classic = m->classic;
    r.m.has_fingerprint = m->fingerprint;
    if (!prober_has_budget(p, &p->signing, &r)) /* a partner that makes it up is bounded as well */
        return;
    struct stun a = prober_response(&r);
    prober_send_error(p, &r, &a, ERROR_SERVER, out);
}

/* ---- what is lent --------------------------------------------------------------------------------- */

static void refuse(const struct msg_vantage_request *q, uint8_t link, struct outputs *out)
{
    struct msg_vantage_refused *m =
        &emit_link(out, link, SERVICE_prober, MSG_vantage_refused)->vantage_refused;

    m->client = q->client;
    m->asked = q->asked;
    m->size = q->size;
    m->txid.len = q->txid.len;
    memcpy(m->txid.b, q->txid.b, sizeof m->txid.b);
    m->classic = q->classic;
    m->fingerprint = q->fingerprint;
}

static void on_lend(struct prober *p, const struct msg_vantage_request *q, uint8_t link,
                    struct answer *answer, struct outputs *out)
{
    struct request r = {.len = q->size, .src = q->client, .sock = (uint8_t)q->asked};
    const struct addr *own = p->conf.info.addrs;

    if (q->client.len != own[0].len || q->client.port == 0 || q->port == 0 || q->asked >= OWN ||
        q->from >= OWN || q->size > STUN_MAX || q->txid.len != TXID ||
        (!q->proven && (q->padded || q->port != q->client.port))) {
        p->n.links_refused++;
        return;
    }
    memcpy(r.m.classic_id, q->txid.b, sizeof r.m.classic_id);
    memcpy(r.m.txid, q->txid.b + sizeof r.m.classic_id, sizeof r.m.txid);
    r.m.classic = q->classic;
    r.m.has_fingerprint = q->fingerprint;
    r.m.has_padding = q->padded;
    r.m.padding = q->padding;
    r.m.response_port = q->port;
    if (!prober_has_budget(p, q->proven ? &p->signing : &p->discovery, &r)) {
        refuse(q, link, out);
        return;
    }
    struct stun plain = prober_response(&r), full = plain;
    full.origin = own[q->from];
    full.other = own[q->asked ^ 1]; /* differs in both from where the client asked */
    bool rich = prober_within(&r, stun_size(&full), DISCOVERY_TENTHS);
    p->n.lent += prober_send_within(p, &r, (uint8_t)q->from, rich ? &full : &plain,
                                    DISCOVERY_TENTHS, answer);
}

/* ---- links ---------------------------------------------------------------------------------------- */

static void on_hello(struct prober *p, const struct msg_prober_hello *m, uint8_t link)
{
    struct prober_partner *o = partner(p, link);
    const struct prober_info *info = &m->probers.v[0];

    if (m->probers.n != 1 || info->n_addrs < OWN ||
        memcmp(info->key, p->conf.partners[link - 1], sizeof info->key) != 0) {
        p->n.links_refused++;
        return;
    }
    o->info = *info;
    o->places = m->places;
    o->places.n = o->places.n < OWN ? o->places.n : OWN;
    daykey_take(&o->daykeys, &m->daykeys, &m->probers);
    o->heard_us = p->now_us;
    o->hears_us = m->heard;
    prober_vantage_tick(p);
}

void prober_on_msg(struct prober *p, const struct input *in, struct answer *answer,
                   struct outputs *out)
{
    const struct msg *m = in->msg;
    uint8_t link = in->from.link;

    if (link == 0 || in->from.service != SERVICE_prober) {
        p->n.links_refused++;
        return;
    }
    switch ((unsigned)m->type) {
    case MSG_prober_hello: on_hello(p, &m->prober_hello, link); break;
    case MSG_vantage_request: on_lend(p, &m->vantage_request, link, answer, out); break;
    case MSG_vantage_refused: on_refused(p, &m->vantage_refused, answer); break;
    default: p->n.links_refused++;
    }
}
