/*
 * state_dir.h - the directory of a suite: who holds it, and what lies where in it.
 *
 *   DIR/lock      locked while a suite is up on DIR
 *   DIR/join      the join string, there while that suite is ready
 *   DIR/keys/     lib/keys.h files (services/natterjack/keyring.h)
 *   DIR/bus/      the services' inboxes, mode 0700
 *   DIR/admin/    the services' admin sockets, named after their processes
 *   DIR/store.db  the coordinator's directory of peers
 */
#ifndef STATE_DIR_H
#define STATE_DIR_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The longest DIR: DIR/admin/coordinator must fit the 108 bytes of sockaddr_un.sun_path with its
 * terminator.  (A file descriptor and /proc would lift that, but libzmq binds by path alone.)
 */
enum { STATE_DIR_MAX = 107 - 18 };

/* Write DIR/name into path; false (with ENAMETOOLONG) when it does not fit. */
bool state_path(const char *dir, const char *name, char path[static PATH_MAX]);

enum state_lock { STATE_LOCKED, STATE_HELD_BY_OTHER, STATE_LOCK_FAILED };

/* Lock dir until this process ends; children don't inherit the lock.  errno on STATE_LOCK_FAILED. */
enum state_lock state_lock(const char *dir);

/* Is a suite up on dir?  Looks without taking the lock, so that it can't be in a starter's way. */
bool state_locked(const char *dir);

#endif
