/*
 * made_call.h - a running program is made to call the kernel as one would that a stranger has taken over; and what the
 * kernel says of it.
 */
#ifndef MADE_CALL_H
#define MADE_CALL_H

#include <sys/types.h>

/* A number of /proc/PID/status, or of the file of that form at path; -1 when it has none. */
long proc_status(pid_t pid, const char *field);
long proc_status_at(const char *path, const char *field);

/*
 * Have the process make a system call in place of the one that it sleeps in, the text, unless NULL, as its second
 * argument; the signal that ends it, or 0 and what the call returned.
 */
#ifdef __x86_64__
#define MADE_CALLS 1
int made_call(pid_t pid, const long call[static 4], const char *text, long *result);
#else
#define MADE_CALLS 0
#endif

#endif
