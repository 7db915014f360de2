/* admin.c - see admin.h. */
#include "lib/admin.h"
#include "lib/config.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/peercred.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

struct client {
    int fd; /* -1: free */
    int64_t deadline_us;
    char request[ADMIN_REQUEST_MAX + 1];
    size_t n;
    char *answer; /* NULL until the request is complete */
    size_t len, sent;
};

/* One admin socket per process. */
static struct {
    int fd, pause_fd;
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    admin_verb *verb;
    void *arg;
    struct client clients[ADMIN_CLIENTS_MAX];
} admin = {.fd = -1, .pause_fd = -1};

static void drop(struct service *s, struct client *c)
{
    if (c->answer && c->sent == c->len)
        s->n.admin_answered++;
    else
        s->n.admin_dropped++;
    service_unwatch_fd(s, c->fd);
    close(c->fd);
    free(c->answer);
    *c = (struct client){.fd = -1};
}

static bool flush(struct service *s, void *arg, struct input *in)
{
    struct client *c = arg;
    ssize_t n = send(c->fd, c->answer + c->sent, c->len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

    (void)in;
    if (n > 0)
        c->sent += (size_t)n;
    if ((n < 0 && errno != EAGAIN && errno != EINTR) || c->sent == c->len)
        drop(s, c);
    return false;
}

/* The verbs that every process has; NULL when it is none of them. */
static json_t *common_verb(struct service *s, const char *verb, const char *argument)
{
    char err[CONFIG_ERROR_MAX];

    if (strcmp(verb, "reload") == 0)
        return service_reload(s, err) ? json_pack("{s:b}", "reloaded", 1)
                                      : json_pack("{s:s}", "error", err);
    if (strcmp(verb, "drain") == 0) {
        service_drain(s);
        return json_pack("{s:b}", "draining", 1);
    }
    if (strcmp(verb, "loglevel") != 0)
        return NULL;
    if (*argument && !log_set_level(argument))
        return json_pack("{s:s}", "error", "the levels are debug, info and warn");
    return json_pack("{s:s}", "loglevel", log_level());
}

/* For who may not ask, whatever it is; NULL for who may. */
static json_t *refusal(struct service *s, int fd)
{
    uid_t who;

    if (peercred_ok(fd, &who))
        return NULL;
    s->n.admin_refused++;
    log_limited("event=admin_refused uid=%ld why=\"neither this user, nor root, nor of "
                "common.admin-group\"",
                (long)(int32_t)who);
    return json_pack("{s:s}", "error", "not-authorized");
}

static void answer(struct service *s, struct client *c)
{
    char *argument = strchr(c->request, ' ');

    if (argument)
        *argument++ = '\0';
    argument = argument ? argument : (char[]){""};
    json_t *value = refusal(s, c->fd);
    if (!value)
        value = common_verb(s, c->request, argument);
    if (!value)
        value = admin.verb(admin.arg, c->request, argument);
    if (!value)
        value = json_pack("{s:s}", "error", ADMIN_UNKNOWN_VERB);
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    if (!text) {
        drop(s, c);
        return;
    }
    c->answer = text;
    c->len = strlen(text);
    service_unwatch_fd(s, c->fd);
    service_watch_fd(s, c->fd, ZMQ_POLLOUT, flush, c);
}

static bool receive_request(struct service *s, void *arg, struct input *in)
{
    struct client *c = arg;
    ssize_t n = recv(c->fd, c->request + c->n, ADMIN_REQUEST_MAX - c->n, MSG_DONTWAIT);

    (void)in;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        drop(s, c);
        return false;
    }
    c->n += (size_t)n;
    c->request[c->n] = '\0';
    char *end = strchr(c->request, '\n');
    if (end) {
        *end = '\0';
        answer(s, c);
    } else if (c->n == ADMIN_REQUEST_MAX || memchr(c->request, '\0', c->n)) {
        drop(s, c);
    }
    return false;
}

/* A free place; when there is none, that of a client whose time is over. */
static struct client *place(struct service *s)
{
    int64_t now = service_now_us();

    for (size_t i = 0; i < ADMIN_CLIENTS_MAX; i++)
        if (admin.clients[i].fd < 0)
            return &admin.clients[i];
    for (size_t i = 0; i < ADMIN_CLIENTS_MAX; i++)
        if (admin.clients[i].deadline_us <= now) {
            drop(s, &admin.clients[i]);
            return &admin.clients[i];
        }
    return NULL;
}

static bool receive_client(struct service *s, void *arg, struct input *in);

static bool receive_pause_over(struct service *s, void *arg, struct input *in)
{
    uint64_t times;

    (void)arg, (void)in;
    if (read(admin.pause_fd, &times, sizeof times) != sizeof times)
        return false;
    service_unwatch_fd(s, admin.pause_fd);
    service_watch_fd(s, admin.fd, ZMQ_POLLIN, receive_client, NULL);
    return false;
}

/* Out of descriptors: who waits would be reported for ever, so look away for a while. */
static void pause_listening(struct service *s)
{
    const struct itimerspec after = {
        .it_value = {ADMIN_PAUSE_MS / 1000, ADMIN_PAUSE_MS % 1000 * 1000000}
    };

    log_limited("event=admin_paused why=\"%s\"", strerror(errno));
    timerfd_settime(admin.pause_fd, 0, &after, NULL);
    service_unwatch_fd(s, admin.fd);
    service_watch_fd(s, admin.pause_fd, ZMQ_POLLIN, receive_pause_over, NULL);
}

static bool receive_client(struct service *s, void *arg, struct input *in)
{
    int fd = accept4(admin.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)arg, (void)in;
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_listening(s);
        return false;
    }
    struct client *c = place(s);
    if (!c) {
        s->n.admin_dropped++;
        close(fd);
        return false;
    }
    *c = (struct client){.fd = fd,
                         .deadline_us = service_now_us() + ADMIN_TIMEOUT_MS * INT64_C(1000)};
    service_watch_fd(s, fd, ZMQ_POLLIN, receive_request, c);
    return false;
}

static bool unix_addr(const char *path, struct sockaddr_un *sa)
{
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof sa->sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(sa->sun_path, path, strlen(path));
    return true;
}

void admin_open(struct service *s, const char *path, admin_verb *verb, void *arg)
{
    struct sockaddr_un sa;
    struct stat st;

    if (!unix_addr(path, &sa))
        die("event=no_admin path=%s why=\"longer than a socket's path may be\"", path);
    admin.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    admin.pause_fd =
        timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); /* while there are any */
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path); /* of a process that was killed; the supervisor's lock keeps out a live one */
    mode_t old = umask(0117);
    if (admin.fd < 0 || admin.pause_fd < 0 ||
        bind(admin.fd, (struct sockaddr *)&sa, sizeof sa) != 0 ||
        listen(admin.fd, ADMIN_CLIENTS_MAX) != 0)
        die("event=no_admin path=%s why=\"%s\"", path, strerror(errno));
    umask(old);
    if (!peercred_give(path))
        die("event=no_admin path=%s why=\"can't be given to common.admin-group: %s\"", path,
            strerror(errno));
    msg_text(admin.path, sizeof admin.path, path);
    admin.verb = verb;
    admin.arg = arg;
    for (size_t i = 0; i < ADMIN_CLIENTS_MAX; i++)
        admin.clients[i].fd = -1;
    service_watch_fd(s, admin.fd, ZMQ_POLLIN, receive_client, NULL);
}

void admin_close(void)
{
    if (admin.fd < 0)
        return;
    close(admin.fd);
    close(admin.pause_fd);
    unlink(admin.path);
    admin.fd = admin.pause_fd = -1;
}

json_t *admin_counters(const struct service_counters *n)
{
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "messages_in",
        (json_int_t)n->messages_in, "messages_out", (json_int_t)n->messages_out, "messages_refused",
        (json_int_t)n->messages_refused, "messages_dropped", (json_int_t)n->messages_dropped,
        "datagrams_in", (json_int_t)n->datagrams_in, "datagrams_out", (json_int_t)n->datagrams_out,
        "datagrams_dropped", (json_int_t)n->datagrams_dropped, "datagrams_stale",
        (json_int_t)n->datagrams_stale, "admin_answered", (json_int_t)n->admin_answered,
        "admin_dropped", (json_int_t)n->admin_dropped, "admin_refused",
        (json_int_t)n->admin_refused, "memory_kib", (json_int_t)memory_now());
}

/* ---- the client's side ------------------------------------------------------------------------------ */

enum { ANSWER_MAX = 64 << 20 };

static char *ask(int fd, const char *request, int timeout_ms)
{
    size_t n = 0, cap = 65536;
    char *buf = malloc(cap);
    int64_t end = service_now_us() + timeout_ms * INT64_C(1000);

    if (send(fd, request, strlen(request), MSG_NOSIGNAL | MSG_MORE) < 0 ||
        send(fd, "\n", 1, MSG_NOSIGNAL) < 0) /* it may have hung up already */
        goto fail;
    for (;;) {
        struct pollfd p = {fd, POLLIN, 0};
        int64_t left = (end - service_now_us()) / 1000;
        if (!buf || left <= 0 || poll(&p, 1, (int)left) <= 0)
            goto fail;
        ssize_t got = recv(fd, buf + n, cap - n - 1, 0);
        if (got < 0)
            goto fail;
        if (got == 0)
            break;
        n += (size_t)got;
        if (n + 1 == cap) {
            char *more = cap < ANSWER_MAX ? realloc(buf, cap *= 2) : NULL;
            if (!more)
                goto fail;
            buf = more;
        }
    }
    buf[n] = '\0';
    return buf;
fail:
    free(buf);
    return NULL;
}

json_t *admin_ask(const char *path, const char *request, int timeout_ms, char *err, size_t err_cap)
{
    struct sockaddr_un sa;
    json_t *value = NULL;
    struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    /* A process that has stopped accepts nobody, and connect would wait for it. */
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (fd < 0 || !unix_addr(path, &sa) || connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0) {
        bool nobody = errno == ENOENT || errno == ECONNREFUSED;
        snprintf(err, err_cap, "cannot reach %s: %s%s", path, strerror(errno),
                 nobody ? "; is the process that answers there running?" : "");
    } else {
        char *text = ask(fd, request, timeout_ms);
        json_error_t why;
        if (text)
            value = json_loads(text, JSON_DECODE_ANY, &why);
        if (!value)
            snprintf(err, err_cap, "%s gave no answer", path);
        free(text);
    }
    if (fd >= 0)
        close(fd);
    return value;
}
