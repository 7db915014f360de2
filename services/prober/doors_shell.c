/* doors_shell.c - see doors_shell.h. */
#include "services/prober/doors_shell.h"

#include "lib/familiar_shell.h"
#include "lib/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- the programs --------------------------------------------------------------------------------- */

enum queue { QUEUE_STRANGERS, QUEUE_KNOWN, QUEUES };

/* A socket's number is 2 x worker + queue. */
static int load_program(int table, unsigned n, uint32_t key)
{
    struct ebpf p = {.n = 0};

    _Static_assert((int)QUEUE_STRANGERS == 0 && (int)QUEUE_KNOWN == 1, "as R8 says");
    ebpf_by_reg(&p, BPF_MOV, BPF_REG_6, BPF_REG_1);
    familiar_load_key(&p);
    familiar_look_up(&p, table);
    ebpf_constant(&p, BPF_REG_1, 0, FAMILIAR_MIX);
    ebpf_constant(&p, BPF_REG_0, 0, key);
    ebpf_by_reg(&p, BPF_XOR, BPF_REG_0, BPF_REG_7);
    ebpf_by_reg(&p, BPF_MUL, BPF_REG_0, BPF_REG_1);
    ebpf_by_imm(&p, BPF_RSH, BPF_REG_0, 32);
    ebpf_by_imm(&p, BPF_MOD, BPF_REG_0, (int)n);
    ebpf_by_imm(&p, BPF_LSH, BPF_REG_0, 1);
    ebpf_by_reg(&p, BPF_OR, BPF_REG_0, BPF_REG_8);
    ebpf_exit(&p);
    return ebpf_program(&p);
}

/* Among workers of one socket each, by the source alone. */
static bool spread(int fd, unsigned n, uint32_t key)
{
    enum { V4_SOURCE = 12, V6_SOURCE = 8, TO_V4 = 6 };
    const uint32_t net = (uint32_t)SKF_NET_OFF, mix = 0x9e3779b1;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, net),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4, TO_V4, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, net + V6_SOURCE),
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, mix),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, net + V6_SOURCE + 4),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xffffff00), /* to the /56 */
        BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, net + V4_SOURCE), /* X is 0 */
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, key),
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, mix),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, n),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};

    _Static_assert((int)BUDGET_V6_BYTES == 7, "of 8 bytes all but the last");
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) == 0;
}

/* ---- the sockets ---------------------------------------------------------------------------------- */

static int join(int fd, unsigned worker)
{
    int other = service_udp_join(fd);

    if (other < 0)
        die("event=no_socket worker=%u why=\"%s\"", worker, strerror(errno));
    return other;
}

/* In the order that the programs count in; program -1: without those for peers. */
static void open_door(struct doors *d, const struct crew *c, uint16_t sock, uint32_t key,
                      int program)
{
    int first = c->v[0]->svc->udp[sock];

    for (unsigned i = 0; i < c->n; i++) {
        if (i > 0)
            service_udp_add(c->v[i]->svc, join(first, i));
        if (program >= 0)
            d->known[i][sock] = join(first, i);
    }
    if (program >= 0 ? !ebpf_attach(program, first) : c->n > 1 && !spread(first, c->n, key))
        die("event=no_socket why=\"%s\" what=\"a program of a port's sockets\"", strerror(errno));
}

void doors_open(struct doors *d, const struct crew *c, uint32_t key)
{
    uint16_t n_socks = c->v[0]->svc->n_udp;

    assert(n_socks <= PROBER_SOCKETS_MAX);
    *d = (struct doors){.n = c->n};
    memset(d->known, -1, sizeof d->known);
    d->table = familiar_open(&d->familiar);
    int program = d->table >= 0 ? load_program(d->table, c->n, key) : -1;
    if (program < 0) {
        log_warn("event=one_queue why=\"%s\" text=\"a flood of strangers can crowd out peers\" "
                 "remedy=\"CAP_BPF\"",
                 strerror(errno));
        familiar_close(&d->familiar, d->table);
        d->table = -1;
    }
    for (uint16_t sock = 0; sock < n_socks; sock++)
        open_door(d, c, sock, key, program);
    if (program >= 0)
        close(program); /* the sockets hold it */
}

void doors_close(struct doors *d)
{
    for (unsigned i = 0; i < d->n; i++)
        for (unsigned sock = 0; sock < PROBER_SOCKETS_MAX; sock++)
            if (d->known[i][sock] >= 0)
                close(d->known[i][sock]);
    familiar_close(&d->familiar, d->table);
    *d = (struct doors){.table = -1};
}
