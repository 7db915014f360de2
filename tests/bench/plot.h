/* plot.h - the rows of a report as bars in an SVG: coturn, natterjack, and the bare loop of its kind. */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "tests/bench/report.h"

#include <stdio.h>

void plot_svg(FILE *f, const struct report *r);

#endif
