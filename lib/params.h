/*
 * params.h - a program's parameters as a typed table: parsed, checked and documented from one place.
 *
 * Flags are "--name VALUE" or "--name=VALUE"; a PARAM_FLAG takes none.  "-o VALUE" is the one short form,
 * of a parameter named "o".  "--" ends the flags.  lib/config.h reads the same tables from a file and
 * from the environment too.
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

/* What else is true of a parameter; the second and third mean something to lib/config.h only. */
enum {
    PARAM_REQUIRED = 1,
    PARAM_SECRET = 2, /* PARAM_TEXT: names a file that nobody but its owner may read */
    PARAM_RELOAD = 4, /* a change in the file takes effect while the program runs */
};

struct param {
    const char *name; /* without the dashes */
    enum param_kind kind;
    void *value;      /* holds the default before, the given value after */
    const char *help; /* "VALUE  what it is"; NULL hides it */
    unsigned is;      /* PARAM_REQUIRED | ...; true alone is PARAM_REQUIRED */
};

enum { PARAMS_MAX = 64 }; /* of one program */

/*
 * Parse argv[1..]; what is not a flag stays, in order, in argv[1..return value - 1].  Prints to stderr
 * what is wrong, or with --help the table to stdout, and exits with status 2 or 0.
 */
int params_parse(const char *usage, const struct param *table, size_t n, int argc, char **argv);

/* The same, but says in given[] which were there, and leaves it to the caller what is required. */
int params_read(const char *usage, const struct param *table, size_t n, int argc, char **argv,
                bool given[static PARAMS_MAX]);

/* Set one from text, which has to live on (PARAM_FLAG: "true" or "false"); false when it can't be. */
bool param_set(const struct param *p, char *text);

#endif
