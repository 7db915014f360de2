/* familiar_shell.c - see familiar_shell.h. */
#include "lib/familiar_shell.h"

int familiar_open(struct familiar *f)
{
    void *cells;
    int table = ebpf_table(FAMILIAR_CELLS, sizeof(uint64_t), &cells);

    f->cells = cells;
    return table;
}

void familiar_close(struct familiar *f, int table)
{
    ebpf_table_close(table, f->cells, FAMILIAR_CELLS, sizeof(uint64_t));
    f->cells = NULL;
}

void familiar_load_key(struct ebpf *p)
{
    enum { V4_SOURCE = 12, V6_SOURCE = 8 };

    ebpf_load(p, BPF_B, SKF_NET_OFF);
    ebpf_by_imm(p, BPF_RSH, BPF_REG_0, 4);
    int v6 = ebpf_jump(p, BPF_JNE, BPF_REG_0, 4);
    ebpf_load(p, BPF_W, SKF_NET_OFF + V4_SOURCE);
    ebpf_by_reg(p, BPF_MOV, BPF_REG_7, BPF_REG_0);
    ebpf_by_imm(p, BPF_LSH, BPF_REG_7, 8);
    ebpf_by_imm(p, BPF_OR, BPF_REG_7, FAMILIAR_V4);
    int done = ebpf_jump(p, BPF_JA, 0, 0);
    ebpf_land(p, v6);
    ebpf_load_u64(p, BPF_REG_7, SKF_NET_OFF + V6_SOURCE);
    ebpf_by_imm(p, BPF_AND, BPF_REG_7, ~0xff); /* to the /56 */
    ebpf_by_imm(p, BPF_OR, BPF_REG_7, FAMILIAR_V6);
    ebpf_land(p, done);
}

void familiar_look_up(struct ebpf *p, int table)
{
    ebpf_constant(p, BPF_REG_1, 0, FAMILIAR_MIX);
    ebpf_by_reg(p, BPF_MUL, BPF_REG_1, BPF_REG_7);
    ebpf_by_imm(p, BPF_RSH, BPF_REG_1, 64 - FAMILIAR_BITS);
    ebpf_cell(p, table);
    ebpf_by_imm(p, BPF_MOV, BPF_REG_8, 0);
    int none = ebpf_jump(p, BPF_JEQ, BPF_REG_0, 0);
    ebpf_fetch(p, BPF_DW, BPF_REG_1, BPF_REG_0, 0);
    ebpf_by_reg(p, BPF_XOR, BPF_REG_1, BPF_REG_7);
    int other = ebpf_jump(p, BPF_JNE, BPF_REG_1, 0);
    ebpf_by_imm(p, BPF_MOV, BPF_REG_8, 1);
    ebpf_land(p, none), ebpf_land(p, other);
}
