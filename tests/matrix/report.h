/* report.h - the matrix as JSON for programs, a table for a terminal, and a heat map for people. */
#ifndef MATRIX_REPORT_H
#define MATRIX_REPORT_H

#include "tests/matrix/play.h"

/* What was played, so that anybody can play it again. */
struct report_conf {
    const struct play_conf *play;
    uint64_t seed;    /* of the first run of the first cell */
    const char *name; /* of the files, without what says their kind */
    const char *title;
};

/* A cell's run is played with this seed. */
static inline uint64_t report_seed(uint64_t seed, size_t cell, unsigned run)
{
    return seed + cell * MATRIX_RUNS_MAX + run;
}

void report_print(const struct matrix *m);

/* NAME.json, NAME.svg and NAME.png in dir; false when one can't be written. */
bool report_write(const struct matrix *m, const struct report_conf *conf, const char *dir);

/* chart.c: on a canvas of either kind. */
struct canvas;
enum { CHART_WIDTH = 1620, CHART_HEIGHT = 664 };
void chart_draw(struct canvas *c, const struct matrix *m, const char *title);

#endif
