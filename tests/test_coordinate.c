/*
 * test_coordinate.c - the operator brings two peers together that have not asked: both must accept, and the
 * executor looks at its own policy too, whatever the coordinator says.
 */
#include "tests/lib/coordinator_bed.h"
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>

static struct bed bed, *const b = &bed;

static void setup(void)
{
    coordinator_bed_init(b, 0, 0);
    coordinator_bed_two(b);
}
static void teardown(void) { coordinator_bed_fini(b); }

TestSuite(coordinate, .init = setup, .fini = teardown, .timeout = 20);

static struct msg wanted(unsigned a, const char *target, uint8_t session)
{
    struct msg m = coordinator_bed_request(target, 0);

    m.punch_request.initiator = coordinator_bed_peer(a);
    m.punch_request.session.b[0] = session;
    return m;
}

static void coordinate(unsigned a, const char *target, uint8_t session)
{
    struct msg m = wanted(a, target, session);

    coordinator_bed_from_suite(b, SERVICE_coordinator, &m);
}

static void accepts(unsigned i, const char *name, enum accept policy)
{
    coordinator_bed_attach_as(b, i, coordinator_bed_conn(i), name, 1, (uint16_t)policy);
    coordinator_bed_forget(b);
}

static void answer(unsigned from, bool accepted)
{
    struct msg m = {.type = MSG_invite_answer};

    m.invite_answer.session = b->last;
    m.invite_answer.accepted = accepted;
    coordinator_bed_from_peer(b, from, &m);
}

Test(coordinate, both_get_orders_and_the_session_has_the_id_that_the_operator_was_told)
{
    coordinate(0, "bob", 9);
    expect(b, "free -> requested: the operator asked for it\n"
              "requested -> inviting: both are attached\n" COORDINATOR_BED_ORDERS);
    cr_assert_eq(b->last.b[0], 9);
    cr_assert_eq(b->order[0].punch_coordinate.nonce, 0, "nobody has asked");
    coordinate(0, "bob", 9);
    expect(b, "");
    cr_assert_eq(b->core.n.ignored, 1, "its id is taken");
    for (unsigned i = 0; i < 2; i++) {
        struct msg m = coordinator_bed_result(b, PATH_DIRECT, TECHNIQUE_SYNCHRONOUS, "");
        coordinator_bed_from_peer(b, i, &m);
    }
    cr_assert_eq(coordinator_bed_session(b)->state, COORD_DIRECT);
}

Test(coordinate, who_accepts_nobody_is_aimed_at_nobody_on_either_side)
{
    accepts(0, "alice", ACCEPT_NOBODY);
    coordinate(0, "bob", 1);
    expect(b, "free -> requested: the operator asked for it\n"
              "requested -> inviting: both are attached\n"
              "inviting -> closed: the initiator does not accept this key\n");
    coordinate(1, "alice", 2);
    expect(b, "free -> requested: the operator asked for it\n"
              "requested -> closed: the target does not accept this key\n");
    cr_assert_eq(coordinator_bed_session(b)->verdict, VERDICT_not_accepted);
    cr_assert_eq(b->core.kinds[kind_find("rendezvous-rejected")], 2);
}

Test(coordinate, each_side_that_asks_is_asked_and_nobody_is_told_anything_before)
{
    accepts(0, "alice", ACCEPT_ASK);
    accepts(1, "bob", ACCEPT_ASK);
    coordinate(0, "bob", 1);
    expect(b, "free -> requested: the operator asked for it\n"
              "requested -> inviting: both are attached\np1: invite alice\n");
    answer(0, true); /* it was not asked yet */
    expect(b, "");
    coordinator_bed_pass(b, 9000);
    answer(1, true);
    expect(b, "p0: invite bob\n");
    answer(1, true); /* and can't say it for her */
    coordinator_bed_pass(b, 5000);
    expect(b, "");
    answer(0, true);
    cr_assert(strstr(b->text, "p0: punch_coordinate") && strstr(b->text, "p1: punch_coordinate"));
    coordinator_bed_forget(b);
    coordinate(0, "bob", 2);
    answer(1, true);
    coordinator_bed_forget(b);
    answer(0, false);
    expect(b, "inviting -> closed: the initiator was asked and refused\n");
}

Test(coordinate, an_initiator_that_does_not_answer_does_not_accept)
{
    accepts(0, "alice", ACCEPT_ASK);
    coordinate(0, "bob", 1);
    coordinator_bed_forget(b);
    coordinator_bed_pass(b, COORD_ASK_MS - 1);
    expect(b, "");
    coordinator_bed_pass(b, 1);
    expect(b, "inviting -> closed: the initiator did not say that it accepts\n");
}

Test(coordinate, known_peers_are_looked_up_on_both_sides)
{
    accepts(0, "alice", ACCEPT_KNOWN);
    coordinate(0, "bob", 1);
    expect(b, "free -> requested: the operator asked for it\n"
              "requested -> inviting: both are attached\nstore: get_contact \n"
              "inviting -> closed: the initiator does not know this key\n");
    b->store.contacts[b->store.n_contacts][0] = coordinator_bed_peer(1);
    b->store.contacts[b->store.n_contacts++][1] = coordinator_bed_peer(0);
    coordinate(0, "bob", 2);
    cr_assert(strstr(b->text, "p0: punch_coordinate"));
}

Test(coordinate, without_fresh_tokens_of_both_nothing_direct_is_ordered)
{
    coordinator_bed_ready(b, 2, "carol");
    coordinator_bed_profile(b, 2, NAT_NONE, NAT_NONE, ALLOC_PRESERVE); /* anyone could dial her */
    coordinator_bed_attach(b, 3, "dave");
    coordinator_bed_profile(b, 3, NAT_EI, NAT_EI, ALLOC_PRESERVE);
    coordinator_bed_forget(b);
    coordinate(3, "carol", 1);
    coordinator_bed_pass(b, 2000);
    cr_assert(strstr(b->text, "side=0 to=carol own=0 theirs=1 plan=relayed "), "%s", b->text);
}

Test(coordinate, waits_for_a_target_that_is_away_and_needs_an_initiator_that_is_here)
{
    struct msg leave = {.type = MSG_detach};

    coordinator_bed_from_peer(b, 1, &leave);
    coordinator_bed_forget(b);
    coordinate(0, "bob", 1);
    expect(b, "free -> requested: the operator asked for it\nstore: get_name bob\n");
    coordinator_bed_ready(b, 1, "bob");
    coordinator_bed_pass(b, 1);
    cr_assert(strstr(b->text, "p0: punch_coordinate"));
    coordinator_bed_forget(b);
    coordinate(0, "nobody", 2);
    expect(b, "free -> requested: the operator asked for it\nstore: get_name nobody\n"
              "requested -> closed: nobody has claimed it\n");
    coordinate(4, "bob", 3);
    coordinate(0, "alice", 4);
    struct msg m = wanted(0, "bob", 5);
    m.punch_request.policy = POLICY_COUNT;
    coordinator_bed_from_suite(b, SERVICE_coordinator, &m);
    expect(b, "");
    cr_assert_eq(b->core.n.ignored, 3);
}

Test(coordinate, an_initiator_that_is_back_on_another_connection_gets_its_order_again)
{
    coordinate(0, "bob", 1);
    coordinator_bed_forget(b);
    coordinator_bed_attach_as(b, 0, 900, "alice", 2, ACCEPT_ANYONE);
    coordinator_bed_forget(b);
    coordinator_bed_pass(b, 1);
    cr_assert(strstr(b->text, "p800: punch_coordinate side=0 to=bob"), "%s", b->text);
}

Test(coordinate, is_no_request_of_the_initiators_own)
{
    coordinate(0, "bob", 1);
    coordinator_bed_forget(b);
    struct msg m = coordinator_bed_request("bob", 0); /* with the number that an order has then */
    coordinator_bed_from_peer(b, 0, &m);
    cr_assert_eq(b->core.n.sessions, 2);
    m = wanted(1, "bob", 7); /* nor can a peer give what only the operator can */
    m.punch_request.session = (struct sid){{0}};
    m.punch_request.nonce = 8;
    coordinator_bed_from_peer(b, 0, &m);
    struct peer_id alice = coordinator_bed_peer(0);
    cr_assert(peer_id_eq(&coordinator_bed_session(b)->side[0].id, &alice) &&
              !coordinator_bed_session(b)->by_operator);
}

Test(coordinate, a_side_that_will_not_ends_it_with_its_reason)
{
    struct msg m = {.type = MSG_punch_cancel, .punch_cancel = {.kind = "rendezvous-rejected"}};

    coordinate(0, "bob", 1);
    m.punch_cancel.session = b->last;
    coordinator_bed_forget(b);
    coordinator_bed_from_peer(b, 0, &m);
    expect(b, "p1: punch_cancel rendezvous-rejected\n"
              "coordinating -> closed: the initiator ended it\n");
    cr_assert_eq(coordinator_bed_session(b)->verdict, VERDICT_not_accepted);
    cr_assert_eq(b->core.kinds[kind_find("rendezvous-rejected")], 1);
    cr_assert(b->core.n.rejections == 1 && b->core.n.cancelled == 0);
}

/* ---- the executor's own look at it ------------------------------------------------------------------- */

/* An order of this side that nobody here has asked for, under this policy. */
static bool followed(uint16_t side, enum accept accept, bool taken)
{
    struct msg m;
    struct invitation_answer yes = {.accepted = taken};

    executor_bed_open();
    executor_bed.conf.accept = (uint16_t)accept;
    executor_bed_ready();
    m = executor_bed_order(side, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    m.punch_coordinate.nonce = 0;
    yes.session = m.punch_coordinate.session;
    executor_bed_app(230, APP_ANSWER, 0, &yes, sizeof yes);
    executor_bed_forget();
    executor_bed_msg(240, &m);
    bool begun = executor_bed.attempts[0].state == ATTEMPT_EXECUTING;
    if (!begun)
        executor_bed_expect("[  240] punch_cancel session=55555555555555555555555555555555 "
                            "kind=rendezvous-rejected\n");
    return begun;
}

Test(coordinate,
     an_executor_follows_an_order_that_it_has_not_asked_for_only_when_its_policy_says_so)
{
    for (uint16_t side = 0; side < 2; side++) {
        cr_assert(followed(side, ACCEPT_ANYONE, false));
        cr_assert(followed(side, ACCEPT_KNOWN, false), "the coordinator knows who is known");
        cr_assert(followed(side, ACCEPT_ASK, true));
        cr_assert_not(followed(side, ACCEPT_ASK, false));
        cr_assert_not(followed(side, ACCEPT_NOBODY, true));
    }
}
