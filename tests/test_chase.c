/* test_chase.c - what goes after a message on a connection that loses some, as transcripts. */
#include "lib/chase.h"

#include <criterion/criterion.h>

enum { FD = 7, RTT_US = 80000 };

static struct chase chase;

static void setup(void) { chase.n = 0; }

TestSuite(chase, .init = setup, .timeout = 20);

/* Chasers to one connection until it is left alone, as long as nothing comes back before silent_us. */
static unsigned chasers(int64_t silent_us, int64_t *last_us)
{
    unsigned n = 0;

    while (chase_next_us(&chase) != NEVER) {
        int64_t now_us = chase_next_us(&chase);
        struct chased *due = chase_due(&chase, now_us);
        cr_assert_not_null(due);
        cr_assert_null(chase_due(&chase, now_us - 1));
        if (chase_again(&chase, due, now_us < silent_us, now_us)) {
            n++;
            *last_us = now_us;
        }
    }
    return n;
}

Test(chase, one_goes_before_an_acknowledgement_can_be_here_and_no_more_when_it_comes)
{
    int64_t last_us = 0;

    chase_begin(&chase, 1, FD, RTT_US, 0);
    cr_assert_eq(chasers(RTT_US, &last_us), 1);
    cr_assert_lt(last_us, RTT_US / 2);
}

Test(chase, they_follow_while_something_is_late_but_not_for_ever)
{
    int64_t last_us = 0;

    chase_begin(&chase, 1, FD, RTT_US, 0);
    cr_assert_eq(chasers(3 * RTT_US, &last_us), 6);
    cr_assert(last_us > 2 * RTT_US && last_us < 3 * RTT_US);
    chase_begin(&chase, 1, FD, RTT_US, 0);
    cr_assert_eq(chasers(INT64_MAX, &last_us), CHASERS_MAX);
    cr_assert_lt(last_us, 8 * RTT_US);
}

Test(chase, a_connection_is_chased_from_its_last_message_on)
{
    int64_t last_us = 0;

    chase_begin(&chase, 1, FD, RTT_US, 0);
    chase_begin(&chase, 2, FD + 1, RTT_US, 1000);
    chase_begin(&chase, 1, FD, RTT_US, 10000);
    cr_assert_eq(chase.n, 2);
    cr_assert_eq(chase_due(&chase, 1000 + RTT_US / 2)->conn, 1);
    cr_assert_eq(chasers(0, &last_us), 2);
}

Test(chase, there_is_room_for_so_many_and_the_others_go_unchased)
{
    int64_t last_us = 0;

    for (uint32_t conn = 1; conn <= CHASED_MAX + 5; conn++)
        chase_begin(&chase, conn, FD, RTT_US, 0);
    cr_assert_eq(chase.n, CHASED_MAX);
    cr_assert_eq(chasers(0, &last_us), CHASED_MAX);
    chase_begin(&chase, CHASED_MAX + 5, FD, RTT_US, 0);
    cr_assert_eq(chase.n, 1);
}

Test(chase, only_what_a_session_waits_for_is_worth_it)
{
    cr_assert(chase_worth(MSG_punch_request) && chase_worth(MSG_punch_coordinate));
    cr_assert_not(chase_worth(MSG_attach) || chase_worth(MSG_reflex_report));
    cr_assert_not(chase_worth(MSG_chase), "or they would chase each other");
}
