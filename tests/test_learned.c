/*
 * test_learned.c - learned outcomes: what the coordinator remembers of two peers, one input at a time.  What that
 * is worth is in test_learned_worth.c.
 */
#include "tests/lib/coordinator_bed.h"

#include <criterion/criterion.h>

static struct bed bed, *const b = &bed;

static void setup(void)
{
    coordinator_bed_init(b, 0, 0);
    coordinator_bed_two(b);
    b->store.learns = true;
}
static void teardown(void) { coordinator_bed_fini(b); }

TestSuite(learned, .init = setup, .fini = teardown, .timeout = 20);

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
