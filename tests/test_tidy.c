/* test_tidy.c - what a test leaves in /tmp goes with it, however it ends. */
#include "tests/lib/child.h"
#include "tests/lib/share.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOKS_MAX = 1000, LOOK_MS = 10, PATH = 64 };

TestSuite(tidy, .timeout = 20);

/* A directory with something in it, whose name goes to who waits; then nothing more. */
static void make(void *arg, int fd)
{
    char dir[PATH] = "/tmp/test_tidy.XXXXXX", path[2 * PATH];

    (void)arg;
    cr_assert(tidy_mkdtemp(dir));
    snprintf(path, sizeof path, "%s/in", dir);
    cr_assert_eq(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/in/file", dir);
    close(open(path, O_WRONLY | O_CREAT, 0600));
    cr_assert_eq(write(fd, dir, sizeof dir), sizeof dir);
    pause();
}

Test(tidy, a_directory_is_there_while_its_test_is_and_gone_when_that_was_killed)
{
    static struct child child;
    char dir[PATH];

    child_start(&child, make, NULL);
    cr_assert_eq(read(child.in, dir, sizeof dir), sizeof dir);
    cr_assert_eq(access(dir, F_OK), 0);
    kill(child.pid, SIGKILL);
    for (int i = 0; i < LOOKS_MAX && access(dir, F_OK) == 0; i++)
        poll(NULL, 0, LOOK_MS);
    cr_assert_eq(access(dir, F_OK), -1);
}

/* A group with a process in it that dies with this one; says whether there could be one. */
static void hold(void *arg, int fd)
{
    pid_t pid = fork();

    (void)arg;
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    bool held = share_hold(pid, 50);
    cr_assert_eq(write(fd, &held, sizeof held), sizeof held);
    pause();
}

static size_t groups_of(pid_t pid)
{
    char pattern[128];
    glob_t g;
    size_t n = 0;

    snprintf(pattern, sizeof pattern, "/sys/fs/cgroup/{cpu/,}natterjack-%d-*", (int)pid);
    if (glob(pattern, GLOB_BRACE, NULL, &g) == 0) {
        n = g.gl_pathc;
        globfree(&g);
    }
    return n;
}

Test(tidy, a_share_of_a_core_goes_with_the_test_that_was_killed)
{
    static struct child child;
    bool held;

    child_start(&child, hold, NULL);
    cr_assert_eq(read(child.in, &held, sizeof held), sizeof held);
    if (!held) {
        kill(child.pid, SIGKILL);
        cr_skip_test("no control groups here");
    }
    cr_assert_eq(groups_of(child.pid), 1);
    kill(child.pid, SIGKILL);
    for (int i = 0; i < LOOKS_MAX && groups_of(child.pid) > 0; i++)
        poll(NULL, 0, LOOK_MS);
    cr_assert_eq(groups_of(child.pid), 0);
}
