/* control.c - see control.h. */
#include "tests/natlab/control.h"

#include "tests/natlab/engine.h"
#include "tests/natlab/state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static socklen_t name_of(const char *lab, struct sockaddr_un *a)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(a->sun_path + 1, sizeof a->sun_path - 1, "natlab/%s", lab);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

/* ---- one message with descriptors ---- */

union ancillary {
    char buf[CMSG_SPACE(CONTROL_FDS * sizeof(int))];
    struct cmsghdr align;
};

static bool send_reply(int fd, const char *text, const int *fds, size_t n)
{
    struct iovec io = {(char *)(uintptr_t)text, strlen(text)};
    union ancillary a = {{0}};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};

    if (n > 0) {
        m.msg_control = a.buf;
        m.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    }
    return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

static ssize_t receive_reply(int fd, char *text, size_t cap, int fds[CONTROL_FDS])
{
    struct iovec io = {text, cap - 1};
    union ancillary a = {{0}};
    struct msghdr m = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = a.buf, .msg_controllen = sizeof a.buf};
    ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);

    text[n > 0 ? n : 0] = '\0';
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (c != NULL && c->cmsg_type == SCM_RIGHTS)
        memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    return n;
}

/* ---- the lab's side ---- */

int control_listen(const char *lab)
{
    struct sockaddr_un a;
    socklen_t len = name_of(lab, &a);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, 64) == 0)
        return fd;
    int saved = errno;
    if (fd >= 0)
        close(fd);
    errno = saved;
    return -1;
}

int control_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred who = {.uid = (uid_t)-1};
    socklen_t len = sizeof who;

    /* An abstract socket has no permissions of its own. */
    if (fd >= 0 && (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0 ||
                    (who.uid != 0 && who.uid != geteuid()))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static const char *on_exec(struct engine *e, int client, const char *host)
{
    size_t i = spec_find(e->spec, host);
    if (i == e->spec->n_hosts)
        return "no such host";
    int pids = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (pids < 0)
        return "no /proc";
    send_reply(client, "ok", (int[]){e->namespaces[i], pids}, 2);
    close(pids);
    return NULL;
}

static const char *on_nat(struct engine *e, int client)
{
    int fd = memfd_create("natlab-state", MFD_CLOEXEC);
    FILE *f = fd >= 0 ? fdopen(fd, "w+") : NULL;

    if (f == NULL)
        return "no memory";
    state_print(e, f);
    fflush(f);
    rewind(f);
    send_reply(client, "ok", &fd, 1);
    fclose(f);
    return NULL;
}

static const char *on_set(struct engine *e, int client, char *args)
{
    const char *host = strsep(&args, " "), *key = strsep(&args, "=");
    size_t i = spec_find(e->spec, host);

    if (i == e->spec->n_hosts)
        return "no such host";
    struct net_line *line = &e->net.lines[e->net.hosts[i].line];
    if (key == NULL || args == NULL)
        return "KEY=VALUE expected";
    if (strcmp(key, "flush") == 0 && line->nat != NULL) {
        nat_flush(line->nat);
    } else if (strcmp(key, "renumber") == 0 && line->nat != NULL &&
               line->nat->conf.n_external > 1) {
        struct nat_conf *c = &line->nat->conf;
        struct addr first = c->external[0];
        memmove(c->external, c->external + 1, (c->n_external - 1) * sizeof first);
        c->external[c->n_external - 1] = first;
        nat_flush(line->nat);
    } else {
        struct spec_host changed = {.line = *line,
                                    .kind = line->nat != NULL ? SPEC_MODEL : SPEC_OPEN};
        if (line->nat != NULL)
            changed.nat = line->nat->conf;
        if (strcmp(key, "ip") == 0 || !spec_set(&changed, key, args))
            return "no such key, or bad value";
        *line = changed.line;
        if (line->nat != NULL)
            line->nat->conf = changed.nat;
    }
    send_reply(client, "ok", NULL, 0);
    return NULL;
}

void control_answer(struct engine *e, int client)
{
    char text[CONTROL_TEXT_MAX], *args = text;
    ssize_t n = recv(client, text, sizeof text - 1, 0);
    const char *error = "exec, nat or set expected";

    text[n > 0 ? n : 0] = '\0';
    const char *verb = strsep(&args, " ");
    if (strcmp(verb, "exec") == 0 && args != NULL)
        error = on_exec(e, client, args);
    else if (strcmp(verb, "nat") == 0)
        error = on_nat(e, client);
    else if (strcmp(verb, "set") == 0 && args != NULL)
        error = on_set(e, client, args);
    if (error != NULL)
        send_reply(client, error, NULL, 0);
    close(client);
}

/* ---- the asker's side ---- */

bool control_ask(const char *lab, const char *request, int fds[CONTROL_FDS],
                 char error[CONTROL_TEXT_MAX])
{
    struct sockaddr_un a;
    socklen_t len = name_of(lab, &a);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ssize_t n = -1;

    for (size_t i = 0; i < CONTROL_FDS; i++)
        fds[i] = -1;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, len) == 0 &&
        send(fd, request, strlen(request), MSG_NOSIGNAL) >= 0)
        n = receive_reply(fd, error, CONTROL_TEXT_MAX, fds);
    if (n < 0)
        snprintf(error, CONTROL_TEXT_MAX, "lab %.100s: %s", lab, strerror(errno));
    else if (n == 0)
        snprintf(error, CONTROL_TEXT_MAX, "lab %.100s does not answer", lab);
    if (fd >= 0)
        close(fd);
    return n > 0 && strcmp(error, "ok") == 0;
}
