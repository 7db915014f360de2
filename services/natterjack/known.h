/*
 * known.h - the names that this peer has reached, and the key that each had: a file beside its own key.
 *
 * A name is the coordinator's word, so a key that is not the remembered one is worth a warning: the name was
 * released and claimed by somebody else, or somebody lies.  The file, KEY.known_peers, has a line "NAME PEER-ID"
 * for each, mode 0600; who has checked that a change is right removes the line.
 */
#ifndef KNOWN_H
#define KNOWN_H

#include "lib/id.h"

enum { KNOWN_PEERS_MAX = 10000 }; /* lines that are read; beyond them no new name is remembered */

enum known {
    KNOWN_UNKEPT, /* there is no key file, or the file can't be used: a sentence on stderr has said why */
    KNOWN_NEW,     /* and remembered from now on */
    KNOWN_SAME,    /* the key is the remembered one */
    KNOWN_CHANGED, /* it is not; the remembered one, which stays, is in *before */
    KNOWN_COUNT
};
extern const char *const known_name[KNOWN_COUNT];

/* key_path: the own key's file, or NULL. */
enum known known_check(const char *key_path, const char *name, const struct peer_id *id,
                       struct peer_id *before);

#endif
