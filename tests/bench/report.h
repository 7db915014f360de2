/* report.h - what was measured, as JSON for programs and as a Markdown table for people. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "tests/bench/load.h"

enum {
    SERVERS_MAX = 6,
    PAIRS_MAX = 25,
    ROWS_MAX = 40,
    LATENCIES_MAX = 16,
    FLOODS_MAX = 12,
    TURNS = 5
};

struct scenario {
    enum { WAY_STUN, WAY_UP, WAY_DOWN } way;
    size_t size;
    unsigned sessions, train;
    bool quick;
};

/* Server 0 is ours, 1 is coturn, then come bare loops, and of a relay the kernel's forwarding. */
struct row {
    struct scenario what;
    unsigned servers, pairs;
    const char *name[SERVERS_MAX];
    struct load_result run[SERVERS_MAX][PAIRS_MAX];
};

struct latency {
    const char *server, *load;
    struct load_result run[TURNS];
};

/* Sessions at a fifth of saturation, and strangers beside them. */
struct flood {
    const char *server, *what;

    struct load_result run[TURNS];
    uint64_t memory_before, memory_after;
};

struct report {
    const char *title;  /* of the table */
    double load_before; /* the machine's load average: what else ran */
    struct row row[ROWS_MAX];
    struct latency latency[LATENCIES_MAX];
    struct flood flood[FLOODS_MAX];
    unsigned rows, latencies, floods;
    struct load_result workers[2][TURNS]; /* of ours with one and with two, on one core */
    unsigned sessions;                    /* open at once, in each */
    uint64_t memory_ours, memory_coturn;  /* bytes resident with them */
};

/* Write DIR/NAME.json, .md, .svg and .png; false with errno. */
bool report_write(const struct report *r, const char *dir, const char *name);

extern const char *const way_name[];
double load_cost_ns(const struct load_result *r); /* process and softirq thread, a datagram */

struct spread {
    double median, min, max;
};
struct spread row_cost(const struct row *row, unsigned server); /* ns a datagram */
unsigned row_kin(const struct row *row); /* the bare loop of the same kind as our server */

#endif
