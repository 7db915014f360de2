/* tally.c - see tally.h. */
#include "tests/matrix/tally.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static const double z = 1.959964; /* of a two-sided 95 % */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double quantile(double *v, size_t n, double q)
{
    if (n == 0)
        return 0;
    qsort(v, n, sizeof *v, by_size);
    return v[(size_t)(q * (double)(n - 1) + 0.5)];
}

static void wilson(struct tally *t)
{
    double n = t->runs, p = n > 0 ? t->direct / n : 0;

    t->rate = p;
    if (t->runs == 0)
        return;
    double middle = p + z * z / (2 * n), half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    t->low = fmax(0, (middle - half) / (1 + z * z / n));
    t->high = fmin(1, (middle + half) / (1 + z * z / n));
}

static bool counts(const struct matrix_cell *c, enum matrix_tier t)
{
    return c->wanted && (t == MATRIX_TIERS ? matrix_reachable(c->tier) : c->tier == t);
}

static struct tally tally_all(const struct matrix *m, const struct matrix_cell *const cells[],
                              size_t n)
{
    struct tally t = {0};
    double *ms = malloc((n * m->n + 1) * sizeof *ms),
           *packets = malloc((n * m->n + 1) * sizeof *ms);

    assert(ms && packets);
    for (size_t i = 0; i < n; i++)
        for (unsigned k = 0; k < m->n; k++) {
            const struct matrix_run *r = &cells[i]->runs[k];
            packets[t.runs++] = r->packets;
            if (r->direct)
                ms[t.direct++] = r->us / 1e3;
        }
    wilson(&t);
    t.ms_p50 = quantile(ms, t.direct, 0.5);
    t.ms_p90 = quantile(ms, t.direct, 0.9);
    t.ms_p99 = quantile(ms, t.direct, 0.99);
    t.packets_p50 = quantile(packets, t.runs, 0.5);
    free(ms);
    free(packets);
    return t;
}

struct tally tally_cell(const struct matrix *m, const struct matrix_cell *c)
{
    return tally_all(m, &c, 1);
}

struct tally tally_tier(const struct matrix *m, enum matrix_tier t)
{
    const struct matrix_cell *cells[MATRIX_CELLS];
    size_t n = 0;

    for (size_t i = 0; i < MATRIX_CELLS; i++)
        if (counts(&m->cell[i], t))
            cells[n++] = &m->cell[i];
    return tally_all(m, cells, n);
}

static unsigned direct_of(const struct matrix *m, const struct matrix_cell *c)
{
    unsigned n = 0;

    for (unsigned k = 0; k < m->n; k++)
        n += c->runs[k].direct;
    return n;
}

struct pairs tally_pairs(const struct matrix *m, enum matrix_tier t)
{
    struct pairs p = {0};

    for (unsigned i = 0; i < MATRIX_CLASSES; i++)
        for (unsigned j = i; j < MATRIX_CLASSES; j++) {
            const struct matrix_cell *there = &m->cell[i * MATRIX_CLASSES + j];
            const struct matrix_cell *back = &m->cell[j * MATRIX_CLASSES + i];
            if (!counts(there, t) || !counts(back, t))
                continue;
            p.n++;
            p.opened += direct_of(m, there) + direct_of(m, back) > m->n;
        }
    return p;
}
