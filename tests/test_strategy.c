/*
 * test_strategy.c - the table of techniques, over every pair of profiles and every pair of tokens.
 */
#include "lib/strategy.h"

#include <criterion/criterion.h>

enum { PROFILES = BEHAVIOUR_COUNT * BEHAVIOUR_COUNT * ALLOCATION_COUNT };

static struct profile profile(unsigned i)
{
    return (struct profile){
        .mapping = (uint8_t)(i % BEHAVIOUR_COUNT),
        .filtering = (uint8_t)(i / BEHAVIOUR_COUNT % BEHAVIOUR_COUNT),
        .allocation = (uint8_t)(i / BEHAVIOUR_COUNT / BEHAVIOUR_COUNT),
    };
}

static bool changing(const struct profile *p)
{
    return p->mapping == NAT_AD || p->mapping == NAT_APD;
}

static bool random_port(const struct profile *p)
{
    return changing(p) && p->allocation == ALLOC_RANDOM;
}

/* The reference's T0: anyone can reach it. */
static bool open_to_all(const struct profile *p)
{
    return (p->mapping == NAT_NONE || p->mapping == NAT_EI) &&
           (p->filtering == NAT_NONE || p->filtering == NAT_EI);
}

/* By no rule that was found. */
static bool moves(const struct profile *p) { return changing(p) && p->allocation == ALLOC_UNKNOWN; }

static bool knowable(const struct profile *p)
{
    return p->mapping == NAT_NONE || p->mapping == NAT_EI;
}

/* Right before, it is known by which port the next packet will leave. */
static bool foreseeable(const struct profile *p)
{
    return changing(p) && (p->allocation == ALLOC_PRESERVE || p->allocation == ALLOC_CONTIGUOUS);
}

/* The far side's port needn't be known to hear it: any port of its address is let in. */
static bool hears_any_port(const struct profile *p)
{
    return knowable(p) &&
           (p->filtering == NAT_NONE || p->filtering == NAT_EI || p->filtering == NAT_AD);
}

static bool is_direct(const struct plan *p)
{
    return p->n > 0 && p->v[0].technique != TECHNIQUE_RELAYED;
}

static bool any_finds(const struct profile *p, const struct profile *other)
{
    bool lets_in[2] = {p->filtering >= NAT_NONE && p->filtering <= NAT_AD,
                       other->filtering >= NAT_NONE && other->filtering <= NAT_AD};

    return lets_in[0] && (p->mapping == NAT_AD || lets_in[1]);
}

/* Of two that move, either of which could be heard, or open ports for the other: the initiator begins. */
static bool either_begins(const struct profile *a, const struct profile *b)
{
    return changing(a) && changing(b) && any_finds(a, b) && any_finds(b, a);
}

static void check(const struct profile *a, const struct profile *b, const bool tokens[2],
                  enum policy policy)
{
    enum verdict why = VERDICT_unknown, swapped_why = VERDICT_unknown;
    struct plan p = strategy_plan(a, b, tokens, policy, 0, &why);
    struct plan q = strategy_plan(b, a, (bool[2]){tokens[1], tokens[0]}, policy, 0, &swapped_why);

    cr_assert_neq(why, VERDICT_unknown);
    cr_assert_eq(why, swapped_why);
    cr_assert_eq(p.n, q.n);
    for (unsigned i = 0; i < p.n; i++) {
        cr_assert_eq(p.v[i].technique, q.v[i].technique);
        if (!either_begins(a, b))
            cr_assert_eq(p.v[i].role, q.v[i].role == 2 ? 2 : !q.v[i].role);
        cr_assert(p.v[i].technique != TECHNIQUE_NONE && p.v[i].technique < TECHNIQUE_COUNT);
    }
    if (policy == POLICY_DIRECT)
        cr_assert(p.n == 0 || p.v[p.n - 1].technique != TECHNIQUE_RELAYED);
    else
        cr_assert_eq(p.v[p.n - 1].technique, TECHNIQUE_RELAYED);
    if (policy == POLICY_RELAY)
        cr_assert(p.n == 1 && why == VERDICT_relay_policy);
    else
        cr_assert_eq(is_direct(&p),
                     why == VERDICT_direct_reversal || why == VERDICT_direct_synchronous ||
                         why == VERDICT_direct_send_first || why == VERDICT_direct_birthday ||
                         why == VERDICT_direct_mapped || why == VERDICT_direct_prediction);
}

Test(strategy, is_symmetric_and_complete_over_all_pairs, .timeout = 30)
{
    for (unsigned i = 0; i < PROFILES * PROFILES; i++) {
        struct profile a = profile(i / PROFILES), b = profile(i % PROFILES);

        for (unsigned t = 0; t < 4; t++)
            for (unsigned policy = 0; policy < POLICY_COUNT; policy++)
                check(&a, &b, (bool[2]){t & 1, t & 2}, (enum policy)policy);
    }
}

Test(strategy, is_direct_wherever_a_side_is_open_or_both_ports_are_knowable, .timeout = 30)
{
    for (unsigned i = 0; i < PROFILES * PROFILES; i++) {
        struct profile a = profile(i / PROFILES), b = profile(i % PROFILES);
        enum verdict why;
        struct plan p = strategy_plan(&a, &b, (bool[2]){true, true}, POLICY_AUTO, 0, &why);

        if (open_to_all(&a) || open_to_all(&b))
            cr_assert_eq(p.v[0].technique, TECHNIQUE_REVERSAL);
        else if ((knowable(&a) || foreseeable(&a)) && (knowable(&b) || foreseeable(&b)))
            cr_assert(is_direct(&p));
        else if ((hears_any_port(&a) && changing(&b)) || (hears_any_port(&b) && changing(&a)))
            cr_assert_eq(p.v[0].technique, TECHNIQUE_SEND_FIRST);
        else if (a.mapping != NAT_UNKNOWN && b.mapping != NAT_UNKNOWN &&
                 ((random_port(&a) && knowable(&b)) || (knowable(&a) && random_port(&b))))
            cr_assert(p.v[0].technique == TECHNIQUE_BIRTHDAY ||
                      p.v[0].technique == TECHNIQUE_REVERSAL);
        if (random_port(&a) && random_port(&b) && !any_finds(&a, &b) && !any_finds(&b, &a))
            cr_assert(p.n == 1 && why == VERDICT_both_random);
        else if (p.v[0].technique == TECHNIQUE_BIRTHDAY)
            cr_assert(random_port(p.v[0].role == 1 ? &b : &a));
        else if (moves(&a) || moves(&b))
            cr_assert(!is_direct(&p) || p.v[0].technique == TECHNIQUE_SEND_FIRST ||
                      p.v[0].technique == TECHNIQUE_REVERSAL);
    }
}

Test(strategy, never_dials_an_address_that_no_token_proves, .timeout = 30)
{
    for (unsigned i = 0; i < PROFILES * PROFILES; i++) {
        struct profile a = profile(i / PROFILES), b = profile(i % PROFILES);
        enum verdict why;
        struct plan none = strategy_plan(&a, &b, (bool[2]){false, false}, POLICY_AUTO, 0, &why);
        cr_assert(!is_direct(&none));

        struct plan one = strategy_plan(&a, &b, (bool[2]){true, false}, POLICY_AUTO, 0, &why);
        if (is_direct(&one)) /* then side 1 dials side 0 */
            cr_assert(one.v[0].technique == TECHNIQUE_REVERSAL && one.v[0].role == 1);
    }
}

/* What a prober has proven beats what is known of the NAT, of any class. */
Test(strategy, dials_a_mapped_port_whatever_the_nats_are, .timeout = 30)
{
    for (unsigned i = 0; i < PROFILES * PROFILES; i++) {
        struct profile a = profile(i / PROFILES), b = profile(i % PROFILES);
        enum verdict why;

        a.mapped = true;
        for (unsigned policy = 0; policy < POLICY_COUNT; policy++)
            for (unsigned t = 0; t < 4; t++)
                check(&a, &b, (bool[2]){t & 1, t & 2}, (enum policy)policy);
        struct plan p = strategy_plan(&a, &b, (bool[2]){true, false}, POLICY_AUTO, 0, &why);
        cr_assert(p.v[0].technique == TECHNIQUE_MAPPED && p.v[0].role == 1);
        cr_assert_eq(why, VERDICT_direct_mapped);
        p = strategy_plan(&a, &b, (bool[2]){false, true}, POLICY_AUTO, 0, &why);
        cr_assert_neq(p.v[0].technique, TECHNIQUE_MAPPED);
        b.mapped = true;
        p = strategy_plan(&a, &b, (bool[2]){true, true}, POLICY_AUTO, 0, &why);
        cr_assert(p.v[0].technique == TECHNIQUE_MAPPED && p.v[0].role == 2);
    }
}

/* A firewall is no NAT, and no door either: it opens for who was sent to. */
Test(strategy, never_has_a_firewalled_host_dialled_as_if_it_were_open, .timeout = 30)
{
    static const uint8_t closed[] = {NAT_AD, NAT_APD};

    for (unsigned i = 0; i < 2 * PROFILES; i++) {
        struct profile a = {.mapping = NAT_NONE, .filtering = closed[i % 2]}, b = profile(i / 2);
        enum verdict why;
        struct plan p = strategy_plan(&a, &b, (bool[2]){true, true}, POLICY_AUTO, 0, &why);

        if (p.v[0].technique == TECHNIQUE_REVERSAL)
            cr_assert(p.v[0].role == 0 && b.filtering != NAT_AD && b.filtering != NAT_APD);
        else if (knowable(&b))
            cr_assert_eq(p.v[0].technique, TECHNIQUE_SYNCHRONOUS);
    }
}

/* clang-format off */
static const struct {
    uint8_t a[3], b[3]; /* mapping, filtering, allocation */
    enum verdict why;
    uint8_t technique, role;
} cases[] = {
    {{NAT_EI, NAT_EI, ALLOC_RANDOM}, {NAT_APD, NAT_APD, ALLOC_RANDOM}, VERDICT_direct_reversal, TECHNIQUE_REVERSAL, 1},
    {{NAT_APD, NAT_APD, ALLOC_RANDOM}, {NAT_EI, NAT_EI, ALLOC_RANDOM}, VERDICT_direct_reversal, TECHNIQUE_REVERSAL, 0},
    {{NAT_AD, NAT_AD, ALLOC_RANDOM}, {NAT_EI, NAT_EI, ALLOC_PRESERVE}, VERDICT_direct_reversal, TECHNIQUE_REVERSAL, 0},
    {{NAT_APD, NAT_APD, ALLOC_CONTIGUOUS}, {NAT_NONE, NAT_NONE, 0}, VERDICT_direct_reversal, TECHNIQUE_REVERSAL, 0},
    {{NAT_NONE, NAT_APD, 0}, {NAT_EI, NAT_EI, ALLOC_RANDOM}, VERDICT_direct_reversal, TECHNIQUE_REVERSAL, 0},
    {{NAT_NONE, NAT_AD, 0}, {NAT_EI, NAT_APD, ALLOC_RANDOM}, VERDICT_direct_synchronous, TECHNIQUE_SYNCHRONOUS, 2},
    {{NAT_NONE, NAT_UNKNOWN, 0}, {NAT_APD, NAT_APD, ALLOC_RANDOM}, VERDICT_direct_reversal, TECHNIQUE_REVERSAL, 1},
    {{NAT_EI, NAT_EI, 0}, {NAT_EI, NAT_EI, 0}, VERDICT_direct_reversal, TECHNIQUE_REVERSAL, 2},
    {{NAT_EI, NAT_APD, ALLOC_RANDOM}, {NAT_EI, NAT_AD, 0}, VERDICT_direct_synchronous, TECHNIQUE_SYNCHRONOUS, 2},
    {{NAT_NONE, NAT_APD, 0}, {NAT_APD, NAT_APD, ALLOC_PRESERVE}, VERDICT_direct_prediction, TECHNIQUE_PREDICTION, 1},
    {{NAT_APD, NAT_APD, ALLOC_PRESERVE}, {NAT_APD, NAT_APD, ALLOC_CONTIGUOUS}, VERDICT_direct_prediction, TECHNIQUE_PREDICTION, 2},
    {{NAT_AD, NAT_APD, ALLOC_PRESERVE}, {NAT_APD, NAT_APD, ALLOC_RANDOM}, VERDICT_direct_birthday, TECHNIQUE_BIRTHDAY, 1},
    {{NAT_APD, NAT_APD, ALLOC_PRESERVE}, {NAT_APD, NAT_APD, ALLOC_RANDOM}, VERDICT_one_random, TECHNIQUE_RELAYED, 2},
    {{NAT_UNKNOWN, 0, 0}, {NAT_UNKNOWN, 0, 0}, VERDICT_direct_synchronous, TECHNIQUE_SYNCHRONOUS, 2},
    {{NAT_EI, NAT_APD, 0}, {NAT_APD, NAT_APD, ALLOC_RANDOM}, VERDICT_direct_birthday, TECHNIQUE_BIRTHDAY, 1},
    {{NAT_AD, NAT_APD, ALLOC_CONTIGUOUS}, {NAT_APD, NAT_APD, ALLOC_RANDOM}, VERDICT_direct_birthday, TECHNIQUE_BIRTHDAY, 1},
    {{NAT_APD, NAT_APD, ALLOC_CONTIGUOUS}, {NAT_APD, NAT_APD, ALLOC_RANDOM}, VERDICT_one_random, TECHNIQUE_RELAYED, 2},
    {{NAT_APD, NAT_APD, ALLOC_CONTIGUOUS}, {NAT_AD, NAT_AD, ALLOC_RANDOM}, VERDICT_direct_birthday, TECHNIQUE_BIRTHDAY, 1},
    {{NAT_APD, NAT_AD, ALLOC_CONTIGUOUS}, {NAT_AD, NAT_APD, ALLOC_RANDOM}, VERDICT_direct_prediction, TECHNIQUE_PREDICTION, 0},
    {{NAT_APD, NAT_AD, ALLOC_CONTIGUOUS}, {NAT_APD, NAT_APD, ALLOC_RANDOM}, VERDICT_one_random, TECHNIQUE_RELAYED, 2},
    {{NAT_EI, NAT_APD, 0}, {NAT_AD, NAT_APD, ALLOC_CONTIGUOUS}, VERDICT_direct_prediction, TECHNIQUE_PREDICTION, 1},
    {{NAT_APD, NAT_APD, ALLOC_CONTIGUOUS}, {NAT_APD, NAT_UNKNOWN, ALLOC_CONTIGUOUS}, VERDICT_direct_prediction, TECHNIQUE_PREDICTION, 2},
    {{NAT_APD, NAT_EI, ALLOC_RANDOM}, {NAT_APD, NAT_AD, ALLOC_RANDOM}, VERDICT_direct_send_first, TECHNIQUE_SEND_FIRST, 1},
    {{NAT_APD, NAT_AD, ALLOC_RANDOM}, {NAT_APD, NAT_AD, ALLOC_RANDOM}, VERDICT_direct_birthday, TECHNIQUE_BIRTHDAY, 0},
    {{NAT_APD, NAT_UNKNOWN, ALLOC_CONTIGUOUS}, {NAT_UNKNOWN, 0, 0}, VERDICT_profile_unknown, TECHNIQUE_RELAYED, 2},
    {{NAT_APD, NAT_APD, ALLOC_UNKNOWN}, {NAT_EI, NAT_APD, 0}, VERDICT_not_predictable, TECHNIQUE_RELAYED, 2},
    {{NAT_APD, NAT_APD, ALLOC_RANDOM}, {NAT_AD, NAT_EI, ALLOC_RANDOM}, VERDICT_direct_birthday, TECHNIQUE_BIRTHDAY, 1},
    {{NAT_APD, NAT_APD, ALLOC_RANDOM}, {NAT_APD, NAT_EI, ALLOC_RANDOM}, VERDICT_both_random, TECHNIQUE_RELAYED, 2},
    {{NAT_EI, NAT_AD, ALLOC_RANDOM}, {NAT_APD, NAT_APD, ALLOC_RANDOM}, VERDICT_direct_send_first, TECHNIQUE_SEND_FIRST, 1},
    {{NAT_AD, NAT_AD, ALLOC_CONTIGUOUS}, {NAT_NONE, NAT_AD, 0}, VERDICT_direct_send_first, TECHNIQUE_SEND_FIRST, 0},
    {{NAT_APD, NAT_EI, ALLOC_PRESERVE}, {NAT_AD, NAT_APD, ALLOC_RANDOM}, VERDICT_direct_prediction, TECHNIQUE_PREDICTION, 0},
    {{NAT_EI, NAT_UNKNOWN, 0}, {NAT_APD, NAT_APD, ALLOC_RANDOM}, VERDICT_direct_birthday, TECHNIQUE_BIRTHDAY, 1},
    {{NAT_UNKNOWN, 0, 0}, {NAT_APD, NAT_APD, ALLOC_RANDOM}, VERDICT_profile_unknown, TECHNIQUE_RELAYED, 2},
};
/* clang-format on */

static struct profile of(const uint8_t v[3])
{
    return (struct profile){.mapping = v[0], .filtering = v[1], .allocation = v[2]};
}

Test(strategy, gives_the_technique_the_role_and_the_reason)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum verdict why;
        struct profile a = of(cases[i].a), b = of(cases[i].b);
        struct plan p = strategy_plan(&a, &b, (bool[2]){true, true}, POLICY_AUTO, 0, &why);

        cr_assert_eq(why, cases[i].why, "case %zu: %s", i, verdict_name(why));
        cr_assert_eq(p.v[0].technique, cases[i].technique, "case %zu", i);
        cr_assert_eq(p.v[0].role, cases[i].role, "case %zu", i);
    }
}

Test(strategy, tries_for_three_seconds_or_six_round_trips_within_bounds)
{
    static const struct {
        uint32_t rtt_us, span_us;
    } spans[] = {
        {0,        3000000 },
        {500000,   3000000 },
        {600000,   3600000 },
        {60000000, 10000000}
    };
    struct profile open = {.mapping = NAT_EI, .filtering = NAT_EI};
    enum verdict why;

    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++) {
        struct plan p =
            strategy_plan(&open, &open, (bool[2]){true, true}, POLICY_AUTO, spans[i].rtt_us, &why);
        cr_assert_eq(p.v[0].span_us, spans[i].span_us);
        cr_assert(p.v[0].start_us == 0 && p.v[p.n - 1].start_us == 0);
    }
}

Test(strategy, plans_nothing_when_only_direct_is_allowed_and_nothing_can_work)
{
    struct profile random = {.mapping = NAT_APD, .filtering = NAT_APD, .allocation = ALLOC_RANDOM};
    enum verdict why;

    cr_assert_eq(strategy_plan(&random, &random, (bool[2]){true, true}, POLICY_DIRECT, 0, &why).n,
                 0);
    cr_assert_eq(why, VERDICT_both_random);
}

Test(strategy, gives_rounds_that_look_first_the_time_for_three)
{
    struct profile steps = {
        .mapping = NAT_APD, .filtering = NAT_APD, .allocation = ALLOC_CONTIGUOUS, .delta = 1};
    struct profile per_address = steps, random = steps, fixed = {.mapping = NAT_EI};
    struct plan p;
    enum verdict why;

    p = strategy_plan(&steps, &steps, (bool[2]){true, true}, POLICY_AUTO, 300000, &why);
    cr_assert_eq(p.v[0].span_us, 24 * 300000);
    cr_assert_eq(strategy_looks(&p.v[0], &steps, &steps), 3);
    cr_assert(!strategy_pins(&steps, &steps) && strategy_pins(&steps, &fixed));
    p = strategy_plan(&steps, &fixed, (bool[2]){true, true}, POLICY_AUTO, 0, &why);
    cr_assert_eq(strategy_looks(&p.v[0], &steps, &fixed), 1);
    per_address.mapping = NAT_AD;
    random.allocation = ALLOC_RANDOM;
    p = strategy_plan(&random, &per_address, (bool[2]){true, true}, POLICY_AUTO, 50000, &why);
    cr_assert_eq(p.v[0].technique, TECHNIQUE_BIRTHDAY);
    cr_assert_eq(p.v[0].span_us, 3200000 + 4 * 50000);
    cr_assert_eq(strategy_looks(&p.v[0], &random, &per_address), 2);
    cr_assert(strategy_pins(&per_address, &random) && strategy_pins(&per_address, &steps));
    struct profile keeps = {.mapping = NAT_APD, .allocation = ALLOC_PRESERVE};
    cr_assert(strategy_pins(&keeps, &steps) && !strategy_opens(&keeps, &steps));
    cr_assert(strategy_opens(&keeps, &fixed) && !strategy_pins(&steps, &keeps));
    p = strategy_plan(&random, &fixed, (bool[2]){true, true}, POLICY_AUTO, 0, &why);
    cr_assert_eq(strategy_looks(&p.v[0], &random, &fixed), 0);
}
