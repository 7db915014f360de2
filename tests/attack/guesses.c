/*
 * guesses.c - a hostile coordinator has Alice try ports: more of them, faster, lower or elsewhere than she should;
 * and one of two probers lies.
 */
#include "tests/attack/alice.h"

#include "lib/keys.h"
#include "lib/strategy.h"

#include <criterion/criterion.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
    LIFE = 64,
    LOW = 1024,         /* ports from here up may be tried */
    PER_S = 500,        /* and so many */
    ALL = 3000,         /* of one ip */
    SPAN_US = 10000000, /* that is ordered for each attempt */
    AT_ONCE = 24,       /* attempts at one ip */
    OWN_PORTS = 2,      /* with tokens */
    PACKETS = 40,       /* to each of them in an attempt */
};

/* A call in which Alice is to try ports of Mallory's ip, for which there are this many tokens. */
static struct msg guess(unsigned tokens)
{
    struct msg m = alice_call();
    struct msg_punch_coordinate *c = &m.punch_coordinate;

    c->plan.v[0] = (struct step){.technique = TECHNIQUE_BIRTHDAY, .role = 0, .span_us = SPAN_US};
    for (; c->theirs.n < tokens; c->theirs.n++) {
        struct addr other = attack.own;
        other.port++;
        c->theirs.v[c->theirs.n] = alice_token(&attack.mallory, &other, 0, attack.prober_secret);
    }
    return m;
}

/* Of what a tap has had, the packets of Alice's to ports that nobody vouched for; and of these the low ones. */
static uint64_t guessed(int tap, uint64_t *low)
{
    uint8_t packet[2048];
    uint64_t n = 0;
    struct iphdr ip;
    struct udphdr udp;
    struct in_addr alice;

    inet_pton(AF_INET, ALICE_IP, &alice);
    *low = 0;
    while (attack_hear(tap, packet, sizeof packet, 0) > sizeof ip + sizeof udp) {
        memcpy(&ip, packet, sizeof ip);
        memcpy(&udp, packet + sizeof ip, sizeof udp);
        uint16_t port = ntohs(udp.dest);
        if (ip.saddr != alice.s_addr || port == attack.own.port || port == attack.own.port + 1)
            continue;
        n++;
        *low += port < LOW;
    }
    return n;
}

/* n attempts that the coordinator makes up, LIFE in the life of one peer: which ports she tries, and how many below LOW. */
static uint64_t made_up(unsigned n, struct msg (*make)(unsigned i), uint64_t *low)
{
    uint64_t all = 0, some;

    *low = 0;
    for (unsigned i = 0; i < n; i += LIFE) {
        alice_open("anyone");
        int tap = attack_tap("mallory");
        for (unsigned k = i; k < i + LIFE && k < n; k++) {
            struct msg m = make(k);
            alice_give(&m);
        }
        alice_barrier();
        all += guessed(tap, &some);
        *low += some;
        close(tap);
        alice_close();
    }
    return all;
}

/* Blocks of ports that begin where no peer's do. */
static struct msg below_1024(unsigned i)
{
    struct msg m = guess(OWN_PORTS);

    m.punch_coordinate.their_profile.port_lo = (uint16_t)(1 + i % (LOW - 2));
    m.punch_coordinate.their_profile.port_hi = LOW - 1;
    return m;
}

static uint64_t guesses_below_1024(unsigned n)
{
    uint64_t low;

    cr_assert_gt(made_up(n, below_1024, &low), 0, "she tries none");
    return low;
}

static struct msg by_one_token(unsigned i)
{
    (void)i;
    return guess(1);
}

static uint64_t guesses_by_one_token(unsigned n)
{
    uint64_t low;

    return made_up(n, by_one_token, &low);
}

/* For as long as n ports should take: many attempts at once at one ip, each as fast as it is alone. */
static uint64_t guesses_over_the_rate(unsigned n)
{
    uint64_t sent = 0, low, may = PER_S;
    uint8_t data[2048];

    alice_open("anyone");
    int tap = attack_tap("mallory");
    int64_t began = zclock_mono(), ms;
    for (unsigned i = 0; i < AT_ONCE; i++) {
        struct msg m = guess(OWN_PORTS);
        alice_tell(&m);
    }
    while ((ms = zclock_mono() - began) < (int64_t)n * 1000 / PER_S && sent <= may) {
        attack_hear(attack.udp, data, sizeof data, 5);
        may = PER_S * (uint64_t)(2 + ms / 1000);
        may = may < ALL ? may : ALL;
        sent += guessed(tap, &low);
    }
    cr_assert_gt(sent, 0, "she tries none");
    close(tap);
    alice_close();
    return sent > may ? sent - may : 0;
}

/* ---- two probers -------------------------------------------------------------------------------------------- */

#define SECOND_IP "203.0.113.20"

static const char *in_dir(const char *name)
{
    static char path[8][128];
    static unsigned next;
    char *p = path[++next % 8];

    snprintf(p, sizeof path[0], "%s/%s", attack.ground.dir, name);
    return p;
}

/* One more prober that the authority has certified, on a host of its own, as an operator begins it. */
static void start_second(void)
{
    static struct alice_prober p = {.info.n_addrs = 2};
    uint8_t certs[2][64];

    alice_other = &p;
    ground_output(&attack.ground, "pub",
                  ARGS(BIN_DIR "/natterjack", "certify-prober", "--state", in_dir("suite"),
                       "--public-ip", SECOND_IP, in_dir("second")));
    cr_assert_eq(mkdir(in_dir("second/bus"), 0700), 0); /* where nobody listens */
    ground_spawn(&attack.ground, "second",
                 ARGS(BIN_DIR "/natterjack-prober", "--public-ip", SECOND_IP, "--bus",
                      in_dir("second/bus"), "--key", in_dir("second/prober"), "--cert",
                      in_dir("second/prober.cert"), "--places", in_dir("second/places")));
    cr_assert(key_load(in_dir("second/prober"), p.secret, sizeof p.secret));
    memcpy(p.info.key, p.secret + 32, sizeof p.info.key); /* as libsodium keeps it */
    cr_assert(key_load_public(in_dir("second/prober.cert"), p.info.cert, sizeof p.info.cert));
    for (uint8_t i = 0; i < p.info.n_addrs; i++)
        p.info.addrs[i] = addr_v4(203, 0, 113, 20, (uint16_t)(PROBER_PORT + i));
    cr_assert(key_load_public(in_dir("second/places"), certs, sizeof certs));
    p.place.ip = addr_v4(203, 0, 113, 20, 0);
    memcpy(p.place.cert, certs[0], sizeof certs[0]);
}

/* One of two says that Mallory is where the victim is; the other says nothing, or the truth. */
static uint64_t word_of_one_of_two_probers(unsigned n)
{
    uint64_t before = attack_sent("alice", "victim");

    start_second();
    for (unsigned i = 0; i < n; i += LIFE) {
        alice_open("anyone");
        for (unsigned k = i; k < i + LIFE && k < n; k++) {
            struct msg m = alice_call();
            struct msg_token_list *l = &m.punch_coordinate.theirs;
            l->n = 1 + k % 2; /* the true one's word on the true place, if any */
            l->v[k % 2] = alice_token(&attack.mallory, &attack.victim, 0, alice_other->secret);
            alice_give(&m);
        }
        alice_barrier();
        alice_close();
    }
    alice_other = NULL;
    return attack_sent("alice", "victim") - before;
}

const struct attack attack_by_guesses[] = {
    {"guesses-below-1024",         guesses_below_1024,         64,  2000},
    {"guesses-by-one-token",       guesses_by_one_token,       64,  2000},
    {"guesses-over-the-rate",      guesses_over_the_rate,      250, 5000},
    {"word-of-one-of-two-probers", word_of_one_of_two_probers, 64,  2000},
    {NULL,                         NULL,                       0,   0   },
};
