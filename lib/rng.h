/*
 * rng.h - the random generator of every core: ChaCha20 (RFC 8439) under a key from the kernel in
 * production, from the seed in tests.  Same key, same stream.
 *
 * Pure.  After each refill the key is replaced by the stream's own first bytes, so that what was
 * drawn can't be computed from what is left in memory.
 */
#ifndef RNG_H
#define RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint8_t key[32];
    uint8_t block[512]; /* drawn from the end; drawn bytes are wiped */
    size_t left;
};

void rng_init(struct rng *r, const uint8_t key[static 32]);
void rng_seed(struct rng *r, uint64_t seed); /* for tests and simulation only */
void rng_bytes(struct rng *r, void *out, size_t n);
uint64_t rng_u64(struct rng *r);

/* Uniform in [0, n), n > 0, without modulo bias. */
uint64_t rng_below(struct rng *r, uint64_t n);

#endif
