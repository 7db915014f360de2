/*
 * ours.c - a peer of ours for `make compare`, which connects when it is told, not as soon as it can.
 *
 *     compare-ours JOIN KEYFILE TARGET
 *
 * Prints {"event":"ready"} when it is attached and its NAT is known; begins at SIGUSR1 and prints
 * {"event":"result"} with whether the path is direct, and after how many ms both sides had proof of it.
 */
#include "services/natterjack/peer.h"

#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    LIMIT_US = 15 * 1000000,
    FILTERING_US = 5 * 1000000 /* it is measured by silence; known after that, or never */
};

static struct {
    struct agent agent;
    bool told, settled;
    struct attempt at;
} self;

static void on_event(struct agent *g, enum app_event event, const struct attempt *a)
{
    (void)g;
    if (event != APP_SETTLED || self.settled)
        return;
    self.at = *a;
    self.settled = true;
}

static bool on_signal(struct service *s, void *arg, struct input *in)
{
    const int *fd = arg;
    struct signalfd_siginfo info;

    (void)s;
    self.told = read(*fd, &info, sizeof info) == sizeof info;
    in->kind = IN_TICK; /* so that agent_run looks */
    return true;
}

static bool measured(void *arg)
{
    (void)arg;
    return self.agent.core.attached && self.agent.core.profile_known;
}

static bool filtering_known(void *arg)
{
    (void)arg;
    return self.agent.core.profile.filtering != NAT_UNKNOWN;
}

static bool is_true(void *arg) { return *(const bool *)arg; }

int main(int argc, char **argv)
{
    struct agent_conf conf = {
        .on_event = on_event, .accept = ACCEPT_NOBODY, .modes = 1u << MODE_MANAGED};
    struct connect_args args = {.mode = MODE_MANAGED};
    struct agent *g = &self.agent;
    sigset_t usr1;

    if (argc != 4)
        return usage_error("usage: compare-ours JOIN KEYFILE TARGET");
    int status = peer_conf(&(struct peer_flags){.join = argv[1], .key = argv[2]}, &conf);
    if (status != EXIT_OK)
        return status;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    int fd = signalfd(-1, &usr1, SFD_CLOEXEC | SFD_NONBLOCK);
    agent_open(g, &conf);
    service_watch_fd(&g->svc, fd, ZMQ_POLLIN, on_signal, &fd);
    agent_run(g, NEVER, measured, NULL);
    agent_run(g, service_now_us() + FILTERING_US, filtering_known, NULL);
    print_line(json_pack("{s:s}", "event", "ready"));

    agent_run(g, NEVER, is_true, &self.told);
    msg_text(args.target, sizeof args.target, argv[3]);
    args.deadline_us = service_now_us() + LIMIT_US;
    agent_connect(g, &args);
    agent_run(g, NEVER, is_true, &self.settled);
    bool direct = executor_path(&self.at) == PATH_DIRECT;
    const struct way_state *w = &self.at.way[WAY_DIRECT];
    print_line(json_pack("{s:s, s:b, s:o, s:s, s:s}", "event", "result", "direct", direct, "ms",
                         json_ms(direct ? w->confirmed_us : 0, self.at.asked_us), "technique",
                         technique_name[self.at.technique], "verdict",
                         verdict_name(self.at.verdict)));
    for (size_t i = 0; i < ATTEMPTS_MAX; i++)
        if (g->core.attempts[i].state != ATTEMPT_FREE &&
            g->core.attempts[i].state != ATTEMPT_CLOSED)
            agent_close_path(g, &g->core.attempts[i], APP_CLOSE);
    agent_close(g);
    close(fd);
    return 0;
}
