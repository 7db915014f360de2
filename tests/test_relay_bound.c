/* test_relay_bound.c - how long the relay keeps a side bound, where it follows it, and what it tells the suite. */
#include "tests/lib/relay_bed.h"

#include <criterion/criterion.h>

static struct relay_bed b;

static void setup(void) { relay_bed_open(&b, 4, 1); }
static void teardown(void) { relay_bed_close(&b); }

TestSuite(relay_bound, .init = setup, .fini = teardown, .timeout = 60);

Test(relay_bound, says_how_things_stand_to_a_keep)
{
    relay_bed_side(&b, 'A', 7, 0, 1), relay_bed_forget(&b);
    relay_bed_keep(&b, 'A', 7, 0);
    relay_bed_expect(&b, "[     0] A: KEPT waiting\n");
    relay_bed_side(&b, 'B', 7, 1, 2), relay_bed_forget(&b);
    relay_bed_keep(&b, 'A', 7, 0);
    relay_bed_keep(&b, 'B', 7, 1);
    relay_bed_expect(&b, "[     0] A: KEPT ready\n"
                         "[     0] B: KEPT ready\n");
}

Test(relay_bound, does_not_know_a_keep_from_elsewhere)
{
    relay_bed_both(&b);
    relay_bed_keep(&b, 'X', 7, 0);
    relay_bed_keep(&b, 'A', 7, 1); /* the other's end */
    relay_bed_keep(&b, 'A', 8, 0);
    relay_bed_expect(&b, "[     0] X: UNKNOWN\n"
                         "[     0] A: UNKNOWN\n"
                         "[     0] A: UNKNOWN\n");
    cr_assert(b.r.n.keep_unknown == 3 && b.r.n.kept == 0);
}

Test(relay_bound, follows_a_side_to_its_new_address)
{
    relay_bed_both(&b);
    relay_bed_side(&b, 'C', 7, 0, 3); /* A's NAT has rebound */
    relay_bed_expect(&b, "[     0] C: BOUND ready 3\n");
    relay_bed_data(&b, 'B', 7, 0, 50);
    relay_bed_expect(&b, "[     0] C: 0b 50 bytes\n");
    relay_bed_keep(&b, 'A', 7, 0);
    relay_bed_expect(&b, "[     0] A: UNKNOWN\n");
    cr_assert(b.r.n.rebound == 1 && b.r.by_sid.n == 1 && b.r.by_path.n == 2);
}

Test(relay_bound, drops_a_silent_side_and_then_the_session)
{
    relay_bed_both(&b);
    b.now_ms = 30000;
    relay_bed_run(&b, 30000);
    relay_bed_keep(&b, 'A', 7, 0), relay_bed_forget(&b);
    relay_bed_run(&b, 89999);
    relay_bed_expect(&b, "[ 60000] 07 ready -> waiting: idle\n");
    relay_bed_keep(&b, 'B', 7, 1);
    relay_bed_data(&b, 'A', 7, 1, 50); /* to nobody; but A is there */
    relay_bed_expect(&b, "[ 89999] B: UNKNOWN\n");
    relay_bed_run(&b, 200000);
    relay_bed_expect(&b, "[149999] 07 waiting -> free: idle\n"
                         "[149999] relay_usage session=07550000000000000000000000000000 packets=0 "
                         "bytes=0 ended=yes\n");
    cr_assert(b.r.by_sid.n == 0 && b.r.by_path.n == 0 && b.r.n.dropped_waiting == 1);
    cr_assert_eq(deadlines_first(&b.r.due), DEADLINE_NEVER);
}

Test(relay_bound, ends_a_session_with_its_tickets)
{
    relay_bed_both(&b); /* for 600 s */
    for (int64_t t = 30000; t <= 570000; t += 30000) {
        relay_bed_run(&b, t);
        relay_bed_keep(&b, 'A', 7, 0), relay_bed_keep(&b, 'B', 7, 1), relay_bed_forget(&b);
    }
    relay_bed_run(&b, 599999);
    relay_bed_expect(&b, "");
    relay_bed_run(&b, 700000);
    relay_bed_expect(&b, "[600000] 07 ready -> free: ticket expired\n"
                         "[600000] relay_usage session=07550000000000000000000000000000 packets=0 "
                         "bytes=0 ended=yes\n");
    cr_assert_eq(b.r.by_sid.n, 0);
}

Test(relay_bound, a_later_ticket_prolongs_a_side_and_an_earlier_one_does_not_shorten_it)
{
    struct ticket early = relay_bed_ticket(&b, 7, 0), late = early;

    early.expires_ms = b.wall_ms + 20000;
    late.expires_ms = b.wall_ms + 40000;
    relay_bed_bind(&b, 'A', &early, 1);
    relay_bed_bind(&b, 'A', &late, 2);
    relay_bed_bind(&b, 'A', &early, 3);
    relay_bed_forget(&b);
    relay_bed_run(&b, 39999);
    relay_bed_expect(&b, "");
    relay_bed_run(&b, 40000);
    cr_assert_eq(b.r.by_sid.n, 0);
}

Test(relay_bound, holds_no_ticket_longer_than_its_limit)
{
    struct ticket t = relay_bed_ticket(&b, 7, 0);

    t.expires_ms = INT64_MAX;
    relay_bed_bind(&b, 'A', &t, 1);
    cr_assert_eq(b.r.sessions[0].side[0].expires_us, RELAY_TICKET_LIFE_MAX_MS * 1000);
}

Test(relay_bound, says_hello_every_second)
{
    struct msg_relay_hello *m = &b.out.v[0].msg.relay_hello;
    uint64_t epoch = b.r.epoch;

    relay_bed_both(&b);
    for (int64_t s = 0; s < 3; s++) {
        relay_bed_tick(&b);
        cr_assert_eq(b.now_ms, 1000 * s);
        cr_assert(b.out.n == 1 && b.out.v[0].kind == OUT_MSG &&
                  b.out.v[0].to == SERVICE_coordinator && b.out.v[0].msg.type == MSG_relay_hello);
        cr_assert_arr_eq(m->key.b, b.public_key, 32);
        cr_assert(m->cert.len == 64 && m->cert.b[0] == 0xce);
        cr_assert(addr_eq(&m->addr, &b.conf.public_addr));
        cr_assert(m->epoch == epoch && m->sessions == 1 && m->sessions_max == 4);
    }
    relay_bed_restart(&b, 2);
    cr_assert_neq(b.r.epoch, epoch);
}

Test(relay_bound, does_not_start_with_a_coordinator_key_of_small_order)
{
    uint8_t key[32] = {0};

    memset(b.conf.coordinators[0], 0, 32);
    cr_assert_not(relay_init(&b.r, &b.conf, key, b.memory));
}
