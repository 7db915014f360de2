/*
 * test_matrix_lab.c - the matrix of classes with real programs: every class of NAT against every other in one
 * laboratory, both directions.
 *
 * Here a few, once.  `make matrix` tries all, RUNS=n times each, or those that FROM and TO match as shells do
 * ('ei*'), and writes MATRIX_OUT/matrix.json, .svg and .png.  Each attempt is kept in $MATRIX_LOG as
 * it is made: what is there is not made again, so that it can be stopped and resumed.
 */
#include "lib/verdict.h"
#include "tests/lib/contest.h"
#include "tests/matrix/report.h"

#include <criterion/criterion.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 9, SPEC_MAX = 80, SEED = 1, DELAY_MS = 20 };

static struct ground ground;
static struct matrix matrix;
static unsigned made[MATRIX_CELLS]; /* runs of each cell */
static FILE *kept;

TestSuite(matrix_lab, .timeout = 86400);

static const char *setting(const char *name, const char *usual)
{
    const char *text = getenv(name);

    return text && *text ? text : usual;
}

static size_t cell_index(unsigned from, unsigned to)
{
    for (size_t i = 0; i < MATRIX_CELLS; i++)
        if (matrix.cell[i].from == from && matrix.cell[i].to == to)
            return i;
    cr_assert(false);
    return 0;
}

static void add(size_t cell, const struct matrix_run *r)
{
    if (matrix.cell[cell].wanted && made[cell] < matrix.n)
        matrix.cell[cell].runs[made[cell]++] = *r;
}

/* What an earlier process has made. */
static void resume(const char *path)
{
    unsigned from, to, direct, us, packets;
    char verdict[32];
    FILE *f = fopen(path, "re");

    while (f && fscanf(f, "%u %u %u %u %u %31s", &from, &to, &direct, &us, &packets, verdict) == 6)
        if (from < MATRIX_CLASSES && to < MATRIX_CLASSES)
            add(cell_index(from, to),
                &(struct matrix_run){.direct = direct != 0,
                                     .verdict = (uint8_t)verdict_find(verdict),
                                     .us = us,
                                     .packets = packets});
    if (f)
        fclose(f);
}

static void note(size_t cell, const struct bout *b)
{
    const struct matrix_cell *c = &matrix.cell[cell];
    struct matrix_run r = {.direct = b->direct,
                           .verdict = (uint8_t)verdict_find(b->verdict),
                           .us = b->direct ? (uint32_t)(b->ms * 1000) : 0,
                           .packets = (uint32_t)b->packets};

    add(cell, &r);
    if (!kept)
        return;
    fprintf(kept, "%u %u %u %u %u %s\n", c->from, c->to, r.direct, r.us, r.packets, b->verdict);
    fflush(kept);
}

/* All cells of one diagonal once: each class calls one, and is called by one. */
static void play_diagonal(unsigned shift, unsigned run)
{
    static char names[2 * MATRIX_CLASSES][16];
    struct bout bouts[AT_ONCE];
    size_t cells[AT_ONCE], n = 0;

    for (unsigned from = 0; from < MATRIX_CLASSES; from++) {
        size_t cell = cell_index(from, (from + shift) % MATRIX_CLASSES);
        if (matrix.cell[cell].wanted && made[cell] <= run) {
            char *a = names[2 * n], *b = names[2 * n + 1];
            snprintf(a, sizeof *names, "a%u", from);
            snprintf(b, sizeof *names, "b%u", matrix.cell[cell].to);
            bouts[n] = (struct bout){.from = a, .to = b};
            cells[n++] = cell;
        }
        if (n == 0 || (n < AT_ONCE && from + 1 < MATRIX_CLASSES))
            continue;
        contest_prepare(&ground, OURS, bouts, n);
        contest_run(&ground, bouts, n);
        for (size_t i = 0; i < n; i++)
            note(cells[i], &bouts[i]);
        n = 0;
    }
}

/* Both of each class that is wanted; called from and calling. */
static void open_lab(void)
{
    static char specs[2 * MATRIX_CLASSES][SPEC_MAX];
    const char *args[2 * MATRIX_CLASSES + 8] = {"--seed", "1", "--delay", "20ms"};
    bool from[MATRIX_CLASSES] = {0}, to[MATRIX_CLASSES] = {0};
    size_t n = 0;

    for (size_t i = 0; i < MATRIX_CELLS; i++)
        if (matrix.cell[i].wanted)
            from[matrix.cell[i].from] = to[matrix.cell[i].to] = true;
    for (unsigned i = 0; i < MATRIX_CLASSES; i++) {
        struct matrix_class c = matrix_class(i);
        if (from[i])
            contest_host(specs[n++], SPEC_MAX, "a", i, c.text);
        if (to[i])
            contest_host(specs[n++], SPEC_MAX, "b", i, c.text);
    }
    for (size_t i = 0; i < n; i++)
        args[4 + i] = specs[i];
    ground_open(&ground, args);
    for (unsigned i = 0; i < MATRIX_CLASSES; i++) {
        char name[16];
        snprintf(name, sizeof name, "b%u", i);
        if (to[i])
            ground_listen(&ground, name);
    }
}

static void choose(void)
{
    const char *from = setting("FROM", "apd/random/ei"), *to = setting("TO", "ei/*/ad");

    cr_assert(matrix_read_tiers(&matrix, "tests/matrix/class_pairs.csv", true));
    matrix.n = ground_times("RUNS", 1);
    cr_assert_leq(matrix.n, MATRIX_RUNS_MAX);
    for (size_t i = 0; i < MATRIX_CELLS; i++) {
        struct matrix_cell *c = &matrix.cell[i];
        c->wanted = fnmatch(from, matrix_class(c->from).text, 0) == 0 &&
                    fnmatch(to, matrix_class(c->to).text, 0) == 0;
        c->runs = calloc(matrix.n, sizeof *c->runs);
        cr_assert_not_null(c->runs);
    }
}

Test(matrix_lab, every_class_of_nat_meets_every_other_that_theory_lets_it_meet)
{
    const char *log = getenv("MATRIX_LOG"), *out = getenv("MATRIX_OUT");
    char title[128];

    choose();
    if (log) {
        resume(log);
        kept = fopen(log, "ae");
        cr_assert_not_null(kept);
    }
    open_lab();
    for (unsigned run = 0; run < matrix.n; run++)
        for (unsigned shift = 0; shift < MATRIX_CLASSES; shift++)
            play_diagonal(shift, run);
    ground_close(&ground);
    report_print(&matrix);
    snprintf(title, sizeof title,
             "Real programs in the laboratory, %u attempts each, %d ms one way", matrix.n,
             DELAY_MS);
    const struct play_conf play = {.delay_us = DELAY_MS * 1000, .background_per_s = CONTEST_RATE};
    const struct report_conf conf = {&play, SEED, "matrix", title};
    cr_assert(!out || report_write(&matrix, &conf, out));
    for (size_t i = 0; i < MATRIX_CELLS; i++) {
        struct matrix_cell *c = &matrix.cell[i];
        for (unsigned run = 0; !out && c->wanted && run < matrix.n; run++)
            cr_assert(c->runs[run].direct || !matrix_reachable(c->tier), "%s to %s: %s",
                      matrix_class(c->from).text, matrix_class(c->to).text,
                      verdict_name(c->runs[run].verdict));
        free(c->runs);
    }
    if (kept)
        fclose(kept);
}
