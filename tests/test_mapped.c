/*
 * test_mapped.c - an operator's port mapping, told by --reflex-override or while the peer runs, proven by a
 * prober and dialled: real peers behind NATs that draw random ports.
 *
 * MAPPED_RUNS=n repeats each pair; `make natlab-check` has 20.
 */
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static struct ground ground;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

TestSuite(mapped, .timeout = 600);

static void expect_reflex(struct ground_run *r, const char *state)
{
    json_t *line;

    while ((line = ground_line(r, GROUND_WAIT_MS)) &&
           strcmp(ground_text(line, "event"), "reflex") != 0)
        json_decref(line);
    cr_assert(line && strcmp(ground_text(line, "state"), state) == 0, "%s: %s",
              line ? ground_text(line, "state") : "nothing", ground_text(line, "why"));
    json_decref(line);
}

static void connect_by(const char *from, const char *to, const char *const *more,
                       const char *technique)
{
    int status;
    json_t *line = ground_connect(&ground, from, to, more, &status);

    cr_assert_eq(status, *technique ? 0 : 3, "%s to %s: %s, %s", from, to,
                 ground_text(line, "path"), ground_text(line, "verdict"));
    cr_assert_str_eq(ground_text(line, "technique"), technique);
    cr_assert_eq(ground_number(line, "received"), 2);
    json_decref(line);
}

Test(mapped, a_port_mapping_makes_two_random_nats_direct)
{
    unsigned runs = ground_times("MAPPED_RUNS", 1);

    ground_open(&ground, ARGS("--delay", "20ms", "random=apd/random/apd",
                              "linux-random=linux-random", "plain=apd/random/apd,forward=7000/5000",
                              "kernel=linux-random,forward=7001/5000", "dialler=apd/random/apd"));
    struct ground_run plain = ground_start(&ground, "plain", "listen",
                                           ARGS("--name", "plain", "--echo", "--port", "5000",
                                                "--reflex-override", "198.51.100.12:7000"));
    expect_reflex(&plain, "proven");
    struct ground_run kernel = ground_start(&ground, "kernel", "listen",
                                            ARGS("--name", "kernel", "--echo", "--port", "5000",
                                                 "--reflex-override", "198.51.100.13:7001"));
    expect_reflex(&kernel, "proven");
    for (unsigned i = 0; i < runs; i++)
        for (const char *const *from = ARGS("random", "linux-random"); *from; from++)
            for (const char *const *to = ARGS("plain", "kernel"); *to; to++)
                connect_by(*from, *to, ARGS("--ping", "2"), "mapped");
    ground_close(&ground);
}

Test(mapped, whoever_has_the_port_mapping_may_be_the_one_that_connects)
{
    ground_open(&ground,
                ARGS("--delay", "20ms", "alice=linux-random,forward=7000", "bob=apd/random/apd"));
    ground_listen(&ground, "bob");
    connect_by("alice", "bob",
               ARGS("--ping", "2", "--port", "7000", "--reflex-override", "198.51.100.10:7000"),
               "mapped");
    ground_close(&ground);
}

static void reflex(const char *host, const char *socket, const char *const *words)
{
    char command[512];
    int n = snprintf(command, sizeof command, ">/dev/null %s/natterjack reflex --socket %s",
                     BIN_DIR, socket);

    for (; *words; words++)
        n += snprintf(command + n, sizeof command - (size_t)n, " %s", *words);
    int status;
    pid_t pid = lab_spawn(&ground.lab, host, -1, ARGS("/bin/sh", "-c", command));
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0, "%s", command);
}

Test(mapped, an_override_is_set_and_cleared_while_the_peer_runs_and_counts_only_when_proven)
{
    char admin[96];

    ground_open(&ground, ARGS("--delay", "20ms", "alice=apd/random/apd",
                              "bob=apd/random/apd,forward=7000/5000"));
    snprintf(admin, sizeof admin, "%s/bob.sock", ground.dir);
    struct ground_run bob =
        ground_start(&ground, "bob", "listen",
                     ARGS("--name", "bob", "--echo", "--port", "5000", "--admin", admin));
    json_decref(ground_line(&bob, GROUND_WAIT_MS));
    connect_by("alice", "bob", ARGS("--ping", "2"), "");
    reflex("bob", admin, ARGS("override", "198.51.100.11:7001")); /* leads nowhere */
    expect_reflex(&bob, "refused");
    connect_by("alice", "bob", ARGS("--ping", "2"), "");
    reflex("bob", admin, ARGS("override", "198.51.100.10:7000")); /* another's ip */
    expect_reflex(&bob, "refused");
    reflex("bob", admin, ARGS("override", "198.51.100.11:7000"));
    expect_reflex(&bob, "proven");
    connect_by("alice", "bob", ARGS("--ping", "2"), "mapped");
    reflex("bob", admin, ARGS("clear"));
    expect_reflex(&bob, "none");
    connect_by("alice", "bob", ARGS("--ping", "2"), "");
    ground_close(&ground);
}
