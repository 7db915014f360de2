/*
 * test_raw.c - raw hand-over through the whole suite: two programs get the punched UDP socket, or one that
 * the relay forwards for, and own it from then on.
 *
 * SOAK_S=n keeps a flow for n seconds through NATs that forget after 30 s: `make soak-raw`.
 */
#include "lib/admin.h"
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct ground ground;

TestSuite(raw, .timeout = 7200);

static struct ground_run listen_raw(const char *host, const char *what, const char *arg)
{
    return ground_start(&ground, host, "listen", ARGS("--name", host, "--mode", "raw", what, arg));
}

static void wait_listening(struct ground_run *r)
{
    json_t *line = ground_line(r, GROUND_WAIT_MS);

    cr_assert(line && strcmp(ground_text(line, "event"), "listening") == 0);
    json_decref(line);
}

/* ---- paths ------------------------------------------------------------------------------------------ */

static void expect(const char *from, const char *to, const char *path, const char *verdict)
{
    int status;
    json_t *line = ground_connect(&ground, from, to, ARGS("--mode", "raw", "--ping", "3"), &status);

    cr_assert_str_eq(ground_text(line, "path"), path, "%s to %s: %s", from, to,
                     ground_text(line, "verdict"));
    cr_assert_str_eq(ground_text(line, "verdict"), verdict, "%s to %s", from, to);
    cr_assert_eq(ground_number(line, "received"), 3, "%s to %s", from, to);
    cr_assert_eq(status, strcmp(path, "direct") == 0 ? 0 : 3);
    printf("%s to %s: %s, after %.0f ms\n", from, to, ground_text(line, "verdict"),
           ground_number(line, "total_ms"));
    json_decref(line);
}

Test(raw, every_pair_has_the_path_its_nats_allow)
{
    int status;

    ground_open(&ground, ARGS("--delay", "20ms", "alice=ei/preserve/apd", "random=apd/random/apd",
                              "bob=ei/random/apd", "linux=linux", "carol=apd/random/apd",
                              "managed=ei/preserve/apd"));
    struct ground_run listeners[] = {listen_raw("bob", "--echo", NULL),
                                     listen_raw("linux", "--echo", NULL),
                                     listen_raw("carol", "--echo", NULL)};
    for (size_t i = 0; i < sizeof listeners / sizeof *listeners; i++)
        wait_listening(&listeners[i]);
    ground_listen(&ground, "managed");
    expect("alice", "bob", "direct", "direct-synchronous");
    expect("alice", "linux", "direct", "direct-synchronous");
    expect("alice", "carol", "direct", "direct-birthday");
    expect("random", "bob", "direct", "direct-birthday");
    expect("random", "carol", "relayed", "both-random");
    /* The two sides must want the same. */
    for (int i = 0; i < 2; i++) {
        json_t *line = ground_connect(&ground, "alice", i ? "managed" : "linux",
                                      ARGS("--mode", i ? "raw" : "managed"), &status);
        cr_assert_str_eq(ground_text(line, "kind"), "bad-request");
        cr_assert_str_eq(ground_text(line, "verdict"), "mode-mismatch");
        cr_assert_eq(status, 1);
        json_decref(line);
    }
    json_t *line =
        ground_connect(&ground, "alice", "bob",
                       ARGS("--mode", "raw", "--policy", "relay", "--ping", "2"), &status);
    cr_assert_eq(status, 3);
    cr_assert_eq(ground_number(line, "received"), 2);
    json_decref(line);
    ground_close(&ground);
}

Test(raw, two_behind_one_nat_meet_by_their_local_addresses)
{
    ground_open(&ground, ARGS("--delay", "5ms", "alice=apd/random/apd", "bob=@alice"));
    struct ground_run bob = listen_raw("bob", "--echo", NULL);
    wait_listening(&bob);
    expect("alice", "bob", "direct", "direct-host");
    ground_close(&ground);
}

/* ---- nothing is left ---------------------------------------------------------------------------------- */

static size_t descriptors(pid_t pid)
{
    char path[64];
    size_t n = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *d = opendir(path);
    while (d && readdir(d))
        n++;
    closedir(d);
    return n;
}

/*
 * Wait until the listener has so many raw sessions, and both its spares: one that no prober answered in time
 * is asked for again with the next round.
 */
static void wait_state(const char *socket, int raw)
{
    for (int tries = 0; tries < 800; tries++) {
        char err[256];
        json_t *s = admin_ask(socket, "state", GROUND_WAIT_MS, err, sizeof err);
        bool there = ground_number(s, "raw") == raw && ground_number(s, "spares") == 2;
        json_decref(s);
        if (there)
            return;
        poll(NULL, 0, 50);
    }
    cr_assert_fail("not %d raw sessions and two spares", raw);
}

Test(raw, spares_are_replaced_and_sessions_leave_nothing_however_they_end)
{
    char own[96];
    int status;

    ground_open(&ground, ARGS("--delay", "5ms", "alice=ei/preserve/apd", "bob=ei/random/apd"));
    snprintf(own, sizeof own, "%s/bob", ground.dir);
    struct ground_run bob = ground_start(
        &ground, "bob", "listen", ARGS("--name", "bob", "--mode", "raw", "--echo", "--admin", own));
    json_decref(ground_line(&bob, GROUND_WAIT_MS));
    wait_state(own, 0);
    size_t before = descriptors(bob.pid);
    for (int i = 0; i < 3; i++) { /* more than there are spares */
        json_t *line =
            ground_connect(&ground, "alice", "bob", ARGS("--mode", "raw", "--ping", "1"), &status);
        cr_assert_eq(status, 0, "run %d: %s", i, ground_text(line, "verdict"));
        json_decref(line);
    }
    wait_state(own, 0);
    cr_assert_eq(descriptors(bob.pid), before);
    /* Interrupted while it waits, ended from here, and killed with a session open. */
    for (int i = 0; i < 3; i++) {
        struct ground_run r =
            ground_start(&ground, "alice", "connect",
                         ARGS("bob", "--mode", "raw", "--exec-udp", "exec sleep 100"));
        if (i > 0) {
            json_decref(ground_line(&r, GROUND_WAIT_MS));
            wait_state(own, 1);
        }
        kill(r.pid, i == 2 ? SIGKILL : SIGINT);
        cr_assert_eq(waitpid(r.pid, &status, 0), r.pid);
        close(r.out);
        if (i == 2) { /* the coordinator is told by the next process that has its key */
            json_decref(ground_connect(&ground, "alice", "bob", ARGS("--mode", "raw"), &status));
            cr_assert_eq(status, 0);
        }
        wait_state(own, 0);
    }
    cr_assert_eq(descriptors(bob.pid), before);
    ground_close(&ground);
}

/* ---- a flow -------------------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const char *number_of(const char *name) { return getenv(name) ? getenv(name) : "0"; }

/* Take the answers that come until then. */
static unsigned take(uint8_t *answered, unsigned sent, int64_t until_ms)
{
    unsigned n = 0;

    for (int64_t left; (left = until_ms - now_ms()) > 0;) {
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
        uint32_t got[2];
        if (poll(&p, 1, (int)left) != 1 || read(STDIN_FILENO, got, sizeof got) != sizeof got)
            continue;
        if (got[0] == 0xfeedbeef && got[1] < sent && !answered[got[1]]) {
            answered[got[1]] = 1;
            n++;
        }
    }
    return n;
}

/*
 * The plain UDP program: when this file's own program is run with RAW_FLOW_MS, its standard input is a
 * connected UDP socket.  It sends 50 datagrams a second for a while, is silent for RAW_PAUSE_MS, and so on;
 * and writes to RAW_FLOW_FILE what it had answered.
 */
__attribute__((constructor)) static void flow(void)
{
    static uint8_t answered[1000000];
    int64_t ms = atol(number_of("RAW_FLOW_MS")), pause_ms = atol(number_of("RAW_PAUSE_MS"));
    int64_t end = now_ms() + ms, phase = now_ms();
    unsigned received = 0;
    uint32_t sent = 0;
    int type = 0;
    socklen_t len = sizeof type;

    if (ms == 0)
        return;
    getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &len);
    while (now_ms() < end && sent < sizeof answered) {
        uint32_t word[2] = {0xfeedbeef, sent};
        if (write(STDOUT_FILENO, word, sizeof word) == sizeof word)
            sent++;
        received += take(answered, sent, now_ms() + 20);
        if (now_ms() - phase > pause_ms / 4 && now_ms() + pause_ms < end) {
            received += take(answered, sent, now_ms() + pause_ms);
            phase = now_ms();
        }
    }
    received += take(answered, sent, now_ms() + 500);
    FILE *f = fopen(getenv("RAW_FLOW_FILE"), "we");
    fprintf(f, "%d %u %u\n", type == SOCK_DGRAM, sent, received);
    fclose(f);
    _exit(0);
}

/* A program at each end of the path; what it said of the flow. */
static void run_flow(const char *from, const char *to, const char *path, int64_t ms,
                     int64_t pause_ms, const char *lifetime)
{
    char command[512], file[96], self[256] = "";
    int is_udp = 0, status;
    unsigned sent = 0, received = 0;

    cr_assert_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    snprintf(file, sizeof file, "%s/flow", ground.dir);
    snprintf(command, sizeof command, "RAW_FLOW_MS=%lld RAW_PAUSE_MS=%lld RAW_FLOW_FILE=%s exec %s",
             (long long)ms, (long long)pause_ms, file, self);
    struct ground_run r =
        ground_start(&ground, from, "connect", ARGS(to, "--mode", "raw", "--exec-udp", command));
    json_decref(ground_line(&r, GROUND_WAIT_MS)); /* forwarding */
    for (const char *const *host = ARGS(from, to); lifetime && *host; host++)
        cr_assert(lab_set(&ground.lab, *host, lifetime));
    cr_assert_eq(waitpid(r.pid, &status, 0), r.pid);
    char text[4096] = "";
    ssize_t n = read(r.out, text, sizeof text - 1);
    close(r.out);
    cr_assert(n > 0 && strstr(text, path), "%s", text);
    FILE *f = fopen(file, "re");
    cr_assert(f && fscanf(f, "%d %u %u", &is_udp, &sent, &received) == 3);
    fclose(f);
    printf("%s to %s, %s: %lld s, %u sent, %u answered\n", from, to, path, (long long)ms / 1000,
           sent, received);
    cr_assert(is_udp);
    cr_assert_gt(sent, 0);
    cr_assert_eq(received, sent);
}

/* The programs' own packets keep the mappings, though they pause for most of a mapping's life. */
Test(raw, a_program_keeps_its_flow_through_two_nats_that_forget)
{
    unsigned soak_s = ground_times("SOAK_S", 0);

    ground_open(&ground, ARGS("--delay", "20ms", "alice=ei/preserve/apd,lifetime=30s",
                              "bob=ei/random/apd,lifetime=30s", "r1=apd/random/apd,lifetime=30s",
                              "r2=apd/random/apd,lifetime=30s"));
    struct ground_run bob = listen_raw("bob", "--exec-udp", "exec cat"),
                      r2 = listen_raw("r2", "--exec-udp", "exec cat");
    wait_listening(&bob);
    wait_listening(&r2);
    if (soak_s > 0) {
        run_flow("alice", "bob", "\"path\":\"direct\"", soak_s * 1000, 25000, NULL);
    } else {
        run_flow("alice", "bob", "\"path\":\"direct\"", 3200, 1200, "lifetime=2s");
        run_flow("r1", "r2", "\"path\":\"relayed\"", 1500, 500, "lifetime=2s");
    }
    ground_close(&ground);
}
