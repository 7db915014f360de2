/* test_up.c - `up`, `init` and `run` as processes: a suite begins, goes on without one of its parts, and ends. */
#include "lib/service.h"
#include "services/natterjack/command.h"
#include "tests/lib/child.h"
#include "tests/lib/command.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(up, .init = command_open, .fini = command_close, .timeout = 60);

static void wait_gone(const pid_t *pids, size_t n)
{
    int64_t until = command_limit();

    for (size_t i = 0; i < n; i++)
        while (kill(pids[i], 0) == 0)
            command_pause(until, "the end of a child");
}

/* ---- up -------------------------------------------------------------------------------------- */

Test(up, up_prints_a_join_string_that_join_string_repeats)
{
    char line[JOIN_PASTE_MAX], why[JOIN_ERROR_MAX], path[80], at[32];
    struct join join;
    struct stat st;

    cr_assert_eq(RUN("join-string", "--state", command.state), EXIT_FAILED);
    cr_assert(!*command.out && strstr(command.err, "no suite is up"));
    command_start_up();
    command_read_join(line);
    cr_assert(join_parse(line, &join, why), "%s", why);
    cr_assert_eq(join.n, 1);
    struct addr expected;
    snprintf(at, sizeof at, "127.0.0.1:%s", command.port_text[3]);
    cr_assert(addr_parse(at, &expected) && addr_eq(&join.front[0], &expected));
    snprintf(at, sizeof at, "127.0.0.1:%s", command.port_text[4]);
    cr_assert(addr_parse(at, &expected) && addr_eq(&join.enrol[0], &expected));
    cr_assert_eq(RUN("join-string", "--state", command.state), EXIT_OK);
    cr_assert_str_eq(command.out, line);
    snprintf(path, sizeof path, "%s/join", command.state);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(stat(command.state, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0700);
    kill(command.up_pid, SIGTERM);
    cr_assert_eq(child_status(command.up_pid), EXIT_OK);
    command.up_pid = 0;
    cr_assert_eq(RUN("join-string", "--state", command.state), EXIT_FAILED);
}

/* ---- init and run ---------------------------------------------------------------------------- */

static const char *const processes[] = {"coordinator", "classifier", "prober", "relay"};
enum { PROCESSES = sizeof processes / sizeof *processes };

/* Run `init` with our flags; the join string is then in out. */
static int run_init(void)
{
    return RUN("init", "--state", command.state, "--public-ip", "127.0.0.1,127.0.0.2",
               "--front-port", command.port_text[3], "--enrol-port", command.port_text[4]);
}

Test(up, init_prints_what_up_would_and_starts_nothing)
{
    char first[JOIN_PASTE_MAX], line[JOIN_PASTE_MAX];

    cr_assert_eq(run_init(), EXIT_OK, "%s", command.err);
    snprintf(first, sizeof first, "%.*s", (int)sizeof first - 1, command.out);
    cr_assert_eq(RUN("health", "--live", "--state", command.state), EXIT_FAILED);
    cr_assert_eq(run_init(), EXIT_OK);
    cr_assert_str_eq(command.out, first, "what is there stays");
    command_start_up();
    command_read_join(line);
    cr_assert_str_eq(line, first);
    cr_assert_eq(RUN("run", "prober", "--state", command.state), EXIT_FAILED);
    cr_assert(strstr(command.err, "a suite is up"));
}

Test(up, processes_that_run_one_by_one_are_a_suite)
{
    char path[PROCESSES][96];

    cr_assert_eq(run_init(), EXIT_OK, "%s", command.err);
    for (size_t i = 0; i < PROCESSES; i++) {
        char *argv[COMMAND_ARGS_MAX] = {"natterjack", "run", (char *)(uintptr_t)processes[i]};
        command_suite_flags(argv, 3);
        snprintf(path[i], sizeof path[i], "%s/admin/%s", command.state, processes[i]);
        command.run_pid[i] = command_spawn(argv, STDOUT_FILENO, STDERR_FILENO);
    }
    for (size_t i = 0; i < PROCESSES; i++)
        for (int64_t end = command_limit(); RUN("health", "--socket", path[i]) != EXIT_OK;)
            command_pause(end, path[i]);
    for (int64_t end = command_limit();
         RUN("relays", "--state", command.state, "-o", "json") != EXIT_OK ||
         !strstr(command.out, command.port_text[2]);)
        command_pause(end, "the relay's hello at the coordinator");
    for (size_t i = 0; i < PROCESSES; i++)
        kill(command.run_pid[i], SIGTERM);
    for (size_t i = 0; i < PROCESSES; i++)
        cr_assert_eq(child_status(command.run_pid[i]), EXIT_OK, "%s", processes[i]);
    memset(command.run_pid, 0, sizeof command.run_pid);
}

Test(up, a_suite_keeps_its_keys_over_a_restart)
{
    char first[JOIN_PASTE_MAX], second[JOIN_PASTE_MAX];

    command_start_up();
    command_read_join(first);
    kill(command.up_pid, SIGKILL);
    cr_assert_eq(child_status(command.up_pid), -SIGKILL);
    cr_assert_eq(RUN("join-string", "--state", command.state), EXIT_FAILED,
                 "a stale one is not told");
    command_start_up();
    command_read_join(second);
    cr_assert_str_eq(first, second);
}

Test(up, a_second_up_on_one_directory_is_refused)
{
    command_up();
    cr_assert_eq(RUN("up", "--state", command.state), EXIT_FAILED);
    cr_assert(strstr(command.err, "another suite is up"));
    cr_assert_eq(RUN("health", "--state", command.state), EXIT_OK, "and the first one is well: %s",
                 command.out);
    cr_assert_eq(RUN("join-string", "--state", command.state), EXIT_OK);
}

Test(up, up_fails_with_a_reason_when_a_port_is_taken)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    sa.sin_port = htons((uint16_t)atoi(command.port_text[2]));
    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    command_start_up();
    cr_assert_eq(child_status(command.up_pid), EXIT_FAILED);
    command.up_pid = 0;
    close(fd);
}

Test(up, up_says_that_a_door_of_the_coordinator_is_taken)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    sa.sin_port = htons((uint16_t)atoi(command.port_text[3]));
    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    cr_assert_eq(listen(fd, 1), 0);
    cr_assert_eq(RUN("up", "--state", command.state, "--prober-port", command.port_text[0],
                     "--prober-alt-port", command.port_text[1], "--relay-port",
                     command.port_text[2], "--front-port", command.port_text[3], "--enrol-port",
                     command.port_text[4]),
                 EXIT_FAILED);
    cr_assert(strstr(command.err, "event=no_front door=front") &&
                  strstr(command.err, "why=\"Address already in use\""),
              "%s", command.err);
    close(fd);
}

/* A host without IPv6 has nothing to show. */
static bool has_ipv6(void)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0;

    if (fd >= 0)
        close(fd);
    return has;
}

Test(up, a_suite_on_ipv6_is_one_for_peers_as_well)
{
    char *argv[COMMAND_ARGS_MAX] = {"natterjack", "up"}, line[JOIN_PASTE_MAX];
    size_t n = 2;
    int fd[2];

    if (!has_ipv6())
        return;
    command_suite_flags(argv, n);
    while (argv[n])
        n++;
    argv[n++] = "--public-ip";
    argv[n] = "::1";
    cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
    command.up_pid = command_spawn(argv, fd[1], STDERR_FILENO);
    close(fd[1]);
    command.up_out = fd[0];
    command_read_join(line);
    line[strcspn(line, "\n")] = '\0';
    cr_assert_eq(RUN("netcheck", "--join", line, "-o", "json"), EXIT_OK, "%s", command.err);
    cr_assert(strstr(command.out, "\"reflexive\":\"[::1]:"), "%s", command.out);
}

Test(up, up_refuses_a_key_that_others_may_read)
{
    char path[80];

    command_up();
    kill(command.up_pid, SIGTERM);
    cr_assert_eq(child_status(command.up_pid), EXIT_OK);
    command.up_pid = 0;
    snprintf(path, sizeof path, "%s/keys/relay", command.state);
    cr_assert_eq(chmod(path, 0644), 0);
    cr_assert_eq(RUN("up", "--state", command.state), EXIT_USAGE);
    cr_assert(strstr(command.err, path) && strstr(command.err, "only its owner may read"), "%s",
              command.err);
}

Test(up, sigterm_ends_all_and_leaves_no_process)
{
    pid_t pids[COMMAND_CHILDREN_MAX];
    char names[COMMAND_CHILDREN_MAX][16];

    command_up();
    size_t n = command_children(command.up_pid, pids, names);
    cr_assert_eq(n, 4);
    int64_t at = service_now_us();
    kill(command.up_pid, SIGTERM);
    cr_assert_eq(child_status(command.up_pid), EXIT_OK);
    cr_assert_lt(service_now_us() - at, 2500000, "nobody had to be killed");
    command.up_pid = 0;
    wait_gone(pids, n);
}

Test(up, killing_up_leaves_no_process)
{
    pid_t pids[COMMAND_CHILDREN_MAX];
    char names[COMMAND_CHILDREN_MAX][16];

    command_up();
    size_t n = command_children(command.up_pid, pids, names);
    cr_assert_eq(n, 4);
    kill(command.up_pid, SIGKILL);
    cr_assert_eq(child_status(command.up_pid), -SIGKILL);
    command.up_pid = 0;
    wait_gone(pids, n);
}

Test(up, a_killed_process_is_back_within_a_second)
{
    static const char *const names[] = {"coordinator", "classifier", "prober", "relay"};

    command_up();
    for (size_t i = 0; i < 4; i++) {
        pid_t old = command_child(names[i]);
        cr_assert_gt(old, 0);
        int64_t at = service_now_us(), until = command_limit();
        kill(old, SIGKILL);
        while (command_child(names[i]) == old ||
               RUN("state", names[i], "--state", command.state) != EXIT_OK)
            command_pause(until, names[i]);
        cr_assert_leq(service_now_us() - at, 1000000, "%s", names[i]);
        cr_assert_eq(RUN("health", "--ready", "--state", command.state), EXIT_OK, "%s",
                     command.out);
    }
    cr_assert_eq(kill(command.up_pid, 0), 0);
}
