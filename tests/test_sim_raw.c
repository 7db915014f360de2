/*
 * test_sim_raw.c - raw sessions in the whole suite in virtual time, with loss, jitter and doubled packets: what
 * one side has handed over, the other one has too.
 *
 * SEED=n runs one schedule.
 */
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(sim_raw, .timeout = 120);

enum { SECOND = 1000000, SCHEDULES = 12, CALLS = 8 };

static struct world *w;

static const char *const kinds[] = {"ei/preserve/apd", "apd/random/apd",   "open",
                                    "ei/random/ad",    "apd/preserve/apd", "apd/random/ad"};
enum { PEERS = sizeof kinds / sizeof *kinds };

static void open_world(uint64_t seed, uint32_t loss_ppm)
{
    struct world_conf conf = {.seed = seed,
                              .delay_us = 20000,
                              .jitter_us = 5000,
                              .loss_ppm = loss_ppm / 2,
                              .dup_ppm = loss_ppm / 10,
                              .raw = true,
                              .n_peers = PEERS};

    for (size_t i = 0; i < PEERS; i++)
        conf.peers[i] = world_nat(kinds[i]);
    w = malloc(sizeof *w);
    world_open(w, &conf);
    world_run(w, 8 * SECOND);
}

static void close_world(void)
{
    world_close(w);
    free(w);
}

/* Calls between pairs that differ, one after the other but sometimes at once. */
static void call_all(uint64_t seed)
{
    for (size_t i = 0; i < CALLS; i++) {
        size_t from = (seed + i) % PEERS, to = (from + 1 + i % (PEERS - 1)) % PEERS;
        world_connect(w, from, to, POLICY_AUTO, 15 * SECOND);
        if (i % 3 != 0)
            world_run(w, w->now_us + 4 * SECOND);
    }
    world_run(w, w->now_us + 25 * SECOND);
}

static uint64_t first_seed(void)
{
    const char *text = getenv("SEED");

    return text ? strtoull(text, NULL, 10) : 1;
}

Test(sim_raw, both_sides_hand_over_the_same_way)
{
    size_t handed = 0, direct = 0, failed = 0;

    for (uint64_t seed = first_seed(); seed < first_seed() + (getenv("SEED") ? 1 : SCHEDULES);
         seed++) {
        open_world(seed, (uint32_t)(seed % 3) * 100000); /* none, 10 and 20 % */
        call_all(seed);
        for (size_t i = 0; i < w->n_results; i++) {
            const struct world_result *r = &w->results[i];
            cr_assert(r->settled, "seed %llu", (unsigned long long)seed);
            if (r->at.state == ATTEMPT_FAILED) {
                failed++;
                continue;
            }
            const struct attempt *other = world_other_side(w, r);
            cr_assert(other, "seed %llu: the other side has let go", (unsigned long long)seed);
            cr_assert_eq(r->at.hand.phase, HAND_DONE);
            cr_assert_eq(other->hand.phase, HAND_DONE, "seed %llu, %s", (unsigned long long)seed,
                         verdict_name(r->at.verdict));
            cr_assert_eq(other->flow, r->at.flow, "seed %llu", (unsigned long long)seed);
            handed++;
            direct += r->at.flow == WAY_DIRECT;
        }
        close_world();
    }
    printf("raw: %zu handed over, %zu of them direct, %zu failed\n", handed, direct, failed);
    cr_assert_geq(handed, getenv("SEED") ? 0 : SCHEDULES * CALLS * 9 / 10);
    cr_assert_geq(direct, getenv("SEED") ? 0 : handed / 3);
}

/* The sockets that the core thinks are open are those that the host has, less what applications own. */
Test(sim_raw, sessions_that_have_ended_leave_two_spares_and_no_other_socket)
{
    open_world(first_seed(), 50000);
    call_all(1);
    for (size_t i = 0; i < PEERS; i++)
        for (uint32_t n = 0; n < ATTEMPTS_MAX; n++)
            if (w->peers[i].core.attempts[n].state != ATTEMPT_FREE) {
                const struct attempt *a = &w->peers[i].core.attempts[n];
                if (a->hand.phase == HAND_DONE) /* the application closes its own */
                    w->peers[i].sockets[a->way[a->flow].sock].port = 0;
                world_end(w, i, n, APP_CLOSE);
            }
    world_run(w, w->now_us + 60 * SECOND);
    for (size_t i = 0; i < PEERS; i++) {
        for (uint32_t n = 0; n < ATTEMPTS_MAX; n++)
            cr_assert_eq(w->peers[i].core.attempts[n].state, ATTEMPT_FREE);
        for (uint16_t s = SPARE_FIRST; s < WORLD_SOCKETS; s++)
            cr_assert_eq(w->peers[i].sockets[s].port != 0, s < SPARE_FIRST + SPARES_MAX,
                         "peer %zu, socket %u", i, s);
    }
    cr_assert_eq(w->relays[0].core.by_source.n, 0);
    close_world();
}
