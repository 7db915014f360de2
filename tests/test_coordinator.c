/*
 * test_coordinator.c - the core, one input at a time: requests, until both sides have their orders.
 */
#include "tests/lib/coordinator_bed.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct bed bed, *const b = &bed;

static void setup(void) { coordinator_bed_init(b, 0, 0); }
static void teardown(void) { coordinator_bed_fini(b); }

TestSuite(coordinator, .init = setup, .fini = teardown, .timeout = 20);

Test(coordinator, drives_a_warm_pair_to_a_direct_path)
{
    coordinator_bed_two(b);
    coordinator_bed_ask(b, 0, "bob", 7);
    expect(b, "free -> requested: asked for\n"
              "requested -> inviting: both are attached\n" COORDINATOR_BED_ORDERS);
    cr_assert_eq(b->order[0].punch_coordinate.nonce, 7);
    cr_assert_eq(memcmp(&b->order[0].punch_coordinate.own, &b->order[1].punch_coordinate.theirs,
                        sizeof b->order[0].punch_coordinate.own),
                 0);
    struct msg ack = {.type = MSG_punch_ack};
    ack.punch_ack.session = b->last;
    coordinator_bed_from_peer(b, 1, &ack);
    coordinator_bed_tell(b, 0, PATH_DIRECT, "direct-synchronous");
    expect(b, "coordinating -> executing: first packet\n");
    coordinator_bed_tell(b, 1, PATH_DIRECT, "direct-synchronous");
    expect(b, "executing -> direct: both sides have reported\n");
    cr_assert_eq(coordinator_bed_session(b)->verdict, VERDICT_direct_synchronous);
    cr_assert(b->core.n.punches_attempted == 1 && b->core.n.punches_direct == 1);
}

Test(coordinator, says_at_once_that_a_name_is_unknown)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ask(b, 0, "bob", 7);
    expect(b, "free -> requested: asked for\nstore: get_name bob\n"
              "requested -> closed: nobody has claimed it\n"
              "p0: punch_refused not-found name-unknown\n");
    struct msg m = coordinator_bed_request("", 8);
    m.punch_request.target_id = coordinator_bed_peer(5);
    coordinator_bed_from_peer(b, 0, &m);
    expect(b, "free -> requested: asked for\nstore: get_peer \n"
              "requested -> closed: nobody has claimed it\n"
              "p0: punch_refused not-found name-unknown\n");
}

Test(coordinator, waits_for_a_target_that_is_known_but_away)
{
    coordinator_bed_ready(b, 1, "bob");
    struct msg leave = {.type = MSG_detach};
    coordinator_bed_from_peer(b, 1, &leave);
    coordinator_bed_pass(b, 70000); /* not even the record of its limits is left */
    coordinator_bed_forget(b);
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ask(b, 0, "bob", 7);
    expect(b, "free -> requested: asked for\nstore: get_name bob\n");
    coordinator_bed_pass(b, 5000);
    coordinator_bed_ready(b, 1, "bob");
    coordinator_bed_pass(b, 1);
    expect(b, "requested -> inviting: both are attached\n"
              "inviting -> coordinating: direct-synchronous\n"
              "p0: punch_coordinate side=0 to=bob own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=10000\n"
              "p1: punch_coordinate side=1 to=alice own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=10000\n");
}

Test(coordinator, gives_up_on_a_target_that_stays_away)
{
    coordinator_bed_ready(b, 1, "bob");
    struct msg leave = {.type = MSG_detach};
    coordinator_bed_from_peer(b, 1, &leave);
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ask(b, 0, "bob", 7);
    coordinator_bed_pass(b, 14999);
    expect(b, "free -> requested: asked for\nstore: get_name bob\n");
    coordinator_bed_pass(b, 1);
    expect(b, "requested -> closed: the target did not attach in time\n"
              "p0: punch_refused peer-not-reachable peer-away\n");
    cr_assert_eq(b->core.n.timeouts, 1);
}

Test(coordinator, refuses_requests_that_make_no_sense)
{
    coordinator_bed_two(b);
    struct msg m = coordinator_bed_request("", 1); /* no target */
    coordinator_bed_from_peer(b, 0, &m);
    m = coordinator_bed_request("alice", 2); /* itself */
    coordinator_bed_from_peer(b, 0, &m);
    m = coordinator_bed_request("", 3);
    m.punch_request.target_id = coordinator_bed_peer(0);
    coordinator_bed_from_peer(b, 0, &m);
    m = coordinator_bed_request("bob", 4); /* two targets */
    m.punch_request.target_id = coordinator_bed_peer(1);
    coordinator_bed_from_peer(b, 0, &m);
    m = coordinator_bed_request("bob", 5);
    m.punch_request.policy = POLICY_COUNT;
    coordinator_bed_from_peer(b, 0, &m);
    m = coordinator_bed_request("bob", 6);
    m.punch_request.mode = MODE_COUNT;
    coordinator_bed_from_peer(b, 0, &m);
    expect(b, "p0: punch_refused bad-request bad-request\n"
              "p0: punch_refused bad-request bad-request\n"
              "p0: punch_refused bad-request bad-request\n"
              "p0: punch_refused bad-request bad-request\n"
              "p0: punch_refused bad-request bad-request\n"
              "p0: punch_refused bad-request bad-request\n");
    m = coordinator_bed_request("bob", 7);
    m.punch_request.mode = MODE_RAW; /* bob takes managed only */
    coordinator_bed_from_peer(b, 0, &m);
    expect(b, "free -> requested: asked for\n"
              "requested -> closed: the target does not take this mode\n"
              "p0: punch_refused bad-request mode-mismatch\n");
}

Test(coordinator, tells_no_address_to_whom_the_target_does_not_accept)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_attach_as(b, 1, coordinator_bed_conn(1), "bob", 1, ACCEPT_NOBODY);
    coordinator_bed_forget(b);
    for (uint64_t i = 0; i < COORD_REJECTED_PER_MIN; i++)
        coordinator_bed_ask(b, 0, "bob", i);
    cr_assert_null(strstr(b->text, "punch_coordinate"));
    cr_assert_eq(b->core.n.rejections, COORD_REJECTED_PER_MIN);
    coordinator_bed_forget(b);
    coordinator_bed_ask(b, 0, "bob", 99);
    expect(b, "p0: punch_refused rate-limited rate-limited\n");
    const struct msg *refused = &b->out.v[b->out.n - 1].msg;
    cr_assert_geq(refused->punch_refused.retry_after_ms, 1000);
    cr_assert_leq(refused->punch_refused.retry_after_ms, 60000);
    struct msg m = coordinator_bed_request("", 100); /* by its key, which nobody guesses */
    m.punch_request.target_id = coordinator_bed_peer(1);
    coordinator_bed_from_peer(b, 0, &m);
    expect(b, "free -> requested: asked for\n"
              "requested -> closed: too many calls that were not accepted\n"
              "p0: punch_refused rate-limited rate-limited\n");
    coordinator_bed_pass(b, 60000);
    coordinator_bed_attach(b, 0, "alice");
    coordinator_bed_forget(b);
    coordinator_bed_ask(b, 0, "nobody", 101);
    cr_assert_not_null(strstr(b->text, "not-found"), "the minute is over");
}

Test(coordinator, names_cannot_be_tried_out_faster_than_calls_that_are_not_accepted)
{
    char name[16];

    coordinator_bed_two(b);
    for (unsigned i = 0; i < 3 * COORD_REJECTED_PER_MIN; i++) {
        snprintf(name, sizeof name, "n%u", i);
        coordinator_bed_ask(b, 0, name, i);
    }
    cr_assert_eq(b->core.n.not_found, COORD_REJECTED_PER_MIN);
    coordinator_bed_forget(b);
    coordinator_bed_ask(b, 0, "bob", 99);
    expect(b, "p0: punch_refused rate-limited rate-limited\n"); /* and so not of those that exist */
}

Test(coordinator, an_operator_changes_the_limits_of_requests_at_run_time)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_limit_requests(&b->core, 2, 0);
    coordinator_bed_forget(b);
    coordinator_bed_ask(b, 0, "alice", 1);
    coordinator_bed_ask(b, 0, "alice", 2);
    coordinator_bed_ask(b, 0, "alice", 3);
    expect(b, "p0: punch_refused bad-request bad-request\n"
              "p0: punch_refused bad-request bad-request\n"
              "p0: punch_refused rate-limited rate-limited\n");
    coordinator_limit_requests(&b->core, 3, 0);
    coordinator_bed_ask(b, 0, "alice", 4);
    expect(b, "p0: punch_refused bad-request bad-request\n");
}

Test(coordinator, when_it_drains_it_finishes_sessions_and_begins_none)
{
    coordinator_bed_ordered(b);
    cr_assert(coordinator_pending(&b->core));
    coordinator_drain(&b->core);
    coordinator_bed_ask(b, 0, "bob", 8);
    expect(b, "p0: punch_refused overloaded overloaded\n");
    coordinator_bed_ask(b, 0, "bob", 7); /* what was begun is repeated still */
    cr_assert(strstr(b->text, "punch_coordinate"));
    cr_assert(coordinator_pending(&b->core));
    coordinator_bed_pass(b, 60000); /* nobody answers */
    cr_assert(!coordinator_pending(&b->core));
}

Test(coordinator, repeats_an_order_when_its_request_is_repeated)
{
    coordinator_bed_ordered(b);
    coordinator_bed_pass(b, 3000);
    coordinator_bed_ask(b, 0, "bob", 7);
    expect(b, "p0: punch_coordinate side=0 to=bob own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=12000 warm\n");
    cr_assert_eq(b->core.n.sessions, 1);
}

Test(coordinator, a_request_with_the_number_of_a_settled_session_is_a_new_one)
{
    coordinator_bed_ordered(b);
    coordinator_bed_tell(b, 0, PATH_DIRECT, "direct-synchronous");
    coordinator_bed_tell(b, 1, PATH_DIRECT, "direct-synchronous");
    coordinator_bed_ask(b, 0, "bob", 7);
    cr_assert_eq(b->core.n.sessions, 2);
}

Test(coordinator, another_process_with_the_same_key_ends_the_sessions_of_the_earlier_one)
{
    struct msg m = {
        .type = MSG_attach, .attach = {.name = "alice", .modes = 1, .seq = 1}
    };

    coordinator_bed_ordered(b);
    coordinator_bed_tell(b, 0, PATH_DIRECT, "direct-synchronous");
    coordinator_bed_tell(b, 1, PATH_DIRECT, "direct-synchronous");
    coordinator_bed_forget(b);
    m.attach.instance = 1;
    coordinator_bed_from_conn(b, 0, 801, &m);
    coordinator_bed_pass(b, 1);
    cr_assert_not_null(strstr(b->text, "direct -> closed: a side has detached\n"));
    cr_assert_not_null(strstr(b->text, "p1: punch_cancel"));
}

Test(coordinator, sends_the_targets_order_again_when_it_is_back_on_another_connection)
{
    coordinator_bed_ordered(b);
    coordinator_bed_pass(b, 3000);
    coordinator_bed_attach_as(b, 1, 901, "bob", 2, ACCEPT_ANYONE);
    coordinator_bed_forget(b);
    coordinator_bed_pass(b, 1);
    expect(b, "p801: punch_coordinate side=1 to=alice own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=12000 warm\n");
    coordinator_bed_attach_as(b, 0, 900, "alice", 2, ACCEPT_ANYONE); /* will ask itself */
    struct msg m = coordinator_bed_result(b, PATH_DIRECT, TECHNIQUE_SYNCHRONOUS, "");
    coordinator_bed_from_conn(b, 1, 901, &m);
    coordinator_bed_attach_as(b, 1, 902, "bob", 3, ACCEPT_ANYONE);
    coordinator_bed_forget(b);
    coordinator_bed_pass(b, 1);
    expect(b, ""); /* who has reported has had it */
}

Test(coordinator, makes_room_by_forgetting_the_oldest_closed_session_only)
{
    coordinator_bed_fini(b);
    coordinator_bed_init(b, 0, 2);
    coordinator_bed_two(b);
    coordinator_bed_ask(b, 0, "nobody", 1); /* closed at once */
    coordinator_bed_ask(b, 0, "bob", 2);
    coordinator_bed_forget(b);
    coordinator_bed_ask(b, 0, "bob", 3);
    cr_assert_eq(strncmp(b->text, "closed -> free: made room\nfree -> requested", 43), 0);
    coordinator_bed_forget(b);
    coordinator_bed_ask(b, 0, "bob", 4);
    expect(b, "p0: punch_refused overloaded overloaded\n");
}
