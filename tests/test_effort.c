/* test_effort.c - what techniques may take: the table's numbers, and what follows from them. */
#include "lib/effort.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(effort, .timeout = 10);

Test(effort, every_technique_has_a_row_in_the_order_of_its_number)
{
    static const char *const names[] = {
#define EFFORT(id, ...) #id,
#include "schemas/efforts.def"
    };
    char name[32];

    cr_assert_eq(sizeof names / sizeof *names, TECHNIQUE_COUNT);
    for (size_t t = 0; t < TECHNIQUE_COUNT; t++) {
        size_t len = strlen(technique_name[t]);
        memcpy(name, technique_name[t], len + 1);
        for (size_t i = 0; i < len; i++)
            if (name[i] == '-')
                name[i] = '_';
        cr_assert_str_eq(names[t], name);
    }
}

Test(effort, a_span_is_six_round_trips_between_three_and_ten_seconds)
{
    static const struct {
        uint32_t rtt_us, span_us;
    } rows[] = {
        {0,          3000000 },
        {40000,      3000000 },
        {500000,     3000000 },
        {500001,     3000006 },
        {1000000,    6000000 },
        {1666666,    10000000},
        {UINT32_MAX, 10000000},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_eq(effort_span_us(TECHNIQUE_SYNCHRONOUS, rows[i].rtt_us), rows[i].span_us, "%u",
                     rows[i].rtt_us);
    cr_assert_eq(effort_span_us(TECHNIQUE_RELAYED, 1000000), 0);
    cr_assert_eq(effort_span_us(TECHNIQUE_NONE, 0), 0);
}

Test(effort, the_pause_doubles_to_its_bound_and_is_longer_where_ports_are_guessed)
{
    int64_t gap_us = 0;
    static const int64_t pauses_s[] = {4, 8, 16, 32, 64, 64};

    for (size_t i = 0; i < sizeof pauses_s / sizeof *pauses_s; i++) {
        gap_us = effort_again_us(TECHNIQUE_SYNCHRONOUS, gap_us);
        cr_assert_eq(gap_us, pauses_s[i] * 1000000);
    }
    cr_assert_eq(effort_again_us(TECHNIQUE_BIRTHDAY, 0), 30 * INT64_C(1000000));
    cr_assert_eq(effort_again_us(TECHNIQUE_BIRTHDAY, 4000000), 30 * INT64_C(1000000));
    cr_assert_eq(effort_again_us(TECHNIQUE_BIRTHDAY, 500 * INT64_C(1000000)),
                 600 * INT64_C(1000000));
    cr_assert_eq(effort_again_us(TECHNIQUE_SYNCHRONOUS, 600 * INT64_C(1000000)),
                 64 * INT64_C(1000000));
}
