/* test_relay.c - the relay's core, one input at a time: who gets bound and who is refused. */
#include "tests/lib/relay_bed.h"

#include <criterion/criterion.h>

static struct relay_bed b;

static void setup(void) { relay_bed_open(&b, 4, 1); }
static void teardown(void) { relay_bed_close(&b); }

TestSuite(relay, .init = setup, .fini = teardown, .timeout = 60);

/* The bytes of a PROVE that is right at this time from this peer. */
static struct relay_control prove(char peer, const struct ticket *t, uint8_t nonce)
{
    struct relay_control c = {.op = RELAY_BIND, .nonce = {nonce}}, answer;

    relay_bed_seal(&b, t, c.ticket);
    relay_bed_control(&b, peer, &c);
    cr_assert(relay_parse(b.out.v[0].dgram.data, b.out.v[0].dgram.len, &answer));
    c.op = RELAY_PROVE;
    memcpy(c.cookie, answer.cookie, sizeof c.cookie);
    relay_bed_forget(&b);
    return c;
}

/* ---- the handshake --------------------------------------------------------------------------- */

Test(relay, challenges_before_it_keeps_anything)
{
    struct relay_control c = {.op = RELAY_BIND, .nonce = {1}};

    for (unsigned i = 0; i < 100; i++)
        relay_bed_control(&b, 'A', &c); /* whatever the ticket: it isn't looked at yet */
    cr_assert_eq(b.r.by_sid.n, 0);
    relay_bed_forget(&b);
    relay_bed_control(&b, 'A', &c);
    relay_bed_expect(&b, "[     0] A: CHALLENGE\n");
}

Test(relay, tells_the_first_side_when_the_second_binds)
{
    relay_bed_side(&b, 'A', 7, 0, 1);
    relay_bed_expect(&b, "[     0] 07 free -> waiting: first side bound\n"
                         "[     0] A: BOUND waiting 1\n");
    b.now_ms = 50;
    relay_bed_side(&b, 'B', 7, 1, 2);
    relay_bed_expect(&b, "[    50] 07 waiting -> ready: both sides bound\n"
                         "[    50] A: BOUND ready 1\n"
                         "[    50] B: BOUND ready 2\n");
}

Test(relay, repeats_its_answer_to_a_repeated_proof)
{
    struct ticket t = relay_bed_ticket(&b, 7, 0);
    struct relay_control c = prove('A', &t, 1);

    relay_bed_control(&b, 'A', &c);
    relay_bed_forget(&b);
    relay_bed_control(&b, 'A', &c);
    relay_bed_expect(&b, "[     0] A: BOUND waiting 1\n");
    relay_bed_side(&b, 'B', 7, 1, 2);
    relay_bed_forget(&b);
    relay_bed_control(&b, 'A', &c);
    relay_bed_expect(&b, "[     0] A: BOUND ready 1\n");
    cr_assert(b.r.by_sid.n == 1 && b.r.by_path.n == 2 && b.r.n.rebound == 0);
}

Test(relay, ignores_a_cookie_of_another_address_nonce_or_making)
{
    struct ticket t = relay_bed_ticket(&b, 7, 0);
    struct relay_control c = prove('A', &t, 1);

    relay_bed_control(&b, 'X', &c);
    c.nonce[7] ^= 1;
    relay_bed_control(&b, 'A', &c);
    c.nonce[7] ^= 1;
    for (size_t i = 0; i < RELAY_COOKIE; i++) {
        c.cookie[i] ^= 1;
        relay_bed_control(&b, 'A', &c);
        c.cookie[i] ^= 1;
    }
    relay_bed_expect(&b, "");
    cr_assert_eq(b.r.n.bad_cookie, 2 + RELAY_COOKIE);
    relay_bed_control(&b, 'A', &c);
    cr_assert_eq(b.r.by_sid.n, 1);
}

Test(relay, takes_a_cookie_for_one_to_two_minutes)
{
    struct ticket t = relay_bed_ticket(&b, 7, 0);
    struct relay_control c = prove('A', &t, 1);
    int64_t good_ms = RELAY_COOKIE_US / 1000;

    b.now_ms = good_ms;
    relay_bed_control(&b, 'A', &c); /* one rotation: the secret before */
    relay_bed_expect(&b, "[ 60000] 07 free -> waiting: first side bound\n"
                         "[ 60000] A: BOUND waiting 1\n");
    b.now_ms = 2 * good_ms;
    relay_bed_control(&b, 'A', &c);
    relay_bed_expect(&b, "");
}

Test(relay, forgets_a_cookie_over_a_long_silence)
{
    struct ticket t = relay_bed_ticket(&b, 7, 0);
    struct relay_control c = prove('A', &t, 1);

    b.now_ms = 10 * RELAY_COOKIE_US / 1000; /* nothing came meanwhile that would have rotated */
    t.expires_ms += b.now_ms;
    relay_bed_seal(&b, &t, c.ticket);
    relay_bed_control(&b, 'A', &c);
    relay_bed_expect(&b, "");
    cr_assert_eq(b.r.n.bad_cookie, 1);
}

/* ---- refusals -------------------------------------------------------------------------------- */

Test(relay, refuses_a_forged_ticket)
{
    struct ticket t = relay_bed_ticket(&b, 7, 0);
    struct relay_control c = prove('A', &t, 1);

    c.ticket[40] ^= 1;
    relay_bed_control(&b, 'A', &c);
    relay_bed_expect(&b, "[     0] A: BOUND bad-ticket 1\n");
    rng_bytes(&b.rng, b.coordinator_secret, 32); /* well made, by somebody else */
    relay_bed_side(&b, 'A', 7, 0, 2);
    relay_bed_expect(&b, "[     0] A: BOUND bad-ticket 2\n");
    cr_assert(b.r.n.bad_ticket == 2 && b.r.by_sid.n == 0);
}

/* Flipped bits, bytes of chance, two good tickets cut and joined; with a cookie that is right. */
static void forge(struct rng *rng, const uint8_t (*good)[TICKET_BYTES], uint8_t *out)
{
    uint64_t how = rng_u64(rng);
    size_t at = (how >> 8) % TICKET_BYTES;

    memcpy(out, good[0], TICKET_BYTES);
    if (how % 4 == 0)
        rng_bytes(rng, out + 1, TICKET_BYTES - 1);
    else if (how % 4 == 1)
        memcpy(out + 1 + at % (TICKET_BYTES - 1), good[1] + 1 + at % (TICKET_BYTES - 1),
               TICKET_BYTES - 1 - at % (TICKET_BYTES - 1));
    else
        out[at] ^= (uint8_t)(1u << (how >> 32) % 8);
    if (memcmp(out, good[0], TICKET_BYTES) == 0 || memcmp(out, good[1], TICKET_BYTES) == 0)
        out[TICKET_BYTES - 1] ^= 1; /* cut so that one of them was left whole */
}

Test(relay, refuses_a_million_forged_tickets)
{
    enum { FORGED = 1000000 };
    struct ticket t = relay_bed_ticket(&b, 7, 0), u = relay_bed_ticket(&b, 8, 1);
    struct relay_control c = prove('A', &t, 1), d = prove('A', &u, 1);
    uint8_t good[2][TICKET_BYTES], wire[RELAY_CONTROL_MAX];
    struct input in = {.kind = IN_DATAGRAM};
    struct rng rng;

    memcpy(good[0], c.ticket, TICKET_BYTES);
    memcpy(good[1], d.ticket, TICKET_BYTES);
    rng_seed(&rng, 1);
    in.wall_ms = b.wall_ms;
    in.dgram.data = wire;
    in.dgram.src = relay_bed_peer('A');
    for (uint32_t i = 0; i < FORGED; i++) {
        forge(&rng, (const uint8_t(*)[TICKET_BYTES])good, c.ticket);
        in.dgram.len = relay_encode(&c, wire);
        relay_step(&b.r, &in, &b.out);
    }
    cr_assert_eq(b.r.n.bad_ticket, FORGED);
    cr_assert(b.r.n.bound == 0 && b.r.by_sid.n == 0);
    memcpy(c.ticket, good[1], TICKET_BYTES);
    relay_bed_control(&b, 'A', &c); /* the cookie was right: a good one is taken */
    cr_assert_eq(b.r.n.bound, 1);
}

Test(relay, refuses_an_expired_ticket)
{
    struct ticket t = relay_bed_ticket(&b, 7, 0);

    t.expires_ms = b.wall_ms;
    relay_bed_bind(&b, 'A', &t, 1);
    relay_bed_expect(&b, "[     0] A: BOUND expired 1\n");
    t.expires_ms = b.wall_ms + 1;
    relay_bed_bind(&b, 'A', &t, 2);
    relay_bed_expect(&b, "[     0] 07 free -> waiting: first side bound\n"
                         "[     0] A: BOUND waiting 2\n");
}

Test(relay, refuses_a_session_too_many_and_serves_the_others)
{
    for (uint8_t s = 1; s <= 4; s++)
        relay_bed_side(&b, 'A', s, 0, s);
    relay_bed_forget(&b);
    relay_bed_side(&b, 'A', 5, 0, 5);
    relay_bed_expect(&b, "[     0] A: BOUND full 5\n");
    relay_bed_side(&b, 'B', 4, 1, 6);
    relay_bed_expect(&b, "[     0] 04 waiting -> ready: both sides bound\n"
                         "[     0] A: BOUND ready 4\n"
                         "[     0] B: BOUND ready 6\n");
    cr_assert(b.r.by_sid.n == 4 && b.r.by_path.n == 8);
    relay_bed_run(&b, 61000);
    relay_bed_forget(&b);
    relay_bed_side(&b, 'A', 5, 0, 5);
    relay_bed_expect(&b, "[ 61000] 05 free -> waiting: first side bound\n"
                         "[ 61000] A: BOUND waiting 5\n");
}

Test(relay, when_it_drains_sessions_go_on_and_none_begins)
{
    struct ticket a = relay_bed_ticket(&b, 1, 0), c = relay_bed_ticket(&b, 2, 0);
    struct ticket other = relay_bed_ticket(&b, 1, 1);

    relay_bed_bind(&b, 'A', &a, 1);
    relay_bed_forget(&b);
    relay_drain(&b.r);
    b.show_hello = true;
    relay_bed_tick(&b);
    cr_assert(strstr(b.log, "sessions=1 sessions_max=1 ") && strstr(b.log, "draining=yes"),
              "coordinators are told at once: %s", b.log);
    b.show_hello = false;
    relay_bed_forget(&b);
    relay_bed_bind(&b, 'C', &c, 2);
    relay_bed_expect(&b, "[     0] C: BOUND full 2\n");
    relay_bed_bind(&b, 'B', &other, 3);
    cr_assert(strstr(b.log, "B: BOUND ready 3"), "the other side of a session still binds: %s",
              b.log);
    cr_assert_eq(b.r.n.refused_draining, 1);
    relay_bed_run(&b, 2 * RELAY_IDLE_US / 1000);
    cr_assert_eq(b.r.by_sid.n, 0);
}

Test(relay, what_it_says_leaves_by_the_link_when_the_coordinator_is_on_another_host)
{
    struct ticket a = relay_bed_ticket(&b, 1, 0);

    b.conf.link = 1;
    relay_bed_restart(&b, 2);
    relay_bed_bind(&b, 'A', &a, 1);
    unsigned hellos = 0, usage = 0;
    while (b.r.by_sid.n > 0) {
        relay_bed_tick(&b);
        for (size_t i = 0; i < b.out.n; i++)
            if (b.out.v[i].kind == OUT_MSG) {
                cr_assert_eq(b.out.v[i].link, 1);
                hellos += b.out.v[i].msg.type == MSG_relay_hello;
                usage += b.out.v[i].msg.type == MSG_relay_usage;
            }
    }
    cr_assert(hellos > 0 && usage > 0);
}

Test(relay, ignores_what_is_not_for_a_relay)
{
    static const uint8_t ops[] = {RELAY_CHALLENGE, RELAY_BOUND, RELAY_KEPT, RELAY_UNKNOWN,
                                  RELAY_AGAIN};

    relay_bed_both(&b);
    for (size_t i = 0; i < sizeof ops; i++) {
        struct relay_control c = {.op = ops[i]};
        relay_bed_control(&b, 'A', &c);
        relay_bed_control(&b, 'X', &c);
    }
    relay_bed_datagram(&b, 'A', (const uint8_t *)"", 0);
    relay_bed_datagram(&b, 'A', (const uint8_t *)"\x00\x01\x00\x00\x21\x12\xa4\x42", 8);
    relay_bed_datagram(&b, 'X', (const uint8_t *)"\x0b", 1);
    relay_bed_expect(&b, "");
    cr_assert_eq(b.r.n.malformed, 13);
}

Test(relay, answers_nobody_without_an_address)
{
    uint8_t wire[RELAY_CONTROL_MAX], data[DATA_OVERHEAD] = {PACKET_DATA};
    struct relay_control c = {.op = RELAY_BIND};
    struct input in = {.kind = IN_DATAGRAM};

    in.dgram.data = wire;
    in.dgram.len = relay_encode(&c, wire);
    relay_step(&b.r, &in, &b.out);
    cr_assert_eq(b.out.n, 0);
    in.dgram.data = data;
    in.dgram.len = sizeof data;
    in.dgram.src = addr_v4(192, 0, 2, 9, 0);
    relay_step(&b.r, &in, &b.out);
    cr_assert_eq(b.out.n, 0);
}

/* A stranger's every length of every type: never a larger answer, never to anyone else. */
Test(relay, never_answers_a_stranger_with_more_than_came)
{
    static uint8_t wire[DATAGRAM_MAX];
    struct addr x = relay_bed_peer('X');

    relay_bed_both(&b);
    for (unsigned type = 0; type < 16; type++)
        for (unsigned op = 0; op < 10; op++)
            for (size_t len = 0; len < 200; len++) {
                wire[0] = (uint8_t)type;
                wire[1] = (uint8_t)op;
                b.now_ms += 1000;
                relay_bed_datagram(&b, 'X', wire, len);
                for (size_t i = 0; i < b.out.n; i++) {
                    cr_assert(addr_eq(&b.out.v[i].dgram.dst, &x));
                    cr_assert_leq(b.out.v[i].dgram.len, len);
                }
            }
}
