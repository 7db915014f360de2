/* token.c - see token.h. */
#include "lib/token.h"
#include "lib/bytes.h"
#include "lib/daykey.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

enum {
    KIND_SEEN = 1,
    KIND_MAPPED = 2,
    KIND_DAILY = 2, /* more than that */
    KIND_LAST = KIND_MAPPED + KIND_DAILY,
    AT_FAMILY = 1,
    AT_PORT = 2,
    AT_IP = 4,
    AT_PEER = 20,
    AT_TIME = 52,
    AT_KEY_ID = 60,
    SIGNED_BYTES = 68
};
_Static_assert(SIGNED_BYTES + crypto_sign_BYTES == TOKEN_BYTES, "the layout of token.h");

#define CERT_CONTEXT "natterjack-cert-1"
enum { CERT_SIGNED = sizeof CERT_CONTEXT - 1 + 1 + 32 };

/* The signed bytes.  A certificate begins with 'n', a token with its kind: neither can pass for the
 * other, should one key ever sign both. */
static void layout(const struct token *t, uint8_t b[static SIGNED_BYTES])
{
    memset(b, 0, SIGNED_BYTES);
    b[0] = (uint8_t)((t->mapped ? KIND_MAPPED : KIND_SEEN) + (t->daily ? KIND_DAILY : 0));
    b[AT_FAMILY] = t->addr.len == 4 ? 4 : 6;
    put_u16(b + AT_PORT, t->addr.port);
    memcpy(b + AT_IP, t->addr.ip, t->addr.len);
    memcpy(b + AT_PEER, t->peer.b, sizeof t->peer.b);
    put_u64(b + AT_TIME, (uint64_t)t->time_ms);
    memcpy(b + AT_KEY_ID, t->key_id, sizeof t->key_id);
}

static void sign(struct token t, const uint8_t secret[static 64], const uint8_t prober[static 32],
                 struct msg_token *out)
{
    assert(t.addr.len == 4 || t.addr.len == 16);
    memcpy(t.key_id, prober, sizeof t.key_id);
    memset(out, 0, sizeof *out);
    out->len = TOKEN_BYTES;
    layout(&t, out->b);
    crypto_sign_detached(out->b + SIGNED_BYTES, NULL, out->b, SIGNED_BYTES, secret);
}

void token_sign(const struct token *t, const uint8_t secret[static 64], struct msg_token *out)
{
    struct token plain = *t;

    plain.daily = false;
    sign(plain, secret, secret + 32, out); /* libsodium: seed, then public key */
}

void token_sign_daily(const struct token *t, const uint8_t day_secret[static 64],
                      const uint8_t prober[static 32], struct msg_token *out)
{
    struct token daily = *t;

    daily.daily = true;
    sign(daily, day_secret, prober, out);
}

bool token_read(const struct msg_token *raw, struct token *out)
{
    static const uint8_t zeroes[12];
    const uint8_t *b = raw->b;
    struct token t = {0};

    if (raw->len != TOKEN_BYTES || b[0] < KIND_SEEN || b[0] > KIND_LAST ||
        (b[AT_FAMILY] != 4 && b[AT_FAMILY] != 6))
        return false;
    t.daily = b[0] > KIND_DAILY;
    t.mapped = b[0] == (t.daily ? KIND_LAST : KIND_MAPPED);
    t.addr.len = b[AT_FAMILY] == 4 ? 4 : 16;
    if (t.addr.len == 4 && memcmp(b + AT_IP + 4, zeroes, sizeof zeroes) != 0)
        return false;
    t.addr.port = get_u16(b + AT_PORT);
    memcpy(t.addr.ip, b + AT_IP, t.addr.len);
    memcpy(t.peer.b, b + AT_PEER, sizeof t.peer.b);
    uint64_t time = get_u64(b + AT_TIME);
    if (time > INT64_MAX || t.addr.port == 0)
        return false;
    t.time_ms = (int64_t)time;
    memcpy(t.key_id, b + AT_KEY_ID, sizeof t.key_id);
    *out = t;
    return true;
}

bool token_verify(const struct msg_token *raw, const struct prober_list *probers,
                  const struct daykey_list *daykeys, struct token *out)
{
    struct token t;

    if (!token_read(raw, &t))
        return false;
    for (size_t i = 0; i < probers->n && i < PROBERS_MAX; i++) {
        const uint8_t *key = probers->v[i].key;
        if (memcmp(key, t.key_id, sizeof t.key_id) != 0)
            continue;
        if (t.daily)
            key = daykeys ? daykey_find(daykeys, t.key_id, daykey_day(t.time_ms)) : NULL;
        if (key &&
            crypto_sign_verify_detached(raw->b + SIGNED_BYTES, raw->b, SIGNED_BYTES, key) == 0) {
            *out = t;
            return true;
        }
    }
    return false;
}

static bool same_prober(const struct token *a, const struct token *b)
{
    return memcmp(a->key_id, b->key_id, sizeof a->key_id) == 0;
}

size_t token_place(const struct token *kept, const int64_t *born, size_t n,
                   const struct token *fresh)
{
    size_t place = 0, most = 0;

    for (size_t i = 0; i < n; i++)
        if (kept[i].mapped == fresh->mapped && same_prober(&kept[i], fresh) &&
            addr_eq(&kept[i].addr, &fresh->addr))
            return i;
    if (n < TOKENS_MAX)
        return n;
    for (size_t i = 0; i < n; i++) {
        size_t has = same_prober(&kept[i], fresh);
        for (size_t j = 0; j < n; j++)
            has += same_prober(&kept[i], &kept[j]);
        if (kept[i].mapped)
            continue; /* there is one of these, at most */
        if (has > most || (has == most && born[i] < born[place]))
            most = has, place = i;
    }
    return place;
}

static void cert_layout(char role, const uint8_t key[static 32], uint8_t b[static CERT_SIGNED])
{
    memcpy(b, CERT_CONTEXT, sizeof CERT_CONTEXT - 1);
    b[sizeof CERT_CONTEXT - 1] = (uint8_t)role;
    memcpy(b + sizeof CERT_CONTEXT, key, 32);
}

void cert_sign(char role, const uint8_t key[static 32], const uint8_t authority_secret[static 64],
               uint8_t cert[static 64])
{
    uint8_t b[CERT_SIGNED];

    cert_layout(role, key, b);
    crypto_sign_detached(cert, NULL, b, sizeof b, authority_secret);
}

bool cert_verify(char role, const uint8_t key[static 32], const uint8_t authority[static 32],
                 const uint8_t cert[static 64])
{
    uint8_t b[CERT_SIGNED];

    cert_layout(role, key, b);
    return crypto_sign_verify_detached(cert, b, sizeof b, authority) == 0;
}

#define PLACE_CONTEXT "natterjack-place-1"
enum { PLACE_SIGNED = sizeof PLACE_CONTEXT - 1 + 1 + 16 };

static void place_layout(const struct addr *ip, uint8_t b[static PLACE_SIGNED])
{
    memset(b, 0, PLACE_SIGNED);
    memcpy(b, PLACE_CONTEXT, sizeof PLACE_CONTEXT - 1);
    b[sizeof PLACE_CONTEXT - 1] = ip->len == 4 ? 4 : 6;
    memcpy(b + sizeof PLACE_CONTEXT, ip->ip, ip->len);
}

struct place place_sign(const struct addr *ip, const uint8_t authority_secret[static 64])
{
    struct place p = {.ip = *ip};
    uint8_t b[PLACE_SIGNED];

    p.ip.port = 0;
    place_layout(ip, b);
    crypto_sign_detached(p.cert, NULL, b, sizeof b, authority_secret);
    return p;
}

bool place_verify(const struct place *p, const uint8_t authority[static 32])
{
    uint8_t b[PLACE_SIGNED];

    if (p->ip.len != 4 && p->ip.len != 16)
        return false;
    place_layout(&p->ip, b);
    return crypto_sign_verify_detached(p->cert, b, sizeof b, authority) == 0;
}

void place_add(struct place_list *l, const struct place *p)
{
    for (size_t i = 0; i < l->n; i++)
        if (addr_ip_eq(&l->v[i].ip, &p->ip))
            return;
    if (l->n < PLACES_MAX)
        l->v[l->n++] = *p;
}
