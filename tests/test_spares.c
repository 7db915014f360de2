/*
 * test_spares.c - the sockets that peers keep for raw hand-over, as the coordinator knows them: an order names
 * one, and no other order does.
 */
#include "tests/lib/coordinator_bed.h"

#include <criterion/criterion.h>

static struct bed bed, *const b = &bed;

static void attach_raw(unsigned i, const char *name)
{
    struct msg m = {.type = MSG_attach};

    coordinator_bed_ready(b, i, name);
    msg_text(m.attach.name, sizeof m.attach.name, name);
    m.attach.modes = 1u << MODE_RAW;
    m.attach.seq = 1;
    coordinator_bed_from_peer(b, i, &m);
}

static void setup(void)
{
    coordinator_bed_init(b, 0, 0);
    attach_raw(0, "alice");
    attach_raw(1, "bob");
    coordinator_bed_forget(b);
}
static void teardown(void) { coordinator_bed_fini(b); }

TestSuite(spares, .init = setup, .fini = teardown, .timeout = 20);

/* Its spares are these two; each is seen at a port of its own, and bound to one. */
static void report(unsigned i, uint32_t one, uint32_t two)
{
    struct msg m = {.type = MSG_reflex_report};
    struct msg_reflex_report *r = &m.reflex_report;

    r->seen.n = 1;
    r->tokens.n = 1;
    r->tokens.v[0] = coordinator_bed_token(b, i, 4000, 0);
    r->spare = one;
    r->spare_local = addr_v4(10, 0, 0, 1, (uint16_t)(6000 + one));
    r->spare_tokens.n = 1;
    r->spare_tokens.v[0] = coordinator_bed_token(b, i, (uint16_t)(5000 + one), 0);
    r->spare2 = two;
    r->spare2_local = addr_v4(10, 0, 0, 1, (uint16_t)(6000 + two));
    r->spare2_tokens.n = 1;
    r->spare2_tokens.v[0] = coordinator_bed_token(b, i, (uint16_t)(5000 + two), 0);
    coordinator_bed_from_peer(b, i, &m);
}

static void request(uint64_t nonce)
{
    struct msg m = coordinator_bed_request("bob", nonce);

    m.punch_request.mode = MODE_RAW;
    memset(b->order, 0, sizeof b->order);
    coordinator_bed_from_peer(b, 0, &m);
}

static uint32_t named(unsigned side) { return b->order[side].punch_coordinate.spare; }

/* The port that side is told to be at. */
static uint16_t port(unsigned side)
{
    const struct msg_punch_coordinate *m = &b->order[side].punch_coordinate;
    struct token t;

    cr_assert(m->own.n == 1 && token_read(&m->own.v[0], &t));
    return t.addr.port;
}

Test(spares, an_order_names_one_and_tells_where_it_is)
{
    report(0, 1, 2);
    report(1, 7, 8);
    request(1);
    cr_assert_eq(named(0), 1);
    cr_assert_eq(named(1), 7);
    cr_assert_eq(port(0), 5001);
    cr_assert_eq(port(1), 5007);
    cr_assert_eq(b->order[0].punch_coordinate.mode, MODE_RAW);
    request(2);
    cr_assert_eq(named(0), 2);
    cr_assert_eq(named(1), 8);
}

Test(spares, one_that_is_spent_is_not_taken_from_a_report_that_crossed_the_order)
{
    report(0, 1, 2);
    report(1, 7, 8);
    request(1);
    report(1, 7, 8);
    report(0, 1, 2);
    request(2);
    cr_assert_eq(named(0), 2);
    cr_assert_eq(named(1), 8);
}

Test(spares, one_whose_order_was_lost_comes_back)
{
    report(0, 1, 2);
    report(1, 7, 8);
    request(1);
    coordinator_bed_pass(b, COORD_SPARE_LOST_MS);
    report(1, 7, 8);
    report(0, 3, 4);
    request(2);
    cr_assert_eq(named(0), 3);
    cr_assert_eq(named(1), 7);
}

Test(spares, a_session_waits_for_one_and_goes_over_the_relay_when_none_comes)
{
    report(0, 1, 2);
    report(1, 0, 0);
    request(1);
    cr_assert_eq(b->order[0].punch_coordinate.plan.n, 0, "it waits");
    report(1, 7, 8);
    coordinator_bed_pass(b, 1);
    cr_assert_eq(named(1), 7);
    request(2);
    request(3);
    cr_assert_eq(b->order[0].punch_coordinate.plan.n, 0);
    coordinator_bed_pass(b, 2100);
    cr_assert_eq(b->order[0].punch_coordinate.plan.n, 1);
    cr_assert_eq(b->order[0].punch_coordinate.plan.v[0].technique, TECHNIQUE_RELAYED);
    cr_assert_eq(named(0), 0);
}

Test(spares, under_the_relay_policy_none_is_spent_and_none_told)
{
    struct msg m = coordinator_bed_request("bob", 1);

    report(0, 1, 2);
    report(1, 7, 8);
    m.punch_request.mode = MODE_RAW;
    m.punch_request.policy = POLICY_RELAY;
    coordinator_bed_from_peer(b, 0, &m);
    cr_assert_eq(b->order[1].punch_coordinate.own.n + b->order[1].punch_coordinate.theirs.n, 0);
    cr_assert_eq(named(1), 0);
    request(2);
    cr_assert_eq(named(1), 7);
}

Test(spares, a_token_of_another_peer_is_none)
{
    struct msg m = {.type = MSG_reflex_report};

    report(0, 1, 2);
    m.reflex_report.spare = 7;
    m.reflex_report.spare_tokens.n = 1;
    m.reflex_report.spare_tokens.v[0] = coordinator_bed_token(b, 0, 5007, 0);
    coordinator_bed_from_peer(b, 1, &m);
    request(1);
    coordinator_bed_pass(b, 2100);
    cr_assert_eq(named(1), 0);
}
