/*
 * test_ranges.c - how well a NAT is known, of all classes, and from blocks of any size, in virtual time with loss: which
 * block and which step is told, by when, for how many packets; and nothing that is not so.
 *
 * RUNS=n plays each n times (1).
 */
#include "tests/matrix/matrix.h"
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECOND = 1000000, MS = 1000, STEP_US = 10 * MS, PATIENCE_US = 3 * SECOND };

static struct world w;

TestSuite(ranges, .timeout = 600);

struct tally {
    unsigned n, known, exact, wrong, late;
    uint64_t packets_max;
    int64_t block_us_max;
};

/* The block that the model's only subscriber has; false: all ports. */
static bool true_block(const struct nat *n, uint16_t *lo, uint16_t *hi)
{
    if (n->conf.block == 0 || n->n_subscribers == 0)
        return false;
    *lo = (uint16_t)(n->conf.lo + n->subscribers[0].block * n->conf.block);
    *hi = (uint16_t)(*lo + n->conf.block - 1);
    return true;
}

/* Until its block is told, or there is no more to come. */
static int64_t told_us(void)
{
    const struct executor *x = &w.peers[0].core;
    int64_t began_us = 0;

    while (w.now_us < PATIENCE_US && x->profile.block_hi == 0) {
        world_run(&w, w.now_us + STEP_US);
        if (began_us == 0 && x->probe_began_us > 0)
            began_us = x->probe_began_us;
    }
    return w.now_us - began_us;
}

static void run(const char *class, uint16_t block, uint32_t loss_ppm, uint64_t seed,
                struct tally *t)
{
    struct world_conf c = {
        .seed = seed, .n_peers = 1, .loss_ppm = loss_ppm, .delay_us = 20 * MS, .jitter_us = 2 * MS};
    uint16_t lo = 0, hi = 0;

    c.peers[0] = world_nat(class);
    c.peers[0].nat.block = c.peers[0].nat.allocation == ALLOC_RANDOM ? block : 0;
    c.peers[0].nat.background_per_s = 20;
    c.peers[0].nat.delta = 1 + (int32_t)(seed % 3);
    world_open(&w, &c);
    int64_t us = told_us();
    const struct profile *p = &w.peers[0].core.profile;
    bool there = true_block(w.nats[0], &lo, &hi);
    bool random = c.peers[0].nat.allocation == ALLOC_RANDOM;
    bool contiguous = c.peers[0].nat.allocation == ALLOC_CONTIGUOUS;
    t->n++;
    t->known += p->block_hi != 0;
    t->exact += p->block_hi != 0 && there && p->block_lo == lo && p->block_hi == hi;
    bool false_block =
        p->block_hi != 0 && (!there || !random || p->block_lo != lo || p->block_hi != hi);
    bool false_delta =
        contiguous && p->allocation == ALLOC_CONTIGUOUS && p->delta != c.peers[0].nat.delta;
    bool false_class = p->allocation != ALLOC_UNKNOWN && p->allocation != c.peers[0].nat.allocation;
    if (false_block || false_delta || false_class)
        printf("seed %lu: %s of %u: told %s, %u-%u by %d, is %u-%u by %d\n", seed, class, block,
               allocation_name[p->allocation], p->block_lo, p->block_hi, p->delta, lo, hi,
               c.peers[0].nat.delta);
    t->wrong += false_block || false_delta || false_class;
    if (w.peers[0].sent > t->packets_max)
        t->packets_max = w.peers[0].sent;
    t->late += p->block_hi != 0 && us > 1500 * MS;
    if (p->block_hi != 0 && us > t->block_us_max)
        t->block_us_max = us;
    world_close(&w);
}

static unsigned runs(unsigned usual)
{
    const char *text = getenv("RUNS");

    return text ? (unsigned)strtoul(text, NULL, 10) : usual;
}

static void add(struct tally *sum, const struct tally *t)
{
    sum->n += t->n;
    sum->known += t->known;
    sum->exact += t->exact;
    sum->wrong += t->wrong;
    sum->late += t->late;
}

Test(ranges, a_block_is_told_exactly_and_none_where_there_is_none)
{
    static const uint16_t blocks[] = {0, 256, 512, 1024, 2048};
    struct tally random = {0}, others = {0};

    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
        struct tally here = {0};
        for (size_t i = 0; i < MATRIX_CLASSES; i++) {
            bool blocky = i / 3 % 3 == 2 && blocks[b] > 0;
            for (unsigned k = 0; k < runs(1) && (blocky || b == 0); k++)
                run(matrix_class((unsigned)i).text, blocks[b], 50000,
                    1000 * b + 37 * i + 100000 * k, blocky ? &here : &others);
        }
        printf(
            "blocks of %4u: %u of %u known, %u exactly, %u late, slowest %.0f ms, %llu packets\n",
            blocks[b], here.known, here.n, here.exact, here.late, (double)here.block_us_max / MS,
            (unsigned long long)here.packets_max);
        add(&random, &here);
    }
    printf("none: %u of %u said to be one; wrong in all: %u of %u\n", others.known, others.n,
           others.wrong + random.wrong, others.n + random.n);
    cr_assert_eq(others.known, 0);
    cr_assert_leq((others.wrong + random.wrong) * 1000, others.n + random.n);
    cr_assert_geq(random.exact * 100, random.n * 95);
    cr_assert_leq(random.late * 100, random.n * 5);
}
