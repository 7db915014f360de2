/*
 * test_learned.c - learned outcomes: what the coordinator remembers of two peers, one input at a time; and
 * what that saves, and costs, on a population whose NATs and firewalls stay as they are, in virtual time.
 */
#include "tests/lib/coordinator_bed.h"
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* ---- one input at a time ------------------------------------------------------------------------------- */

static struct bed bed, *const b = &bed;

static void setup(void)
{
    coordinator_bed_init(b, 0, 0);
    coordinator_bed_two(b);
    b->store.learns = true;
}
static void teardown(void) { coordinator_bed_fini(b); }

TestSuite(learned, .init = setup, .fini = teardown, .timeout = 120);

/* A contact that ends like this; from the last one on. */
static void contact(enum policy policy, enum path_kind path, const char *verdict)
{
    static uint64_t nonce;
    struct msg m = coordinator_bed_request("bob", ++nonce);

    m.punch_request.policy = (uint16_t)policy;
    coordinator_bed_from_peer(b, 0, &m);
    for (unsigned i = 0; i < 2; i++) {
        m = coordinator_bed_result(b, path, TECHNIQUE_SYNCHRONOUS, verdict);
        coordinator_bed_from_peer(b, i, &m);
    }
}

/* Of the two that met first, and of their classes. */
static const struct past *past(void) { return &b->store.histories[0].is.by[TECHNIQUE_SYNCHRONOUS]; }
static struct past *of_classes(void) { return &b->store.histories[1].is.by[TECHNIQUE_SYNCHRONOUS]; }

static bool tried(void) { return b->order[0].punch_coordinate.plan.n == 2; }

Test(learned, three_misses_in_a_row_and_the_relay_is_used_at_once)
{
    for (int i = 0; i < HISTORY_MISSES_MAX; i++) {
        contact(POLICY_AUTO, PATH_RELAYED, "punch-unanswered");
        cr_assert(tried());
    }
    cr_assert_eq(past()->misses, HISTORY_MISSES_MAX);
    coordinator_bed_forget(b);
    contact(POLICY_AUTO, PATH_RELAYED, "");
    cr_assert(strstr(b->text, "plan=relayed reason=learned relay=yes"), "%s", b->text);
    cr_assert_eq(past()->misses, HISTORY_MISSES_MAX, "nothing was tried");
    cr_assert_eq(coordinator_session(&b->core, &b->last)->verdict, VERDICT_learned);
    contact(POLICY_DIRECT, PATH_FAILED, "direct-only");
    cr_assert_eq(b->order[0].punch_coordinate.plan.v[0].technique, TECHNIQUE_SYNCHRONOUS,
                 "who wants nothing else gets it");
}

Test(learned, only_the_techniques_own_failure_counts_and_a_hit_takes_all_back)
{
    contact(POLICY_AUTO, PATH_RELAYED, "timed-out");
    contact(POLICY_AUTO, PATH_FAILED, "udp-blocked");
    contact(POLICY_RELAY, PATH_RELAYED, "relay-policy");
    cr_assert_eq(past()->misses, 0);
    contact(POLICY_AUTO, PATH_RELAYED, "punch-unanswered");
    cr_assert_eq(past()->misses, 1);
    contact(POLICY_AUTO, PATH_DIRECT, "direct-synchronous");
    cr_assert(past()->misses == 0 && past()->hits == 1);
}

Test(learned, one_sides_word_is_not_enough_for_a_miss)
{
    struct msg m = coordinator_bed_request("bob", 7);

    coordinator_bed_from_peer(b, 0, &m);
    m = coordinator_bed_result(b, PATH_RELAYED, TECHNIQUE_NONE, "punch-unanswered");
    coordinator_bed_from_peer(b, 0, &m);
    coordinator_bed_pass(b, 30000);
    cr_assert_eq(past()->misses, 0);
}

Test(learned, a_side_that_had_no_sockets_left_to_open_has_not_missed)
{
    for (uint32_t sent = 0; sent < 2; sent++) {
        struct msg m = coordinator_bed_request("bob", 20 + sent);
        coordinator_bed_profile(b, 1, NAT_APD, NAT_APD, ALLOC_RANDOM);
        coordinator_bed_from_peer(b, 0, &m);
        cr_assert_eq(b->order[0].punch_coordinate.plan.v[0].technique, TECHNIQUE_BIRTHDAY);
        for (unsigned i = 0; i < 2; i++) {
            m = coordinator_bed_result(b, PATH_RELAYED, TECHNIQUE_NONE, "birthday-missed");
            m.punch_result.tried =
                (struct tried){1, {{TECHNIQUE_BIRTHDAY, i == 0 ? 1500 : sent, 0}}};
            coordinator_bed_from_peer(b, i, &m);
        }
        cr_assert_eq(b->store.histories[0].is.by[TECHNIQUE_BIRTHDAY].misses, sent);
    }
}

Test(learned, an_upgrade_that_works_is_remembered)
{
    contact(POLICY_AUTO, PATH_RELAYED, "punch-unanswered");
    struct msg m = coordinator_bed_request("", 9);
    m.punch_request.target_id = coordinator_bed_peer(1);
    m.punch_request.session = b->last;
    coordinator_bed_report(b, 0, 4000);
    coordinator_bed_report(b, 1, 4000);
    coordinator_bed_from_peer(b, 0, &m);
    for (unsigned i = 0; i < 2; i++) {
        m = coordinator_bed_result(b, PATH_DIRECT, TECHNIQUE_SYNCHRONOUS, "direct-synchronous");
        coordinator_bed_from_peer(b, i, &m);
    }
    cr_assert(past()->hits == 1 && past()->misses == 0);
}

Test(learned, a_pair_of_peers_counts_once_for_its_classes)
{
    for (int i = 0; i < HISTORY_MISSES_MAX; i++)
        contact(POLICY_AUTO, PATH_RELAYED, "punch-unanswered");
    cr_assert_eq(of_classes()->misses, 1);
    contact(POLICY_DIRECT, PATH_DIRECT,
            "direct-synchronous"); /* learns nothing: it asked nothing */
    b->store.histories[0].is = (struct history){0};
    for (int i = 0; i < 3; i++)
        contact(POLICY_AUTO, PATH_DIRECT, "direct-synchronous");
    cr_assert(of_classes()->misses == 0 && of_classes()->hits == 1);
}

Test(learned, what_fails_for_others_of_the_classes_is_tried_once_by_a_pair_that_is_new)
{
    contact(POLICY_RELAY, PATH_RELAYED, "relay-policy");
    contact(POLICY_AUTO, PATH_RELAYED, "timed-out"); /* both keys are known from now on */
    of_classes()->misses = HISTORY_PAIRS_MISSED;
    contact(POLICY_AUTO, PATH_RELAYED, "punch-unanswered");
    cr_assert(tried(), "others may have lied");
    contact(POLICY_AUTO, PATH_RELAYED, "");
    cr_assert_not(tried());
    of_classes()->misses = 0;
    contact(POLICY_AUTO, PATH_RELAYED, "punch-unanswered");
    cr_assert(tried());
}

static struct history_key last_key(void)
{
    return coordinator_session(&b->core, &b->last)->history_key;
}

Test(learned, goes_by_both_keys_and_both_addresses_whoever_calls)
{
    struct msg m = coordinator_bed_request("alice", 3);
    struct history_key key, other;

    contact(POLICY_AUTO, PATH_DIRECT, "");
    key = last_key();
    coordinator_bed_from_peer(b, 1, &m);
    other = last_key();
    cr_assert_eq(memcmp(&key, &other, sizeof key), 0, "the other way round is the same");
    coordinator_bed_ready(b, 2, "carol");
    m = coordinator_bed_request("bob", 4);
    coordinator_bed_from_peer(b, 2, &m);
    other = last_key();
    cr_assert_neq(memcmp(&key, &other, sizeof key), 0, "another peer");
}

Test(learned, a_store_that_is_away_costs_no_session)
{
    b->store.away = true;
    contact(POLICY_AUTO, PATH_DIRECT, "");
    cr_assert_eq(coordinator_session(&b->core, &b->last)->state, COORD_DIRECT);
}

/* ---- what it is worth ----------------------------------------------------------------------------------- */

enum { PAIRS = 8, CONTACTS = 12, LEARNING = 5, SECOND = 1000000, PAUSE_US = 60 * SECOND };

struct tally {
    unsigned contacts, direct;
    double seconds;
    uint64_t packets;
};

static struct world w;

/* Two meet: both have said what came of it, and the caller hangs up. */
static void meet(size_t from, size_t to, struct tally *t)
{
    size_t n = world_connect(&w, from, to, POLICY_AUTO, 15 * SECOND);
    const struct world_result *r = &w.results[n];

    while (!r->settled && w.now_us - r->began_us < 20 * SECOND)
        world_run(&w, w.now_us + SECOND / 10);
    world_run(&w, w.now_us + SECOND / 2);
    cr_assert(r->settled);
    const struct attempt *other = world_other_side(&w, r);
    t->contacts++;
    t->direct += r->at.state == ATTEMPT_DIRECT;
    t->seconds += (double)(r->settled_us - r->began_us) / 1e6;
    t->packets += r->at.way[WAY_DIRECT].punches_sent;
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

/*
 * A stable population of eight pairs, each of which could go direct by its classes.  Behind one of every so many of them,
 * from the first one on, stands a firewall that lets nothing through between peers, which no prober can see.
 */
static void population(unsigned every, size_t first, bool forgets, struct tally rounds[CONTACTS])
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
        .seed = 107 + first, .delay_us = 20000, .loss_ppm = 10000, .n_peers = 2 * PAIRS};

    for (size_t i = 0; i < PAIRS; i++)
        for (size_t side = 0; side < 2; side++)
            c.peers[2 * i + side] = world_nat(kinds[i][side]);
    world_open(&w, &c);
    w.forgets = forgets;
    for (size_t i = first; every > 0 && i < PAIRS; i += every) /* neither direction opens */
        w.walled[w.peers[2 * i].host] = w.walled[w.peers[2 * i + 1].host] = true;
    world_run(&w, 5 * SECOND);
    for (size_t i = 0; i < CONTACTS; i++) {
        rounds[i] = (struct tally){0};
        round_of(&rounds[i]);
        world_run(&w, w.now_us + PAUSE_US); /* or the limit of guesses would end it */
    }
    world_close(&w);
}

static void add_later(const struct tally rounds[CONTACTS], struct tally *sum)
{
    for (size_t i = LEARNING; i < CONTACTS; i++) {
        sum->contacts += rounds[i].contacts;
        sum->direct += rounds[i].direct;
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

/* What remains are the packets of those that do go direct, most of them a birthday's, which nothing saves. */
Test(learned, halves_packets_and_time_after_five_contacts_when_half_of_the_pairs_are_firewalled)
{
    struct tally fixed, learned;

    compare(2, &fixed, &learned);
    cr_assert_leq(learned.packets * 2, fixed.packets);
    cr_assert_leq(learned.seconds * 2, fixed.seconds);
    cr_assert_geq(learned.direct * 100, fixed.direct * 98);
}

Test(learned, halves_the_time_and_saves_a_quarter_of_the_packets_when_a_quarter_is)
{
    struct tally fixed, learned;

    compare(4, &fixed, &learned);
    cr_assert_leq(learned.packets * 4, fixed.packets * 3);
    cr_assert_leq(learned.seconds * 2, fixed.seconds);
    cr_assert_geq(learned.direct * 100, fixed.direct * 98);
}

Test(learned, is_never_worse_than_the_static_order_by_more_than_two_percent)
{
    struct tally fixed, learned;

    compare(0, &fixed, &learned);
    cr_assert_leq(learned.packets * 100, fixed.packets * 102);
    cr_assert_leq(learned.seconds * 100, fixed.seconds * 102);
    cr_assert_geq(learned.direct * 100, fixed.direct * 98);
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

Test(learned, what_fails_for_two_classes_costs_each_new_pair_one_try)
{
    struct tally fixed = classes(false, true), learned = classes(false, false);

    cr_assert_leq(learned.packets * 2, fixed.packets);
    cr_assert_leq(learned.seconds * 2, fixed.seconds);
}

Test(learned, where_all_of_two_classes_can_be_opened_nothing_is_lost)
{
    struct tally fixed = classes(true, true), learned = classes(true, false);

    cr_assert_leq(learned.packets * 100, fixed.packets * 102);
    cr_assert_leq(learned.seconds * 100, fixed.seconds * 102);
    cr_assert_geq(learned.direct, fixed.direct);
}
