/*
 * test_relay_moves.c - sessions whose relay drains, is refused or was started again: who is told of another one, and when.
 */
#include "lib/ticket.h"
#include "services/coordinator/parts.h"
#include "tests/lib/relays_bed.h"

#include <criterion/criterion.h>
#include <string.h>

static struct bed b;

static void fini(void)
{
    if (b.memory)
        coordinator_bed_fini(&b);
}

TestSuite(relay_moves, .fini = fini, .timeout = 20);

enum { HELLOS = 8 }; /* in which all sessions are looked at */

static void drains(uint8_t last, uint32_t sessions)
{
    struct msg m = relays_bed_hello(&b, last, sessions, sessions);

    m.relay_hello.draining = true;
    memset(b.order, 0, sizeof b.order);
    for (unsigned i = 0; i < HELLOS && b.order[1].type == 0; i++)
        coordinator_bed_from_suite(&b, SERVICE_relay, &m);
}

static unsigned told(unsigned side)
{
    const struct msg_punch_coordinate *m = &b.order[side].punch_coordinate;

    return b.order[side].type == MSG_punch_coordinate && m->ticket.len == TICKET_BYTES
               ? m->relay.ip[3]
               : 0;
}

static void settled_at_21(void)
{
    relays_bed_two_random(&b);
    relays_bed_measure(&b, 1, 10, 60);
    relays_bed_measure(&b, 2, 10, 60);
    cr_assert_eq(relays_bed_chosen(&b, 1), 21);
    for (unsigned peer = 1; peer <= 2; peer++) {
        struct msg m = coordinator_bed_result(&b, PATH_RELAYED, TECHNIQUE_RELAYED, "both-random");
        coordinator_bed_from_peer(&b, peer, &m);
    }
    cr_assert_eq(coordinator_session(&b.core, &b.last)->state, COORD_RELAYED);
}

Test(relay_moves, both_sides_of_a_session_are_told_of_another_relay_when_theirs_drains)
{
    settled_at_21();
    drains(22, 0); /* it is not theirs */
    cr_assert(told(0) == 0 && told(1) == 0);
    relays_bed_say_hello(&b, 22, 0, 100);
    drains(21, 1);
    cr_assert(told(0) == 22 && told(1) == 22);
    cr_assert_eq(b.core.n.relays_changed, 1);
    drains(21, 1); /* once */
    cr_assert(told(0) == 0 && told(1) == 0);
}

Test(relay_moves, a_coordinator_that_ends_waits_for_relays_of_its_bus_that_drain)
{
    relays_bed_two_random(&b);
    relays_bed_say_hello(&b, 22, 0, 100);
    cr_assert_not(coordinator_relays_done(&b.core, false), "they may be told yet");
    cr_assert(coordinator_relays_done(&b.core, true));
    drains(21, 1);
    cr_assert_not(coordinator_relays_done(&b.core, true), "one has sessions");
    drains(21, 0);
    cr_assert(coordinator_relays_done(&b.core, true));
    drains(22, 0);
    relays_bed_say_hello_by_link(&b, 23, 23);
    cr_assert(coordinator_relays_done(&b.core, false), "one elsewhere does not end with this host");
    cr_assert(coordinator_has_other_relay(
        &b.core, coordinator_relay_at(&b.core, &(struct addr){
                                                   4, {203, 0, 113, 21},
                                                    3480
    })));
}

Test(relay_moves, a_raw_session_is_moved_while_its_relay_carries_it_and_not_when_it_is_direct)
{
    settled_at_21();
    struct coordinator_session *s = coordinator_find(&b.core, &b.last);
    s->mode = MODE_RAW;
    s->state = COORD_DIRECT;
    drains(21, 1);
    cr_assert(told(0) == 0 && told(1) == 0);
    s->state = COORD_RELAYED;
    drains(21, 1);
    cr_assert(told(0) == 22 && told(1) == 22);
}

Test(relay_moves, where_no_other_has_room_a_session_stays_until_one_has)
{
    settled_at_21();
    relays_bed_say_hello(&b, 22, 100, 100);
    drains(21, 1);
    cr_assert(told(0) == 0 && told(1) == 0);
    relays_bed_say_hello(&b, 22, 99, 100);
    drains(21, 1);
    cr_assert(told(0) == 22 && told(1) == 22);
}

Test(relay_moves, what_a_side_can_not_move_to_is_not_named_again)
{
    settled_at_21();
    relays_bed_say_hello(&b, 23, 0, 100);
    drains(21, 1);
    cr_assert_eq(told(0), 22);
    relays_bed_refuse(&b, 1, 22, "unreachable");
    cr_assert(told(0) == 23 && told(1) == 23);
    relays_bed_refuse(&b, 2, 23, "unreachable");
    cr_assert(told(0) == 0 && told(1) == 0);
}

Test(relay_moves, one_that_was_started_again_may_be_moved_to)
{
    settled_at_21();
    relays_bed_refuse(&b, 1, 21, "unreachable");
    cr_assert(told(0) == 22 && told(1) == 22);
    drains(22, 1);
    cr_assert(told(0) == 0 && told(1) == 0);
    coordinator_bed_pass_alone(&b, COORD_UNTRY_MS);
    b.relay.epoch++;
    relays_bed_say_hello(&b, 21, 0, 100);
    drains(22, 1);
    cr_assert(told(0) == 21 && told(1) == 21);
}

Test(relay_moves, one_that_is_started_again_and_again_has_sessions_looked_at_once_a_second)
{
    settled_at_21();
    coordinator_bed_pass_alone(&b, COORD_UNTRY_MS);
    const struct coordinator_session *s = coordinator_session(&b.core, &b.last);
    relays_bed_refuse(&b, 1, 21, "unreachable");
    cr_assert_neq(s->relays_tried, 0);
    b.relay.epoch++;
    relays_bed_say_hello(&b, 21, 0, 100);
    cr_assert_eq(s->relays_tried, 0);
    relays_bed_refuse(&b, 1, 22, "unreachable");
    relays_bed_refuse(&b, 1, 21, "unreachable");
    cr_assert_neq(s->relays_tried, 0);
    uint16_t tried = s->relays_tried;
    b.relay.epoch++;
    relays_bed_say_hello(&b, 21, 0, 100);
    cr_assert_eq(s->relays_tried, tried, "too soon");
    coordinator_bed_pass_alone(&b, COORD_UNTRY_MS);
    relays_bed_say_hello(&b, 21, 0, 100);
    cr_assert_neq(s->relays_tried, tried, "and it is not forgotten");
}

Test(relay_moves, a_session_that_is_not_settled_is_not_moved)
{
    relays_bed_two_random(&b);
    relays_bed_measure(&b, 1, 10, 60);
    relays_bed_measure(&b, 2, 10, 60);
    cr_assert_eq(relays_bed_chosen(&b, 1), 21);
    drains(21, 1);
    cr_assert(told(0) == 0 && told(1) == 0);
}
