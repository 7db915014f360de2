/*
 * test_alive.c - paths that live, in virtual time: switching loses nothing, a direct path that is bad is left at
 * once and taken up again when it is good, and one whose NAT or network is another one is opened anew.
 *
 * SEEDS=n runs each fault so often (figures are printed), SWITCHES=n forces so many changes of path.
 */
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SECOND = 1000000,
    MS = 1000,
    DELAY_US = 20 * MS,
    RTT_US = 2 * DELAY_US,
    NUMBERS = 1 << 20,
    RUNS_MAX = 4000
};

TestSuite(alive, .timeout = 300);

static struct world w;
static struct sid session;

static struct attempt *side(size_t peer) { return world_attempt(&w, peer, &session); }

/* What one side has got of a numbered flow. */
static struct receipt {
    bool got[NUMBERS];
    uint32_t n, doubled, highest;
    int64_t highest_us,
        late_us; /* and how much later than that one which was sent before it came */
    int64_t last_us;
} receipts[2];
static uint32_t numbers[2]; /* sent by each side */

static size_t count_of(const char *name, size_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoul(text, NULL, 10) : otherwise;
}

static void on_data(struct world *world, size_t peer, const uint8_t *data, size_t len)
{
    struct receipt *r = &receipts[peer];
    uint32_t number;

    cr_assert_eq(len, sizeof number);
    memcpy(&number, data, sizeof number);
    r->n++;
    r->doubled += r->got[number];
    r->got[number] = true;
    r->last_us = world->now_us;
    if (number >= r->highest) {
        r->highest = number;
        r->highest_us = world->now_us;
    } else if (world->now_us - r->highest_us > r->late_us) {
        r->late_us = world->now_us - r->highest_us;
    }
}

/* Two peers with a direct path. */
static void begin(const char *a, const char *b, uint64_t seed, int64_t jitter_us)
{
    struct world_conf c = {
        .seed = seed, .delay_us = DELAY_US, .jitter_us = jitter_us, .n_peers = 2};

    c.peers[0] = world_nat(a);
    c.peers[1] = world_nat(b);
    world_open(&w, &c);
    w.on_data = on_data;
    memset(receipts, 0, sizeof receipts);
    memset(numbers, 0, sizeof numbers);
    world_run(&w, 4 * SECOND);
    size_t r = world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND);
    world_run(&w, w.now_us + 2 * SECOND);
    cr_assert_eq(w.results[r].at.state, ATTEMPT_DIRECT, "%s and %s, seed %" PRIu64, a, b, seed);
    session = w.results[r].at.session;
}

static void say(size_t from)
{
    uint32_t number = numbers[from]++;

    cr_assert_lt(number, NUMBERS);
    world_send(&w, from, (uint32_t)(side(from) - w.peers[from].core.attempts), &number,
               sizeof number);
}

static unsigned changes[2]; /* of the way that data takes, by side */

static void watch(void)
{
    static enum way was[2];

    for (size_t i = 0; i < 2; i++) {
        changes[i] += side(i)->flow != was[i];
        was[i] = side(i)->flow;
    }
}

/* So long, with a datagram from both sides in each gap (0: none), or until all is on this way; how long it took. */
static int64_t pass(int64_t for_us, int64_t gap_us, enum way until)
{
    int64_t began_us = w.now_us, next_us = w.now_us;

    while (w.now_us - began_us < for_us) {
        for (size_t i = 0; i < 2 && gap_us > 0 && next_us <= w.now_us; i++)
            say(i);
        next_us = next_us <= w.now_us ? next_us + gap_us : next_us;
        world_run(&w, w.now_us + MS);
        watch();
        if (side(0)->flow == until && side(1)->flow == until)
            break;
    }
    return w.now_us - began_us;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Of n times the one that this share is not above, in ms. */
static int64_t percentile(int64_t *us, size_t n, size_t percent)
{
    qsort(us, n, sizeof *us, by_value);
    return us[(n * percent + 99) / 100 - 1] / MS;
}

static void print(const char *what, int64_t *us, size_t n)
{
    int64_t p50 = percentile(us, n, 50), p99 = percentile(us, n, 99);

    printf("%s: %zu runs, p50 %" PRId64 " ms, p99 %" PRId64 " ms, most %" PRId64 " ms\n", what, n,
           p50, p99, us[n - 1] / MS);
}

/* ---- switching -------------------------------------------------------------------------------------------- */

Test(alive, ten_thousand_switches_under_a_thousand_packets_a_second_lose_and_double_nothing)
{
    size_t n = count_of("SWITCHES", 10000);

    begin("ei/preserve/apd", "ei/random/apd", 1, 2 * MS);
    pass(SECOND, MS, WAYS);
    for (size_t i = 0; i < n; i++) {
        for (size_t s = 0; s < 2; s++)
            side(s)->flow = side(s)->flow == WAY_DIRECT ? WAY_RELAY : WAY_DIRECT;
        pass((int64_t)(1 + rng_below(&w.rng, 12)) * MS, MS, WAYS);
    }
    world_run(&w, w.now_us + SECOND);
    for (size_t s = 0; s < 2; s++) {
        const struct receipt *r = &receipts[!s];
        cr_assert_gt(numbers[s], 5 * n);
        cr_assert_eq(r->n, numbers[s], "%u of %u", r->n, numbers[s]);
        cr_assert_eq(r->doubled, 0);
        cr_assert_leq(r->late_us, RTT_US);
        cr_assert_eq(side(s)->state, ATTEMPT_DIRECT, "and it was always good");
        cr_assert_eq(side(s)->fault.times, 0);
    }
    printf("%zu switches, %u packets each way: none lost, none doubled, %" PRId64
           " ms out of order at most\n",
           n, numbers[0], receipts[0].late_us / MS);
    world_close(&w);
}

/* ---- faults ------------------------------------------------------------------------------------------------- */

static const struct fault_kind {
    const char *name;
    uint32_t ppm[2]; /* of what each side sends directly */
} faults[] = {
    {"nothing passes",   {1000000, 1000000}},
    {"nothing from A",   {1000000, 0}      },
    {"nothing from B",   {0, 1000000}      },
    {"30 % of all lost", {300000, 300000}  },
    {"30 % from A lost", {300000, 0}       },
};
enum { FAULTS = sizeof faults / sizeof *faults };

static void set_fault(const struct fault_kind *f)
{
    for (size_t i = 0; i < 2; i++)
        w.holes_ppm[w.peers[i].host] = f ? f->ppm[i] : 0;
}

/* One fault of 6 s: how long until both sides have left the direct path, and until both are back. */
static void one_fault(const struct fault_kind *f, uint64_t seed, int64_t gap_us, int64_t *left_us,
                      int64_t *back_us)
{
    begin("ei/preserve/apd", "ei/random/apd", seed, 2 * MS);
    pass(SECOND + (int64_t)rng_below(&w.rng, 100) * MS, gap_us ? gap_us : 100 * MS, WAYS);
    if (gap_us == 0)
        pass(2 * SECOND, 0, WAYS);
    watch();
    memset(changes, 0, sizeof changes);
    set_fault(f);
    *left_us = pass(6 * SECOND, gap_us, WAY_RELAY);
    pass(6 * SECOND - *left_us, gap_us, WAYS);
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(changes[i], 1, "%s, seed %" PRIu64 ": side %zu changed %u times", f->name,
                     seed, i, changes[i]);
    set_fault(NULL);
    *back_us = pass(3 * SECOND, gap_us, WAY_DIRECT);
    pass(3 * SECOND, gap_us, WAYS);
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(changes[i], 2, "%s, seed %" PRIu64 ": side %zu changed %u times", f->name,
                     seed, i, changes[i]);
        cr_assert_eq(side(i)->state, ATTEMPT_DIRECT);
    }
    world_close(&w);
}

static void all_faults(size_t n_faults, int64_t gap_us, int64_t limit_us)
{
    static int64_t left_us[RUNS_MAX], back_us[RUNS_MAX];
    size_t n = count_of("SEEDS", 6);
    char what[96];

    for (size_t f = 0; f < n_faults; f++) {
        for (size_t i = 0; i < n; i++)
            one_fault(&faults[f], 100 + i, gap_us, &left_us[i], &back_us[i]);
        snprintf(what, sizeof what, "%s, %s: left", faults[f].name, gap_us ? "flowing" : "idle");
        print(what, left_us, n);
        snprintf(what, sizeof what, "%s, %s: back", faults[f].name, gap_us ? "flowing" : "idle");
        print(what, back_us, n);
        cr_assert_leq(left_us[n - 1], limit_us);
        cr_assert_leq(percentile(back_us, n, 99), 1000);
    }
}

Test(alive, a_bad_direct_path_is_left_once_within_a_quarter_second_and_a_round_trip)
{
    all_faults(FAULTS, MS, 250 * MS + RTT_US);
}

Test(alive, a_dead_direct_path_is_left_once_within_a_second_and_a_half_when_idle)
{
    all_faults(3, 0, 1500 * MS);
}

Test(alive, a_path_that_loses_five_per_cent_each_way_is_not_left)
{
    static const struct fault_kind some = {
        "5 %", {50000, 50000}
    };

    for (int64_t gap_us = MS; gap_us <= 100 * MS; gap_us *= 10) {
        begin("ei/preserve/apd", "ei/random/apd", 7, 2 * MS);
        set_fault(&some);
        pass(60 * SECOND, gap_us, WAYS);
        for (size_t i = 0; i < 2; i++)
            cr_assert_eq(side(i)->fault.times, 0, "side %zu, every %" PRId64 " us", i, gap_us);
        world_close(&w);
    }
}

/* That four answers in a row are missing is chance: once in an hour. */
Test(alive, a_path_that_rests_and_loses_seven_per_cent_each_way_is_not_left)
{
    static const struct fault_kind some = {
        "7 %", {70000, 70000}
    };
    size_t n = count_of("SEEDS", 3);
    unsigned times = 0;

    for (size_t i = 0; i < n; i++) {
        begin("ei/preserve/apd", "ei/random/apd", 20 + i, 2 * MS);
        set_fault(&some);
        pass(600 * (int64_t)SECOND, 5 * SECOND, WAYS);
        times += side(0)->fault.times + side(1)->fault.times;
        world_close(&w);
    }
    printf("ten minutes, %zu times, 7 %% lost each way: left %u times\n", n, times);
    cr_assert_leq(times * 6, n, "more than once in an hour");
}

Test(alive, a_path_that_fails_again_and_again_is_left_ever_longer)
{
    begin("ei/preserve/apd", "ei/random/apd", 8, 2 * MS);
    for (int i = 0; i < 120; i++) { /* good for a second, dead for a second */
        set_fault(i % 2 ? &faults[0] : NULL);
        pass(SECOND, 10 * MS, WAYS);
    }
    printf("sixty faults, a second each: left %u and %u times\n", side(0)->fault.times,
           side(1)->fault.times);
    for (size_t i = 0; i < 2; i++)
        cr_assert_leq(side(i)->fault.times, 8, "after 2, 4, 8, 16, 32 and 64 s");
    cr_assert_gt(side(0)->fault.hold_us, 4 * (int64_t)SECOND);
    set_fault(NULL);
    pass(2 * HOLD_MAX_US, 10 * MS, WAY_DIRECT);
    cr_assert_eq(side(0)->flow, WAY_DIRECT);
    cr_assert_eq(side(1)->flow, WAY_DIRECT);
    world_close(&w);
}

/* ---- another address --------------------------------------------------------------------------------------- */

static void nat_reboots(size_t who) { world_reboot_nat(&w, who, false); }
static void nat_moves(size_t who) { world_reboot_nat(&w, who, true); }
static void host_moves(size_t who) { world_move_peer(&w, who); }

/* It has rested until only the keepalive is sent, and the NAT has forgotten it nevertheless. */
static void mapping_expires(size_t who)
{
    pass(40 * SECOND, 0, WAYS);
    nat_flush(w.nats[who]);
    pass(3 * SECOND, 0, WAYS);
}

/* How long after that data flows directly again, both ways, and that it stays so. */
static int64_t one_change(void (*change)(size_t who), const char *a, const char *b, uint64_t seed)
{
    begin(a, b, seed, 2 * MS);
    pass(SECOND + (int64_t)rng_below(&w.rng, 100) * MS, 10 * MS, WAYS);
    while (seed % 4 > 1 && w.now_us - w.peers[seed % 2].core.probe_began_us > 300 * MS)
        pass(100 * MS, 50 * MS, WAYS); /* what probers said is as new as can be */
    change(seed % 2);
    int64_t took_us = pass(SECOND, 10 * MS, WAY_RELAY);
    if (took_us < SECOND)
        took_us += pass(10 * SECOND, 10 * MS, WAY_DIRECT);
    else /* a NAT that gives the same port again needed nothing */
        took_us = 0;
    pass(5 * SECOND, 10 * MS, WAYS);
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(side(i)->state, ATTEMPT_DIRECT, "seed %" PRIu64, seed);
        cr_assert_leq(w.now_us - receipts[i].last_us, 50 * MS, "seed %" PRIu64, seed);
    }
    cr_assert(
        addr_ip_eq(&side(!(seed % 2))->way[WAY_DIRECT].remote, &w.peers[seed % 2].outside[0]));
    world_close(&w);
    return took_us;
}

static void all_changes(const char *what, void (*change)(size_t who))
{
    static const char *const pairs[][2] = {
        {"ei/random/apd", "ei/random/apd" },
        {"ei/random/apd", "ei/preserve/ad"},
        {"ei/random/ad",  "ei/random/apd" },
    };
    static int64_t took_us[RUNS_MAX];
    size_t n = count_of("SEEDS", 6);

    for (size_t i = 0; i < n; i++)
        took_us[i] = one_change(change, pairs[i / 2 % 3][0], pairs[i / 2 % 3][1], 500 + i);
    print(what, took_us, n);
    cr_assert_leq(percentile(took_us, n, 100), 500, "left, a round of probing, and a punch");
}

Test(alive, is_direct_again_within_a_second_after_a_nat_has_rebooted)
{
    all_changes("NAT rebooted", nat_reboots);
}

Test(alive, is_direct_again_within_a_second_behind_a_new_public_address)
{
    all_changes("new public address", nat_moves);
}

Test(alive, is_direct_again_within_a_second_on_another_network)
{
    all_changes("interface changed", host_moves);
}

Test(alive, is_direct_again_within_a_second_of_data_after_the_mapping_expired)
{
    all_changes("mapping expired", mapping_expires);
}

/* In the midst of the punch, when one side may be sure of the path and the other not yet; or right before. */
Test(alive, is_direct_within_a_second_when_a_nat_reboots_while_it_is_punched)
{
    static int64_t took_us[RUNS_MAX];
    int64_t step_us = 200 * MS / (4 * (int64_t)count_of("SEEDS", 5));
    size_t n = 0;

    for (int64_t at_us = 0; at_us < 200 * MS; at_us += step_us)
        for (size_t who = 0; who < 2; who++) {
            struct world_conf c = {.seed = 900, .delay_us = DELAY_US, .n_peers = 2};
            c.peers[0] = c.peers[1] = world_nat("ei/random/apd");
            world_open(&w, &c);
            world_run(&w, 4 * SECOND);
            size_t r = world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND);
            world_run(&w, w.now_us + at_us);
            world_reboot_nat(&w, who, false);
            int64_t began_us = w.now_us;
            while (!w.results[r].settled)
                world_run(&w, w.now_us + MS);
            session = w.results[r].at.session;
            pass(60 * SECOND, 10 * MS, WAY_DIRECT);
            cr_assert_eq(side(0)->state, ATTEMPT_DIRECT);
            cr_assert_eq(side(1)->state, ATTEMPT_DIRECT);
            took_us[n++] = w.now_us - began_us;
            world_close(&w);
        }
    print("NAT rebooted during the punch", took_us, n);
    cr_assert_leq(percentile(took_us, n, 99), 1000);
}
