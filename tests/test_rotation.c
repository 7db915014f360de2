/*
 * test_rotation.c - the keys that tickets are sealed to, period after period: at the relay, at the coordinator, and in
 * whole sessions in virtual time.  With real sockets: test_relay_process.c.
 */
#include "tests/lib/coordinator_bed.h"
#include "tests/lib/relay_bed.h"
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

enum { SECOND = 1000000, MINUTE_MS = 60000 };

TestSuite(rotation, .timeout = 60);

/* ---- the relay ---------------------------------------------------------------------------------- */

static struct relay_bed r;

/* What the relay says to a ticket that is sealed to the key of so many periods ago. */
static void show(char from, unsigned age, uint8_t nonce)
{
    struct relay_control c = {.op = RELAY_PROVE, .nonce = {nonce}};
    struct relay_control ask = {.op = RELAY_BIND, .nonce = {nonce}}, answer;
    struct ticket t = relay_bed_ticket(&r, 7, from == 'B');

    relay_bed_control(&r, from, &ask);
    cr_assert(relay_parse(r.out.v[0].dgram.data, r.out.v[0].dgram.len, &answer));
    memcpy(c.cookie, answer.cookie, sizeof c.cookie);
    relay_bed_seal_of(&r, &t, age, c.ticket);
    relay_bed_forget(&r);
    relay_bed_control(&r, from, &c);
}

Test(rotation, a_ticket_of_the_key_before_is_good_and_one_of_the_key_before_that_is_refused)
{
    relay_bed_open(&r, 4, 1);
    show('A', 0, 1);
    relay_bed_expect(&r, "[     0] 07 free -> waiting: first side bound\n"
                         "[     0] A: BOUND waiting 1\n");
    show('A', 1, 2);
    relay_bed_expect(&r, "[     0] A: BOUND waiting 2\n");
    show('A', 2, 3);
    relay_bed_expect(&r, "[     0] A: BOUND bad-ticket 3\n");
    cr_assert(r.r.n.bad_ticket == 1 && r.r.n.repeated == 1);
    relay_bed_close(&r);
}

Test(rotation, a_session_is_carried_on_when_its_tickets_are_good_no_more)
{
    relay_bed_open(&r, 4, 1);
    struct ticket a = relay_bed_ticket(&r, 7, 0), b = relay_bed_ticket(&r, 7, 1);
    a.expires_ms = b.expires_ms = r.wall_ms + 10 * TICKET_PERIOD_MS;
    relay_bed_bind(&r, 'A', &a, 1);
    relay_bed_bind(&r, 'B', &b, 2);
    for (unsigned i = 0; i < 2 * 24 * 60 * 2 + 1; i++) {
        relay_bed_run(&r, r.now_ms + MINUTE_MS / 2);
        relay_bed_keep(&r, 'A', 7, 0);
        relay_bed_keep(&r, 'B', 7, 1);
        relay_bed_forget(&r);
    }
    relay_bed_data(&r, 'A', 7, 1, 100);
    cr_assert_eq(r.r.n.forwarded_packets, 1);
    show('A', 2, 3);
    cr_assert_eq(r.r.n.bad_ticket, 1, "what let it in two days ago does so no more");
    relay_bed_data(&r, 'A', 7, 1, 100);
    cr_assert_eq(r.r.n.forwarded_packets, 2);
    relay_bed_close(&r);
}

/* The key that its next hello names, or nothing when none is due. */
static struct peer_id hello_key(void)
{
    relay_bed_tick(&r);
    cr_assert_eq(r.out.v[0].msg.type, MSG_relay_hello);
    return r.out.v[0].msg.relay_hello.ticket_key;
}

Test(rotation, the_relay_names_another_key_each_period_and_the_same_after_a_restart)
{
    relay_bed_open(&r, 4, 1);
    struct peer_id first = hello_key();
    cr_assert_neq(memcmp(first.b, r.public_key, 32), 0);
    relay_bed_restart(&r, 2);
    struct peer_id again = hello_key();
    cr_assert(peer_id_eq(&first, &again));
    r.wall_ms += TICKET_PERIOD_MS;
    relay_bed_keep(&r, 'A', 9, 0); /* any step will do: the hello is due at once */
    cr_assert_leq(relay_deadline(&r.r), r.now_ms * 1000);
    struct peer_id second = hello_key();
    cr_assert_not(peer_id_eq(&first, &second));
    r.wall_ms -= TICKET_PERIOD_MS;
    struct peer_id back = hello_key();
    cr_assert(peer_id_eq(&second, &back), "a clock that is set back takes nothing back");
    relay_bed_close(&r);
}

/* ---- the coordinator ---------------------------------------------------------------------------- */

static struct bed b;

/* The ticket of that side's last order opens with this secret. */
static bool opens(unsigned side, const uint8_t secret[static 32])
{
    const struct msg_punch_coordinate *m = &b.order[side].punch_coordinate;
    uint8_t coordinator[1][32];
    struct ticket t;

    crypto_scalarmult_base(coordinator[0], b.conf.secret);
    return m->ticket.len == TICKET_BYTES &&
           ticket_open(m->ticket.b, TICKET_BYTES, (const uint8_t(*)[32])coordinator, 1, secret,
                       &t) &&
           sid_eq(&t.session, &m->session) && t.side == side;
}

static void both_report(void)
{
    struct msg m = coordinator_bed_result(&b, PATH_RELAYED, TECHNIQUE_RELAYED, "policy-relay");

    coordinator_bed_from_peer(&b, 0, &m);
    coordinator_bed_from_peer(&b, 1, &m);
}

/* A minute in which both are there, and then their reports. */
static void minute(void)
{
    for (unsigned i = 0; i < 3; i++) {
        coordinator_bed_pass(&b, MINUTE_MS / 3);
        coordinator_bed_attach(&b, 0, "alice");
        coordinator_bed_attach(&b, 1, "bob");
    }
    both_report();
}

Test(rotation, tickets_are_sealed_to_the_key_of_the_period_and_renewed_with_it)
{
    static const uint8_t secrets[2][32] = {{8}, {16}};
    struct msg ask = coordinator_bed_request("bob", 1);

    coordinator_bed_init(&b, 4, 4);
    crypto_scalarmult_base(b.relay.ticket_key.b, secrets[0]);
    coordinator_bed_relay_hello(&b);
    coordinator_bed_ready(&b, 0, "alice");
    coordinator_bed_ready(&b, 1, "bob");
    coordinator_bed_from_peer(&b, 0, &ask);
    cr_assert(opens(0, secrets[0]) && opens(1, secrets[0]));
    both_report();
    minute();
    cr_assert_eq(b.core.n.tickets_renewed, 0, "the key is what it was");
    crypto_scalarmult_base(b.relay.ticket_key.b, secrets[1]);
    coordinator_bed_relay_hello(&b);
    minute();
    minute();
    cr_assert_eq(b.core.n.tickets_renewed, 1);
    for (unsigned side = 0; side < 2; side++)
        cr_assert(opens(side, secrets[1]) && !opens(side, secrets[0]), "side %u", side);
    coordinator_bed_fini(&b);
}

/* A session that both report; and how a side of it would refuse its relay. */
static struct msg relayed(void)
{
    struct msg ask = coordinator_bed_request("bob", 1), refused = {.type = MSG_relay_refused};

    coordinator_bed_init(&b, 4, 4);
    coordinator_bed_ready(&b, 0, "alice");
    coordinator_bed_ready(&b, 1, "bob");
    coordinator_bed_from_peer(&b, 0, &ask);
    both_report();
    refused.relay_refused.session = b.order[0].punch_coordinate.session;
    refused.relay_refused.relay = b.relay.addr;
    return refused;
}

Test(rotation, a_side_whose_ticket_is_refused_gets_another_but_not_more_than_one_a_minute)
{
    struct msg refused = relayed();

    minute();
    msg_text(refused.relay_refused.kind, sizeof refused.relay_refused.kind, "rendezvous-rejected");
    for (unsigned i = 0; i < 5; i++)
        coordinator_bed_from_peer(&b, 1, &refused);
    cr_assert_eq(b.core.n.tickets_renewed, 1);
    coordinator_bed_fini(&b);
}

Test(rotation, nor_does_it_get_more_when_its_relay_is_gone_and_no_other_has_room)
{
    struct msg refused = relayed();

    b.relay.addr.port++; /* it is at another place, and full */
    b.relay.sessions = b.relay.sessions_max;
    coordinator_bed_relay_hello(&b);
    minute();
    for (unsigned i = 0; i < 5; i++)
        coordinator_bed_from_peer(&b, 1, &refused);
    cr_assert_eq(b.core.n.tickets_renewed, 1);
    minute();
    coordinator_bed_from_peer(&b, 1, &refused);
    cr_assert_eq(b.core.n.tickets_renewed, 2);
    coordinator_bed_fini(&b);
}

/* ---- whole sessions ------------------------------------------------------------------------------ */

static struct world w;

Test(rotation, a_relayed_session_outlives_its_keys_and_then_the_relay)
{
    struct world_conf c = {.seed = 3, .delay_us = 10000, .n_peers = 2};
    uint64_t sent = 0, before;

    c.peers[0] = world_nat("ei/preserve/apd");
    c.peers[1] = world_nat("ei/random/apd");
    world_open(&w, &c);
    w.relays[0].conf.ticket_period_ms = w.relays[0].core.ticket_period_ms = 5 * MINUTE_MS;
    world_run(&w, 2 * SECOND);
    size_t n = world_connect(&w, 0, 1, POLICY_RELAY, 15 * SECOND);
    world_run(&w, w.now_us + 3 * SECOND);
    cr_assert_eq(w.results[n].at.path, PATH_RELAYED);
    uint32_t path = 0;
    while (w.peers[0].core.attempts[path].nonce != w.results[n].nonce)
        path++;
    for (unsigned i = 0; i < 30; i++, sent++) { /* half an hour: six periods */
        world_send(&w, 0, path, "hello", 5);
        world_run(&w, w.now_us + 60 * (int64_t)SECOND);
    }
    cr_assert_eq(w.peers[1].received, sent, "none was lost while keys changed");
    cr_assert_geq(w.coordinator.n.tickets_renewed, 5);
    cr_assert_eq(w.relays[0].core.n.bad_ticket, 0);
    world_crash_relay(&w, 0, SECOND);
    world_run(&w, w.now_us + 20 * (int64_t)SECOND);
    before = w.peers[1].received;
    world_send(&w, 0, path, "hello", 5);
    world_run(&w, w.now_us + SECOND);
    cr_assert_eq(w.peers[1].received, before + 1, "bound again with a ticket of today");
    cr_assert_eq(w.relays[0].core.n.bad_ticket, 0);
    world_close(&w);
}
