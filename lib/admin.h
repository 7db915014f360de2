/*
 * admin.h - a process's admin socket: verbs on a Unix stream socket, mode 0660, for root, the process's own user
 * and the members of common.admin-group (lib/peercred.h).
 *
 * Every process has `reload`, `drain` (lib/service.h), and `loglevel [debug|info|warn]`, which lasts until
 * the next reload; the others are its own.
 *
 * One request per connection: a line "VERB [ARGUMENT]", at most 512 bytes; the answer is one JSON
 * value, then the end.  A refusal is {"error": "..."}.  Slow, silent and talkative clients are dropped.
 */
#ifndef ADMIN_H
#define ADMIN_H

#include "lib/service.h"

#include <jansson.h>

enum {
    ADMIN_CLIENTS_MAX = 16,
    ADMIN_REQUEST_MAX = 512,
    ADMIN_TIMEOUT_MS = 5000,
    ADMIN_PAUSE_MS = 500
};

#define ADMIN_UNKNOWN_VERB "unknown verb" /* the refusal of what this process has no answer to */

/* Answer a verb; the caller owns what is returned, NULL means ADMIN_UNKNOWN_VERB. */
typedef json_t *admin_verb(void *arg, const char *verb, const char *argument);

/* Listen on path (replaced when stale).  Dies with a line on failure; to be called at start-up. */
void admin_open(struct service *s, const char *path, admin_verb *verb, void *arg);
void admin_close(void); /* closes and unlinks */

/* Counters of the shell, for every process's `state`. */
json_t *admin_counters(const struct service_counters *n);

/*
 * The client's side: send one request, wait up to timeout_ms.  NULL with a sentence in err when the
 * process can't be asked.
 */
json_t *admin_ask(const char *path, const char *request, int timeout_ms, char *err, size_t err_cap);

#endif
