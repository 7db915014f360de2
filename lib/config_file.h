/* config_file.h - the YAML file of lib/config.h: read into texts, and a line of it written; for config.c. */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include "lib/config.h"

/* What the file says of one parameter. */
struct config_text {
    char *text;    /* malloc'ed, or NULL: nothing */
    unsigned line; /* where, or 0 when that can't be told */
};

/*
 * Read the file at path into out, one for each parameter of the groups in their order.  False with a
 * sentence in err when it can't be read or holds what no parameter is; then out is all NULL.
 */
bool config_file_read(const char *path, const struct config_group *groups, size_t n,
                      struct config_text *out, char err[static CONFIG_ERROR_MAX]);

/* config_print.c: two lines, a comment and the value; the latter is a comment too when there is none. */
void config_print_param(FILE *f, const struct param *p);

#endif
