/* stun.c - a cursor that writes attributes, and one table walk that reads them; see stun.h. */
#include "lib/stun.h"
#include "lib/bytes.h"

#include <assert.h>
#include <string.h>

/* RFC 8489 section 18.3, RFC 5780 section 9.1, and our own four. */
enum attribute {
    A_MAPPED_ADDRESS = 0x0001,
    A_CHANGE_REQUEST = STUN_CHANGE_REQUEST,
    A_SOURCE_ADDRESS = 0x0004,
    A_CHANGED_ADDRESS = 0x0005,
    A_USERNAME = 0x0006,
    A_MESSAGE_INTEGRITY = 0x0008,
    A_ERROR_CODE = 0x0009,
    A_UNKNOWN_ATTRIBUTES = 0x000A,
    A_REALM = 0x0014,
    A_NONCE = 0x0015,
    A_MESSAGE_INTEGRITY_SHA256 = 0x001C,
    A_PASSWORD_ALGORITHM = 0x001D,
    A_USERHASH = 0x001E,
    A_XOR_MAPPED_ADDRESS = 0x0020,
    A_PADDING = STUN_PADDING,
    A_RESPONSE_PORT = STUN_RESPONSE_PORT,
    A_FINGERPRINT = 0x8028,
    A_RESPONSE_ORIGIN = 0x802B,
    A_OTHER_ADDRESS = 0x802C,
    A_PEER_ID = 0xC0A1,
    A_COOKIE = 0xC0A2,
    A_TOKEN = 0xC0A3,
    A_DAILY = 0xC0A4
};

enum { ATTRIBUTE_HEADER = 4, COMPREHENSION_OPTIONAL = 0x8000 };
enum { FAMILY_V4 = 1, FAMILY_V6 = 2 };
enum { FINGERPRINT_BYTES = ATTRIBUTE_HEADER + 4, MESSAGE_INTEGRITY_BYTES = 20 };
#define FINGERPRINT_XOR 0x5354554Eu /* RFC 8489 section 14.7 */

/* Everything at once but PADDING, which takes what is left: what stun_encode can be asked for at most. */
_Static_assert(STUN_HEADER + 3 * (4 + 20) + 8 + 8 + (4 + 8) + (4 + 32) + (4 + STUN_COOKIE_BYTES) +
                       (4 + MSG_TOKEN_MAX) + 8 + FINGERPRINT_BYTES <=
                   STUN_MAX,
               "the largest message fits");
_Static_assert(MSG_TOKEN_MAX % 4 == 0, "its padding too");

/* CRC-32 of ITU-T V.42, reflected, four bits at a time: messages are short and the table stays small. */
static uint32_t crc32(const uint8_t *p, size_t len)
{
    static const uint32_t step[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    uint32_t crc = 0xFFFFFFFF;

    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ step[crc & 15];
        crc = crc >> 4 ^ step[crc & 15];
    }
    return ~crc;
}

/* What addresses are masked with: the magic cookie, then the transaction id (RFC 8489 section 14.2). */
static void xor_mask(const uint8_t txid[STUN_TXID_BYTES], uint8_t mask[16])
{
    put_u32(mask, STUN_MAGIC);
    memcpy(mask + 4, txid, STUN_TXID_BYTES);
}

/* ---- parse ---------------------------------------------------------------------------------- */

static bool framed(const uint8_t *data, size_t len)
{
    return len >= STUN_HEADER && get_u16(data + 2) % 4 == 0 &&
           (size_t)get_u16(data + 2) + STUN_HEADER == len;
}

bool stun_is(const uint8_t *data, size_t len)
{
    return framed(data, len) && data[0] <= 3 && get_u32(data + 4) == STUN_MAGIC;
}

bool stun_is_classic(const uint8_t *data, size_t len)
{
    return framed(data, len) && get_u16(data) == STUN_BINDING_REQUEST &&
           get_u32(data + 4) != STUN_MAGIC;
}

/* The value of an address attribute; mask is NULL when it travels as it is. */
static bool get_addr(const uint8_t *v, size_t n, const uint8_t *mask, struct addr *out)
{
    struct addr a = {0};

    if (n != 8 && n != 20)
        return false;
    if (v[1] != (n == 8 ? FAMILY_V4 : FAMILY_V6))
        return false;
    a.len = n == 8 ? 4 : 16;
    a.port = get_u16(v + 2);
    memcpy(a.ip, v + 4, a.len);
    if (mask) {
        a.port ^= get_u16(mask);
        for (size_t i = 0; i < a.len; i++)
            a.ip[i] ^= mask[i];
    }
    if (out->len == 0) /* of a repeated attribute the first counts */
        *out = a;
    return true;
}

static bool get_bytes(const uint8_t *v, size_t n, size_t want, bool *has, uint8_t *out)
{
    if (n != want)
        return false;
    if (!*has)
        memcpy(out, v, want);
    *has = true;
    return true;
}

static bool get_change(const uint8_t *v, size_t n, struct stun *m)
{
    if (n != 4)
        return false;
    if (!m->has_change)
        m->change = get_u32(v) & (STUN_CHANGE_IP | STUN_CHANGE_PORT);
    m->has_change = true;
    return true;
}

/* RFC 8489 section 14.8: class 3 to 6, number 0 to 99; the phrase is for people. */
static bool get_error(const uint8_t *v, size_t n, struct stun *m)
{
    if (n < 4)
        return false;
    unsigned class = v[2] & 7;
    if (class < 3 || class > 6 || v[3] > 99)
        return false;
    if (m->error == 0)
        m->error = (uint16_t)(class * 100 + v[3]);
    return true;
}

static bool get_response_port(const uint8_t *v, size_t n, struct stun *m)
{
    if (n != 2 && n != 4) /* the port, and in some clients what pads it */
        return false;
    if (m->response_port == 0)
        m->response_port = get_u16(v);
    return true;
}

static bool get_padding(size_t n, struct stun *m)
{
    if (!m->has_padding)
        m->padding = (uint16_t)n;
    return m->has_padding = true;
}

static bool get_token(const uint8_t *v, size_t n, struct stun *m)
{
    if (n == 0 || n > MSG_TOKEN_MAX)
        return false;
    if (m->token.len > 0)
        return true;
    m->token.len = (uint8_t)n;
    memcpy(m->token.b, v, n);
    return true;
}

static void note_unknown(uint16_t type, struct stun *m)
{
    if (m->unknown == 0) {
        m->unknown = type;
        return;
    }
    for (size_t i = 0; i < STUN_UNKNOWN_REST; i++)
        if (m->unknown_rest[i] == 0) {
            m->unknown_rest[i] = type;
            return;
        }
}

/* MAPPED-ADDRESS goes to *plain, since XOR-MAPPED-ADDRESS wins wherever it stands. */
static bool get_attribute(uint16_t type, const uint8_t *v, size_t n, const uint8_t mask[16],
                          struct stun *m, struct addr *plain)
{
    switch (type) {
    case A_XOR_MAPPED_ADDRESS: return get_addr(v, n, mask, &m->mapped);
    case A_MAPPED_ADDRESS: return get_addr(v, n, NULL, plain);
    case A_RESPONSE_ORIGIN: return get_addr(v, n, NULL, &m->origin);
    case A_OTHER_ADDRESS: return get_addr(v, n, NULL, &m->other);
    case A_CHANGE_REQUEST: return get_change(v, n, m);
    case A_ERROR_CODE: return get_error(v, n, m);
    case A_PADDING: return get_padding(n, m);
    case A_RESPONSE_PORT: return get_response_port(v, n, m);
    case A_PEER_ID: return get_bytes(v, n, sizeof m->peer.b, &m->has_peer, m->peer.b);
    case A_COOKIE: return get_bytes(v, n, STUN_COOKIE_BYTES, &m->has_cookie, m->cookie);
    case A_TOKEN: return get_token(v, n, m);
    case A_DAILY: m->daily = true; return true;
    /* Credentials, which Binding here does not look at. */
    case A_USERNAME:
    case A_REALM:
    case A_NONCE:
    case A_PASSWORD_ALGORITHM:
    case A_USERHASH:
    case A_UNKNOWN_ATTRIBUTES:
    /* Servers that also speak RFC 3489 still send these two. */
    case A_SOURCE_ADDRESS:
    case A_CHANGED_ADDRESS: return true;
    default: break;
    }
    if (type < COMPREHENSION_OPTIONAL)
        note_unknown(type, m);
    return type != 0; /* reserved (RFC 8489 section 18.3.1), and our word for none */
}

/* RFC 8489 section 14.7: the last attribute, a CRC-32 of all before it. */
static bool fingerprint_right(const uint8_t *data, size_t at, size_t n, size_t len)
{
    return n == 4 && at + FINGERPRINT_BYTES == len &&
           get_u32(data + at + ATTRIBUTE_HEADER) == (crc32(data, at) ^ FINGERPRINT_XOR);
}

bool stun_parse(const uint8_t *data, size_t len, struct stun *out)
{
    struct stun m = {0};
    struct addr plain = {0};
    uint8_t mask[16];
    bool ends = false; /* MESSAGE-INTEGRITY has been: what follows is ignored */

    m.classic = stun_is_classic(data, len);
    if (!m.classic && !stun_is(data, len))
        return false;
    memcpy(m.classic_id, data + 4, sizeof m.classic_id);
    m.type = get_u16(data);
    memcpy(m.txid, data + 8, STUN_TXID_BYTES);
    xor_mask(m.txid, mask);
    /* All steps and the length are multiples of four: where there is a byte there is a header. */
    for (size_t at = STUN_HEADER, n; at < len; at += ATTRIBUTE_HEADER + ((n + 3) & ~(size_t)3)) {
        uint16_t type = get_u16(data + at);
        const uint8_t *v = data + at + ATTRIBUTE_HEADER;
        n = get_u16(data + at + 2);
        if (((n + 3) & ~(size_t)3) > len - at - ATTRIBUTE_HEADER)
            return false;
        if (type == A_FINGERPRINT) {
            if (!fingerprint_right(data, at, n, len))
                return false;
            m.has_fingerprint = true;
        } else if (type == A_MESSAGE_INTEGRITY || type == A_MESSAGE_INTEGRITY_SHA256) {
            if (n > 32 || n % 4 != 0 ||
                (type == A_MESSAGE_INTEGRITY && n != MESSAGE_INTEGRITY_BYTES))
                return false;
            ends = true;
        } else if (!ends && !get_attribute(type, v, n, mask, &m, &plain)) {
            return false;
        }
    }
    if (m.mapped.len == 0)
        m.mapped = plain;
    *out = m;
    return true;
}

/* ---- encode --------------------------------------------------------------------------------- */

struct writer {
    uint8_t *buf;
    size_t len;
};

/* Room for an attribute of n bytes, zeroed to its padding. */
static uint8_t *put_attribute(struct writer *w, uint16_t type, size_t n)
{
    size_t padded = (n + 3) & ~(size_t)3;
    uint8_t *p = w->buf + w->len;

    assert(w->len + ATTRIBUTE_HEADER + padded <= STUN_MAX);
    put_u16(p, type);
    put_u16(p + 2, (uint16_t)n);
    memset(p + ATTRIBUTE_HEADER, 0, padded);
    w->len += ATTRIBUTE_HEADER + padded;
    return p + ATTRIBUTE_HEADER;
}

static void put_addr(struct writer *w, uint16_t type, const struct addr *a, const uint8_t *mask)
{
    if (a->len == 0)
        return;
    assert(a->len == 4 || a->len == 16);
    uint8_t *v = put_attribute(w, type, 4u + a->len);

    v[1] = a->len == 4 ? FAMILY_V4 : FAMILY_V6;
    put_u16(v + 2, mask ? a->port ^ get_u16(mask) : a->port);
    for (size_t i = 0; i < a->len; i++)
        v[4 + i] = mask ? a->ip[i] ^ mask[i] : a->ip[i];
}

static void put_error(struct writer *w, const struct stun *m)
{
    uint8_t *v = put_attribute(w, A_ERROR_CODE, 4); /* no phrase: answers stay small */

    v[2] = (uint8_t)(m->error / 100);
    v[3] = (uint8_t)(m->error % 100);
    if (m->error != 420 || m->unknown == 0)
        return;
    size_t n = 0;
    while (n < STUN_UNKNOWN_REST && m->unknown_rest[n] != 0)
        n++;
    v = put_attribute(w, A_UNKNOWN_ATTRIBUTES, 2 * (n + 1));
    put_u16(v, m->unknown);
    for (size_t i = 0; i < n; i++)
        put_u16(v + 2 * (i + 1), m->unknown_rest[i]);
}

static size_t addr_size(const struct addr *a)
{
    return a->len == 0 ? 0 : ATTRIBUTE_HEADER + 4u + a->len;
}

static size_t error_size(const struct stun *m)
{
    size_t n = 0;

    if (m->error != 420 || m->unknown == 0)
        return ATTRIBUTE_HEADER + 4;
    while (n < STUN_UNKNOWN_REST && m->unknown_rest[n] != 0)
        n++;
    return 2 * ATTRIBUTE_HEADER + 4 + ((2 * (n + 1) + 3) & ~(size_t)3);
}

/* As much as was asked for, as far as a datagram has room for it after len bytes. */
static size_t padding_after(size_t len, const struct stun *m)
{
    size_t left = STUN_MAX - len - ATTRIBUTE_HEADER - FINGERPRINT_BYTES;

    return m->padding < left ? m->padding : left;
}

size_t stun_size(const struct stun *m)
{
    size_t len = STUN_HEADER;

    if (m->error != 0)
        len += error_size(m);
    len += addr_size(&m->mapped) + addr_size(&m->origin) + addr_size(&m->other);
    if (m->has_change)
        len += ATTRIBUTE_HEADER + 4;
    if (m->has_peer)
        len += ATTRIBUTE_HEADER + sizeof m->peer.b;
    if (m->has_cookie)
        len += ATTRIBUTE_HEADER + STUN_COOKIE_BYTES;
    if (m->daily)
        len += ATTRIBUTE_HEADER;
    if (m->token.len > 0)
        len += ATTRIBUTE_HEADER + ((m->token.len + 3u) & ~3u);
    if (m->response_port != 0)
        len += ATTRIBUTE_HEADER + 4;
    if (m->has_padding)
        len += ATTRIBUTE_HEADER + ((padding_after(len, m) + 3) & ~(size_t)3);
    return m->has_fingerprint ? len + FINGERPRINT_BYTES : len;
}

size_t stun_encode(const struct stun *m, uint8_t buf[static STUN_MAX])
{
    struct writer w = {buf, STUN_HEADER};
    uint8_t mask[16];

    put_u16(buf, m->type);
    put_u16(buf + 2, (uint16_t)(stun_size(m) - STUN_HEADER));
    put_u32(buf + 4, STUN_MAGIC);
    if (m->classic)
        memcpy(buf + 4, m->classic_id, sizeof m->classic_id);
    memcpy(buf + 8, m->txid, STUN_TXID_BYTES);
    xor_mask(m->txid, mask);
    if (m->error != 0)
        put_error(&w, m);
    if (m->classic) {
        put_addr(&w, A_MAPPED_ADDRESS, &m->mapped, NULL);
        put_addr(&w, A_SOURCE_ADDRESS, &m->origin, NULL);
        put_addr(&w, A_CHANGED_ADDRESS, &m->other, NULL);
    } else {
        put_addr(&w, A_XOR_MAPPED_ADDRESS, &m->mapped, mask);
        put_addr(&w, A_RESPONSE_ORIGIN, &m->origin, NULL);
        put_addr(&w, A_OTHER_ADDRESS, &m->other, NULL);
    }
    if (m->has_change)
        put_u32(put_attribute(&w, A_CHANGE_REQUEST, 4), m->change);
    if (m->has_peer)
        memcpy(put_attribute(&w, A_PEER_ID, sizeof m->peer.b), m->peer.b, sizeof m->peer.b);
    if (m->has_cookie)
        memcpy(put_attribute(&w, A_COOKIE, STUN_COOKIE_BYTES), m->cookie, STUN_COOKIE_BYTES);
    if (m->daily)
        put_attribute(&w, A_DAILY, 0);
    if (m->token.len > 0)
        memcpy(put_attribute(&w, A_TOKEN, m->token.len), m->token.b, m->token.len);
    if (m->response_port != 0)
        put_u16(put_attribute(&w, A_RESPONSE_PORT, 2), m->response_port);
    if (m->has_padding) {
        put_attribute(&w, A_PADDING, padding_after(w.len, m));
    }
    if (m->has_fingerprint) {
        uint32_t crc = crc32(buf, w.len) ^ FINGERPRINT_XOR;
        put_u32(put_attribute(&w, A_FINGERPRINT, 4), crc);
    }
    assert(w.len == stun_size(m));
    return w.len;
}

struct stun stun_request(const uint8_t txid[static STUN_TXID_BYTES])
{
    struct stun m = {.type = STUN_BINDING_REQUEST};

    memcpy(m.txid, txid, STUN_TXID_BYTES);
    return m;
}
