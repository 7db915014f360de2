/* ask_hook.c - see ask_hook.h. */
#include "services/natterjack/ask_hook.h"

#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    struct service *svc;
    const char *command;
    struct hook {
        pid_t pid; /* 0: free */
        int done;  /* readable when it has ended */
        int limit; /* readable when its time is over */
        struct sid session;
    } hook[ASK_HOOKS_MAX];
    struct invitation_answer answer; /* what the last input's args point at */
} self;

static _Noreturn void become(const char *command, const struct invitation *i)
{
    char id[PEER_ID_TEXT];
    sigset_t none;
    int null = open("/dev/null", O_RDONLY);

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL); /* the service's loop takes its signals otherwise */
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0); /* a group of its own, to be killed as one */
    dup2(null, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execlp(command, command, peer_id_format(&i->peer, id), i->name, (char *)NULL);
    _exit(127);
}

static void let_go(struct hook *h)
{
    service_unwatch_fd(self.svc, h->done);
    service_unwatch_fd(self.svc, h->limit);
    close(h->done);
    close(h->limit);
    h->pid = 0;
}

static bool on_done(struct service *s, void *arg, struct input *in)
{
    struct hook *h = arg;
    int status = -1;

    (void)s;
    if (waitpid(h->pid, &status, WNOHANG) == 0)
        return false;
    self.answer = (struct invitation_answer){
        .session = h->session,
        .accepted = WIFEXITED(status) && WEXITSTATUS(status) == 0,
    };
    log_info("event=asked accepted=%d status=%d", self.answer.accepted, status);
    let_go(h);
    in->kind = IN_APP;
    in->app.op = APP_ANSWER;
    in->app.args = &self.answer;
    in->app.len = sizeof self.answer;
    return true;
}

static bool on_limit(struct service *s, void *arg, struct input *in)
{
    struct hook *h = arg;
    uint64_t n;

    (void)s, (void)in;
    if (read(h->limit, &n, sizeof n) == sizeof n)
        kill(-h->pid, SIGKILL); /* its end is the answer */
    return false;
}

static bool watch(struct hook *h, uint32_t timeout_ms)
{
    struct itimerspec at = {
        .it_value = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000 + 1}
    };

    h->done = pidfd_open(h->pid, 0);
    h->limit = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (h->done < 0 || h->limit < 0 || timerfd_settime(h->limit, 0, &at, NULL) != 0)
        return false;
    service_watch_fd(self.svc, h->done, ZMQ_POLLIN, on_done, h);
    service_watch_fd(self.svc, h->limit, ZMQ_POLLIN, on_limit, h);
    return true;
}

void ask_hook_run(const struct invitation *i)
{
    struct hook *h = self.hook;

    while (h < self.hook + ASK_HOOKS_MAX && h->pid != 0)
        h++;
    if (h == self.hook + ASK_HOOKS_MAX) { /* the caller is told when its time is over */
        log_limited("event=not_asked why=\"too many at once\"");
        return;
    }
    h->pid = fork();
    if (h->pid == 0)
        become(self.command, i);
    h->session = i->session;
    if (h->pid > 0)
        setpgid(h->pid, h->pid); /* whichever of the two is first */
    if (h->pid > 0 && watch(h, i->timeout_ms))
        return;
    log_warn("event=not_asked why=\"%s\"", strerror(errno));
    if (h->pid > 0) {
        kill(h->pid, SIGKILL);
        waitpid(h->pid, NULL, 0);
        close(h->done);
        close(h->limit);
    }
    h->pid = 0;
}

bool ask_hook_found(const char *command)
{
    const char *at = getenv("PATH");
    char path[PATH_MAX];

    if (strchr(command, '/'))
        return access(command, X_OK) == 0;
    while (at && *command) {
        size_t len = strcspn(at, ":");
        snprintf(path, sizeof path, "%.*s/%s", (int)len, at, command);
        if (access(path, X_OK) == 0)
            return true;
        at = at[len] ? at + len + 1 : NULL;
    }
    return false;
}

void ask_hook_open(struct service *svc, const char *command)
{
    self.svc = svc;
    self.command = command;
}

void ask_hook_close(void)
{
    for (struct hook *h = self.hook; h < self.hook + ASK_HOOKS_MAX; h++)
        if (h->pid > 0) {
            kill(-h->pid, SIGKILL);
            waitpid(h->pid, NULL, 0);
            let_go(h);
        }
}
