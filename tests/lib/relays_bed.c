/* relays_bed.c - see relays_bed.h. */
#include "tests/lib/relays_bed.h"

#include <criterion/criterion.h>
#include <string.h>

struct msg relays_bed_hello(struct bed *b, uint8_t last, uint32_t sessions, uint32_t sessions_max)
{
    struct msg m = {.type = MSG_relay_hello};

    m.relay_hello = b->relay;
    memset(m.relay_hello.key.b, last, sizeof m.relay_hello.key.b);
    m.relay_hello.cert.len = 64;
    cert_sign('r', m.relay_hello.key.b, b->authority_secret, m.relay_hello.cert.b);
    m.relay_hello.addr = addr_v4(203, 0, 113, last, 3480);
    m.relay_hello.sessions = sessions;
    m.relay_hello.sessions_max = sessions_max;
    return m;
}

void relays_bed_say_hello(struct bed *b, uint8_t last, uint32_t sessions, uint32_t sessions_max)
{
    struct msg m = relays_bed_hello(b, last, sessions, sessions_max);

    coordinator_bed_from_suite(b, SERVICE_relay, &m);
}

void relays_bed_measure(struct bed *b, unsigned peer, uint16_t to_21, uint16_t to_22)
{
    const uint16_t ms[2] = {to_21, to_22};
    struct msg m;

    memset(&m, 0, sizeof m);
    m.type = MSG_reflex_report;
    m.reflex_report.tokens.n = 1;
    m.reflex_report.tokens.v[0] = coordinator_bed_token(b, peer, 4000, 0);
    for (uint8_t i = 0; i < 2; i++)
        if (ms[i] > 0)
            m.reflex_report.relays.v[m.reflex_report.relays.n++] = (struct observation){
                .rtt_ms = ms[i], .prober = addr_v4(203, 0, 113, (uint8_t)(21 + i), 3480)};
    coordinator_bed_from_peer(b, peer, &m);
}

void relays_bed_two_random(struct bed *b)
{
    coordinator_bed_init_alone(b, 0, 0);
    coordinator_bed_prober_hello(b);
    relays_bed_say_hello(b, 21, 0, 100);
    relays_bed_say_hello(b, 22, 0, 100);
    coordinator_bed_ready(b, 1, "alice");
    coordinator_bed_ready(b, 2, "bob");
    coordinator_bed_profile(b, 1, NAT_APD, NAT_APD, ALLOC_RANDOM);
    coordinator_bed_profile(b, 2, NAT_APD, NAT_APD, ALLOC_RANDOM);
}

unsigned relays_bed_chosen(struct bed *b, uint64_t nonce)
{
    struct msg m = coordinator_bed_request("bob", nonce);

    memset(b->order, 0, sizeof b->order);
    coordinator_bed_from_peer(b, 1, &m);
    const struct addr *a = &b->order[0].punch_coordinate.relay;
    cr_assert(addr_eq(a, &b->order[1].punch_coordinate.relay));
    return a->len ? a->ip[3] : 0;
}

void relays_bed_refuse(struct bed *b, unsigned peer, uint8_t last, const char *kind)
{
    struct msg m;

    memset(&m, 0, sizeof m);
    m.type = MSG_relay_refused;
    m.relay_refused.session = b->last;
    m.relay_refused.relay = addr_v4(203, 0, 113, last, 3480);
    msg_text(m.relay_refused.kind, sizeof m.relay_refused.kind, kind);
    memset(b->order, 0, sizeof b->order);
    coordinator_bed_from_peer(b, peer, &m);
}

void relays_bed_say_hello_by_link(struct bed *b, uint8_t last, uint8_t key)
{
    struct msg m = relays_bed_hello(b, last, 0, 100);
    struct input in = {
        .kind = IN_MSG, .msg = &m, .from = {.service = SERVICE_relay, .link = 1}
    };

    memset(in.from.peer.b, key, sizeof in.from.peer.b);
    coordinator_bed_step(b, &in);
}
