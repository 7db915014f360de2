/*
 * test_kinds.c - the kinds of failure that no other test brings about, from where they arise to the
 * coordinator's counters.
 */
#include "tests/lib/coordinator_bed.h"
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>

static struct bed bed, *const b = &bed;

static void setup(void)
{
    coordinator_bed_init(b, 0, 0);
    executor_bed_open();
}
static void teardown(void) { coordinator_bed_fini(b); }

TestSuite(kinds, .init = setup, .fini = teardown, .timeout = 20);

/* An executor that may only go direct fails at an order of this technique. */
static const struct attempt *failed(enum technique technique)
{
    executor_bed_start(1, technique, POLICY_DIRECT);
    while (executor_bed.attempts[0].state == ATTEMPT_EXECUTING)
        executor_bed_tick();
    return &executor_bed.attempts[0];
}

static void expect_kind(const struct attempt *a, const char *kind, enum verdict verdict)
{
    cr_assert_eq(a->path, PATH_FAILED);
    cr_assert_str_eq(a->kind, kind);
    cr_assert_str_eq(verdict_name(a->verdict), verdict_name(verdict));
}

Test(kinds, a_technique_that_this_program_does_not_have_is_unsupported)
{
    expect_kind(failed(TECHNIQUE_BLOCK_BIRTHDAY), "unsupported", VERDICT_unsupported);
}

Test(kinds, many_ports_that_all_failed_are_told_from_an_address_that_did)
{
    executor_bed_ready();
    struct msg m = executor_bed_order(1, TECHNIQUE_BIRTHDAY, POLICY_DIRECT);
    m.punch_coordinate.plan.v[0].role = 1;
    executor_bed_msg(240, &m);
    while (executor_bed.attempts[0].state == ATTEMPT_EXECUTING)
        executor_bed_tick();
    expect_kind(&executor_bed.attempts[0], "all-ports-failed", VERDICT_birthday_missed);
    executor_bed_open();
    expect_kind(failed(TECHNIQUE_SYNCHRONOUS), "punch-failed", VERDICT_direct_only);
}

Test(kinds, without_a_proven_address_in_time_a_direct_path_is_a_reflex_timeout)
{
    struct msg m = coordinator_bed_request("bob", 7);

    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_attach(b, 1, "bob"); /* no token, no profile */
    m.punch_request.policy = POLICY_DIRECT;
    coordinator_bed_from_peer(b, 0, &m);
    coordinator_bed_forget(b);
    coordinator_bed_pass(b, 2000);
    expect(b, "inviting -> closed: nothing direct can work\n"
              "p0: punch_refused reflex-timeout no-token\n");
    cr_assert_eq(b->core.kinds[kind_find("reflex-timeout")], 1);
}

Test(kinds, what_a_side_says_is_counted_and_kept_with_the_session)
{
    static const char *const said[] = {"unsupported", "all-ports-failed", "unreachable"};
    struct msg m;

    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ready(b, 1, "bob");
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        m = coordinator_bed_request("bob", 7 + i);
        coordinator_bed_from_peer(b, 0, &m);
        for (unsigned peer = 0; peer < 2; peer++) {
            m = coordinator_bed_result(b, PATH_FAILED, TECHNIQUE_NONE, "direct-only");
            msg_text(m.punch_result.kind, sizeof m.punch_result.kind, said[i]);
            coordinator_bed_from_peer(b, peer, &m);
        }
        cr_assert_str_eq(coordinator_session(&b->core, &b->last)->kind, said[i]);
        cr_assert_eq(b->core.kinds[kind_find(said[i])], 1);
    }
}
