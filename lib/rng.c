/* rng.c - see rng.h. */
#include "lib/rng.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

void rng_init(struct rng *r, const uint8_t key[static 32])
{
    memset(r, 0, sizeof *r);
    memcpy(r->key, key, sizeof r->key);
}

void rng_seed(struct rng *r, uint64_t seed)
{
    uint8_t key[32] = {0};

    memcpy(key, &seed, sizeof seed);
    rng_init(r, key);
}

static void refill(struct rng *r)
{
    static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];

    crypto_stream_chacha20(r->block, sizeof r->block, nonce, r->key);
    memcpy(r->key, r->block, sizeof r->key);
    sodium_memzero(r->block, sizeof r->key);
    r->left = sizeof r->block - sizeof r->key;
}

void rng_bytes(struct rng *r, void *out, size_t n)
{
    uint8_t *p = out;

    while (n > 0) {
        if (r->left == 0)
            refill(r);
        size_t take = n < r->left ? n : r->left;
        uint8_t *from = r->block + sizeof r->block - r->left;
        memcpy(p, from, take);
        sodium_memzero(from, take);
        r->left -= take;
        p += take;
        n -= take;
    }
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t v;

    rng_bytes(r, &v, sizeof v);
    return v;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    assert(n > 0);
    uint64_t skip = -n % n; /* 2^64 mod n: values below it would favour the small residues */
    uint64_t v;

    do
        v = rng_u64(r);
    while (v < skip);
    return v % n;
}
