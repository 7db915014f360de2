/* test_forecast.c - which port comes next, and how many sockets it takes to be sure of one. */
#include "services/executor/forecast.h"

#include <criterion/criterion.h>

enum { SECOND = 1000000 };

/* A rate that is known well: as counted over a long time. */
static struct forecast at_rate(uint32_t per_s, int16_t delta)
{
    return (struct forecast){
        .port = 20000, .delta = delta, .others = per_s * 1000, .over_us = 1000u * SECOND};
}

Test(forecast, others_take_as_many_as_poissons_law_says)
{
    struct forecast f = at_rate(100, 1);

    /* So many ports, from none taken on, 99 times of 100. */
    cr_assert_eq(forecast_most(&f, SECOND / 20, 0.99) + 1, 12);
    cr_assert_eq(forecast_most(&f, SECOND, 0.99) + 1, 125);
    f = at_rate(0, 1);
    cr_assert_eq(forecast_most(&f, SECOND, 0.99), 0);
    cr_assert_eq(forecast_most(&f, 0, 0.99), 0);
}

Test(forecast, a_rate_from_few_counts_is_a_rate_that_may_be_another)
{
    struct forecast known = at_rate(100, 1), counted = {20000, 1, 10, SECOND / 10};

    cr_assert_gt(forecast_sockets(&counted, SECOND / 2), 2 * forecast_sockets(&known, SECOND / 2));
    cr_assert_leq(forecast_sockets(&counted, UINT32_MAX), FORECAST_SOCKETS_MAX);
    cr_assert_lt(forecast_most(&counted, UINT32_MAX, 0.999), FORECAST_LAW_MAX + 1);
}

/* Sockets opened when others took the least get a run that ends past the port, when the most begin before. */
Test(forecast, the_port_is_within_the_run_whether_others_take_few_or_many)
{
    static const uint32_t rates[] = {0, 20, 100, 300}, after[] = {20000, 80000, 600000, SECOND};
    static const int16_t deltas[] = {1, 2, -1, 16};

    for (size_t r = 0; r < 4; r++)
        for (size_t a = 0; a < 4; a++)
            for (size_t d = 0; d < 4; d++) {
                struct forecast f = at_rate(rates[r], deltas[d]);
                uint32_t few = forecast_most(&f, after[a], 0.005);
                uint32_t many = forecast_most(&f, after[a], 0.995);
                int steps = (forecast_port(&f, after[a]) - f.port) / deltas[d];
                cr_assert_eq((forecast_port(&f, after[a]) - f.port) % deltas[d], 0);
                cr_assert_gt(steps, (int)many, "others may have it");
                cr_assert_leq(steps, (int)(few + forecast_sockets(&f, after[a])));
            }
}

Test(forecast, no_port_is_foreseen_that_may_not_be_sent_to)
{
    struct forecast up = at_rate(100, 1), down = at_rate(100, -16);

    up.port = UINT16_MAX - 5;
    cr_assert_eq(forecast_port(&up, SECOND), 0);
    down.port = 1040;
    cr_assert_eq(forecast_port(&down, SECOND), 0);
}

Test(forecast, others_are_counted_between_two_mappings)
{
    uint32_t others = 77;

    cr_assert(forecast_count(2000, 2010, 1, 4, &others) && others == 6);
    cr_assert(forecast_count(2000, 2020, 2, 4, &others) && others == 6);
    cr_assert(forecast_count(2020, 2000, -2, 4, &others) && others == 6);
    cr_assert(forecast_count(2000, 2003, 1, 4, &others) && others == 0, "one was no new mapping");
    cr_assert_not(forecast_count(2000, 2001, 1, 9, &others));
    cr_assert_not(forecast_count(2000, 2003, 2, 1, &others), "not in steps");
    cr_assert_not(forecast_count(65000, 1100, 1, 1, &others), "from below again");
    cr_assert_not(forecast_count(1024, 60000, 1, 1, &others), "so many: a count of nothing");
    cr_assert_not(forecast_count(2000, 2010, 0, 1, &others));
}
