/* chart.c - three heat maps side by side: success, median time, packets; rows dial columns. */
#include "tests/matrix/canvas.h"
#include "tests/matrix/report.h"
#include "tests/matrix/tally.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    CELL = 14,
    PANELS = 3,
    PANEL_WIDTH = CHART_WIDTH / PANELS,
    LABEL = 128, /* left of a panel's cells */
    TOP = 216,   /* above them: the title, and the columns' names, a letter a line */
    FRAME = 1,   /* round a cell */
    LEGEND = TOP + MATRIX_CLASSES * CELL + 16,
    SWATCHES = 5,
};

enum { INK = 0x222222, FAINT = 0x777777, NOTHING = 0xe4e4e4 };

static const uint32_t scale[SWATCHES] = {0x2b83ba, 0x80c9a0, 0xf2e394, 0xf49a5b, 0xd7191c};

/* Between the scale's colours: 0 is good. */
static uint32_t shade(double bad)
{
    double at = fmin(fmax(bad, 0), 1) * (SWATCHES - 1);
    int i = at >= SWATCHES - 1 ? SWATCHES - 2 : (int)at;
    uint32_t colour = 0;

    for (int byte = 16; byte >= 0; byte -= 8) {
        double from = scale[i] >> byte & 0xff, to = scale[i + 1] >> byte & 0xff;
        colour |= (uint32_t)(from + (to - from) * (at - i) + 0.5) << byte;
    }
    return colour;
}

/* What a panel shows: a value of a cell as 0 (good) to 1, and what the ends of its scale are. */
static double failure(const struct tally *t) { return 1 - t->rate; }
static double slowness(const struct tally *t) { return log2(fmax(t->ms_p50, 50) / 50) / 6; }
static double traffic(const struct tally *t) { return log2(fmax(t->packets_p50, 8) / 8) / 8; }

static const struct panel {
    const char *title;
    double (*bad)(const struct tally *t);
    bool of_direct; /* has no value where nothing was direct */
    const char *swatch[SWATCHES];
} panels[PANELS] = {
    {"direct, of all attempts",      failure, false, {"100 %", "75 %", "50 %", "25 %", "0 %"}},
    {"median time of the direct",
     slowness,                                true,
     {"<50 ms", "140 ms", "400 ms", "1.1 s", ">3.2 s"}                                       },
    {"packets sent by both, median", traffic, false, {"<8", "32", "128", "512", ">2048"}     },
};

/* Downwards, as there are many columns side by side. */
static void column_name(struct canvas *c, int x, const struct matrix_class *k)
{
    char text[MATRIX_TEXT];
    int y = TOP - CANVAS_LINE * (int)strlen(k->text) - 4;

    for (const char *p = k->text; *p; p++, y += CANVAS_LINE) {
        snprintf(text, sizeof text, "%c", *p);
        canvas_text(c, x + CELL / 2, y, ALIGN_MIDDLE, INK, text);
    }
}

static void panel(struct canvas *c, const struct matrix *m, const struct panel *p, int x0)
{
    canvas_text(c, x0 + LABEL, 30, ALIGN_LEFT, INK, p->title);
    for (unsigned i = 0; i < MATRIX_CLASSES; i++) {
        struct matrix_class k = matrix_class(i);
        int at = (int)i * CELL;
        canvas_text(c, x0 + LABEL - 6, TOP + at + 3, ALIGN_RIGHT, INK, k.text);
        column_name(c, x0 + LABEL + at, &k);
    }
    for (size_t i = 0; i < MATRIX_CELLS; i++) {
        const struct matrix_cell *cell = &m->cell[i];
        if (!cell->wanted)
            continue;
        struct tally t = tally_cell(m, cell);
        int x = x0 + LABEL + cell->to * CELL, y = TOP + cell->from * CELL;
        if (!matrix_reachable(cell->tier))
            canvas_rect(c, x, y, CELL, CELL, INK);
        canvas_rect(c, x + FRAME, y + FRAME, CELL - 2 * FRAME, CELL - 2 * FRAME,
                    p->of_direct && t.direct == 0 ? NOTHING : shade(p->bad(&t)));
    }
    for (int i = 0; i < SWATCHES; i++) {
        int x = x0 + LABEL + i * 74;
        canvas_rect(c, x, LEGEND, CELL, CELL, scale[i]);
        canvas_text(c, x + CELL + 4, LEGEND + 3, ALIGN_LEFT, INK, p->swatch[i]);
    }
}

void chart_draw(struct canvas *c, const struct matrix *m, const char *title)
{
    canvas_text(c, 8, 6, ALIGN_LEFT, INK, title);
    for (int i = 0; i < PANELS; i++)
        panel(c, m, &panels[i], i * PANEL_WIDTH);
    canvas_text(c, 8, LEGEND + 30, ALIGN_LEFT, FAINT,
                "a row dials a column: mapping/allocation/filtering; dark frames: hard pairs, that "
                "need luck or a small range of ports");
}
