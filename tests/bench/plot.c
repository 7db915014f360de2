/* plot.c - see plot.h. */
#include "tests/bench/plot.h"

#include <stdio.h>

enum {
    LABEL = 300,
    SCALE = 560,
    BAR = 9,
    GAP = 12,
    TOP = 60,
    WIDTH = LABEL + SCALE + 90,
    SWATCH = 10,
    LEGEND_AT = 32,
    LEGEND_GAP = 150,
    INK = 0x222222,
    WHISKER = 0x666666,
    BARS = 3
};

static const uint32_t colour[BARS] = {0xb0b0b0, 0x1f6fb2, 0xe0b040};

static double longest(const struct report *r)
{
    double most = 1;

    for (unsigned i = 0; i < r->rows; i++)
        for (unsigned s = 0; s < r->row[i].servers; s++)
            if (row_cost(&r->row[i], s).max > most)
                most = row_cost(&r->row[i], s).max;
    return most;
}

static int scaled(double ns, double per_ns) { return (int)(ns * per_ns + 0.5); }

/* The median as a bar, from the least to the greatest as a line over it. */
static void bar(struct canvas *c, struct spread cost, int y, uint32_t fill, double per_ns)
{
    char text[32];
    int least = scaled(cost.min, per_ns), most = scaled(cost.max, per_ns);

    canvas_rect(c, LABEL, y, scaled(cost.median, per_ns), BAR - 1, fill);
    canvas_rect(c, LABEL + least, y + BAR / 2, most > least ? most - least : 1, 1, WHISKER);
    snprintf(text, sizeof text, "%.0f", cost.median);
    canvas_text(c, LABEL + most + 6, y, ALIGN_LEFT, INK, text);
}

static void legend(struct canvas *c)
{
    static const char *const name[BARS] = {"coturn", "natterjack", "bare loop of the same kind"};

    canvas_text(c, 10, 12, ALIGN_LEFT, INK,
                "CPU time of the server's core for a datagram, ns: median, least and greatest");
    for (int i = 0; i < BARS; i++) {
        canvas_rect(c, LABEL + LEGEND_GAP * i, LEGEND_AT, SWATCH, SWATCH, colour[i]);
        canvas_text(c, LABEL + LEGEND_GAP * i + SWATCH + 5, LEGEND_AT + 1, ALIGN_LEFT, INK,
                    name[i]);
    }
}

bool plot_write(const char *path, enum canvas_kind kind, const struct report *r)
{
    int each = BARS * BAR + GAP;
    double per_ns = SCALE / longest(r);
    struct canvas *c = canvas_open(path, kind, WIDTH, TOP + each * (int)r->rows);

    if (!c)
        return false;
    legend(c);
    for (unsigned i = 0; i < r->rows; i++) {
        const struct row *row = &r->row[i];
        const struct scenario *w = &row->what;
        unsigned order[BARS] = {1, 0, row_kin(row)};
        int y = TOP + each * (int)i;
        char text[96];
        snprintf(text, sizeof text, "%s, %zu bytes, %u flow%s, train %u", way_name[w->way], w->size,
                 w->sessions, w->sessions == 1 ? "" : "s", w->train);
        canvas_text(c, LABEL - 8, y + BAR, ALIGN_RIGHT, INK, text);
        for (int b = 0; b < BARS; b++)
            bar(c, row_cost(row, order[b]), y + b * BAR, colour[b], per_ns);
    }
    return canvas_close(c);
}
