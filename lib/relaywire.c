/* relaywire.c - see relaywire.h. */
#include "lib/relaywire.h"

#include <assert.h>
#include <string.h>

/* What follows the two bytes of type and op, in this order; what an op has not is absent. */
enum { HAS_NONCE = 1, HAS_PATH = 2, HAS_COOKIE = 4, HAS_TICKET = 8, HAS_STATUS = 16 };

static const uint8_t layout[] = {
    [RELAY_BIND] = HAS_NONCE | HAS_TICKET,
    [RELAY_CHALLENGE] = HAS_NONCE | HAS_COOKIE,
    [RELAY_PROVE] = HAS_NONCE | HAS_COOKIE | HAS_TICKET,
    [RELAY_BOUND] = HAS_NONCE | HAS_STATUS,
    [RELAY_KEEP] = HAS_PATH,
    [RELAY_KEPT] = HAS_PATH | HAS_STATUS,
    [RELAY_UNKNOWN] = HAS_PATH,
    [RELAY_AGAIN] = HAS_PATH | HAS_COOKIE,
};
enum { OPS = sizeof layout / sizeof layout[0] };

static size_t length_of(uint8_t has)
{
    return 2u + (has & HAS_NONCE ? RELAY_NONCE : 0u) + (has & HAS_PATH ? 8u : 0u) +
           (has & HAS_COOKIE ? RELAY_COOKIE : 0u) + (has & HAS_TICKET ? TICKET_BYTES : 0u) +
           (has & HAS_STATUS ? 1u : 0u);
}

static uint8_t *put(uint8_t *p, const void *from, size_t n)
{
    memcpy(p, from, n);
    return p + n;
}

static const uint8_t *get(const uint8_t *p, void *to, size_t n)
{
    memcpy(to, p, n);
    return p + n;
}

size_t relay_encode(const struct relay_control *c, uint8_t out[static RELAY_CONTROL_MAX])
{
    uint8_t *p = out;

    assert(c->op >= RELAY_BIND && c->op < OPS);
    uint8_t has = layout[c->op];
    *p++ = PACKET_RELAY;
    *p++ = c->op;
    if (has & HAS_NONCE)
        p = put(p, c->nonce, sizeof c->nonce);
    if (has & HAS_PATH)
        p = put(p, c->path.b, sizeof c->path.b);
    if (has & HAS_COOKIE)
        p = put(p, c->cookie, sizeof c->cookie);
    if (has & HAS_TICKET)
        p = put(p, c->ticket, sizeof c->ticket);
    if (has & HAS_STATUS)
        *p++ = c->status;
    return (size_t)(p - out);
}

bool relay_parse(const uint8_t *data, size_t len, struct relay_control *out)
{
    const uint8_t *p = data + 2;

    if (len < 2 || data[0] != PACKET_RELAY || data[1] < RELAY_BIND || data[1] >= OPS)
        return false;
    uint8_t has = layout[data[1]];
    if (len != length_of(has) || (has & HAS_STATUS && data[len - 1] > RELAY_FULL))
        return false;
    memset(out, 0, sizeof *out);
    out->op = data[1];
    if (has & HAS_NONCE)
        p = get(p, out->nonce, sizeof out->nonce);
    if (has & HAS_PATH)
        p = get(p, out->path.b, sizeof out->path.b);
    if (has & HAS_COOKIE)
        p = get(p, out->cookie, sizeof out->cookie);
    if (has & HAS_TICKET)
        p = get(p, out->ticket, sizeof out->ticket);
    if (has & HAS_STATUS)
        out->status = *p;
    return true;
}
