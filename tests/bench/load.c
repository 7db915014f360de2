/* load.c - see load.h. */
#include "tests/bench/load.h"

#include "lib/bytes.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SAMPLES_MAX = 1 << 16,
    SILENCE_NS = 20 * 1000 * 1000, /* after that, what is on its way is lost */
    BURST = 32,                    /* datagrams between two looks at what came */
};

static uint32_t samples[SAMPLES_MAX];

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

struct run {
    const struct load *l;
    struct load_result *r;
    uint64_t start_ns, heard_ns;
    unsigned next_flow, next_stranger;
    uint64_t on_way, n_samples;
};

static void send_burst(struct run *run, uint64_t now, uint64_t allowed)
{
    const struct load *l = run->l;

    for (unsigned n = 0; n < BURST && n + l->train <= allowed; n += l->train) {
        for (unsigned k = 0; k < (l->apart ? l->train : 1); k++)
            wire_put(&l->way->flow[run->next_flow], l->len, l->apart ? 1 : l->train,
                     l->way->stamp_sent, now);
        run->next_flow = (run->next_flow + 1) % l->flows;
        run->r->sent += l->train;
        run->on_way += l->train;
    }
    wire_flush();
}

/* What is due of the flood: no more than a burst, so that the rest is not held up. */
static void send_flood(struct run *run, uint64_t now)
{
    const struct load *l = run->l;
    uint64_t due = (uint64_t)((double)(now - run->start_ns) * l->flood_rate / 1e9);

    for (unsigned n = 0; n < BURST && run->r->flooded + l->flood_train <= due; n++) {
        wire_put(&l->flood->flow[run->next_stranger], l->flood_len, l->flood_train,
                 l->flood->stamp_sent, 0);
        run->next_stranger = (run->next_stranger + 1) % FLOOD_FLOWS;
        run->r->flooded += l->flood_train;
    }
    wire_flush();
}

/* Stamps of an earlier run, or of none of ours, don't count. */
static void receive_all(struct run *run)
{
    struct seen seen;
    uint64_t now = 0;

    for (unsigned frames = 0; frames < 4 * BURST && wire_next(&seen); frames++) {
        if (now == 0)
            now = now_ns();
        if (seen.len < run->l->way->stamp_seen + 8)
            continue;
        uint64_t stamp = get_u64(seen.payload + run->l->way->stamp_seen);
        if (stamp < run->start_ns || stamp > now)
            continue;
        samples[run->n_samples++ % SAMPLES_MAX] = (uint32_t)(now - stamp);
        run->r->received += seen.datagrams;
        run->on_way -= seen.datagrams < run->on_way ? seen.datagrams : run->on_way;
        run->heard_ns = now;
    }
}

static uint64_t allowed(const struct run *run, uint64_t now)
{
    uint64_t free = run->on_way < run->l->window ? run->l->window - run->on_way : 0;

    if (run->l->rate <= 0)
        return free;
    uint64_t due = (uint64_t)((double)(now - run->start_ns) * run->l->rate / 1e9);
    return due > run->r->sent ? due - run->r->sent : 0;
}

static void drain(struct run *run)
{
    while (run->on_way > 0 && now_ns() - run->heard_ns < SILENCE_NS)
        receive_all(run);
}

static void summarise(struct run *run)
{
    struct load_result *r = run->r;
    size_t n = run->n_samples < SAMPLES_MAX ? (size_t)run->n_samples : SAMPLES_MAX;

    r->lost = r->sent > r->received ? r->sent - r->received : 0;
    if (n == 0)
        return;
    qsort(samples, n, sizeof *samples, by_value);
    r->p50_us = samples[n / 2] / 1e3;
    r->p99_us = samples[n * 99 / 100] / 1e3;
}

struct load_result load_run(const struct load *l, pid_t server)
{
    struct load_result r = {0};
    struct seen stale;

    while (wire_next(&stale)) {
    }
    uint64_t cpu = server_cpu_ns(server), softirq = softirq_ns(), now = now_ns();
    struct run run = {.l = l, .r = &r, .start_ns = now, .heard_ns = now};
    while (now - run.start_ns < (uint64_t)l->duration_us * 1000) {
        uint64_t may = allowed(&run, now);
        if (may >= l->train)
            send_burst(&run, now, may);
        if (l->flood)
            send_flood(&run, now);
        receive_all(&run);
        now = now_ns();
        if (run.on_way >= l->window && now - run.heard_ns > SILENCE_NS) {
            run.on_way = 0;
            run.heard_ns = now;
        }
    }
    r.seconds = (double)(now - run.start_ns) / 1e9;
    run.heard_ns = now;
    drain(&run);
    if (r.received > 0) {
        r.cpu_ns = (double)(server_cpu_ns(server) - cpu) / (double)r.received;
        r.softirq_ns = (double)(softirq_ns() - softirq) / (double)r.received;
    }
    summarise(&run);
    return r;
}
