/* binding.c - see binding.h. */
#include "tests/attack/binding.h"

#include <criterion/criterion.h>

struct addr binding_relay(void) { return addr_v4(203, 0, 113, 10, RELAY_PORT); }

void binding_ticket(const struct sid *session, uint8_t side, int64_t life_ms,
                    uint8_t out[static TICKET_BYTES])
{
    struct ticket t = {.session = *session,
                       .side = side,
                       .bytes_max = UINT64_MAX,
                       .bytes_per_s = UINT64_MAX,
                       .expires_ms = zclock_time() + life_ms};

    cr_assert(ticket_seal(&t, attack.relay_key, attack.coordinator_secret, &attack.rng, out));
}

void binding_send(int fd, const struct relay_control *c)
{
    uint8_t data[RELAY_CONTROL_MAX];
    struct addr relay = binding_relay();

    attack_udp(fd, &relay, data, relay_encode(c, data));
}

bool binding_hear(int fd, uint8_t op, struct relay_control *c, int ms)
{
    uint8_t data[2048];
    size_t n;

    while ((n = attack_hear(fd, data, sizeof data, ms)) > 0)
        if (relay_parse(data, n, c) && c->op == op)
            return true;
    return false;
}

struct relay_control binding_challenge(int fd, const uint8_t ticket[static TICKET_BYTES])
{
    struct relay_control c = {.op = RELAY_BIND}, in = {0};

    rng_bytes(&attack.rng, c.nonce, sizeof c.nonce);
    memcpy(c.ticket, ticket, sizeof c.ticket);
    binding_send(fd, &c);
    cr_assert(binding_hear(fd, RELAY_CHALLENGE, &in, ATTACK_PATIENCE_MS), "the relay is silent");
    c.op = RELAY_PROVE;
    memcpy(c.cookie, in.cookie, sizeof c.cookie);
    return c;
}

void binding_bind(int fd, const uint8_t ticket[static TICKET_BYTES])
{
    struct relay_control c = binding_challenge(fd, ticket);

    binding_send(fd, &c);
    cr_assert(binding_hear(fd, RELAY_BOUND, &c, ATTACK_PATIENCE_MS), "the relay is silent");
    cr_assert_leq(c.status, RELAY_READY);
}
