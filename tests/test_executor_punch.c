/*
 * test_executor_punch.c - punch and pong: what is answered, where, and what proves a path.
 */
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>

TestSuite(executor_punch, .init = executor_bed_open, .timeout = 10);

#define X executor_bed
#define ATTEMPT (X.attempts[0])

static struct msg order;
static uint8_t packet[PUNCH_BYTES];

Test(executor_punch, answers_an_authentic_punch_where_it_came_from_and_acknowledges_it)
{
    struct addr to, from = executor_bed_peer_addr;

    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_forget();
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, 0, packet);
    executor_bed_datagram(250, &from, packet, sizeof packet);
    executor_bed_expect("[  250] 0 > 198.51.100.2:4000 punch\n"
                        "[  250] punch_ack session=55555555555555555555555555555555 technique=4 "
                        "remote=198.51.100.2:4000 after_us=10000\n"
                        "[  250] 0 > 198.51.100.2:4000 pong\n");
    cr_assert_eq(executor_bed_count(PACKET_PONG, &to), 1);
    cr_assert(addr_eq(&to, &from));
}

Test(executor_punch, asks_at_once_where_a_nat_with_another_port_shows_the_peer)
{
    struct addr to, from = executor_bed_peer_addr;

    from.port = 4711;
    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, 0, packet);
    executor_bed_datagram(250, &from, packet, sizeof packet);
    cr_assert_eq(executor_bed_count(PACKET_PONG, &to), 1);
    cr_assert(addr_eq(&to, &from));
    cr_assert_eq(executor_bed_count(PACKET_PUNCH, &to), 1);
    cr_assert(addr_eq(&to, &from));
}

Test(executor_punch, is_silent_towards_the_forged_the_replayed_and_the_unknown)
{
    struct msg other;

    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, 0, packet);
    executor_bed_datagram(250, &executor_bed_peer_addr, packet, sizeof packet);
    executor_bed_forget();
    executor_bed_datagram(251, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert_eq(X.n.replays, 1);
    executor_bed_punch(&order, PACKET_PUNCH, 2, 0, 0, packet);
    packet[30] ^= 1;
    executor_bed_datagram(252, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert_eq(X.n.forged, 1);
    other = order;
    other.punch_coordinate.session.b[0] ^= 1;
    executor_bed_punch(&other, PACKET_PUNCH, 3, 0, 0, packet);
    uint64_t before = X.n.refused_datagrams;
    executor_bed_datagram(253, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert_eq(X.n.refused_datagrams, before + 1);
    executor_bed_expect("");
}

Test(executor_punch, only_a_pong_to_a_punch_of_its_own_proves_both_directions)
{
    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PONG, 1, 99, 0, packet); /* nothing that we asked for */
    executor_bed_datagram(250, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert(ATTEMPT.way[WAY_DIRECT].heard);
    cr_assert_not(ATTEMPT.way[WAY_DIRECT].confirmed);
    executor_bed_punch(&order, PACKET_PONG, 2, 1, 0, packet);
    executor_bed_datagram(260, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert(ATTEMPT.way[WAY_DIRECT].confirmed);
    cr_assert_eq(ATTEMPT.state, ATTEMPT_EXECUTING, "there are no data keys yet");
}

/* The pong in the last step's outputs, as the peer reads it. */
static struct punch pong(void)
{
    const struct msg_punch_coordinate *c = &order.punch_coordinate;
    uint8_t keys[2][32];
    struct punch p = {0};

    cr_assert(punch_keys(executor_bed_peer_secret, &X.conf.id, &c->session, keys[0], keys[1]));
    for (size_t i = 0; i < executor_bed_out.n; i++) {
        const struct output *o = &executor_bed_out.v[i];
        if (o->kind == OUT_DATAGRAM && o->dgram.data[0] == PACKET_PONG)
            cr_assert(punch_open(o->dgram.data, o->dgram.len, keys[c->side], &p));
    }
    return p;
}

Test(executor_punch, a_pong_says_what_it_answers_where_that_came_from_and_what_is_proven)
{
    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PUNCH, 5, 0xabcdef0123456789, 0, packet);
    executor_bed_datagram(250, &executor_bed_peer_addr, packet, sizeof packet);
    struct punch p = pong();
    cr_assert_eq(p.echo, 0xabcdef0123456789);
    cr_assert(addr_eq(&p.seen, &executor_bed_peer_addr));
    cr_assert_eq(p.flags & PUNCH_CONFIRMED, 0);
    executor_bed_punch(&order, PACKET_PONG, 6, 1, 0, packet);
    executor_bed_datagram(260, &executor_bed_peer_addr, packet, sizeof packet);
    executor_bed_punch(&order, PACKET_PUNCH, 7, 77, 0, packet);
    executor_bed_datagram(270, &executor_bed_peer_addr, packet, sizeof packet);
    p = pong();
    cr_assert_eq(p.echo, 77);
    cr_assert_neq(p.flags & PUNCH_CONFIRMED, 0);
}

Test(executor_punch, sends_to_the_address_that_is_proven_and_tells_its_own_as_the_peer_sees_it)
{
    struct addr from = executor_bed_peer_addr;
    const struct addr own = {
        4, {198, 51, 100, 1},
         50000
    }; /* the bench's pongs say so */

    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, 0, packet);
    executor_bed_datagram(250, &from, packet, sizeof packet);
    from.port = 4711;
    executor_bed_punch(&order, PACKET_PONG, 2, EXECUTOR_BED_ECHO, 0, packet);
    executor_bed_datagram(260, &from, packet, sizeof packet);
    cr_assert(ATTEMPT.way[WAY_DIRECT].confirmed);
    cr_assert(addr_eq(&ATTEMPT.way[WAY_DIRECT].remote, &executor_bed_peer_addr),
              "where it was asked, and not where the answer came from");
    cr_assert(addr_eq(&ATTEMPT.own_seen, &own));
}

Test(executor_punch, takes_punches_by_the_socket_that_was_told_alone)
{
    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, 0, packet);
    struct input in = {.kind = IN_DATAGRAM, .now_us = 250000};
    in.dgram.data = packet;
    in.dgram.len = sizeof packet;
    in.dgram.src = executor_bed_peer_addr;
    in.dgram.sock = 1;
    executor_step(&X, &in, &executor_bed_out);
    cr_assert_eq(executor_bed_out.n, 0);
    cr_assert_not(ATTEMPT.way[WAY_DIRECT].heard);
}

Test(executor_punch, a_peer_that_is_heard_everywhere_adds_few_addresses)
{
    struct addr from = executor_bed_peer_addr;

    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    for (uint8_t i = 0; i < 3 * CANDIDATES_MAX; i++) {
        ATTEMPT.way[WAY_DIRECT].heard = false; /* as after a direct path was lost */
        from.port = (uint16_t)(5000 + i);
        executor_bed_punch(&order, PACKET_PUNCH, 1 + i, 0, 0, packet);
        executor_bed_datagram(250, &from, packet, sizeof packet);
    }
    cr_assert_eq(ATTEMPT.n_candidates, CANDIDATES_MAX);
}

Test(executor_punch, does_not_take_the_peers_word_for_both_directions)
{
    order = executor_bed_start(1, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(250, &executor_bed_peer_addr, packet, sizeof packet);
    executor_bed_punch(&order, PACKET_PONG, 2, 2, PUNCH_CONFIRMED, packet);
    executor_bed_datagram(251, &executor_bed_peer_addr, packet, sizeof packet);
    cr_assert_not(ATTEMPT.way[WAY_DIRECT].confirmed);
}

Test(executor_punch, under_the_relay_policy_does_not_answer_even_an_authentic_punch_from_elsewhere)
{
    order = executor_bed_start(1, TECHNIQUE_RELAYED, POLICY_RELAY);
    executor_bed_expect("[  240] free -> executing: ordered\n"
                        "[  240] 0 > 203.0.113.10:3480 bind\n");
    executor_bed_punch(&order, PACKET_PUNCH, 1, 0, 0, packet);
    executor_bed_datagram(250, &executor_bed_peer_addr, packet, sizeof packet);
    executor_bed_expect("");
}
