/*
 * params.h - a program's flags as a typed table: parsed, checked and documented from one place.
 *
 * Flags are "--name VALUE" or "--name=VALUE"; a PARAM_FLAG takes none.  "-o VALUE" is the one short form,
 * of a parameter named "o".  "--" ends the flags.
 */
#ifndef PARAMS_H
#define PARAMS_H

#include "lib/addr.h"

enum param_kind {
    PARAM_FLAG,   /* bool: set to true when given */
    PARAM_TEXT,   /* const char *: points into argv */
    PARAM_U32,    /* uint32_t */
    PARAM_SECONDS /* int64_t in us; the text is decimal seconds, 0 to 1,000,000 */
};

struct param {
    const char *name; /* without the dashes */
    enum param_kind kind;
    void *value;      /* holds the default before, the given value after */
    const char *help; /* "VALUE  what it is"; NULL hides it */
    bool required;
};

/*
 * Parse argv[1..]; what is not a flag stays, in order, in argv[1..return value - 1].  Prints to stderr
 * what is wrong, or with --help the table to stdout, and exits with status 2 or 0.
 */
int params_parse(const char *usage, const struct param *table, size_t n, int argc, char **argv);

#endif
