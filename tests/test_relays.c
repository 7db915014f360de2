/*
 * test_relays.c - two relays of different delay, and peers that need one: which they get, what they do when it
 * is full, and what a quota lets through.  Real processes.
 *
 * RELAY_RUNS=n repeats the connects, and with more than one waits for the report of usage, which takes 10 s;
 * `make natlab-check` has 10.
 */
#include "tests/lib/ground.h"
#include "tests/lib/second_relay.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct ground ground;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define OWN_IP "203.0.113.10"
#define OWN OWN_IP ":3480"
#define OTHER "203.0.113.30:3480"

enum { LOOKS_MAX = 5000 };

TestSuite(relays, .timeout = 120);

static void open_both(const char *other, const char *environment, const char *sessions)
{
    ground_open_lab(&ground, ARGS("--delay", "20ms", other, "alice=apd/random/apd",
                                  "bob=apd/random/apd", "carol=apd/random/apd"));
    second_relay_up(&ground, environment, sessions);
    ground_listen(&ground, "bob");
}

/* Connects from a host to bob, and says which relay carries it; "" and the verdict when none does. */
static json_t *by_relay(const char *from, const char *relay)
{
    int status;
    json_t *line = ground_connect(&ground, from, "bob", ARGS("--ping", "3"), &status);

    cr_assert_eq(status, *relay ? 3 : 1, "%s", ground_text(line, "verdict"));
    cr_assert_str_eq(ground_text(line, "remote"), relay, "%s", ground_text(line, "remote"));
    return line;
}

Test(relays, the_nearer_one_is_taken_and_its_round_trip_shows_it)
{
    open_both("other=open,ip=203.0.113.30,delay=1ms", "", "100");
    for (unsigned i = 0; i < ground_times("RELAY_RUNS", 1); i++) {
        json_t *line = by_relay("alice", OTHER);
        printf("by the nearer relay: rtt %.1f ms\n", ground_number(line, "rtt_ms"));
        json_decref(line);
    }
    ground_close(&ground);
}

Test(relays, the_farther_one_is_passed_over_however_idle_it_is)
{
    open_both("other=open,ip=203.0.113.30,delay=60ms", "", "100000");
    for (unsigned i = 0; i < ground_times("RELAY_RUNS", 1); i++) {
        json_t *line = by_relay("alice", OWN);
        printf("by the nearer relay: rtt %.1f ms\n", ground_number(line, "rtt_ms"));
        json_decref(line);
    }
    ground_close(&ground);
}

Test(relays, a_full_relay_is_passed_over_and_when_all_are_the_caller_is_told)
{
    open_both("other=open,ip=203.0.113.30,delay=1ms", "NATTERJACK_RELAY_SESSIONS=1", "1");
    json_decref(by_relay("alice", OTHER));
    json_decref(by_relay("carol", OWN));
    json_t *line = by_relay("alice", "");
    cr_assert_str_eq(ground_text(line, "verdict"), "relay-full");
    cr_assert_str_eq(ground_text(line, "kind"), "rendezvous-no-relay");
    json_decref(line);
    ground_close(&ground);
}

/* The suite's configuration: its link, and who may come by it. */
static void configure(const char *relays)
{
    FILE *f = fopen(second_relay_path(&ground, "conf"), "w");

    cr_assert(f);
    fprintf(f, "coordinator: {link: '%s', relays: '%s'}\n", SECOND_RELAY_LINK, relays);
    fclose(f);
}

static void wait_until_refused(void)
{
    double refused = 0;

    for (int i = 0; i < LOOKS_MAX && refused <= 0; i++) {
        json_t *state = ground_admin(&ground, "state", "coordinator");
        refused = ground_number(state, "links_refused");
        json_decref(state);
    }
    cr_assert_gt(refused, 0);
}

Test(relays, more_come_and_go_while_the_suite_runs_by_its_bus_and_by_its_link)
{
    char environment[128];

    ground_open_lab(&ground, ARGS("--delay", "5ms", "other=open,ip=203.0.113.30"));
    ground_output(
        &ground, "pub",
        ARGS(BIN_DIR "/natterjack", "init", "--state", second_relay_path(&ground, "suite")));
    configure("");
    snprintf(environment, sizeof environment, "NATTERJACK_CONFIG=%s",
             second_relay_path(&ground, "conf"));
    ground_up(&ground, OWN_IP, environment);
    second_relay_certify(&ground, "third", OWN_IP);
    struct ground_run third =
        ground_spawn(&ground, "pub",
                     ARGS(BIN_DIR "/natterjack-relay", "--bus",
                          second_relay_path(&ground, "suite/bus"), "--public-ip", OWN_IP, "--port",
                          "3481", "--key", second_relay_path(&ground, "third/relay"), "--cert",
                          second_relay_path(&ground, "third/relay.cert"), "--coordinator-key",
                          second_relay_path(&ground, "third/coordinator.pub"), "--admin",
                          second_relay_path(&ground, "third/admin")));
    second_relay_wait(&ground, 2);
    const char *key = second_relay_certify(&ground, "other", "203.0.113.30");
    second_relay_spawn(&ground, "100");
    wait_until_refused();
    configure(key);
    json_decref(ground_admin(&ground, "reload", NULL));
    second_relay_wait(&ground, 3);
    const char *said = ground_output(&ground, "pub",
                                     ARGS(BIN_DIR "/natterjack", "drain", "--socket",
                                          second_relay_path(&ground, "third/admin")));
    cr_assert_eq(strncmp(said, "ok", 2), 0, "%s", said);
    cr_assert_null(ground_line(&third, GROUND_WAIT_MS), "it ends");
    json_t *list = ground_admin(&ground, "relays", NULL), *one;
    size_t at;
    json_array_foreach(list, at, one)
        cr_assert_eq(json_is_true(json_object_get(one, "draining")),
                     strcmp(ground_text(one, "addr"), OWN_IP ":3481") == 0);
    json_decref(list);
    ground_close(&ground);
}

/* What was sent is told every 10 s. */
static void expect_usage(const char *session)
{
    double bytes = 0;

    for (int i = 0; i < LOOKS_MAX && bytes <= 0; i++) {
        json_t *story = ground_admin(&ground, "explain", session);
        bytes = ground_number(story, "relay_bytes");
        json_decref(story);
    }
    printf("usage: %.0f bytes\n", bytes);
    cr_assert(bytes > 1500 && bytes <= 6000, "%.0f", bytes);
}

Test(relays, a_quota_of_bytes_ends_what_a_side_may_send_and_usage_tells_what_it_sent)
{
    int status;

    ground_open_lab(&ground, ARGS("--delay", "20ms", "alice=apd/random/apd", "bob=apd/random/apd"));
    ground_up(&ground, "203.0.113.10", "NATTERJACK_COORDINATOR_RELAY_KILOBYTES=3");
    ground_listen(&ground, "bob");
    json_t *line = ground_connect(&ground, "alice", "bob", ARGS("--ping", "40"), &status);
    cr_assert_eq(status, 3);
    double received = ground_number(line, "received");
    cr_assert(received > 5 && received < 30, "%.0f", received);
    json_t *state = ground_admin(&ground, "state", "relay");
    cr_assert_gt(ground_number(json_object_get(state, "counters"), "dropped_quota"), 5);
    json_decref(state);
    if (ground_times("RELAY_RUNS", 1) > 1)
        expect_usage(ground_text(line, "session"));
    json_decref(line);
    ground_close(&ground);
}
