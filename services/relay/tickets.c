/* tickets.c - see tickets.h. */
#include "services/relay/tickets.h"

#include <sodium.h>

bool relay_tickets_init(struct relay *r, const struct relay_conf *conf)
{
    uint8_t key[TICKET_KEY];
    bool ok = true;

    memcpy(r->secret, conf->secret, sizeof r->secret);
    memcpy(r->coordinators, conf->coordinators, sizeof r->coordinators);
    r->n_coordinators = conf->n_coordinators;
    r->ticket_period_ms = conf->ticket_period_ms > 0 ? conf->ticket_period_ms : TICKET_PERIOD_MS;
    for (size_t i = 0; i < r->n_coordinators; i++)
        ok = ok && ticket_key(r->coordinators[i], r->secret, key);
    sodium_memzero(key, sizeof key);
    return ok;
}

/* The kernel reads them meanwhile, and other workers write the same: who meets half a key is a stranger once. */
static void tell_kernel(struct relay *r)
{
    uint64_t words[2];

    for (size_t i = 0; r->proofs && i < r->n_keys && i < RELAY_PROOFS; i++) {
        ticket_proof_key(r->keys[i], words);
        for (size_t w = 0; w < 2; w++)
            __atomic_store_n(&r->proofs[i][w], words[w], __ATOMIC_RELAXED);
    }
    sodium_memzero(words, sizeof words);
}

/* A clock that is set back changes nothing: what was sealed since stays good. */
void relay_tickets_rotate(struct relay *r)
{
    uint64_t period = ticket_period(r->wall_ms, r->ticket_period_ms);
    uint8_t secret[32];

    if (period <= r->period)
        return;
    r->period = period;
    r->n_keys = 0;
    for (uint64_t age = 0; age < 2; age++) {
        ticket_secret(r->secret, period - age, secret);
        for (size_t i = 0; i < r->n_coordinators; i++)
            r->n_keys += ticket_key(r->coordinators[i], secret, r->keys[r->n_keys]);
        if (age == 0)
            crypto_scalarmult_base(r->ticket_key, secret);
    }
    sodium_memzero(secret, sizeof secret);
    tell_kernel(r);
    relay_hello_now(r); /* coordinators shall know */
}
