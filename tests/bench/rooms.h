/*
 * rooms.h - two network namespaces without names and an Ethernet between them: the server's room, where
 * 10.77.0.1 lives, and the generator's, whose end has no address, so that all that comes is its own.
 *
 * What a CPU sends over a veth it also receives there, unless told otherwise: each end's receive path is
 * put on the CPU of its room (RPS), so that the server pays for its packets as with a card.
 */
#ifndef BENCH_ROOMS_H
#define BENCH_ROOMS_H

#include "lib/addr.h"

#include <sys/types.h>

enum { CPU_LOAD = 0, CPU_SERVER = 1 };

struct rooms {
    int server, load; /* namespaces */
};

extern const struct addr room_server;           /* port 0 */
extern const struct addr room_left, room_right; /* the generator's, at its end of the wire */
#define ROOM_WIRE "wire"                        /* the generator's end */
#define ROOM_SERVER_END "server"

/* Makes both and enters the generator's, on its CPU.  Dies with a line when not root. */
void rooms_open(struct rooms *r);

/* In a child: move to the server's room and CPU. */
void rooms_enter_server(const struct rooms *r);

/* From now on each end receives in a thread of its own, on the CPU of its room; the server's is softirq_ns's as well. */
void rooms_threads(void);
pid_t rooms_server_thread(void); /* 0: it has none */

/* Have the generator's end write whole checksums, as frames from a network have; else they are taken for checked. */
void rooms_checksums(bool whole);

/* The Ethernet addresses of both ends. */
void rooms_macs(uint8_t load[static 6], uint8_t server[static 6]);

#endif
