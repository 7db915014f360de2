/* child.c - see child.h. */
#include "tests/lib/child.h"

#include <assert.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int child_status(pid_t pid)
{
    int status;
    pid_t ended = waitpid(pid, &status, 0);

    assert(ended == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Take what there is; false at the end. */
static bool drain(int fd, char *text, size_t *n)
{
    char spill[512];
    bool room = *n + 1 < CHILD_TEXT_MAX;
    ssize_t got = read(fd, room ? text + *n : spill, room ? CHILD_TEXT_MAX - 1 - *n : sizeof spill);

    if (got > 0 && room)
        *n += (size_t)got;
    return got > 0;
}

/* What the parent registered for its own exit is not the child's to run. */
static void leave(int status, void *arg)
{
    (void)arg;
    fflush(NULL);
    _exit(status);
}

/*
 * The child has the thread that forks and no other: what one of libzmq's held stays locked there.  Those of the test's
 * own driver are of no use to the child.
 */
static bool alone(void)
{
    char name[32] = "";
    glob_t tasks;
    bool found = false;

    if (glob("/proc/self/task/*/comm", 0, NULL, &tasks) != 0)
        return false;
    for (size_t i = 0; i < tasks.gl_pathc; i++) {
        FILE *f = fopen(tasks.gl_pathv[i], "re");
        found |= f && fgets(name, sizeof name, f) && strncmp(name, "ZMQ", 3) == 0;
        if (f)
            fclose(f);
    }
    globfree(&tasks);
    return !found;
}

int child_run(struct child *c, void (*body)(void *arg), void *arg)
{
    int out[2], err[2];
    size_t n_out = 0, n_err = 0;

    assert(alone());
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
        abort();
    fflush(NULL); /* or the child would print it again */
    c->pid = fork();
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        on_exit(leave, NULL);
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        body(arg);
        exit(0);
    }
    close(out[1]);
    close(err[1]);
    struct pollfd p[2] = {
        {out[0], POLLIN, 0},
        {err[0], POLLIN, 0}
    };
    while (p[0].fd >= 0 || p[1].fd >= 0) {
        if (poll(p, 2, -1) < 0)
            break;
        if (p[0].revents && !drain(out[0], c->out, &n_out))
            p[0].fd = -1;
        if (p[1].revents && !drain(err[0], c->err, &n_err))
            p[1].fd = -1;
    }
    c->out[n_out] = c->err[n_err] = '\0';
    close(out[0]);
    close(err[0]);
    return child_status(c->pid);
}

void child_start(struct child *c, void (*body)(void *arg, int fd), void *arg)
{
    int fd[2];

    assert(alone());
    if (pipe2(fd, O_CLOEXEC) != 0)
        abort();
    fflush(NULL);
    c->pid = fork();
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(fd[0]);
        body(arg, fd[1]);
        _exit(0);
    }
    close(fd[1]);
    c->in = fd[0];
}

int child_wait(struct child *c)
{
    close(c->in);
    return child_status(c->pid);
}
