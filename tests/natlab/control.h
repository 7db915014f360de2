/*
 * control.h - how the verbs of the command reach a running lab: an abstract Unix socket, which leaves no
 * file behind, one request per connection.
 *
 *   exec HOST            ok, with the host's network namespace and the lab's PID namespace
 *   nat                  ok, with a file of JSON lines (state.h)
 *   set HOST KEY=VALUE   ok; keys of links and NATs, flush=now, renumber=now
 *
 * Anything else, and what can't be done, is answered by a text that says why.
 */
#ifndef NATLAB_CONTROL_H
#define NATLAB_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

struct engine;

enum { CONTROL_FDS = 2, CONTROL_TEXT_MAX = 512 };

/* The lab's side. */
int control_listen(const char *lab);
int control_accept(int listener);
void control_answer(struct engine *e, int client);

/* The asker's side: fds[] are -1 where nothing came.  False with the reason in error. */
bool control_ask(const char *lab, const char *request, int fds[CONTROL_FDS],
                 char error[CONTROL_TEXT_MAX]);

#endif
