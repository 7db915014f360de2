/*
 * servers.c - spoofing hosts and hostile peers against relay and prober: to be let in without a good ticket or
 * token, and to have them send to a victim what the victim has not asked for.
 */
#include "tests/attack/binding.h"

#include "lib/stun.h"

#include <criterion/criterion.h>
#include <sodium.h>

enum {
    HEAR_MS = 2000,
    QUIET_MS = 100,
    BATCH = 64,
    EXPIRY_MS = 3600000,
    BUDGET = 2 * 40 * 56, /* bytes of discovery answers to one source, in two windows */
    STRANGER_PER_S = 2,
};

static struct addr relay, prober;

static void aim(void)
{
    relay = binding_relay();
    prober = addr_v4(203, 0, 113, 10, PROBER_PORT);
}

/* ---- the relay --------------------------------------------------------------------------------------------- */

/* Of one session, so that the worker that has it is the one that has made the cookie. */
static void good_ticket(uint8_t out[static TICKET_BYTES], int64_t life_ms)
{
    static const struct sid session = {"its worker's"};

    binding_ticket(&session, 0, life_ms, out);
}

/* How many of n such tickets are let in. */
static uint64_t tickets(unsigned n, void (*make)(uint8_t out[static TICKET_BYTES], unsigned i))
{
    uint64_t in = 0;
    uint8_t ticket[TICKET_BYTES];
    struct relay_control got;

    aim();
    make(ticket, 0);
    struct relay_control c = binding_challenge(attack.udp, ticket);
    for (unsigned i = 0; i < n; i++) {
        if (i % 4096 == 4095)
            c = binding_challenge(attack.udp, ticket);
        make(c.ticket, i);
        binding_send(attack.udp, &c);
        cr_assert(binding_hear(attack.udp, RELAY_BOUND, &got, HEAR_MS), "the relay is silent");
        in += got.status == RELAY_WAITING || got.status == RELAY_READY;
    }
    return in;
}

static void forge(uint8_t out[static TICKET_BYTES], unsigned i)
{
    enum { MARK_END = TICKET_MARK_AT + 4, PLAIN_AT = 1 + 24 + 16 };

    good_ticket(out, EXPIRY_MS);
    if (i % 4 != 0) { /* a good one with a bit that is not */
        out[MARK_END + i % (TICKET_BYTES - MARK_END)] ^= (uint8_t)(1u << i % 8);
        return;
    }
    rng_bytes(&attack.rng, out + MARK_END, TICKET_BYTES - MARK_END);
    memset(out + PLAIN_AT + 16, 0, 2); /* in clear: a side, a mode, and no quota */
    memset(out + PLAIN_AT + 18, 0x7f, 24);
}
static uint64_t forged_ticket(unsigned n) { return tickets(n, forge); }

static void expire(uint8_t out[static TICKET_BYTES], unsigned i)
{
    good_ticket(out, -(int64_t)(1 + i) * 1000);
}
static uint64_t expired_ticket(unsigned n) { return tickets(n, expire); }

/* A good ticket in the victim's name: an answer would go there, and all that the other side sends. */
static uint64_t as_the_victim(unsigned n, bool with_cookie)
{
    uint8_t ticket[TICKET_BYTES], data[RELAY_CONTROL_MAX];

    aim();
    uint64_t before = attack_sent("pub", "victim");
    for (unsigned i = 0; i < n; i++) {
        struct relay_control c = {.op = RELAY_PROVE};
        good_ticket(ticket, EXPIRY_MS);
        if (with_cookie && i % BATCH == 0)
            c = binding_challenge(attack.udp, ticket);
        rng_bytes(&attack.rng, with_cookie ? c.ticket : c.cookie, 1);
        memcpy(c.ticket, ticket, sizeof c.ticket);
        attack_forge(&attack.victim, &relay, data, relay_encode(&c, data));
        if (i % BATCH == BATCH - 1)
            binding_challenge(attack.udp, ticket); /* it has taken what was sent */
    }
    binding_challenge(attack.udp, ticket);
    return attack_sent("pub", "victim") - before;
}
static uint64_t bind_without_cookie(unsigned n) { return as_the_victim(n, false); }
static uint64_t handshake_replayed(unsigned n) { return as_the_victim(n, true); }

/* Packets for nobody's path, all from the victim. */
static uint64_t relay_as_reflector(unsigned n)
{
    uint8_t data[64], ticket[TICKET_BYTES];
    int64_t began = zclock_mono();

    aim();
    good_ticket(ticket, EXPIRY_MS);
    uint64_t before = attack_sent("pub", "victim");
    for (unsigned i = 0; i < n; i++) {
        rng_bytes(&attack.rng, data, sizeof data);
        data[0] = PACKET_DATA;
        attack_forge(&attack.victim, &relay, data, sizeof data);
        if (i % BATCH == BATCH - 1)
            binding_challenge(attack.udp, ticket);
    }
    uint64_t sent = attack_sent("pub", "victim") - before,
             may = (uint64_t)(STRANGER_PER_S + (zclock_mono() - began) / 1000);
    return sent > may ? sent - may : 0;
}

/* ---- the prober --------------------------------------------------------------------------------------------- */

static struct stun request(void)
{
    uint8_t txid[STUN_TXID_BYTES];

    rng_bytes(&attack.rng, txid, sizeof txid);
    return stun_request(txid);
}

static void ask(int fd, const struct stun *m)
{
    uint8_t data[STUN_MAX];

    attack_udp(fd, &prober, data, stun_encode(m, data));
}

static bool hear_stun(int fd, struct stun *m, int ms)
{
    uint8_t data[2048];
    size_t n;

    while ((n = attack_hear(fd, data, sizeof data, ms)) > 0)
        if (stun_parse(data, n, m))
            return true;
    return false;
}

static void prober_has_taken_all(void)
{
    struct stun m = request(), got;

    ask(attack.udp, &m);
    cr_assert(hear_stun(attack.udp, &got, HEAR_MS), "the prober is silent");
}

/* Bytes at the victim beyond 1.6 times those that were sent in its name, and the budget. */
static uint64_t amplified(unsigned n, struct stun (*make)(unsigned i))
{
    uint8_t data[STUN_MAX];
    uint64_t cost = 0;

    aim();
    uint64_t before = attack_received_bytes("victim");
    for (unsigned i = 0; i < n; i++) {
        struct stun m = make(i);
        size_t len = stun_encode(&m, data);
        cost += len;
        attack_forge(&attack.victim, &prober, data, len);
        if (i % BATCH == BATCH - 1)
            prober_has_taken_all();
    }
    prober_has_taken_all();
    uint64_t got = attack_received_bytes("victim") - before, may = cost * 16 / 10 + BUDGET;
    return got > may ? got - may : 0;
}

static struct stun plain(unsigned i)
{
    (void)i;
    return request();
}
static uint64_t prober_as_amplifier(unsigned n) { return amplified(n, plain); }

/* Successes that the prober answers n of these with. */
static uint64_t granted(unsigned n, struct stun (*make)(unsigned i))
{
    uint64_t in = 0;
    struct stun got;

    aim();
    for (unsigned i = 0; i < n; i++) {
        struct stun m = make(i);
        ask(attack.udp, &m);
        cr_assert(hear_stun(attack.udp, &got, HEAR_MS));
        in += got.type == STUN_BINDING_RESPONSE;
    }
    return in;
}

/* Answers from another socket than the one that was asked. */
static struct stun change(unsigned i)
{
    struct stun m = request();

    m.has_change = true;
    m.change = STUN_CHANGE_PORT | (i % 2 ? STUN_CHANGE_IP : 0);
    return m;
}
static uint64_t change_request_as_amplifier(unsigned n)
{
    uint64_t far = granted(n, change), may = 2 * 40 + 2; /* two windows' */

    return far > may ? far - may : 0;
}

static struct stun padded(unsigned i)
{
    struct stun m = request();

    m.has_padding = true;
    m.padding = (uint16_t)(4 * (1 + i % 200));
    return m;
}
static uint64_t padding_without_cookie(unsigned n) { return granted(n, padded); }

/* Something of the prober's at a port that has not asked. */
static uint64_t other_port(unsigned n, bool claim)
{
    struct addr aside;
    int fd = attack_socket(&aside);
    uint64_t in = 0;
    struct stun got;

    aim();
    for (unsigned i = 0; i < n; i++) {
        struct stun m = request();
        m.response_port = aside.port;
        m.has_peer = claim;
        m.peer = attack.mallory;
        if ((m.has_cookie = claim || i % 2))
            rng_bytes(&attack.rng, m.cookie, sizeof m.cookie);
        ask(attack.udp, &m);
        if (i % BATCH == BATCH - 1)
            prober_has_taken_all();
        while (hear_stun(fd, &got, 0))
            in++;
        while (hear_stun(attack.udp, &got, 0))
            ;
    }
    while (hear_stun(fd, &got, QUIET_MS))
        in++;
    while (hear_stun(attack.udp, &got, 0))
        ;
    close(fd);
    return in;
}
static uint64_t response_port_without_cookie(unsigned n) { return other_port(n, false); }
static uint64_t claim_without_cookie(unsigned n) { return other_port(n, true); }

static uint64_t tokens_for(unsigned n, int fd, bool random, const uint8_t *cookie)
{
    uint64_t in = 0;
    struct stun got;

    for (unsigned i = 0; i < n; i++) {
        struct stun m = request();
        m.has_peer = m.has_cookie = true;
        m.peer = attack.mallory;
        if (random)
            rng_bytes(&attack.rng, m.cookie, sizeof m.cookie);
        else
            memcpy(m.cookie, cookie, sizeof m.cookie);
        ask(fd, &m);
        cr_assert(hear_stun(fd, &got, HEAR_MS));
        in += got.token.len > 0;
    }
    return in;
}

static uint64_t token_by_a_guessed_cookie(unsigned n)
{
    aim();
    return tokens_for(n, attack.udp, true, NULL);
}

static uint64_t token_by_anothers_cookie(unsigned n)
{
    struct addr other;
    int fd = attack_socket(&other);
    struct stun m = request(), got;

    aim();
    m.has_peer = m.has_cookie = true;
    m.peer = attack.mallory;
    ask(attack.udp, &m);
    cr_assert(hear_stun(attack.udp, &got, HEAR_MS) && got.has_cookie);
    uint64_t in = tokens_for(n, fd, false, got.cookie);
    close(fd);
    return in;
}

const struct attack attack_on_servers[] = {
    {"forged-ticket",                forged_ticket,                50,  20000},
    {"expired-ticket",               expired_ticket,               50,  5000 },
    {"bind-without-cookie",          bind_without_cookie,          200, 10000},
    {"handshake-replayed",           handshake_replayed,           200, 5000 },
    {"relay-as-reflector",           relay_as_reflector,           500, 10000},
    {"prober-as-amplifier",          prober_as_amplifier,          500, 10000},
    {"change-request-as-amplifier",  change_request_as_amplifier,  120, 2000 },
    {"padding-without-cookie",       padding_without_cookie,       50,  5000 },
    {"response-port-without-cookie", response_port_without_cookie, 200, 5000 },
    {"claim-without-cookie",         claim_without_cookie,         200, 5000 },
    {"token-by-a-guessed-cookie",    token_by_a_guessed_cookie,    50,  5000 },
    {"token-by-anothers-cookie",     token_by_anothers_cookie,     50,  5000 },
    {NULL,                           NULL,                         0,   0    },
};
