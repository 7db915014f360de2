/* engine.c - see engine.h. */
#include "tests/natlab/engine.h"

#include "tests/natlab/build.h"
#include "tests/natlab/control.h"
#include "tests/natlab/ip.h"
#include "tests/natlab/netns.h"
#include "tests/natlab/pcap.h"
#include "tests/natlab/state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
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

enum { ENGINE_NICE = -15 };

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

/* The line that a host has in the model, and what its programs or its router have for an address there. */
static bool add_to_model(struct engine *e, size_t i)
{
    const struct spec_host *h = &e->spec->hosts[i];
    size_t outer = h->behind != i ? e->lans[h->behind] + 1 : 0;
    struct net_line l = h->line;

    if (h->kind == SPEC_MODEL) {
        e->nats[i] = malloc(sizeof *e->nats[i]);
        if (e->nats[i] == NULL)
            return false;
        nat_init(e->nats[i], &h->nat, e->spec->seed + i + 1);
    }
    l.nat = e->nats[i];
    l.outer = outer;
    e->lans[i] = h->kind == SPEC_LAN ? e->lans[h->behind] : net_add_line(&e->net, &l);
    /* A kernel's router is a host with its line's addresses as far as the model knows. */
    bool inside = h->inside.len > 0 && !spec_is_kernel(h->kind);
    net_add_host(&e->net, e->lans[i], inside ? &h->inside : h->line.ips, inside ? 1 : l.n_ips);
    if (spec_is_kernel(h->kind) && spec_has_lan(e->spec, i))
        e->lans[i] = net_add_line(&e->net, &(struct net_line){.silent = true});
    return true;
}

/* The kernel's router has another foot on its LAN, which is a host of its own to the model. */
static bool add_gateway(struct engine *e, size_t i, int tun)
{
    size_t gateway = net_add_host(&e->net, e->lans[i], NULL, 0);

    e->net.lines[e->lans[i]].gateway = gateway + 1;
    e->tuns[gateway] = tun;
    return watch(e, tun, TUN, (uint32_t)gateway);
}

static bool open_hosts(struct engine *e)
{
    int outside = netns_current();
    bool ok = outside >= 0;
    struct built built[NET_HOSTS_MAX];

    for (size_t i = 0; ok && i < e->spec->n_hosts; i++) {
        ok = build_host(e->spec, i, &built[i]) && add_to_model(e, i) &&
             watch(e, built[i].tun, TUN, (uint32_t)i);
        e->tuns[i] = built[i].tun;
        e->namespaces[i] = built[i].space;
        if (!ok)
            fprintf(stderr, "natlab: can't make host %s: %s\n", e->spec->hosts[i].name,
                    strerror(errno));
    }
    for (size_t i = 0; ok && i < e->spec->n_hosts; i++)
        ok = built[i].lan < 0 || add_gateway(e, i, built[i].lan);
    ok = ok && netns_enter(outside);
    if (outside >= 0)
        close(outside);
    return ok;
}

sigset_t engine_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    return set;
}

static bool open_descriptors(struct engine *e, int parent)
{
    sigset_t set = engine_signals();

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
           watch(e, e->listener, LISTENER, 0) && watch(e, parent, PARENT, 0) &&
           (e->spec->until_eof < 0 || watch(e, e->spec->until_eof, PARENT, 0));
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
    e->pcap = spec->pcap != NULL ? pcap_open(spec) : -1;
    if (spec->pcap != NULL && e->pcap < 0) {
        fprintf(stderr, "natlab: can't write %s: %s\n", spec->pcap, strerror(errno));
        return false;
    }
    return open_descriptors(e, parent) && open_hosts(e);
}

/* ---- packets ---- */

static void capture(const struct engine *e, size_t host, const void *buf, size_t len)
{
    if (e->pcap >= 0 && host < e->spec->n_hosts)
        pcap_write(e->pcap, host, buf, len);
}

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
        capture(e, host, buf, (size_t)n);
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
        int64_t late_us = engine_now_us() - e->net.slots[e->net.lent - 1].trip.at_us;
        e->delivered++;
        e->late_us_sum += late_us;
        if (late_us > e->late_us_max)
            e->late_us_max = late_us;
        size_t len = p.made ? ip_make_error(buf, NET_PAYLOAD_MAX, &p) : p.len;
        if (!p.made)
            ip_rewrite(buf, len, &p);
        capture(e, host, buf, len);
        if (len == 0 || write(e->tuns[host], buf, len) < 0)
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
    setpriority(PRIO_PROCESS, 0, e->nice);
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

    /* The lines must not get longer because the hosts' programs are busy. */
    e->nice = getpriority(PRIO_PROCESS, 0);
    setpriority(PRIO_PROCESS, 0, ENGINE_NICE);
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
