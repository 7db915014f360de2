/* relay_init.c - a relay core and its memory; see relay.h. */
#include "services/relay/relay.h"

#include "services/relay/tickets.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/* Four standard deviations and a little: of many sessions hardly more than the n-th part. */
uint32_t relay_share(uint32_t sessions_max, unsigned n_workers)
{
    uint32_t mean = (sessions_max + n_workers - 1) / n_workers, root = 0;

    while ((uint64_t)root * root < mean)
        root++;
    uint32_t share = mean + 4 * root + 16;
    return n_workers == 1 || share > sessions_max ? sessions_max : share;
}

size_t relay_bytes(const struct relay_conf *conf)
{
    uint32_t n = conf->sessions_max;

    return n * sizeof(struct relay_session) + deadlines_bytes(n) + 3 * 2 * n * sizeof(uint32_t) +
           table_bytes(n, sizeof(struct sid)) + table_bytes(2 * n, sizeof(struct path_id)) +
           table_bytes(2 * n, RELAY_SOURCE_KEY);
}

bool relay_init(struct relay *r, const struct relay_conf *conf, const uint8_t rng_key[static 32],
                void *memory)
{
    uint32_t n = conf->sessions_max;
    uint8_t secret[16];
    char *at = memory;

    assert(conf->worker == 0 || (conf->worker < conf->n_workers && conf->load));
    assert(conf->worker < MARKS_WORKERS);
    assert(n >= 1 && n <= RELAY_SESSIONS_MAX && conf->n_coordinators <= RELAY_COORDINATORS_MAX);
    memset(r, 0, sizeof *r);
    rng_init(&r->rng, rng_key);
    r->epoch = rng_u64(&r->rng);
    rng_bytes(&r->rng, r->own.cookie_key, sizeof r->own.cookie_key);
    rng_bytes(&r->rng, r->stranger_secret, sizeof r->stranger_secret);
    r->public_addr = conf->public_addr;
    r->marks = conf->marks;
    r->express = conf->express;
    r->proofs = conf->proofs;
    r->marks.worker = (uint8_t)conf->worker;
    r->n_workers = conf->n_workers > 0 ? conf->n_workers : 1;
    r->load = conf->load;
    r->own.sessions_max = n;
    r->hello_us = conf->worker == 0 ? 0 : NEVER; /* one speaks for all */
    memcpy(r->cert, conf->cert, sizeof r->cert);
    r->places = conf->places;
    r->link = conf->link;
    crypto_scalarmult_base(r->public_key, conf->secret);

    r->sessions = (struct relay_session *)at;
    memset(r->sessions, 0, n * sizeof *r->sessions);
    at += n * sizeof *r->sessions;
    deadlines_init(&r->due, n, at);
    at += deadlines_bytes(n);
    r->end_of = (uint32_t *)at;
    at += 2 * n * sizeof *r->end_of;
    r->source_of = (uint32_t *)at;
    at += 2 * n * sizeof *r->source_of;
    r->end_by_source = (uint32_t *)at;
    at += 2 * n * sizeof *r->end_by_source;
    rng_bytes(&r->rng, secret, sizeof secret);
    table_init(&r->by_sid, n, sizeof(struct sid), secret, at);
    at += table_bytes(n, sizeof(struct sid));
    rng_bytes(&r->rng, secret, sizeof secret);
    table_init(&r->by_path, 2 * n, sizeof(struct path_id), secret, at);
    at += table_bytes(2 * n, sizeof(struct path_id));
    rng_bytes(&r->rng, secret, sizeof secret);
    table_init(&r->by_source, 2 * n, RELAY_SOURCE_KEY, secret, at);
    sodium_memzero(secret, sizeof secret);

    return relay_tickets_init(r, conf);
}
