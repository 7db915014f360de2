/* child.h - run a function in a child process and see how it ended and what it printed. */
#ifndef CHILD_H
#define CHILD_H

#include <sys/types.h>

enum { CHILD_TEXT_MAX = 16384 };

struct child {
    pid_t pid;
    int in; /* what the child wrote to the descriptor it was handed; the parent's end */
    char out[CHILD_TEXT_MAX], err[CHILD_TEXT_MAX]; /* cut to fit */
};

/*
 * Run body in a child to its end and return its exit status, or minus the signal that ended it; what
 * it printed is in c.  Returning from body is exit(0).
 */
int child_run(struct child *c, void (*body)(void *arg), void *arg);

/*
 * Start body in a child; fd is the write end of a pipe whose read end is c->in.  The child dies with
 * its parent.  Returning from body is _exit(0).
 */
void child_start(struct child *c, void (*body)(void *arg, int fd), void *arg);

/* Wait for any child of ours to end: its exit status, or minus the signal that ended it. */
int child_status(pid_t pid);

/* Wait for it to end, closing c->in: its exit status, or minus the signal that ended it. */
int child_wait(struct child *c);

#endif
