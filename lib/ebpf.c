/* ebpf.c - see ebpf.h. */
#include "lib/ebpf.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- a program ------------------------------------------------------------------------------------ */

/* Of the stack. */
enum { UPPER_AT = -8, INDEX_AT = -4 };
_Static_assert((int)EBPF_STACK <= (int)UPPER_AT - 8, "the caller's is below ours");

int ebpf_add(struct ebpf *p, unsigned code, unsigned dst, unsigned src, int imm)
{
    assert(p->n < EBPF_MAX);
    p->insn[p->n] = (struct bpf_insn){.code = (uint8_t)code,
                                      .dst_reg = (uint8_t)(dst & 15),
                                      .src_reg = (uint8_t)(src & 15),
                                      .imm = imm};
    return p->n++;
}

void ebpf_by_reg(struct ebpf *p, unsigned op, unsigned dst, unsigned src)
{
    ebpf_add(p, BPF_ALU64 | BPF_X | op, dst, src, 0);
}

void ebpf_by_imm(struct ebpf *p, unsigned op, unsigned dst, int imm)
{
    ebpf_add(p, BPF_ALU64 | BPF_K | op, dst, 0, imm);
}

void ebpf_constant(struct ebpf *p, unsigned dst, unsigned kind, uint64_t value)
{
    ebpf_add(p, BPF_LD | BPF_IMM | BPF_DW, dst, kind, (int)(uint32_t)value);
    ebpf_add(p, 0, 0, 0, (int)(uint32_t)(value >> 32));
}

void ebpf_load(struct ebpf *p, unsigned size, int at)
{
    ebpf_add(p, BPF_LD | BPF_ABS | size, 0, 0, at);
}

void ebpf_load_u64(struct ebpf *p, unsigned dst, int at)
{
    ebpf_load(p, BPF_W, at);
    ebpf_by_reg(p, BPF_MOV, dst, BPF_REG_0);
    ebpf_by_imm(p, BPF_LSH, dst, 32);
    ebpf_load(p, BPF_W, at + 4);
    ebpf_by_reg(p, BPF_OR, dst, BPF_REG_0);
}

void ebpf_load_word(struct ebpf *p, unsigned dst, unsigned from, int at)
{
    enum { TURN = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? BPF_TO_BE : BPF_TO_LE };

    ebpf_add(p, BPF_LD | BPF_IND | BPF_W, 0, from, at);
    ebpf_store(p, BPF_DW, BPF_REG_10, UPPER_AT, BPF_REG_0);
    ebpf_add(p, BPF_LD | BPF_IND | BPF_W, 0, from, at + 4);
    ebpf_fetch(p, BPF_DW, dst, BPF_REG_10, UPPER_AT);
    ebpf_by_imm(p, BPF_LSH, dst, 32);
    ebpf_by_reg(p, BPF_OR, dst, BPF_REG_0);
    ebpf_add(p, BPF_ALU | BPF_END | TURN, dst, 0, 64);
}

void ebpf_fetch(struct ebpf *p, unsigned size, unsigned dst, unsigned src, int at)
{
    p->insn[ebpf_add(p, BPF_LDX | BPF_MEM | size, dst, src, 0)].off = (int16_t)at;
}

void ebpf_store(struct ebpf *p, unsigned size, unsigned dst, int at, unsigned src)
{
    p->insn[ebpf_add(p, BPF_STX | BPF_MEM | size, dst, src, 0)].off = (int16_t)at;
}

int ebpf_jump(struct ebpf *p, unsigned op, unsigned dst, int imm)
{
    return ebpf_add(p, BPF_JMP | BPF_K | op, dst, 0, imm);
}

void ebpf_land(struct ebpf *p, int from) { p->insn[from].off = (int16_t)(p->n - from - 1); }

void ebpf_cell(struct ebpf *p, int table)
{
    ebpf_store(p, BPF_W, BPF_REG_10, INDEX_AT, BPF_REG_1);
    ebpf_constant(p, BPF_REG_1, BPF_PSEUDO_MAP_FD, (uint64_t)table);
    ebpf_by_reg(p, BPF_MOV, BPF_REG_2, BPF_REG_10);
    ebpf_by_imm(p, BPF_ADD, BPF_REG_2, INDEX_AT);
    ebpf_add(p, BPF_JMP | BPF_CALL, 0, 0, BPF_FUNC_map_lookup_elem);
}

void ebpf_exit(struct ebpf *p) { ebpf_add(p, BPF_JMP | BPF_EXIT, 0, 0, 0); }

/* ---- the kernel ----------------------------------------------------------------------------------- */

static int bpf(int command, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, command, attr, sizeof *attr);
}

int ebpf_program(const struct ebpf *p)
{
    static const char license[] = "GPL";
    union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER};

    attr.insns = (uintptr_t)p->insn;
    attr.insn_cnt = (uint32_t)p->n;
    attr.license = (uintptr_t)license;
    return bpf(BPF_PROG_LOAD, &attr);
}

int ebpf_table(uint32_t cells, size_t cell_bytes, void **memory)
{
    union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY,
                           .key_size = sizeof(uint32_t),
                           .value_size = (uint32_t)cell_bytes,
                           .max_entries = cells,
                           .map_flags = BPF_F_MMAPABLE};
    int table = bpf(BPF_MAP_CREATE, &attr);

    *memory = NULL;
    if (table < 0)
        return -1;
    void *at = mmap(NULL, cells * cell_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, table, 0);
    if (at == MAP_FAILED) {
        ebpf_table_close(table, NULL, cells, cell_bytes);
        return -1;
    }
    *memory = at;
    return table;
}

void ebpf_table_close(int table, void *memory, uint32_t cells, size_t cell_bytes)
{
    int err = errno;

    if (memory)
        munmap(memory, cells * cell_bytes);
    if (table >= 0)
        close(table);
    errno = err;
}

bool ebpf_attach(int program, int fd)
{
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program, sizeof program) == 0;
}
