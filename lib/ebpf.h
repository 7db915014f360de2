/*
 * ebpf.h - small programs of ours in the kernel that choose among the sockets of one port, put together instruction
 * by instruction, and the tables that they read and our processes write.
 *
 * A program begins with R1, what came; it has to be in R6 for ebpf_load.  It returns a socket's number in the group, in the
 * order in which they joined it (SO_REUSEPORT), from 0.  The kernel lets only a privileged process load one
 * (CAP_BPF, or CAP_SYS_ADMIN before Linux 5.8).
 */
#ifndef EBPF_H
#define EBPF_H

#include <linux/bpf.h>
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EBPF_MAX = 2048, EBPF_STACK = -16 };

struct ebpf {
    struct bpf_insn insn[EBPF_MAX];
    int n;
};

/* One instruction; where it is. */
int ebpf_add(struct ebpf *p, unsigned code, unsigned dst, unsigned src, int imm);

/* R[dst] op= R[src], or a number. */
void ebpf_by_reg(struct ebpf *p, unsigned op, unsigned dst, unsigned src);
void ebpf_by_imm(struct ebpf *p, unsigned op, unsigned dst, int imm);

/* R[dst] = a number, or what that kind of number stands for. */
void ebpf_constant(struct ebpf *p, unsigned dst, unsigned kind, uint64_t value);

/* R0 = what is in the packet there, in the host's order; where there is nothing the program ends with 0.  From SKF_NET_OFF
 * on it is that of the IP header. */
void ebpf_load(struct ebpf *p, unsigned size, int at);

/* R[dst] = the 8 bytes there. */
void ebpf_load_u64(struct ebpf *p, unsigned dst, int at);

/* R[dst] = the 8 bytes as many further as R[from] says, in the order of SipHash's words. */
void ebpf_load_word(struct ebpf *p, unsigned dst, unsigned from, int at);

/* R0 = the SipHash-2-4 of the words R7 and R8 under the key R1 and R2.  R1 to R5 are lost. */
void ebpf_siphash(struct ebpf *p);

/* R[dst] = memory at R[src] + at, and back; the stack is below BPF_REG_10, and from EBPF_STACK on
 * downwards the caller's. */
void ebpf_fetch(struct ebpf *p, unsigned size, unsigned dst, unsigned src, int at);
void ebpf_store(struct ebpf *p, unsigned size, unsigned dst, int at, unsigned src);

/* A jump to a place that is told by ebpf_land. */
int ebpf_jump(struct ebpf *p, unsigned op, unsigned dst, int imm);
void ebpf_land(struct ebpf *p, int from);

/* R0 = the address of cell R1 of a table, or 0.  R2 to R5 are lost. */
void ebpf_cell(struct ebpf *p, int table);

/* The end: R0 is returned. */
void ebpf_exit(struct ebpf *p);

/* Its descriptor; -1 with errno. */
int ebpf_program(const struct ebpf *p);

/* A table of so many cells, all 0, in memory that is the kernel's and ours; its descriptor, or -1 with errno. */
int ebpf_table(uint32_t cells, size_t cell_bytes, void **memory);
void ebpf_table_close(int table, void *memory, uint32_t cells, size_t cell_bytes);

/* Have it choose for the group of sockets that fd is in; false with errno. */
bool ebpf_attach(int program, int fd);

#endif
