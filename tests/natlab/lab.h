/*
 * lab.h - for tests: start the laboratory, run programs and open sockets on its hosts, stop it.
 *
 * Functions return false, NULL or -1 when the lab does not do as asked within LAB_WAIT_MS.
 */
#ifndef NATLAB_LAB_H
#define NATLAB_LAB_H

#include "lib/addr.h"

#include <sys/types.h>

enum { LAB_WAIT_MS = 10000 };

struct lab {
    pid_t pid; /* of natlab; 0 when stopped */
    int alive; /* a pipe that ends with this process, and the lab with that */
    char name[64];
    int64_t up_us; /* how long it took until all was up */
};

/* args are those of natlab, options then hosts, up to a NULL.  The lab ends with this process. */
bool lab_start(struct lab *l, const char *const *args);

/* End it as a user would; its exit status. */
int lab_stop(struct lab *l);

/* Run a program on a host, its output into out (or -1: ours).  What is killed is the program. */
pid_t lab_spawn(const struct lab *l, const char *host, int out, const char *const *argv);

/* Move to the host's namespace; a descriptor of the one before, for netns_enter and close, or -1. */
int lab_enter(const struct lab *l, const char *host);

/* A socket in the host's namespace: bound to the address of ip, port (0: any). */
int lab_socket(const struct lab *l, const char *host, int type, const char *ip, uint16_t port);

/* What `natlab nat` says; the caller frees it. */
char *lab_state(const struct lab *l);

/* As `natlab set HOST KEY=VALUE`. */
bool lab_set(const struct lab *l, const char *host, const char *setting);

#endif
