/* test_relay_marks.c - the table by which packets of sessions are known: what the core keeps in it, and when it is full. */
#include "services/relay/marks.h"
#include "tests/lib/relay_bed.h"

#include <criterion/criterion.h>

enum { SESSIONS_MAX = 100, BITS = MARKS_BITS_MIN, N_CELLS = (1 << BITS) * MARKS_WAYS };

static struct relay_bed bed;
static uint64_t table[N_CELLS];

static void setup(void)
{
    relay_bed_open(&bed, SESSIONS_MAX, 1);
    bed.conf.marks = (struct marks){.cells = table, .bits = BITS};
    relay_bed_restart(&bed, 1);
}

static void teardown(void) { relay_bed_close(&bed); }

TestSuite(relay_marks, .init = setup, .fini = teardown, .timeout = 20);

Test(relay_marks, path_ids_are_known_from_the_first_bind_until_the_session_ends)
{
    struct ticket t0 = relay_bed_ticket(&bed, 7, 0), t1 = relay_bed_ticket(&bed, 7, 1);

    cr_assert_eq(relay_bed_marks(&bed), 0);
    relay_bed_bind(&bed, 'A', &t0, 1);
    cr_assert_eq(relay_bed_marks(&bed), 2);
    relay_bed_bind(&bed, 'B', &t1, 2);
    cr_assert_eq(relay_bed_marks(&bed), 2);
    relay_bed_run(&bed, 200000); /* both are silent */
    cr_assert_eq(bed.r.by_sid.n, 0);
    cr_assert_eq(relay_bed_marks(&bed), 0);
}

Test(relay_marks, the_source_of_a_raw_side_is_known_where_it_is_now)
{
    struct ticket t = relay_bed_ticket(&bed, 7, 0);

    t.mode = MODE_RAW;
    relay_bed_bind(&bed, 'A', &t, 1);
    cr_assert_eq(relay_bed_marks(&bed), 3);
    relay_bed_bind(&bed, 'C', &t, 2);
    cr_assert_eq(relay_bed_marks(&bed), 3);
    relay_bed_run(&bed, 200000);
    cr_assert_eq(relay_bed_marks(&bed), 0);
}

Test(relay_marks, a_full_set_leaves_a_key_out_and_nothing_else_changes)
{
    uint64_t cells[(1 << MARKS_BITS_MIN) * MARKS_WAYS] = {0}, key[MARKS_WAYS + 1], at = 0;
    struct marks k = {.cells = cells, .bits = MARKS_BITS_MIN};
    size_t n = 0;

    for (unsigned i = 0; i <= MARKS_WAYS; key[i++] = at) /* keys of set 0 */
        do
            at += 0x100;
        while (at * MARKS_MIX >> (64 - MARKS_BITS_MIN) != 0);
    for (unsigned i = 0; i <= MARKS_WAYS; i++)
        marks_add(&k, key[i]), marks_add(&k, key[i]);
    for (unsigned i = 0; i < sizeof cells / sizeof *cells; i++)
        n += cells[i] != 0;
    cr_assert_eq(n, MARKS_WAYS);
    marks_remove(&k, key[MARKS_WAYS]);
    marks_remove(&k, key[3]);
    marks_remove(&k, 0);
    marks_add(&k, 0);
    cr_assert_eq(cells[3], 0);
    marks_add(&k, key[MARKS_WAYS]);
    cr_assert_eq(cells[3], key[MARKS_WAYS]);
}

Test(relay_marks, every_set_has_room_for_the_sessions_that_it_is_made_for)
{
    cr_assert_eq(marks_bits(1), MARKS_BITS_MIN);
    cr_assert_eq(marks_bits(10000), 14);
    cr_assert_eq(marks_bits(RELAY_SESSIONS_MAX), 20);
}
