/*
 * test_scan.c - what a peer that knows the keys can have sent while both try each other's blocks of ports: its packets are
 * answered as often as any address gets one that has not answered, and at the pace at which ports are tried.
 */
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>

TestSuite(scan, .init = executor_bed_open, .timeout = 20);

#define X executor_bed

enum { BEGIN_MS = 240, PORT_LO = 5000, PORT_HI = 5511, PORTS = 512, PER_S = 500, HEARD_MS = 3000 };

static struct msg order;
static uint64_t counter;
static uint32_t sent_in_ms[HEARD_MS + 1]; /* to the peer's ip, from the order on */

static void start_with(const uint16_t *taken, size_t n)
{
    struct profile block = {.mapping = NAT_APD,
                            .filtering = NAT_APD,
                            .allocation = ALLOC_RANDOM,
                            .confidence = 90,
                            .block_lo = PORT_LO,
                            .block_hi = PORT_HI,
                            .share = 100};
    if (n > 0)
        memcpy(block.taken, taken, n * sizeof *taken);
    struct addr second = executor_bed_peer_addr;

    executor_bed_ready();
    X.conf.blocks = 100;
    second.port = PORT_LO + 1;
    order = executor_bed_order(1, TECHNIQUE_BLOCK_BIRTHDAY, POLICY_AUTO);
    order.punch_coordinate.plan.v[0].span_us = 20 * 1000000;
    order.punch_coordinate.deadline_ms = 30000;
    order.punch_coordinate.own_profile = order.punch_coordinate.their_profile = block;
    order.punch_coordinate.theirs.n = 2;
    order.punch_coordinate.theirs.v[1] =
        executor_bed_token(&executor_bed_peer, &second, executor_bed_wall(80));
    executor_bed_msg(BEGIN_MS, &order);
}

static void start(void) { start_with(NULL, 0); }

/* What the last step sent to the peer's ip, and of that to this port. */
static unsigned note(uint16_t port)
{
    unsigned n = 0;

    for (size_t i = 0; i < executor_bed_out.n; i++) {
        const struct output *o = &executor_bed_out.v[i];
        if (o->kind != OUT_DATAGRAM || !addr_ip_eq(&o->dgram.dst, &executor_bed_peer_addr))
            continue;
        sent_in_ms[X.now_us / 1000 - BEGIN_MS]++;
        n += o->dgram.dst.port == port && o->dgram.sock >= POOL_FIRST;
    }
    executor_bed_forget();
    return n;
}

static unsigned run_to(int64_t ms, uint16_t port)
{
    unsigned n = 0;

    while (executor_deadline(&X) <= ms * 1000) {
        executor_bed_tick();
        n += note(port);
    }
    return n;
}

/* A punch comes to the socket that tries ports now, from this port; how many answers it gets at once. */
static unsigned hear(int64_t ms, uint16_t port)
{
    uint8_t packet[PUNCH_BYTES];
    struct addr from = executor_bed_peer_addr;

    run_to(ms, 0);
    executor_bed_sock = X.attempts[0].birthday.from;
    cr_assert_geq(executor_bed_sock, POOL_FIRST, "it tries ports");
    from.port = port;
    executor_bed_punch(&order, PACKET_PUNCH, ++counter, 77, 0, packet);
    executor_bed_datagram(ms, &from, packet, sizeof packet);
    return note(port);
}

Test(scan, a_port_that_is_heard_gets_as_many_answers_as_an_address_that_has_not_answered)
{
    unsigned answers = 0;

    start();
    /* Beyond the block, so that nothing else goes there; slowly, so that the pace lets all through. */
    for (int64_t ms = BEGIN_MS + 20; ms < BEGIN_MS + HEARD_MS; ms += 25)
        answers += hear(ms, 20000);
    cr_assert_eq(answers, PACKETS_MAX);
}

Test(scan, tries_and_answers_together_are_no_more_than_the_pace_in_any_second)
{
    unsigned answers = 0;

    start();
    for (int64_t ms = BEGIN_MS + 1; ms < BEGIN_MS + HEARD_MS; ms++) /* twice as many as tries */
        for (uint16_t k = 0; k < 2; k++)
            answers += hear(ms, (uint16_t)(20000 + (2 * ms + k) % SCAN_ANSWERS));
    cr_assert_gt(answers, 0);
    for (int64_t from = 0; from + 1000 <= HEARD_MS; from++) {
        unsigned n = 0;
        for (int64_t ms = from; ms < from + 1000; ms++)
            n += sent_in_ms[ms];
        cr_assert_leq(n, PER_S, "from %d ms on", (int)from);
    }
}

/* Taken ports lead nowhere while they are; what was seen of them may be old. */
Test(scan, each_port_of_the_block_is_tried_once_and_those_that_are_taken_after_all_others)
{
    static const uint16_t taken[] = {PORT_LO + 3, PORT_HI, PORT_LO, 80, 20000};
    static bool tried[UINT16_MAX + 1];
    unsigned n = 0;

    start_with(taken, sizeof taken / sizeof *taken);
    for (; executor_deadline(&X) <= (BEGIN_MS + HEARD_MS) * 1000; executor_bed_tick()) {
        for (size_t i = 0; i < executor_bed_out.n; i++) {
            const struct output *o = &executor_bed_out.v[i];
            uint16_t port = o->dgram.dst.port;
            if (o->kind != OUT_DATAGRAM || !addr_ip_eq(&o->dgram.dst, &executor_bed_peer_addr) ||
                o->dgram.sock < POOL_FIRST)
                continue;
            cr_assert(port >= PORT_LO && port <= PORT_HI && !tried[port], "%u", port);
            bool is_taken = port == PORT_LO || port == PORT_LO + 3 || port == PORT_HI;
            cr_assert_eq(is_taken, n >= PORTS - 3, "%u after %u others", port, n);
            tried[port] = true;
            n++;
        }
        executor_bed_forget();
    }
    cr_assert_eq(n, PORTS);
}

Test(scan, ports_where_servers_listen_are_not_answered)
{
    start();
    cr_assert_eq(hear(BEGIN_MS + 50, 53), 0);
    cr_assert_eq(hear(BEGIN_MS + 100, 1023), 0);
    cr_assert_eq(hear(BEGIN_MS + 150, 1024), 1);
}
