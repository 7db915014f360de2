/*
 * punches.c - forged punches and hits at Alice: by who has no key of the session, and by a peer who has and lies of
 * where it is.
 */
#include "tests/attack/caller.h"

#include "lib/strategy.h"

#include <criterion/criterion.h>

enum { PART = 200, QUIET_MS = 300, AGAIN_MS = 100 };
#define HONEST (UINT64_C(0x600d) << 48) /* how the challenges of what she should answer begin */

static void send_punch(const struct caller *c, int fd, const struct punch *p)
{
    uint8_t data[PUNCH_BYTES];

    caller_seal(c, p, data);
    attack_udp(fd, &alice_at, data, sizeof data);
}

/* She has taken all before, since this one of them is answered; how many answers were to none of these. */
static uint64_t until_answered(struct caller *c, int fd, struct punch *answer)
{
    int64_t end = zclock_mono() + ATTACK_PATIENCE_MS;
    uint64_t others = 0;

    do { /* again, since the first one may overtake the order; others may have used up her packets */
        struct punch p = caller_punch(c, PACKET_PUNCH);
        cr_assert_lt(zclock_mono(), end, "no pong");
        p.echo = HONEST | c->counter;
        send_punch(c, fd, &p);
        while (caller_hears(c, fd, PACKET_PONG, answer, AGAIN_MS)) {
            if (answer->echo == p.echo)
                return others;
            others += answer->echo >> 32 != HONEST >> 32;
        }
    } while (others == 0);
    return others;
}

/* n of these, in calls of PART each; how many of her answers are to none of the caller's own. */
static uint64_t punched(unsigned n, void (*punch)(struct caller *c, unsigned i))
{
    uint64_t in = 0;
    struct punch answer;

    alice_open("anyone");
    for (unsigned i = 0; i < n; i += PART) {
        struct caller c = caller_new();
        caller_calls(&c);
        until_answered(&c, attack.udp, &answer);
        for (unsigned k = i; k < i + PART && k < n; k++)
            punch(&c, k);
        in += until_answered(&c, attack.udp, &answer);
        caller_ends(&c);
    }
    alice_close();
    return in;
}

/* Under keys that are not the session's. */
static void forge(struct caller *c, unsigned i)
{
    struct caller other = *c;

    rng_bytes(&attack.rng, other.key[0], sizeof other.key[0]);
    other.counter = 1000 + i % PART;
    struct punch p = caller_punch(&other, PACKET_PUNCH);
    send_punch(&other, attack.udp, &p);
}
static uint64_t forged_punch(unsigned n) { return punched(n, forge); }

/* As often as there are attempts, and only the first one is new. */
static void replay(struct caller *c, unsigned i)
{
    static struct punch p;

    if (i % PART == 0)
        p = caller_punch(c, PACKET_PUNCH);
    send_punch(c, attack.udp, &p);
}
static uint64_t replayed_punch(unsigned n)
{
    uint64_t in = punched(n, replay), first = (n + PART - 1) / PART;

    return in > first ? in - first : 0;
}

/* With all keys, from where the victim is. */
static void lie(struct caller *c, unsigned i)
{
    uint8_t data[PUNCH_BYTES];
    struct addr from = attack.victim;
    struct punch p = caller_punch(c, i % 2 ? PACKET_PONG : PACKET_PUNCH);

    from.port = (uint16_t)(1024 + i % 60000);
    caller_seal(c, &p, data);
    attack_forge(&from, &alice_at, data, sizeof data);
}
static uint64_t punch_from_elsewhere(unsigned n)
{
    uint64_t before = attack_sent("alice", "victim");

    punched(n, lie);
    return attack_sent("alice", "victim") - before;
}

/* Hits at a place where no challenge has come back from: another port of the same ip, a neighbour's. */
static uint64_t forged_hit(unsigned n)
{
    struct addr aside;
    int fd = attack_socket(&aside);
    uint64_t in = 0;
    struct punch answer;

    alice_open("anyone");
    for (unsigned i = 0; i < n; i += PART) {
        struct caller c = caller_new();
        caller_calls(&c);
        until_answered(&c, fd, &answer);
        for (unsigned k = i; k < i + PART && k < n; k++) {
            struct punch p = caller_punch(&c, PACKET_PONG);
            p.flags = PUNCH_CONFIRMED;
            send_punch(&c, fd, &p);
        }
        until_answered(&c, fd, &answer);
        in += (answer.flags & PUNCH_CONFIRMED) != 0;
        caller_ends(&c);
    }
    alice_close();
    close(fd);
    return in;
}

/* Data at an address that has returned no challenge, since the peer says over the relay that it was heard there. */
static uint64_t forged_heard(unsigned n)
{
    uint64_t in = 0;
    uint8_t word[8], data[2048];

    alice_open("anyone");
    struct caller c = caller_new();
    struct caller_path path = caller_relayed(&c);
    for (unsigned i = 0; i < n; i++) {
        rng_bytes(&attack.rng, word, sizeof word);
        caller_says(&c, &path, DATA_HEARD, word, sizeof word);
        while (attack_hear(attack.udp, data, sizeof data, 0) > 0)
            in += data[0] == PACKET_DATA;
    }
    int64_t end = zclock_mono() + QUIET_MS, left;
    while ((left = end - zclock_mono()) > 0)
        in += attack_hear(attack.udp, data, sizeof data, (int)left) > 0 && data[0] == PACKET_DATA;
    alice_close();
    close(path.fd);
    return in;
}

const struct attack attack_by_punches[] = {
    {"forged-punch",         forged_punch,         200, 5000},
    {"replayed-punch",       replayed_punch,       200, 5000},
    {"punch-from-elsewhere", punch_from_elsewhere, 200, 5000},
    {"forged-hit",           forged_hit,           200, 2000},
    {"forged-heard",         forged_heard,         64,  5000},
    {NULL,                   NULL,                 0,   0   },
};
