/* ask.h - asking a process of a running suite by its admin socket: what verbs about a suite share. */
#ifndef ASK_H
#define ASK_H

#include "lib/params.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum argument { NO_ARGUMENT, SESSION, PEER, NAME, PROCESS, LEVEL, PAIR };

/* What a verb was called with. */
struct question {
    const char *dir, *socket, *o;
    bool json, pending, live, ready;
    const char *argument, *second; /* "" when the verb takes none */
};

/*
 * Read the command line; extra are the flags that only this verb has, at most two.  Returns EXIT_OK, or
 * EXIT_USAGE after a sentence on stderr.
 */
int ask_parse(struct question *q, enum argument kind, const struct param *extra, size_t n_extra,
              int argc, char **argv);

/* Send one request to a process; NULL with a sentence in err when it can't be asked. */
json_t *ask(const struct question *q, const char *process, const char *request, char *err,
            size_t err_cap);

void ask_print_json(json_t *value);

#endif
