/* join.c - see join.h. */
#include "lib/join.h"

#include <assert.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "nj1"
#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING

enum { VERSION = 1, PREFIX_LEN = 3, FIXED_TAIL = 32 + 32 + JOIN_TOKEN_BYTES + 4, CHECKSUM = 4 };

_Static_assert(JOIN_TEXT_MAX >=
                   PREFIX_LEN + sodium_base64_ENCODED_LEN(JOIN_BYTES_MAX,
                                                          sodium_base64_VARIANT_URLSAFE_NO_PADDING),
               "the longest join string fits");

/* ---- to text ------------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *p, const void *from, size_t n)
{
    memcpy(p, from, n);
    return p + n;
}

static uint8_t *put_port(uint8_t *p, uint16_t port)
{
    *p++ = (uint8_t)(port >> 8);
    *p++ = (uint8_t)port;
    return p;
}

static void checksum(const uint8_t *data, size_t len, uint8_t out[CHECKSUM])
{
    uint8_t hash[crypto_generichash_BYTES];

    crypto_generichash(hash, sizeof hash, data, len, NULL, 0);
    memcpy(out, hash, CHECKSUM);
}

const char *join_format(const struct join *j, char out[static JOIN_TEXT_MAX])
{
    uint8_t raw[JOIN_BYTES_MAX], *p = raw;

    assert(j->n >= 1 && j->n <= JOIN_COORDINATORS_MAX);
    *p++ = VERSION;
    *p++ = j->n;
    for (size_t i = 0; i < j->n; i++) {
        const struct addr *a = &j->front[i];
        assert((a->len == 4 || a->len == 16) && addr_ip_eq(a, &j->enrol[i]));
        assert(a->port != 0 && j->enrol[i].port != 0);
        *p++ = a->len == 4 ? 4 : 6;
        p = put(p, a->ip, a->len);
        p = put_port(p, a->port);
        p = put_port(p, j->enrol[i].port);
    }
    p = put(p, j->coordinator_key, sizeof j->coordinator_key);
    p = put(p, j->authority, sizeof j->authority);
    p = put(p, j->token, sizeof j->token);
    checksum(raw, (size_t)(p - raw), p);
    p += CHECKSUM;
    memcpy(out, PREFIX, PREFIX_LEN);
    sodium_bin2base64(out + PREFIX_LEN, JOIN_TEXT_MAX - PREFIX_LEN, raw, (size_t)(p - raw), BASE64);
    sodium_memzero(raw, sizeof raw);
    return out;
}

/* ---- from text ----------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static bool refuse(char *err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err, JOIN_ERROR_MAX, fmt, ap);
    va_end(ap);
    return false;
}

static bool blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static bool in_alphabet(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* Blanks around *text are taken off, and what is left is looked at character by character. */
static bool trim_and_check(const char **text, size_t *len, char *err)
{
    const char *t = *text;
    size_t n = strnlen(t, JOIN_PASTE_MAX + 1);

    if (n > JOIN_PASTE_MAX)
        return refuse(err, "is too long to be one: over %d characters", JOIN_PASTE_MAX);
    for (; n > 0 && blank(*t); n--)
        t++;
    while (n > 0 && blank(t[n - 1]))
        n--;
    if (n == 0)
        return refuse(err, "is empty");
    if (n >= PREFIX_LEN && memcmp(t, PREFIX, 2) == 0 && t[2] != PREFIX[2] && t[2] >= '0' &&
        t[2] <= '9')
        return refuse(err,
                      "is of version %c, and this program reads version 1: use one release on "
                      "all sides",
                      t[2]);
    if (memcmp(t, PREFIX, n < PREFIX_LEN ? n : PREFIX_LEN) != 0)
        return refuse(err, "does not begin with " PREFIX ": its beginning is missing, or it is "
                           "something else");
    for (size_t i = 0; i < n; i++) {
        if (blank(t[i]))
            return refuse(err, "has a blank or line end after %zu characters: paste it as one line",
                          i);
        if (!in_alphabet(t[i]))
            return refuse(err, "is garbled: character %zu can't be part of one", i + 1);
    }
    *text = t;
    *len = n;
    return true;
}

struct reader {
    const uint8_t *p;
    size_t left;
};

static bool take(struct reader *r, void *out, size_t n)
{
    if (r->left < n)
        return false;
    memcpy(out, r->p, n);
    r->p += n;
    r->left -= n;
    return true;
}

static bool take_port(struct reader *r, uint16_t *out)
{
    uint8_t b[2];

    if (!take(r, b, sizeof b))
        return false;
    *out = (uint16_t)(b[0] << 8 | b[1]);
    return true;
}

enum found { WHOLE, TRUNCATED, GARBLED, TOO_LONG, OTHER_VERSION };

static bool usable(const struct addr *a)
{
    static const uint8_t zero[16];

    return a->port != 0 && memcmp(a->ip, zero, a->len) != 0;
}

static enum found take_coordinator(struct reader *r, struct addr *front, struct addr *enrol)
{
    uint8_t family;

    if (!take(r, &family, 1))
        return TRUNCATED;
    if (family != 4 && family != 6)
        return GARBLED;
    front->len = family == 4 ? 4 : 16;
    if (!take(r, front->ip, front->len))
        return TRUNCATED;
    *enrol = *front;
    if (!take_port(r, &front->port) || !take_port(r, &enrol->port))
        return TRUNCATED;
    return usable(front) && usable(enrol) ? WHOLE : GARBLED;
}

/*
 * The lengths are looked at before the checksum, since most broken pastes are cut short and can then be
 * told so; nothing that is read here is used before the checksum was right.
 */
static enum found take_join(const uint8_t *raw, size_t len, struct join *j)
{
    struct reader r = {raw, len};
    uint8_t version, sum[CHECKSUM];

    if (!take(&r, &version, 1))
        return TRUNCATED;
    if (version != VERSION)
        return OTHER_VERSION;
    if (!take(&r, &j->n, 1))
        return TRUNCATED;
    if (j->n < 1 || j->n > JOIN_COORDINATORS_MAX)
        return GARBLED;
    for (size_t i = 0; i < j->n; i++) {
        enum found f = take_coordinator(&r, &j->front[i], &j->enrol[i]);
        if (f != WHOLE)
            return f;
    }
    if (r.left != FIXED_TAIL)
        return r.left < FIXED_TAIL ? TRUNCATED : TOO_LONG;
    take(&r, j->coordinator_key, sizeof j->coordinator_key);
    take(&r, j->authority, sizeof j->authority);
    take(&r, j->token, sizeof j->token);
    checksum(raw, len - CHECKSUM, sum);
    return memcmp(sum, r.p, CHECKSUM) == 0 ? WHOLE : GARBLED;
}

bool join_parse(const char *text, struct join *out, char err[static JOIN_ERROR_MAX])
{
    uint8_t raw[JOIN_PASTE_MAX] = {0};
    size_t n = 0, len = 0;
    struct join j = {0};

    err[0] = '\0';
    if (!trim_and_check(&text, &n, err))
        return false;
    size_t body = n > PREFIX_LEN ? n - PREFIX_LEN : 0;
    /* A lone last character, or bits set past the last byte, is not base64: judge the rest, and the length. */
    bool exact =
        sodium_base642bin(raw, sizeof raw, text + n - body, body, NULL, &len, NULL, BASE64) == 0;
    if (!exact) {
        sodium_base642bin(raw, sizeof raw, text + n - body, body - body % 4, NULL, NULL, NULL,
                          BASE64);
        len = body * 3 / 4;
    }
    enum found f = take_join(raw, len, &j);
    if (f == WHOLE && !exact)
        f = body % 4 == 1 ? TOO_LONG : GARBLED;
    if (f == WHOLE)
        *out = j;
    sodium_memzero(raw, sizeof raw);
    sodium_memzero(&j, sizeof j);
    switch (f) {
    case WHOLE: return true;
    case TRUNCATED: return refuse(err, "is cut short after %zu characters: copy all of it", n);
    case TOO_LONG: return refuse(err, "has something after its end");
    case OTHER_VERSION:
        return refuse(err, "is garbled, or of a version that this program can't read");
    case GARBLED: break;
    }
    return refuse(err, "is garbled: some character was changed on the way, copy it again");
}
