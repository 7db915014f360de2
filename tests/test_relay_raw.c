/* test_relay_raw.c - the relay for raw sessions: any bytes, known by the address that they come from alone. */
#include "tests/lib/relay_bed.h"

#include <criterion/criterion.h>

static struct relay_bed b;

static void setup(void) { relay_bed_open(&b, 300, 1); }
static void teardown(void) { relay_bed_close(&b); }

TestSuite(relay_raw, .init = setup, .fini = teardown, .timeout = 20);

static void bind_as(char peer, uint8_t session, uint8_t side, enum mode mode)
{
    struct ticket t = relay_bed_ticket(&b, session, side);

    t.mode = (uint8_t)mode;
    relay_bed_bind(&b, peer, &t, (uint8_t)(session * 2 + side));
    relay_bed_forget(&b);
}

static void both(void)
{
    bind_as('A', 7, 0, MODE_RAW);
    bind_as('B', 7, 1, MODE_RAW);
}

static void sends(char from, const void *data, size_t len)
{
    relay_bed_datagram(&b, from, data, len);
}

Test(relay_raw, forwards_whatever_comes_and_changes_nothing)
{
    static uint8_t wire[DATAGRAM_MAX];
    struct addr peer_b = relay_bed_peer('B');

    both();
    for (unsigned first = 0; first < 256; first++) {
        size_t len = first == 0 ? sizeof wire : first;
        wire[0] = (uint8_t)first;
        wire[len - 1] = (uint8_t)~first;
        if (len == 1)
            wire[0] = 1;
        sends('A', wire, len);
        cr_assert_eq(b.out.n, 1, "%u", first);
        cr_assert_eq(b.out.v[0].dgram.len, len);
        cr_assert(addr_eq(&b.out.v[0].dgram.dst, &peer_b));
        cr_assert_arr_eq(b.out.v[0].dgram.data, wire, len);
    }
    relay_bed_forget(&b);
    sends('B', "", 0);
    cr_assert(b.out.n == 1 && b.out.v[0].dgram.len == 0);
    cr_assert_eq(b.r.n.forwarded_packets, 257);
    cr_assert_eq(b.r.n.strangers + b.r.n.malformed, 0);
}

Test(relay_raw, forwards_for_nobody_else)
{
    both();
    bind_as('C', 8, 0, MODE_MANAGED);
    bind_as('D', 8, 1, MODE_MANAGED);
    sends('X', "hello", 5);
    sends('C', "hello", 5);
    relay_bed_expect(&b, "");
    cr_assert_eq(b.r.n.malformed, 2);
    cr_assert_eq(b.r.n.forwarded_packets, 0);
}

Test(relay_raw, still_hears_what_a_raw_side_says_to_it)
{
    struct sid sid = relay_bed_sid(7);
    struct relay_control keep = {.op = RELAY_KEEP, .path = path_id(&sid, 0)};
    uint8_t data[RELAY_CONTROL_MAX];

    both();
    relay_bed_keep(&b, 'A', 7, 0);
    relay_bed_expect(&b, "[     0] A: KEPT ready\n");
    relay_bed_data(&b, 'A', 7, 1, 50); /* sealed, as before the hand-over */
    relay_bed_expect(&b, "[     0] B: 0b 50 bytes\n");
    keep.path.b[0] ^= 1; /* looks like one, and is the application's */
    size_t len = relay_encode(&keep, data);
    sends('A', data, len);
    relay_bed_expect(&b, "[     0] B: KEEP\n");
}

Test(relay_raw, a_side_that_was_dropped_is_known_no_more)
{
    both();
    for (int64_t t = 20000; t <= 100000; t += 20000) {
        relay_bed_run(&b, t);
        sends('B', "b", 1);
    }
    relay_bed_forget(&b);
    cr_assert_eq(b.r.n.sides_dropped, 1);
    sends('A', "a", 1);
    relay_bed_expect(&b, "");
    cr_assert_eq(b.r.by_source.n, 1);
    relay_bed_run(&b, 300000);
    cr_assert_eq(b.r.by_source.n, 0);
    cr_assert_eq(b.r.by_sid.n, 0);
}

Test(relay_raw, a_side_that_comes_from_elsewhere_is_known_by_that_alone)
{
    both();
    bind_as('C', 7, 0, MODE_RAW);
    sends('A', "a", 1);
    sends('C', "c", 1);
    relay_bed_expect(&b, "[     0] B: 63 1 bytes\n");
    cr_assert_eq(b.r.by_source.n, 2);
}

Test(relay_raw, an_address_is_one_sessions_the_later_ones)
{
    both();
    bind_as('A', 9, 0, MODE_RAW);
    bind_as('D', 9, 1, MODE_RAW);
    sends('A', "a", 1);
    sends('B', "b", 1);
    relay_bed_expect(&b, "[     0] D: 61 1 bytes\n"
                         "[     0] A: 62 1 bytes\n");
    relay_bed_run(&b, 400000);
    cr_assert_eq(b.r.by_source.n, 0);
}

Test(relay_raw, counts_against_the_quota_of_the_side_that_sends)
{
    struct ticket t = relay_bed_ticket(&b, 7, 0);

    t.mode = MODE_RAW;
    t.bytes_max = 8;
    relay_bed_bind(&b, 'A', &t, 1);
    bind_as('B', 7, 1, MODE_RAW);
    sends('A', "12345678", 8);
    sends('A', "9", 1);
    relay_bed_expect(&b, "[     0] B: 31 8 bytes\n");
    cr_assert_eq(b.r.n.dropped_quota, 1);
}
