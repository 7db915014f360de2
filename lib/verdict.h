/*
 * verdict.h - why an outcome is what it is: names, causes and remedies, expanded from
 * schemas/verdicts.def; and the kinds of failure.  Pure.
 */
#ifndef VERDICT_H
#define VERDICT_H

#include <stdbool.h>

/* clang-format off */
enum verdict {
#define VERDICT(id, name, cause, remedy) VERDICT_##id,
#include "schemas/verdicts.def"
    VERDICT_COUNT
};
/* clang-format on */

const char *verdict_name(enum verdict v);  /* "both-random" */
const char *verdict_cause(enum verdict v); /* one sentence without its full stop */
const char *verdict_remedy(enum verdict v);
enum verdict verdict_find(const char *name); /* VERDICT_unknown for any other text */

/* The stable kinds of failure, from schemas/kinds.def; "" is none. */
/* clang-format off */
enum {
#define KIND(name, when) + 1
    KIND_COUNT = 0
#include "schemas/kinds.def"
};
/* clang-format on */
extern const char *const kind_name[KIND_COUNT];
unsigned kind_find(const char *kind); /* its index, or KIND_COUNT */
bool kind_valid(const char *kind);    /* also true for "" */

#endif
