/*
 * join.h - the join string: all that a peer needs to use a suite, on one line that people paste.
 *
 *   "nj1" | base64url without padding of
 *       version 1 | coordinators 1 (1 to 4) | each: family 1 (4 or 6), ip 4 or 16, front port 2, enrol port 2
 *       coordinator key 32 | authority key 32 | enrolment token 16
 *       checksum 4: the first bytes of BLAKE2b-256 of what precedes it
 *
 * Integers are big-endian.  The checksum finds slips of the clipboard, not forgery: whoever hands out a
 * join string is trusted, and the enrolment token in it is a secret.
 */
#ifndef JOIN_H
#define JOIN_H

#include "lib/addr.h"

enum {
    JOIN_COORDINATORS_MAX = 4,
    JOIN_TOKEN_BYTES = 16,
    JOIN_BYTES_MAX = 2 + JOIN_COORDINATORS_MAX * 21 + 32 + 32 + JOIN_TOKEN_BYTES + 4,
    JOIN_TEXT_MAX = 3 + (JOIN_BYTES_MAX * 4 + 2) / 3 + 1, /* with the terminator */
    JOIN_PASTE_MAX = 1024, /* characters looked at, with blanks around */
    JOIN_ERROR_MAX = 160   /* any text that join_parse writes fits */
};

struct join {
    uint8_t n; /* coordinators, 1 to 4; the front and the enrolment port share the address */
    struct addr front[JOIN_COORDINATORS_MAX], enrol[JOIN_COORDINATORS_MAX];
    uint8_t coordinator_key[32];     /* X25519: CURVE's server key, the same for all of them */
    uint8_t authority[32];           /* Ed25519: certifies probers and relays (lib/token.h) */
    uint8_t token[JOIN_TOKEN_BYTES]; /* admits a key to the enrolment socket */
};

/* Write j, which must be well-formed, as text; returns out. */
const char *join_format(const struct join *j, char out[static JOIN_TEXT_MAX]);

/*
 * Read an untrusted paste; blanks and line ends around it are skipped.  False, with *out untouched and a
 * clause in err that completes "the join string ..." (always terminated), when it is not whole.
 */
bool join_parse(const char *text, struct join *out, char err[static JOIN_ERROR_MAX]);

#endif
