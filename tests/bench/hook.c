/* hook.c - see hook.h. */
#include "tests/bench/hook.h"

#include "lib/log.h"
#include "tests/bench/load.h"
#include "tests/natlab/netns.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS = 5, RUN_US = 300 * 1000, STUN_FLOWS = 1000, MANY = SESSIONS_MAX };
enum kind { NATIVE, SKB, LOOP, USUAL, COTURN, KINDS };

static const char *const kind_name[KINDS] = {"native", "skb", "bare XDP_TX", "without", "coturn"};
static const char *const where[KINDS] = {ROOM_SERVER_END "/native", ROOM_SERVER_END "/skb", "off",
                                         "off", "off"};

/* clang-format off */
static const struct scenario {
    const char *name;
    bool stun, down;
    size_t size;
    unsigned sessions, train;
} scenarios[] = {
    {"STUN binding, 1000 flows",               true,  false, 20,   STUN_FLOWS, 1 },
    {"relay up, 1186 bytes, 1 flow, trains",   false, false, 1186, 1,          16},
    {"relay down, 1186 bytes, 1 flow, trains", false, true,  1186, 1,          16},
    {"relay up, 1186 bytes, 100 flows, trains", false, false, 1186, 100,       16},
    {"relay up, 1186 bytes, 1 flow",           false, false, 1186, 1,          1 },
    {"relay up, 1186 bytes, 100 flows",        false, false, 1186, 100,        1 },
    {"relay down, 1186 bytes, 100 flows",      false, true,  1186, 100,        1 },
    {"relay up, 100 bytes, 100 flows",         false, false, 100,  100,        1 },
    {"relay up, 1186 bytes, 10000 flows",      false, false, 1186, MANY,       1 },
    {"relay down, 1186 bytes, 10000 flows",    false, true,  1186, MANY,       1 },
    {"relay up, 100 bytes, 10000 flows",       false, false, 100,  MANY,       1 },
};
/* clang-format on */

static struct target target; /* static: large */
static double cost[KINDS][PAIRS];

static struct bpf_object *programs;

static void load_programs(const char *bin)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/../tests/bench/xdp/loop.bpf.o", bin);
    programs = bpf_object__open_file(path, NULL);
    if (!programs || bpf_object__load(programs) != 0)
        die("event=no_loop path=%s why=\"%s\"", path, strerror(errno));
}

/* Have this program at the native hook of an interface of this room, or none. */
static void use_program(int room, const char *interface, const char *program)
{
    int index = netns_enter(room) ? (int)if_nametoindex(interface) : 0;
    int fd = program ? bpf_program__fd(bpf_object__find_program_by_name(programs, program)) : -1;

    if (bpf_xdp_attach(index, fd, XDP_FLAGS_DRV_MODE, NULL) != 0)
        die("event=no_hook interface=%s why=\"%s\"", interface, strerror(errno));
}

static void use_programs(const struct rooms *rooms, const struct scenario *s, enum kind k, bool on)
{
    const char *bare = s->stun ? "stun" : "loop";

    if (k == LOOP)
        use_program(rooms->server, ROOM_SERVER_END, on ? bare : NULL);
    if (k == LOOP || k == NATIVE)
        use_program(rooms->load, ROOM_WIRE, on ? "pass" : NULL);
    netns_enter(rooms->load);
}

static void open_target(const struct scenario *s, enum kind k, const struct servers_keys *keys)
{
    struct target *t = &target;

    memset(t, 0, sizeof *t);
    t->name = kind_name[k];
    if (k == COTURN) {
        t->pid = server_coturn();
        if (s->stun)
            flows_stun(t, PORT_COTURN, s->sessions);
        else
            flows_coturn(t, s->sessions);
    } else if (k == LOOP && s->stun) {
        flows_stun(t, PORT_BARE + BARE_HOOK, s->sessions);
    } else if (k == LOOP) {
        flows_bare(t, BARE_HOOK, s->sessions);
    } else if (s->stun) {
        t->pid = server_prober(where[k]);
        flows_stun(t, PORT_PROBER, s->sessions);
    } else {
        t->pid = server_relay(MANY, 1, where[k]);
        flows_relay(t, keys, s->sessions);
        t->keep(t);
    }
}

static double run_one(const struct rooms *rooms, const struct scenario *s, enum kind k,
                      const struct servers_keys *keys)
{
    struct load_result r = {0};

    use_programs(rooms, s, k, true);
    rooms_checksums(k <= LOOP);
    open_target(s, k, keys);
    const struct way *way = s->down ? &target.down : &target.up;
    if (target.set_size)
        target.set_size(&target, s->size);
    struct load l = {.way = way,
                     .flows = s->sessions,
                     .len = way_len(way, s->size),
                     .train = s->train,
                     .apart = k <= LOOP,
                     .window = load_window(s->train),
                     .duration_us = RUN_US};
    for (unsigned try = 0; try < 10 && r.received * 2 < r.sent + 1; try++)
        r = load_run(&l, target.pid);
    if (r.received == 0)
        die("event=nothing_received from=%s", target.name);
    use_programs(rooms, s, k, false);
    if (target.pid != 0)
        server_stop(target.pid);
    return r.cpu_ns + r.softirq_ns;
}

static int by_value(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static double median(const double v[static PAIRS])
{
    double sorted[PAIRS];

    memcpy(sorted, v, sizeof sorted);
    qsort(sorted, PAIRS, sizeof *sorted, by_value);
    return sorted[PAIRS / 2];
}

/* Of what ran one after the other. */
static double ratio(enum kind a, enum kind b)
{
    double v[PAIRS];

    for (unsigned i = 0; i < PAIRS; i++)
        v[i] = cost[a][i] / cost[b][i];
    return median(v);
}

static void write_row(FILE *f, const struct scenario *s)
{
    fprintf(f, "| %s |", s->name);
    for (enum kind k = 0; k < KINDS; k++)
        fprintf(f, " %.0f |", median(cost[k]));
    fprintf(f, " **%.2f** | **%.2f** | %.2f | %.2f |\n", ratio(NATIVE, COTURN), ratio(SKB, COTURN),
            ratio(LOOP, COTURN), ratio(NATIVE, LOOP));
    fflush(f);
}

void hook_run(const struct rooms *rooms, const struct servers_keys *keys, const char *bin,
              const char *dir)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/xdp.md", dir);
    FILE *f = fopen(path, "we");
    if (!f)
        die("event=no_report path=%s why=\"%s\"", path, strerror(errno));
    load_programs(bin);
    rooms_threads();
    fputs(
        "# Prober and relay at the hook\n\nWritten by `make bench-xdp`: CPU time in ns of the "
        "server's end for a datagram in and out, of its receive thread and its process, median of "
        "the runs, which took turns. At a hook each datagram is a frame of its own; elsewhere "
        "trains of 16 come merged. Ratios are medians of those that ran one after the other. "
        "`without` is "
        "natterjack without a program. The bare loop checks nothing, so that no program can be "
        "below `bare / coturn` on this machine.\n\n|",
        f);
    for (enum kind k = 0; k < KINDS; k++)
        fprintf(f, " | %s", kind_name[k]);
    fputs(" | native / coturn | skb / coturn | bare / coturn | native / bare "
          "|\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
          f);
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        for (unsigned p = 0; p < PAIRS; p++)
            for (enum kind k = 0; k < KINDS; k++)
                cost[k][p] = run_one(rooms, &scenarios[i], k, keys);
        write_row(f, &scenarios[i]);
    }
    fclose(f);
}
