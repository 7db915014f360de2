/*
 * test_learned_worth.c - what it saves, and costs, that the coordinator remembers what came of earlier contacts
 * (test_learned.c): on populations whose NATs and firewalls stay as they are, and on one where they don't, in virtual time.
 *
 * RUNS=n: so many contacts of that one, 16 at most.
 */
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(learned_worth, .timeout = 300);

enum { PAIRS = 8, CONTACTS = 12, LEARNING = 5, SECOND = 1000000, PAUSE_US = 120 * SECOND };

struct tally {
    unsigned contacts, direct;
    unsigned left_out; /* of those that nothing stands between: by what was learned */
    double seconds;
    uint64_t packets;
};

static struct world w;
static int64_t lasts_us; /* a session, once it is settled */

/* Two meet: both have said what came of it, and the caller hangs up. */
static void meet(size_t from, size_t to, struct tally *t)
{
    size_t n = world_connect(&w, from, to, POLICY_AUTO, 15 * SECOND);
    const struct world_result *r = &w.results[n];

    while (!r->settled && w.now_us - r->began_us < 20 * SECOND)
        world_run(&w, w.now_us + SECOND / 10);
    world_run(&w, w.now_us + SECOND / 2);
    cr_assert(r->settled);
    world_run(&w, w.now_us + lasts_us);
    const struct attempt *other = world_other_side(&w, r),
                         *own = world_attempt(&w, from, &r->at.session);
    t->contacts++;
    t->direct += r->at.state == ATTEMPT_DIRECT;
    t->left_out += r->at.verdict == VERDICT_learned && !w.walled[w.peers[from].host];
    t->seconds += (double)(r->settled_us - r->began_us) / 1e6;
    t->packets += (own ? own : &r->at)->way[WAY_DIRECT].punches_sent;
    t->packets += other ? other->way[WAY_DIRECT].punches_sent : 0;
    for (uint32_t k = 0; k < ATTEMPTS_MAX; k++)
        if (sid_eq(&w.peers[from].core.attempts[k].session, &r->at.session))
            world_end(&w, from, k, APP_CLOSE);
    world_run(&w, w.now_us + 3 * SECOND);
}

/* Every pair once. */
static void round_of(struct tally *t)
{
    for (size_t i = 0; i < PAIRS; i++)
        meet(2 * i, 2 * i + 1, t);
}

/* Eight pairs, each of which could go direct by its classes. */
static void open_population(uint64_t seed, bool forgets)
{
    static const char *const kinds[PAIRS][2] = {
        {"ei/preserve/apd",   "ei/random/apd"  },
        {"ei/random/apd",     "ei/random/ad"   },
        {"ei/preserve/ei",    "apd/random/apd" },
        {"open",              "apd/random/apd" },
        {"ei/random/ad",      "apd/random/apd" },
        {"ei/random/apd",     "apd/random/apd" },
        {"apd/preserve/apd",  "ei/random/apd"  },
        {"ei/contiguous/apd", "ei/preserve/apd"},
    };
    struct world_conf c = {
        .seed = seed, .delay_us = 20000, .loss_ppm = 10000, .n_peers = 2 * (size_t)PAIRS};

    for (size_t i = 0; i < PAIRS; i++)
        for (size_t side = 0; side < 2; side++)
            c.peers[2 * i + side] = world_nat(kinds[i][side]);
    world_open(&w, &c);
    w.forgets = forgets;
}

/* One that lets nothing through between peers in either direction, which no prober can see. */
static void set_firewall(size_t pair, bool there)
{
    w.walled[w.peers[2 * pair].host] = w.walled[w.peers[2 * pair + 1].host] = there;
}

/* They stay as they are.  One of every so many pairs, from the first one on, is behind a firewall. */
static void population(unsigned every, size_t first, bool forgets, struct tally rounds[CONTACTS])
{
    open_population(107 + first, forgets);
    for (size_t i = first; every > 0 && i < PAIRS; i += every)
        set_firewall(i, true);
    world_run(&w, 5 * SECOND);
    for (size_t i = 0; i < CONTACTS; i++) {
        rounds[i] = (struct tally){0};
        round_of(&rounds[i]);
        world_run(&w, w.now_us + PAUSE_US); /* or the limit of guesses at an ip would end it */
    }
    world_close(&w);
}

static void add_later(const struct tally rounds[CONTACTS], struct tally *sum)
{
    for (size_t i = LEARNING; i < CONTACTS; i++) {
        sum->contacts += rounds[i].contacts;
        sum->direct += rounds[i].direct;
        sum->left_out += rounds[i].left_out;
        sum->seconds += rounds[i].seconds;
        sum->packets += rounds[i].packets;
    }
}

/* Each pair has the firewall once: what a pair costs differs by its classes, a hundredfold. */
static void compare(unsigned every, struct tally *fixed, struct tally *learned)
{
    struct tally rounds[CONTACTS];

    *fixed = *learned = (struct tally){0};
    for (size_t first = 0; first < (every > 0 ? every : 1); first++) {
        population(every, first, true, rounds);
        add_later(rounds, fixed);
        population(every, first, false, rounds);
        add_later(rounds, learned);
    }
    printf("%u of %u pairs firewalled, contacts %u to %u: static %u of %u direct, %.1f s, %llu "
           "packets; learned %u direct, %.1f s, %llu packets\n",
           every > 0 ? PAIRS / every : 0, PAIRS, LEARNING + 1, CONTACTS, fixed->direct,
           fixed->contacts, fixed->seconds, (unsigned long long)fixed->packets, learned->direct,
           learned->seconds, (unsigned long long)learned->packets);
}

/* Birthdays miss by chance, and not the same ones in both runs. */
static void expect_no_fewer(const struct tally *fixed, const struct tally *learned)
{
    cr_assert_leq(learned->left_out * 100, fixed->direct * 2);
    cr_assert_geq(learned->direct * 100, fixed->direct * 95);
}

/* What remains are the packets of those that do go direct, most of them a birthday's, which nothing saves. */
Test(learned_worth,
     halves_packets_and_time_after_five_contacts_when_half_of_the_pairs_are_firewalled)
{
    struct tally fixed, learned;

    compare(2, &fixed, &learned);
    cr_assert_leq(learned.packets * 2, fixed.packets);
    cr_assert_leq(learned.seconds * 2, fixed.seconds);
    expect_no_fewer(&fixed, &learned);
}

Test(learned_worth, halves_the_time_and_saves_a_quarter_of_the_packets_when_a_quarter_is)
{
    struct tally fixed, learned;

    compare(4, &fixed, &learned);
    cr_assert_leq(learned.packets * 4, fixed.packets * 3);
    cr_assert_leq(learned.seconds * 2, fixed.seconds);
    expect_no_fewer(&fixed, &learned);
}

Test(learned_worth, is_never_worse_than_the_static_order_by_more_than_two_percent)
{
    struct tally fixed, learned;

    compare(0, &fixed, &learned);
    cr_assert_leq(learned.packets * 100, fixed.packets * 102);
    cr_assert_leq(learned.seconds * 100, fixed.seconds * 102);
    expect_no_fewer(&fixed, &learned);
}

/*
 * Firewalls come and go: at each contact every pair has another one than before with this probability, and a session lasts
 * a while, in which one on the relay is tried again.
 */
static struct tally churn(unsigned percent, bool forgets)
{
    enum { USUALLY = 8, LASTS_US = 20 * SECOND };
    const char *text = getenv("RUNS");
    size_t times = text ? strtoul(text, NULL, 10) : USUALLY;
    struct tally t = {0};

    open_population(211 + percent, forgets);
    struct rng rng;
    rng_seed(&rng, percent);
    for (size_t i = 0; i < times; i++) {
        for (size_t pair = 0; pair < PAIRS; pair++)
            if (rng_below(&rng, 100) < percent)
                set_firewall(pair, !w.walled[w.peers[2 * pair].host]);
        lasts_us = LASTS_US;
        round_of(&t);
        lasts_us = 0;
        world_run(&w, w.now_us + PAUSE_US);
    }
    world_close(&w);
    printf("firewalls that change in %u %% of contacts, %s: %u of %u direct, %u left out, %.1f s, "
           "%llu packets\n",
           percent, forgets ? "static" : "learned", t.direct, t.contacts, t.left_out, t.seconds,
           (unsigned long long)t.packets);
    return t;
}

Test(learned_worth, is_no_worse_either_where_firewalls_come_and_go)
{
    unsigned least = getenv("RUNS") ? 10 : 25, most = getenv("RUNS") ? 40 : 25;

    for (unsigned percent = least; percent <= most; percent += 15) {
        struct tally fixed = churn(percent, true), learned = churn(percent, false);
        cr_assert_leq(learned.packets * 100, fixed.packets * 102);
        cr_assert_leq(learned.seconds * 100, fixed.seconds * 102);
    }
}

/* ---- of two classes ------------------------------------------------------------------------------------- */

enum { HOSTS = 8, FRIENDS = 2, TIMES = 3 };

/* Eight hosts of one class meet two each of eight of another, three times; in some places nothing opens. */
static struct tally classes(bool works, bool forgets)
{
    struct world_conf c = {
        .seed = 11, .delay_us = 20000, .loss_ppm = 10000, .n_peers = 2 * (size_t)HOSTS};
    struct tally t = {0};

    for (size_t i = 0; i < HOSTS; i++) {
        c.peers[i] = world_nat("ei/random/apd");
        c.peers[HOSTS + i] = world_nat("apd/random/apd");
    }
    world_open(&w, &c);
    w.forgets = forgets;
    for (size_t i = 0; i < 2 * (size_t)HOSTS; i++)
        w.walled[w.peers[i].host] = !works;
    world_run(&w, 5 * SECOND);
    for (size_t i = 0; i < (size_t)TIMES * FRIENDS * HOSTS; i++)
        meet(i % HOSTS, HOSTS + (i + i / HOSTS % FRIENDS) % HOSTS, &t);
    world_close(&w);
    printf("16 pairs of two classes, three contacts each, %s, %s: %u of %u direct, %.1f s, %llu "
           "packets\n",
           works ? "all can be opened" : "none can be opened", forgets ? "static" : "learned",
           t.direct, t.contacts, t.seconds, (unsigned long long)t.packets);
    return t;
}

Test(learned_worth, what_fails_for_two_classes_costs_each_new_pair_one_try)
{
    struct tally fixed = classes(false, true), learned = classes(false, false);

    cr_assert_leq(learned.packets * 2, fixed.packets);
    cr_assert_leq(learned.seconds * 2, fixed.seconds);
}

Test(learned_worth, where_all_of_two_classes_can_be_opened_nothing_is_lost)
{
    struct tally fixed = classes(true, true), learned = classes(true, false);

    cr_assert_leq(learned.packets * 100, fixed.packets * 102);
    cr_assert_leq(learned.seconds * 100, fixed.seconds * 102);
    cr_assert_geq(learned.direct, fixed.direct);
}
