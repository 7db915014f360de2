/* servers.h - the servers under test: started in the server's room, and what they have used. */
#ifndef BENCH_SERVERS_H
#define BENCH_SERVERS_H

#include "tests/bench/bare.h"
#include "tests/bench/rooms.h"

#include <sys/types.h>

enum {
    PORT_PROBER = 3478,
    PORT_RELAY = 3480,
    PORT_COTURN = 3500,
    PORT_BARE = 3600, /* and so on, by enum bare_kind */
};

/* The coordinator's key that tickets are sealed with, and the relay's to seal them to. */
struct servers_keys {
    uint8_t coordinator_secret[32], relay_public[32]; /* that tickets are sealed to */
};

/* Make a directory for keys and sockets; bin is where the binaries are. */
void servers_open(const struct rooms *rooms, const char *bin, struct servers_keys *keys);
void servers_close(void); /* ends all that were started, and removes the directory */

/* xdp: as --xdp takes it. */
pid_t server_relay(unsigned sessions, unsigned workers, const char *xdp);
pid_t server_prober(const char *xdp);
pid_t server_coturn(void);
pid_t server_bare(enum bare_kind kind);
void server_stop(pid_t pid);

/*
 * CPU time of all threads of a process, by the scheduler's own account.  The kernel books what it receives
 * for whomever it interrupts; under load a part is done by the CPU's own thread (ksoftirqd), of which
 * softirq_ns tells, with the thread of rooms_threads().
 */
uint64_t server_cpu_ns(pid_t pid);
uint64_t softirq_ns(void);
uint64_t server_memory(pid_t pid); /* bytes resident */

#endif
