/* report.c - see report.h. */
#include "tests/matrix/report.h"
#include "lib/verdict.h"
#include "tests/matrix/canvas.h"
#include "tests/matrix/tally.h"

#include <jansson.h>
#include <stdio.h>

/* ---- for a terminal ---- */

static void print_row(const char *name, const struct tally *t, struct pairs p)
{
    printf("%-9s %4u of %3u pairs  %7.3f %% (%.3f to %.3f) of %-7u p50 %6.0f ms  p99 %6.0f ms  "
           "%4.0f packets\n",
           name, p.opened, p.n, 100 * t->rate, 100 * t->low, 100 * t->high, t->runs, t->ms_p50,
           t->ms_p99, t->packets_p50);
}

void report_print(const struct matrix *m)
{
    for (enum matrix_tier t = 0; t <= MATRIX_TIERS; t++) {
        struct tally tally = tally_tier(m, t);
        if (tally.runs > 0)
            print_row(t == MATRIX_TIERS ? "reachable" : matrix_tier_name[t], &tally,
                      tally_pairs(m, t));
    }
}

/* ---- JSON ---- */

static json_t *tally_json(const struct tally *t)
{
    return json_pack("{s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f}", "runs", (int)t->runs, "direct",
                     (int)t->direct, "rate", t->rate, "low", t->low, "high", t->high, "ms_p50",
                     t->ms_p50, "ms_p99", t->ms_p99, "packets_p50", t->packets_p50);
}

static json_t *tier_json(const struct matrix *m, enum matrix_tier t)
{
    struct tally tally = tally_tier(m, t);
    struct pairs p = tally_pairs(m, t);
    json_t *o = tally_json(&tally);

    json_object_set_new(o, "pairs", json_integer(p.n));
    json_object_set_new(o, "pairs_opened", json_integer(p.opened));
    return o;
}

/* With the verdicts that were given, how often, and the seed of the first attempt that was not direct. */
static json_t *cell_json(const struct matrix *m, size_t i, uint64_t seed)
{
    const struct matrix_cell *c = &m->cell[i];
    struct tally t = tally_cell(m, c);
    json_t *o = tally_json(&t), *verdicts = json_object();
    unsigned n[VERDICT_COUNT] = {0}, missed = m->n;

    for (unsigned k = m->n; k-- > 0;) {
        n[c->runs[k].verdict < VERDICT_COUNT ? c->runs[k].verdict : 0]++;
        missed = c->runs[k].direct ? missed : k;
    }
    for (unsigned v = 0; v < VERDICT_COUNT; v++)
        if (n[v] > 0)
            json_object_set_new(verdicts, verdict_name(v), json_integer(n[v]));
    json_object_set_new(o, "from", json_string(matrix_class(c->from).text));
    json_object_set_new(o, "to", json_string(matrix_class(c->to).text));
    json_object_set_new(o, "tier", json_string(matrix_tier_name[c->tier]));
    json_object_set_new(o, "seed", json_integer((json_int_t)report_seed(seed, i, 0)));
    if (missed < m->n)
        json_object_set_new(o, "missed_seed",
                            json_integer((json_int_t)report_seed(seed, i, missed)));
    json_object_set_new(o, "verdicts", verdicts);
    return o;
}

static json_t *report_json(const struct matrix *m, const struct report_conf *conf)
{
    json_t *tiers = json_object(), *cells = json_array();

    for (enum matrix_tier t = 0; t < MATRIX_TIERS; t++)
        json_object_set_new(tiers, matrix_tier_name[t], tier_json(m, t));
    for (size_t i = 0; i < MATRIX_CELLS; i++)
        if (m->cell[i].wanted)
            json_array_append_new(cells, cell_json(m, i, conf->seed));
    return json_pack("{s:s, s:I, s:i, s:f, s:i, s:i, s:b, s:o, s:o, s:o}", "title", conf->title,
                     "seed", (json_int_t)conf->seed, "runs_per_cell", (int)m->n, "delay_ms",
                     (double)conf->play->delay_us / 1e3, "loss_ppm", (int)conf->play->loss_ppm,
                     "background_per_s", (int)conf->play->background_per_s, "overload",
                     !conf->play->no_overload, "reachable", tier_json(m, MATRIX_TIERS), "tiers",
                     tiers, "cells", cells);
}

/* ---- files ---- */

static bool write_json(const char *path, const struct matrix *m, const struct report_conf *conf)
{
    json_t *o = report_json(m, conf);
    FILE *f = o ? fopen(path, "w") : NULL;
    bool ok =
        f && json_dumpf(o, f, JSON_COMPACT | JSON_REAL_PRECISION(6)) == 0 && fputc('\n', f) != EOF;

    ok = f && fclose(f) == 0 && ok;
    json_decref(o);
    return ok;
}

static bool write_chart(const char *path, enum canvas_kind kind, const struct matrix *m,
                        const char *title)
{
    struct canvas *c = canvas_open(path, kind, CHART_WIDTH, CHART_HEIGHT);

    if (!c)
        return false;
    chart_draw(c, m, title);
    return canvas_close(c);
}

bool report_write(const struct matrix *m, const struct report_conf *conf, const char *dir)
{
    char path[3][512];

    for (int i = 0; i < 3; i++)
        snprintf(path[i], sizeof path[i], "%s/%s.%s", dir, conf->name,
                 (const char *[]){"json", "svg", "png"}[i]);
    return write_json(path[0], m, conf) && write_chart(path[1], CANVAS_SVG, m, conf->title) &&
           write_chart(path[2], CANVAS_PNG, m, conf->title);
}
