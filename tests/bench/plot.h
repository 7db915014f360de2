/* plot.h - the rows of a report as bars: coturn, natterjack, and the bare loop of its kind. */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "tests/bench/report.h"
#include "tests/matrix/canvas.h"

/* False, with errno, when the file can't be written. */
bool plot_write(const char *path, enum canvas_kind kind, const struct report *r);

#endif
