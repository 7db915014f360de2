/* plot.c - see plot.h. */
#include "tests/bench/plot.h"

enum {
    LABEL = 250,
    SCALE = 560,
    BAR = 9,
    GAP = 12,
    TOP = 60,
    WIDTH = LABEL + SCALE + 90,
    BARS = 3
};

static const char *const colour[BARS] = {"#b0b0b0", "#1f6fb2", "#e0b040"};

static double longest(const struct report *r)
{
    double most = 1;

    for (unsigned i = 0; i < r->rows; i++)
        for (unsigned s = 0; s < 2; s++)
            if (row_cost(&r->row[i], s).max > most)
                most = row_cost(&r->row[i], s).max;
    return most;
}

/* The median as a bar, from the least to the greatest as a line over it. */
static void bar(FILE *f, struct spread cost, int y, const char *fill, double per_ns)
{
    double middle = y + BAR / 2.0;

    fprintf(f,
            "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>"
            "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#333\"/>"
            "<text x=\"%.1f\" y=\"%d\">%.0f</text>\n",
            LABEL, y, cost.median * per_ns, BAR - 1, fill, LABEL + cost.min * per_ns,
            LABEL + cost.max * per_ns, middle, middle, LABEL + cost.max * per_ns + 6, y + BAR - 1,
            cost.median);
}

static void legend(FILE *f)
{
    static const char *const name[BARS] = {"coturn", "natterjack", "bare loop of the same kind"};

    fprintf(f, "<text x=\"10\" y=\"20\" font-size=\"14\">CPU time of the server's core for a "
               "datagram, ns: median, least and greatest</text>\n");
    for (int i = 0; i < BARS; i++)
        fprintf(f,
                "<rect x=\"%d\" y=\"32\" width=\"10\" height=\"10\" fill=\"%s\"/>"
                "<text x=\"%d\" y=\"41\">%s</text>\n",
                LABEL + 110 * i, colour[i], LABEL + 110 * i + 15, name[i]);
}

void plot_svg(FILE *f, const struct report *r)
{
    int each = BARS * BAR + GAP;
    double per_ns = SCALE / longest(r);

    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "font-family=\"sans-serif\" font-size=\"10\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, TOP + each * (int)r->rows);
    legend(f);
    for (unsigned i = 0; i < r->rows; i++) {
        const struct row *row = &r->row[i];
        const struct scenario *w = &row->what;
        unsigned order[BARS] = {1, 0, row_kin(row)};
        int y = TOP + each * (int)i;
        fprintf(f,
                "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s, %zu bytes, %u flow%s, train %u"
                "</text>\n",
                LABEL - 8, y + 2 * BAR - 1, way_name[w->way], w->size, w->sessions,
                w->sessions == 1 ? "" : "s", w->train);
        for (int b = 0; b < BARS; b++)
            bar(f, row_cost(row, order[b]), y + b * BAR, colour[b], per_ns);
    }
    fputs("</svg>\n", f);
}
