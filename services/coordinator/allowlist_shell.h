/*
 * allowlist_shell.h - the file of keys that an operator admits: a peer id per line, and what follows a #
 * is a comment.
 */
#ifndef ALLOWLIST_SHELL_H
#define ALLOWLIST_SHELL_H

#include "lib/id.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    ALLOWLIST_MAX = 100000, /* keys */
    ALLOWLIST_LINE_MAX = 512,
    ALLOWLIST_ERROR_MAX = 256,
};

/*
 * Read all of path: sorted keys in *keys, for the caller to free, and how many in *n.  False, with a
 * sentence that names file and line in err, when anything in it is no peer id; then nothing is touched.
 */
bool allowlist_load(const char *path, struct peer_id **keys, size_t *n,
                    char err[static ALLOWLIST_ERROR_MAX]);

#endif
