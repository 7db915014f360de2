/*
 * ask_hook.h - the command that decides whether a call is taken, run for each call.
 *
 * It gets the caller's peer id and name ("" when it has none) as its two arguments, nothing on stdin, and
 * our stderr as stdout; exit status 0 takes the call.  What takes longer than the caller waits is killed
 * with all that it started, and is a no, as is what can't be run.
 */
#ifndef ASK_HOOK_H
#define ASK_HOOK_H

#include "lib/service.h"
#include "services/executor/executor.h"

enum { ASK_HOOKS_MAX = 8 }; /* at once; more are a no */

/* Can it be run: by its path, or found by PATH?  A command that can't would refuse every call. */
bool ask_hook_found(const char *command);

void ask_hook_open(struct service *svc, const char *command);

/* Run it.  The answer comes by the service's loop: an input that says APP_ANSWER. */
void ask_hook_run(const struct invitation *i);

void ask_hook_close(void); /* kills those that run */

#endif
