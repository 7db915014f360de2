/*
 * test_garbage.c - garbage at every port of a running suite: nothing dies, nothing grows, every piece is
 * accounted for, and peers connect meanwhile and afterwards.
 *
 * GARBAGE=n throws n of each kind at each port, `make garbage` 100,000.  UDP is not to lose any in the
 * kernel, so a port gets no more before the process says that it has taken what came.
 */
#include "tests/lib/ground.h"
#include "tests/lib/hostile.h"
#include "tests/lib/ports.h"
#include "tests/natlab/netns.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 10, MEANWHILE = 64, PATIENCE_MS = 10000, GROWTH_KIB = 1024, PORTS_MAX = 16 };
enum { PROBER, RELAY, CLASSIFIER, COORDINATOR, LISTENER, PROCESSES };
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SERVER_IP "203.0.113.10"
#define ALICE_IP "198.51.100.1"

static struct ground ground;
static struct join join;
static struct rng rng;
static unsigned per_kind;
static struct hostile processes[PROCESSES] = {{.name = "prober"},
                                              {.name = "relay"},
                                              {.name = "classifier"},
                                              {.name = "coordinator"},
                                              {.name = "listener"}};

TestSuite(garbage, .timeout = 3000);

static void note_size(size_t n)
{
    for (size_t i = 0; i < n; i++)
        processes[i].rss_kib = hostile_rss_kib(&processes[i]);
}

/* AddressSanitizer keeps what was freed. */
static void expect_no_growth(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        long grown = hostile_rss_kib(&processes[i]) - processes[i].rss_kib;
        printf("%-12s %6ld KiB, %+ld in the second half\n", processes[i].name,
               processes[i].rss_kib + grown, grown);
#ifndef __SANITIZE_ADDRESS__
        cr_assert_lt(grown, GROWTH_KIB, "the %s grows", processes[i].name);
#endif
    }
    fflush(stdout);
}

/* ---- UDP ------------------------------------------------------------------------------------------------- */

struct port {
    struct hostile *of;
    int fd; /* connected to it */
};

static struct port ports[PORTS_MAX];
static size_t n_ports;

static void add_port(struct hostile *of, const char *from, const char *ip, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = lab_socket(&ground.lab, from, SOCK_DGRAM, ip, 0);

    cr_assert_geq(fd, 0);
    cr_assert_eq(inet_pton(AF_INET, ip, &to.sin_addr), 1);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    cr_assert_lt(n_ports, sizeof ports / sizeof *ports);
    ports[n_ports++] = (struct port){of, fd};
}

/* ---- messages ---------------------------------------------------------------------------------------------- */

enum { BUSES = 2, DOORS = 2 + BUSES }; /* prober and relay have no inbox */
static struct hostile_door doors[DOORS];
#define DOOR_COUNTERS "front:taken front:malformed"
#define BUS_COUNTERS "shell:messages_in shell:messages_refused"

/* A peer that is enrolled, and connected to both doors: what CURVE lets in. */
static void open_doors(void)
{
    uint8_t secret[32], public_key[32];
    static const enum role service[DOORS] = {SERVICE_coordinator, SERVICE_coordinator,
                                             SERVICE_classifier, SERVICE_coordinator};
    struct hostile *c = &processes[COORDINATOR];

    crypto_box_keypair(public_key, secret);
    for (size_t i = 0; i < DOORS; i++) {
        struct hostile *of = i < 2 ? c : &processes[i];
        zsock_t *sock = zsock_new(i < 2 ? ZMQ_DEALER : ZMQ_PUSH);
        doors[i] = (struct hostile_door){of, service[i], sock, i >= 2,
                                         i < 2 ? DOOR_COUNTERS : BUS_COUNTERS};
        zsock_set_linger(sock, 0);
        zsock_set_sndtimeo(sock, PATIENCE_MS);
        zsock_set_rcvtimeo(sock, PATIENCE_MS);
        if (i >= 2) {
            cr_assert_eq(zsock_connect(sock, "ipc://%s/suite/bus/%s", ground.dir, of->name), 0);
            continue;
        }
        zsock_set_curve_serverkey_bin(sock, join.coordinator_key);
        zsock_set_curve_publickey_bin(sock, public_key);
        zsock_set_curve_secretkey_bin(sock, secret);
        cr_assert_eq(zsock_connect(sock, "tcp://" SERVER_IP ":%u",
                                   i ? join.front[0].port : join.enrol[0].port),
                     0);
        if (i == 0) { /* the other door lets in who is enrolled */
            struct msg m = {.type = MSG_enrol};
            char body[MSG_SIZE_MAX];
            m.enrol.token.len = sizeof join.token;
            memcpy(m.enrol.token.b, join.token, sizeof join.token);
            size_t len = msg_encode(&m, body);
            cr_assert_eq(zsock_send(sock, "sb", "enrol", body, len), 0);
            zmsg_t *answer = zmsg_recv(sock);
            cr_assert(answer && zframe_streq(zmsg_first(answer), "enrolled"));
            zmsg_destroy(&answer);
        }
    }
}

/* ---- all of it ------------------------------------------------------------------------------------------------ */

#define PROBER_TAKEN                                                                       \
    "counters:plain counters:discovery counters:changed counters:cookies counters:tokens " \
    "counters:errors "                                                                     \
    "counters:challenges counters:fenced counters:borrowed"
#define PROBER_REFUSED \
    "counters:not_stun counters:malformed counters:not_request counters:over_bound"
#define RELAY_TAKEN                                                                   \
    "counters:forwarded_packets counters:challenged counters:bound counters:rebound " \
    "counters:repeated counters:kept"
#define RELAY_REFUSED                                                                           \
    "counters:dropped_waiting counters:dropped_rate counters:dropped_quota counters:strangers " \
    "counters:malformed counters:bad_cookie counters:bad_ticket counters:expired_ticket "       \
    "counters:refused_full counters:refused_draining counters:keep_unknown"
#define EXECUTOR_REFUSED "refused_datagrams forged replays"

static void open_suite(void)
{
    static const uint16_t prober_ports[] = {3478, 3479};
    char why[JOIN_ERROR_MAX];

    per_kind = ground_times("GARBAGE", 1000);
    rng_seed(&rng, ground_times("SEED", 1));
    cr_assert_geq(sodium_init(), 0);
    ground_open(&ground, ARGS("--delay", "20ms", "alice=open,ip=" ALICE_IP, "bob=ei/preserve/apd"));
    cr_assert(join_parse(ground.join, &join, why));
    for (size_t i = 0; i < LISTENER; i++) {
        struct hostile *p = &processes[i];
        p->pid = ground_pid(&ground, p->name);
        snprintf(p->admin, sizeof p->admin, "%s/suite/admin/%s", ground.dir, p->name);
    }
    for (size_t i = 0; i < 2; i++) {
        add_port(&processes[PROBER], "pub", SERVER_IP, prober_ports[i]);
        add_port(&processes[PROBER], "pub", "203.0.113.11", prober_ports[i]);
    }
    add_port(&processes[RELAY], "pub", SERVER_IP, 3480);
}

/* n of each kind to each door of the suite.  From inside of pub, where also libzmq's threads are to be. */
static void throw_at_suite(unsigned n)
{
    for (enum garbage kind = 0; kind < GARBAGE_KINDS; kind++) {
        for (size_t i = 0; i < SUITE_PORTS; i++)
            hostile_datagrams(&rng, ports[i].of, ports[i].fd, kind, n);
        for (size_t i = 0; i < DOORS; i++)
            hostile_messages(&rng, &doors[i], kind, n);
        hostile_streams(&rng, &join.front[0], kind, n);
        hostile_streams(&rng, &join.enrol[0], kind, n);
        for (size_t i = 0; i < LISTENER; i++)
            hostile_requests(&rng, &processes[i], kind, n);
    }
}

static struct before {
    uint64_t prober, relay, doors, bus[LISTENER];
} before;

static struct before count(void)
{
    struct before b = {
        .prober = hostile_sum(&processes[PROBER], PROBER_TAKEN " " PROBER_REFUSED),
        .relay = hostile_sum(&processes[RELAY], RELAY_TAKEN " " RELAY_REFUSED),
        .doors = hostile_sum(&processes[COORDINATOR], DOOR_COUNTERS),
    };

    for (size_t i = 0; i < LISTENER; i++)
        b.bus[i] = hostile_sum(&processes[i], BUS_COUNTERS);
    return b;
}

/* Nobody else has sent anything yet but the suite's processes to each other. */
static void expect_accounted_for(uint64_t each)
{
    struct before now = count();

    cr_assert_eq(now.prober - before.prober, 4 * each, "the prober");
    cr_assert_eq(now.relay - before.relay, each, "the relay");
    cr_assert_eq(now.doors - before.doors, 2 * each, "the coordinator's doors");
    cr_assert_eq(now.bus[PROBER] + now.bus[RELAY], 0, "neither has an inbox");
    cr_assert_geq(now.bus[CLASSIFIER] - before.bus[CLASSIFIER], each, "the classifier's inbox");
    cr_assert_geq(now.bus[COORDINATOR] - before.bus[COORDINATOR], each, "the coordinator's inbox");
}

/* A listener on alice, and those of its ports that stay: its first tests have some more. */
static void open_listener(void)
{
    struct hostile *p = &processes[LISTENER];
    uint16_t found[PORTS_LASTING];

    snprintf(p->admin, sizeof p->admin, "%s/listener", ground.dir);
    struct ground_run r = ground_start(&ground, "alice", "listen",
                                       ARGS("--name", "alice", "--echo", "--admin", p->admin));
    json_t *said = ground_line(&r, GROUND_WAIT_MS);
    cr_assert_str_eq(ground_text(said, "event"), "listening");
    json_decref(said);
    p->pid = ground_program(&r);
    size_t n = lasting_ports(p->pid, found);
    while (n-- > 0)
        add_port(p, "alice", ALICE_IP, found[n]);
}

static void throw_at_listener(unsigned n)
{
    for (enum garbage kind = 0; kind < GARBAGE_KINDS; kind++) {
        for (size_t i = SUITE_PORTS; i < n_ports; i++)
            hostile_datagrams(&rng, ports[i].of, ports[i].fd, kind, n);
        hostile_requests(&rng, &processes[LISTENER], kind, n);
    }
}

/* While garbage comes to all, unless n is 0. */
static void expect_connects(unsigned n)
{
    int status;
    struct ground_run r = ground_start(&ground, "bob", "connect", ARGS("alice", "--ping", "3"));
    struct pollfd p = {.fd = r.out, .events = POLLIN};

    while (n > 0 && poll(&p, 1, 0) == 0)
        for (size_t i = 0; i < n_ports; i++)
            hostile_datagrams(&rng, ports[i].of, ports[i].fd, GARBAGE_FLIPPED, n);
    json_t *line = ground_result(&r, &status);
    cr_assert_eq(status, 0, "%s", ground_text(line, "verdict"));
    cr_assert_eq(ground_number(line, "received"), 3);
    json_decref(line);
}

Test(garbage, at_every_port_kills_nothing_stays_nowhere_and_is_counted)
{
    open_suite();
    int back = lab_enter(&ground.lab, "pub");
    cr_assert_geq(back, 0);
    open_doors();
    hostile_capture_hello(&join);
    before = count();
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i == ROUNDS / 2)
            note_size(LISTENER);
        throw_at_suite(per_kind / ROUNDS);
    }
    expect_accounted_for((uint64_t)GARBAGE_KINDS * ROUNDS * (per_kind / ROUNDS));
    expect_no_growth(LISTENER);
    cr_assert(netns_enter(back));
    close(back);

    open_listener();
    struct hostile *l = &processes[LISTENER];
    uint64_t refused = hostile_sum(l, EXECUTOR_REFUSED);
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i == ROUNDS / 2)
            note_size(PROCESSES);
        throw_at_listener(per_kind / ROUNDS);
    }
    cr_assert_geq(hostile_sum(l, EXECUTOR_REFUSED) - refused,
                  (uint64_t)GARBAGE_KINDS * ROUNDS * (per_kind / ROUNDS) * (n_ports - SUITE_PORTS));
    expect_no_growth(PROCESSES);
    expect_connects(MEANWHILE);
    expect_connects(0);
    for (size_t i = 0; i < LISTENER; i++)
        cr_assert_eq(ground_pid(&ground, processes[i].name), processes[i].pid, "the %s died",
                     processes[i].name);
    for (size_t i = 0; i < DOORS; i++)
        zsock_destroy(&doors[i].sock);
    ground_close(&ground);
}
