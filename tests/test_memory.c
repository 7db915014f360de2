/* test_memory.c - lib/memory.h, and a suite that has more than it may. */
#include "lib/admin.h"
#include "lib/memory.h"
#include "tests/lib/ports.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_MS = 20000, LINE = 2048 };

static char dir[] = "/tmp/test_memory.XXXXXX", file[64], log_path[64];
static pid_t up;

static void setup(void)
{
    cr_assert(tidy_mkdtemp(dir));
    snprintf(file, sizeof file, "%s/natterjack.yml", dir);
    snprintf(log_path, sizeof log_path, "%s/log", dir);
}

static void teardown(void)
{
    if (up > 0) {
        kill(up, SIGTERM);
        waitpid(up, NULL, 0);
    }
    tidy_remove(dir);
}

TestSuite(memory, .init = setup, .fini = teardown, .timeout = 60);

static uint64_t parse(const char *text) { return memory_parse(text, strlen(text), 4096); }

Test(memory, what_is_resident_is_the_second_number_of_statm_in_pages)
{
    cr_assert_eq(parse("57774 3521 2177 51 0 21453 0\n"), 3521 * 4);
    cr_assert_eq(memory_parse("1 3 2", 5, 65536), 3 * 64);
    cr_assert_eq(parse("1 999999999999 2"), UINT64_C(999999999999) * 4);
}

Test(memory, what_is_no_statm_says_nothing)
{
    static const char *const bad[] = {"",
                                      "57774",
                                      "57774 ",
                                      "57774 3521", /* cut: there may be more digits */
                                      " ",
                                      "1  3521 1",
                                      "1 - 2",
                                      "1 -5 2",
                                      "1 x",
                                      "1 3x5 2",
                                      "1 9999999999999 2",
                                      "1 99999999999999999999999999999999999 2"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(parse(bad[i]), 0, "%s", bad[i]);
}

Test(memory, over_the_cap_is_more_than_it_and_no_cap_is_never_passed)
{
    cr_assert(!memory_over(1024, 1));
    cr_assert(memory_over(1025, 1));
    cr_assert(!memory_over(UINT64_MAX, 0));
    cr_assert(!memory_over(0, 1));
    cr_assert(!memory_over(UINT64_C(5000) << 20, UINT32_MAX), "5,000 GiB of 4 PiB");
}

Test(memory, a_process_sees_its_own_grow_and_without_the_file_nothing)
{
    enum { BYTES = 32 << 20 };

    cr_assert(!memory_seen());
    cr_assert_eq(memory_now(), 0);
    memory_open();
    cr_assert(memory_seen());
    uint64_t before = memory_now();
    cr_assert_gt(before, 0);
    char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(p, MAP_FAILED);
    memset(p, 1, BYTES);
    cr_assert_geq(memory_now(), before + BYTES / 1024 - 1024);
    munmap(p, BYTES);
}

/* ---- a suite ------------------------------------------------------------------------------------ */

static void write_file(const char *content)
{
    FILE *f = fopen(file, "we");

    cr_assert(f && fputs(content, f) >= 0 && fclose(f) == 0);
}

/* A suite that reads that file, until it says its join string. */
static void start_up(void)
{
    char port[SUITE_PORTS][PORT_TEXT], state[64], line[LINE];
    int fd[2];

    free_ports(port);
    snprintf(state, sizeof state, "%s/s", dir);
    cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
    up = fork();
    if (up == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fd[1], STDOUT_FILENO);
        dup2(open(log_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), STDERR_FILENO);
        execl(BIN_DIR "/natterjack", "natterjack", "up", "--state", state, "--config", file,
              "--prober-port", port[0], "--prober-alt-port", port[1], "--relay-port", port[2],
              "--front-port", port[3], "--enrol-port", port[4], (char *)NULL);
        _exit(127);
    }
    close(fd[1]);
    FILE *f = fdopen(fd[0], "r");
    cr_assert(fgets(line, sizeof line, f));
    fclose(f);
}

static void wait_log(const char *what)
{
    static char text[1 << 20];
    int64_t limit_us = service_now_us() + LIMIT_MS * INT64_C(1000);

    do {
        cr_assert_lt(service_now_us(), limit_us, "%s does not come: %s", what, text);
        usleep(2000);
        FILE *f = fopen(log_path, "re");
        text[fread(text, 1, sizeof text - 1, f)] = '\0';
        fclose(f);
    } while (!strstr(text, what));
}

/* What it says that it has; waits until it answers. */
static json_int_t resident_kib(const char *process)
{
    int64_t limit_us = service_now_us() + LIMIT_MS * INT64_C(1000);
    char path[96], err[256];
    json_t *state;

    snprintf(path, sizeof path, "%s/s/admin/%s", dir, process);
    while (!(state = admin_ask(path, "state", LIMIT_MS, err, sizeof err))) {
        cr_assert_lt(service_now_us(), limit_us, "%s: %s", process, err);
        usleep(2000);
    }
    json_int_t kib =
        json_integer_value(json_object_get(json_object_get(state, "shell"), "memory_kib"));
    json_decref(state);
    return kib;
}

Test(memory, a_service_over_the_cap_ends_and_is_started_again_and_counted)
{
    static const char *const names[] = {"prober", "classifier", "coordinator", "relay"};
    char line[96];
    int status;

    write_file("common:\n  cage: auto\n");
    start_up();
    for (size_t i = 0; i < 4; i++)
        cr_assert_gt(resident_kib(names[i]), 1024, "%s", names[i]);
    write_file("common:\n  memory-max: 1\n");
    kill(up, SIGHUP);
    for (size_t i = 0; i < 4; i++) {
        snprintf(line, sizeof line, "svc=%s event=over_memory kib=", names[i]);
        wait_log(line);
        snprintf(line, sizeof line, "event=child_over_memory child=%s pid=", names[i]);
        wait_log(line);
    }
    wait_log("times=2 next=restart"); /* of those that are over it again */
    write_file("common:\n  memory-max: 4000\n");
    kill(up, SIGHUP);
    for (size_t i = 0; i < 4; i++)
        cr_assert_gt(resident_kib(names[i]), 1024, "%s", names[i]);
    kill(up, SIGTERM);
    cr_assert_eq(waitpid(up, &status, 0), up);
    up = 0;
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
