/*
 * test_guesses.c - one port drawn at random, which is found by trying many, in virtual time: every pair that needs it
 * is direct within a bounded time, for so many packets, so many a second, and so many ports of either NAT; soon, where the
 * random side draws from a block that is known.
 *
 * RUNS=n: so many attempts of each pair, for figures.
 */
#include "tests/matrix/play.h"
#include "tests/matrix/tally.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SECOND = 1000000,
    MS = 1000,
    STEP_US = 20 * MS,
    WINDOW = SECOND / STEP_US, /* steps of a second */
    STEPS = 6 * WINDOW,
    RUNS_MAX = 200,
    MEETING = 8, /* ports by which the two talk before they know the one to keep */
};

static struct world w;
static struct matrix m;
static struct matrix_run runs[MATRIX_CELLS * RUNS_MAX];

TestSuite(guesses, .timeout = 900);

/* Ports that this side's NAT has given out towards the other side. */
static unsigned ports_towards_peer(size_t side)
{
    static bool has[UINT16_MAX + 1];
    const struct nat_mapping *mapping;
    unsigned n = 0;

    memset(has, 0, sizeof has);
    for (size_t cursor = 0; (mapping = nat_next_mapping(w.nats[side], w.now_us, &cursor));)
        if (addr_ip_eq(&mapping->remote, &w.peers[!side].outside[0])) {
            n += !has[mapping->external.port];
            has[mapping->external.port] = true;
        }
    return n;
}

static void expect_pace(uint64_t guesses[2][STEPS + 1])
{
    for (size_t side = 0; side < 2; side++)
        for (size_t i = WINDOW; i <= STEPS; i++)
            cr_assert_leq(guesses[side][i] - guesses[side][i - WINDOW], 500, "in a second");
}

/* Its pool's sockets have one each; who tries has one too, unless its NAT draws another one for each that is tried. */
static void expect_few_ports(const struct matrix_cell *c, uint64_t guesses[2][STEPS + 1])
{
    for (size_t side = 0; side < 2; side++) {
        struct matrix_class own = matrix_class(side == 0 ? c->from : c->to);
        bool moves = own.mapping == NAT_APD && own.allocation != ALLOC_PRESERVE;
        cr_assert_leq(w.peers[side].core.opened, 256);
        if (guesses[side][STEPS] == 0 || !moves)
            cr_assert_leq(ports_towards_peer(side), 256 + MEETING, "%s", own.text);
    }
}

static struct matrix_run attempt(const struct matrix_cell *c, uint16_t block, bool reuse,
                                 uint64_t seed)
{
    static uint64_t guesses[2][STEPS + 1];
    struct play_conf conf = {
        .delay_us = 20 * MS, .background_per_s = 20, .block = block, .reuse = reuse};
    struct matrix_class a = matrix_class(c->from), b = matrix_class(c->to);

    play_open(&w, &conf, &a, &b, seed);
    size_t n = play_connect(&w);
    for (size_t i = 0; i <= STEPS; i++) {
        for (size_t side = 0; side < 2; side++)
            guesses[side][i] = w.peers[side].core.n.guesses;
        world_run(&w, w.now_us + STEP_US);
    }
    expect_pace(guesses);
    expect_few_ports(c, guesses);
    struct matrix_run run = play_result(&w, n);
    if (!run.direct)
        printf("%s to %s, seed %lu: %s\n", a.text, b.text, seed,
               verdict_name((enum verdict)run.verdict));
    cr_assert_leq(run.packets, 1500, "%s to %s, seed %lu: %u", a.text, b.text, seed, run.packets);
    world_close(&w);
    return run;
}

static struct tally every_pair(uint16_t block, bool reuse)
{
    const char *text = getenv("RUNS");

    cr_assert(matrix_read_tiers(&m, "tests/matrix/class_pairs.csv", true));
    m.n = text ? (unsigned)strtoul(text, NULL, 10) : 1;
    cr_assert_leq(m.n, RUNS_MAX);
    for (size_t i = 0; i < MATRIX_CELLS; i++) {
        m.cell[i].runs = runs + i * m.n;
        m.cell[i].wanted = m.cell[i].tier == MATRIX_T2;
        for (unsigned k = 0; k < m.n && m.cell[i].wanted; k++)
            m.cell[i].runs[k] = attempt(&m.cell[i], block, reuse, 1000 * (i + 1) + k);
    }
    struct tally t = tally_tier(&m, MATRIX_T2);
    printf("blocks of %u, %s: %u of %u, %.2f to %.2f %%, ms p50 %.0f, p90 %.0f, p99 %.0f, %.0f "
           "packets\n",
           block, reuse ? "shared ports" : "a port each", t.direct, t.runs, t.low * 100,
           t.high * 100, t.ms_p50, t.ms_p90, t.ms_p99, t.packets_p50);
    return t;
}

/* 99.2 % is what so many tries can do (services/executor/birthday.c): of a few attempts more may miss. */
Test(guesses, every_pair_of_a_random_port_meets_within_three_seconds_and_1500_packets)
{
    struct tally t = every_pair(0, false);

    cr_assert_geq(t.direct * 1000, t.runs * (m.n >= 20 ? 990 : 970));
    cr_assert_leq(t.ms_p99, 3000);
    cr_assert_leq(t.ms_p50, 400);
}

Test(guesses, a_port_of_a_block_that_is_known_is_met_within_300_ms)
{
    for (int reuse = 0; reuse < 2; reuse++) {
        struct tally t = every_pair(1024, reuse);
        cr_assert_geq(t.direct * 1000, t.runs * (m.n >= 20 ? 990 : 970));
        cr_assert_leq(t.ms_p99, 300);
    }
}

/* Who has this port inside the second peer's NAT, which keeps ports, sends from there to that address. */
static struct addr passes(struct addr inside, struct addr to)
{
    cr_assert_eq(nat_out(w.nats[1], w.now_us, NAT_UDP, &inside, &to), NAT_PASS);
    return inside;
}

enum { PROBER_ADDRS = 4 };

/* Both have measured; towards this one of the prober's addresses a neighbour has the port of the second one. */
static void open_with_taken_port(uint8_t at, uint64_t seed)
{
    struct world_conf c = world_two("apd/random/apd", "apd/preserve/apd", seed);

    world_open(&w, &c);
    struct addr neighbour = w.peers[1].sockets[0];
    neighbour.ip[3]++;
    passes(neighbour, addr_v4(203, 0, 113, 10 + at / 2, 3478 + at % 2));
    world_run(&w, 4 * SECOND);
}

/* From then on such a NAT, as Linux, gives it the other port.  Half of the four: it may go by the prober's ip. */
Test(guesses, many_ports_are_opened_for_the_one_that_has_replaced_a_taken_one)
{
    enum { ATTEMPTS = 3 };
    unsigned direct = 0, all = 0;

    for (uint8_t i = 0; i < PROBER_ADDRS * ATTEMPTS; i++) {
        open_with_taken_port(i % PROBER_ADDRS, 60 + i);
        size_t n = play_connect(&w);
        world_run(&w, 12 * SECOND);
        struct matrix_run run = play_result(&w, n);
        world_close(&w);
        if (i % PROBER_ADDRS == 2) {
            cr_assert_eq(run.verdict, VERDICT_profile_unknown);
            continue;
        }
        direct += run.direct;
        all++;
    }
    cr_assert_geq(direct, all - 1);
}

/* What no order of tokens can tell: the first port is in use again. */
Test(guesses, a_retry_opens_ports_for_the_other_one_of_two_that_probers_saw)
{
    const struct addr other = addr_v4(192, 0, 2, 1, 9);

    open_with_taken_port(1, 91);
    struct addr own = w.peers[1].sockets[0], neighbour = own;
    neighbour.ip[3]++;
    neighbour.port = passes(own, addr_v4(203, 0, 113, 11, 3478)).port;
    cr_assert_neq(neighbour.port, own.port);
    passes(neighbour, other);
    cr_assert_eq(passes(own, other).port, own.port);
    size_t n = play_connect(&w);
    world_run(&w, 12 * SECOND);
    cr_assert_not(play_result(&w, n).direct);
    const struct attempt *a = &w.peers[0].core.attempts[0];
    while (a->state == ATTEMPT_RELAYED && w.now_us < 60 * (int64_t)SECOND)
        world_run(&w, w.now_us + SECOND);
    cr_assert_eq(a->state, ATTEMPT_DIRECT);
    cr_assert_eq(a->attempts, 2);
    world_close(&w);
}
