/*
 * share.h - hold a process to a share of one core, by a control group of its own: so that a laboratory on the same
 * machine can offer it many times what it can take.
 */
#ifndef SHARE_H
#define SHARE_H

#include <stdbool.h>
#include <sys/types.h>

enum { SHARES_MAX = 8 };

/* False where this system has no such groups, or lets us make none: then nothing is held. */
bool share_hold(pid_t pid, unsigned percent);

/* As soon as these processes have ended, which are ending.  When the test is killed the groups go with it (tidy.h). */
void share_release(void);

#endif
