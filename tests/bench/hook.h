/*
 * hook.h - prober and relay with --xdp beside themselves without, coturn, and a bare loop at the hook.
 *
 * What a hook does belongs to no process, so here each end of the wire receives in a thread of its own (threaded NAPI),
 * whose time the scheduler books; a row's cost is that of the server's end and of its process.
 */
#ifndef BENCH_HOOK_H
#define BENCH_HOOK_H

#include "tests/bench/flows.h"

/* Write a table to DIR/xdp.md; dies with a line where it can't. */
void hook_run(const struct rooms *rooms, const struct servers_keys *keys, const char *bin,
              const char *dir);

#endif
