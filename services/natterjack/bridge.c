/* bridge.c - see bridge.h. */
#include "services/natterjack/bridge.h"
#include "lib/log.h"
#include "lib/udp.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UDP_PAYLOAD_MAX = 65507 };

void bridge_init(struct bridge *b, struct service *s)
{
    *b = (struct bridge){.svc = s, .path = -1, .udp = -1, .pidfd = -1};
}

void bridge_raw(struct bridge *b, uint32_t number)
{
    b->raw = true;
    b->number = number;
}

static bool may_pass(const struct bridge *b, ssize_t n)
{
    return b->raw ? n >= 0 : n > 0 && n <= PAYLOAD_MAX;
}

static void drop_fd(struct bridge *b, int *fd)
{
    if (*fd < 0)
        return;
    service_unwatch_fd(b->svc, *fd);
    close(*fd);
    *fd = -1;
}

/* ---- UDP --------------------------------------------------------------------------------------- */

/* getaddrinfo takes 99999 as well, as the port 34463. */
static bool is_port(const char *text)
{
    size_t n = strspn(text, "0123456789");

    return n > 0 && n <= 5 && text[n] == '\0' && atoi(text) <= UINT16_MAX;
}

bool bridge_address(const char *text, struct addr *out)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
    const char *colon = strrchr(text, ':');
    struct addrinfo *found;
    struct sockaddr_storage sa = {0};
    char host[256];

    if (!colon || colon == text || !is_port(colon + 1))
        return false;
    size_t len = (size_t)(colon - text);
    bool bracketed = len > 2 && text[0] == '[' && text[len - 1] == ']';
    if (len >= sizeof host || (!bracketed && memchr(text, ':', len)))
        return false;
    snprintf(host, sizeof host, "%.*s", (int)(bracketed ? len - 2 : len), text + bracketed);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return false;
    memcpy(&sa, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    *out = addr_from_sockaddr(&sa);
    return out->len != 0;
}

static bool open_udp(struct bridge *b, const struct addr *at,
                     int (*attach)(int fd, const struct sockaddr *sa, socklen_t len))
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(at, &sa);

    b->udp = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (b->udp >= 0 && attach(b->udp, (struct sockaddr *)&sa, len) == 0)
        return true;
    int err = errno;
    if (b->udp >= 0)
        close(b->udp);
    b->udp = -1;
    errno = err;
    return false;
}

static int attach_bound(int fd, const struct sockaddr *sa, socklen_t len)
{
    return bind(fd, sa, len);
}

static int attach_connected(int fd, const struct sockaddr *sa, socklen_t len)
{
    return connect(fd, sa, len);
}

bool bridge_bind(struct bridge *b, struct addr *local)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;

    if (!open_udp(b, local, attach_bound))
        return false;
    b->bound = true;
    if (getsockname(b->udp, (struct sockaddr *)&sa, &len) == 0)
        *local = addr_from_sockaddr(&sa);
    return true;
}

bool bridge_dial(struct bridge *b, const struct addr *service)
{
    return open_udp(b, service, attach_connected);
}

/* From the local address to the peer. */
static bool receive_udp(struct service *s, void *arg, struct input *in)
{
    struct bridge *b = arg;
    struct sockaddr_storage from = {0};
    socklen_t len = sizeof from;
    uint8_t data[UDP_PAYLOAD_MAX];
    ssize_t n = recvfrom(b->udp, data, sizeof data, MSG_DONTWAIT | MSG_TRUNC,
                         (struct sockaddr *)&from, &len);

    (void)s, (void)in;
    if (n < 0) /* an ICMP error: the service is not up at the moment */
        return false;
    if (b->bound)
        b->last = addr_from_sockaddr(&from);
    if (may_pass(b, n) && send(b->path, data, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n)
        b->sent++;
    else
        b->dropped++;
    return false;
}

static ssize_t send_udp(const struct bridge *b, const uint8_t *data, size_t len)
{
    struct sockaddr_storage sa;

    if (!b->bound)
        return send(b->udp, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (b->last.len == 0) /* nobody is there to answer to */
        return -1;
    socklen_t sa_len = addr_to_sockaddr(&b->last, &sa);
    return sendto(b->udp, data, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&sa, sa_len);
}

/* From the peer to the local address. */
static bool receive_path(struct service *s, void *arg, struct input *in)
{
    struct bridge *b = arg;
    uint8_t data[UDP_PAYLOAD_MAX];
    ssize_t n = recv(b->path, data, sizeof data, MSG_DONTWAIT);

    (void)in;
    if (n == 0 && !b->raw) /* the session has ended; its event closes this */
        service_unwatch_fd(s, b->path);
    if (!may_pass(b, n))
        return false;
    b->heard_us = service_now_us();
    b->received++;
    if (send_udp(b, data, (size_t)n) != n)
        b->dropped++;
    return false;
}

void bridge_open(struct bridge *b, int path)
{
    b->path = path;
    b->heard_us = service_now_us();
    service_watch_fd(b->svc, b->path, ZMQ_POLLIN, receive_path, b);
    service_watch_fd(b->svc, b->udp, ZMQ_POLLIN, receive_udp, b);
}

/* ---- a command ----------------------------------------------------------------------------------- */

static void reaped(struct bridge *b)
{
    drop_fd(b, &b->pidfd);
    b->pid = 0;
}

/* The command has ended, and with it the session: of a pair, shutting our copy down shuts all of them. */
static bool receive_end(struct service *s, void *arg, struct input *in)
{
    struct bridge *b = arg;

    (void)s;
    if (waitpid(b->pid, NULL, WNOHANG) != b->pid)
        return false;
    reaped(b);
    if (b->path < 0)
        return false;
    if (!b->raw) {
        shutdown(b->path, SHUT_RDWR);
        return false;
    }
    in->kind = IN_APP;
    in->app.op = APP_CLOSE;
    in->app.path = b->number;
    in->app.args = NULL;
    in->app.len = 0;
    return true;
}

/* The rest of the child's life; only async-signal-safe calls, since other threads were not copied. */
__attribute__((noreturn)) static void become(int path, pid_t parent, char *const argv[],
                                             char *const env[])
{
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* it died before the kernel knew what we want then */
        _exit(EXIT_FAILURE);
    setpgid(0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(path, STDIN_FILENO) >= 0 && dup2(path, STDOUT_FILENO) >= 0)
        execve("/bin/sh", argv, env);
    _exit(127);
}

/* Our environment and two lines more; NULL when there is no memory.  The pointers are the caller's to free. */
static char **environment(char *session, char *peer)
{
    size_t n = 0;

    while (environ[n])
        n++;
    char **env = calloc(n + 3, sizeof *env);
    if (!env)
        return NULL;
    memcpy(env, environ, n * sizeof *env);
    env[n] = session;
    env[n + 1] = peer;
    return env;
}

bool bridge_exec(struct bridge *b, int path, const char *command, const struct attempt *a)
{
    char session[32 + SID_TEXT] = "NATTERJACK_SESSION=",
                      peer[32 + PEER_ID_TEXT] = "NATTERJACK_PEER=";
    char *const argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
                          (char *)(uintptr_t)command, NULL};
    pid_t parent = getpid();

    sid_format(&a->session, session + strlen(session));
    peer_id_format(&a->peer, peer + strlen(peer));
    char **env = environment(session, peer);
    b->path = path;
    b->pid = env ? fork() : -1;
    if (b->pid == 0)
        become(path, parent, argv, env);
    free(env);
    if (b->pid > 0) {
        setpgid(b->pid, b->pid); /* whoever comes first, so that it can be signalled from here on */
        b->pidfd = pidfd_open(b->pid, 0);
    }
    if (b->pidfd < 0) {
        log_warn("event=no_command why=\"%s\"", strerror(errno));
        bridge_fini(b);
        return false;
    }
    service_watch_fd(b->svc, b->pidfd, ZMQ_POLLIN, receive_end, b);
    return true;
}

/* ---- the end ---------------------------------------------------------------------------------------- */

void bridge_close(struct bridge *b)
{
    drop_fd(b, &b->udp);
    drop_fd(b, &b->path);
    b->raw = false;
    if (b->pid > 0)
        kill(-b->pid, SIGTERM);
}

void bridge_fini(struct bridge *b)
{
    bridge_close(b);
    if (b->pid > 0) {
        kill(-b->pid, SIGKILL);
        waitpid(b->pid, NULL, 0);
    }
    reaped(b);
}
