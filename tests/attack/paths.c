/*
 * paths.c - a host that sees the packets between two peers and forges their sources, against the session that they
 * have: replayed and altered packets, all in the name of the other side.
 */
#include "tests/attack/attack.h"

#include "lib/packet.h"

#include <criterion/criterion.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <signal.h>

enum { CAPTURED = 16, QUIET_MS = 300, OWN_PER_S = 20, BATCH = 64, ALIVE_MS = 3000 };
enum { HEAD = sizeof(struct iphdr) + sizeof(struct udphdr) }; /* a raw socket shows them */

struct captured {
    struct addr from, to;
    size_t len;
    uint8_t data[2048];
};

static struct captured seen[CAPTURED];

/* Of Carol's packets to Bob, those of a type. */
static void capture(int tap, uint8_t type)
{
    uint8_t packet[2048];

    for (size_t i = 0; i < CAPTURED;) {
        size_t n = attack_hear(tap, packet, sizeof packet, ATTACK_PATIENCE_MS);
        struct iphdr ip;
        struct udphdr udp;
        cr_assert_gt(n, 0, "Carol is silent");
        if (n <= HEAD || packet[HEAD] != type)
            continue;
        memcpy(&ip, packet, sizeof ip);
        memcpy(&udp, packet + sizeof ip, sizeof udp);
        struct captured *c = &seen[i++];
        c->from = c->to = (struct addr){.len = 4};
        memcpy(c->from.ip, &ip.saddr, 4);
        memcpy(c->to.ip, &ip.daddr, 4);
        c->from.port = ntohs(udp.source);
        c->to.port = ntohs(udp.dest);
        c->len = n - HEAD;
        memcpy(c->data, packet + HEAD, c->len);
    }
}

/* Until Bob has answered what he is going to. */
static uint64_t answers(void)
{
    uint64_t before, now = attack_sent("bob", "carol");
    uint8_t data[2048];

    do {
        before = now;
        attack_hear(attack.udp, data, sizeof data, QUIET_MS);
        now = attack_sent("bob", "carol");
    } while (now > before + OWN_PER_S);
    return now;
}

/* Does Carol get data from Bob? */
static bool is_served(int tap)
{
    uint8_t packet[2048];
    int64_t end = zclock_mono() + ALIVE_MS, left;

    while ((left = end - zclock_mono()) > 0)
        if (attack_hear(tap, packet, sizeof packet, (int)left) > HEAD &&
            packet[HEAD] == PACKET_DATA)
            return true;
    return false;
}

/* n packets of these in Carol's name while she is silent; what Bob sends beyond the little that he would. */
static uint64_t in_her_name(unsigned n, uint8_t type, void (*alter)(struct captured *c, unsigned i))
{
    int tap = attack_tap("bob"), back;
    uint8_t data[2048];

    attack_session_open();
    capture(tap, type);
    cr_assert_eq(kill(ground_program(&attack_caller), SIGSTOP), 0);
    uint64_t before = answers();
    int64_t began = zclock_mono();
    for (unsigned i = 0; i < n; i++) {
        struct captured c = seen[i % CAPTURED];
        alter(&c, i);
        attack_forge(&c.from, &c.to, c.data, c.len);
        if (i % BATCH == BATCH - 1)
            attack_hear(tap, data, sizeof data, 0);
    }
    uint64_t sent = answers() - before,
             may = OWN_PER_S * (uint64_t)(1 + (zclock_mono() - began) / 1000);
    back = attack_tap("carol");
    cr_assert_eq(kill(ground_program(&attack_caller), SIGCONT), 0);
    bool alive = is_served(back);
    close(back);
    attack_session_close();
    close(tap);
    return (sent > may ? sent - may : 0) + !alive;
}

static void as_it_was(struct captured *c, unsigned i) { (void)c, (void)i; }
static uint64_t replayed_data(unsigned n) { return in_her_name(n, PACKET_DATA, as_it_was); }

static void with_a_later_counter(struct captured *c, unsigned i)
{
    c->data[PACKET_HEADER - 2] = (uint8_t)(c->data[PACKET_HEADER - 2] + 1 + i / 256 % 3);
    c->data[PACKET_HEADER - 1] = (uint8_t)i;
    c->data[c->len - 1] ^= (uint8_t)(1 + i % 255);
}
static uint64_t altered_data(unsigned n)
{
    return in_her_name(n, PACKET_DATA, with_a_later_counter);
}

const struct attack attack_on_paths[] = {
    {"replayed-data", replayed_data, 200, 5000},
    {"altered-data",  altered_data,  700, 5000},
    {NULL,            NULL,          0,   0   },
};
