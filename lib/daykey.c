/* daykey.c - see daykey.h. */
#include "lib/daykey.h"

#include "lib/bytes.h"

#include <sodium.h>

#define SECRET_CONTEXT "natterjack-day-secret-1"
#define CERT_CONTEXT "natterjack-day-1"
enum { CONTEXT = sizeof CERT_CONTEXT - 1, CERT_SIGNED = CONTEXT + 4 + 32 };

/* A time beyond all days must not come out as one of them. */
uint32_t daykey_day(int64_t wall_ms)
{
    int64_t day = wall_ms > 0 ? wall_ms / DAYKEY_MS : 0;

    return day < UINT32_MAX ? (uint32_t)day : UINT32_MAX;
}

uint32_t daykey_first(int64_t wall_ms) { return daykey_day(wall_ms - DAYKEY_MS / 2); }

static void cert_layout(uint32_t day, const uint8_t key[static 32], uint8_t b[static CERT_SIGNED])
{
    memcpy(b, CERT_CONTEXT, CONTEXT);
    put_u32(b + CONTEXT, day);
    memcpy(b + CONTEXT + 4, key, 32);
}

void daykey_make(const uint8_t prober_secret[static 64], uint32_t day, uint8_t secret[static 64],
                 struct daykey *out)
{
    uint8_t in[sizeof SECRET_CONTEXT - 1 + 4], seed[crypto_sign_SEEDBYTES], b[CERT_SIGNED];

    memcpy(in, SECRET_CONTEXT, sizeof SECRET_CONTEXT - 1);
    put_u32(in + sizeof SECRET_CONTEXT - 1, day);
    /* libsodium: the seed, then the public key */
    crypto_generichash_blake2b(seed, sizeof seed, in, sizeof in, prober_secret, 32);
    crypto_sign_seed_keypair(out->key, secret, seed);
    sodium_memzero(seed, sizeof seed);
    memcpy(out->prober, prober_secret + 32, sizeof out->prober);
    out->day = day;
    cert_layout(day, out->key, b);
    crypto_sign_detached(out->cert, NULL, b, sizeof b, prober_secret);
}

static bool is_signed(const struct daykey *k, const struct prober_list *probers)
{
    uint8_t b[CERT_SIGNED];

    cert_layout(k->day, k->key, b);
    for (size_t i = 0; i < probers->n && i < PROBERS_MAX; i++)
        if (memcmp(probers->v[i].key, k->prober, sizeof k->prober) == 0 &&
            crypto_sign_verify_detached(k->cert, b, sizeof b, probers->v[i].key) == 0)
            return true;
    return false;
}

static bool is_known(const struct daykey_list *l, const struct daykey *k)
{
    for (size_t i = 0; i < l->n; i++)
        if (memcmp(&l->v[i], k, sizeof *k) == 0)
            return true;
    return false;
}

static size_t n_of(const struct daykey_list *l, const uint8_t prober[static 8])
{
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++)
        n += memcmp(l->v[i].prober, prober, sizeof l->v[i].prober) == 0;
    return n;
}

static bool is_one_of(const struct prober_list *probers, const uint8_t prober[static 8])
{
    for (size_t i = 0; i < probers->n && i < PROBERS_MAX; i++)
        if (memcmp(probers->v[i].key, prober, 8) == 0)
            return true;
    return false;
}

void daykey_take(struct daykey_list *kept, const struct daykey_list *told,
                 const struct prober_list *probers)
{
    struct daykey_list good = {0}, fresh;

    for (size_t i = 0; i < told->n && i < DAYKEYS_MAX; i++) {
        const struct daykey *k = &told->v[i];
        if (n_of(&good, k->prober) < DAYKEYS_LIVE && is_one_of(probers, k->prober) &&
            (is_known(kept, k) || is_signed(k, probers)))
            good.v[good.n++] = *k;
    }
    fresh = good;
    for (size_t i = 0; i < kept->n && good.n < DAYKEYS_MAX; i++)
        if (n_of(&fresh, kept->v[i].prober) == 0 && is_one_of(probers, kept->v[i].prober))
            good.v[good.n++] = kept->v[i];
    *kept = good;
}

const uint8_t *daykey_find(const struct daykey_list *l, const uint8_t prober[static 8],
                           uint32_t day)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i].day == day && memcmp(l->v[i].prober, prober, sizeof l->v[i].prober) == 0)
            return l->v[i].key;
    return NULL;
}
