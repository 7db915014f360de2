/*
 * own.h - the admin socket of a peer: `punches` lists its own attempts, `state` says what it holds, `reflex`
 * what is known of an operator's port mapping; `reflex override ADDR:PORT` sets it, `reflex clear` takes it back.
 */
#ifndef OWN_H
#define OWN_H

#include "services/executor/agent_shell.h"

/* Listen on path, unless it is NULL; after agent_open.  Dies with a line when it can't. */
void own_admin_open(struct agent *g, const char *path);
void own_admin_close(const char *path); /* before agent_close */

#endif
