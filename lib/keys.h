/*
 * keys.h - keys and other short secrets in files: hex digits on one line.
 *
 * A failure leaves errno: EACCES for a secret that others may read, EPERM for one that is neither this user's
 * nor root's, EINVAL for a file that is not exactly such a key, else what the system said.  Nothing of a key is left in a buffer here.
 */
#ifndef KEYS_H
#define KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEY_FILE_BYTES_MAX = 128 }; /* the longest key, before hex */

/* That errno in words for who has to mend it. */
const char *key_problem(int error);

/* Read exactly n bytes from a secret's file; refused when its group or others have any right to it. */
bool key_load(const char *path, void *out, size_t n);

/* The same for what is no secret. */
bool key_load_public(const char *path, void *out, size_t n);

/* Write n bytes with this mode: whole or not at all, and on the disk; an older file is replaced. */
bool key_save(const char *path, const void *key, size_t n, int mode);

/*
 * Load the X25519 secret key in path, after creating one with mode 0600 when there is none; of several
 * who create it at once, all get the same.
 */
bool key_create_x25519(const char *path, uint8_t secret[static 32], uint8_t public_key[static 32]);

#endif
