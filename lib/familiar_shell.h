/*
 * familiar_shell.h - a table of familiar sources (familiar.h) that programs of ours in the kernel read (ebpf.h).
 */
#ifndef FAMILIAR_SHELL_H
#define FAMILIAR_SHELL_H

#include "lib/ebpf.h"
#include "lib/familiar.h"

/* Its descriptor; -1 with errno, and then none are kept. */
int familiar_open(struct familiar *f);
void familiar_close(struct familiar *f, int table);

/* R7 = the key of the source of what came, as familiar.c makes it. */
void familiar_load_key(struct ebpf *p);

/* R8 = 1 when R7 is in the table, else 0.  R0 to R5 are lost. */
void familiar_look_up(struct ebpf *p, int table);

#endif
