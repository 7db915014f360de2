/*
 * store.h - the directory: who is attached where, who owns which name, which keys are enrolled.
 *
 * A record is soft state with a time to live and a fence (epoch, seq): a later fence wins, an equal one
 * rewrites, an older one is refused.  A name belongs to the first key that claims it, and stays its own
 * when the record has expired.  What store_commit has returned for survives kill -9.
 */
#ifndef STORE_H
#define STORE_H

#include "lib/core.h"

enum {
    STORE_ERROR_MAX = 256,
    STORE_HISTORIES_MAX = 1 << 17, /* kept: a later key may take the place of an earlier one */
    NAMES_PER_KEY = 8,             /* a key that has claimed so many gets no other */
    STORE_CONTACTS_MAX = 1000,     /* kept per peer; the one met longest ago makes room */
};

struct store;

/*
 * NULL, with a sentence in err, when the file can't be used: unreadable, read-only, garbage, or of a newer
 * version.  One of an earlier version is migrated.
 */
struct store *store_open(const char *path, char err[static STORE_ERROR_MAX]);
void store_close(struct store *s);

/* Writes between begin and commit become durable together; each takes part in one on its own otherwise. */
enum store_status store_begin(struct store *s);
enum store_status store_commit(struct store *s);

/*
 * STORE_OK or STORE_AWAY; or, and then nothing is written, STORE_STALE, STORE_NAME_TAKEN, or STORE_NAMES_SPENT: the
 * key has claimed NAMES_PER_KEY others, which are its own until they are released.
 */
enum store_status store_put(struct store *s, const struct dir_record *r);

/*
 * STORE_OK, STORE_NOT_FOUND or STORE_AWAY.  A peer whose record has expired is found, not attached, as
 * long as it owns a name or is enrolled.
 */
enum store_status store_get(struct store *s, const struct peer_id *peer, int64_t wall_ms,
                            struct dir_record *out);
enum store_status store_get_name(struct store *s, const char *name, int64_t wall_ms,
                                 struct dir_record *out);

/* The name is free again.  STORE_OK, STORE_NOT_FOUND or STORE_AWAY. */
enum store_status store_release_name(struct store *s, const char *name);

/* These two have had a session: each has called or accepted the other. */
enum store_status store_put_contact(struct store *s, const struct peer_id *a,
                                    const struct peer_id *b, int64_t wall_ms);
enum store_status
store_is_contact(struct store *s, const struct peer_id *a,
                 const struct peer_id *b); /* STORE_NOT_FOUND when they have not */

/*
 * What came of a technique is added to the history of its key, which is forgotten HISTORY_TTL_MS after the
 * last; and of any key when there is no room.  STORE_NOT_FOUND when nothing is known.
 */
enum store_status store_put_outcome(struct store *s, const struct outcome *o, int64_t wall_ms);
enum store_status store_get_history(struct store *s, const struct history_key *key, int64_t wall_ms,
                                    struct history *out);

enum store_status store_put_enrolled(struct store *s, const struct peer_id *peer);
enum store_status store_is_enrolled(struct store *s, const struct peer_id *peer);
/* Calls each for every enrolled key until it returns false. */
enum store_status store_list_enrolled(struct store *s,
                                      bool (*each)(void *arg, const struct peer_id *peer),
                                      void *arg);

/* Forget records that expired before wall_ms, at most limit of them; returns how many, or -1. */
int store_sweep(struct store *s, int64_t wall_ms, int limit);

#endif
