/*
 * test_failover.c - real peers whose direct path is taken from them while pings flow, 100 ms apart: how many are
 * lost tells how long nothing did, and the listener that the path was relayed and is direct again.  The
 * percentiles are in virtual time: test_alive.c.
 */
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static struct ground ground;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { LOST_MAX = 15 /* of 100 ms each */ };

TestSuite(failover, .timeout = 120);

static void run_on(const char *host, const char *const *argv)
{
    int status;
    pid_t pid = lab_spawn(&ground.lab, host, -1, argv);

    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
}

/* Until the listener says that its session's path is such. */
static void await(struct ground_run *listener, const char *event, const char *path)
{
    for (;;) {
        json_t *line = ground_line(listener, GROUND_WAIT_MS);
        cr_assert_not_null(line, "no %s that is %s", event, path);
        bool found = strcmp(ground_text(line, "event"), event) == 0 &&
                     strcmp(ground_text(line, "path"), path) == 0;
        json_decref(line);
        if (found)
            return;
    }
}

static void change_interface(void)
{
    run_on("alice", ARGS("ip", "addr", "del", "198.51.100.1/32", "dev", "wan0"));
}

/* A session of pings; the change in the middle; and it is direct at its end. */
static void change_during(const char *what, const char *alice, void (*change)(void))
{
    int status;

    ground_open(&ground, ARGS("--delay", "5ms", alice, "bob=ei/random/apd"));
    struct ground_run bob = ground_listen(&ground, "bob");
    struct ground_run r =
        ground_start(&ground, "alice", "connect", ARGS("bob", "--ping", "30", "--timeout", "10"));
    await(&bob, "session", "direct");
    change();
    await(&bob, "path", "relayed");
    await(&bob, "path", "direct");
    json_t *line = ground_result(&r, &status);
    double lost = ground_number(line, "sent") - ground_number(line, "received");
    printf("%s: %.0f of 30 pings lost\n", what, lost);
    cr_assert_eq(status, 0, "%s", ground_text(line, "verdict"));
    cr_assert_leq(lost, LOST_MAX, "%s", what);
    json_decref(line);
    ground_close(&ground);
}

Test(failover, an_interface_that_loses_its_address_costs_a_second_of_pings_at_most)
{
    change_during("interface changed", "alice=open,ip=198.51.100.1+198.51.100.2", change_interface);
}
