/*
 * test_whole.c - what it takes until all is known of a NAT that peers are told: packets and time, for every class of NAT, with
 * blocks, and others, on a line that loses packets, in virtual time.
 *
 * RUNS=n plays each n times (2), SEED=n from that seed on.
 */
#include "tests/matrix/matrix.h"
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECOND = 1000000, MS = 1000, STEP_US = 5 * MS, PATIENCE_US = 4 * SECOND };

static struct world w;

TestSuite(whole, .timeout = 3000);

struct tally {
    unsigned n, late, most, wrong;
    int64_t slowest_us;
};

/* Until all is known of it that peers are told, or all that will be. */
static void run(const char *class, uint16_t block, uint32_t loss_ppm, uint64_t seed,
                struct tally *t)
{
    struct world_conf c = {
        .seed = seed, .n_peers = 1, .loss_ppm = loss_ppm, .delay_us = 20 * MS, .jitter_us = 2 * MS};
    const struct executor *x = &w.peers[0].core;
    int64_t began_us = 0;
    unsigned sent = 0;

    c.peers[0] = world_nat(class);
    c.peers[0].nat.block = block;
    c.peers[0].nat.background_per_s = 20;
    c.peers[0].nat.delta = 1 + (int32_t)(seed % 3);
    c.peers[0].nat.hairpin = (enum nat_hairpin)(seed % 3);
    world_open(&w, &c);
    while (w.now_us < PATIENCE_US && !executor_whole(x)) {
        sent = (unsigned)w.peers[0].sent;
        world_run(&w, w.now_us + STEP_US);
        began_us = began_us == 0 ? x->probe_began_us : began_us;
    }
    const struct nat_conf *is = &w.nats[0]->conf;
    int64_t us = w.now_us - began_us;
    bool shared = is->allocation == ALLOC_PRESERVE && is->overload;
    t->wrong += (x->profile.filtering != NAT_UNKNOWN && x->profile.filtering != is->filtering) ||
                (x->profile.mapping != NAT_UNKNOWN && x->profile.mapping != NAT_EI &&
                 (shared || x->profile.mapping != is->mapping)) ||
                x->profile.clash == CLASH_CLAIMS;
    t->n++;
    t->most = sent > t->most ? sent : t->most;
    t->late += us > 1500 * MS;
    t->slowest_us = us > t->slowest_us ? us : t->slowest_us;
    world_close(&w);
}

static unsigned number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static struct tally all(uint32_t loss_ppm)
{
    static const uint16_t blocks[] = {0, 256, 512, 1024, 2048};
    struct tally t = {0};

    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++)
        for (size_t i = 0; i < MATRIX_CLASSES; i++)
            for (unsigned k = 0; k < number("RUNS", 2) && (b == 0 || i / 3 % 3 == 2); k++)
                run(matrix_class((unsigned)i).text, blocks[b], loss_ppm,
                    number("SEED", 1) + 1000 * i + 100000 * b + k, &t);
    printf("%u of 100 lost: at most %u packets in %u rounds, %u wrong, %u after 1.5 s, the slowest "
           "after %ld ms\n",
           loss_ppm / 10000, t.most, t.n, t.wrong, t.late, (long)t.slowest_us / MS);
    return t;
}

Test(whole, a_nat_is_known_by_46_packets_on_a_good_line)
{
    struct tally t = all(0);

    cr_assert(t.most <= 46 && t.late == 0 && t.wrong == 0);
}

Test(whole, a_nat_is_known_by_60_packets_at_five_percent_loss_and_mostly_in_time)
{
    struct tally t = all(50000);

    cr_assert_leq(t.most, MEASURE_PACKETS_MAX);
    cr_assert_eq(t.wrong, 0);
    cr_assert_leq(t.late * 100, t.n * 10);
}

Test(whole, however_many_get_lost_no_more_are_sent)
{
    cr_assert_leq(all(120000).most, MEASURE_PACKETS_MAX);
}
