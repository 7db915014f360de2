/* tokens.c - cookies, which prove that an address receives, and tokens, which say so to others; claims of mapped ports. */
#include "lib/bytes.h"
#include "lib/token.h"
#include "services/prober/internal.h"

#include <sodium.h>
#include <string.h>

/* ---- cookies ------------------------------------------------------------------------------------ */

/* A cookie is for the source of a request, or for the address that it claims. */
enum cookie_kind { COOKIE_SOURCE = 0x00, COOKIE_CLAIM = 0x80 };

static struct addr claimed(const struct request *r)
{
    struct addr a = r->src;

    a.port = r->m.response_port;
    return a;
}

/* Keyed BLAKE2b of all that the cookie must prove: this address can receive here, now. */
static void make_cookie(const struct prober *p, const struct request *r, enum cookie_kind kind,
                        uint64_t epoch, uint8_t cookie[static STUN_COOKIE_BYTES])
{
    struct addr a = kind == COOKIE_CLAIM ? claimed(r) : r->src;
    uint8_t b[1 + 16 + 2 + 1 + 8], hash[crypto_generichash_BYTES];

    b[0] = a.len;
    memcpy(b + 1, a.ip, 16);
    put_u16(b + 17, a.port);
    b[19] = (uint8_t)(r->sock | kind);
    put_u64(b + 20, epoch);
    crypto_generichash(hash, sizeof hash, b, sizeof b, p->secrets[epoch & 1], sizeof p->secrets[0]);
    memcpy(cookie, hash, STUN_COOKIE_BYTES);
}

static bool cookie_of(const struct prober *p, const struct request *r, enum cookie_kind kind)
{
    uint8_t now[STUN_COOKIE_BYTES], before[STUN_COOKIE_BYTES];

    if (!r->m.has_cookie)
        return false;
    make_cookie(p, r, kind, p->epoch, now);
    make_cookie(p, r, kind, p->epoch - 1, before);
    return sodium_memcmp(now, r->m.cookie, sizeof now) == 0 ||
           sodium_memcmp(before, r->m.cookie, sizeof before) == 0;
}

bool prober_cookie_valid(const struct prober *p, const struct request *r)
{
    return cookie_of(p, r, COOKIE_SOURCE);
}

/* ---- tokens -------------------------------------------------------------------------------------- */

/* Whatever the clock says, the key of its day is there. */
void prober_daykeys_renew(struct prober *p)
{
    uint32_t first = daykey_first(p->wall_ms);

    if (p->daykeys.n > 0 && p->daykeys.v[0].day == first)
        return;
    for (uint32_t i = 0; i < DAYKEYS_LIVE; i++)
        daykey_make(p->conf.secret, first + i, p->day_secrets[i], &p->daykeys.v[i]);
    p->daykeys.n = DAYKEYS_LIVE;
}

static void sign(struct prober *p, const struct request *r, const struct token *t,
                 struct msg_token *out)
{
    uint32_t day = daykey_day(p->wall_ms) - p->daykeys.v[0].day;

    if (r->m.daily) {
        token_sign_daily(t, p->day_secrets[day], p->conf.info.key, out);
        return;
    }
    token_sign(t, p->conf.secret, out);
    p->n.plain_tokens++;
}

void prober_on_token_request(struct prober *p, const struct request *r, struct answer *out)
{
    struct stun a = prober_response(r);
    bool valid = prober_cookie_valid(p, r);

    if (valid)
        familiar_note(&p->conf.familiar, &r->src);
    if (valid && prober_has_budget(p, &p->signing, r)) {
        struct token t = {.addr = r->src, .peer = r->m.peer, .time_ms = p->wall_ms};
        sign(p, r, &t, &a.token);
        p->n.tokens += prober_send_within(p, r, r->sock, &a, DISCOVERY_TENTHS, out);
        return;
    }
    if (!valid && r->m.has_cookie && !sodium_is_zero(r->m.cookie, sizeof r->m.cookie))
        p->n.bad_cookie++;
    a.has_cookie = true;
    make_cookie(p, r, COOKIE_SOURCE, p->epoch, a.cookie);
    p->n.cookies += prober_send_within(p, r, r->sock, &a, PLAIN_TENTHS, out);
}

/* ---- claims --------------------------------------------------------------------------------------- */

bool prober_is_claim(const struct request *r)
{
    return r->m.has_peer && r->m.response_port != 0 && !r->m.has_padding && r->m.change == 0;
}

static void sign_claim(struct prober *p, struct request *r, struct answer *out)
{
    struct stun a = prober_response(r);
    struct token t = {.addr = claimed(r), .peer = r->m.peer, .time_ms = p->wall_ms, .mapped = true};

    sign(p, r, &t, &a.token);
    r->m.response_port = 0; /* it goes to who asked */
    p->n.tokens += prober_send_within(p, r, r->sock, &a, DISCOVERY_TENTHS, out);
}

/* What a source with a cookie claims at its own ip is challenged, and signed once the challenge is back. */
void prober_on_claim(struct prober *p, struct request *r, struct answer *out)
{
    struct stun a = prober_response(r);
    bool challenged = cookie_of(p, r, COOKIE_CLAIM);

    if (!challenged && !prober_cookie_valid(p, r)) {
        p->n.bad_cookie++;
        a.unknown = STUN_RESPONSE_PORT;
        r->m.response_port = 0;
        prober_send_error(p, r, &a, ERROR_UNKNOWN_ATTRIBUTE, out);
    } else if (!prober_has_budget(p, challenged ? &p->signing : &p->challenge, r)) {
        r->m.response_port = 0;
        prober_send_error(p, r, &a, ERROR_SERVER, out);
    } else if (challenged) {
        sign_claim(p, r, out);
    } else {
        a.has_cookie = true;
        make_cookie(p, r, COOKIE_CLAIM, p->epoch, a.cookie);
        p->n.challenges += prober_send_within(p, r, r->sock, &a, PLAIN_TENTHS, out);
    }
}
