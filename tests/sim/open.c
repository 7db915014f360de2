/* open.c - the world begins: hosts, lines, NATs, the suite and the peers; and it ends. */
#include "lib/token.h"
#include "tests/sim/parts.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PORT = 3478,
    RELAY_PORT = 3480,
    PEER_PORT = 40000,
    CLASSIFIED_MAX = 64,
};

/* ---- processes ------------------------------------------------------------------------------- */
void world_start_coordinator(struct world *w)
{
    uint8_t key[32];

    rng_bytes(&w->rng, key, sizeof key);
    w->coordinator_conf.epoch = (uint64_t)world_wall_ms(w);
    coordinator_init(&w->coordinator, &w->coordinator_conf, key, w->coordinator_memory);
    w->coordinator_up = true;
}

void world_start_relay(struct world *w, size_t i)
{
    struct world_relay *r = &w->relays[i];
    uint8_t key[32];

    rng_bytes(&w->rng, key, sizeof key);
    assert(relay_init(&r->core, &r->conf, key, r->memory));
    r->up = true;
}

void world_bind_sockets(struct world *w, struct world_peer *p)
{
    for (size_t s = 0; s <= SAMPLES_MAX; s++) {
        p->sockets[s] = p->inside[0];
        p->sockets[s].port = (uint16_t)(PEER_PORT + rng_below(&w->rng, 20000));
        if (s > 0)
            p->conf.sample_ports[s - 1] = p->sockets[s].port;
    }
    p->conf.local = p->sockets[0];
}

void world_start_peer(struct world *w, size_t i)
{
    struct world_peer *p = &w->peers[i];
    uint8_t key[32];

    /* A new process: new ports, so a new mapping. */
    memset(p->sockets, 0, sizeof p->sockets);
    world_bind_sockets(w, p);
    rng_bytes(&w->rng, key, sizeof key);
    executor_init(&p->core, &p->conf, key);
    p->up = true;
    p->front = false;
    world_link_up_later(w, i, 0);
}

/* ---- hosts and lines ------------------------------------------------------------------------- */
struct world_peer_conf world_nat(const char *text)
{
    static const char *const scopes[] = {"none", "ei", "ad", "apd"};
    static const char *const allocations[] = {"preserve", "contiguous", "random"};
    struct world_peer_conf c = {.has_nat = true};
    char mapping[16], allocation[16], filtering[16];

    if (strcmp(text, "open") == 0)
        return (struct world_peer_conf){.has_nat = false};
    assert(sscanf(text, "%15[^/]/%15[^/]/%15s", mapping, allocation, filtering) == 3);
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(mapping, scopes[i]) == 0)
            c.nat.mapping = NAT_NONE + i;
        if (strcmp(filtering, scopes[i]) == 0)
            c.nat.filtering = NAT_NONE + i;
        if (i < 3 && strcmp(allocation, allocations[i]) == 0)
            c.nat.allocation = ALLOC_PRESERVE + i;
    }
    c.nat.overload = c.nat.allocation == ALLOC_PRESERVE; /* as Linux does */
    c.nat.inbound_refreshes = true;
    c.nat.full_evicts = true;
    return c;
}

static struct net_link half_line(const struct world_conf *c)
{
    return (struct net_link){.delay_us = c->delay_us / 2,
                             .jitter_us = c->jitter_us / 2,
                             .loss_ppm = c->loss_ppm,
                             .dup_ppm = c->dup_ppm};
}

/* On a host that it has, with the secret that it has. */
static void open_relay(struct world *w, size_t i, const struct addr *ip,
                       const uint8_t authority[static 64])
{
    struct world_relay *r = &w->relays[i];
    uint8_t key[32];

    crypto_scalarmult_base(key, r->conf.secret);
    cert_sign('r', key, authority, r->conf.cert);
    crypto_scalarmult_base(r->conf.coordinators[0], w->coordinator_conf.secret);
    r->conf.n_coordinators = 1;
    r->conf.public_addr = *ip;
    r->conf.public_addr.port = RELAY_PORT;
    r->conf.places.v[r->conf.places.n++] = place_sign(ip, authority);
    r->conf.sessions_max = 256;
    r->memory = malloc(relay_bytes(&r->conf));
    world_start_relay(w, i);
}

static void open_second_relay(struct world *w, const uint8_t authority[static 64])
{
    struct net_line line = {.up = half_line(&w->conf),
                            .down = half_line(&w->conf),
                            .ips = {addr_v4(203, 0, 113, 20, 0)},
                            .n_ips = 1};

    w->relays[1].host = net_add_host(w->net, net_add_line(w->net, &line), line.ips, line.n_ips);
    rng_bytes(&w->rng, w->relays[1].conf.secret, 32);
    open_relay(w, 1, &line.ips[0], authority);
}

static void open_suite(struct world *w, const uint8_t authority[static 64])
{
    struct prober_conf prober = {0};
    uint8_t key[32], seed[32];
    struct net_line line = {.up = half_line(&w->conf), .down = half_line(&w->conf), .n_ips = 2};

    for (uint8_t i = 0; i < 2; i++)
        line.ips[i] = addr_v4(203, 0, 113, (uint8_t)(10 + i), 0);
    w->suite = net_add_host(w->net, net_add_line(w->net, &line), line.ips, line.n_ips);

    rng_bytes(&w->rng, seed, sizeof seed);
    crypto_sign_seed_keypair(prober.info.key, prober.secret, seed);
    cert_sign('p', prober.info.key, authority, prober.info.cert);
    prober.info.n_addrs = w->conf.one_address ? 2 : 4;
    for (uint8_t i = 0; i < prober.info.n_addrs; i++)
        prober.info.addrs[i] =
            addr_v4(203, 0, 113, (uint8_t)(10 + i / 2), (uint16_t)(PORT + i % 2));
    for (uint8_t i = 0; i < 2; i++)
        prober.places.v[prober.places.n++] = place_sign(&line.ips[i], authority);
    rng_bytes(&w->rng, key, sizeof key);
    prober_init(&w->prober, &prober, key);

    rng_bytes(&w->rng, w->relays[0].conf.secret, 32);
    rng_bytes(&w->rng, w->coordinator_conf.secret, 32);
    w->relays[0].host = w->suite;
    open_relay(w, 0, &line.ips[0], authority);
    if (w->conf.two_relays)
        open_second_relay(w, authority);

    w->coordinator_conf.peers_max = 64;
    w->coordinator_conf.sessions_max = 256;
    w->coordinator_memory = malloc(coordinator_bytes(&w->coordinator_conf));
    world_start_coordinator(w);

    w->classifier_memory = malloc(classifier_bytes(CLASSIFIED_MAX));
    rng_bytes(&w->rng, key, sizeof key);
    classifier_init(&w->classifier, CLASSIFIED_MAX, key, w->classifier_memory);
}

/* With the line's addresses, of which it takes as many as it has. */
static struct nat *open_nat(struct world *w, const struct nat_conf *conf, struct net_line *line)
{
    struct nat_conf c = *conf;

    memcpy(c.external, line->ips, sizeof c.external);
    line->nat = malloc(sizeof *line->nat);
    nat_init(line->nat, &c, rng_u64(&w->rng));
    return line->nat;
}

/* A peer's own line: it ends at the internet, or on its carrier's LAN. */
static size_t open_line(struct world *w, size_t i)
{
    struct world_peer *p = &w->peers[i];
    const struct world_peer_conf *c = &w->conf.peers[i];
    struct net_line line = {
        .up = half_line(&w->conf), .down = half_line(&w->conf), .n_ips = NET_IPS_MAX, .hops = 1};
    bool public = !c->has_nat || c->nat.mapping == NAT_NONE;

    for (uint8_t k = 0; k < NET_IPS_MAX; k++)
        line.ips[k] = addr_v4(198, 51, (uint8_t)(100 + k), (uint8_t)(1 + i), 0);
    if (c->has_carrier) {
        w->carriers[i] = open_nat(w, &c->carrier, &line);
        line = (struct net_line){
            .n_ips = NET_IPS_MAX, .hops = 1, .outer = net_add_line(w->net, &line) + 1};
        for (uint8_t k = 0; k < NET_IPS_MAX; k++)
            line.ips[k] = addr_v4(100, 64, k, (uint8_t)(1 + i), 0);
    }
    if (c->has_nat)
        w->nats[i] = open_nat(w, &c->nat, &line);
    for (uint8_t k = 0; k < 2; k++) {
        p->outside[k] = line.ips[k];
        p->inside[k] = public ? line.ips[k] : addr_v4(10, k, (uint8_t)i, 2, 0);
    }
    return net_add_line(w->net, &line);
}

static void open_peer(struct world *w, size_t i, const uint8_t authority[static 32])
{
    struct world_peer *p = &w->peers[i];
    const struct addr public_ip = addr_v4(198, 51, 100, (uint8_t)(1 + i), 0);

    p->host = net_add_host(w->net, open_line(w, i), p->inside, 2);
    rng_bytes(&w->rng, p->conf.secret, sizeof p->conf.secret);
    crypto_scalarmult_base(p->conf.id.b, p->conf.secret);
    memcpy(p->conf.authority, authority, sizeof p->conf.authority);
    memcpy(p->conf.token, w->coordinator_conf.enrol_token, sizeof p->conf.token);
    snprintf(p->conf.name, sizeof p->conf.name, "peer%zu", i);
    p->conf.accept = ACCEPT_ANYONE;
    p->conf.fence = fence_of(&public_ip, 1); /* all are of one kind here */
    p->conf.modes = 1u << (w->conf.raw ? MODE_RAW : MODE_MANAGED);
    p->conf.n_samples = SAMPLES_MAX;
    p->conf.blocks = w->conf.peers[i].blocks;
    world_start_peer(w, i);
}

void world_open(struct world *w, const struct world_conf *conf)
{
    uint8_t seed[32], authority_public[32], authority[64];
    char err[STORE_ERROR_MAX];

    memset(w, 0, sizeof *w);
    w->conf = *conf;
    rng_seed(&w->rng, conf->seed);
    w->events = malloc(WORLD_EVENTS_MAX * sizeof *w->events);
    w->net = malloc(sizeof *w->net);
    w->slots = malloc(WORLD_SLOTS * sizeof *w->slots);
    net_init(w->net, rng_u64(&w->rng), w->slots, WORLD_SLOTS);
    w->store = store_open(":memory:", err);
    assert(w->store);
    rng_bytes(&w->rng, seed, sizeof seed);
    crypto_sign_seed_keypair(authority_public, authority, seed);
    memcpy(w->coordinator_conf.authority, authority_public, sizeof authority_public);
    rng_bytes(&w->rng, w->coordinator_conf.enrol_token, sizeof w->coordinator_conf.enrol_token);
    open_suite(w, authority);
    for (size_t i = 0; i < conf->n_peers; i++)
        open_peer(w, i, authority_public);
}

void world_close(struct world *w)
{
    store_close(w->store);
    for (size_t i = 0; i < w->conf.n_peers; i++)
        free(w->nats[i]), free(w->carriers[i]);
    free(w->coordinator_memory);
    for (size_t i = 0; i < world_relays(w); i++)
        free(w->relays[i].memory);
    free(w->classifier_memory);
    free(w->events);
    free(w->net);
    free(w->slots);
}
