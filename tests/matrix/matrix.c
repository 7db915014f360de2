/* matrix.c - see matrix.h. */
#include "tests/matrix/matrix.h"

#include <stdio.h>
#include <string.h>

const char *const matrix_tier_name[MATRIX_TIERS] = {
#define X(name) #name,
    MATRIX_TIERS_X(X)
#undef X
};

struct matrix_class matrix_class(unsigned i)
{
    struct matrix_class c = {.mapping = NAT_EI + i / 9,
                             .allocation = ALLOC_PRESERVE + i / 3 % 3,
                             .filtering = NAT_EI + i % 3};

    snprintf(c.text, sizeof c.text, "%s/%s/%s", behaviour_name[c.mapping],
             allocation_name[c.allocation], behaviour_name[c.filtering]);
    return c;
}

static unsigned find_class(const char *mapping, const char *allocation, const char *filtering)
{
    char text[64];
    unsigned i = 0;

    snprintf(text, sizeof text, "%s/%s/%s", mapping, allocation, filtering);
    while (i < MATRIX_CLASSES && strcmp(matrix_class(i).text, text) != 0)
        i++;
    return i;
}

static enum matrix_tier find_tier(const char *name)
{
    enum matrix_tier t = 0;

    while (t < MATRIX_TIERS && strcmp(matrix_tier_name[t], name) != 0)
        t++;
    return t;
}

static bool read_pair(struct matrix *m, const char *line, bool overload)
{
    char a[3][16], b[3][16], tier[2][16];

    if (sscanf(line, "%15[^,],%15[^,],%15[^,],%15[^,],%15[^,],%15[^,],%15[^,],%15[^,],", a[0], a[1],
               a[2], b[0], b[1], b[2], tier[0], tier[1]) != 8)
        return false;
    unsigned i = find_class(a[0], a[1], a[2]), j = find_class(b[0], b[1], b[2]);
    enum matrix_tier t = find_tier(tier[!overload]);
    if (i == MATRIX_CLASSES || j == MATRIX_CLASSES || t == MATRIX_TIERS)
        return false;
    for (unsigned way = 0; way < 2; way++) {
        struct matrix_cell *c = &m->cell[way ? j * MATRIX_CLASSES + i : i * MATRIX_CLASSES + j];
        *c = (struct matrix_cell){.from = (uint8_t)(way ? j : i),
                                  .to = (uint8_t)(way ? i : j),
                                  .tier = t,
                                  .wanted = true};
    }
    return true;
}

bool matrix_read_tiers(struct matrix *m, const char *csv, bool overload)
{
    char line[256];
    FILE *f = fopen(csv, "r");
    bool ok = f && fgets(line, sizeof line, f); /* the heading */

    memset(m, 0, sizeof *m);
    while (ok && fgets(line, sizeof line, f))
        ok = read_pair(m, line, overload);
    for (size_t i = 0; i < MATRIX_CELLS; i++)
        ok = ok && m->cell[i].wanted;
    if (f)
        fclose(f);
    return ok;
}
