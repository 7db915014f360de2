/*
 * test_raw.c - raw hand-over through the whole suite: two programs get the punched UDP socket, or one that
 * the relay forwards for, and own it from then on.
 */
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct ground ground;

TestSuite(raw, .timeout = 200);

static struct ground_run listen_raw(const char *host, const char *what)
{
    struct ground_run r =
        ground_start(&ground, host, "listen", ARGS("--name", host, what, "--mode", "raw"));
    json_t *line = ground_line(&r, GROUND_WAIT_MS);

    cr_assert(line && strcmp(ground_text(line, "event"), "listening") == 0, "%s", host);
    json_decref(line);
    return r;
}

static void expect(const char *from, const char *to, const char *path, const char *verdict)
{
    int status;
    json_t *line = ground_connect(&ground, from, to, ARGS("--mode", "raw", "--ping", "5"), &status);

    cr_assert_str_eq(ground_text(line, "path"), path, "%s to %s: %s", from, to,
                     ground_text(line, "verdict"));
    cr_assert_str_eq(ground_text(line, "verdict"), verdict, "%s to %s", from, to);
    cr_assert_eq(ground_number(line, "received"), 5, "%s to %s", from, to);
    printf("%s to %s: %s, total %.0f\n", from, to, path, ground_number(line, "total_ms"));
    json_decref(line);
}

Test(raw, every_pair_has_the_path_its_nats_allow)
{
    ground_open(&ground, ARGS("--delay", "20ms", "alice=ei/preserve/apd", "random=apd/random/apd",
                              "open=open,ip=198.51.100.9", "bob=ei/random/apd", "linux=linux",
                              "carol=apd/random/apd"));
    listen_raw("bob", "--echo");
    listen_raw("linux", "--echo");
    listen_raw("carol", "--echo");
    expect("alice", "bob", "direct", "direct-synchronous");
    expect("alice", "linux", "direct", "direct-synchronous");
    expect("alice", "carol", "direct", "direct-birthday");
    expect("random", "bob", "direct", "direct-birthday");
    expect("open", "carol", "direct", "direct-reversal");
    expect("random", "carol", "relayed", "both-random");
    ground_close(&ground);
}
