/*
 * store_shell.h - carries out the core's store rows on lib/store.h, and brings back the answers; and
 * knows which keys are enrolled.
 */
#ifndef COORDINATOR_STORE_SHELL_H
#define COORDINATOR_STORE_SHELL_H

#include "lib/service.h"

/* Open the store.  Dies with a line on failure; to be called at start-up, before the cage closes. */
void store_shell_open(const char *path);

/* Hook it into the service. */
void store_shell_serve(struct service *svc);
void store_shell_close(void);

/* From memory, else from the store; no when it can't be known. */
bool store_shell_enrolled(const struct peer_id *peer);

/* The operator frees a name. */
enum store_status store_shell_release(const char *name);

#endif
