/*
 * command.h - the command as a process: it is run to its end with words, or as `up` with a suite of its own, in a
 * directory of its own and on ports that were free a moment ago.  Functions assert what a test can't go on without.
 */
#ifndef TEST_COMMAND_H
#define TEST_COMMAND_H

#include "lib/join.h"
#include "tests/lib/ports.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { COMMAND_ARGS_MAX = 32, COMMAND_OUTPUT_MAX = 65536, COMMAND_CHILDREN_MAX = 16 };

struct command {
    char top[32], state[64];                               /* the directory, and --state in it */
    char out[COMMAND_OUTPUT_MAX], err[COMMAND_OUTPUT_MAX]; /* of the last that was run */
    char port_text[SUITE_PORTS][PORT_TEXT];
    pid_t up_pid, run_pid[4]; /* that command_close() kills; 0: none */
    int up_out;
};
extern struct command command;

void command_open(void);
void command_close(void);

/* Run the command to its end with these words, up to a NULL; its exit status. */
int command_run(const char *first, ...);
#define RUN(...) command_run(__VA_ARGS__, NULL)
pid_t command_spawn(char *const argv[], int out_fd, int err_fd);
void command_slurp(const char *path, char *buf); /* of COMMAND_OUTPUT_MAX bytes */

/* For waiting: `for (int64_t end = command_limit(); !is_so();) command_pause(end, "what");` */
int64_t command_limit(void);
int64_t command_pause(int64_t limit_us, const char *what);

/* The flags that put a suite here and on our ports, after words[0 .. n - 1]. */
void command_suite_flags(char *argv[COMMAND_ARGS_MAX], size_t n);
void command_start_up(void);
void command_read_join(char line[JOIN_PASTE_MAX]); /* the first line that `up` prints */
void command_up(void);                             /* both */

/* The children of a process by name: pids, and how many there are; and the one of `up` with this name, or 0. */
size_t command_children(pid_t parent, pid_t pids[COMMAND_CHILDREN_MAX],
                        char names[COMMAND_CHILDREN_MAX][16]);
pid_t command_child(const char *name);

#endif
