/*
 * test_xdp_sessions.c - for how long, and for how much, the relay's program at the hook forwards: as its core lets it.
 */
#include "lib/service.h"
#include "tests/lib/xdp_relay.h"

#include <criterion/criterion.h>

TestSuite(xdp_sessions, .init = xdp_relay_open_generic, .fini = xdp_relay_close, .timeout = 240);

/* ---- for how long ---------------------------------------------------------------------------- */

static unsigned hooked(struct xdp_frame f)
{
    struct xdp_frame got[XDP_BED_GOT_MAX];
    uint64_t before = xdp_relay_by_hook();

    xdp_relay_alive(true);
    xdp_relay_look(&f, got);
    return (unsigned)(xdp_relay_by_hook() - before);
}

static unsigned n_open(void)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < (uint32_t)EXPRESS_WAYS << xdp_relay.bed.conf.express.bits; i++)
        n += xdp_relay.bed.conf.express.sets[i / EXPRESS_WAYS].path[i % EXPRESS_WAYS] != 0;
    return n;
}

Test(xdp_sessions, a_session_ends_there_when_it_ends_here)
{
    cr_assert_eq(n_open(), 2);
    cr_assert_eq(hooked(xdp_relay_data('A', 1)), 1);
    relay_bed_run(&xdp_relay.bed, 200000);
    cr_assert_eq(xdp_relay.bed.r.by_sid.n, 0);
    cr_assert_eq(n_open(), 0);
    cr_assert_eq(hooked(xdp_relay_data('A', 1)), 0);
}

Test(xdp_sessions, a_side_that_is_dropped_is_sent_nothing)
{
    for (int64_t t = 30000; t <= 120000; t += 30000) { /* B is silent */
        relay_bed_run(&xdp_relay.bed, t);
        relay_bed_keep(&xdp_relay.bed, 'A', 7, 0);
    }
    cr_assert_eq(xdp_relay.bed.r.by_sid.n, 1);
    cr_assert_eq(n_open(), 0);
    xdp_relay_expect(xdp_relay_data('A', 1), 0, "to nobody");
}

Test(xdp_sessions, what_flows_there_keeps_both_sides)
{
    for (int64_t t = 30000; t <= 300000; t += 30000) {
        cr_assert_eq(hooked(xdp_relay_data('A', 1)) + hooked(xdp_relay_data('B', 0)), 2, "at %d",
                     (int)t);
        relay_bed_run(&xdp_relay.bed, t);
    }
    cr_assert_eq(xdp_relay.bed.r.by_sid.n, 1);
    cr_assert_eq(xdp_relay.bed.r.n.sides_dropped, 0);
}

Test(xdp_sessions, a_side_that_moves_is_followed)
{
    struct ticket t = relay_bed_ticket(&xdp_relay.bed, 7, 0);

    relay_bed_bind(&xdp_relay.bed, 'C', &t, 3);
    xdp_relay_expect(xdp_relay_data('A', 1), 0, "from where it was");
    cr_assert_eq(hooked(xdp_relay_keep('B', 7, 1)), 0);
    xdp_relay_expect(xdp_relay_data('C', 1), 1, "from where it is");
    xdp_relay_expect(xdp_relay_data('B', 0), 1, "to where it is");
}

Test(xdp_sessions, raw_sides_are_the_processs)
{
    struct ticket t[2] = {relay_bed_ticket(&xdp_relay.bed, 9, 0),
                          relay_bed_ticket(&xdp_relay.bed, 9, 1)};

    t[0].mode = t[1].mode = MODE_RAW;
    xdp_relay_session(9, t);
    xdp_relay_expect(xdp_relay_packet('A', 9, 1, PACKET_DATA, 200), 0, "of a raw side");
}

Test(xdp_sessions, who_has_not_been_heard_of_is_reached_by_the_process)
{
    struct ticket t[2] = {relay_bed_ticket(&xdp_relay.bed, 9, 0),
                          relay_bed_ticket(&xdp_relay.bed, 9, 1)};

    relay_bed_bind(&xdp_relay.bed, 'A', &t[0], 1);
    relay_bed_bind(&xdp_relay.bed, 'B', &t[1], 2);
    xdp_relay_expect(xdp_relay_packet('A', 9, 1, PACKET_DATA, 200), 0, "to B, who was silent");
    xdp_relay_expect(xdp_relay_packet('B', 9, 0, PACKET_DATA, 200), 1, "to A, who was not");
    xdp_relay_expect(xdp_relay_packet('A', 9, 1, PACKET_DATA, 200), 1, "and now to B");
}

Test(xdp_sessions, the_dead_forward_nothing)
{
    struct xdp_frame f = xdp_relay_data('A', 1), got[XDP_BED_GOT_MAX];
    uint64_t before = xdp_relay_by_hook();

    xdp_alive(&xdp_relay.hook, service_now_us() - (XDP_DEAD_MS + 1000) * INT64_C(1000));
    xdp_relay_look(&f, got);
    cr_assert_eq(xdp_relay_by_hook(), before);
    cr_assert_eq(hooked(f), 1);
}

/* ---- account --------------------------------------------------------------------------------- */

Test(xdp_sessions, what_flowed_there_is_reported)
{
    relay_bed_forget(&xdp_relay.bed);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(hooked(xdp_relay_data('A', 1)), 1);
    relay_bed_run(&xdp_relay.bed, 10000);
    relay_bed_expect(&xdp_relay.bed,
                     "[ 10000] relay_usage session=07550000000000000000000000000000 "
                     "packets=5 bytes=1000 ended=no\n");
    cr_assert_eq(xdp_relay.bed.r.n.forwarded_packets, 5);
    cr_assert_eq(xdp_relay.bed.r.n.forwarded_bytes, 1000);
}

/* Packets that get through, of so many that are sent at one moment. */
static unsigned through(unsigned sent)
{
    struct xdp_frame got[XDP_BED_GOT_MAX], f = xdp_relay_packet('A', 9, 1, PACKET_DATA, 1000);
    unsigned n = 0;

    xdp_relay_alive(true);
    for (unsigned i = 0; i < sent; i++)
        n += xdp_relay_look(&f, got);
    return n;
}

Test(xdp_sessions, a_quota_ends_a_flow_to_the_byte)
{
    struct ticket t[2] = {relay_bed_ticket(&xdp_relay.bed, 9, 0),
                          relay_bed_ticket(&xdp_relay.bed, 9, 1)};

    t[0].bytes_max = 20999;
    xdp_relay_session(9, t);
    uint64_t before = xdp_relay_by_hook();
    cr_assert_eq(through(30), 20);
    cr_assert_eq(xdp_relay_by_hook() - before, 20);
    cr_assert_eq(xdp_relay.bed.r.n.dropped_quota, 10);
    xdp_relay_expect(xdp_relay_packet('B', 9, 0, PACKET_DATA, 1000), 1,
                     "the other side has its own");
}

Test(xdp_sessions, a_rate_is_held_and_reached)
{
    struct ticket t[2] = {relay_bed_ticket(&xdp_relay.bed, 9, 0),
                          relay_bed_ticket(&xdp_relay.bed, 9, 1)};

    t[0].bytes_per_s = 20000;
    xdp_relay_session(9, t);
    cr_assert_eq(through(30), 20);
    cr_assert_gt(xdp_relay_by_hook(), 10);
    cr_assert_eq(xdp_relay.bed.r.n.dropped_rate, 10);
    for (unsigned s = 1; s <= 20; s++) { /* 19 a second, in two parts */
        relay_bed_run(&xdp_relay.bed, s * 1000);
        cr_assert_eq(through(9), 9, "in second %u", s);
        relay_bed_run(&xdp_relay.bed, s * 1000 + 500);
        cr_assert_eq(through(10), 10, "in second %u", s);
    }
    relay_bed_run(&xdp_relay.bed, 29000);
    cr_assert_leq(through(40), 20);
}
