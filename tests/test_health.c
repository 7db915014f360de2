/*
 * test_health.c - what pings tell of a way: round trips, what is missing, loss that is more than chance.
 */
#include "lib/core.h"
#include "lib/rng.h"
#include "services/executor/health.h"

#include <criterion/criterion.h>

TestSuite(health, .timeout = 20);

enum { MS = 1000 };

static struct health h;

static void setup(void) { health_init(&h); }

Test(health, a_ping_is_overdue_a_round_trip_and_a_bit_after_it_left, .init = setup)
{
    cr_assert_eq(health_overdue_us(&h), NEVER);
    for (uint32_t i = 1; i <= 50; i++) {
        cr_assert_eq(health_ping(&h, i * 100 * MS), i);
        cr_assert(health_pong(&h, (i * 100 + 40) * MS, i));
        cr_assert_eq(health_overdue_us(&h), NEVER);
    }
    cr_assert_eq(health_rtt_us(&h), 40 * MS);
    health_ping(&h, 6000 * MS);
    health_ping(&h, 6010 * MS);
    cr_assert_eq(health_overdue_us(&h), 6060 * MS, "the older one counts");
    cr_assert_eq(health_open(&h), 2);
    health_ping(&h, 6020 * MS);
    cr_assert(health_pong(&h, 6050 * MS, 52)); /* the first of them is lost, the second is not */
    cr_assert_eq(health_open(&h), 1);
    cr_assert_geq(health_overdue_us(&h), (6020 + 20 + 30) * MS);
}

Test(health, so_many_are_missed_as_had_the_time_to_be_answered, .init = setup)
{
    for (uint32_t i = 1; i <= 50; i++) {
        health_ping(&h, i * 100 * MS);
        cr_assert(health_pong(&h, (i * 100 + 40) * MS, i));
    }
    cr_assert_not(health_missed(&h, 9000 * MS, 1));
    for (int64_t at_ms = 6000; at_ms < 6040; at_ms += 10)
        health_ping(&h, at_ms * MS);
    cr_assert(health_missed(&h, 6060 * MS, 1));
    cr_assert_not(health_missed(&h, 6060 * MS, 2));
    cr_assert_not(health_missed(&h, 6089 * MS, 4));
    cr_assert(health_missed(&h, 6090 * MS, 4));
    cr_assert_not(health_missed(&h, 9000 * MS, 5), "no more were sent");
    for (int i = 0; i < HEALTH_PINGS; i++)
        health_ping(&h, 10000 * MS);
    cr_assert(health_missed(&h, 10000 * MS, 4), "so many that the first ones' times are gone");
}

Test(health, answers_count_once_and_only_to_what_was_asked, .init = setup)
{
    cr_assert_not(health_pong(&h, 1, 0));
    cr_assert_not(health_pong(&h, 1, 1));
    for (uint32_t i = 1; i <= HEALTH_PINGS + 1; i++)
        health_ping(&h, i * MS);
    cr_assert_not(health_pong(&h, 500 * MS, 1), "too long ago to know");
    cr_assert(health_pong(&h, 500 * MS, 7));
    cr_assert_not(health_pong(&h, 500 * MS, 7));
    cr_assert(health_pong(&h, 500 * MS, 5));
    cr_assert_not(health_pong(&h, 500 * MS, 5));
    cr_assert(health_pong(&h, 500 * MS, HEALTH_PINGS + 1));
    cr_assert_not(health_pong(&h, 500 * MS, HEALTH_PINGS + 1));
    cr_assert_not(health_pong(&h, 500 * MS, HEALTH_PINGS + 2));
}

/* Packets sent until loss of so many percent is called bad, a pong after each 20; 0: not within the limit. */
static uint32_t until_lossy(struct rng *r, uint64_t percent, uint32_t limit)
{
    uint32_t arrived = 0;

    health_init(&h);
    for (uint32_t sent = 1; sent <= limit; sent++) {
        arrived += rng_below(r, 100) >= percent;
        if (sent % 20 == 0)
            health_arrived(&h, sent, arrived);
        if (h.lossy)
            return sent;
    }
    return 0;
}

Test(health, thirty_per_cent_is_called_bad_within_a_quarter_second_and_five_never)
{
    struct rng r;
    unsigned late = 0;

    rng_seed(&r, 1);
    for (int i = 0; i < 1000; i++)
        late += until_lossy(&r, 30, 400) > 250 || !h.lossy;
    cr_assert_leq(late, 10, "%u of 1000 at a thousand packets a second", late);
    cr_assert_eq(until_lossy(&r, 5, 2000000), 0);
    cr_assert_eq(until_lossy(&r, 0, 2000000), 0);
    cr_assert_gt(until_lossy(&r, 100, 400), 0);
}

Test(health, a_peer_that_counts_backwards_or_too_much_makes_nothing_bad, .init = setup)
{
    health_arrived(&h, 100, UINT32_MAX);
    health_arrived(&h, 200, 90);
    health_arrived(&h, 300, 500);
    health_arrived(&h, 250, 0);
    health_init(&h);
    health_arrived(&h, 1000, 1000);
    health_arrived(&h, 1100, 2000); /* more than were sent */
    cr_assert_not(h.lossy);
}

/* A trial in which each n-th answer is missing, in the order given by swap. */
static uint32_t allowed = TRIAL_MISSED;
static enum trial try_with(uint32_t nth, uint32_t swap)
{
    health_init(&h);
    health_try(&h, allowed);
    for (uint32_t i = 1; i <= 60 && h.trial == TRIAL_ON; i++)
        health_ping(&h, i * MS);
    for (uint32_t i = 1; i <= 60 && h.trial == TRIAL_ON; i++) {
        uint32_t number = swap && i % 2 ? i + 1 : swap ? i - 1 : i;
        if (nth == 0 || number % nth != 0)
            health_pong(&h, (100 + i) * MS, number);
    }
    return h.trial;
}

Test(health, a_trial_passes_with_few_answers_missing_and_not_with_many)
{
    cr_assert_eq(try_with(0, 0), TRIAL_PASSED);
    cr_assert_eq(try_with(0, 1), TRIAL_PASSED, "out of order is not missing");
    cr_assert_eq(try_with(30, 0), TRIAL_PASSED);
    cr_assert_eq(try_with(8, 0), TRIAL_NONE);
    allowed = TRIAL_MISSED_MAX;
    cr_assert_eq(try_with(8, 0), TRIAL_PASSED, "a line that always loses some");
    cr_assert_eq(try_with(4, 0), TRIAL_NONE);
    cr_assert_eq(try_with(1, 0), TRIAL_ON, "none came");
}
