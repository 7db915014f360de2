/* steer_shell.c - see steer_shell.h. */
#include "services/relay/steer_shell.h"

#include "lib/ebpf.h"
#include "lib/relaywire.h"
#include "lib/service.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PROOFS_BYTES = RELAY_PROOFS * 2 * sizeof(uint64_t) };

bool steer_init(struct steer *s, uint32_t sessions_max)
{
    void *cells, *proofs;

    *s = (struct steer){.table.bits = marks_bits(sessions_max), .keys = -1};
    s->map = ebpf_table(1u << s->table.bits, MARKS_WAYS * sizeof(uint64_t), &cells);
    s->table.cells = cells;
    if (s->map >= 0) {
        s->keys = ebpf_table(1, PROOFS_BYTES, &proofs);
        s->proofs = proofs;
    }
    return s->keys >= 0;
}

void steer_close(struct steer *s)
{
    int err = errno;

    ebpf_table_close(s->map, s->table.cells, 1u << s->table.bits, MARKS_WAYS * sizeof(uint64_t));
    ebpf_table_close(s->keys, s->proofs, 1, PROOFS_BYTES);
    s->table.cells = NULL;
    s->proofs = NULL;
    s->map = s->keys = -1;
    for (unsigned i = 0; i < s->n_fds; i++)
        if (i % STEER_QUEUES != STEER_OTHERS)
            close(s->fd[i]);
    s->n_fds = 0;
    errno = err;
}

/* ---- the program ---------------------------------------------------------------------------------- */

/* Registers: R6 the packet, R7 the key, R8 and R9 at hand.  A socket's number is 3 x worker + queue. */

/* To this queue of the worker in R0. */
static void leave(struct ebpf *p, enum steer_queue queue)
{
    ebpf_by_imm(p, BPF_MUL, BPF_REG_0, STEER_QUEUES);
    ebpf_by_imm(p, BPF_ADD, BPF_REG_0, (int)queue);
    ebpf_exit(p);
}

/* When R7, without its low byte, is in its set, leave to the sessions of that worker. */
static void look_up(struct ebpf *p, const struct steer *s)
{
    _Static_assert(MARKS_KEY == ~UINT64_C(0xff), "as the numbers below say");
    ebpf_by_imm(p, BPF_AND, BPF_REG_7, ~0xff);
    int found[MARKS_WAYS], none = ebpf_jump(p, BPF_JEQ, BPF_REG_7, 0), no_set;

    ebpf_constant(p, BPF_REG_1, 0, MARKS_MIX);
    ebpf_by_reg(p, BPF_MUL, BPF_REG_1, BPF_REG_7);
    ebpf_by_imm(p, BPF_RSH, BPF_REG_1, 64 - (int)s->table.bits);
    ebpf_cell(p, s->map);
    no_set = ebpf_jump(p, BPF_JEQ, BPF_REG_0, 0);
    for (int i = 0; i < MARKS_WAYS; i++) {
        ebpf_fetch(p, BPF_DW, BPF_REG_1, BPF_REG_0, i * (int)sizeof(uint64_t));
        ebpf_by_reg(p, BPF_XOR, BPF_REG_1, BPF_REG_7); /* of the same key the worker is left */
        found[i] = ebpf_jump(p, BPF_JLE, BPF_REG_1, 0xff);
    }
    int not_found = ebpf_jump(p, BPF_JA, 0, 0);
    for (int i = 0; i < MARKS_WAYS; i++)
        ebpf_land(p, found[i]);
    ebpf_by_reg(p, BPF_MOV, BPF_REG_0, BPF_REG_1);
    leave(p, STEER_SESSIONS);
    ebpf_land(p, none), ebpf_land(p, no_set), ebpf_land(p, not_found);
}

/* To who the ticket is for that begins at R8; apart from others if it is one of ours. */
static void by_ticket(struct ebpf *p, const struct steer *s)
{
    enum { WORKER_AT = EBPF_STACK, KEYS_AT = EBPF_STACK - 8, NONCE_AT = 1 };
    int ours[RELAY_PROOFS];

    ebpf_add(p, BPF_LD | BPF_IND | BPF_W, 0, BPF_REG_8, TICKET_MARK_AT);
    ebpf_by_imm(p, BPF_MOD, BPF_REG_0, (int)s->n_workers);
    ebpf_store(p, BPF_DW, BPF_REG_10, WORKER_AT, BPF_REG_0);
    ebpf_load_word(p, BPF_REG_9, BPF_REG_8, NONCE_AT + TICKET_PROVEN);
    ebpf_load_word(p, BPF_REG_7, BPF_REG_8, NONCE_AT);
    ebpf_load_word(p, BPF_REG_8, BPF_REG_8, NONCE_AT + 8);
    ebpf_by_imm(p, BPF_MOV, BPF_REG_1, 0);
    ebpf_cell(p, s->keys);
    int none = ebpf_jump(p, BPF_JEQ, BPF_REG_0, 0);
    ebpf_store(p, BPF_DW, BPF_REG_10, KEYS_AT, BPF_REG_0);
    for (int i = 0; i < RELAY_PROOFS; i++) {
        ebpf_fetch(p, BPF_DW, BPF_REG_0, BPF_REG_10, KEYS_AT);
        ebpf_fetch(p, BPF_DW, BPF_REG_1, BPF_REG_0, i * 16);
        ebpf_fetch(p, BPF_DW, BPF_REG_2, BPF_REG_0, i * 16 + 8);
        int no_key = ebpf_jump(p, BPF_JEQ, BPF_REG_1, 0);
        ebpf_siphash(p);
        ebpf_by_reg(p, BPF_XOR, BPF_REG_0, BPF_REG_9);
        ours[i] = ebpf_jump(p, BPF_JEQ, BPF_REG_0, 0);
        ebpf_land(p, no_key);
    }
    ebpf_land(p, none);
    ebpf_fetch(p, BPF_DW, BPF_REG_0, BPF_REG_10, WORKER_AT);
    leave(p, STEER_OTHERS);
    for (int i = 0; i < RELAY_PROOFS; i++)
        ebpf_land(p, ours[i]);
    ebpf_fetch(p, BPF_DW, BPF_REG_0, BPF_REG_10, WORKER_AT);
    leave(p, STEER_TICKETS);
}

/* By the path id of a packet or a KEEP, or by a ticket, if it is one of these. */
static void by_content(struct ebpf *p, const struct steer *s)
{
    enum { BIND = 2 + RELAY_NONCE, PROVE = BIND + RELAY_COOKIE };

    ebpf_fetch(p, BPF_W, BPF_REG_8, BPF_REG_6, offsetof(struct __sk_buff, len));
    int too_short = ebpf_jump(p, BPF_JLT, BPF_REG_8, 2 + 8);
    ebpf_load(p, BPF_B, 0);
    int below = ebpf_jump(p, BPF_JLT, BPF_REG_0, PACKET_RELAY),
        above = ebpf_jump(p, BPF_JGT, BPF_REG_0, PACKET_DATA);
    int control = ebpf_jump(p, BPF_JEQ, BPF_REG_0, PACKET_RELAY);
    ebpf_load_u64(p, BPF_REG_7, 1);
    int look = ebpf_jump(p, BPF_JA, 0, 0);
    ebpf_land(p, control);
    ebpf_load(p, BPF_B, 1);
    int not_bind = ebpf_jump(p, BPF_JNE, BPF_REG_0, RELAY_BIND);
    int other_bind = ebpf_jump(p, BPF_JNE, BPF_REG_8, BIND + TICKET_BYTES);
    ebpf_by_imm(p, BPF_MOV, BPF_REG_8, BIND);
    int ticket = ebpf_jump(p, BPF_JA, 0, 0);
    ebpf_land(p, not_bind);
    int not_prove = ebpf_jump(p, BPF_JNE, BPF_REG_0, RELAY_PROVE);
    int other_prove = ebpf_jump(p, BPF_JNE, BPF_REG_8, PROVE + TICKET_BYTES);
    ebpf_by_imm(p, BPF_MOV, BPF_REG_8, PROVE);
    ebpf_land(p, ticket);
    by_ticket(p, s);
    ebpf_land(p, not_prove);
    int not_keep = ebpf_jump(p, BPF_JNE, BPF_REG_0, RELAY_KEEP);
    ebpf_load_u64(p, BPF_REG_7, 2);
    ebpf_land(p, look);
    look_up(p, s);
    ebpf_land(p, too_short), ebpf_land(p, below), ebpf_land(p, above);
    ebpf_land(p, other_bind), ebpf_land(p, other_prove), ebpf_land(p, not_keep);
}

/* By the source: IPv4, and IPv6 without extension headers. */
static void by_source(struct ebpf *p, const struct steer *s)
{
    enum { NET = SKF_NET_OFF, V4_SOURCE = 12, V6_NEXT = 6, V6_SOURCE = 8, V6_HEADER = 40 };

    ebpf_load(p, BPF_B, NET);
    ebpf_by_reg(p, BPF_MOV, BPF_REG_8, BPF_REG_0);
    ebpf_by_imm(p, BPF_RSH, BPF_REG_0, 4);
    int v6 = ebpf_jump(p, BPF_JNE, BPF_REG_0, 4);
    ebpf_by_imm(p, BPF_AND, BPF_REG_8, 15);
    ebpf_by_imm(p, BPF_LSH, BPF_REG_8, 2);
    ebpf_load(p, BPF_W, NET + V4_SOURCE);
    ebpf_by_reg(p, BPF_MOV, BPF_REG_7, BPF_REG_0);
    ebpf_by_imm(p, BPF_LSH, BPF_REG_7, 16);
    ebpf_add(p, BPF_LD | BPF_IND | BPF_H, 0, BPF_REG_8, NET);
    ebpf_by_reg(p, BPF_OR, BPF_REG_7, BPF_REG_0);
    ebpf_by_imm(p, BPF_LSH, BPF_REG_7, 8);
    int look = ebpf_jump(p, BPF_JA, 0, 0);
    ebpf_land(p, v6);
    ebpf_load(p, BPF_B, NET + V6_NEXT);
    int extended = ebpf_jump(p, BPF_JNE, BPF_REG_0, IPPROTO_UDP);
    ebpf_load_u64(p, BPF_REG_7, NET + V6_SOURCE);
    ebpf_load_u64(p, BPF_REG_9, NET + V6_SOURCE + 8);
    ebpf_constant(p, BPF_REG_8, 0, MARKS_MIX);
    ebpf_by_reg(p, BPF_MUL, BPF_REG_7, BPF_REG_8);
    ebpf_by_reg(p, BPF_XOR, BPF_REG_7, BPF_REG_9);
    ebpf_by_reg(p, BPF_MUL, BPF_REG_7, BPF_REG_8);
    ebpf_load(p, BPF_H, NET + V6_HEADER);
    ebpf_by_imm(p, BPF_LSH, BPF_REG_0, 8);
    ebpf_by_reg(p, BPF_XOR, BPF_REG_7, BPF_REG_0);
    ebpf_land(p, look);
    look_up(p, s);
    ebpf_constant(p, BPF_REG_0, 0, MARKS_MIX); /* one worker for each source */
    ebpf_by_reg(p, BPF_MUL, BPF_REG_0, BPF_REG_7);
    ebpf_by_imm(p, BPF_RSH, BPF_REG_0, 32);
    ebpf_by_imm(p, BPF_MOD, BPF_REG_0, (int)s->n_workers);
    leave(p, STEER_OTHERS);
    ebpf_land(p, extended);
}

static int load_program(const struct steer *s)
{
    struct ebpf p = {.n = 0};

    ebpf_by_reg(&p, BPF_MOV, BPF_REG_6, BPF_REG_1);
    by_content(&p, s);
    by_source(&p, s);
    ebpf_by_imm(&p, BPF_MOV, BPF_REG_0, 0);
    leave(&p, STEER_OTHERS);
    return ebpf_program(&p);
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
    bool ok = s->n_fds == n_workers * STEER_QUEUES && ebpf_attach(program, fd);
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
