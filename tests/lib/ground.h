/*
 * ground.h - the proving ground: a lab, a suite that runs in it, peers that listen, and connects.
 *
 * All are the real programs on real sockets.  Functions assert what a test can't go on without.
 */
#ifndef GROUND_H
#define GROUND_H

#include "tests/natlab/lab.h"

#include <jansson.h>
#include <stdbool.h>

enum { GROUND_PEERS_MAX = 32, GROUND_WAIT_MS = 15000 };

struct ground {
    struct lab lab;
    char dir[64]; /* keys, the suite's state */
    char join[1024];
    int64_t delay_us; /* one way between any two hosts */
};

/* A program under way on a host; its output is read line by line. */
struct ground_run {
    pid_t pid;
    int out;
    char line[4096];
    size_t n;
};

/* Start the lab with these natlab arguments (host "pub" is added) and the suite on pub. */
void ground_open(struct ground *g, const char *const *lab_args);
void ground_close(struct ground *g);

/* The two halves of it, for a suite that is not like the others: its public ip, and its environment. */
void ground_open_lab(struct ground *g, const char *const *lab_args);
void ground_up(struct ground *g, const char *public_ip, const char *environment);

/* Start any program on a host; and all that one prints until it ends, good until the next call. */
struct ground_run ground_spawn(struct ground *g, const char *host, const char *const *argv);
const char *ground_output(struct ground *g, const char *host, const char *const *argv);

/* `natterjack listen --name host --echo` on a host; returns when it is listening. */
struct ground_run ground_listen(struct ground *g, const char *host);
struct ground_run ground_listen_with(struct ground *g, const char *host, const char *const *more);

/* The same on n hosts at once, which takes no longer than one of them; they run until the lab ends. */
void ground_listen_all(struct ground *g, const char *const *hosts, size_t n);

/* `natterjack VERB -o json --join J --key FILE` on a host with more arguments, up to a NULL. */
struct ground_run ground_start(struct ground *g, const char *host, const char *verb,
                               const char *const *more);

/* The program's own process: r.pid is its lab's, which ends with it. */
pid_t ground_program(const struct ground_run *r);

/* The next JSON line within ms, or NULL at its end; the caller owns it. */
json_t *ground_line(struct ground_run *r, int ms);

/* The last JSON line, after the program has ended; its exit status in *status.  Asserts that it comes. */
json_t *ground_result(struct ground_run *r, int *status);

/* A whole connect. */
json_t *ground_connect(struct ground *g, const char *host, const char *to, const char *const *more,
                       int *status);

/* A verb about the suite with more arguments, up to a NULL: its JSON and its exit status. */
json_t *ground_ask(struct ground *g, const char *verb, const char *const *more, int *status);
/* The same with one argument or none. */
json_t *ground_admin(struct ground *g, const char *verb, const char *argument);

/* The suite's process of this name; asserts that there is one. */
pid_t ground_pid(const struct ground *g, const char *process);

/* Kill -9 the suite's process of this name. */
void ground_kill(struct ground *g, const char *process);

const char *ground_text(const json_t *line, const char *key); /* "" when null or absent */
double ground_number(const json_t *line, const char *key);    /* -1 when null or absent */

/* A whole number from the environment: how often to repeat, more in the long version of a check. */
unsigned ground_times(const char *name, unsigned usual);

#endif
