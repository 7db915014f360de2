/* queues_shell.c - see queues_shell.h. */
#include "services/coordinator/queues_shell.h"

#include "lib/familiar_shell.h"
#include "lib/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* What it returns is a socket's number in the group, in the order in which they began to listen. */
static int load_program(int table)
{
    struct ebpf p = {.n = 0};

    _Static_assert((int)QUEUE_STRANGERS == 0 && (int)QUEUE_FAMILIAR == 1, "as R8 says");
    ebpf_by_reg(&p, BPF_MOV, BPF_REG_6, BPF_REG_1);
    familiar_load_key(&p);
    familiar_look_up(&p, table);
    ebpf_by_reg(&p, BPF_MOV, BPF_REG_0, BPF_REG_8);
    ebpf_exit(&p);
    return ebpf_program(&p);
}

bool queues_init(struct queues *q)
{
    *q = (struct queues){.program = -1};
    q->table = familiar_open(&q->familiar);
    if (q->table >= 0)
        q->program = load_program(q->table);
    if (q->program < 0)
        queues_close(q);
    return q->program >= 0;
}

void queues_close(struct queues *q)
{
    int err = errno;

    familiar_close(&q->familiar, q->table);
    if (q->program >= 0)
        close(q->program);
    *q = (struct queues){.table = -1, .program = -1};
    errno = err;
}

/* ---- the sockets ---------------------------------------------------------------------------------- */

static int open_bound(const struct addr *at, bool dual, bool shared)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(at, &sa);
    int on = 1, only_v6 = !dual;
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof only_v6);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        (!shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
        bind(fd, (struct sockaddr *)&sa, len) == 0 &&
        (shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0))
        return fd;
    int err = errno;
    close(fd);
    errno = err;
    return -1;
}

bool queues_listen(const struct queues *q, const struct addr *at, bool dual, int backlog,
                   int fd[static QUEUES])
{
    int n = 0;

    while (n < QUEUES && (fd[n] = open_bound(at, dual, n > 0)) >= 0)
        n++;
    if (n == QUEUES && listen(fd[QUEUE_STRANGERS], backlog) == 0 &&
        listen(fd[QUEUE_FAMILIAR], backlog) == 0 && ebpf_attach(q->program, fd[0]))
        return true;
    int err = errno;
    while (n > 0)
        close(fd[--n]);
    errno = err;
    return false;
}
