/* lab.c - see lab.h. */
#include "tests/natlab/lab.h"

#include "tests/natlab/control.h"
#include "tests/natlab/netns.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGS_MAX = 96 };

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* execv wants pointers to what it does not change.  Only the descriptors of keep are passed on, up to a -1. */
static pid_t run(const char *const *head, const char *const *tail, int out, const int *keep)
{
    const char *argv[ARGS_MAX];
    size_t n = 0;

    for (; *head != NULL && n < ARGS_MAX - 1; head++)
        argv[n++] = *head;
    for (; *tail != NULL && n < ARGS_MAX - 1; tail++)
        argv[n++] = *tail;
    argv[n] = NULL;
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (out >= 0) {
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
    }
    for (; *keep >= 0; keep++)
        fcntl(*keep, F_SETFD, 0);
    execv(BIN_DIR "/natlab", (char **)(uintptr_t)argv);
    _exit(127);
}

/* A pipe that only run() passes on. */
static bool open_pipe(int fds[2], char text[16], int passed)
{
    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    snprintf(text, 16, "%d", fds[passed]);
    return true;
}

/*
 * The kernel's signal at the death of the parent comes only to who has asked for it in time: if we die
 * between fork and that, nobody would end the lab.  The end of the pipe can't be missed.
 */
bool lab_start(struct lab *l, const char *const *args)
{
    int ready[2], alive[2];
    char ready_text[16], alive_text[16];
    int64_t before_us = now_us();

    *l = (struct lab){.alive = -1};
    if (!open_pipe(ready, ready_text, 1))
        return false;
    if (!open_pipe(alive, alive_text, 0)) {
        close(ready[0]);
        close(ready[1]);
        return false;
    }
    l->alive = alive[1];
    l->pid = run(
        (const char *const[]){"natlab", "--ready-fd", ready_text, "--until-eof", alive_text, NULL},
        args, -1, (const int[]){ready[1], alive[0], -1});
    close(ready[1]);
    close(alive[0]);
    struct pollfd p = {.fd = ready[0], .events = POLLIN};
    ssize_t n = poll(&p, 1, LAB_WAIT_MS) == 1 ? read(ready[0], l->name, sizeof l->name - 1) : 0;
    close(ready[0]);
    l->up_us = now_us() - before_us;
    if (n > 1) {
        l->name[n - 1] = '\0'; /* the newline */
        return true;
    }
    lab_stop(l);
    return false;
}

int lab_stop(struct lab *l)
{
    int status = -1;

    if (l->pid <= 0)
        return -1;
    kill(l->pid, SIGTERM);
    waitpid(l->pid, &status, 0);
    l->pid = 0;
    close(l->alive);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

pid_t lab_spawn(const struct lab *l, const char *host, int out, const char *const *argv)
{
    return run((const char *const[]){"natlab", "exec", "--lab", l->name, host, NULL}, argv, out,
               (const int[]){-1});
}

static bool ask(const struct lab *l, int fds[CONTROL_FDS], const char *format, const char *a,
                const char *b)
{
    char request[CONTROL_TEXT_MAX], error[CONTROL_TEXT_MAX];

    snprintf(request, sizeof request, "%s %s%s%s", format, a, b[0] != '\0' ? " " : "", b);
    bool ok = control_ask(l->name, request, fds, error);
    if (!ok)
        fprintf(stderr, "natlab: %s: %s\n", request, error);
    return ok;
}

int lab_enter(const struct lab *l, const char *host)
{
    int fds[CONTROL_FDS], back = netns_current();

    if (back < 0)
        return -1;
    if (!ask(l, fds, "exec", host, "")) {
        close(back);
        return -1;
    }
    if (!netns_enter(fds[0])) {
        close(back);
        back = -1;
    }
    close(fds[0]);
    close(fds[1]);
    return back;
}

int lab_socket(const struct lab *l, const char *host, int type, const char *ip, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int back = lab_enter(l, host);

    if (back < 0)
        return -1;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, ip, &a.sin_addr) != 1 ||
        bind(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        fd = -1;
    }
    if (!netns_enter(back))
        abort();
    close(back);
    return fd;
}

char *lab_state(const struct lab *l)
{
    int fds[CONTROL_FDS];
    struct stat st;

    if (!ask(l, fds, "nat", "", ""))
        return NULL;
    char *text = fstat(fds[0], &st) == 0 ? calloc(1, (size_t)st.st_size + 1) : NULL;
    if (text != NULL && pread(fds[0], text, (size_t)st.st_size, 0) != st.st_size) {
        free(text);
        text = NULL;
    }
    close(fds[0]);
    return text;
}

bool lab_set(const struct lab *l, const char *host, const char *setting)
{
    int fds[CONTROL_FDS];

    return ask(l, fds, "set", host, setting);
}
