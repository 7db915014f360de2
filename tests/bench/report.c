/* report.c - see report.h. */
#include "tests/bench/report.h"

#include "tests/bench/plot.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

const char *const way_name[] = {"STUN binding", "relay up", "relay down"};

double load_cost_ns(const struct load_result *r) { return r->cpu_ns + r->softirq_ns; }

/* ---- numbers ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static struct spread spread_of(const double *v, unsigned n)
{
    double sorted[PAIRS_MAX];

    memcpy(sorted, v, n * sizeof *v);
    qsort(sorted, n, sizeof *sorted, by_value);
    double median = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    return (struct spread){median, sorted[0], sorted[n - 1]};
}

struct spread row_cost(const struct row *row, unsigned server)
{
    double v[PAIRS_MAX] = {0};

    for (unsigned i = 0; i < row->pairs; i++)
        v[i] = load_cost_ns(&row->run[server][i]);
    return spread_of(v, row->pairs);
}

static struct spread rate(const struct row *row, unsigned server)
{
    double v[PAIRS_MAX] = {0};

    for (unsigned i = 0; i < row->pairs; i++)
        v[i] = (double)row->run[server][i].received / row->run[server][i].seconds;
    return spread_of(v, row->pairs);
}

enum { STUN_BATCHED = 2, RELAY_SINGLE = 2, RELAY_BATCHED, RELAY_MERGED, RELAY_KERNEL };

/* Trains are compared with the loop that leaves them merged, single packets with the batched one. */
unsigned row_kin(const struct row *row)
{
    if (row->what.way == WAY_STUN)
        return STUN_BATCHED;
    return row->what.train == 1 ? RELAY_BATCHED : RELAY_MERGED;
}

/* Pair by pair, so that what both suffered from cancels out. */
static struct spread ratio(const struct row *row, unsigned to)
{
    double v[PAIRS_MAX] = {0};

    for (unsigned i = 0; i < row->pairs; i++)
        v[i] = load_cost_ns(&row->run[0][i]) / load_cost_ns(&row->run[to][i]);
    return spread_of(v, row->pairs);
}

static double p50_us(const struct load_result *r) { return r->p50_us; }
static double p99_us(const struct load_result *r) { return r->p99_us; }
static double k_per_s(const struct load_result *r) { return (double)r->sent / r->seconds / 1e3; }
static double flood_k(const struct load_result *r) { return (double)r->flooded / r->seconds / 1e3; }
static double lost(const struct load_result *r) { return 100 * (double)r->lost / (double)r->sent; }

static struct spread spread_of_runs(const struct load_result run[static TURNS],
                                    double (*what)(const struct load_result *))
{
    double v[TURNS];

    for (unsigned i = 0; i < TURNS; i++)
        v[i] = what(&run[i]);
    return spread_of(v, TURNS);
}

static double median_of(const struct load_result run[static TURNS],
                        double (*what)(const struct load_result *))
{
    return spread_of_runs(run, what).median;
}

static double loss_percent(const struct row *row, unsigned server)
{
    double sent = 0, lost = 0;

    for (unsigned i = 0; i < row->pairs; i++) {
        sent += (double)row->run[server][i].sent;
        lost += (double)row->run[server][i].lost;
    }
    return sent > 0 ? 100 * lost / sent : 0;
}

/* ---- JSON ---- */

static json_t *spread_json(struct spread s)
{
    return json_pack("{s:f, s:f, s:f}", "median", s.median, "min", s.min, "max", s.max);
}

static json_t *of_json(const struct load_result run[static TURNS],
                       double (*what)(const struct load_result *))
{
    return spread_json(spread_of_runs(run, what));
}

static json_t *runs_json(const struct row *row, unsigned server)
{
    json_t *runs = json_array();

    for (unsigned i = 0; i < row->pairs; i++) {
        const struct load_result *r = &row->run[server][i];
        json_array_append_new(
            runs, json_pack("{s:f, s:f, s:f, s:I, s:I, s:f, s:f}", "cpu_ns", r->cpu_ns,
                            "softirq_ns", r->softirq_ns, "packets_per_s",
                            (double)r->received / r->seconds, "sent", (json_int_t)r->sent, "lost",
                            (json_int_t)r->lost, "p50_us", r->p50_us, "p99_us", r->p99_us));
    }
    return runs;
}

static json_t *row_json(const struct row *row)
{
    json_t *servers = json_object();

    for (unsigned s = 0; s < row->servers; s++)
        json_object_set_new(servers, row->name[s],
                            json_pack("{s:o, s:o, s:o}", "cost_ns", spread_json(row_cost(row, s)),
                                      "packets_per_s", spread_json(rate(row, s)), "runs",
                                      runs_json(row, s)));
    return json_pack("{s:s, s:i, s:i, s:i, s:o, s:o}", "what", way_name[row->what.way], "bytes",
                     (int)row->what.size, "flows", (int)row->what.sessions, "train",
                     (int)row->what.train, "ratio_to_coturn", spread_json(ratio(row, 1)), "servers",
                     servers);
}

static json_t *report_json(const struct report *r, const char *when, const struct utsname *host)
{
    json_t *rows = json_array(), *latencies = json_array(), *floods = json_array();

    for (unsigned i = 0; i < r->rows; i++)
        json_array_append_new(rows, row_json(&r->row[i]));
    for (unsigned i = 0; i < r->latencies; i++) {
        const struct latency *l = &r->latency[i];
        json_array_append_new(
            latencies, json_pack("{s:s, s:s, s:o, s:o, s:o}", "server", l->server, "load", l->load,
                                 "p50_us", of_json(l->run, p50_us), "p99_us",
                                 of_json(l->run, p99_us), "lost_percent", of_json(l->run, lost)));
    }
    for (unsigned i = 0; i < r->floods; i++) {
        const struct flood *l = &r->flood[i];
        json_array_append_new(
            floods,
            json_pack("{s:s, s:s, s:o, s:o, s:o, s:I}", "server", l->server, "flood", l->what,
                      "flood_k_per_s", of_json(l->run, flood_k), "k_per_s",
                      of_json(l->run, k_per_s), "lost_percent", of_json(l->run, lost), "grew_bytes",
                      (json_int_t)l->memory_after - (json_int_t)l->memory_before));
    }
    return json_pack("{s:s, s:f, s:s, s:o, s:o, s:o, s:i, s:{s:I, s:I}}", "date", when,
                     "load_before", r->load_before, "kernel", host->release, "rows", rows,
                     "latency", latencies, "floods", floods, "sessions", (int)r->sessions,
                     "resident_bytes", "natterjack", (json_int_t)r->memory_ours, "coturn",
                     (json_int_t)r->memory_coturn);
}

/* ---- Markdown ---- */

static void row_markdown(FILE *f, const struct row *row)
{
    const struct scenario *w = &row->what;
    struct spread ours = row_cost(row, 0), theirs = row_cost(row, 1), q = ratio(row, 1);

    fprintf(f, "| %s | %zu | %u | %u | %.0f | %.0f | **%.2f** (%.2f-%.2f) |", way_name[w->way],
            w->size, w->sessions, w->train, ours.median, theirs.median, q.median, q.min, q.max);
    if (w->way == WAY_STUN)
        fprintf(f, " | %.0f | | ", row_cost(row, STUN_BATCHED).median);
    else
        fprintf(f, " %.0f | %.0f | %.0f | %.0f", row_cost(row, RELAY_SINGLE).median,
                row_cost(row, RELAY_BATCHED).median, row_cost(row, RELAY_MERGED).median,
                row_cost(row, RELAY_KERNEL).median);
    fprintf(f, " | %.2f | %.0f | %.0f | %.2f / %.2f |\n", ratio(row, row_kin(row)).median,
            rate(row, 0).median / 1000, rate(row, 1).median / 1000, loss_percent(row, 0),
            loss_percent(row, 1));
}

/* What ten thousand sessions cost a packet, of what a hundred do. */
static void sessions_markdown(FILE *f, const struct report *r)
{
    double most = 0;

    for (unsigned i = 0; i < r->rows; i++)
        for (unsigned k = 0; k < r->rows; k++) {
            const struct scenario *a = &r->row[i].what, *b = &r->row[k].what;
            if (a->way != b->way || a->size != b->size || a->train != b->train ||
                a->sessions != r->sessions || b->sessions != 100)
                continue;
            double q = row_cost(&r->row[i], 0).median / row_cost(&r->row[k], 0).median;
            most = q > most ? q : most;
        }
    fprintf(f, "\nResident with %u sessions: natterjack %.1f MB, %.1f kB each; coturn %.1f MB.",
            r->sessions, (double)r->memory_ours / 1e6,
            (double)r->memory_ours / 1e3 / (double)r->sessions, (double)r->memory_coturn / 1e6);
    if (most > 0)
        fprintf(f, "\nA packet of ours costs at most %.2f times what it costs with 100 sessions.",
                most);
    double one = median_of(r->workers[0], load_cost_ns),
           two = median_of(r->workers[1], load_cost_ns);
    fprintf(f,
            "\nOne of 512 bytes costs %.0f ns with one worker and %.0f ns with two on the same "
            "core, %.2f times as much.\n",
            one, two, two / one);
}

static void markdown(FILE *f, const struct report *r, const char *name, const char *when,
                     const struct utsname *host)
{
    fprintf(
        f,
        "# %s\n\nWritten by `make bench` on %s, Linux %s, beside a load of %.1f from others.\n\n",
        r->title, when, host->release, r->load_before);
    fputs(
        "CPU time in ns of the server's core for a datagram in and out, receive path included: by "
        "the "
        "scheduler's\naccount of the process and of the core's softirq thread, median of the runs. "
        "The ratio to coturn is the\nmedian of pairs that ran one after the other, with the least "
        "and the greatest. coturn has no\nauthentication, one relay thread and a channel on one "
        "side "
        "only, which is its cheapest way. Bare loops check\nnothing and are the limit; `to bare` "
        "is "
        "the ratio to the one of the same kind. Kernel forwarding is what a process that spins on "
        "that "
        "core lost to it,\nand too little where others run there. Thousands of packets a "
        "second\nand the loss in % "
        "(ours / coturn's) mean something only where nothing else ran.\n\n"
        "| | bytes | flows | train | natterjack | coturn | ratio | recvfrom, sendto | batched | "
        "merged | kernel forwarding | to bare | k/s | coturn k/s | loss |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        f);
    for (unsigned i = 0; i < r->rows; i++)
        row_markdown(f, &r->row[i]);
    sessions_markdown(f, r);
    fprintf(f, "\n![bars](%s.svg)\n\n(the same as a [PNG](%s.png))\n", name, name);
    fputs("\nFrom sending to having received, in us, medians of the runs, which took turns; loads "
          "are of "
          "that server's own saturation.\nOf losses the greatest is in brackets.\n\n"
          "| server | load | p50 | p99 | loss % |\n|---|---|---:|---:|---:|\n",
          f);
    for (unsigned i = 0; i < r->latencies; i++) {
        const struct latency *l = &r->latency[i];
        struct spread loss = spread_of_runs(l->run, lost);
        fprintf(f, "| %s | %s | %.0f | %.0f | %.3f (%.3f) |\n", l->server, l->load,
                median_of(l->run, p50_us), median_of(l->run, p99_us), loss.median, loss.max);
    }
}

static void floods_markdown(FILE *f, const struct report *r)
{
    fputs("\nSessions at 20 % of saturation while strangers send ten times the saturation, or what "
          "the "
          "generator\nmanages: as merged datagrams, or each its own.\n\n"
          "| server | flood | flood k/s | sessions k/s | sessions' loss % | p50 | p99 | memory "
          "grew by kB "
          "|\n|---|---|---:|---:|---:|---:|---:|---:|\n",
          f);
    for (unsigned i = 0; i < r->floods; i++) {
        const struct flood *l = &r->flood[i];
        struct spread loss = spread_of_runs(l->run, lost);
        fprintf(f, "| %s | %s | %.0f | %.0f | %.3f (%.3f) | %.0f | %.0f | %.0f |\n", l->server,
                l->what, median_of(l->run, flood_k), median_of(l->run, k_per_s), loss.median,
                loss.max, median_of(l->run, p50_us), median_of(l->run, p99_us),
                ((double)l->memory_after - (double)l->memory_before) / 1e3);
    }
}

static const char *path_of(const char *dir, const char *name, const char *suffix)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s.%s", dir, name, suffix);
    return path;
}

bool report_write(const struct report *r, const char *dir, const char *name)
{
    char when[32];
    struct utsname host;
    time_t now = time(NULL);
    FILE *json = fopen(path_of(dir, name, "json"), "we");
    FILE *table = fopen(path_of(dir, name, "md"), "we");

    if (!json || !table)
        return false;
    uname(&host);
    host.release[strcspn(host.release, "-")] = '\0'; /* the rest names a machine */
    strftime(when, sizeof when, "%Y-%m-%d", gmtime(&now));
    json_t *j = report_json(r, when, &host);
    bool ok = json_dumpf(j, json, JSON_COMPACT | JSON_REAL_PRECISION(5)) == 0;
    json_decref(j);
    markdown(table, r, name, when, &host);
    floods_markdown(table, r);
    ok = fclose(json) == 0 && ok;
    ok = fclose(table) == 0 && ok;
    ok = plot_write(path_of(dir, name, "svg"), CANVAS_SVG, r) && ok;
    return plot_write(path_of(dir, name, "png"), CANVAS_PNG, r) && ok;
}
