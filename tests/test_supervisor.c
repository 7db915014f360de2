/*
 * test_supervisor.c - real child processes (shells), real signals, real time.
 *
 * A child writes a line with its pid into a file each time it starts; tests wait for such lines.
 */
#include "lib/log.h"
#include "lib/service.h"
#include "services/natterjack/command.h"
#include "services/natterjack/supervisor.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY "echo ready >/proc/self/fd/$NATTERJACK_READY_FD; "
#define FOREVER "exec sleep 60"

enum { LINES_MAX = 64, LIMIT_MS = 15000 };

static char dir[] = "/tmp/test_supervisor.XXXXXX";
static struct child children[CHILDREN_MAX];
static size_t n;
static pid_t supervisor;

static void setup(void) { cr_assert(tidy_mkdtemp(dir)); }

static void teardown(void)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "go", "ready"};
    char path[64];

    if (supervisor > 0) {
        kill(supervisor, SIGKILL);
        waitpid(supervisor, NULL, 0);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

TestSuite(supervisor, .init = setup, .fini = teardown, .timeout = 40);

/* A child that notes its start in the file of its name and then does what script says. */
static void child(const char *name, const char *script)
{
    char *text;
    struct child *c = &children[n++];

    cr_assert(asprintf(&text, "echo $$ >>%s/%s; %s", dir, name, script) > 0);
    *c = (struct child){
        .name = name, .path = "/bin/sh", .argv = {"sh", "-c", text}
    };
}

static bool note_ready(void *arg)
{
    char path[64];

    snprintf(path, sizeof path, "%s/ready", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    bool ok = write(fd, "1\n", 2) == 2 && !arg;
    close(fd);
    return ok;
}

static void begin(void *refuse)
{
    supervisor = fork();
    if (supervisor == 0) {
        log_init("test");
        _exit(supervise(children, n, note_ready, refuse));
    }
}

static int exit_status(void)
{
    int status;

    cr_assert_eq(waitpid(supervisor, &status, 0), supervisor);
    supervisor = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* The numbers in a file, one a line. */
static size_t lines(const char *name, pid_t pid[LINES_MAX])
{
    char path[64];
    size_t got = 0;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    while (f && got < LINES_MAX && fscanf(f, "%d\n", &pid[got]) == 1)
        got++;
    if (f)
        fclose(f);
    return got;
}

static int64_t pause_until(int64_t limit_us)
{
    cr_assert_lt(service_now_us(), limit_us, "what is waited for does not come");
    usleep(2000);
    return service_now_us();
}

/* Wait for the count'th line and return it. */
static pid_t wait_line(const char *name, size_t count)
{
    pid_t pid[LINES_MAX];
    int64_t limit = service_now_us() + LIMIT_MS * INT64_C(1000);

    while (lines(name, pid) < count)
        pause_until(limit);
    return pid[count - 1];
}

static void wait_gone(pid_t pid)
{
    int64_t limit = service_now_us() + LIMIT_MS * INT64_C(1000);

    while (kill(pid, 0) == 0)
        pause_until(limit);
}

Test(supervisor, tells_once_when_all_children_are_ready)
{
    child("a", READY FOREVER);
    child("b", READY FOREVER);
    begin(NULL);
    wait_line("ready", 1);
    pid_t a = wait_line("a", 1), b = wait_line("b", 1);
    kill(a, SIGKILL);
    wait_line("a", 2);
    kill(supervisor, SIGTERM);
    cr_assert_eq(exit_status(), EXIT_OK);
    wait_gone(b);
    wait_gone(wait_line("a", 2));
    pid_t pid[LINES_MAX];
    cr_assert_eq(lines("ready", pid), 1);
    cr_assert_eq(lines("b", pid), 1, "the other child was left alone");
}

Test(supervisor, restarts_a_killed_child_at_once)
{
    child("a", READY FOREVER);
    begin(NULL);
    wait_line("ready", 1);
    int64_t at = service_now_us();
    kill(wait_line("a", 1), SIGKILL);
    wait_line("a", 2);
    cr_assert_lt(service_now_us() - at, 500000);
}

Test(supervisor, pauses_ever_longer_for_a_child_that_keeps_dying)
{
    char script[128];

    snprintf(script, sizeof script, READY "if [ -e %s/ready ]; then exit 1; fi; " FOREVER, dir);
    child("a", script);
    begin(NULL);
    wait_line("ready", 1);
    kill(wait_line("a", 1), SIGKILL); /* the first restart is at once; then 100, 200, 400 ms */
    wait_line("a", 2);
    int64_t at = service_now_us();
    wait_line("a", 5);
    cr_assert_geq(service_now_us() - at, 650000);
    cr_assert_leq(service_now_us() - at, 5000000);
}

Test(supervisor, a_child_that_has_been_well_for_a_while_is_restarted_at_once_again)
{
    child("a", READY FOREVER);
    begin(NULL);
    wait_line("ready", 1);
    for (size_t round = 1; round <= 2; round++) {
        int64_t until = service_now_us() + (STABLE_MS + 300) * INT64_C(1000);
        pid_t pid = wait_line("a", round);
        while (service_now_us() < until)
            pause_until(until + 1000000);
        int64_t at = service_now_us();
        kill(pid, SIGKILL);
        wait_line("a", round + 1);
        cr_assert_lt(service_now_us() - at, 90000, "less than the shortest pause");
    }
}

Test(supervisor, gives_up_when_a_child_can_not_start)
{
    pid_t pid[LINES_MAX];

    child("a", "exit 3");
    child("b", READY FOREVER);
    begin(NULL);
    cr_assert_eq(exit_status(), EXIT_FAILED);
    cr_assert_eq(lines("a", pid), START_TRIES);
    wait_gone(wait_line("b", 1));
    cr_assert_eq(lines("ready", pid), 0);
}

Test(supervisor, gives_up_when_a_program_is_not_there)
{
    child("a", READY FOREVER);
    children[0].path = "/nonexistent/program";
    begin(NULL);
    cr_assert_eq(exit_status(), EXIT_FAILED);
}

Test(supervisor, gives_up_when_a_child_is_not_ready_in_time)
{
    child("a", FOREVER);
    int64_t at = service_now_us();
    begin(NULL);
    pid_t a = wait_line("a", 1);
    cr_assert_eq(exit_status(), EXIT_FAILED);
    cr_assert_geq(service_now_us() - at, (READY_LIMIT_MS - 100) * INT64_C(1000));
    wait_gone(a);
}

Test(supervisor, ends_when_the_announcement_fails)
{
    child("a", READY FOREVER);
    begin("refuse");
    cr_assert_eq(exit_status(), EXIT_FAILED);
    wait_gone(wait_line("a", 1));
}

Test(supervisor, ends_in_order_on_each_signal_to_stop)
{
    static const int stop[] = {SIGTERM, SIGINT};

    child("a", READY "trap 'exit 0' TERM; while :; do sleep 0.02; done");
    for (size_t i = 0; i < 2; i++) {
        begin(NULL);
        wait_line("ready", i + 1);
        int64_t at = service_now_us();
        kill(supervisor, stop[i]);
        cr_assert_eq(exit_status(), EXIT_OK);
        cr_assert_lt(service_now_us() - at, (STOP_LIMIT_MS - 500) * INT64_C(1000), "not killed");
        wait_gone(wait_line("a", i + 1));
    }
}

Test(supervisor, passes_hup_on_and_runs_on)
{
    child("a", "trap 'echo 1 >>"
               "$DIR/b' HUP; " READY "while :; do sleep 0.02; done");
    setenv("DIR", dir, 1);
    begin(NULL);
    wait_line("ready", 1);
    for (size_t i = 1; i <= 2; i++) {
        kill(supervisor, SIGHUP);
        wait_line("b", i);
    }
    pid_t pid[LINES_MAX];
    cr_assert_eq(lines("a", pid), 1);
}

#define DRAINS "trap 'exit 10' USR1; " READY "while :; do sleep 0.02; done"

/* The first child ends its draining only when told by the file "go". */
#define DRAINS_LATE                                                                              \
    "trap 'echo $$ >>$DIR/b; while ! [ -e $DIR/go ]; do sleep 0.02; done; exit 10' USR1; " READY \
    "while :; do sleep 0.02; done"

Test(supervisor, drains_one_child_after_the_other_and_then_ends_the_rest)
{
    pid_t pid[LINES_MAX];
    char go[64];

    snprintf(go, sizeof go, "%s/go", dir);
    setenv("DIR", dir, 1);
    child("a", DRAINS_LATE);
    child("c", "trap 'exit 0' TERM; " READY "while :; do sleep 0.02; done");
    child("d", "trap 'echo 1 >>$DIR/e; exit 10' USR1; " READY "while :; do sleep 0.02; done");
    children[0].drains = children[2].drains = true;
    begin(NULL);
    wait_line("ready", 1);
    kill(supervisor, SIGUSR1);
    wait_line("b", 1);
    cr_assert_eq(lines("e", pid), 0, "the next one waits for the one before");
    cr_assert_eq(kill(wait_line("c", 1), 0), 0);
    close(open(go, O_WRONLY | O_CREAT, 0600));
    wait_line("e", 1);
    cr_assert_eq(exit_status(), EXIT_OK);
    cr_assert_eq(lines("a", pid) + lines("c", pid) + lines("d", pid), 3, "none was started again");
}

/* It has settled, says so, and ends its draining only when told by the file "go". */
#define SETTLES                                                                           \
    "trap 'echo settled >/proc/self/fd/$NATTERJACK_READY_FD; "                            \
    "while ! [ -e $DIR/go ]; do sleep 0.02; done; echo 1 >>$DIR/b; exit 10' USR1; " READY \
    "while :; do sleep 0.02; done"

Test(supervisor, the_next_one_drains_while_one_that_has_settled_goes_on)
{
    pid_t pid[LINES_MAX];

    setenv("DIR", dir, 1);
    child("a", SETTLES);
    child("c", "trap 'echo 1 >>$DIR/e; exit 10' USR1; " READY "while :; do sleep 0.02; done");
    children[0].drains = children[1].drains = true;
    begin(NULL);
    wait_line("ready", 1);
    kill(wait_line("a", 1), SIGUSR1); /* by itself: its word tells the supervisor */
    wait_line("e", 1);
    cr_assert_eq(lines("b", pid), 0, "the first one is still there");
    char go[64];
    snprintf(go, sizeof go, "%s/go", dir);
    close(open(go, O_WRONLY | O_CREAT, 0600));
    cr_assert_eq(exit_status(), EXIT_OK);
    cr_assert_eq(lines("b", pid), 1, "and was waited for");
}

Test(supervisor, a_child_that_drained_by_itself_has_the_others_drain)
{
    pid_t pid[LINES_MAX];

    child("a", DRAINS);
    child("c", DRAINS);
    children[0].drains = children[1].drains = true;
    begin(NULL);
    wait_line("ready", 1);
    kill(wait_line("a", 1), SIGUSR1);
    cr_assert_eq(exit_status(), EXIT_OK);
    cr_assert_eq(lines("a", pid) + lines("c", pid), 2);
}

Test(supervisor, kills_a_child_that_does_not_stop)
{
    child("a", "trap '' TERM; " READY FOREVER);
    begin(NULL);
    wait_line("ready", 1);
    int64_t at = service_now_us();
    kill(supervisor, SIGTERM);
    cr_assert_eq(exit_status(), EXIT_OK);
    cr_assert_geq(service_now_us() - at, (STOP_LIMIT_MS - 100) * INT64_C(1000));
    cr_assert_leq(service_now_us() - at, (STOP_LIMIT_MS + 2000) * INT64_C(1000));
    wait_gone(wait_line("a", 1));
}

Test(supervisor, leaves_no_child_when_it_is_killed_itself)
{
    child("a", READY FOREVER);
    child("b", "trap '' TERM HUP INT; " READY FOREVER);
    begin(NULL);
    wait_line("ready", 1);
    kill(supervisor, SIGKILL);
    cr_assert_eq(exit_status(), -SIGKILL);
    wait_gone(wait_line("a", 1));
    wait_gone(wait_line("b", 1));
}

Test(supervisor, stops_while_it_starts)
{
    child("a", FOREVER);
    begin(NULL);
    pid_t a = wait_line("a", 1);
    kill(supervisor, SIGTERM);
    cr_assert_eq(exit_status(), EXIT_OK);
    wait_gone(a);
}
