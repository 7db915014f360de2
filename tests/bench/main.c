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
    WINDOW = 128, /* of single datagrams; coturn's sockets hold little more */
    WINDOW_TRAINS = 256,
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
    ours.pid = server_relay(sessions, "off");
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
                         .window = s->train > 1 ? WINDOW_TRAINS : WINDOW,
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

static void run_latency(struct target *t, const char *name, const struct load *l)
{
    struct latency *at = &report.latency[report.latencies++];

    *at = (struct latency){
        .server = t->name, .load = name, .run = load_run(l, t->pid ? t->pid : ours.pid)};
}

/* One packet at a time, then a fifth and nine tenths of what this server can do. */
static void run_latencies(void)
{
    static const struct scenario s = {WAY_UP, 512, 100, 1, false};

    struct target *const targets[] = {&ours, &coturn, &bare[BARE_SINGLE], &kernel};

    for (unsigned k = 0; k < sizeof targets / sizeof *targets; k++) {
        struct load l = load_of(targets[k], &s);
        struct load_result full = measure(targets[k], &l);
        l.window = 1;
        l.duration_us = 4 * RUN_US;
        run_latency(targets[k], "one at a time", &l);
        l.window = UINT16_MAX;
        l.rate = 0.2 * (double)full.received / full.seconds;
        run_latency(targets[k], "20 %", &l);
        l.rate = 0.9 * (double)full.received / full.seconds;
        run_latency(targets[k], "90 %", &l);
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
    l.duration_us = 4 * RUN_US;
    l.flood = factor > 0 ? strangers : NULL;
    l.flood_len = len;
    l.flood_train = train;
    l.flood_rate = factor * saturation;
    f->memory_before = server_memory(t->pid);
    f->run = load_run(&l, t->pid);
    f->memory_after = server_memory(t->pid);
}

static void run_floods(void)
{
    static const struct scenario s = {WAY_UP, 512, 100, 1, false};
    static struct way strangers, binds;

    for (unsigned k = 0; k < 2; k++) {
        struct load l = load_of(relays[k], &s);
        struct load_result full = measure(relays[k], &l);
        uint16_t port = k == 0 ? PORT_RELAY : PORT_COTURN;
        l.rate = (double)full.received / full.seconds;
        flows_strangers(&strangers, port);
        flows_binds(&binds, port);
        run_flood(relays[k], &l, "none", &strangers, FLOOD_BYTES, 1, 0);
        run_flood(relays[k], &l, "packets, merged", &strangers, FLOOD_BYTES, FLOOD_TRAIN, 10);
        run_flood(relays[k], &l, "packets, single", &strangers, FLOOD_BYTES, 1, 10);
        run_flood(relays[k], &l, "BIND, merged", &binds, BIND_BYTES, FLOOD_TRAIN, 10);
        run_flood(relays[k], &l, "BIND, single", &binds, BIND_BYTES, 1, 10);
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
    if (!report_write(&report, argv[2], quick ? "quick" : "packets"))
        die("event=no_report dir=%s why=\"%s\"", argv[2], strerror(errno));
    return 0;
}
