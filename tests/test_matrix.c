/*
 * test_matrix.c - the matrix of classes: its theory, its arithmetic, its picture; and each class against each
 * other once, which must open what it has opened.
 */
#include "tests/lib/tidy.h"
#include "tests/matrix/canvas.h"
#include "tests/matrix/report.h"
#include "tests/matrix/tally.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAIRS "tests/matrix/class_pairs.csv"

TestSuite(matrix, .timeout = 300);

static struct matrix m;
static struct matrix_run runs[MATRIX_CELLS * 10];

/* All cells, n runs each, none of which was direct. */
static void blank(unsigned n, bool overload)
{
    cr_assert(matrix_read_tiers(&m, PAIRS, overload));
    memset(runs, 0, sizeof runs);
    m.n = n;
    for (size_t i = 0; i < MATRIX_CELLS; i++)
        m.cell[i].runs = runs + i * n;
}

Test(matrix, theory_has_365_pairs_that_can_be_opened_and_359_without_shared_ports)
{
    for (int overload = 0; overload < 2; overload++) {
        blank(1, overload);
        cr_assert_eq(tally_pairs(&m, MATRIX_TIERS).n, overload ? 365 : 359);
        unsigned all = 0;
        for (enum matrix_tier t = 0; t < MATRIX_TIERS; t++)
            all += tally_pairs(&m, t).n;
        cr_assert_eq(all, 378);
    }
    cr_assert_not(matrix_read_tiers(&m, "/dev/null", true));
    cr_assert_not(matrix_read_tiers(&m, "tests/matrix/none.csv", true));
}

/* What a class looks like: a kept port that may serve several destinations is the same for all. */
static struct profile seen(unsigned class, bool overload)
{
    struct matrix_class k = matrix_class(class);
    bool same = overload && k.allocation == ALLOC_PRESERVE;

    return (struct profile){.mapping = same ? NAT_EI : (uint8_t)k.mapping,
                            .filtering = (uint8_t)k.filtering,
                            .allocation = (uint8_t)k.allocation};
}

static void expect_plans(bool overload)
{
    blank(1, overload);
    for (size_t i = 0; i < MATRIX_CELLS; i++) {
        const struct matrix_cell *c = &m.cell[i];
        struct profile p[2] = {seen(c->from, overload), seen(c->to, overload)};
        enum verdict why;
        struct plan plan =
            strategy_plan(&p[0], &p[1], (bool[2]){true, true}, POLICY_DIRECT, 0, &why);
        cr_assert_eq(plan.n == 1, matrix_reachable(c->tier), "%s to %s: %s",
                     matrix_class(c->from).text, matrix_class(c->to).text, verdict_name(why));
    }
}

Test(matrix, a_pair_is_planned_directly_exactly_when_theory_opens_it)
{
    expect_plans(true);
    expect_plans(false);
}

Test(matrix, rates_have_wilsons_interval_and_quantiles_are_of_the_direct_ones)
{
    blank(10, true);
    for (unsigned k = 0; k < 10; k++)
        m.cell[0].runs[k] =
            (struct matrix_run){.direct = k < 9, .us = k < 9 ? 1000 * (k + 1) : 0, .packets = 100};
    struct tally t = tally_cell(&m, &m.cell[0]);

    cr_assert_eq(t.runs, 10);
    cr_assert_float_eq(t.rate, 0.9, 1e-9);
    cr_assert_float_eq(t.low, 0.5958, 1e-4);
    cr_assert_float_eq(t.high, 0.9821, 1e-4);
    cr_assert_float_eq(t.ms_p50, 5, 1e-9);
    cr_assert_float_eq(t.ms_p99, 9, 1e-9);
    cr_assert_float_eq(t.packets_p50, 100, 1e-9);
    cr_assert_eq(tally_pairs(&m, MATRIX_T0).opened, 1, "most of its attempts were direct");
    t = tally_cell(&m, &m.cell[1]);
    cr_assert(t.rate == 0 && t.low == 0 && t.ms_p50 == 0);
}

/* The number of lit dots of a rectangle in the picture. */
static unsigned dark(const uint8_t *rgb, unsigned width, unsigned x0, unsigned y0, unsigned w,
                     unsigned h)
{
    unsigned n = 0;

    for (unsigned y = y0; y < y0 + h; y++)
        for (unsigned x = x0; x < x0 + w; x++)
            n += rgb[3 * (y * width + x)] < 128;
    return n;
}

Test(matrix, one_drawing_is_an_svg_and_a_png)
{
    char path[] = "/tmp/canvas-XXXXXX", line[256];
    int fd = mkstemp(path);

    for (enum canvas_kind kind = 0; kind < 2; kind++) {
        struct canvas *c = canvas_open(path, kind, 60, 30);
        cr_assert_not_null(c);
        canvas_rect(c, 40, 20, 10, 5, 0x101010);
        canvas_text(c, 30, 2, ALIGN_RIGHT, 0, "l<");
        canvas_rect(c, 55, 25, 10, 10, 0); /* beyond the edge: what is inside is drawn */
        cr_assert(canvas_close(c));
        if (kind == CANVAS_PNG)
            break;
        FILE *f = fopen(path, "r");
        bool text = false;
        while (fgets(line, sizeof line, f))
            text = text || (strstr(line, "end\"") && strstr(line, ">l&lt;</text>"));
        cr_assert(text && strcmp(line, "</svg>\n") == 0);
        fclose(f);
    }
    png_image image = {.version = PNG_IMAGE_VERSION};
    cr_assert(png_image_begin_read_from_file(&image, path), "%s", image.message);
    image.format = PNG_FORMAT_RGB;
    uint8_t rgb[60 * 30 * 3];
    cr_assert(image.width == 60 && image.height == 30);
    cr_assert(png_image_finish_read(&image, NULL, rgb, 0, NULL));
    cr_assert_eq(dark(rgb, 60, 0, 0, 60, 30), 50 + 25 + 10 + 7, "a box, a corner, l and <");
    cr_assert_eq(dark(rgb, 60, 18, 2, 12, 7), 10 + 7);
    close(fd);
    unlink(path);
    cr_assert_null(canvas_open("/none/such", CANVAS_PNG, 1, 1));
}

Test(matrix, the_report_says_what_was_played_and_how_to_play_a_miss_again)
{
    char dir[] = "/tmp/matrix-XXXXXX", path[64];
    struct play_conf play_conf = {.delay_us = 20000, .background_per_s = 20};
    struct report_conf conf = {&play_conf, 7, "m", "a title"};

    blank(3, true);
    m.cell[30].runs[0].direct = m.cell[30].runs[1].direct = true;
    cr_assert_not_null(tidy_mkdtemp(dir));
    cr_assert(report_write(&m, &conf, dir));
    snprintf(path, sizeof path, "%s/m.json", dir);
    json_t *o = json_load_file(path, 0, NULL),
           *cell = json_array_get(json_object_get(o, "cells"), 30);
    cr_assert_not_null(o);
    cr_assert_eq(json_integer_value(json_object_get(o, "runs_per_cell")), 3);
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(o, "reachable"), "pairs")),
                 365);
    cr_assert_str_eq(json_string_value(json_object_get(cell, "from")), "ei/preserve/ad");
    cr_assert_eq(json_integer_value(json_object_get(cell, "seed")), 7 + 30 * MATRIX_RUNS_MAX);
    cr_assert_eq(json_integer_value(json_object_get(cell, "missed_seed")),
                 7 + 30 * MATRIX_RUNS_MAX + 2);
    json_decref(o);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/m.%s", dir, (const char *[]){"json", "svg", "png"}[i]);
        cr_assert_eq(unlink(path), 0);
    }
    cr_assert_eq(rmdir(dir), 0);
    cr_assert_not(report_write(&m, &conf, dir));
}

/* What each tier opens at least, of once each way; the rates proper are `make matrix-sim`'s. */
static const struct {
    enum matrix_tier tier;
    unsigned percent;
} floors[] = {
    {MATRIX_T0,  100},
    {MATRIX_T1,  100},
    {MATRIX_T1p, 99 },
    {MATRIX_T2,  95 }
};

Test(matrix, each_class_meets_each_other_and_opens_what_its_tier_allows)
{
    static struct world w;
    struct play_conf conf = {.delay_us = 20000, .background_per_s = 20};

    blank(1, true);
    for (size_t i = 0; i < MATRIX_CELLS; i++) {
        struct matrix_class a = matrix_class(m.cell[i].from), b = matrix_class(m.cell[i].to);
        m.cell[i].runs[0] = play(&w, &conf, &a, &b, report_seed(1, i, 0));
    }
    report_print(&m);
    for (size_t i = 0; i < sizeof floors / sizeof *floors; i++) {
        struct tally t = tally_tier(&m, floors[i].tier);
        cr_assert_geq(t.direct * 100, t.runs * floors[i].percent, "%s: %u of %u",
                      matrix_tier_name[floors[i].tier], t.direct, t.runs);
    }
}

/* The pairs that differ where a kept port serves one destination only. */
Test(matrix, a_port_that_serves_one_destination_is_that_of_a_fresh_socket)
{
    static struct world w;
    struct play_conf conf = {.delay_us = 20000, .background_per_s = 20, .no_overload = true};

    unsigned all = 0, direct = 0;

    blank(1, false);
    for (size_t i = 0; i < MATRIX_CELLS; i++) {
        struct matrix_class a = matrix_class(m.cell[i].from), b = matrix_class(m.cell[i].to);
        bool keeps = (a.mapping != NAT_EI && a.allocation == ALLOC_PRESERVE) ||
                     (b.mapping != NAT_EI && b.allocation == ALLOC_PRESERVE);
        if (!keeps || !matrix_reachable(m.cell[i].tier))
            continue;
        struct matrix_run r = play(&w, &conf, &a, &b, report_seed(1, i, 0));
        cr_assert(r.direct || m.cell[i].tier >= MATRIX_T1p, "%s to %s", a.text, b.text);
        direct += r.direct;
        all++;
    }
    cr_assert_geq(direct * 100, all * 98, "%u of %u", direct, all);
}

/*
 * A round is the time from looking to having missed; the first is over when the second has looked.  RUNS=n: so many
 * attempts in each place, for figures.
 */
Test(matrix, contiguous_nats_meet_in_the_first_round_however_busy_and_far_away)
{
    static struct world w;
    static const uint32_t taken_per_s[] = {0, 20, 50, 100}, rtt_ms[] = {20, 50, 100, 200, 300};
    enum { PLACES = 4 * 5 };
    const char *text = getenv("RUNS");
    unsigned n = text ? (unsigned)strtoul(text, NULL, 10) : 12, all_first = 0, all_direct = 0;
    struct matrix_class a = matrix_class(23), b = matrix_class(22);

    cr_assert_str_eq(a.text, "apd/contiguous/apd");
    cr_assert_str_eq(b.text, "apd/contiguous/ad");
    for (size_t i = 0; i < PLACES; i++) {
        struct play_conf conf = {.delay_us = rtt_ms[i % 5] * 500,
                                 .background_per_s = taken_per_s[i / 5]};
        unsigned first = 0, direct = 0;
        for (unsigned k = 0; k < n; k++) {
            struct matrix_run r = play(&w, &conf, &a, k % 2 ? &b : &a, 7000 + 100000 * i + k);
            direct += r.direct;
            first += r.direct && r.rounds == 1;
        }
        if (text)
            printf("%u taken a second, round trip %u ms: %u in the first round, %u of %u\n",
                   conf.background_per_s, rtt_ms[i % 5], first, direct, n);
        cr_assert_geq(first * 100, n * (n >= 200 ? 95 : 75), "%u/s, %u ms: %u",
                      conf.background_per_s, rtt_ms[i % 5], first);
        all_first += first;
        all_direct += direct;
    }
    cr_assert_geq(all_first * 100, n * PLACES * 95, "%u", all_first);
    cr_assert_geq(all_direct * 1000, n * PLACES * 999, "%u", all_direct);
}
