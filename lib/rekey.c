/* rekey.c - see rekey.h. */
#include "lib/rekey.h"

#include <sodium.h>
#include <string.h>

void rekey_next(uint8_t key[static 32])
{
    static const uint8_t zeroes[32];
    uint8_t nonce[12], sealed[32 + PACKET_TAG];

    memset(nonce, 0, 4);
    memset(nonce + 4, 0xff, 8); /* the nonce that no packet may have: counters never come so far */
    crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, zeroes, sizeof zeroes, NULL, 0, NULL,
                                              nonce, key);
    memcpy(key, sealed, 32);
    sodium_memzero(sealed, sizeof sealed);
}

void rekey_start(struct rekey_send *s, struct rekey_receive *r, const uint8_t send[static 32],
                 const uint8_t receive[static 32])
{
    memset(s, 0, sizeof *s);
    memset(r, 0, sizeof *r);
    memcpy(s->key, send, sizeof s->key);
    memcpy(r->key, receive, sizeof r->key);
}

size_t rekey_seal(struct rekey_send *s, int64_t now_us, enum data_kind kind, const uint8_t *payload,
                  size_t len, const struct path_id *to, uint8_t out[static DATA_BYTES_MAX])
{
    uint64_t number = s->counter >> REKEY_BITS;

    s->counter++;
    if (s->next_us == 0)
        s->next_us = now_us + REKEY_EVERY_US;
    if (now_us >= s->next_us) /* as if the others had been sent */
        s->counter = (number + 1) << REKEY_BITS;
    if (s->counter >> REKEY_BITS != number) {
        rekey_next(s->key);
        s->next_us = now_us + REKEY_EVERY_US;
    }
    return data_seal(kind, payload, len, s->counter, to, s->key, out);
}

/* A packet of a key that is not there yet: go forward, and stay there only when it is authentic. */
static int open_ahead(struct rekey_receive *r, uint64_t number, const uint8_t *data, size_t len,
                      uint8_t *kind, uint8_t *payload)
{
    uint8_t key[32], before[32];

    if (number - r->number > REKEY_AHEAD_MAX)
        return REKEY_FORGED;
    memcpy(key, r->key, sizeof key);
    for (uint64_t n = r->number; n != number; n++) {
        memcpy(before, key, sizeof before);
        rekey_next(key);
    }
    int got = data_open(data, len, key, kind, payload);
    if (got >= 0) {
        memcpy(r->key, key, sizeof r->key);
        memcpy(r->before, before, sizeof r->before);
        r->has_before = true;
        r->number = number;
    }
    sodium_memzero(key, sizeof key);
    sodium_memzero(before, sizeof before);
    return got;
}

int rekey_open(struct rekey_receive *r, const uint8_t *data, size_t len, uint8_t *kind,
               uint8_t payload[static PAYLOAD_MAX])
{
    struct packet_head head;
    int got = REKEY_FORGED;

    if (!packet_head(data, len, &head))
        return REKEY_FORGED;
    uint64_t number = head.counter >> REKEY_BITS;
    if (number == r->number)
        got = data_open(data, len, r->key, kind, payload);
    else if (number > r->number)
        got = open_ahead(r, number, data, len, kind, payload);
    else if (number + 1 == r->number && r->has_before)
        got = data_open(data, len, r->before, kind, payload);
    if (got < 0)
        return REKEY_FORGED;
    if (!replay_accept(&r->replay, head.counter))
        return REKEY_REPLAYED;
    /* No straggler of the key before would be taken any more. */
    if (r->has_before && r->replay.top >= (r->number << REKEY_BITS) + REPLAY_WINDOW) {
        sodium_memzero(r->before, sizeof r->before);
        r->has_before = false;
    }
    return got;
}
