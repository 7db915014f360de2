/* packet.c - see packet.h. */
#include "lib/packet.h"

#include "lib/bytes.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

enum { NONCE = 12 };

struct path_id path_id(const struct sid *session, unsigned side)
{
    uint8_t hash[32], s = (uint8_t)side;
    struct path_id id;

    crypto_generichash_blake2b(hash, sizeof hash, &s, 1, session->b, sizeof session->b);
    memcpy(id.b, hash, sizeof id.b);
    return id;
}

bool packet_head(const uint8_t *data, size_t len, struct packet_head *out)
{
    if (len < PACKET_HEADER + PACKET_TAG)
        return false;
    switch (data[0]) {
    case PACKET_PUNCH:
    case PACKET_PONG:
        if (len != PUNCH_BYTES)
            return false;
        break;
    case PACKET_DATA:
        if (len < DATA_OVERHEAD || len > DATA_BYTES_MAX)
            return false;
        break;
    default: return false;
    }
    out->type = data[0];
    memcpy(out->path.b, data + 1, sizeof out->path.b);
    out->counter = get_u64(data + 9);
    return true;
}

static void put_head(uint8_t *out, uint8_t type, const struct path_id *to, uint64_t counter)
{
    out[0] = type;
    memcpy(out + 1, to->b, sizeof to->b);
    put_u64(out + 9, counter);
}

static void packet_nonce(uint8_t nonce[static NONCE], const uint8_t *head)
{
    memset(nonce, 0, 4);
    memcpy(nonce + 4, head + 9, 8);
}

/* Seal the body that stands behind the header in p, in place; the tag follows it. */
static void seal(uint8_t *p, size_t body, const uint8_t key[static 32])
{
    uint8_t nonce[NONCE];

    packet_nonce(nonce, p);
    crypto_aead_chacha20poly1305_ietf_encrypt(p + PACKET_HEADER, NULL, p + PACKET_HEADER, body, p,
                                              PACKET_HEADER, NULL, nonce, key);
}

static bool unseal(const uint8_t *p, size_t len, const uint8_t key[static 32], uint8_t *body)
{
    uint8_t nonce[NONCE];

    packet_nonce(nonce, p);
    return crypto_aead_chacha20poly1305_ietf_decrypt(body, NULL, NULL, p + PACKET_HEADER,
                                                     len - PACKET_HEADER, p, PACKET_HEADER, nonce,
                                                     key) == 0;
}

/* ---- punch and pong ----------------------------------------------------------------------- */

static void side_key(const uint8_t shared[static 32], const struct sid *session, uint8_t side,
                     uint8_t key[static 32])
{
    static const uint8_t label[] = {"natterjack-punch-1"};
    uint8_t in[sizeof label - 1 + sizeof session->b + 1];

    memcpy(in, label, sizeof label - 1);
    memcpy(in + sizeof label - 1, session->b, sizeof session->b);
    in[sizeof in - 1] = side;
    crypto_generichash_blake2b(key, 32, in, sizeof in, shared, 32);
}

bool punch_keys(const uint8_t secret[static 32], const struct peer_id *remote,
                const struct sid *session, uint8_t side0[static 32], uint8_t side1[static 32])
{
    uint8_t shared[32];

    if (crypto_scalarmult(shared, secret, remote->b) != 0)
        return false;
    side_key(shared, session, 0, side0);
    side_key(shared, session, 1, side1);
    sodium_memzero(shared, sizeof shared);
    return true;
}

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291 section 2.5.5.2 */

static void put_addr(uint8_t *p, const struct addr *a)
{
    memset(p, 0, 18);
    put_u16(p, a->port);
    if (a->len == 16)
        memcpy(p + 2, a->ip, 16);
    if (a->len == 4) {
        memcpy(p + 2, v4_mapped, sizeof v4_mapped);
        memcpy(p + 14, a->ip, 4);
    }
}

static struct addr get_addr(const uint8_t *p)
{
    struct addr a = {0};

    if (sodium_is_zero(p, 18))
        return a;
    a.port = get_u16(p);
    if (memcmp(p + 2, v4_mapped, sizeof v4_mapped) == 0) {
        a.len = 4;
        memcpy(a.ip, p + 14, 4);
    } else {
        a.len = 16;
        memcpy(a.ip, p + 2, 16);
    }
    return a;
}

void punch_seal(const struct punch *p, const struct path_id *to, const uint8_t key[static 32],
                uint8_t out[static PUNCH_BYTES])
{
    uint8_t *body = out + PACKET_HEADER;

    assert(p->type == PACKET_PUNCH || p->type == PACKET_PONG);
    put_head(out, p->type, to, p->counter);
    put_u64(body, p->echo);
    body[8] = p->technique;
    body[9] = p->flags;
    memcpy(body + 10, p->noise, NOISE_MSG);
    put_addr(body + 10 + NOISE_MSG, &p->seen);
    seal(out, PUNCH_BODY, key);
}

bool punch_open(const uint8_t *data, size_t len, const uint8_t key[static 32], struct punch *out)
{
    uint8_t body[PUNCH_BODY];
    struct packet_head head;

    if (!packet_head(data, len, &head) || head.type == PACKET_DATA || !unseal(data, len, key, body))
        return false;
    *out = (struct punch){.type = head.type,
                          .counter = head.counter,
                          .echo = get_u64(body),
                          .technique = body[8],
                          .flags = body[9],
                          .seen = get_addr(body + 10 + NOISE_MSG)};
    memcpy(out->noise, body + 10, NOISE_MSG);
    return true;
}

/* ---- data ----------------------------------------------------------------------------------- */

size_t data_seal(enum data_kind kind, const uint8_t *payload, size_t len, uint64_t counter,
                 const struct path_id *to, const uint8_t key[static 32],
                 uint8_t out[static DATA_BYTES_MAX])
{
    assert(len <= PAYLOAD_MAX);
    put_head(out, PACKET_DATA, to, counter);
    out[PACKET_HEADER] = (uint8_t)kind;
    if (len > 0)
        memcpy(out + PACKET_HEADER + 1, payload, len);
    seal(out, 1 + len, key);
    return DATA_OVERHEAD + len;
}

int data_open(const uint8_t *data, size_t len, const uint8_t key[static 32], uint8_t *kind,
              uint8_t payload[static PAYLOAD_MAX])
{
    uint8_t body[1 + PAYLOAD_MAX];
    struct packet_head head;

    if (!packet_head(data, len, &head) || head.type != PACKET_DATA ||
        !unseal(data, len, key, body) || body[0] >= DATA_KINDS)
        return -1;
    *kind = body[0];
    memcpy(payload, body + 1, len - DATA_OVERHEAD);
    return (int)(len - DATA_OVERHEAD);
}

/* ---- replay --------------------------------------------------------------------------------- */

bool replay_accept(struct replay *r, uint64_t counter)
{
    if (counter == 0) /* counters start at 1 */
        return false;
    if (counter > r->top) {
        uint64_t jump = counter - r->top;
        if (jump >= REPLAY_WINDOW)
            memset(r->seen, 0, sizeof r->seen);
        else
            for (uint64_t c = r->top + 1; c != counter; c++)
                r->seen[c / 64 % (REPLAY_WINDOW / 64)] &= ~(UINT64_C(1) << c % 64);
        r->top = counter;
    } else if (r->top - counter >= REPLAY_WINDOW) {
        return false;
    } else if (r->seen[counter / 64 % (REPLAY_WINDOW / 64)] >> counter % 64 & 1) {
        return false;
    }
    r->seen[counter / 64 % (REPLAY_WINDOW / 64)] |= UINT64_C(1) << counter % 64;
    return true;
}
