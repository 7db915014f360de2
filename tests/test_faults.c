/*
 * test_faults.c - kill -9 in the middle of real sessions: what keeps flowing, and what comes back.
 *
 * The pings are 100 ms apart, so that lost ones tell how long nothing flowed.
 */
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct ground ground;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { PINGS = 60, LOST_MAX = 20 /* 2 s */, LOAD = 8 /* sessions at once */ };

TestSuite(faults, .timeout = 120);

/* Until so many sessions go directly or over the relay. */
static void await_settled(size_t n)
{
    size_t settled = 0;

    for (int i = 0; i < 2000 && settled < n; i++) { /* bounded: each question takes some ms */
        json_t *sessions = ground_admin(&ground, "sessions", NULL);
        size_t k;
        json_t *s;
        settled = 0;
        json_array_foreach(sessions, k, s)
        {
            const char *state = ground_text(s, "state");
            settled += strcmp(state, "direct") == 0 || strcmp(state, "relayed") == 0;
        }
        json_decref(sessions);
    }
    cr_assert_geq(settled, n);
}

/* Start a pinging session, kill a process while it runs, and return the result. */
static json_t *kill_during(const char *from, const char *to, const char *process, int *status)
{
    struct ground_run r =
        ground_start(&ground, from, "connect", ARGS(to, "--ping", "60", "--timeout", "10"));
    json_t *line;

    await_settled(1);
    ground_kill(&ground, process);
    line = ground_result(&r, status);
    return line;
}

static void open_lab(void)
{
    ground_open_lab(&ground,
                    ARGS("--delay", "20ms", "alice=ei/preserve/apd", "bob=ei/random/apd",
                         "carol=apd/random/apd", "dave=apd/random/apd", "load0=ei/preserve/apd",
                         "load1=apd/random/apd", "load2=ei/preserve/apd", "load3=apd/random/apd",
                         "load4=ei/preserve/apd", "load5=apd/random/apd", "load6=ei/preserve/apd",
                         "load7=apd/random/apd"));
}

static void open_suite(const char *environment)
{
    ground_up(&ground, "203.0.113.10,203.0.113.11", environment);
    ground_listen(&ground, "bob");
    ground_listen(&ground, "dave");
}

static void open_ground(void)
{
    open_lab();
    open_suite("");
}

static void new_sessions_work(void)
{
    int status;
    json_t *line = ground_connect(&ground, "alice", "bob", ARGS("--ping", "1"), &status);

    cr_assert_eq(status, 0, "%s", ground_text(line, "verdict"));
    printf("a new session after the kill: total %.0f ms\n", ground_number(line, "total_ms"));
    json_decref(line);
    line = ground_connect(&ground, "carol", "dave", ARGS("--ping", "1"), &status);
    cr_assert_eq(status, 3, "%s", ground_text(line, "verdict"));
    json_decref(line);
}

static void expect_kept(const char *from, const char *to, const char *process, double lost_max)
{
    int status;
    json_t *line = kill_during(from, to, process, &status);
    double lost = ground_number(line, "sent") - ground_number(line, "received");

    printf("%s to %s (%s), %s killed: %.0f of %.0f pings lost\n", from, to,
           ground_text(line, "path"), process, lost, ground_number(line, "sent"));
    cr_assert_eq(ground_number(line, "sent"), PINGS);
    cr_assert_leq(lost, lost_max);
    json_decref(line);
}

Test(faults, a_killed_coordinator_interrupts_no_path)
{
    open_ground();
    expect_kept("alice", "bob", "coordinator", 0);
    new_sessions_work();
    expect_kept("carol", "dave", "coordinator", 0);
    new_sessions_work();
    ground_close(&ground);
}

Test(faults, a_killed_relay_interrupts_no_direct_path_and_a_relayed_one_for_two_seconds_at_most)
{
    open_ground();
    expect_kept("alice", "bob", "relay", 0);
    new_sessions_work();
    expect_kept("carol", "dave", "relay", LOST_MAX);
    new_sessions_work();
    ground_close(&ground);
}

/* Half of the sessions go directly, half over the relay, and a new one is asked for right after each kill. */
Test(faults, each_process_killed_in_turn_under_load_is_back_and_interrupts_what_it_carries_alone)
{
    struct ground_run run[LOAD];
    int status;

    open_ground();
    for (size_t i = 0; i < LOAD; i++) {
        char host[16];
        snprintf(host, sizeof host, "load%zu", i);
        run[i] = ground_start(&ground, host, "connect",
                              ARGS(i % 2 ? "dave" : "bob", "--ping", "60", "--timeout", "10"));
    }
    await_settled(LOAD);
    for (const char *const *process = ARGS("prober", "classifier", "relay", "coordinator");
         *process; process++) {
        ground_kill(&ground, *process);
        json_t *line = ground_connect(&ground, "alice", "bob", ARGS("--ping", "1"), &status);
        cr_assert(status == 0 || status == 3, "%s killed: %s", *process,
                  ground_text(line, "verdict"));
        cr_assert_eq(ground_number(line, "received"), 1, "%s killed", *process);
        json_decref(line);
    }
    for (size_t i = 0; i < LOAD; i++) {
        json_t *line = ground_result(&run[i], &status);
        double lost = ground_number(line, "sent") - ground_number(line, "received");
        cr_assert_eq(status, i % 2 ? 3 : 0, "%s", ground_text(line, "verdict"));
        cr_assert_eq(ground_number(line, "sent"), PINGS);
        cr_assert_leq(lost, i % 2 ? LOST_MAX : 0, "session %zu, %s", i, ground_text(line, "path"));
        json_decref(line);
    }
    new_sessions_work();
    ground_close(&ground);
}

/* ---- ends of its own ---------------------------------------------------------------------------- */

/* Until the suite's log has that so many times. */
static void await_log(const char *what, unsigned times)
{
    static char text[1 << 20];
    char path[96];
    unsigned n = 0;

    snprintf(path, sizeof path, "%s/log", ground.dir);
    for (int i = 0; n < times; i++) {
        cr_assert_lt(i, GROUND_WAIT_MS / 2, "%s is there %u times: %s", what, n, text);
        usleep(2000);
        FILE *f = fopen(path, "re");
        text[fread(text, 1, sizeof text - 1, f)] = '\0';
        fclose(f);
        n = 0;
        for (const char *at = text; (at = strstr(at, what)); at++)
            n++;
    }
}

/* What the suite's file says of memory: the next of its processes that is told to reads it. */
static void allow_memory(const char *file, unsigned mib)
{
    FILE *f = fopen(file, "we");

    cr_assert(f && fprintf(f, "common:\n  memory-max: %u\n", mib) > 0 && fclose(f) == 0);
}

static void expect_all_received(struct ground_run *r, int path)
{
    int status;
    json_t *line = ground_result(r, &status);

    cr_assert_eq(status, path, "%s", ground_text(line, "verdict"));
    cr_assert_eq(ground_number(line, "sent"), PINGS);
    cr_assert_eq(ground_number(line, "received"), PINGS);
    json_decref(line);
}

Test(faults, a_coordinator_that_aborts_or_has_too_much_memory_is_back_and_interrupts_no_path)
{
    static const char ready[] = "svc=coordinator event=ready";
    char file[96], environment[128];

    open_lab();
    snprintf(file, sizeof file, "%s/natterjack.yml", ground.dir);
    snprintf(environment, sizeof environment, "NATTERJACK_CONFIG=%s", file);
    allow_memory(file, 4000);
    open_suite(environment);
    struct ground_run direct = ground_start(&ground, "alice", "connect",
                                            ARGS("bob", "--ping", "60", "--timeout", "10")),
                      relayed = ground_start(&ground, "carol", "connect",
                                             ARGS("dave", "--ping", "60", "--timeout", "10"));
    await_settled(2);
    kill(ground_pid(&ground, "coordinator"), SIGABRT); /* as libzmq ends it when it gives up */
    await_log(ready, 2);
    allow_memory(file, 1);
    kill(ground_pid(&ground, "coordinator"), SIGHUP);
    await_log("svc=coordinator event=over_memory kib=", 1);
    allow_memory(file, 4000);
    await_log("event=child_over_memory child=coordinator", 1);
    await_log(ready, 3);
    expect_all_received(&direct, 0);
    expect_all_received(&relayed, 3);
    new_sessions_work();
    ground_close(&ground);
}
