/* supervisor.c - see supervisor.h. */
#include "services/natterjack/supervisor.h"
#include "lib/config.h"
#include "lib/log.h"
#include "lib/service.h"
#include "services/natterjack/command.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS INT64_C(1000)

struct supervisor {
    struct child *children;
    size_t n;
    int signal_fd;
    bool (*on_ready)(void *arg);
    void *arg;
    bool announced; /* all were ready once, and on_ready was called */
    bool stop, draining;
    int status;
};

/* ---- one child ------------------------------------------------------------------------------ */

__attribute__((noreturn)) static void become(const struct child *c, pid_t parent, int ready_fd)
{
    char number[16];
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the kernel knew what we want then */
        _exit(EXIT_FAILED);
    setpgid(0, 0); /* a terminal's ^C is for the supervisor, who then ends us in order */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int fd = fcntl(ready_fd, F_DUPFD, STDERR_FILENO + 1); /* this copy survives exec */
    snprintf(number, sizeof number, "%d", fd);
    setenv("NATTERJACK_READY_FD", number, 1);
    execv(c->path, (char *const *)(uintptr_t)c->argv); /* which promises not to write to them */
    log_warn("event=not_started child=%s path=%s why=\"%s\"", c->name, c->path, strerror(errno));
    _exit(EXIT_FAILED);
}

/* After a death or a failed start: when to try again. */
static void schedule(struct child *c, int64_t now)
{
    if (c->ready && now - c->ready_us >= STABLE_MS * MS)
        c->backoff_us = 0;
    c->restart_us = now + c->backoff_us;
    c->backoff_us = c->backoff_us == 0 ? BACKOFF_MIN_MS * MS : 2 * c->backoff_us;
    if (c->backoff_us > BACKOFF_MAX_MS * MS)
        c->backoff_us = BACKOFF_MAX_MS * MS;
    c->ready = false;
}

static void start(struct child *c)
{
    int fd[2];
    pid_t parent = getpid();

    c->tries++;
    c->ready = c->settled = false;
    c->started_us = service_now_us();
    if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0) {
        log_warn("event=not_started child=%s why=\"%s\"", c->name, strerror(errno));
        schedule(c, c->started_us);
        return;
    }
    c->pid = fork();
    if (c->pid == 0)
        become(c, parent, fd[1]);
    close(fd[1]);
    if (c->pid > 0) {
        c->ready_fd = fd[0];
        return;
    }
    log_warn("event=not_started child=%s why=\"%s\"", c->name, strerror(errno));
    c->pid = 0;
    close(fd[0]);
    schedule(c, c->started_us);
}

static void forget_ready_fd(struct child *c)
{
    if (c->ready_fd >= 0)
        close(c->ready_fd);
    c->ready_fd = -1;
}

static void on_ready_fd(struct child *c)
{
    char text[64];
    ssize_t n = read(c->ready_fd, text, sizeof text);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        forget_ready_fd(c);
    } else if (c->ready) {
        c->settled = true;
    } else {
        c->ready = true;
        c->ready_us = service_now_us();
        log_info("event=child_ready child=%s pid=%d after_ms=%lld", c->name, (int)c->pid,
                 (long long)((c->ready_us - c->started_us) / 1000));
    }
}

/* ---- all of them ---------------------------------------------------------------------------- */

static void fail(struct supervisor *s)
{
    s->stop = true;
    s->status = EXIT_FAILED;
}

/* Was this the end of its draining?  If nobody had told the others to, they are told now. */
static bool on_drained(struct supervisor *s, struct child *c, int status)
{
    bool asked = WIFEXITED(status) && WEXITSTATUS(status) == SERVICE_DRAINED;

    if (s->stop || (!asked && !c->told_to_drain))
        return false;
    log_info("event=child_drained child=%s in_order=%s", c->name, asked ? "yes" : "no");
    c->drained = true;
    s->draining = true;
    return true;
}

/* Tell the next child to drain, once those before have settled; when all have drained, it is time to stop. */
static void drain_on(struct supervisor *s)
{
    bool all = true;

    for (size_t i = 0; i < s->n; i++) {
        struct child *c = &s->children[i];
        if (!c->drains || c->drained)
            continue;
        if (!c->told_to_drain && c->pid > 0) {
            log_info("event=draining child=%s", c->name);
            c->told_to_drain = kill(c->pid, SIGUSR1) == 0;
        }
        if (!c->settled)
            return;
        all = false;
    }
    s->stop = all;
}

static void on_death(struct supervisor *s, struct child *c, int status)
{
    int64_t now = service_now_us();
    const char *next = s->stop ? "stop" : "restart";
    int pid = (int)c->pid;

    c->pid = 0;
    forget_ready_fd(c);
    schedule(c, now);
    if (on_drained(s, c, status))
        return;
    if (WIFEXITED(status) && WEXITSTATUS(status) == SERVICE_OVER_MEMORY)
        log_warn("event=child_over_memory child=%s pid=%d times=%u next=%s", c->name, pid,
                 ++c->over_memory, next);
    else if (WIFSIGNALED(status))
        log_warn("event=child_died child=%s pid=%d signal=%d why=\"%s\" next=%s", c->name, pid,
                 WTERMSIG(status), strsignal(WTERMSIG(status)), next);
    else if (!s->stop || WEXITSTATUS(status) != 0)
        log_warn("event=child_died child=%s pid=%d exit=%d next=%s", c->name, pid,
                 WEXITSTATUS(status), next);
    if (!s->stop && !s->announced && c->tries >= START_TRIES) {
        log_warn("event=start_failed child=%s tries=%u why=\"its own lines above say\"", c->name,
                 c->tries);
        fail(s);
    }
}

static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (size_t i = 0; i < s->n; i++)
            if (s->children[i].pid == pid)
                on_death(s, &s->children[i], status);
}

/* A child that is not ready yet reads the new configuration anyway, or would die of the signal. */
static void reload(struct supervisor *s)
{
    char err[CONFIG_ERROR_MAX];

    config_reload(err); /* it says in the log what came of it, and each child does for itself */
    for (size_t i = 0; i < s->n; i++)
        if (s->children[i].pid > 0 && s->children[i].ready)
            kill(s->children[i].pid, SIGHUP);
}

static void on_signal(struct supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signal_fd, &info, sizeof info) == sizeof info)
        switch (info.ssi_signo) {
        case SIGCHLD: break;
        case SIGHUP: reload(s); break;
        case SIGUSR1: s->draining = true; break;
        default: s->stop = true;
        }
    reap(s);
}

static size_t running(const struct supervisor *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++)
        n += s->children[i].pid > 0;
    return n;
}

/* Wait for a signal or a ready line, at most until then. */
static void wait_until(struct supervisor *s, int64_t until_us)
{
    struct pollfd p[1 + CHILDREN_MAX];
    int64_t wait_us = until_us == NEVER ? NEVER : until_us - service_now_us();

    p[0] = (struct pollfd){s->signal_fd, POLLIN, 0};
    for (size_t i = 0; i < s->n; i++)
        p[1 + i] = (struct pollfd){s->children[i].ready_fd, POLLIN, 0}; /* -1 is skipped */
    int wait_ms = wait_us == NEVER ? -1 : wait_us <= 0 ? 0 : (int)((wait_us + 999) / 1000);
    if (poll(p, 1 + s->n, wait_ms) <= 0)
        return;
    for (size_t i = 0; i < s->n; i++) /* before the deaths: a line that was written counts */
        if (p[1 + i].revents)
            on_ready_fd(&s->children[i]);
    for (size_t i = 0; i < s->n; i++) /* who told it told all of them */
        s->draining = s->draining || s->children[i].settled;
    if (p[0].revents)
        on_signal(s);
}

/* Do what is due at this time for c; returns when next to look. */
static int64_t on_time(struct supervisor *s, struct child *c)
{
    int64_t now = service_now_us();

    if (c->drained)
        return NEVER;
    if (c->pid == 0 && c->restart_us <= now)
        start(c);
    if (c->pid == 0)
        return c->restart_us;
    if (c->ready)
        return NEVER;
    if (now - c->started_us < READY_LIMIT_MS * MS)
        return c->started_us + READY_LIMIT_MS * MS;
    log_warn("event=not_ready child=%s pid=%d after_ms=%d next=kill", c->name, (int)c->pid,
             READY_LIMIT_MS);
    kill(c->pid, SIGKILL); /* its death is then handled like any other */
    c->started_us = now;
    if (!s->announced)
        fail(s);
    return NEVER;
}

static void stop_children(struct supervisor *s)
{
    int64_t limit = service_now_us() + STOP_LIMIT_MS * MS;

    for (size_t i = 0; i < s->n; i++)
        if (s->children[i].pid > 0)
            kill(s->children[i].pid, SIGTERM);
    while (running(s) > 0 && service_now_us() < limit)
        wait_until(s, limit);
    for (size_t i = 0; i < s->n; i++)
        if (s->children[i].pid > 0) {
            log_warn("event=stuck child=%s next=kill", s->children[i].name);
            kill(s->children[i].pid, SIGKILL);
        }
    while (running(s) > 0) /* SIGKILL is not refused */
        wait_until(s, NEVER);
}

static int open_signals(void)
{
    static const int which[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof which / sizeof *which; i++)
        sigaddset(&set, which[i]);
    signal(SIGCHLD, SIG_DFL); /* inherited as ignored it would never be told */
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int supervise(struct child *children, size_t n, bool (*on_ready)(void *arg), void *arg)
{
    struct supervisor s = {children, n,     open_signals(), on_ready, arg,
                           false,    false, false,          EXIT_OK};

    assert(n <= CHILDREN_MAX);
    if (s.signal_fd < 0)
        die("event=no_signalfd why=\"%s\"", strerror(errno));
    for (size_t i = 0; i < n; i++)
        children[i].ready_fd = -1;
    while (!s.stop) {
        int64_t next = NEVER;
        size_t ready = 0;
        for (size_t i = 0; i < n; i++) {
            int64_t due = on_time(&s, &children[i]);
            next = due < next ? due : next;
            ready += children[i].ready;
        }
        if (s.draining)
            drain_on(&s);
        if (ready == n && !s.announced && !s.stop) {
            s.announced = true;
            if (!on_ready(arg))
                fail(&s);
        }
        if (!s.stop)
            wait_until(&s, next);
    }
    stop_children(&s);
    close(s.signal_fd);
    return s.status;
}
