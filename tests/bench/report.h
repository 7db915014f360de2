/* report.h - what was measured, as JSON for programs and as a Markdown table for people. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "tests/bench/load.h"

enum { SERVERS_MAX = 5, PAIRS_MAX = 25, ROWS_MAX = 40, LATENCIES_MAX = 12 };

struct scenario {
    enum { WAY_STUN, WAY_UP, WAY_DOWN } way;
    size_t size;
    unsigned sessions, train;
    bool quick;
};

/* Server 0 is ours, 1 is coturn, the others are bare loops, the last of the same kind as ours. */
struct row {
    struct scenario what;
    unsigned servers, pairs;
    const char *name[SERVERS_MAX];
    struct load_result run[SERVERS_MAX][PAIRS_MAX];
};

struct latency {
    const char *server, *load;
    struct load_result run;
};

struct report {
    const char *title; /* of the table */
    struct row row[ROWS_MAX];
    struct latency latency[LATENCIES_MAX];
    unsigned rows, latencies;
    unsigned sessions;                   /* open at once, in each */
    uint64_t memory_ours, memory_coturn; /* bytes resident with them */
};

/* Write DIR/NAME.json and DIR/NAME.md; false with errno. */
bool report_write(const struct report *r, const char *dir, const char *name);

double load_cost_ns(const struct load_result *r); /* process and softirq thread, a datagram */

#endif
