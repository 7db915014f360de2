/* load.h - drive flows through a server, as fast as it goes or at a rate, and measure. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "tests/bench/flows.h"

struct load {
    const struct way *way;
    unsigned flows;          /* the first so many, in turn */
    size_t len;              /* of a datagram as sent */
    unsigned train;          /* datagrams of one flow in a row */
    bool apart;              /* each a frame of its own; else a train is one that comes merged */
    unsigned window;         /* at most so many are on their way */
    double rate;             /* datagrams a second; 0: as many as the window lets through */
    const struct way *flood; /* meanwhile, of FLOOD_FLOWS strangers; or NULL */
    size_t flood_len;
    unsigned flood_train;
    double flood_rate;
    int64_t duration_us;
};

struct load_result {
    uint64_t sent, received, lost, flooded;
    double seconds;
    double cpu_ns;         /* of the server's process for a datagram that came back */
    double softirq_ns;     /* and of its CPU's softirq thread */
    double p50_us, p99_us; /* from sending to having received */
};

/* Of datagrams that come in trains; of single ones coturn's sockets hold little more. */
static inline unsigned load_window(unsigned train) { return train > 1 ? 256 : 128; }

struct load_result load_run(const struct load *l, pid_t server);

#endif
