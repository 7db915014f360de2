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

enum { PAIRS = 5, RUN_US = 300 * 1000, WINDOW = 128, STUN_FLOWS = 1000, MANY = 1000 };
enum kind { NATIVE, SKB, LOOP, USUAL, COTURN, KINDS };

static const char *const kind_name[KINDS] = {"native", "skb", "bare XDP_TX", "without", "coturn"};
static const char *const where[KINDS] = {ROOM_SERVER_END "/native", ROOM_SERVER_END "/skb", "off",
                                         "off", "off"};

static const struct scenario {
    const char *name;
    bool stun, down;
    size_t size;
    unsigned sessions;
} scenarios[] = {
    {"STUN binding, 1000 flows",          true,  false, 20,   STUN_FLOWS},
    {"relay up, 1186 bytes, 1 flow",      false, false, 1186, 1         },
    {"relay up, 1186 bytes, 100 flows",   false, false, 1186, 100       },
    {"relay down, 1186 bytes, 100 flows", false, true,  1186, 100       },
    {"relay up, 100 bytes, 100 flows",    false, false, 100,  100       },
    {"relay up, 1186 bytes, 1000 flows",  false, false, 1186, MANY      },
};

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

static void use_programs(const struct rooms *rooms, enum kind k, bool on)
{
    if (k == LOOP)
        use_program(rooms->server, ROOM_SERVER_END, on ? "loop" : NULL);
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
    } else if (k == LOOP) {
        flows_bare(t, BARE_HOOK, s->sessions);
    } else if (s->stun) {
        t->pid = server_prober(where[k]);
        flows_stun(t, PORT_PROBER, s->sessions);
    } else {
        t->pid = server_relay(MANY, where[k]);
        flows_relay(t, keys, s->sessions);
        t->keep(t);
    }
}

static double run_one(const struct rooms *rooms, const struct scenario *s, enum kind k,
                      const struct servers_keys *keys)
{
    struct load_result r = {0};

    use_programs(rooms, k, true);
    rooms_checksums(k <= LOOP);
    open_target(s, k, keys);
    const struct way *way = s->down ? &target.down : &target.up;
    if (target.set_size)
        target.set_size(&target, s->size);
    struct load l = {.way = way,
                     .flows = s->sessions,
                     .len = way_len(way, s->size),
                     .train = 1,
                     .window = WINDOW,
                     .duration_us = RUN_US};
    for (unsigned try = 0; try < 10 && r.received * 2 < r.sent + 1; try++)
        r = load_run(&l, target.pid);
    if (r.received == 0)
        die("event=nothing_received from=%s", target.name);
    use_programs(rooms, k, false);
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
        fprintf(f, s->stun && k == LOOP ? " |" : " %.0f |", median(cost[k]));
    fprintf(f, " **%.2f** | **%.2f** |", ratio(NATIVE, COTURN), ratio(SKB, COTURN));
    fprintf(f, s->stun ? " |\n" : " %.2f |\n", s->stun ? 0.0 : ratio(NATIVE, LOOP));
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
    fputs("# Prober and relay at the hook\n\nWritten by `make bench-xdp`: CPU time in ns of the "
          "server's end for a datagram in and "
          "out, of its receive thread and its process, median of the runs, which took turns. Each "
          "datagram is a frame of its own. "
          "Ratios are medians of those that ran one after the other. `without` is natterjack "
          "without a program; the bare loop checks "
          "nothing.\n\n|",
          f);
    for (enum kind k = 0; k < KINDS; k++)
        fprintf(f, " | %s", kind_name[k]);
    fputs(" | native / coturn | skb / coturn | native / bare "
          "|\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
          f);
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        for (unsigned p = 0; p < PAIRS; p++)
            for (enum kind k = 0; k < KINDS; k++)
                cost[k][p] =
                    scenarios[i].stun && k == LOOP ? 0 : run_one(rooms, &scenarios[i], k, keys);
        write_row(f, &scenarios[i]);
    }
    fclose(f);
}
