/* store_known.c - the SQLite store's memory beside the directory: enrolled keys, who knows whom, what worked. */
#include "lib/store_sqlite.h"

/* ---- enrolled keys ------------------------------------------------------------------------------ */

static enum store_status write_enrolled(struct store *s, const void *what)
{
    store_sql_bind_peer(store_sql_fresh(s, SQL_ENROL), 1, what);
    return store_sql_done(s, SQL_ENROL);
}

enum store_status store_put_enrolled(struct store *s, const struct peer_id *peer)
{
    return store_sql_in_batch(s, write_enrolled, peer);
}

enum store_status store_is_enrolled(struct store *s, const struct peer_id *peer)
{
    store_sql_bind_peer(store_sql_fresh(s, SQL_ENROLLED), 1, peer);
    return store_sql_found(s, SQL_ENROLLED);
}

enum store_status
store_list_enrolled(struct store *s, bool (*each)(void *arg, const struct peer_id *peer), void *arg)
{
    sqlite3_stmt *q = store_sql_fresh(s, SQL_LIST);
    struct peer_id peer;
    bool more = true;
    int rc = SQLITE_DONE;

    while (more && (rc = sqlite3_step(q)) == SQLITE_ROW)
        if (store_sql_read_peer(q, 0, &peer))
            more = each(arg, &peer);
    sqlite3_reset(q);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? STORE_OK : STORE_AWAY;
}

/* ---- who knows whom ----------------------------------------------------------------------------- */

struct meeting {
    const struct peer_id *side[2];
    int64_t wall_ms;
};

static enum store_status write_meeting(struct store *s, const void *what)
{
    const struct meeting *m = what;

    for (unsigned i = 0; i < 2; i++) {
        sqlite3_stmt *q = store_sql_fresh(s, SQL_MEET);
        store_sql_bind_peer(q, 1, m->side[i]);
        store_sql_bind_peer(q, 2, m->side[!i]);
        sqlite3_bind_int64(q, 3, m->wall_ms);
        if (store_sql_done(s, SQL_MEET) != STORE_OK)
            return STORE_AWAY;
        q = store_sql_fresh(s, SQL_TRIM);
        store_sql_bind_peer(q, 1, m->side[i]);
        sqlite3_bind_int(q, 2, STORE_CONTACTS_MAX);
        if (store_sql_done(s, SQL_TRIM) != STORE_OK)
            return STORE_AWAY;
    }
    return STORE_OK;
}

enum store_status store_put_contact(struct store *s, const struct peer_id *a,
                                    const struct peer_id *b, int64_t wall_ms)
{
    struct meeting m = {
        {a, b},
        wall_ms
    };

    return store_sql_in_batch(s, write_meeting, &m);
}

enum store_status store_is_contact(struct store *s, const struct peer_id *a,
                                   const struct peer_id *b)
{
    sqlite3_stmt *q = store_sql_fresh(s, SQL_MET);

    store_sql_bind_peer(q, 1, a);
    store_sql_bind_peer(q, 2, b);
    return store_sql_found(s, SQL_MET);
}

/* ---- what came of earlier contacts ---------------------------------------------------------------- */

/* A table of so many rows: keys are as good as random, so each has its place, and no row needs to be sought. */
static void bind_key(sqlite3_stmt *q, const struct history_key *key)
{
    uint64_t slot;

    memcpy(&slot, key->b, sizeof slot);
    sqlite3_bind_int64(q, 1, (sqlite3_int64)(slot % STORE_HISTORIES_MAX));
    sqlite3_bind_blob(q, 2, key->b, sizeof key->b, SQLITE_STATIC);
}

enum store_status store_get_history(struct store *s, const struct history_key *key, int64_t wall_ms,
                                    struct history *out)
{
    sqlite3_stmt *q = store_sql_fresh(s, SQL_PAST);

    memset(out, 0, sizeof *out);
    bind_key(q, key);
    int rc = sqlite3_step(q);
    /* One of a program with other techniques is no use. */
    if (rc == SQLITE_ROW && sqlite3_column_bytes(q, 0) == sizeof out->by)
        memcpy(out->by, sqlite3_column_blob(q, 0), sizeof out->by);
    sqlite3_reset(q);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return STORE_AWAY;
    return history_expire(out, wall_ms) ? STORE_OK : STORE_NOT_FOUND;
}

struct dated_outcome {
    const struct outcome *outcome;
    int64_t wall_ms;
};

static enum store_status write_outcome(struct store *s, const void *what)
{
    const struct dated_outcome *o = what;
    struct history h;

    if (store_get_history(s, &o->outcome->key, o->wall_ms, &h) == STORE_AWAY)
        return STORE_AWAY;
    history_add(&h, o->outcome->technique, o->outcome->hit, o->wall_ms);
    sqlite3_stmt *q = store_sql_fresh(s, SQL_PUT_PAST);
    bind_key(q, &o->outcome->key);
    sqlite3_bind_blob(q, 3, h.by, sizeof h.by, SQLITE_STATIC);
    return store_sql_done(s, SQL_PUT_PAST);
}

enum store_status store_put_outcome(struct store *s, const struct outcome *o, int64_t wall_ms)
{
    struct dated_outcome dated = {o, wall_ms};

    return store_sql_in_batch(s, write_outcome, &dated);
}
