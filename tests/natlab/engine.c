/* engine.c - see engine.h. */
#include "tests/natlab/engine.h"

#include "tests/natlab/build.h"
#include "tests/natlab/control.h"
#include "tests/natlab/ip.h"
#include "tests/natlab/netns.h"
#include "tests/natlab/state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 64, READS = 64 }; /* per wait, and packets per TUN before the others get a turn */

/*
 * A sleeping processor takes this long to wake up, most of all in a virtual machine: so much before a
 * packet is due the engine gets up and looks at the clock until it is.
 */
enum { WAKE_US = 120 };

/* What an epoll event is about, in the upper half of its data; the lower half is an index or fd. */
enum source { TUN, TIMER, LISTENER, CLIENT, SIGNALS, PARENT };

int64_t engine_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static bool watch(struct engine *e, int fd, enum source source, uint32_t what)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = (uint64_t)source << 32 | what};

    return epoll_ctl(e->events, EPOLL_CTL_ADD, fd, &ev) == 0;
}

/* ---- building ---- */

static bool add_to_model(struct engine *e, size_t i)
{
    const struct spec_host *h = &e->spec->hosts[i];
    size_t line = h->behind != i ? e->net.hosts[h->behind].line : NET_LINES_MAX;

    if (h->kind == SPEC_MODEL) {
        e->nats[i] = malloc(sizeof *e->nats[i]);
        if (e->nats[i] == NULL)
            return false;
        nat_init(e->nats[i], &h->nat, e->spec->seed + i + 1);
    }
    if (line == NET_LINES_MAX) {
        struct net_line l = h->line;
        l.nat = e->nats[i];
        line = net_add_line(&e->net, &l);
    }
    /* A kernel's router is a public host as far as the model knows. */
    bool inside = h->kind == SPEC_BEHIND || (h->kind == SPEC_MODEL && h->inside.len > 0);
    net_add_host(&e->net, line, inside ? &h->inside : h->line.ips, inside ? 1 : h->line.n_ips);
    return true;
}

static bool open_hosts(struct engine *e)
{
    int outside = netns_current();
    bool ok = outside >= 0;

    for (size_t i = 0; ok && i < e->spec->n_hosts; i++) {
        const struct spec_host *h = &e->spec->hosts[i];
        ok = build_host(h, &e->tuns[i], &e->namespaces[i]) && add_to_model(e, i) &&
             watch(e, e->tuns[i], TUN, (uint32_t)i);
        if (!ok)
            fprintf(stderr, "natlab: can't make host %s: %s\n", h->name, strerror(errno));
    }
    ok = ok && netns_enter(outside);
    if (outside >= 0)
        close(outside);
    return ok;
}

static bool open_descriptors(struct engine *e, int parent)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    e->events = epoll_create1(EPOLL_CLOEXEC);
    e->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    e->signals = sigprocmask(SIG_BLOCK, &set, NULL) == 0
                     ? signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)
                     : -1;
    e->listener = control_listen(e->spec->name);
    e->armed_us = NET_NEVER;
    if (e->listener < 0)
        fprintf(stderr, "natlab: can't listen as %s: %s\n", e->spec->name, strerror(errno));
    return e->events >= 0 && e->timer >= 0 && e->signals >= 0 && e->listener >= 0 &&
           watch(e, e->timer, TIMER, 0) && watch(e, e->signals, SIGNALS, 0) &&
           watch(e, e->listener, LISTENER, 0) && watch(e, parent, PARENT, 0);
}

bool engine_open(struct engine *e, struct spec *spec, int parent)
{
    memset(e, 0, sizeof *e);
    e->spec = spec;
    e->parent = parent;
    e->slots = malloc(ENGINE_SLOTS * sizeof *e->slots);
    if (e->slots == NULL)
        return false;
    net_init(&e->net, spec->seed, e->slots, ENGINE_SLOTS);
    return open_descriptors(e, parent) && open_hosts(e);
}

/* ---- packets ---- */

static void on_tun(struct engine *e, size_t host)
{
    uint8_t buf[NET_PAYLOAD_MAX];
    struct net_packet p;

    for (int i = 0; i < READS; i++) {
        ssize_t n = read(e->tuns[host], buf, sizeof buf);
        if (n <= 0)
            return;
        if (buf[0] >> 4 == 6) /* the kernel's IPv6 looks for neighbours; there are none */
            continue;
        if (ip_parse(buf, (size_t)n, &p))
            net_send(&e->net, engine_now_us(), host, &p);
        else
            e->malformed++;
    }
}

static void deliver(struct engine *e)
{
    struct net_packet p;
    size_t host;

    while (net_deliver(&e->net, engine_now_us(), &p, &host)) {
        /* The data is the slot's own copy, so it may be changed in place. */
        uint8_t *buf = e->net.slots[e->net.lent - 1].data;
        int64_t late_us = engine_now_us() - e->net.slots[e->net.lent - 1].at_us;
        e->delivered++;
        e->late_us_sum += late_us;
        if (late_us > e->late_us_max)
            e->late_us_max = late_us;
        ip_rewrite(buf, &p);
        if (write(e->tuns[host], buf, p.len) < 0)
            e->unwritable++;
    }
}

/* Set the alarm for the next packet.  True: it is so near that there is no time to sleep. */
static bool arm(struct engine *e)
{
    int64_t at_us = net_next_us(&e->net);
    struct itimerspec t = {0};

    if (at_us != NET_NEVER && at_us - engine_now_us() <= WAKE_US)
        return true;
    if (at_us == e->armed_us)
        return false;
    if (at_us != NET_NEVER) {
        t.it_value.tv_sec = (at_us - WAKE_US) / 1000000;
        t.it_value.tv_nsec = (at_us - WAKE_US) % 1000000 * 1000 + 1; /* all zero would disarm it */
    }
    timerfd_settime(e->timer, TFD_TIMER_ABSTIME, &t, NULL);
    e->armed_us = at_us;
    return false;
}

/* ---- processes ---- */

static void start_command(struct engine *e)
{
    sigset_t none;

    if (e->spec->command == NULL)
        return;
    e->command = fork();
    if (e->command != 0) {
        e->done = e->command < 0;
        return;
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGINT, SIG_DFL);
    execvp(e->spec->command[0], e->spec->command);
    fprintf(stderr, "natlab: %s: %s\n", e->spec->command[0], strerror(errno));
    _exit(127);
}

/* As the first process of the namespace we also inherit everybody's orphans. */
static void reap(struct engine *e)
{
    int status;

    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == e->command) {
            e->done = true;
            e->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
}

static void on_signal(struct engine *e)
{
    struct signalfd_siginfo s;

    while (read(e->signals, &s, sizeof s) == (ssize_t)sizeof s) {
        if (s.ssi_signo == SIGCHLD) {
            reap(e);
        } else if (s.ssi_signo != SIGINT || e->command == 0) {
            /* An interrupt from the terminal also went to the command, which decides. */
            e->done = true;
            e->status = e->command == 0 ? 0 : 128 + (int)s.ssi_signo;
        }
    }
}

static void report_ready(struct engine *e)
{
    if (e->spec->ready_fd >= 0) {
        dprintf(e->spec->ready_fd, "%s\n", e->spec->name);
        close(e->spec->ready_fd);
    } else if (e->spec->command == NULL) {
        printf("lab %s is up; try: natlab exec %s HOST COMMAND\n", e->spec->name, e->spec->name);
        fflush(stdout);
    }
}

static void write_state(struct engine *e)
{
    FILE *f = e->spec->state != NULL ? fopen(e->spec->state, "we") : NULL;

    if (f != NULL) {
        state_print(e, f);
        fclose(f);
    }
}

static void on_event(struct engine *e, uint64_t what)
{
    uint32_t low = (uint32_t)what;
    uint64_t expirations;

    switch ((enum source)(what >> 32)) {
    case TUN: on_tun(e, low); break;
    case TIMER:
        if (read(e->timer, &expirations, sizeof expirations) > 0)
            e->armed_us = NET_NEVER;
        break;
    case LISTENER: {
        int client = control_accept(e->listener);
        if (client >= 0 && !watch(e, client, CLIENT, (uint32_t)client))
            close(client);
        break;
    }
    case CLIENT: control_answer(e, (int)low); break; /* closes it, which unwatches it */
    case SIGNALS: on_signal(e); break;
    case PARENT: e->done = true; break;
    }
}

int engine_run(struct engine *e)
{
    struct epoll_event events[EVENTS];

    report_ready(e);
    start_command(e);
    while (!e->done) {
        int n = epoll_wait(e->events, events, EVENTS, arm(e) ? 0 : -1);
        for (int i = 0; i < n; i++)
            on_event(e, events[i].data.u64);
        deliver(e);
    }
    write_state(e);
    return e->status;
}
