/*
 * noise.h - the Noise KK handshake: Noise_KK_25519_ChaChaPoly_BLAKE2b (noiseprotocol.org, revision 34).
 *
 *   -> s, <- s, ...          both static keys are known beforehand
 *   -> e, es, ss             48 bytes with an empty payload
 *   <- e, ee, se             48 bytes with an empty payload
 *
 * Pure: ephemeral keys come in.  The state is a value: a responder that wants to answer a repeated
 * first message keeps the bytes of its answer, not the state.
 */
#ifndef NOISE_H
#define NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NOISE_KEY = 32, NOISE_HASH = 64, NOISE_TAG = 16, NOISE_MSG = NOISE_KEY + NOISE_TAG };
enum { NOISE_PAYLOAD_MAX = 1024 };

struct noise {
    uint8_t ck[NOISE_HASH], h[NOISE_HASH];
    uint8_t k[NOISE_KEY];
    uint64_t n;
    uint8_t done; /* messages of the handshake written or read */
    bool initiator;
    uint8_t s[NOISE_KEY], s_pub[NOISE_KEY]; /* own static */
    uint8_t e[NOISE_KEY], e_pub[NOISE_KEY]; /* own ephemeral */
    uint8_t rs[NOISE_KEY], re[NOISE_KEY];   /* remote static and ephemeral */
};

/* The two transport keys of Split(); initiator sends with i2r. */
struct noise_keys {
    uint8_t i2r[NOISE_KEY], r2i[NOISE_KEY];
    uint8_t hash[NOISE_HASH]; /* handshake hash, for channel binding */
};

/* ephemeral is this side's secret; prologue is whatever both sides must agree on. */
void noise_init(struct noise *n, bool initiator, const uint8_t *prologue, size_t prologue_len,
                const uint8_t secret[static 32], const uint8_t remote_public[static 32],
                const uint8_t ephemeral[static 32]);

/*
 * Write or read the next message, with a payload of at most NOISE_PAYLOAD_MAX bytes (len 0 here, non-empty
 * in the published vectors).  write returns the message's length; read returns the payload's length or -1
 * when it is forged or malformed, or it isn't our turn to read.  A remote key of small order is refused
 * (-1; write returns 0).  A refusal leaves n unchanged.  in and out may not overlap.
 */
size_t noise_write(struct noise *n, const uint8_t *payload, size_t len, uint8_t *out);
int noise_read(struct noise *n, const uint8_t *in, size_t len, uint8_t *payload);

/* After both messages; wipes n. */
void noise_split(struct noise *n, struct noise_keys *keys);

#endif
