/*
 * supervisor.h - keep a few child processes running until told to stop.
 *
 * A child says that it is ready by a line on the descriptor in NATTERJACK_READY_FD, and by a second one, while it drains,
 * that the next one need not wait for its end.  One that dies is
 * started again: at once, and with a growing pause when it keeps dying young.  SIGTERM and SIGINT end all;
 * and when the supervisor itself is killed, the kernel kills its children.
 *
 * One that ends with SERVICE_OVER_MEMORY is started again like any other, and its log line counts how often that was.
 *
 * SIGHUP reads the configuration again, and goes on to the children.  SIGUSR1, or a child that ends with
 * SERVICE_DRAINED, drains: the children that can are told one after the other, each when the one before
 * has ended, and then the rest is ended.
 */
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    CHILDREN_MAX = 8,
    CHILD_ARGS_MAX = 40,
    READY_LIMIT_MS = 10000, /* from a start until ready */
    START_TRIES = 3,        /* of each child, until all have been ready once */
    BACKOFF_MIN_MS = 100,   /* the second restart; doubled after each further early death */
    BACKOFF_MAX_MS = 10000,
    STABLE_MS = 2000,     /* ready for so long: its next death is a first one again */
    STOP_LIMIT_MS = 3000, /* from SIGTERM to SIGKILL */
};

struct child {
    const char *name;                     /* in the log */
    const char *path;                     /* the program */
    const char *argv[CHILD_ARGS_MAX + 1]; /* NULL at the end; borrowed, like all text here */
    bool drains;                          /* it knows SIGUSR1, and has something to wait for */
    /* the rest is the supervisor's */
    pid_t pid; /* 0: not running */
    int ready_fd;
    bool ready, told_to_drain, settled, drained; /* settled: the next may drain meanwhile */
    unsigned tries, over_memory;                 /* how often it ended with SERVICE_OVER_MEMORY */
    int64_t started_us, ready_us, restart_us, backoff_us;
};

/*
 * Start the children; when all have become ready call on_ready(arg) once, and then keep them running.
 * Returns the exit status: 0 after a signal to stop, 1 when the start failed or on_ready said so.
 */
int supervise(struct child *children, size_t n, bool (*on_ready)(void *arg), void *arg);

#endif
