/*
 * spin.h - what the kernel does by itself for a datagram, as when it forwards: CPU time that belongs to no process.
 *
 * The kernel books it for whom it interrupts.  A process on the server's core does nothing but ask for its own CPU
 * time; where that jumps it was interrupted, and the jump is what it took.  What comes without packets, such as the
 * clock's ticks, is taken off; what the core's softirq thread did comes on top.  Between measurements it is stopped.
 */
#ifndef BENCH_SPIN_H
#define BENCH_SPIN_H

#include "tests/bench/load.h"

void spin_open(const struct rooms *rooms);

/* As load_run, with the kernel's time as cpu_ns. */
struct load_result spin_run(const struct load *l);

#endif
