/*
 * test_coordinator_plan.c - when a session has its plan and what is in it; and the instant that two who must look first are told.
 */
#include "services/coordinator/parts.h"
#include "tests/lib/coordinator_bed.h"

#include <criterion/criterion.h>

static struct bed bed, *const b = &bed;

static void setup(void) { coordinator_bed_init(b, 0, 0); }
static void teardown(void) { coordinator_bed_fini(b); }

TestSuite(coordinator_plan, .init = setup, .fini = teardown, .timeout = 20);

Test(coordinator_plan, waits_two_seconds_at_most_for_both_to_be_measured)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_attach(b, 1, "bob");
    coordinator_bed_forget(b);
    coordinator_bed_ask(b, 0, "bob", 7);
    expect(b, "free -> requested: asked for\nrequested -> inviting: both are attached\n");
    coordinator_bed_pass(b, 1999);
    expect(b, "");
    coordinator_bed_pass(b, 1);
    expect(b, "inviting -> coordinating: no-token\n"
              "p0: punch_coordinate side=0 to=bob own=1 theirs=0 plan=relayed reason=no-token "
              "relay=yes deadline=13000\n"
              "p1: punch_coordinate side=1 to=alice own=0 theirs=1 plan=relayed reason=no-token "
              "relay=yes deadline=13000\n");
    cr_assert_eq(b->core.n.punches_attempted, 0);
}

Test(coordinator_plan, goes_on_as_soon_as_both_are_measured)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_attach(b, 1, "bob");
    coordinator_bed_ask(b, 0, "bob", 7);
    coordinator_bed_report(b, 1, 4000);
    coordinator_bed_pass(b, 100);
    coordinator_bed_forget(b);
    coordinator_bed_profile(b, 1, NAT_EI, NAT_EI, ALLOC_PRESERVE);
    coordinator_bed_pass(b, 1);
    cr_assert(strstr(b->text, "inviting -> coordinating: direct-reversal"));
    cr_assert_eq(b->order[0].punch_coordinate.plan.v[0].role, 0);
}

Test(coordinator_plan, relays_when_both_sides_are_random)
{
    coordinator_bed_two(b);
    coordinator_bed_profile(b, 0, NAT_APD, NAT_APD, ALLOC_RANDOM);
    coordinator_bed_profile(b, 1, NAT_AD, NAT_APD, ALLOC_RANDOM);
    coordinator_bed_ask(b, 0, "bob", 7);
    cr_assert(strstr(b->text, "plan=relayed reason=both-random relay=yes"));
    coordinator_bed_tell(b, 0, PATH_RELAYED, "both-random");
    coordinator_bed_tell(b, 1, PATH_RELAYED, "both-random");
    cr_assert_eq(coordinator_bed_session(b)->state, COORD_RELAYED);
    cr_assert_eq(coordinator_bed_session(b)->verdict, VERDICT_both_random);
    cr_assert(b->core.n.punches_attempted == 0 && b->core.n.relayed == 1 &&
              b->core.n.relayed_now == 1);
}

Test(coordinator_plan, discloses_no_address_under_the_relay_policy)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_attach(b, 1, "bob");
    coordinator_bed_forget(b);
    struct msg m = coordinator_bed_request("bob", 7);
    m.punch_request.policy = POLICY_RELAY;
    coordinator_bed_from_peer(b, 0, &m);
    expect(b, "free -> requested: asked for\n"
              "requested -> inviting: both are attached\n"
              "inviting -> coordinating: relay-policy\n"
              "p0: punch_coordinate side=0 to=bob own=0 theirs=0 plan=relayed reason=relay-policy "
              "relay=yes deadline=15000\n"
              "p1: punch_coordinate side=1 to=alice own=0 theirs=0 plan=relayed "
              "reason=relay-policy relay=yes deadline=15000\n");
}

Test(coordinator_plan, gives_no_relay_under_the_direct_policy_and_refuses_what_cannot_work)
{
    coordinator_bed_two(b);
    struct msg m = coordinator_bed_request("bob", 7);
    m.punch_request.policy = POLICY_DIRECT;
    coordinator_bed_from_peer(b, 0, &m);
    cr_assert(strstr(b->text, "plan=synchronous reason=direct-synchronous relay=no"));
    coordinator_bed_profile(b, 0, NAT_APD, NAT_APD, ALLOC_RANDOM);
    coordinator_bed_profile(b, 1, NAT_APD, NAT_APD, ALLOC_RANDOM);
    coordinator_bed_forget(b);
    m.punch_request.nonce = 8;
    coordinator_bed_from_peer(b, 0, &m);
    cr_assert(strstr(b->text, "p0: punch_refused punch-failed both-random\n"));
}

Test(coordinator_plan, plans_without_a_relay_when_none_is_up_and_refuses_when_it_is_needed)
{
    coordinator_bed_two(b);
    coordinator_bed_pass_alone(b, COORD_HELLO_TTL_MS + 1);
    coordinator_bed_ask(b, 0, "bob", 7);
    cr_assert(strstr(b->text, "plan=synchronous reason=direct-synchronous relay=no"));
    coordinator_bed_profile(b, 0, NAT_APD, NAT_APD, ALLOC_RANDOM);
    coordinator_bed_profile(b, 1, NAT_APD, NAT_APD, ALLOC_RANDOM);
    coordinator_bed_forget(b);
    coordinator_bed_ask(b, 0, "bob", 8);
    expect(b, "free -> requested: asked for\n"
              "requested -> inviting: both are attached\n"
              "inviting -> closed: no relay is up\n"
              "p0: punch_refused rendezvous-no-relay no-relay\n");
    cr_assert_eq(b->core.n.no_relay, 1);
    b->relay.sessions = b->relay.sessions_max;
    coordinator_bed_hellos(b);
    coordinator_bed_forget(b);
    coordinator_bed_ask(b, 0, "bob", 9);
    expect(b, "free -> requested: asked for\n"
              "requested -> inviting: both are attached\n"
              "inviting -> closed: every relay is full\n"
              "p0: punch_refused rendezvous-no-relay relay-full\n");
}

Test(coordinator_plan, waits_for_the_first_relay_just_after_its_own_start)
{
    coordinator_bed_fini(b);
    coordinator_bed_init_alone(b, 0, 0);
    coordinator_bed_prober_hello(b);
    coordinator_bed_two(b);
    coordinator_bed_ask(b, 0, "bob", 7);
    coordinator_bed_pass_alone(b, 1000);
    expect(b, "free -> requested: asked for\nrequested -> inviting: both are attached\n");
    coordinator_bed_relay_hello(b);
    expect(b, "inviting -> coordinating: direct-synchronous\n"
              "p0: punch_coordinate side=0 to=bob own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=14000 warm\n"
              "p1: punch_coordinate side=1 to=alice own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=14000 warm\n");
}

Test(coordinator_plan, waits_for_no_relay_for_ever_nor_under_the_direct_policy)
{
    coordinator_bed_fini(b);
    coordinator_bed_init_alone(b, 0, 0);
    coordinator_bed_prober_hello(b);
    coordinator_bed_two(b);
    struct msg m = coordinator_bed_request("bob", 7);
    m.punch_request.policy = POLICY_DIRECT;
    coordinator_bed_from_peer(b, 0, &m);
    cr_assert(strstr(b->text, "plan=synchronous reason=direct-synchronous relay=no"));
    coordinator_bed_forget(b);
    coordinator_bed_ask(b, 0, "bob", 8);
    coordinator_bed_pass_alone(b, 1999);
    cr_assert_null(strstr(b->text, "punch_coordinate"));
    coordinator_bed_pass_alone(b, 1);
    cr_assert(strstr(b->text, "plan=synchronous reason=direct-synchronous relay=no"));
}

Test(coordinator_plan, chooses_the_relay_with_the_most_room)
{
    coordinator_bed_two(b);
    b->relay.sessions = 500;
    coordinator_bed_hellos(b);
    b->relay.key.b[0] ^= 1; /* a second one, emptier */
    b->relay.sessions = 100;
    b->relay.addr.port = 9999;
    cert_sign('r', b->relay.key.b, b->authority_secret, b->relay.cert.b);
    coordinator_bed_hellos(b);
    coordinator_bed_ask(b, 0, "bob", 7);
    cr_assert_eq(b->order[0].punch_coordinate.relay.port, 9999);
    b->relay.sessions = b->relay.sessions_max; /* full */
    coordinator_bed_hellos(b);
    coordinator_bed_ask(b, 0, "bob", 8);
    cr_assert_eq(b->order[0].punch_coordinate.relay.port, 3480);
}

/* ---- one instant for both -------------------------------------------------------------------- */
static struct msg sample(uint16_t round, uint16_t port)
{
    struct msg m = {.type = MSG_punch_sample};

    m.punch_sample.session = b->last;
    m.punch_sample.round = round;
    m.punch_sample.seen = addr_v4(198, 51, 100, 1, port);
    m.punch_sample.others = 5;
    m.punch_sample.over_us = 4000000;
    m.punch_sample.age_us = 40000;
    return m;
}

/* The last punch_execute to this peer in the last step, or NULL. */
static const struct msg_punch_execute *executed(unsigned peer)
{
    const struct msg_punch_execute *m = NULL;

    for (size_t i = 0; i < b->out.n; i++)
        if (b->out.v[i].kind == OUT_MSG && b->out.v[i].msg.type == MSG_punch_execute &&
            b->out.v[i].to_conn == coordinator_bed_conn(peer))
            m = &b->out.v[i].msg.punch_execute;
    return m;
}

Test(coordinator_plan, tells_both_one_instant_when_all_who_must_look_have_said_what_they_saw)
{
    struct msg m;

    coordinator_bed_two(b);
    for (unsigned i = 0; i < 2; i++)
        coordinator_bed_profile(b, i, NAT_APD, NAT_APD, ALLOC_CONTIGUOUS);
    m = coordinator_bed_request("bob", 1);
    coordinator_bed_from_peer(b, 0, &m);
    cr_assert_eq(b->order[0].punch_coordinate.plan.v[0].technique, TECHNIQUE_PREDICTION);
    m = sample(1, 4001);
    coordinator_bed_from_peer(b, 0, &m);
    cr_assert(!executed(0) && !executed(1));
    b->now_us += 30000;
    m = sample(2, 4002); /* each has its own rounds */
    coordinator_bed_from_peer(b, 1, &m);
    cr_assert(executed(0) && executed(1));
    cr_assert(executed(0)->round == 1 && executed(0)->seen.port == 4002);
    cr_assert(executed(1)->round == 2 && executed(1)->seen.port == 4001);
    cr_assert_eq(executed(1)->others, 5);
    cr_assert_eq(executed(1)->age_us - executed(0)->age_us, 30000, "it has waited");
    b->out.n = 0;
    for (unsigned i = 0; i < 2 * COORD_INSTANTS_MAX; i++)
        for (unsigned peer = 0; peer < 2; peer++) {
            m = sample((uint16_t)(3 + i), 4003);
            coordinator_bed_from_peer(b, peer, &m);
        }
    cr_assert_null(executed(0), "not for ever");
}

Test(coordinator_plan, looks_of_who_need_not_look_or_takes_no_part_are_ignored)
{
    struct msg m;

    for (unsigned i = 0; i < 3; i++)
        coordinator_bed_ready(b, i, (const char *const[]){"alice", "bob", "carol"}[i]);
    coordinator_bed_profile(b, 1, NAT_APD, NAT_APD, ALLOC_CONTIGUOUS);
    m = coordinator_bed_request("bob", 1);
    coordinator_bed_from_peer(b, 0, &m);
    uint64_t ignored = b->core.n.ignored;
    m = sample(1, 4001);
    coordinator_bed_from_peer(b, 0, &m);
    coordinator_bed_from_peer(b, 2, &m);
    cr_assert_eq(b->core.n.ignored, ignored + 2);
    coordinator_bed_from_peer(b, 1, &m);
    cr_assert(executed(0) && executed(1));
    cr_assert_eq(executed(0)->seen.port, 4001);
    cr_assert_eq(executed(1)->seen.len, 0, "the other side had nothing to say");
}
