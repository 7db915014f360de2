/* cookie.c - see cookie.h. */
#include "services/relay/cookie.h"

#include "lib/bytes.h"

#include <sodium.h>

enum { SOURCE_BYTES = 1 + 16 + 2 };
_Static_assert((RELAY_STRANGERS & (RELAY_STRANGERS - 1)) == 0, "a power of two");

static void put_source(uint8_t out[static SOURCE_BYTES], const struct addr *src)
{
    out[0] = src->len;
    memcpy(out + 1, src->ip, 16);
    put_u16(out + 17, src->port);
}

static void derive(const struct relay *r, uint64_t period, uint8_t secret[static 32])
{
    const struct relay_load *load = r->load ? r->load : &r->own;
    uint8_t in[8];

    put_u64(in, period);
    crypto_generichash_blake2b(secret, 32, in, sizeof in, load->cookie_key,
                               sizeof load->cookie_key);
}

void relay_cookie_rotate(struct relay *r)
{
    uint64_t period = (uint64_t)(r->now_us / RELAY_COOKIE_US) + 1;

    if (period == r->cookie_period)
        return;
    r->cookie_period = period;
    derive(r, period, r->cookie_secret[0]);
    derive(r, period - 1, r->cookie_secret[1]);
}

static void hash(const uint8_t secret[static 32], const struct addr *src,
                 const uint8_t nonce[static RELAY_NONCE], uint8_t cookie[static RELAY_COOKIE])
{
    uint8_t in[SOURCE_BYTES + RELAY_NONCE];

    put_source(in, src);
    memcpy(in + SOURCE_BYTES, nonce, RELAY_NONCE);
    crypto_generichash_blake2b(cookie, RELAY_COOKIE, in, sizeof in, secret, 32);
}

void relay_cookie_make(const struct relay *r, const struct addr *src,
                       const uint8_t nonce[static RELAY_NONCE], uint8_t cookie[static RELAY_COOKIE])
{
    hash(r->cookie_secret[0], src, nonce, cookie);
}

bool relay_cookie_good(const struct relay *r, const struct addr *src,
                       const uint8_t nonce[static RELAY_NONCE],
                       const uint8_t cookie[static RELAY_COOKIE])
{
    uint8_t want[2][RELAY_COOKIE];

    hash(r->cookie_secret[0], src, nonce, want[0]);
    hash(r->cookie_secret[1], src, nonce, want[1]);
    return sodium_memcmp(cookie, want[0], RELAY_COOKIE) == 0 ||
           sodium_memcmp(cookie, want[1], RELAY_COOKIE) == 0;
}

/* Sources that share a cell share its second: rather silent to one than loud to a crowd.  A peer's
 * KEEP is answered without this limit, so that none stays unaware for long. */
bool relay_stranger_may_be_told(struct relay *r, const struct addr *src)
{
    uint8_t in[SOURCE_BYTES], h[crypto_shorthash_BYTES];

    put_source(in, src);
    crypto_shorthash(h, in, sizeof in, r->stranger_secret);
    int64_t *next_us = &r->stranger_us[get_u16(h) & (RELAY_STRANGERS - 1)];
    if (r->now_us < *next_us)
        return false;
    *next_us = r->now_us + RELAY_STRANGER_US;
    return true;
}
