/* steer_shell.c - see steer_shell.h. */
#include "services/relay/steer_shell.h"

#include "lib/relaywire.h"
#include "lib/service.h"

#include <assert.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static long bpf(int command, union bpf_attr *attr)
{
    return syscall(SYS_bpf, command, attr, sizeof *attr);
}

bool steer_init(struct steer *s, uint32_t sessions_max)
{
    *s = (struct steer){.map = -1};
    s->table.bits = marks_bits(sessions_max);
    union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY,
                          .key_size = sizeof(uint32_t),
                          .value_size = MARKS_WAYS * sizeof(uint64_t),
                          .max_entries = 1u << s->table.bits,
                          .map_flags = BPF_F_MMAPABLE};

    s->map = (int)bpf(BPF_MAP_CREATE, &map);
    if (s->map < 0)
        return false;
    void *cells =
        mmap(NULL, marks_bytes(s->table.bits), PROT_READ | PROT_WRITE, MAP_SHARED, s->map, 0);
    if (cells == MAP_FAILED) {
        steer_close(s);
        return false;
    }
    s->table.cells = cells;
    return true;
}

void steer_close(struct steer *s)
{
    int err = errno;

    if (s->table.cells)
        munmap(s->table.cells, marks_bytes(s->table.bits));
    s->table.cells = NULL;
    if (s->map >= 0)
        close(s->map);
    s->map = -1;
    for (unsigned i = STEER_SESSIONS; i < s->n_fds; i += STEER_QUEUES)
        close(s->fd[i]);
    s->n_fds = 0;
    errno = err;
}

/* ---- the program ---------------------------------------------------------------------------------- */

/*
 * Registers: R0 what is loaded and returned, R6 the packet (LD_ABS wants it there), R7 the key, R8 and R9
 * at hand.  Loads convert to host order; one beyond the packet ends the program with 0.  What it returns is a
 * socket's number in the group, in the order in which they joined it: 2 x worker + queue.
 */
enum { PROGRAM_MAX = 224, KEY_AT = -4 };

struct program {
    struct bpf_insn insn[PROGRAM_MAX];
    int n;
};

static int add(struct program *p, unsigned code, unsigned dst, unsigned src, int imm)
{
    assert(p->n < PROGRAM_MAX);
    p->insn[p->n] = (struct bpf_insn){.code = (uint8_t)code,
                                      .dst_reg = (uint8_t)(dst & 15),
                                      .src_reg = (uint8_t)(src & 15),
                                      .imm = imm};
    return p->n++;
}

/* R[dst] op= R[src], or a number. */
static void by_reg(struct program *p, unsigned op, unsigned dst, unsigned src)
{
    add(p, BPF_ALU64 | BPF_X | op, dst, src, 0);
}

static void by_imm(struct program *p, unsigned op, unsigned dst, int imm)
{
    add(p, BPF_ALU64 | BPF_K | op, dst, 0, imm);
}

static void load(struct program *p, unsigned size, int at)
{
    add(p, BPF_LD | BPF_ABS | size, 0, 0, at);
}

static void constant(struct program *p, unsigned dst, unsigned kind, uint64_t value)
{
    add(p, BPF_LD | BPF_IMM | BPF_DW, dst, kind, (int)(uint32_t)value);
    add(p, 0, 0, 0, (int)(uint32_t)(value >> 32));
}

/* A jump to a place that is told by land(). */
static int jump(struct program *p, unsigned op, unsigned dst, int imm)
{
    return add(p, BPF_JMP | BPF_K | op, dst, 0, imm);
}

static void land(struct program *p, int from) { p->insn[from].off = (int16_t)(p->n - from - 1); }

/* To this queue of the worker in R0. */
static void leave(struct program *p, enum steer_queue queue)
{
    by_imm(p, BPF_LSH, BPF_REG_0, 1);
    by_imm(p, BPF_OR, BPF_REG_0, queue);
    add(p, BPF_JMP | BPF_EXIT, 0, 0, 0);
}

/* R[dst] = the 8 bytes at this offset. */
static void load_u64(struct program *p, unsigned dst, int at)
{
    load(p, BPF_W, at);
    by_reg(p, BPF_MOV, dst, BPF_REG_0);
    by_imm(p, BPF_LSH, dst, 32);
    load(p, BPF_W, at + 4);
    by_reg(p, BPF_OR, dst, BPF_REG_0);
}

/* When R7, without its low byte, is in its set, leave to the sessions of that worker. */
static void look_up(struct program *p, const struct steer *s)
{
    _Static_assert(MARKS_KEY == ~UINT64_C(0xff), "as the numbers below say");
    by_imm(p, BPF_AND, BPF_REG_7, ~0xff);
    int found[MARKS_WAYS], none = jump(p, BPF_JEQ, BPF_REG_7, 0), no_set;

    constant(p, BPF_REG_1, 0, MARKS_MIX);
    by_reg(p, BPF_MUL, BPF_REG_1, BPF_REG_7);
    by_imm(p, BPF_RSH, BPF_REG_1, 64 - (int)s->table.bits);
    int store = add(p, BPF_STX | BPF_MEM | BPF_W, BPF_REG_10, BPF_REG_1, 0);
    p->insn[store].off = KEY_AT;
    constant(p, BPF_REG_1, BPF_PSEUDO_MAP_FD, (uint64_t)s->map);
    by_reg(p, BPF_MOV, BPF_REG_2, BPF_REG_10);
    by_imm(p, BPF_ADD, BPF_REG_2, KEY_AT);
    add(p, BPF_JMP | BPF_CALL, 0, 0, BPF_FUNC_map_lookup_elem);
    no_set = jump(p, BPF_JEQ, BPF_REG_0, 0);
    for (int i = 0; i < MARKS_WAYS; i++) {
        int way = add(p, BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_1, BPF_REG_0, 0);
        p->insn[way].off = (int16_t)(i * (int)sizeof(uint64_t));
        by_reg(p, BPF_XOR, BPF_REG_1, BPF_REG_7); /* of the same key the worker is left */
        found[i] = jump(p, BPF_JLE, BPF_REG_1, 0xff);
    }
    int not_found = jump(p, BPF_JA, 0, 0);
    for (int i = 0; i < MARKS_WAYS; i++)
        land(p, found[i]);
    by_reg(p, BPF_MOV, BPF_REG_0, BPF_REG_1);
    leave(p, STEER_SESSIONS);
    land(p, none), land(p, no_set), land(p, not_found);
}

/* To who the ticket is for, when R8 is this length of what carries one. */
static void by_ticket(struct program *p, const struct steer *s, int len, int ticket)
{
    int other = jump(p, BPF_JNE, BPF_REG_8, len);

    load(p, BPF_W, ticket + TICKET_MARK_AT);
    by_imm(p, BPF_MOD, BPF_REG_0, (int)s->n_workers);
    leave(p, STEER_OTHERS);
    land(p, other);
}

/* By the path id of a packet or a KEEP, or by a ticket, if it is one of these. */
static void by_content(struct program *p, const struct steer *s)
{
    enum { BIND = 2 + RELAY_NONCE, PROVE = BIND + RELAY_COOKIE };
    int len = add(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_8, BPF_REG_6, 0);

    p->insn[len].off = offsetof(struct __sk_buff, len);
    int too_short = jump(p, BPF_JLT, BPF_REG_8, 2 + 8);
    load(p, BPF_B, 0);
    int below = jump(p, BPF_JLT, BPF_REG_0, PACKET_RELAY),
        above = jump(p, BPF_JGT, BPF_REG_0, PACKET_DATA);
    int control = jump(p, BPF_JEQ, BPF_REG_0, PACKET_RELAY);
    load_u64(p, BPF_REG_7, 1);
    int look = jump(p, BPF_JA, 0, 0);
    land(p, control);
    load(p, BPF_B, 1);
    int not_bind = jump(p, BPF_JNE, BPF_REG_0, RELAY_BIND);
    by_ticket(p, s, BIND + TICKET_BYTES, BIND);
    int other_bind = jump(p, BPF_JA, 0, 0);
    land(p, not_bind);
    int not_prove = jump(p, BPF_JNE, BPF_REG_0, RELAY_PROVE);
    by_ticket(p, s, PROVE + TICKET_BYTES, PROVE);
    int other_prove = jump(p, BPF_JA, 0, 0);
    land(p, not_prove);
    int not_keep = jump(p, BPF_JNE, BPF_REG_0, RELAY_KEEP);
    load_u64(p, BPF_REG_7, 2);
    land(p, look);
    look_up(p, s);
    land(p, too_short), land(p, below), land(p, above);
    land(p, other_bind), land(p, other_prove), land(p, not_keep);
}

/* By the source: IPv4, and IPv6 without extension headers. */
static void by_source(struct program *p, const struct steer *s)
{
    enum { NET = SKF_NET_OFF, V4_SOURCE = 12, V6_NEXT = 6, V6_SOURCE = 8, V6_HEADER = 40 };

    load(p, BPF_B, NET);
    by_reg(p, BPF_MOV, BPF_REG_8, BPF_REG_0);
    by_imm(p, BPF_RSH, BPF_REG_0, 4);
    int v6 = jump(p, BPF_JNE, BPF_REG_0, 4);
    by_imm(p, BPF_AND, BPF_REG_8, 15);
    by_imm(p, BPF_LSH, BPF_REG_8, 2);
    load(p, BPF_W, NET + V4_SOURCE);
    by_reg(p, BPF_MOV, BPF_REG_7, BPF_REG_0);
    by_imm(p, BPF_LSH, BPF_REG_7, 16);
    add(p, BPF_LD | BPF_IND | BPF_H, 0, BPF_REG_8, NET);
    by_reg(p, BPF_OR, BPF_REG_7, BPF_REG_0);
    by_imm(p, BPF_LSH, BPF_REG_7, 8);
    int look = jump(p, BPF_JA, 0, 0);
    land(p, v6);
    load(p, BPF_B, NET + V6_NEXT);
    int extended = jump(p, BPF_JNE, BPF_REG_0, IPPROTO_UDP);
    load_u64(p, BPF_REG_7, NET + V6_SOURCE);
    load_u64(p, BPF_REG_9, NET + V6_SOURCE + 8);
    constant(p, BPF_REG_8, 0, MARKS_MIX);
    by_reg(p, BPF_MUL, BPF_REG_7, BPF_REG_8);
    by_reg(p, BPF_XOR, BPF_REG_7, BPF_REG_9);
    by_reg(p, BPF_MUL, BPF_REG_7, BPF_REG_8);
    load(p, BPF_H, NET + V6_HEADER);
    by_imm(p, BPF_LSH, BPF_REG_0, 8);
    by_reg(p, BPF_XOR, BPF_REG_7, BPF_REG_0);
    land(p, look);
    look_up(p, s);
    constant(p, BPF_REG_0, 0, MARKS_MIX); /* one worker for each source */
    by_reg(p, BPF_MUL, BPF_REG_0, BPF_REG_7);
    by_imm(p, BPF_RSH, BPF_REG_0, 32);
    by_imm(p, BPF_MOD, BPF_REG_0, (int)s->n_workers);
    leave(p, STEER_OTHERS);
    land(p, extended);
}

static int load_program(const struct steer *s)
{
    struct program p = {.n = 0};
    union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER};
    static const char license[] = "GPL";

    by_reg(&p, BPF_MOV, BPF_REG_6, BPF_REG_1);
    by_content(&p, s);
    by_source(&p, s);
    by_imm(&p, BPF_MOV, BPF_REG_0, 0);
    leave(&p, STEER_OTHERS);
    attr.insns = (uintptr_t)p.insn;
    attr.insn_cnt = (uint32_t)p.n;
    attr.license = (uintptr_t)license;
    return (int)bpf(BPF_PROG_LOAD, &attr);
}

/* ---- the sockets ---------------------------------------------------------------------------------- */

bool steer_open(struct steer *s, int fd, unsigned n_workers)
{
    int off = 0;

    assert(n_workers >= 1 && n_workers <= STEER_WORKERS_MAX);
    s->n_workers = n_workers;
    int program = s->map >= 0 ? load_program(s) : -1;
    if (program < 0)
        return false;
    s->fd[s->n_fds++] = fd;
    while (s->n_fds < n_workers * STEER_QUEUES && (s->fd[s->n_fds] = service_udp_join(fd)) >= 0)
        s->n_fds++;
    bool ok = s->n_fds == n_workers * STEER_QUEUES &&
              setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program, sizeof program) == 0;
    int err = errno;
    close(program); /* the sockets hold it */
    if (!ok) {
        while (s->n_fds > 1)
            close(s->fd[--s->n_fds]);
        s->n_fds = 0;
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &off, sizeof off);
    }
    errno = err;
    return ok;
}
