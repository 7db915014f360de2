/*
 * test_coordinator_results.c - what comes of a session: reports of its sides, silence, cancelling, what relays carried.
 */
#include "tests/lib/coordinator_bed.h"

#include <criterion/criterion.h>

static struct bed bed, *const b = &bed;

static void setup(void) { coordinator_bed_init(b, 0, 0); }
static void teardown(void) { coordinator_bed_fini(b); }

TestSuite(coordinator_results, .init = setup, .fini = teardown, .timeout = 20);

Test(coordinator_results, settles_on_the_worse_of_the_two_reports)
{
    static const struct {
        enum path_kind a, b;
        enum coordinator_state state;
    } cases[] = {
        {PATH_DIRECT,  PATH_HALF,    COORD_HALF   },
        {PATH_HALF,    PATH_RELAYED, COORD_RELAYED},
        {PATH_RELAYED, PATH_FAILED,  COORD_FAILED },
        {PATH_FAILED,  PATH_DIRECT,  COORD_FAILED },
    };

    coordinator_bed_ordered(b);
    for (uint64_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coordinator_bed_ask(b, 0, "bob", 100 + i);
        coordinator_bed_tell(b, 0, cases[i].a, "");
        coordinator_bed_tell(b, 1, cases[i].b, "");
        cr_assert_eq(coordinator_bed_session(b)->state, (uint8_t)cases[i].state, "case %u",
                     (unsigned)i);
    }
    cr_assert(b->core.n.punches_half == 1 && b->core.n.punches_failed == 3);
}

Test(coordinator_results, counts_a_silent_side_as_failed_unless_the_other_is_sure)
{
    coordinator_bed_ordered(b);
    coordinator_bed_tell(b, 0, PATH_RELAYED, "punch-unanswered");
    coordinator_bed_pass(b, 15000 + COORD_GRACE_MS);
    expect(b, "coordinating -> executing: first result\nexecuting -> failed: one side is silent\n");
    cr_assert_eq(coordinator_bed_session(b)->verdict, VERDICT_peer_silent);
    coordinator_bed_tell(b, 1, PATH_RELAYED, "punch-unanswered"); /* late, but true */
    expect(b, "failed -> relayed: both sides have reported\n");
    coordinator_bed_attach(b, 0, "alice"), coordinator_bed_attach(b, 1, "bob");
    coordinator_bed_ask(b, 0, "bob", 8);
    coordinator_bed_forget(b);
    coordinator_bed_tell(b, 0, PATH_DIRECT, "direct-synchronous");
    coordinator_bed_pass(b, 15000 + COORD_GRACE_MS);
    expect(
        b,
        "coordinating -> executing: first result\nexecuting -> direct: one side is sure of it\n");
    cr_assert(b->core.n.punches_failed == 1 && b->core.n.punches_direct == 1);
}

Test(coordinator_results, fails_a_session_that_nobody_answers)
{
    coordinator_bed_ordered(b);
    coordinator_bed_pass(b, 15000 + COORD_GRACE_MS);
    expect(b, "coordinating -> failed: both sides are silent\n");
    cr_assert_eq(coordinator_bed_session(b)->verdict, VERDICT_peer_silent);
}

Test(coordinator_results, follows_falling_back_and_upgrades_and_closes_when_unrefreshed)
{
    coordinator_bed_ordered(b);
    coordinator_bed_tell(b, 0, PATH_RELAYED, "punch-unanswered");
    coordinator_bed_tell(b, 1, PATH_RELAYED, "punch-unanswered");
    coordinator_bed_forget(b);
    coordinator_bed_tell(b, 0, PATH_DIRECT, "direct-synchronous");
    coordinator_bed_tell(b, 1, PATH_DIRECT, "direct-synchronous");
    expect(b, "relayed -> direct: both sides have reported\n");
    cr_assert(b->core.n.upgrades_succeeded == 1 && b->core.n.relayed_now == 0);
    for (int i = 0; i < 4; i++) {
        coordinator_bed_attach(b, 0, "alice"), coordinator_bed_attach(b, 1, "bob");
        coordinator_bed_pass(b, 50000);
        coordinator_bed_tell(b, 0, PATH_DIRECT, "direct-synchronous");
    }
    coordinator_bed_forget(b);
    coordinator_bed_pass(b, 179000);
    cr_assert_null(strstr(b->text, "closed"));
    coordinator_bed_pass(b, 1000);
    cr_assert(strstr(b->text, "direct -> closed: not confirmed any more\n"));
    cr_assert_null(strstr(b->text, "punch_cancel")); /* the path may well live on */
    struct sid id = b->last;
    coordinator_bed_pass(b, 599000);
    cr_assert(coordinator_session(&b->core, &id));
    coordinator_bed_pass(b, 1000);
    cr_assert_null(coordinator_session(&b->core, &id));
    cr_assert_eq(coordinator_deadline(&b->core), NEVER);
}

Test(coordinator_results, lets_only_participants_touch_a_session)
{
    coordinator_bed_ordered(b);
    coordinator_bed_ready(b, 2, "carol");
    coordinator_bed_tell(b, 2, PATH_FAILED, "");
    struct msg m = {.type = MSG_punch_cancel};
    m.punch_cancel.session = b->last;
    coordinator_bed_from_peer(b, 2, &m);
    m.type = MSG_punch_ack;
    coordinator_bed_from_peer(b, 2, &m);
    expect(b, "");
    cr_assert_eq(b->core.n.ignored, 3);
}

Test(coordinator_results, ignores_results_that_make_no_sense)
{
    coordinator_bed_ordered(b);
    struct msg m = coordinator_bed_result(b, PATH_COUNT, TECHNIQUE_SYNCHRONOUS, "");
    coordinator_bed_from_peer(b, 0, &m);
    m = coordinator_bed_result(b, PATH_DIRECT, TECHNIQUE_COUNT, "");
    coordinator_bed_from_peer(b, 0, &m);
    m = coordinator_bed_result(b, PATH_FAILED, TECHNIQUE_NONE, "");
    msg_text(m.punch_result.kind, sizeof m.punch_result.kind, "no-such-kind");
    coordinator_bed_from_peer(b, 0, &m);
    expect(b, "");
}

static void cancel_from(unsigned i)
{
    struct msg m = {.type = MSG_punch_cancel};

    m.punch_cancel.session = b->last;
    coordinator_bed_from_peer(b, i, &m);
}

Test(coordinator_results, tells_the_other_side_when_one_cancels)
{
    coordinator_bed_ordered(b);
    cancel_from(0);
    expect(b, "p1: punch_cancel cancelled\ncoordinating -> closed: the initiator ended it\n");
    cr_assert_eq(b->core.n.punches_failed, 1);
    cancel_from(0);
    expect(b, "");
}

Test(coordinator_results, ends_the_sessions_of_a_peer_that_detaches)
{
    coordinator_bed_ordered(b);
    struct msg m = {.type = MSG_detach};
    coordinator_bed_from_peer(b, 1, &m);
    coordinator_bed_pass(b, 1);
    expect(b, "store: put bob away\n"
              "p0: punch_cancel cancelled\ncoordinating -> closed: a side has detached\n");
    cr_assert_eq(coordinator_bed_session(b)->verdict, VERDICT_cancelled);
}

/* Side i says what it has come to, and goes. */
static const struct coordinator_session *report_and_go(unsigned i, enum path_kind path,
                                                       const char *kind, const char *verdict)
{
    coordinator_bed_ordered(b);
    struct msg m = coordinator_bed_result(
        b, path, path == PATH_DIRECT ? TECHNIQUE_SYNCHRONOUS : TECHNIQUE_NONE, verdict);
    msg_text(m.punch_result.kind, sizeof m.punch_result.kind, kind);
    coordinator_bed_from_peer(b, i, &m);
    m = (struct msg){.type = MSG_detach};
    coordinator_bed_from_peer(b, i, &m);
    coordinator_bed_pass(b, 1);
    return coordinator_bed_session(b);
}

Test(coordinator_results, keeps_what_the_side_has_said_that_goes_before_the_other_one_does)
{
    const struct coordinator_session *s =
        report_and_go(0, PATH_FAILED, "unreachable", "udp-blocked");
    cr_assert_eq(s->state, COORD_CLOSED);
    cr_assert_eq(s->verdict, VERDICT_udp_blocked);
    cr_assert_str_eq(s->kind, "unreachable");
    cr_assert_eq(b->core.n.cancelled, 0);
    cr_assert_eq(b->core.n.failed, 1);
}

Test(coordinator_results, has_the_verdict_as_the_initiator_sees_it)
{
    const struct coordinator_session *s =
        report_and_go(1, PATH_FAILED, "unreachable", "udp-blocked");
    cr_assert_eq(s->verdict, VERDICT_peer_udp_blocked);
}

Test(coordinator_results, counts_a_path_whose_initiator_had_it_and_is_done)
{
    const struct coordinator_session *s = report_and_go(0, PATH_DIRECT, "", "direct-synchronous");
    cr_assert_eq(s->state, COORD_CLOSED);
    cr_assert_eq(s->verdict, VERDICT_direct_synchronous);
    cr_assert_eq(b->core.n.direct, 1);
    cr_assert_eq(b->core.n.punches_direct, 1);
    cr_assert_eq(b->core.n.failed + b->core.n.cancelled, 0);
}

Test(coordinator_results, lets_the_operator_cancel_in_any_state)
{
    coordinator_bed_ordered(b);
    struct msg m = {.type = MSG_punch_cancel};
    m.punch_cancel.session = b->last;
    coordinator_bed_from_suite(b, SERVICE_coordinator, &m);
    expect(b, "p0: punch_cancel cancelled\np1: punch_cancel cancelled\n"
              "coordinating -> closed: the operator cancelled it\n");
    coordinator_bed_attach(b, 2, "carol");
    coordinator_bed_forget(b);
    coordinator_bed_ask(b, 0, "carol", 8);
    m.punch_cancel.session = b->last;
    coordinator_bed_forget(b);
    coordinator_bed_from_suite(b, SERVICE_coordinator, &m);
    expect(
        b,
        "inviting -> closed: the operator cancelled it\np0: punch_refused cancelled cancelled\n");
}

Test(coordinator_results, adds_up_what_relays_carried)
{
    coordinator_bed_ordered(b);
    struct msg m = {.type = MSG_relay_usage};
    m.relay_usage.session = b->last;
    m.relay_usage.packets = 2;
    m.relay_usage.bytes = 200;
    coordinator_bed_from_suite(b, SERVICE_relay, &m);
    coordinator_bed_from_suite(b, SERVICE_relay, &m);
    cr_assert(coordinator_bed_session(b)->relay_packets == 4 &&
              coordinator_bed_session(b)->relay_bytes == 400);
    cr_assert_not(coordinator_bed_session(b)->relay_ended);
    m.relay_usage.ended = true;
    coordinator_bed_from_suite(b, SERVICE_relay, &m);
    cr_assert(coordinator_bed_session(b)->relay_ended);
}

Test(coordinator_results, counts_a_fallback_once_and_only_where_the_relay_is_the_path)
{
    struct msg m = {.type = MSG_relay_usage};

    coordinator_bed_ordered(b);
    m.relay_usage.session = b->last;
    m.relay_usage.packets = 2;
    for (unsigned i = 0; i < 2; i++) {
        struct msg r =
            coordinator_bed_result(b, PATH_DIRECT, TECHNIQUE_SYNCHRONOUS, "direct-synchronous");
        coordinator_bed_from_peer(b, i, &r);
    }
    coordinator_bed_from_suite(b, SERVICE_relay, &m); /* punches of the two */
    cr_assert_eq(b->core.n.relay_fallbacks, 0);
    struct msg r = coordinator_bed_result(b, PATH_RELAYED, TECHNIQUE_NONE, "punch-unanswered");
    coordinator_bed_from_peer(b, 1, &r);
    coordinator_bed_from_suite(b, SERVICE_relay, &m);
    coordinator_bed_from_suite(b, SERVICE_relay, &m);
    cr_assert_eq(b->core.n.relay_fallbacks, 1);
}

Test(coordinator_results, ignores_answers_that_it_did_not_ask_for)
{
    struct input in = {.kind = IN_STORE};

    coordinator_bed_ordered(b);
    for (uint64_t tag = 0; tag < 4; tag++)
        for (int op = STORE_PUT; op <= STORE_GET_NAME; op++) {
            in.store.op = (enum store_op)op;
            in.store.tag = tag << 26 | (tag == 3 ? 0x3ffffff : 0);
            coordinator_bed_step(b, &in);
        }
    expect(b, "");
}
