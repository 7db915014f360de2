/* ebpf_hash.c - SipHash-2-4 (Aumasson and Bernstein, 2012) by a program in the kernel; see ebpf.h. */
#include "lib/ebpf.h"

enum { V0 = BPF_REG_1, V1, V2, V3, SPARE };

static void rotate(struct ebpf *p, unsigned v, int bits)
{
    ebpf_by_reg(p, BPF_MOV, SPARE, v);
    ebpf_by_imm(p, BPF_LSH, v, bits);
    ebpf_by_imm(p, BPF_RSH, SPARE, 64 - bits);
    ebpf_by_reg(p, BPF_OR, v, SPARE);
}

/* a += b; b = b rotated, and what a is now. */
static void mix(struct ebpf *p, unsigned a, unsigned b, int bits)
{
    ebpf_by_reg(p, BPF_ADD, a, b);
    rotate(p, b, bits);
    ebpf_by_reg(p, BPF_XOR, b, a);
}

static void rounds(struct ebpf *p, unsigned n)
{
    while (n-- > 0) {
        mix(p, V0, V1, 13);
        rotate(p, V0, 32);
        mix(p, V2, V3, 16);
        mix(p, V0, V3, 21);
        mix(p, V2, V1, 17);
        rotate(p, V2, 32);
    }
}

static void block(struct ebpf *p, unsigned word)
{
    ebpf_by_reg(p, BPF_XOR, V3, word);
    rounds(p, 2);
    ebpf_by_reg(p, BPF_XOR, V0, word);
}

void ebpf_siphash(struct ebpf *p)
{
    static const uint64_t begin[] = {0x736f6d6570736575, 0x646f72616e646f6d, 0x6c7967656e657261,
                                     0x7465646279746573};

    ebpf_by_reg(p, BPF_MOV, V2, V0); /* both keys twice */
    ebpf_by_reg(p, BPF_MOV, V3, V1);
    for (unsigned i = 0; i < 4; i++) {
        ebpf_constant(p, BPF_REG_0, 0, begin[i]);
        ebpf_by_reg(p, BPF_XOR, V0 + i, BPF_REG_0);
    }
    block(p, BPF_REG_7);
    block(p, BPF_REG_8);
    ebpf_constant(p, BPF_REG_0, 0, UINT64_C(16) << 56); /* its length */
    block(p, BPF_REG_0);
    ebpf_by_imm(p, BPF_XOR, V2, 0xff);
    rounds(p, 4);
    ebpf_by_reg(p, BPF_MOV, BPF_REG_0, V0);
    ebpf_by_reg(p, BPF_XOR, BPF_REG_0, V1);
    ebpf_by_reg(p, BPF_XOR, BPF_REG_0, V2);
    ebpf_by_reg(p, BPF_XOR, BPF_REG_0, V3);
}
