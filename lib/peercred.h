/*
 * peercred.h - who is at the other end of a Unix socket, as the kernel says: root, this process's own user, or
 * a member of the group that was named.
 */
#ifndef PEERCRED_H
#define PEERCRED_H

#include <stdbool.h>
#include <sys/types.h>

/* That group from now on; NULL is none.  False when there is none of that name.  Reads files. */
bool peercred_set_group(const char *name);

/* Have its members reach the socket at path, of mode 0660.  False with errno. */
bool peercred_give(const char *path);

/* May who is at the other end of fd ask?  *uid is who, or -1. */
bool peercred_ok(int fd, uid_t *uid);

#endif
