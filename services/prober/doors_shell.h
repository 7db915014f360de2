/*
 * doors_shell.h - each of the prober's ports as many sockets, two for each worker, so that what peers ask doesn't wait
 * behind a flood of strangers.
 *
 * They share the port (SO_REUSEPORT), and a small program in the kernel chooses by the source's ip, of IPv6 by its /56,
 * as budgets do: the worker, which so knows its own cookies and has a source's budgets once; and of its two sockets the
 * second one for sources that have returned a cookie to any of them (lib/familiar.h), which forged ones can't.
 *
 * The kernel lets only a privileged process load it (lib/ebpf.h).  Without it each worker has one socket, and where there
 * are several, a program that everybody may load chooses among them.
 */
#ifndef PROBER_DOORS_SHELL_H
#define PROBER_DOORS_SHELL_H

#include "lib/familiar.h"
#include "lib/service_crew.h"
#include "services/prober/answers_shell.h"

struct doors {
    struct familiar familiar; /* for the cores */
    int table;                /* -1: strangers and peers wait together */
    unsigned n;
    int known[CREW_MAX][PROBER_SOCKETS_MAX]; /* by worker; -1: none */
};

/* Open the sockets of the first of n workers for the others as well; dies with a line. */
void doors_open(struct doors *d, const struct crew *c, uint32_t key);

/* Those for peers; the others are the workers'. */
void doors_close(struct doors *d);

#endif
