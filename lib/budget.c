/* budget.c - see budget.h. */
#include "lib/budget.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

_Static_assert((BUDGET_SETS & (BUDGET_SETS - 1)) == 0, "a set is picked by masking");

void budget_init(struct budget *b, uint32_t units, int64_t window_us,
                 const uint8_t secret[static 16])
{
    assert(units > 0 && window_us >= units);
    memset(b, 0, sizeof *b);
    b->cost_us = window_us / units;
    b->window_us = b->cost_us * units;
    memcpy(b->secret, secret, sizeof b->secret);
}

static struct bucket *set_of(struct budget *b, const struct bucket *key)
{
    uint8_t hash[crypto_shorthash_BYTES];
    uint32_t h;

    crypto_shorthash(hash, key->ip, sizeof key->ip, b->secret);
    memcpy(&h, hash, sizeof h);
    return b->buckets[h & (BUDGET_SETS - 1)];
}

static struct bucket key_of(const struct addr *src)
{
    struct bucket key = {.len = src->len};

    memcpy(key.ip, src->ip, src->len == 16 ? BUDGET_V6_BYTES : src->len);
    return key;
}

/* The source's own place in the set, else one that is free, or NULL. */
static struct bucket *place_in(struct bucket *set, const struct bucket *key, int64_t now_us)
{
    struct bucket *place = NULL;

    for (size_t i = 0; i < BUDGET_WAYS; i++) {
        if (set[i].len == key->len && memcmp(set[i].ip, key->ip, sizeof key->ip) == 0)
            return &set[i];
        if (set[i].full_us <= now_us)
            place = &set[i];
    }
    return place;
}

bool budget_take(struct budget *b, const struct addr *src, int64_t now_us)
{
    struct bucket key = key_of(src);
    struct bucket *place = place_in(set_of(b, &key), &key, now_us);

    if (!place)
        return false;
    if (place->full_us <= now_us) {
        *place = key;
        place->full_us = now_us;
    }
    if (place->full_us + b->cost_us > now_us + b->window_us)
        return false;
    place->full_us += b->cost_us;
    return true;
}

int64_t budget_wait_us(struct budget *b, const struct addr *src, int64_t now_us)
{
    struct bucket key = key_of(src), *set = set_of(b, &key);
    const struct bucket *place = place_in(set, &key, now_us);
    int64_t wait_us;

    if (place) {
        wait_us = place->full_us + b->cost_us - b->window_us - now_us;
        return wait_us > 0 ? wait_us : 0;
    }
    wait_us = b->window_us;
    for (size_t i = 0; i < BUDGET_WAYS; i++)
        if (set[i].full_us - now_us < wait_us)
            wait_us = set[i].full_us - now_us;
    return wait_us;
}
