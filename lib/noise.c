/* noise.c - Noise_KK_25519_ChaChaPoly_BLAKE2b; section numbers are those of revision 34 of the Noise paper. */
#include "lib/noise.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

enum { HASH_BLOCK = 128 }; /* BLAKE2b's block, section 12.8 */

/* Exactly the length of its string, without a terminator. */
static const uint8_t protocol[] = {"Noise_KK_25519_ChaChaPoly_BLAKE2b"};
_Static_assert(sizeof protocol - 1 <= NOISE_HASH, "a name that fits is padded, not hashed (5.2)");

/* Hash the concatenation of a and b. */
static void hash2(uint8_t out[static NOISE_HASH], const uint8_t *a, size_t a_len, const uint8_t *b,
                  size_t b_len)
{
    crypto_generichash_blake2b_state st;

    crypto_generichash_blake2b_init(&st, NULL, 0, NOISE_HASH);
    crypto_generichash_blake2b_update(&st, a, a_len);
    crypto_generichash_blake2b_update(&st, b, b_len);
    crypto_generichash_blake2b_final(&st, out, NOISE_HASH);
    sodium_memzero(&st, sizeof st);
}

/* RFC 2104 over BLAKE2b without a key, as section 4.3 has it; keys here never exceed a block. */
static void hmac(uint8_t out[static NOISE_HASH], const uint8_t key[static NOISE_HASH],
                 const uint8_t *data, size_t len)
{
    uint8_t pad[HASH_BLOCK], inner[NOISE_HASH];

    memset(pad, 0x36, sizeof pad);
    for (size_t i = 0; i < NOISE_HASH; i++)
        pad[i] ^= key[i];
    hash2(inner, pad, sizeof pad, data, len);
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    hash2(out, pad, sizeof pad, inner, sizeof inner);
    sodium_memzero(pad, sizeof pad);
    sodium_memzero(inner, sizeof inner);
}

/* HKDF of section 4.3 with two outputs.  first may be ck itself. */
static void hkdf(const uint8_t ck[static NOISE_HASH], const uint8_t *ikm, size_t len,
                 uint8_t first[static NOISE_HASH], uint8_t second[static NOISE_HASH])
{
    uint8_t key[NOISE_HASH], in[NOISE_HASH + 1];

    hmac(key, ck, ikm, len);
    hmac(first, key, (const uint8_t[]){1}, 1);
    memcpy(in, first, NOISE_HASH);
    in[NOISE_HASH] = 2;
    hmac(second, key, in, sizeof in);
    sodium_memzero(key, sizeof key);
    sodium_memzero(in, sizeof in);
}

static void mix_hash(struct noise *n, const uint8_t *data, size_t len)
{
    hash2(n->h, n->h, sizeof n->h, data, len);
}

/* MixKey(DH(secret, public)).  False when the public key has small order. */
static bool mix_dh(struct noise *n, const uint8_t secret[static NOISE_KEY],
                   const uint8_t public[static NOISE_KEY])
{
    uint8_t shared[NOISE_KEY], k[NOISE_HASH];

    if (crypto_scalarmult(shared, secret, public) != 0)
        return false;
    hkdf(n->ck, shared, sizeof shared, n->ck, k);
    memcpy(n->k, k, sizeof n->k);
    n->n = 0;
    sodium_memzero(shared, sizeof shared);
    sodium_memzero(k, sizeof k);
    return true;
}

/* Section 12.4: 32 zero bits, then the counter in little-endian. */
static void nonce(uint8_t out[static 12], uint64_t counter)
{
    memset(out, 0, 4);
    for (unsigned i = 0; i < 8; i++)
        out[4 + i] = (uint8_t)(counter >> 8 * i);
}

static void encrypt_and_hash(struct noise *n, const uint8_t *plain, size_t len, uint8_t *out)
{
    uint8_t iv[12];

    nonce(iv, n->n++);
    crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, len, n->h, sizeof n->h, NULL, iv,
                                              n->k);
    mix_hash(n, out, len + NOISE_TAG);
}

static bool decrypt_and_hash(struct noise *n, const uint8_t *in, size_t len, uint8_t *plain)
{
    uint8_t iv[12];

    nonce(iv, n->n++);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(plain, NULL, NULL, in, len, n->h, sizeof n->h, iv,
                                                  n->k) != 0)
        return false;
    mix_hash(n, in, len);
    return true;
}

/*
 * The Diffie-Hellman tokens that follow e, in order: "es, ss" in the first message, "ee, se" in the
 * second (7.5).  Of a token's two letters the first names the initiator's key, the second the
 * responder's.
 */
static bool mix_tokens(struct noise *n)
{
    if (n->done == 0)
        return (n->initiator ? mix_dh(n, n->e, n->rs) : mix_dh(n, n->s, n->re)) &&
               mix_dh(n, n->s, n->rs);
    return mix_dh(n, n->e, n->re) &&
           (n->initiator ? mix_dh(n, n->s, n->re) : mix_dh(n, n->e, n->rs));
}

void noise_init(struct noise *n, bool initiator, const uint8_t *prologue, size_t prologue_len,
                const uint8_t secret[static 32], const uint8_t remote_public[static 32],
                const uint8_t ephemeral[static 32])
{
    memset(n, 0, sizeof *n);
    n->initiator = initiator;
    memcpy(n->h, protocol, sizeof protocol - 1);
    memcpy(n->ck, n->h, sizeof n->ck);
    memcpy(n->s, secret, sizeof n->s);
    memcpy(n->e, ephemeral, sizeof n->e);
    memcpy(n->rs, remote_public, sizeof n->rs);
    crypto_scalarmult_base(n->s_pub, n->s);
    crypto_scalarmult_base(n->e_pub, n->e);
    mix_hash(n, prologue, prologue_len);
    mix_hash(n, initiator ? n->s_pub : n->rs, NOISE_KEY);
    mix_hash(n, initiator ? n->rs : n->s_pub, NOISE_KEY);
}

size_t noise_write(struct noise *n, const uint8_t *payload, size_t len, uint8_t *out)
{
    struct noise next = *n;
    size_t total = 0;

    assert(n->done == (n->initiator ? 0 : 1) && len <= NOISE_PAYLOAD_MAX);
    mix_hash(&next, n->e_pub, NOISE_KEY);
    if (mix_tokens(&next)) {
        memcpy(out, n->e_pub, NOISE_KEY);
        encrypt_and_hash(&next, payload, len, out + NOISE_KEY);
        next.done++;
        *n = next;
        total = NOISE_MSG + len;
    }
    sodium_memzero(&next, sizeof next);
    return total;
}

int noise_read(struct noise *n, const uint8_t *in, size_t len, uint8_t *payload)
{
    struct noise next = *n;
    int got = -1;

    if (n->done != (n->initiator ? 1 : 0) || len < NOISE_MSG || len > NOISE_MSG + NOISE_PAYLOAD_MAX)
        return -1;
    memcpy(next.re, in, NOISE_KEY);
    mix_hash(&next, next.re, NOISE_KEY);
    if (mix_tokens(&next) && decrypt_and_hash(&next, in + NOISE_KEY, len - NOISE_KEY, payload)) {
        next.done++;
        *n = next;
        got = (int)(len - NOISE_MSG);
    }
    sodium_memzero(&next, sizeof next);
    return got;
}

void noise_split(struct noise *n, struct noise_keys *keys)
{
    uint8_t first[NOISE_HASH], second[NOISE_HASH];

    assert(n->done == 2);
    hkdf(n->ck, NULL, 0, first, second);
    memcpy(keys->i2r, first, sizeof keys->i2r);
    memcpy(keys->r2i, second, sizeof keys->r2i);
    memcpy(keys->hash, n->h, sizeof keys->hash);
    sodium_memzero(first, sizeof first);
    sodium_memzero(second, sizeof second);
    sodium_memzero(n, sizeof *n);
}
