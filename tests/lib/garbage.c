/* garbage.c - see garbage.h. */
#include "tests/lib/garbage.h"

#include "lib/relaywire.h"
#include "lib/stun.h"
#include "tests/lib/random_msg.h"

#include <string.h>

enum { FLIPS_MAX = 4 };

size_t garbage_spoil(struct rng *r, enum garbage kind, uint8_t data[static GARBAGE_MAX], size_t len,
                     size_t max)
{
    switch (kind) {
    case GARBAGE_RANDOM:
        len = rng_below(r, max + 1);
        rng_bytes(r, data, len);
        return len;
    case GARBAGE_CUT: return len ? rng_below(r, len) : 0;
    default:
        for (size_t n = 1 + rng_below(r, FLIPS_MAX); n > 0 && len > 0; n--)
            data[rng_below(r, len)] ^= (uint8_t)(1u << rng_below(r, 8));
        return len;
    }
}

static struct addr any_addr(struct rng *r)
{
    struct addr a = {.len = 4, .port = (uint16_t)rng_u64(r)};

    rng_bytes(r, a.ip, 4);
    return a;
}

static size_t stun(struct rng *r, uint8_t *data)
{
    uint8_t id[STUN_TXID_BYTES];

    rng_bytes(r, id, sizeof id);
    struct stun m = stun_request(id);
    if (rng_below(r, 3) == 0) {
        m.type = rng_below(r, 2) ? STUN_BINDING_RESPONSE : STUN_BINDING_ERROR;
        m.mapped = any_addr(r);
        m.other = any_addr(r);
        m.error = m.type == STUN_BINDING_ERROR ? 420 : 0;
    }
    m.has_change = rng_below(r, 4) == 0;
    m.change = m.has_change ? (uint32_t)rng_below(r, 8) : 0;
    m.has_peer = rng_below(r, 2) == 0;
    rng_bytes(r, m.peer.b, sizeof m.peer.b);
    m.has_cookie = rng_below(r, 2) == 0;
    rng_bytes(r, m.cookie, sizeof m.cookie);
    m.has_padding = rng_below(r, 4) == 0;
    m.padding = (uint16_t)(4 * rng_below(r, 200));
    m.response_port = rng_below(r, 4) == 0 ? (uint16_t)rng_u64(r) : 0;
    m.has_fingerprint = rng_below(r, 2) == 0;
    return stun_encode(&m, data);
}

static size_t relay(struct rng *r, uint8_t *data)
{
    struct relay_control c;

    rng_bytes(r, &c, sizeof c);
    c.op = (uint8_t)(RELAY_BIND + rng_below(r, RELAY_AGAIN));
    c.status = (uint8_t)rng_below(r, RELAY_FULL + 1);
    return relay_encode(&c, data);
}

static size_t sealed(struct rng *r, uint8_t *data)
{
    struct path_id path;
    uint8_t key[32], payload[PAYLOAD_MAX];

    rng_bytes(r, &path, sizeof path);
    rng_bytes(r, key, sizeof key);
    if (rng_below(r, 2)) {
        rng_bytes(r, payload, sizeof payload);
        return data_seal((enum data_kind)rng_below(r, 5), payload, rng_below(r, PAYLOAD_MAX + 1),
                         rng_u64(r), &path, key, data);
    }
    struct punch p = {.type = rng_below(r, 2) ? PACKET_PUNCH : PACKET_PONG,
                      .counter = rng_u64(r),
                      .echo = rng_u64(r),
                      .flags = (uint8_t)rng_below(r, 4),
                      .seen = any_addr(r)};
    punch_seal(&p, &path, key, data);
    return PUNCH_BYTES;
}

size_t garbage_datagram(struct rng *r, enum garbage kind, uint8_t data[static GARBAGE_MAX])
{
    static size_t (*const real[])(struct rng *, uint8_t *) = {stun, relay, sealed};
    size_t len = real[rng_below(r, 3)](r, data);

    len = garbage_spoil(r, kind, data, len, GARBAGE_DATAGRAM_MAX);
    if (kind == GARBAGE_RANDOM && len > 0 && rng_below(r, 2)) /* past the first byte's check */
        data[0] = (uint8_t)rng_below(r, 16);
    return len;
}

void garbage_message(struct rng *r, enum garbage kind, enum role from, enum role to,
                     struct garbage_frames *out)
{
    enum msg_type type;
    char body[MSG_SIZE_MAX];

    do
        type = (enum msg_type)rng_below(r, MSG_TYPE_COUNT);
    while (!msg_routed(type, from, to));
    struct msg m = msg_random(r, type);
    out->n = kind == GARBAGE_RANDOM ? 1 + rng_below(r, GARBAGE_FRAMES_MAX) : 2;
    out->v[0].len = strlen(msg_name[type]);
    memcpy(out->v[0].data, msg_name[type], out->v[0].len);
    out->v[1].len = msg_encode(&m, body);
    memcpy(out->v[1].data, body, out->v[1].len);
    if (kind == GARBAGE_RANDOM)
        for (size_t i = rng_below(r, 2); i < out->n; i++) /* with a true name every other time */
            out->v[i].len = garbage_spoil(r, kind, out->v[i].data, 0, i == 0 ? 80 : 600);
    else {
        size_t at = rng_below(r, 8) != 0; /* mostly the body */
        out->v[at].len = garbage_spoil(r, kind, out->v[at].data, out->v[at].len, 0);
    }
}
