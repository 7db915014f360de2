/*
 * bare.h - the least that a server in user space can do: loops that only read and write.  The limit that
 * the others are compared with; they check nothing.
 *
 * relay: a datagram goes to the address that its bytes 1 to 6 name.  stun: a datagram of 20 bytes comes
 * back as an answer of 32. hook: xdp/loop.bpf.c, a relay too.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <stdint.h>

enum bare_kind { BARE_SINGLE, BARE_BATCHED, BARE_MERGED, BARE_STUN, BARE_HOOK };

/* Serve on this port for ever. */
_Noreturn void bare_serve(enum bare_kind kind, uint16_t port);

#endif
