/* queues_shell.c - see queues_shell.h. */
#include "services/coordinator/queues_shell.h"

#include "lib/udp.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bpf(int command, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, command, attr, sizeof *attr);
}

/* ---- the program ---------------------------------------------------------------------------------- */

/* Registers: R0 what is loaded and returned, R6 the packet, R7 the source's key.  What it returns is a socket's number
 * in the group, in the order in which they began to listen. */
static int load_program(int map)
{
    enum { NET = SKF_NET_OFF, V4_SOURCE = 12, V6_SOURCE = 8, KEY_AT = -4 };
#define INSN(op, dst, src, to, value)                                                 \
    {                                                                                 \
        .code = (op), .dst_reg = (dst), .src_reg = (src), .off = (to), .imm = (value) \
    }
    const struct bpf_insn code[] = {
        INSN(BPF_ALU64 | BPF_X | BPF_MOV, 6, 1, 0, 0),
        INSN(BPF_LD | BPF_ABS | BPF_B, 0, 0, 0, NET),
        INSN(BPF_ALU64 | BPF_K | BPF_RSH, 0, 0, 0, 4),
        INSN(BPF_JMP | BPF_K | BPF_JNE, 0, 0, 5, 4),
        INSN(BPF_LD | BPF_ABS | BPF_W, 0, 0, 0, NET + V4_SOURCE),
        INSN(BPF_ALU64 | BPF_X | BPF_MOV, 7, 0, 0, 0),
        INSN(BPF_ALU64 | BPF_K | BPF_LSH, 7, 0, 0, 8),
        INSN(BPF_ALU64 | BPF_K | BPF_OR, 7, 0, 0, FAMILIAR_V4),
        INSN(BPF_JMP | BPF_K | BPF_JA, 0, 0, 7, 0),
        INSN(BPF_LD | BPF_ABS | BPF_W, 0, 0, 0, NET + V6_SOURCE),
        INSN(BPF_ALU64 | BPF_X | BPF_MOV, 7, 0, 0, 0),
        INSN(BPF_ALU64 | BPF_K | BPF_LSH, 7, 0, 0, 32),
        INSN(BPF_LD | BPF_ABS | BPF_W, 0, 0, 0, NET + V6_SOURCE + 4),
        INSN(BPF_ALU64 | BPF_K | BPF_AND, 0, 0, 0, ~0xff), /* to the /56 */
        INSN(BPF_ALU64 | BPF_X | BPF_OR, 7, 0, 0, 0),
        INSN(BPF_ALU64 | BPF_K | BPF_OR, 7, 0, 0, FAMILIAR_V6),
        INSN(BPF_LD | BPF_IMM | BPF_DW, 1, 0, 0, (int)(uint32_t)FAMILIAR_MIX),
        INSN(0, 0, 0, 0, (int)(uint32_t)(FAMILIAR_MIX >> 32)),
        INSN(BPF_ALU64 | BPF_X | BPF_MUL, 1, 7, 0, 0),
        INSN(BPF_ALU64 | BPF_K | BPF_RSH, 1, 0, 0, 64 - FAMILIAR_BITS),
        INSN(BPF_STX | BPF_MEM | BPF_W, 10, 1, KEY_AT, 0),
        INSN(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, map),
        INSN(0, 0, 0, 0, 0),
        INSN(BPF_ALU64 | BPF_X | BPF_MOV, 2, 10, 0, 0),
        INSN(BPF_ALU64 | BPF_K | BPF_ADD, 2, 0, 0, KEY_AT),
        INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem),
        INSN(BPF_JMP | BPF_K | BPF_JEQ, 0, 0, 4, 0),
        INSN(BPF_LDX | BPF_MEM | BPF_DW, 1, 0, 0, 0),
        INSN(BPF_ALU64 | BPF_K | BPF_MOV, 0, 0, 0, QUEUE_FAMILIAR),
        INSN(BPF_JMP | BPF_X | BPF_JEQ, 1, 7, 1, 0),
        INSN(BPF_ALU64 | BPF_K | BPF_MOV, 0, 0, 0, QUEUE_STRANGERS),
        INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
#undef INSN
    static const char license[] = "GPL";
    union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER};

    attr.insns = (uintptr_t)code;
    attr.insn_cnt = sizeof code / sizeof *code;
    attr.license = (uintptr_t)license;
    return bpf(BPF_PROG_LOAD, &attr);
}

static int make_table(struct familiar *f)
{
    union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY,
                           .key_size = sizeof(uint32_t),
                           .value_size = sizeof(uint64_t),
                           .max_entries = FAMILIAR_CELLS,
                           .map_flags = BPF_F_MMAPABLE};
    int map = bpf(BPF_MAP_CREATE, &attr);

    if (map < 0)
        return -1;
    void *cells =
        mmap(NULL, FAMILIAR_CELLS * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
    if (cells == MAP_FAILED) {
        close(map);
        return -1;
    }
    f->cells = cells;
    return map;
}

bool queues_init(struct queues *q)
{
    *q = (struct queues){.program = -1};
    int map = make_table(&q->familiar);

    if (map < 0)
        return false;
    q->program = load_program(map);
    int err = errno;
    close(map); /* the program holds it, and so does the mapping */
    if (q->program < 0)
        queues_close(q);
    errno = err;
    return q->program >= 0;
}

void queues_close(struct queues *q)
{
    if (q->familiar.cells)
        munmap(q->familiar.cells, FAMILIAR_CELLS * sizeof(uint64_t));
    if (q->program >= 0)
        close(q->program);
    *q = (struct queues){.program = -1};
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
        listen(fd[QUEUE_FAMILIAR], backlog) == 0 &&
        setsockopt(fd[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &q->program, sizeof q->program) ==
            0)
        return true;
    int err = errno;
    while (n > 0)
        close(fd[--n]);
    errno = err;
    return false;
}
