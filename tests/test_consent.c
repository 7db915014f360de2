/*
 * test_consent.c - accept policies, one input at a time: who is called decides, and before it has, nobody
 * is told an address.
 */
#include "tests/lib/coordinator_bed.h"

#include <criterion/criterion.h>

static struct bed bed, *const b = &bed;

static void setup(void)
{
    coordinator_bed_init(b, 0, 0);
    coordinator_bed_two(b);
}
static void teardown(void) { coordinator_bed_fini(b); }

TestSuite(consent, .init = setup, .fini = teardown, .timeout = 20);

static void bob_accepts(enum accept policy)
{
    coordinator_bed_attach_as(b, 1, coordinator_bed_conn(1), "bob", 1, (uint16_t)policy);
    coordinator_bed_forget(b);
}

static void answer(unsigned from, uint32_t conn, bool accepted)
{
    struct msg m = {.type = MSG_invite_answer};

    m.invite_answer.session = b->last;
    m.invite_answer.accepted = accepted;
    coordinator_bed_from_conn(b, from, conn, &m);
}

static bool ordered(void) { return strstr(b->text, "punch_coordinate") != NULL; }

Test(consent, known_takes_calls_of_keys_it_has_had_a_session_with_and_no_others)
{
    bob_accepts(ACCEPT_KNOWN);
    coordinator_bed_ask(b, 0, "bob", 1);
    expect(b, "free -> requested: asked for\nrequested -> inviting: both are attached\n"
              "store: get_contact \n"
              "inviting -> closed: the target does not know this key\n"
              "p0: punch_refused rendezvous-rejected not-accepted\n");
    coordinator_bed_ask(b, 1, "alice", 2); /* bob calls alice, who takes anyone */
    cr_assert(ordered());
    coordinator_bed_forget(b);
    coordinator_bed_ask(b, 0, "bob", 3);
    cr_assert(ordered());
    coordinator_bed_ready(b, 2, "carol");
    coordinator_bed_ask(b, 2, "bob", 4);
    cr_assert_not(ordered());
    cr_assert_eq(b->core.n.rejections, 2);
}

Test(consent, known_is_told_from_the_store_and_refused_while_that_is_away)
{
    bob_accepts(ACCEPT_KNOWN);
    b->store.away = true;
    coordinator_bed_ask(b, 0, "bob", 1);
    cr_assert(strstr(b->text, "p0: punch_refused overloaded overloaded\n"));
    cr_assert_not(ordered());
}

Test(consent, ask_puts_the_question_to_the_target_and_waits_for_its_yes)
{
    bob_accepts(ACCEPT_ASK);
    coordinator_bed_ask(b, 0, "bob", 1);
    expect(b, "free -> requested: asked for\nrequested -> inviting: both are attached\n"
              "p1: invite alice\n");
    coordinator_bed_pass(b, 3000);
    expect(b, "");
    answer(0, coordinator_bed_conn(0), true); /* alice can't say it for him */
    expect(b, "");
    answer(1, coordinator_bed_conn(1), true);
    cr_assert(strstr(b->text, "inviting -> coordinating: direct-synchronous\n"));
    cr_assert(ordered());
    coordinator_bed_forget(b);
    answer(1, coordinator_bed_conn(1), false); /* too late */
    expect(b, "");
}

Test(consent, ask_and_a_no_or_silence_are_a_refusal)
{
    bob_accepts(ACCEPT_ASK);
    coordinator_bed_ask(b, 0, "bob", 1);
    coordinator_bed_forget(b);
    answer(1, coordinator_bed_conn(1), false);
    expect(b, "inviting -> closed: the target was asked and refused\n"
              "p0: punch_refused rendezvous-rejected not-accepted\n");
    coordinator_bed_ask(b, 0, "bob", 2);
    coordinator_bed_forget(b);
    coordinator_bed_pass(b, COORD_ASK_MS - 1);
    expect(b, "");
    coordinator_bed_pass(b, 1);
    expect(b, "inviting -> closed: the target did not say that it accepts\n"
              "p0: punch_refused rendezvous-rejected not-accepted\n");
    cr_assert_eq(b->core.n.rejections, 2);
}

Test(consent, measuring_goes_on_while_the_target_is_asked_and_has_its_own_time_after)
{
    coordinator_bed_attach_as(b, 2, coordinator_bed_conn(2), "carol", 1, ACCEPT_ASK);
    coordinator_bed_ask(b, 0, "carol", 1);
    coordinator_bed_pass(b, 5000);
    coordinator_bed_forget(b);
    answer(2, coordinator_bed_conn(2), true);
    coordinator_bed_pass(b, 1999);
    cr_assert_not(ordered());
    coordinator_bed_pass(b, 1);
    cr_assert(ordered());
}

Test(consent, the_question_is_put_again_on_a_new_connection)
{
    bob_accepts(ACCEPT_ASK);
    coordinator_bed_ask(b, 0, "bob", 1);
    coordinator_bed_attach_as(b, 1, 901, "bob", 2, ACCEPT_ASK);
    coordinator_bed_forget(b);
    coordinator_bed_pass(b, 1);
    expect(b, "p801: invite alice\n");
    answer(1, 901, true);
    cr_assert_null(strstr(b->text, "refused"));
}

Test(consent, nobody_is_asked_more_often_than_unaccepted_calls_are_allowed)
{
    bob_accepts(ACCEPT_ASK);
    for (uint64_t i = 0; i < 3 * COORD_REJECTED_PER_MIN; i++) { /* who is accepted is not limited */
        coordinator_bed_ask(b, 0, "bob", i);
        answer(1, coordinator_bed_conn(1), true);
    }
    cr_assert_null(strstr(b->text, "rate-limited"));
    coordinator_bed_forget(b);
    for (uint64_t i = 100; i < 100 + COORD_REJECTED_PER_MIN; i++)
        coordinator_bed_ask(b, 0, "bob", i);
    cr_assert_null(strstr(b->text, "rate-limited"));
    coordinator_bed_forget(b);
    coordinator_bed_ask(b, 0, "bob", 999);
    expect(b, "p0: punch_refused rate-limited rate-limited\n");
}
