/* ticket.c - see ticket.h. */
#include "lib/ticket.h"

#include "lib/bytes.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

enum { VERSION = 1, NONCE = crypto_box_NONCEBYTES, PLAIN = 16 + 1 + 1 + 8 + 8 + 8, MARK = 4 };
_Static_assert(TICKET_BYTES == 1 + NONCE + crypto_box_MACBYTES + PLAIN, "as ticket.h lays it out");
_Static_assert(TICKET_KEY == crypto_box_BEFORENMBYTES, "a precomputed crypto_box key");

uint64_t ticket_period(int64_t wall_ms, int64_t period_ms)
{
    return wall_ms > 0 ? (uint64_t)(wall_ms / period_ms) + 1 : 1;
}

#define SECRET_CONTEXT "natterjack-ticket-1"

void ticket_secret(const uint8_t relay_secret[static 32], uint64_t period,
                   uint8_t secret[static 32])
{
    uint8_t in[sizeof SECRET_CONTEXT - 1 + 8];

    memcpy(in, SECRET_CONTEXT, sizeof SECRET_CONTEXT - 1);
    put_u64(in + sizeof SECRET_CONTEXT - 1, period);
    crypto_generichash_blake2b(secret, 32, in, sizeof in, relay_secret, 32);
}

#define MARK_CONTEXT "natterjack-ticket-worker-1"

static void put_mark(const struct sid *session, const uint8_t coordinator_secret[static 32],
                     uint8_t mark[static MARK])
{
    uint8_t in[sizeof MARK_CONTEXT - 1 + sizeof session->b], hash[crypto_generichash_BYTES];

    memcpy(in, MARK_CONTEXT, sizeof MARK_CONTEXT - 1);
    memcpy(in + sizeof MARK_CONTEXT - 1, session->b, sizeof session->b);
    crypto_generichash_blake2b(hash, sizeof hash, in, sizeof in, coordinator_secret, 32);
    memcpy(mark, hash, MARK);
}

#define PROOF_CONTEXT "natterjack-ticket-proof-1"

static void proof_key(const uint8_t key[static TICKET_KEY],
                      uint8_t out[static crypto_shorthash_KEYBYTES])
{
    crypto_generichash_blake2b(out, crypto_shorthash_KEYBYTES, (const uint8_t *)PROOF_CONTEXT,
                               sizeof PROOF_CONTEXT - 1, key, TICKET_KEY);
}

static uint64_t word_of(const uint8_t *b)
{
    uint64_t word = 0;

    for (unsigned i = 8; i-- > 0;)
        word = word << 8 | b[i];
    return word;
}

void ticket_proof_key(const uint8_t key[static TICKET_KEY], uint64_t words[static 2])
{
    uint8_t k[crypto_shorthash_KEYBYTES];

    proof_key(key, k);
    words[0] = word_of(k);
    words[1] = word_of(k + 8);
    sodium_memzero(k, sizeof k);
}

static void put_proof(const uint8_t key[static TICKET_KEY], uint8_t nonce[static NONCE])
{
    uint8_t k[crypto_shorthash_KEYBYTES];

    _Static_assert(TICKET_PROVEN + crypto_shorthash_BYTES == NONCE, "the rest of it");
    proof_key(key, k);
    crypto_shorthash(nonce + TICKET_PROVEN, nonce, TICKET_PROVEN, k);
    sodium_memzero(k, sizeof k);
}

bool ticket_seal(const struct ticket *t, const uint8_t relay_public[static 32],
                 const uint8_t coordinator_secret[static 32], struct rng *rng,
                 uint8_t out[static TICKET_BYTES])
{
    uint8_t plain[PLAIN], key[TICKET_KEY];

    assert(t->side <= 1 && t->expires_ms >= 0);
    memcpy(plain, t->session.b, 16);
    plain[16] = t->side;
    plain[17] = t->mode;
    put_u64(plain + 18, (uint64_t)t->expires_ms);
    put_u64(plain + 26, t->bytes_max);
    put_u64(plain + 34, t->bytes_per_s);
    out[0] = VERSION;
    rng_bytes(rng, out + 1, NONCE);
    put_mark(&t->session, coordinator_secret, out + TICKET_MARK_AT);
    if (!ticket_key(relay_public, coordinator_secret, key))
        return false;
    put_proof(key, out + 1);
    bool ok = crypto_box_easy_afternm(out + 1 + NONCE, plain, sizeof plain, out + 1, key) == 0;
    sodium_memzero(key, sizeof key);
    return ok;
}

unsigned ticket_worker(const uint8_t ticket[static TICKET_BYTES], unsigned n_workers)
{
    return (unsigned)(get_u64(ticket + TICKET_MARK_AT) >> 32) % n_workers;
}

bool ticket_key(const uint8_t coordinator_public[static 32], const uint8_t relay_secret[static 32],
                uint8_t key[static TICKET_KEY])
{
    return crypto_box_beforenm(key, coordinator_public, relay_secret) == 0;
}

static bool read_plain(const uint8_t plain[static PLAIN], struct ticket *out)
{
    if (plain[16] > 1 || plain[18] > 0x7f) /* no such side; expiry beyond int64_t */
        return false;
    memcpy(out->session.b, plain, 16);
    out->side = plain[16];
    out->mode = plain[17];
    out->expires_ms = (int64_t)get_u64(plain + 18);
    out->bytes_max = get_u64(plain + 26);
    out->bytes_per_s = get_u64(plain + 34);
    return true;
}

bool ticket_open_with(const uint8_t *data, size_t len, const uint8_t (*keys)[TICKET_KEY],
                      size_t n_keys, struct ticket *out)
{
    uint8_t plain[PLAIN];

    if (len != TICKET_BYTES || data[0] != VERSION)
        return false;
    for (size_t i = 0; i < n_keys; i++)
        if (crypto_box_open_easy_afternm(plain, data + 1 + NONCE, len - 1 - NONCE, data + 1,
                                         keys[i]) == 0)
            return read_plain(plain, out);
    return false;
}

bool ticket_open(const uint8_t *data, size_t len, const uint8_t (*coordinators)[32],
                 size_t n_coordinators, const uint8_t relay_secret[static 32], struct ticket *out)
{
    uint8_t key[1][TICKET_KEY];
    bool ok = false;

    for (size_t i = 0; i < n_coordinators && !ok; i++)
        ok = ticket_key(coordinators[i], relay_secret, key[0]) &&
             ticket_open_with(data, len, (const uint8_t(*)[TICKET_KEY])key, 1, out);
    sodium_memzero(key, sizeof key);
    return ok;
}
