/*
 * main.c - the benchmark: our prober and relay, coturn, and bare loops, in turns on one core, under a load
 * from the other; `make bench`.
 *
 *   bench BIN_DIR OUT_DIR [quick|xdp]
 */
#include "lib/log.h"
#include "lib/ticket.h"
#include "tests/bench/hook.h"
#include "tests/bench/report.h"
#include "tests/bench/spin.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAIRS = 7,
    PAIRS_QUICK = 3,
    RUN_US = 300 * 1000,
    SESSIONS = SESSIONS_MAX,
    SESSIONS_QUICK = 1000,
    STUN_FLOWS = 1000,
    STUN_BYTES = 20,
    BARE_RELAYS = 3, /* row_kin knows their order */
    FLOOD_BYTES = 100,
    FLOOD_TRAIN = 32,
    BIND_BYTES = 10 + TICKET_BYTES,
};

/* clang-format off */
static const struct scenario scenarios[] = {
    {WAY_STUN, STUN_BYTES, STUN_FLOWS, 1, true},
    {WAY_UP,   1186, 1,     16, true},  {WAY_DOWN, 1186, 1,     16, true},
    {WAY_UP,   1186, 100,   16, false}, {WAY_DOWN, 1186, 100,   16, false},
    {WAY_UP,   100,  1,     1,  false}, {WAY_DOWN, 100,  1,     1,  false},
    {WAY_UP,   512,  1,     1,  false}, {WAY_DOWN, 512,  1,     1,  false},
    {WAY_UP,   1186, 1,     1,  false}, {WAY_DOWN, 1186, 1,     1,  false},
    {WAY_UP,   100,  100,   1,  true},  {WAY_DOWN, 100,  100,   1,  true},
    {WAY_UP,   512,  100,   1,  false}, {WAY_DOWN, 512,  100,   1,  false},
    {WAY_UP,   1186, 100,   1,  false}, {WAY_DOWN, 1186, 100,   1,  false},
    {WAY_UP,   100,  SESSIONS, 1, false}, {WAY_DOWN, 100,  SESSIONS, 1, false},
    {WAY_UP,   512,  SESSIONS, 1, false}, {WAY_DOWN, 512,  SESSIONS, 1, false},
    {WAY_UP,   1186, SESSIONS, 1, true},  {WAY_DOWN, 1186, SESSIONS, 1, true},
};
/* clang-format on */

static struct rooms rooms; /* static: large, and there is one of each */
static struct servers_keys keys;
static struct report report = {.title = "Cost of a packet"};
static struct target ours = {.name = "natterjack"}, coturn = {.name = "coturn"};
static struct target bare[BARE_RELAYS] = {
    {.name = "recvfrom"}, {.name = "batched"}, {.name = "merged"}};
static struct target prober = {.name = "natterjack"}, stun_coturn = {.name = "coturn"};
static struct target stun_bare = {.name = "batched"};
static struct target kernel = {.name = "kernel forwarding"};
static struct target *const relays[] = {&ours, &coturn, &bare[0], &bare[1], &bare[2], &kernel};
static struct target *const stuns[] = {&prober, &stun_coturn, &stun_bare};

static void open_targets(unsigned sessions)
{
    ours.pid = server_relay(sessions, 1, "off");
    flows_relay(&ours, &keys, sessions);
    coturn.pid = stun_coturn.pid = server_coturn();
    flows_coturn(&coturn, sessions);
    for (unsigned k = 0; k < BARE_RELAYS; k++) {
        bare[k].pid = server_bare((enum bare_kind)k);
        flows_bare(&bare[k], (enum bare_kind)k, sessions);
    }
    flows_forwarded(&kernel, sessions);
    spin_open(&rooms);
    prober.pid = server_prober("off");
    stun_bare.pid = server_bare(BARE_STUN);
    flows_stun(&prober, PORT_PROBER, STUN_FLOWS);
    flows_stun(&stun_coturn, PORT_COTURN, STUN_FLOWS);
    flows_stun(&stun_bare, PORT_BARE + BARE_STUN, STUN_FLOWS);
    report.sessions = sessions;
    report.memory_ours = server_memory(ours.pid);
    report.memory_coturn = server_memory(coturn.pid);
}

static struct load load_of(struct target *t, const struct scenario *s)
{
    const struct way *way = s->way == WAY_DOWN ? &t->down : &t->up;

    if (t->set_size)
        t->set_size(t, s->size);
    return (struct load){.way = way,
                         .flows = s->sessions,
                         .len = way_len(way, s->size),
                         .train = s->train,
                         .window = load_window(s->train),
                         .duration_us = RUN_US};
}

/* A run in which hardly anything comes back tells of a fault, not of a speed. */
static struct load_result measure(struct target *t, const struct load *l)
{
    struct load_result r = {0};

    for (unsigned try = 0; try < 10 && r.received * 2 < r.sent + 1; try++)
        r = t == &kernel ? spin_run(l) : load_run(l, t->pid);
    if (r.received == 0)
        die("event=nothing_received from=%s", t->name);
    return r;
}

static void run_scenario(const struct scenario *s, unsigned pairs)
{
    struct target *const *targets = s->way == WAY_STUN ? stuns : relays;
    struct row *row = &report.row[report.rows++];

    *row = (struct row){.what = *s, .pairs = pairs};
    row->servers =
        s->way == WAY_STUN ? sizeof stuns / sizeof *stuns : sizeof relays / sizeof *relays;
    for (unsigned i = 0; i < pairs; i++)
        for (unsigned k = 0; k < row->servers; k++) {
            struct load l = load_of(targets[k], s);
            row->name[k] = targets[k]->name;
            row->run[k][i] = measure(targets[k], &l);
        }
    fprintf(stderr,
            "%2u: way %d, %4zu bytes, %5u flows, trains of %2u: %6.0f ns, coturn %6.0f ns\n",
            report.rows, s->way, s->size, s->sessions, s->train, load_cost_ns(&row->run[0][0]),
            load_cost_ns(&row->run[1][0]));
    ours.keep(&ours);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* What comes back in a second when as much is sent as its window lets through. */
static double saturation(struct target *t, const struct load *l)
{
    double rate[TURNS];

    for (unsigned i = 0; i < TURNS; i++) {
        struct load_result full = measure(t, l);
        rate[i] = (double)full.received / full.seconds;
    }
    qsort(rate, TURNS, sizeof *rate, by_value);
    return rate[TURNS / 2];
}

/* Small packets of many sessions, one after the other: what relays carry of calls and games. */
static const struct scenario usual = {WAY_UP, 512, 100, 1, false};

/* One packet at a time, then a fifth and nine tenths of what each server can do. */
static void run_latencies(void)
{
    static const struct {
        const char *name;
        double part;
    } loads[] = {
        {"one at a time", 0  },
        {"20 %",          0.2},
        {"90 %",          0.9}
    };
    enum { SERVERS = 4, LOADS = sizeof loads / sizeof *loads };
    struct target *const targets[SERVERS] = {&ours, &coturn, &bare[BARE_SINGLE], &kernel};
    struct load of[SERVERS];

    for (unsigned k = 0; k < SERVERS; k++) {
        of[k] = load_of(targets[k], &usual);
        of[k].rate = saturation(targets[k], &of[k]);
        for (unsigned i = 0; i < LOADS; i++)
            report.latency[report.latencies++] =
                (struct latency){.server = targets[k]->name, .load = loads[i].name};
    }
    for (unsigned turn = 0; turn < TURNS; turn++)
        for (unsigned n = 0; n < SERVERS * LOADS; n++) {
            struct target *t = targets[n / LOADS];
            struct load l = of[n / LOADS];
            l.window = loads[n % LOADS].part > 0 ? UINT16_MAX : 1;
            l.rate *= loads[n % LOADS].part;
            report.latency[n].run[turn] = load_run(&l, t->pid ? t->pid : ours.pid);
        }
}

/*
 * A fifth of the saturation by sessions, and ten times the saturation by strangers: datagrams that come merged,
 * as a card delivers those of few sources, and as many single ones as this generator makes.
 */
static void run_flood(struct target *t, const struct load *base, const char *what,
                      const struct way *strangers, size_t len, unsigned train, double factor)
{
    struct flood *f = &report.flood[report.floods++];
    struct load l = *base;
    double saturation = l.rate;

    *f = (struct flood){.server = t->name, .what = what};
    l.rate = 0.2 * saturation;
    l.window = UINT16_MAX;
    l.flood = factor > 0 ? strangers : NULL;
    l.flood_len = len;
    l.flood_train = train;
    l.flood_rate = factor * saturation;
    f->memory_before = server_memory(t->pid);
    for (unsigned turn = 0; turn < TURNS; turn++)
        f->run[turn] = load_run(&l, t->pid);
    f->memory_after = server_memory(t->pid);
}

static void run_floods(void)
{
    static struct way strangers, binds;

    for (unsigned k = 0; k < 2; k++) {
        struct load l = load_of(relays[k], &usual);
        uint16_t port = k == 0 ? PORT_RELAY : PORT_COTURN;
        l.rate = saturation(relays[k], &l);
        flows_strangers(&strangers, port);
        flows_binds(&binds, port);
        run_flood(relays[k], &l, "none", &strangers, FLOOD_BYTES, 1, 0);
        run_flood(relays[k], &l, "packets, merged", &strangers, FLOOD_BYTES, FLOOD_TRAIN, 10);
        run_flood(relays[k], &l, "packets, single", &strangers, FLOOD_BYTES, 1, 10);
        run_flood(relays[k], &l, "BIND, merged", &binds, BIND_BYTES, FLOOD_TRAIN, 10);
        run_flood(relays[k], &l, "BIND, single", &binds, BIND_BYTES, 1, 10);
    }
}

/* What it costs that a relay is of several: with a core for each there is nothing else that they share. */
static void run_workers(void)
{
    server_stop(ours.pid);
    for (unsigned turn = 0; turn < TURNS; turn++)
        for (unsigned n = 0; n < 2; n++) {
            ours.pid = server_relay(usual.sessions, n + 1, "off");
            flows_relay(&ours, &keys, usual.sessions);
            struct load l = load_of(&ours, &usual);
            report.workers[n][turn] = measure(&ours, &l);
            server_stop(ours.pid);
        }
}

int main(int argc, char **argv)
{
    bool quick = argc == 4 && strcmp(argv[3], "quick") == 0;
    unsigned sessions = quick ? SESSIONS_QUICK : SESSIONS;

    log_init("bench");
    bool hooks = argc == 4 && strcmp(argv[3], "xdp") == 0;
    if ((argc != 3 && !quick && !hooks) || sodium_init() < 0)
        die("event=usage text=\"bench BIN_DIR OUT_DIR [quick|xdp]\"");
    getloadavg(&report.load_before, 1);
    rooms_open(&rooms);
    wire_open();
    servers_open(&rooms, argv[1], &keys);
    atexit(servers_close);
    if (hooks) {
        hook_run(&rooms, &keys, argv[1], argv[2]);
        return 0;
    }
    open_targets(sessions);
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        struct scenario s = scenarios[i];
        if (s.sessions > sessions)
            s.sessions = sessions;
        if (s.quick || !quick)
            run_scenario(&s, quick ? PAIRS_QUICK : PAIRS);
    }
    run_latencies();
    run_floods();
    run_workers();
    if (!report_write(&report, argv[2], quick ? "quick" : "packets"))
        die("event=no_report dir=%s why=\"%s\"", argv[2], strerror(errno));
    return 0;
}
