/* service.c - see service.h. */
#include "lib/service.h"
#include "lib/cage.h"
#include "lib/config.h"
#include "lib/log.h"
#include "lib/service_end.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum {
    LINGER_MS = 200,
    READY_FD_MAX = 1024,
};

/* ---- clock, randomness ---------------------------------------------------------------------------- */

static int64_t clock_us(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t service_now_us(void) { return clock_us(CLOCK_MONOTONIC); }
int64_t service_wall_ms(void) { return clock_us(CLOCK_REALTIME) / 1000; }

void service_random_key(uint8_t key[static 32])
{
    if (getrandom(key, 32, 0) != 32)
        die("event=no_randomness why=\"%s\"", strerror(errno));
}

/* ---- sources -------------------------------------------------------------------------------------- */

static void watch(struct service *s, void *zsock, int fd, short events, service_receive *receive,
                  void *arg)
{
    assert(s->n_sources < SOURCES_MAX); /* shells bound what they watch below this */
    size_t i = s->n_sources++;
    s->n_changes++;
    s->sources[i].zsock = zsock;
    s->sources[i].fd = fd;
    s->sources[i].events = events;
    s->sources[i].receive = receive;
    s->sources[i].arg = arg;
}

void service_watch_zmq(struct service *s, void *zsock, service_receive *receive, void *arg)
{
    watch(s, zsock_resolve(zsock), -1, ZMQ_POLLIN, receive, arg);
}

void service_watch_fd(struct service *s, int fd, short events, service_receive *receive, void *arg)
{
    watch(s, NULL, fd, events, receive, arg);
}

static void unwatch(struct service *s, const void *zsock, int fd)
{
    for (size_t i = 0; i < s->n_sources; i++)
        if (s->sources[i].zsock == zsock && s->sources[i].fd == fd) {
            s->sources[i] = s->sources[--s->n_sources];
            s->n_changes++;
            return;
        }
}

void service_unwatch_fd(struct service *s, int fd) { unwatch(s, NULL, fd); }
void service_unwatch_zmq(struct service *s, void *zsock) { unwatch(s, zsock_resolve(zsock), -1); }

static bool receive_signal(struct service *s, void *arg, struct input *in)
{
    struct signalfd_siginfo info;
    char err[CONFIG_ERROR_MAX];

    (void)arg, (void)in;
    if (read(s->signal_fd, &info, sizeof info) != sizeof info)
        return false;
    switch (info.ssi_signo) {
    case SIGHUP: service_reload(s, err); break;
    case SIGUSR1: service_drain(s); break;
    default: s->stop = true; s->stop_signal = (int)info.ssi_signo;
    }
    return false;
}

/* ---- life ------------------------------------------------------------------------------------------- */

/* libzmq's own threads begin with the first socket, and would keep the capabilities of who makes it. */
static void *begin_zmq(void *arg)
{
    struct service *s = arg;

    cage_thread();
    s->first = zsock_new(ZMQ_PAIR);
    return NULL;
}

static void begin_zmq_threads(struct service *s)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, begin_zmq, s) != 0 || pthread_join(thread, NULL) != 0)
        die("event=no_thread what=libzmq");
}

static void clear(struct service *s, enum role self, const char *bus_dir)
{
    memset(s, 0, offsetof(struct service, dgram));
    s->stop = s->draining = s->drained = s->settled = s->over_memory = false;
    s->memory_look_us = 0;
    s->self = self;
    s->bus_dir = bus_dir;
    s->signal_fd = s->ready_fd = -1;
    for (size_t i = 0; i < UDP_MAX; i++)
        s->udp[i] = -1;
}

void service_open_worker(struct service *s, const struct service *of)
{
    clear(s, of->self, of->bus_dir);
    if (s->bus_dir)
        service_bus_connect(s);
}

void service_open(struct service *s, enum role self, const char *bus_dir)
{
    sigset_t stop;

    clear(s, self, bus_dir);
    log_init(service_name[self]);
    if (sodium_init() < 0)
        die("event=no_libsodium");
    zsys_init();
    zsys_handler_set(NULL); /* signals come by descriptor */
    zsys_set_linger(LINGER_MS);
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    if (self !=
        SERVICE_executor) { /* there HUP means what it does to every program of a terminal */
        sigaddset(&stop, SIGHUP);
        sigaddset(&stop, SIGUSR1);
    }
    sigprocmask(SIG_BLOCK, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->signal_fd = signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->signal_fd < 0)
        die("event=no_signalfd why=\"%s\"", strerror(errno));
    service_watch_fd(s, s->signal_fd, ZMQ_POLLIN, receive_signal, NULL);
    if (self != SERVICE_executor)
        begin_zmq_threads(s);
    if (bus_dir)
        service_bus_open(s);
}

bool service_reload(struct service *s, char *err)
{
    bool ok = config_reload(err);

    if (ok && s->reload && !s->reload(err)) {
        log_warn("event=not_reloaded why=\"%s\"", err);
        return false;
    }
    return ok;
}

unsigned service_cores(unsigned max)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    unsigned n = (unsigned)CPU_COUNT(&set);
    return n < max ? n : max;
}

static void say_to_supervisor(struct service *s, const char *what)
{
    if (s->ready_fd >= 0)
        dprintf(s->ready_fd, "%s\n", what);
}

void service_ready(struct service *s)
{
    const char *text = getenv("NATTERJACK_READY_FD");

    log_info("event=ready");
    if (text) {
        int fd = atoi(text);
        if (fd > STDERR_FILENO && fd < READY_FD_MAX)
            s->ready_fd = fd;
        say_to_supervisor(s, service_name[s->self]);
        unsetenv("NATTERJACK_READY_FD");
    }
    if (!s->is_drained && s->ready_fd >= 0) { /* there will be no second word */
        close(s->ready_fd);
        s->ready_fd = -1;
    }
}

bool service_settled(struct service *s)
{
    bool heard = s->ready_fd >= 0;

    if (!s->settled)
        say_to_supervisor(s, "settled");
    s->settled = true;
    return heard;
}

static bool stamp(struct input *in)
{
    in->now_us = service_now_us();
    in->wall_ms = service_wall_ms();
    return true;
}

/* Take one input from whatever is readable, turning, so that no source starves the others. */
static bool take(struct service *s, const zmq_pollitem_t *items, size_t n, struct input *in)
{
    size_t first = s->next_source;
    uint32_t n_changes = s->n_changes;

    for (size_t i = 0; i < n; i++) {
        size_t at = (first + i) % n;
        if (!items[at].revents)
            continue;
        s->next_source = at + 1;
        if (s->sources[at].receive(s, s->sources[at].arg, in))
            return stamp(in);
        if (s->stop || s->n_changes != n_changes)
            return false; /* items no longer tells who is readable: look again */
    }
    return false;
}

static bool tick(struct service *s, struct input *in)
{
    s->ticked = true;
    in->kind = IN_TICK;
    return stamp(in);
}

/* How long to wait for a source. */
static long wait_ms(const struct service *s, int64_t deadline_us, int64_t now)
{
    int64_t most = service_look_ms(s);

    if (deadline_us <= now)
        return 0;
    int64_t ms = deadline_us == NEVER ? most : (deadline_us - now + 999) / 1000;
    return (long)(ms < most ? ms : most);
}

bool service_wait(struct service *s, int64_t deadline_us, struct input *in)
{
    zmq_pollitem_t items[SOURCES_MAX];

    while (!s->stop) {
        int64_t now = service_now_us();
        memset(in, 0, sizeof *in);
        if (service_ends(s, now))
            break;
        if (s->store_answer && s->store_answer(s, in))
            return stamp(in);
        if (deadline_us <= now &&
            !s->ticked) /* in turn with the sources: neither can starve the other */
            return tick(s, in);
        s->ticked = false;
        size_t n = s->n_sources;
        for (size_t i = 0; i < n; i++)
            items[i] =
                (zmq_pollitem_t){s->sources[i].zsock, s->sources[i].fd, s->sources[i].events, 0};
        if (zmq_poll(items, (int)n, wait_ms(s, deadline_us, now)) > 0 && take(s, items, n, in))
            return true;
    }
    return false;
}

static void send_msg(struct service *s, const struct output *o)
{
    char body[MSG_SIZE_MAX];

    assert(msg_routed(o->msg.type, s->self, o->to)); /* or the schema says another one sends this */
    if (o->to == SERVICE_executor || s->self == SERVICE_executor) {
        s->send_peer(s, o);
        return;
    }
    if (o->link != 0) {
        s->send_link(s, o);
        return;
    }
    size_t len = msg_encode(&o->msg, body);
    const char *type = msg_name[o->msg.type];
    if (zsock_send(s->peer[o->to], "ssb", service_name[s->self], type, body, len) == 0) {
        s->n.messages_out++;
        return;
    }
    s->n.messages_dropped++;
    log_limited("event=not_sent type=%s to=%s", type, service_name[o->to]);
}

static void emit_one(struct service *s, const struct output *o)
{
    char sid[SID_TEXT];

    switch (o->kind) {
    case OUT_MSG: send_msg(s, o); break;
    case OUT_DATAGRAM: service_udp_send(s, o); break;
    case OUT_APP: s->app(s, o); break;
    case OUT_STORE: break; /* done before */
    case OUT_SOCKET: service_udp_change(s, o); break;
    case OUT_NOTE:
        log_info("event=state session=%s from=%s to=%s why=\"%s\"",
                 sid_format(&o->note.session, sid), o->note.from, o->note.to, o->note.why);
        break;
    }
}

void service_emit(struct service *s, const struct outputs *out)
{
    bool stored = false;

    for (size_t i = 0; i < out->n; i++)
        if (out->v[i].kind == OUT_STORE) {
            s->store(s, &out->v[i]);
            stored = true;
        }
    if (stored && s->store_commit)
        s->store_commit(s);
    for (size_t i = 0; i < out->n; i++)
        emit_one(s, &out->v[i]);
}

void service_close(struct service *s)
{
    if (s->signal_fd >= 0) /* of a worker its process says so */
        log_info("event=stopping");
    zsock_destroy((zsock_t **)&s->first);
    zsock_destroy((zsock_t **)&s->inbox);
    for (size_t i = 0; i < SERVICE_COUNT; i++)
        zsock_destroy((zsock_t **)&s->peer[i]);
    for (size_t i = 0; i < LINKS_MAX; i++)
        zsock_destroy(&s->link[i]);
    for (size_t i = 0; i < UDP_MAX; i++)
        if (s->udp[i] >= 0)
            close(s->udp[i]);
    if (s->signal_fd >= 0)
        close(s->signal_fd);
}
