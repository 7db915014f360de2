/* test_history.c - what is made of earlier contacts: the counting, and the plan. */
#include "lib/history.h"

#include <criterion/criterion.h>

static struct history h;
static enum verdict reason;

static void setup(void)
{
    h = (struct history){0};
    reason = VERDICT_direct_synchronous;
}

TestSuite(history, .init = setup, .timeout = 10);

/* A plan of two direct techniques and the relay. */
static struct plan plan(void)
{
    return (struct plan){
        .n = 3,
        .v = {{TECHNIQUE_SYNCHRONOUS, 2, 0, 3000},
              {TECHNIQUE_BIRTHDAY, 0, 3000, 5000},
              {TECHNIQUE_RELAYED, 2, 0, 0}},
    };
}

static struct plan applied(int64_t wall_ms)
{
    struct plan p = plan();

    history_apply(&h, wall_ms, &p, &reason);
    return p;
}

static void add(uint8_t technique, bool hit, int times, int64_t wall_ms)
{
    while (times-- > 0)
        history_add(&h, technique, hit, wall_ms);
}

Test(history, without_one_the_plan_stays_as_it_is)
{
    struct plan want = plan(), got = applied(1000);

    cr_assert_eq(memcmp(&want, &got, sizeof want), 0);
    cr_assert_eq(reason, VERDICT_direct_synchronous);
}

Test(history, what_has_failed_every_time_is_left_out_until_an_hour_without_a_try_is_over)
{
    add(TECHNIQUE_SYNCHRONOUS, false, HISTORY_MISSES_MAX - 1, 1000);
    cr_assert_eq(applied(1000).n, 3);
    add(TECHNIQUE_SYNCHRONOUS, false, 1, 1000);
    struct plan p = applied(1000);
    cr_assert(p.n == 2 && p.v[0].technique == TECHNIQUE_BIRTHDAY);
    cr_assert_eq(reason, VERDICT_direct_synchronous);
    cr_assert_eq(applied(1000 + HISTORY_AGAIN_MS - 1).n, 2);
    cr_assert_eq(applied(1000 + HISTORY_AGAIN_MS).n, 3);
    cr_assert_eq(applied(999).n, 3, "a clock that went back is no reason to give up");
    add(TECHNIQUE_BIRTHDAY, false, HISTORY_MISSES_MAX, 1000);
    p = applied(1000);
    cr_assert(p.n == 1 && p.v[0].technique == TECHNIQUE_RELAYED);
    cr_assert_eq(reason, VERDICT_learned);
}

Test(history, of_two_hosts_behind_one_address_the_cause_stays_told)
{
    struct plan p = {
        .n = 2,
        .v = {{.technique = TECHNIQUE_HOST, .span_us = 1}, {.technique = TECHNIQUE_RELAYED}}
    };

    add(TECHNIQUE_HOST, false, HISTORY_MISSES_MAX, 1000);
    reason = VERDICT_direct_host;
    history_apply(&h, 1000, &p, &reason);
    cr_assert(p.n == 1 && p.v[0].technique == TECHNIQUE_RELAYED);
    cr_assert_eq(reason, VERDICT_no_hairpin);
}

Test(history, what_has_worked_is_given_up_more_slowly_and_one_hit_takes_it_back)
{
    add(TECHNIQUE_SYNCHRONOUS, true, 1, 1000);
    add(TECHNIQUE_SYNCHRONOUS, false, HISTORY_MISSES_PROVEN_MAX - 1, 1000);
    cr_assert_eq(applied(1000).n, 3);
    add(TECHNIQUE_SYNCHRONOUS, false, 1, 1000);
    cr_assert_eq(applied(1000).n, 2);
    add(TECHNIQUE_SYNCHRONOUS, true, 1, 1000);
    cr_assert_eq(applied(1000).n, 3);
    add(TECHNIQUE_SYNCHRONOUS, false, 1000, 1000); /* and no counter turns over */
    cr_assert_eq(applied(1000).n, 2);
}

Test(history, what_works_goes_first_and_each_begins_when_the_one_before_is_over)
{
    add(TECHNIQUE_BIRTHDAY, true, 1, 1000);
    struct plan p = applied(1000);
    cr_assert_eq(p.n, 3);
    cr_assert(p.v[0].technique == TECHNIQUE_BIRTHDAY && p.v[0].start_us == 0);
    cr_assert(p.v[1].technique == TECHNIQUE_SYNCHRONOUS && p.v[1].start_us == 5000);
    cr_assert_eq(p.v[2].technique, TECHNIQUE_RELAYED);
}

Test(history, seven_days_after_the_last_try_nothing_is_left)
{
    add(TECHNIQUE_SYNCHRONOUS, false, 5, 1000);
    add(TECHNIQUE_HOST, true, 5, 2000);
    cr_assert(history_expire(&h, 1000 + HISTORY_TTL_MS));
    cr_assert(h.by[TECHNIQUE_SYNCHRONOUS].misses == 0 && h.by[TECHNIQUE_HOST].hits == 5);
    cr_assert_not(history_expire(&h, 2000 + HISTORY_TTL_MS));
}

Test(history, of_the_classes_it_is_known_what_a_new_pair_tries_once_and_what_it_tries_first)
{
    struct history classes = {0};

    for (int i = 0; i < HISTORY_PAIRS_MISSED - 1; i++)
        history_add(&classes, TECHNIQUE_SYNCHRONOUS, false, 1000);
    add(TECHNIQUE_SYNCHRONOUS, false, HISTORY_MISSES_DOUBTED_MAX, 1000);
    history_prior(&h, &classes);
    cr_assert_eq(applied(1000).n, 3);
    history_add(&classes, TECHNIQUE_SYNCHRONOUS, false, 1000);
    history_prior(&h, &classes);
    cr_assert_eq(applied(1000).v[0].technique, TECHNIQUE_BIRTHDAY);
    cr_assert_eq(applied(1000 + HISTORY_AGAIN_MS).n, 3);
    h = (struct history){0};
    history_prior(&h, &classes);
    cr_assert_eq(applied(1000).n, 3, "who has not tried it tries it");
    history_add(&classes, TECHNIQUE_BIRTHDAY, true, 1000);
    history_prior(&h, &classes);
    cr_assert_eq(applied(1000).v[0].technique, TECHNIQUE_BIRTHDAY);
    add(TECHNIQUE_SYNCHRONOUS, true, 1, 1000);
    add(TECHNIQUE_SYNCHRONOUS, false, 2, 1000);
    add(TECHNIQUE_BIRTHDAY, false, 1, 1000);
    history_prior(&h, &classes);
    cr_assert_eq(applied(1000).v[0].technique, TECHNIQUE_SYNCHRONOUS,
                 "what the two know counts more");
}
