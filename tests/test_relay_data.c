/* test_relay_data.c - the relay's data plane: what is forwarded, to whom, how much, and who is told. */
#include "tests/lib/relay_bed.h"

#include <criterion/criterion.h>

static struct relay_bed b;

static void setup(void) { relay_bed_open(&b, 300, 1); }
static void teardown(void) { relay_bed_close(&b); }

TestSuite(relay_data, .init = setup, .fini = teardown, .timeout = 20);

/* Session 7 between A (side 0) and B, with these limits for A. */
static void both(uint64_t bytes_max, uint64_t bytes_per_s)
{
    struct ticket t0 = relay_bed_ticket(&b, 7, 0), t1 = relay_bed_ticket(&b, 7, 1);

    t0.bytes_max = bytes_max;
    t0.bytes_per_s = bytes_per_s;
    relay_bed_bind(&b, 'A', &t0, 1);
    relay_bed_bind(&b, 'B', &t1, 2);
    relay_bed_forget(&b);
}

static void unlimited(void) { both(UINT64_MAX, UINT64_MAX); }

Test(relay_data, forwards_both_ways_and_changes_nothing)
{
    static uint8_t wire[DATA_BYTES_MAX];
    struct sid sid = relay_bed_sid(7);
    struct path_id to_b = path_id(&sid, 1);

    unlimited();
    for (size_t i = 0; i < sizeof wire; i++)
        wire[i] = (uint8_t)i;
    wire[0] = PACKET_DATA;
    memcpy(wire + 1, to_b.b, sizeof to_b.b);
    relay_bed_datagram(&b, 'A', wire, sizeof wire);
    struct addr peer_b = relay_bed_peer('B');
    cr_assert(b.out.n == 1 && b.out.v[0].dgram.len == sizeof wire);
    cr_assert(addr_eq(&b.out.v[0].dgram.dst, &peer_b));
    cr_assert_arr_eq(b.out.v[0].dgram.data, wire, sizeof wire);
    relay_bed_forget(&b);

    wire[0] = PACKET_PUNCH;
    relay_bed_datagram(&b, 'A', wire, PUNCH_BYTES);
    wire[0] = PACKET_PONG;
    relay_bed_datagram(&b, 'A', wire, PUNCH_BYTES);
    relay_bed_data(&b, 'B', 7, 0, 100);
    relay_bed_expect(&b, "[     0] B: 09 109 bytes\n"
                         "[     0] B: 0a 109 bytes\n"
                         "[     0] A: 0b 100 bytes\n");
}

Test(relay_data, forwards_for_bound_sources_only)
{
    unlimited();
    relay_bed_data(&b, 'X', 7, 1, 50); /* knows a path id, but is nobody */
    relay_bed_data(&b, 'A', 7, 0, 50); /* to its own end */
    relay_bed_data(&b, 'B', 8, 1, 50); /* of no session */
    relay_bed_expect(&b, "[     0] X: AGAIN\n"
                         "[     0] A: AGAIN\n"
                         "[     0] B: AGAIN\n");
    cr_assert(b.r.n.forwarded_packets == 0 && b.r.n.strangers == 3);
}

Test(relay_data, keeps_sessions_of_one_address_apart)
{
    struct ticket t = relay_bed_ticket(&b, 8, 0), u = relay_bed_ticket(&b, 8, 1),
                  v = relay_bed_ticket(&b, 9, 0), w = relay_bed_ticket(&b, 9, 1);

    unlimited();
    relay_bed_bind(&b, 'A', &t, 3), relay_bed_bind(&b, 'C', &u, 4);
    relay_bed_bind(&b, 'A', &v, 5), relay_bed_bind(&b, 'A', &w, 6); /* both ends at one socket */
    relay_bed_forget(&b);
    relay_bed_data(&b, 'A', 7, 1, 40);
    relay_bed_data(&b, 'A', 8, 1, 41);
    relay_bed_data(&b, 'C', 8, 0, 42);
    relay_bed_data(&b, 'A', 9, 0, 43);
    relay_bed_data(&b, 'C', 7, 0, 44);
    relay_bed_expect(&b, "[     0] B: 0b 40 bytes\n"
                         "[     0] C: 0b 41 bytes\n"
                         "[     0] A: 0b 42 bytes\n"
                         "[     0] A: 0b 43 bytes\n"
                         "[     0] C: AGAIN\n");
}

Test(relay_data, drops_packets_for_a_side_that_is_not_there)
{
    struct ticket t = relay_bed_ticket(&b, 7, 0);

    relay_bed_bind(&b, 'A', &t, 1), relay_bed_forget(&b);
    relay_bed_data(&b, 'A', 7, 1, 50);
    relay_bed_expect(&b, "");
    cr_assert_eq(b.r.n.dropped_waiting, 1);
}

Test(relay_data, does_not_forward_what_no_peer_sends)
{
    unlimited();
    relay_bed_data(&b, 'A', 7, 1, DATA_OVERHEAD - 1);
    relay_bed_data(&b, 'A', 7, 1, DATA_BYTES_MAX + 1);
    relay_bed_expect(&b, "");
    relay_bed_data(&b, 'A', 7, 1, DATA_OVERHEAD);
    relay_bed_data(&b, 'A', 7, 1, DATA_BYTES_MAX);
    relay_bed_expect(&b, "[     0] B: 0b 34 bytes\n"
                         "[     0] B: 0b 1186 bytes\n");
    cr_assert_eq(b.r.n.malformed, 2);
}

Test(relay_data, tells_a_stranger_once_a_second)
{
    for (b.now_ms = 0; b.now_ms < 2500; b.now_ms += 10)
        relay_bed_data(&b, 'X', 7, 1, 50);
    relay_bed_expect(&b, "[     0] X: AGAIN\n"
                         "[  1000] X: AGAIN\n"
                         "[  2000] X: AGAIN\n");
    cr_assert(b.r.n.strangers == 250 && b.r.n.strangers_told == 3);
}

/* After a restart, say: what tells it also proves the address, and the path id is the nonce. */
Test(relay_data, who_sends_to_a_path_that_is_gone_binds_with_one_answer)
{
    struct ticket t = relay_bed_ticket(&b, 7, 0);
    struct relay_control c;

    relay_bed_data(&b, 'A', 7, 1, RELAY_AGAIN_BYTES + 40);
    cr_assert(relay_parse(b.out.v[0].dgram.data, b.out.v[0].dgram.len, &c));
    cr_assert_eq(c.op, RELAY_AGAIN);
    c.op = RELAY_PROVE;
    memcpy(c.nonce, c.path.b, sizeof c.nonce);
    relay_bed_seal(&b, &t, c.ticket);
    relay_bed_control(&b, 'X', &c);
    cr_assert_eq(b.r.n.bad_cookie, 1, "it proves one address");
    relay_bed_control(&b, 'A', &c);
    cr_assert(b.r.n.bound == 1 && b.r.n.challenged == 0);
}

/* Any worker may be the one that is sent to a path which is nobody's; a session's ticket says which it binds at. */
Test(relay_data, a_cookie_of_one_worker_is_good_at_another)
{
    struct relay_load load = {
        .sessions_max = 8, .cookie_key = {1, 2, 3}
    };
    static struct relay_bed other;
    struct ticket t = relay_bed_ticket(&b, 7, 0);
    struct relay_control c = {.op = RELAY_BIND, .nonce = {9}};

    relay_bed_open(&other, 8, 77);
    b.r.load = other.r.load = &load;
    relay_bed_control(&other, 'A', &c);
    cr_assert(relay_parse(other.out.v[0].dgram.data, other.out.v[0].dgram.len, &c));
    c.op = RELAY_PROVE;
    relay_bed_seal(&b, &t, c.ticket);
    relay_bed_control(&b, 'A', &c);
    cr_assert(b.r.n.bound == 1 && b.r.n.bad_cookie == 0);
    relay_bed_close(&other);
}

Test(relay_data, tells_a_crowd_no_more_than_its_limit)
{
    static uint8_t wire[DATA_OVERHEAD] = {PACKET_DATA};
    struct input in = {.kind = IN_DATAGRAM};

    in.dgram.data = wire;
    in.dgram.len = sizeof wire;
    for (unsigned i = 0; i < 50000; i++) {
        in.dgram.src = addr_v4(10, 0, (uint8_t)(i >> 8), (uint8_t)i, (uint16_t)(1024 + i / 256));
        relay_step(&b.r, &in, &b.out);
    }
    cr_assert_eq(b.r.n.strangers, 50000);
    cr_assert_leq(b.r.n.strangers_told, RELAY_STRANGERS);
    cr_assert_geq(b.r.n.strangers_told, RELAY_STRANGERS / 2);
}

Test(relay_data, traffic_keeps_a_side_alive)
{
    unlimited();
    for (int64_t t = 20000; t <= 200000; t += 20000) {
        relay_bed_run(&b, t);
        relay_bed_data(&b, 'A', 7, 1, 50);
        relay_bed_data(&b, 'B', 7, 0, 50);
    }
    cr_assert(b.r.by_sid.n == 1 && b.r.n.sides_dropped == 0);
    cr_assert_eq(b.r.n.forwarded_packets, 20);
}

/* ---- quotas ------------------------------------------------------------------------------------- */

Test(relay_data, stops_at_the_byte_quota_of_the_side_that_sends)
{
    both(1000, UINT64_MAX);
    relay_bed_data(&b, 'A', 7, 1, 600);
    relay_bed_data(&b, 'A', 7, 1, 401); /* one too many */
    relay_bed_data(&b, 'A', 7, 1, 400);
    relay_bed_data(&b, 'A', 7, 1, 34);
    relay_bed_data(&b, 'B', 7, 0, 600); /* has its own */
    relay_bed_expect(&b, "[     0] B: 0b 600 bytes\n"
                         "[     0] B: 0b 400 bytes\n"
                         "[     0] A: 0b 600 bytes\n");
    cr_assert_eq(b.r.n.dropped_quota, 2);
}

Test(relay_data, a_quota_is_not_renewed_by_binding_again)
{
    struct ticket t = relay_bed_ticket(&b, 7, 0);

    t.bytes_max = 1000;
    both(1000, UINT64_MAX);
    relay_bed_data(&b, 'A', 7, 1, 1000), relay_bed_forget(&b);
    relay_bed_bind(&b, 'C', &t, 3), relay_bed_forget(&b);
    relay_bed_data(&b, 'C', 7, 1, 34);
    relay_bed_expect(&b, "");

    t.expires_ms++; /* the coordinator grants more */
    t.bytes_max = 1040;
    relay_bed_bind(&b, 'C', &t, 4), relay_bed_forget(&b);
    relay_bed_data(&b, 'C', 7, 1, 40);
    relay_bed_data(&b, 'C', 7, 1, 40);
    relay_bed_expect(&b, "[     0] B: 0b 40 bytes\n");
}

Test(relay_data, limits_the_rate_over_time_whatever_the_rhythm)
{
    static const int64_t gap_ms[] = {1, 7, 50, 500};

    for (size_t g = 0; g < 4; g++) {
        relay_bed_close(&b), relay_bed_open(&b, 300, 1);
        both(UINT64_MAX, 10000);
        for (; b.now_ms < 20000; b.now_ms += gap_ms[g])
            for (unsigned i = 0; i < 10; i++)
                relay_bed_data(&b, 'A', 7, 1, 100), relay_bed_forget(&b);
        uint64_t sent = b.r.n.forwarded_bytes;
        /* the burst, then 20 s of the rate, to within one gap and one packet */
        cr_assert_leq(sent, 10000 + 20 * 10000, "gap %ld: %lu", (long)gap_ms[g],
                      (unsigned long)sent);
        uint64_t least = gap_ms[g] == 500 ? 40 * 1000 : 200000;
        cr_assert_geq(sent, least, "gap %ld: %lu", (long)gap_ms[g], (unsigned long)sent);
        cr_assert(gap_ms[g] == 500 || b.r.n.dropped_rate > 0);
    }
}

Test(relay_data, silence_saves_up_one_burst_and_no_more)
{
    both(UINT64_MAX, 10000);
    relay_bed_run(&b, 50000);
    for (unsigned i = 0; i < 20; i++)
        relay_bed_data(&b, 'A', 7, 1, 1000);
    cr_assert_eq(b.r.n.forwarded_bytes, 10000);
}

Test(relay_data, a_small_rate_still_lets_whole_packets_through)
{
    both(UINT64_MAX, 1);
    for (unsigned i = 0; i < 10; i++)
        relay_bed_data(&b, 'A', 7, 1, 1000);
    cr_assert_eq(b.r.n.forwarded_bytes, 4000);
}

Test(relay_data, a_rate_or_quota_of_zero_is_nothing)
{
    both(UINT64_MAX, 0);
    relay_bed_data(&b, 'A', 7, 1, 34);
    struct ticket t = relay_bed_ticket(&b, 8, 0), u = relay_bed_ticket(&b, 8, 1);
    t.bytes_max = 0;
    relay_bed_bind(&b, 'C', &t, 1), relay_bed_bind(&b, 'D', &u, 2), relay_bed_forget(&b);
    relay_bed_data(&b, 'C', 8, 1, 34);
    relay_bed_expect(&b, "");
    cr_assert(b.r.n.dropped_rate == 1 && b.r.n.dropped_quota == 1);
}

/* ---- usage -------------------------------------------------------------------------------------- */

Test(relay_data, reports_usage_every_ten_seconds_when_anything_flowed)
{
    unlimited();
    relay_bed_data(&b, 'A', 7, 1, 100);
    relay_bed_data(&b, 'B', 7, 0, 200);
    relay_bed_forget(&b);
    relay_bed_run(&b, 15000);
    relay_bed_expect(&b, "[ 10000] relay_usage session=07550000000000000000000000000000 packets=2 "
                         "bytes=300 ended=no\n");
    relay_bed_data(&b, 'A', 7, 1, 100), relay_bed_forget(&b);
    relay_bed_run(&b, 35000);
    relay_bed_expect(&b, "[ 20000] relay_usage session=07550000000000000000000000000000 packets=1 "
                         "bytes=100 ended=no\n");
    relay_bed_data(&b, 'A', 7, 1, 50), relay_bed_data(&b, 'B', 7, 0, 50), relay_bed_forget(&b);
    relay_bed_run(&b, 120000);
    relay_bed_expect(&b, "[ 40000] relay_usage session=07550000000000000000000000000000 packets=2 "
                         "bytes=100 ended=no\n"
                         "[ 95000] 07 ready -> free: idle\n"
                         "[ 95000] relay_usage session=07550000000000000000000000000000 packets=0 "
                         "bytes=0 ended=yes\n");
}

/* 300 sessions end at once: more than one tick's outputs can carry. */
Test(relay_data, spreads_a_crowd_of_endings_over_several_ticks)
{
    unsigned usages = 0, ticks = 0;

    for (unsigned i = 0; i < 300; i++) {
        struct ticket t = relay_bed_ticket(&b, (uint8_t)i, 0);
        t.session.b[2] = (uint8_t)(i >> 8);
        relay_bed_bind(&b, 'A', &t, 1);
    }
    cr_assert_eq(b.r.by_sid.n, 300);
    b.now_ms = 60000;
    while (relay_deadline(&b.r) <= b.now_ms * 1000) {
        relay_bed_tick(&b);
        ticks++;
        for (size_t i = 0; i < b.out.n; i++)
            usages += b.out.v[i].kind == OUT_MSG && b.out.v[i].msg.type == MSG_relay_usage;
    }
    cr_assert(usages == 300 && ticks == 3 && b.r.by_sid.n == 0, "%u usages in %u ticks", usages,
              ticks);
}
