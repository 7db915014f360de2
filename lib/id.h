/*
 * id.h - peer ids and session ids as values, and their printed forms.
 *
 * A peer id is a Curve25519 public key (RFC 7748), printed as RFC 4648 base32 in lower case without
 * padding, 52 characters.  A session id is 16 random bytes, printed as 32 hex digits.  Pure.
 */
#ifndef ID_H
#define ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PEER_ID_TEXT = 53, SID_TEXT = 33 }; /* with the terminator */

struct peer_id {
    uint8_t b[32];
};

struct sid {
    uint8_t b[16];
};

bool peer_id_eq(const struct peer_id *a, const struct peer_id *b);
bool peer_id_none(const struct peer_id *id); /* all zero: no peer */
bool sid_eq(const struct sid *a, const struct sid *b);

/* Print; always terminated; returns buf. */
const char *peer_id_format(const struct peer_id *id, char buf[static PEER_ID_TEXT]);
const char *sid_format(const struct sid *s, char buf[static SID_TEXT]);

/* False, with *out untouched, unless text is exactly one id in its printed form (either case). */
bool peer_id_parse(const char *text, struct peer_id *out);
bool sid_parse(const char *text, struct sid *out);

/* Names: 1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit; and never shaped like a peer id. */
enum { NAME_MAX_BYTES = 63 };
bool name_valid(const char *name);

#endif
