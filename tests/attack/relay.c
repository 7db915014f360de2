/*
 * relay.c - a hostile relay (tests/hostile), as a process on Mallory's host that the coordinator hears: sessions come
 * to it, when the authority has certified it, and it does with their packets what it likes.
 */
#include "tests/attack/binding.h"

#include "lib/keys.h"
#include "lib/token.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
    LIFE_MS = 3600000,
    TEXT = 32,  /* bytes of a datagram */
    EVERY = 64, /* sent before those that have come are looked at */
    QUIET_MS = 50,
    LATER_MS = 500,
    SENT_MAX = 10000,
};

static struct ground_run relay, listener, caller;
static char dir[128];

static const char *in_dir(const char *name) { return tidy_path(dir, name); }

static const char *of_suite(const char *name)
{
    static char path[2][192];
    static unsigned next;
    char *p = path[next++ % 2];

    snprintf(p, sizeof path[0], "%s/suite/keys/%s", attack.ground.dir, name);
    return p;
}

/* Does the coordinator know one at this ip, with so many sessions at least? */
static bool is_known(const char *ip, double sessions)
{
    json_t *list = ground_admin(&attack.ground, "relays", NULL), *r;
    size_t i, len = strlen(ip);
    bool known = false;

    json_array_foreach(list, i, r)
    {
        const char *at = ground_text(r, "addr");
        known = known || (strncmp(at, ip, len) == 0 && at[len] == ':' &&
                          ground_number(r, "sessions") >= sessions);
    }
    json_decref(list);
    return known;
}

/* Its keys and files, as one has them that the authority has certified, or only signed the place of. */
static void make_keys(bool certified)
{
    uint8_t authority[64], other[64], secret[32], key[32], cert[64], places[2][64] = {0};
    struct addr at = addr_v4(203, 0, 113, 77, 0);

    snprintf(dir, sizeof dir, "%s/relay-%d", attack.ground.dir, certified);
    if (mkdir(dir, 0700) !=
        0) /* the same one as before: one that is gone is remembered for seconds */
        return;
    cr_assert(key_load(of_suite("authority"), authority, sizeof authority));
    cr_assert(key_create_x25519(in_dir("key"), secret, key));
    crypto_sign_keypair(cert, other);
    cert_sign('r', key, certified ? authority : other, cert);
    cr_assert(key_save(in_dir("cert"), cert, sizeof cert, 0644));
    struct place place = place_sign(&at, authority);
    memcpy(places[0], place.cert, sizeof places[0]);
    cr_assert(key_save(in_dir("places"), places, sizeof places, 0644));
    cr_assert_eq(mkdir(in_dir("bus"), 0700), 0);
    cr_assert_eq(symlink("../../suite/bus/coordinator", in_dir("bus/coordinator")), 0);
}

/* It says that it is there; the true one has a session, so that the coordinator prefers this one. */
static void open_relay(bool certified, const char *says)
{
    uint8_t ticket[TICKET_BYTES];
    struct sid sid;
    int64_t began = zclock_mono(), ms = 0;

    rng_bytes(&attack.rng, sid.b, sizeof sid.b);
    binding_ticket(&sid, 0, LIFE_MS, ticket);
    binding_bind(attack.udp, ticket);
    make_keys(certified);
    relay = ground_spawn(&attack.ground, "mallory",
                         ARGS(BIN_DIR "/hostile-relay", in_dir("bus"), in_dir("key"),
                              of_suite("coordinator.pub"), in_dir("cert"), in_dir("places"), says,
                              MALLORY_IP, in_dir("kept")));
    while (!is_known(SUITE_IP, 1) || !(certified ? is_known(says, 0) : ms > LATER_MS)) {
        ms = zclock_mono() - began;
        cr_assert_lt(ms, ATTACK_PATIENCE_MS, "it is not known");
    }
}

static void end(struct ground_run *r)
{
    kill(ground_program(r), SIGKILL);
    close(r->out);
}

/* On Alice's host one passes datagrams on to a service, and Carol those of a program: over the relay. */
static void open_session(void)
{
    listener = attack_program("alice", "listen", ARGS("--name", "gus", "--udp", "127.0.0.1:5300"));
    json_t *line = ground_line(&listener, GROUND_WAIT_MS);
    cr_assert(line && strcmp(ground_text(line, "event"), "listening") == 0);
    json_decref(line);
    caller = attack_program("carol", "connect",
                            ARGS("gus", "--policy", "relay", "--udp", "127.0.0.1:5301"));
}

static void close_session(void)
{
    end(&caller);
    end(&listener);
    end(&relay);
}

/* ---- what comes of it --------------------------------------------------------------------------------------- */

#define MARK "carried-by-mallory-"

static uint8_t times[SENT_MAX];
static uint64_t taken;

static size_t text_of(unsigned i, char text[static TEXT])
{
    memset(text, '.', TEXT);
    snprintf(text, TEXT, MARK "%u", i);
    return TEXT;
}

/* Of what the service gets: datagrams that nobody has sent, or for the second time. */
static uint64_t bad(int fd, unsigned n, int ms)
{
    char got[2048], want[TEXT];
    uint64_t wrong = 0;
    size_t len;
    unsigned i;

    while ((len = attack_hear(fd, got, sizeof got - 1, ms)) > 0) {
        got[len] = '\0';
        bool sent = len == TEXT && sscanf(got, MARK "%u", &i) == 1 && i < n;
        if (sent)
            text_of(i, want);
        wrong += !sent || memcmp(got, want, TEXT) != 0 || times[i]++ > 0;
        taken++;
    }
    return wrong;
}

/* n datagrams through the hostile relay; how many are taken that should not be. */
static uint64_t carried(unsigned n)
{
    const struct addr to = addr_v4(127, 0, 0, 1, 5301);
    char text[TEXT];
    uint64_t wrong = 0;
    int service, program;

    cr_assert_leq(n, SENT_MAX);
    memset(times, 0, sizeof times);
    taken = 0;
    service = lab_socket(&attack.ground.lab, "alice", SOCK_DGRAM, "127.0.0.1", 5300);
    program = lab_socket(&attack.ground.lab, "carol", SOCK_DGRAM, "127.0.0.1", 0);
    cr_assert(service >= 0 && program >= 0);
    uint64_t before = attack_sent("carol", "mallory");
    open_relay(true, MALLORY_IP);
    open_session();
    for (unsigned i = 0; i < n; i++) {
        attack_udp(program, &to, text, text_of(i, text));
        if (taken == 0 || i % EVERY == EVERY - 1 || i + 1 == n)
            wrong += bad(service, n, QUIET_MS);
    }
    cr_assert_gt(taken, n / 2, "it does not arrive");
    cr_assert_gt(attack_sent("carol", "mallory") - before, n / 2, "it is not carried");
    close_session();
    close(service);
    close(program);
    return wrong;
}

/* ---- the attacks -------------------------------------------------------------------------------------------- */

/* What it has carried, again, with another counter, with other bytes, and later ones first. */
static uint64_t relay_that_forges(unsigned n) { return carried(n); }

/* What it keeps says something. */
static uint64_t relay_that_reads(unsigned n)
{
    char data[65536];
    uint64_t read = 0;
    size_t len;

    carried(n);
    FILE *f = fopen(in_dir("kept"), "re");
    cr_assert(f);
    while ((len = fread(data, 1, sizeof data, f)) > 0)
        read += memmem(data, len, MARK, strlen(MARK)) != NULL;
    fclose(f);
    return read;
}

/* n sessions over a relay while this one says hello; the packets that go there. */
static uint64_t offered(unsigned n, bool certified, const char *says, const char *host)
{
    uint64_t before = attack_sent("bob", host) + attack_sent("carol", host);
    int status;

    open_relay(certified, says);
    for (unsigned i = 0; i < n; i++)
        json_decref(ground_connect(&attack.ground, "carol", "bob",
                                   ARGS("--policy", "relay", "--ping", "1", "--timeout", "1"),
                                   &status));
    end(&relay);
    return attack_sent("bob", host) + attack_sent("carol", host) - before;
}

static uint64_t relay_without_certificate(unsigned n)
{
    return offered(n, false, MALLORY_IP, "mallory");
}

/* Its key is good, and it says that it is where the victim is. */
static uint64_t relay_that_is_elsewhere(unsigned n)
{
    return offered(n, true, VICTIM_IP, "victim");
}

const struct attack attack_by_relay[] = {
    {"relay-without-certificate", relay_without_certificate, 1,   20  },
    {"relay-that-forges",         relay_that_forges,         200, 5000},
    {"relay-that-reads",          relay_that_reads,          20,  1000},
    {"relay-that-is-elsewhere",   relay_that_is_elsewhere,   1,   20  },
    {NULL,                        NULL,                      0,   0   },
};
