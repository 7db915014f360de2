/* test_peer_process.c - the command as a peer among others: two with one key, and one whose output nobody reads. */
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct ground ground;

TestSuite(peer_process, .timeout = 120);

Test(peer_process, a_session_ends_with_the_reason_when_another_process_comes_with_its_key)
{
    static const char *const modes[] = {"managed", "raw"};
    int status;

    ground_open(&ground, ARGS("--delay", "5ms", "alice=ei/preserve/apd", "managed=ei/preserve/apd",
                              "raw=ei/preserve/apd"));
    for (size_t i = 0; i < 2; i++) {
        struct ground_run listen = ground_start(
            &ground, modes[i], "listen", ARGS("--name", modes[i], "--echo", "--mode", modes[i]));
        json_decref(ground_line(&listen, GROUND_WAIT_MS));
        struct ground_run first =
            ground_start(&ground, "alice", "connect",
                         ARGS(modes[i], "--udp", "127.0.0.1:0", "--mode", modes[i]));
        json_decref(ground_line(&first, GROUND_WAIT_MS));  /* forwarding */
        json_decref(ground_line(&listen, GROUND_WAIT_MS)); /* and settled */
        json_t *line = ground_connect(&ground, "alice", modes[i],
                                      ARGS("--mode", modes[i], "--ping", "1"), &status);
        cr_assert_eq(status, 0, "the later one counts");
        json_decref(line);
        line = ground_result(&first, &status);
        cr_assert_eq(status, 1);
        cr_assert_str_eq(ground_text(line, "event"), "result");
        cr_assert_str_eq(ground_text(line, "path"), "failed");
        cr_assert_str_eq(ground_text(line, "kind"), "cancelled");
        cr_assert_str_eq(ground_text(line, "verdict"), "replaced");
        json_decref(line);
    }
    ground_close(&ground);
}

/* Read all that is there; how many lines it says were left out. */
static double lines_lost(struct ground_run *r)
{
    double n = 0;

    for (json_t *line; (line = ground_line(r, 500)); json_decref(line))
        if (strcmp(ground_text(line, "event"), "lost") == 0)
            n += ground_number(line, "lines");
    return n;
}

Test(peer_process, listens_on_though_nobody_reads_and_says_what_was_left_out)
{
    int status;

    ground_open(&ground,
                ARGS("--delay", "1ms", "alice=open,ip=198.51.100.1", "bob=open,ip=198.51.100.2"));
    struct ground_run bob = ground_start(&ground, "bob", "listen", ARGS("--name", "bob", "--echo"));
    json_decref(ground_line(&bob, GROUND_WAIT_MS));
    cr_assert_geq(fcntl(bob.out, F_SETPIPE_SZ, 4096), 0);
    for (int i = 0; i < 6; i++) { /* two lines each, and there is room for eight */
        json_t *line = ground_connect(&ground, "alice", "bob",
                                      ARGS("--policy", "relay", "--ping", "1"), &status);
        cr_assert_eq(status, 3, "call %d: %s", i, ground_text(line, "verdict"));
        json_decref(line);
    }
    double lost = lines_lost(&bob); /* its last line may have come after the first were read */
    json_decref(ground_connect(&ground, "alice", "bob", ARGS("--policy", "relay"), &status));
    lost += lines_lost(&bob);
    cr_assert_gt(lost, 0);
    ground_close(&ground);
}
