/* verdict.c - see verdict.h. */
#include "lib/verdict.h"

#include <assert.h>
#include <string.h>

/* clang-format off */
static const struct {
    const char *name, *cause, *remedy;
} verdicts[VERDICT_COUNT] = {
#define VERDICT(id, name, cause, remedy) [VERDICT_##id] = {name, cause, remedy},
#include "schemas/verdicts.def"
};

const char *const kind_name[KIND_COUNT] = {
#define KIND(name, when) name,
#include "schemas/kinds.def"
};
/* clang-format on */

const char *verdict_name(enum verdict v)
{
    assert(v < VERDICT_COUNT);
    return verdicts[v].name;
}

const char *verdict_cause(enum verdict v)
{
    assert(v < VERDICT_COUNT);
    return verdicts[v].cause;
}

const char *verdict_remedy(enum verdict v)
{
    assert(v < VERDICT_COUNT);
    return verdicts[v].remedy;
}

enum verdict verdict_find(const char *name)
{
    for (unsigned v = 0; v < VERDICT_COUNT; v++)
        if (strcmp(verdicts[v].name, name) == 0)
            return (enum verdict)v;
    return VERDICT_unknown;
}

unsigned kind_find(const char *kind)
{
    unsigned i = 0;

    while (i < KIND_COUNT && strcmp(kind_name[i], kind) != 0)
        i++;
    return i;
}

bool kind_valid(const char *kind) { return *kind == '\0' || kind_find(kind) < KIND_COUNT; }
