/* store_sqlite.c - the directory in SQLite: one connection, WAL, prepared statements; see store.h. */
#include "lib/store_sqlite.h"

#include "lib/store_schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
static const char *const sql[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_FENCE] = "SELECT epoch, seq FROM peers WHERE peer = ?1",
    [SQL_PUT] = "INSERT OR REPLACE INTO peers (peer, name, epoch, seq, attached, profile, expires_ms)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [SQL_OWNER] = "SELECT peer FROM names WHERE name = ?1",
    [SQL_CLAIM] = "INSERT INTO names (name, peer) SELECT ?1, ?2"
                  " WHERE (SELECT COUNT(*) FROM names WHERE peer = ?2) < ?3",
    [SQL_GET] = "SELECT name, epoch, seq, attached, profile, expires_ms FROM peers"
                " WHERE peer = ?1 AND expires_ms > ?2",
    [SQL_NAME_OF] = "SELECT name FROM names WHERE peer = ?1 LIMIT 1",
    [SQL_ENROL] = "INSERT OR IGNORE INTO enrolled (peer) VALUES (?1)",
    [SQL_ENROLLED] = "SELECT 1 FROM enrolled WHERE peer = ?1",
    [SQL_LIST] = "SELECT peer FROM enrolled",
    [SQL_SWEEP] = "DELETE FROM peers WHERE peer IN"
                  " (SELECT peer FROM peers WHERE expires_ms <= ?1 LIMIT ?2)",
    [SQL_RELEASE] = "DELETE FROM names WHERE name = ?1",
    [SQL_UNNAME] = "UPDATE peers SET name = '' WHERE name = ?1",
    [SQL_MEET] = "INSERT OR REPLACE INTO contacts (peer, other, met_ms) VALUES (?1, ?2, ?3)",
    [SQL_TRIM] = "DELETE FROM contacts WHERE peer = ?1 AND other IN (SELECT other FROM contacts"
                 " WHERE peer = ?1 ORDER BY met_ms DESC LIMIT -1 OFFSET ?2)",
    [SQL_MET] = "SELECT 1 FROM contacts WHERE peer = ?1 AND other = ?2",
    [SQL_PAST] = "SELECT past FROM outcomes WHERE slot = ?1 AND key = ?2",
    [SQL_PUT_PAST] = "INSERT OR REPLACE INTO outcomes (slot, key, past) VALUES (?1, ?2, ?3)",
};
/* clang-format on */

/* ---- opening ------------------------------------------------------------------------------------ */

static bool run(struct store *s, const char *text)
{
    return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK;
}

static bool prepare(struct store *s)
{
    for (unsigned i = 0; i < SQL_COUNT; i++)
        if (sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->stmt[i], NULL) !=
            SQLITE_OK)
            return false;
    return true;
}

/*
 * synchronous=NORMAL: in WAL mode a commit is in the page cache when it returns, so that it outlives the
 * process; only a power cut can undo the last ones, and the directory is rebuilt by re-attaching.
 */
static bool open_db(struct store *s, const char *path, char err[static STORE_ERROR_MAX])
{
    bool ok = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) ==
              SQLITE_OK;

    if (ok && sqlite3_db_readonly(s->db, "main") == 1) {
        snprintf(err, STORE_ERROR_MAX, "%s: it can't be written to", path);
        return false;
    }
    ok = ok && run(s, "PRAGMA journal_mode = WAL") && run(s, "PRAGMA synchronous = NORMAL") &&
         sqlite3_busy_timeout(s->db, 1000) == SQLITE_OK;
    int version = ok ? store_schema_version(s->db) : -1;
    if (version > STORE_SCHEMA) {
        snprintf(err, STORE_ERROR_MAX, "%s: version %d is newer than this program's, %d", path,
                 version, STORE_SCHEMA);
        return false;
    }
    if (version < 0 || !store_schema_migrate(s->db, version) || !prepare(s)) {
        bool io = s->db && (sqlite3_errcode(s->db) & 0xff) == SQLITE_IOERR;
        snprintf(err, STORE_ERROR_MAX, "%s: %s%s%s", path,
                 s->db ? sqlite3_errmsg(s->db) : "out of memory", io ? ", " : "",
                 io ? strerror(sqlite3_system_errno(s->db)) : "");
        return false;
    }
    if (!store_schema_sound(s->db)) {
        snprintf(err, STORE_ERROR_MAX, "%s: it is damaged; restore it from a copy", path);
        return false;
    }
    return true;
}

struct store *store_open(const char *path, char err[static STORE_ERROR_MAX])
{
    struct store *s = calloc(1, sizeof *s);

    if (!s) {
        snprintf(err, STORE_ERROR_MAX, "%s: out of memory", path);
        return NULL;
    }
    if (!open_db(s, path, err)) {
        store_close(s);
        return NULL;
    }
    return s;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->in_batch)
        store_commit(s);
    for (unsigned i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(s->stmt[i]);
    sqlite3_close(s->db);
    free(s);
}

/* ---- statements --------------------------------------------------------------------------------- */

sqlite3_stmt *store_sql_fresh(struct store *s, enum statement which)
{
    sqlite3_reset(s->stmt[which]);
    sqlite3_clear_bindings(s->stmt[which]);
    return s->stmt[which];
}

void store_sql_bind_peer(sqlite3_stmt *q, int at, const struct peer_id *peer)
{
    sqlite3_bind_blob(q, at, peer->b, sizeof peer->b, SQLITE_STATIC);
}

bool store_sql_read_peer(sqlite3_stmt *q, int column, struct peer_id *out)
{
    const void *b = sqlite3_column_blob(q, column);

    if (!b || sqlite3_column_bytes(q, column) != sizeof out->b)
        return false;
    memcpy(out->b, b, sizeof out->b);
    return true;
}

/* Step once and let the statement go: what it read must have been copied by then. */
static int store_sql_once(sqlite3_stmt *q)
{
    int rc = sqlite3_step(q);

    sqlite3_reset(q);
    return rc;
}

enum store_status store_sql_done(struct store *s, enum statement which)
{
    return store_sql_once(s->stmt[which]) == SQLITE_DONE ? STORE_OK : STORE_AWAY;
}

/* Is there a row? */
enum store_status store_sql_found(struct store *s, enum statement which)
{
    switch (store_sql_once(s->stmt[which])) {
    case SQLITE_ROW: return STORE_OK;
    case SQLITE_DONE: return STORE_NOT_FOUND;
    default: return STORE_AWAY;
    }
}

enum store_status store_begin(struct store *s)
{
    if (s->in_batch)
        return STORE_OK;
    if (store_sql_done(s, SQL_BEGIN) != STORE_OK)
        return STORE_AWAY;
    s->in_batch = true;
    return STORE_OK;
}

enum store_status store_commit(struct store *s)
{
    if (!s->in_batch)
        return STORE_OK;
    s->in_batch = false;
    if (store_sql_done(s, SQL_COMMIT) == STORE_OK)
        return STORE_OK;
    store_sql_done(s, SQL_ROLLBACK);
    return STORE_AWAY;
}

/* ---- the directory ------------------------------------------------------------------------------ */

/* The row of a fence is read and written in one transaction, so that nothing comes between. */
static enum store_status check_fence(struct store *s, const struct dir_record *r)
{
    sqlite3_stmt *q = store_sql_fresh(s, SQL_FENCE);
    enum store_status status = STORE_AWAY;

    store_sql_bind_peer(q, 1, &r->peer);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_DONE) {
        status = STORE_OK;
    } else if (rc == SQLITE_ROW) {
        uint64_t epoch = (uint64_t)sqlite3_column_int64(q, 0);
        uint64_t seq = (uint64_t)sqlite3_column_int64(q, 1);
        bool older = r->epoch < epoch || (r->epoch == epoch && r->seq < seq);
        status = older ? STORE_STALE : STORE_OK;
    }
    sqlite3_reset(q);
    return status;
}

static enum store_status claim(struct store *s, const struct dir_record *r)
{
    sqlite3_stmt *q = store_sql_fresh(s, SQL_OWNER);
    struct peer_id owner;

    if (r->name[0] == '\0')
        return STORE_OK;
    sqlite3_bind_text(q, 1, r->name, -1, SQLITE_STATIC);
    int rc = sqlite3_step(q);
    bool known = rc == SQLITE_ROW && store_sql_read_peer(q, 0, &owner);
    sqlite3_reset(q);
    if (known)
        return peer_id_eq(&owner, &r->peer) ? STORE_OK : STORE_NAME_TAKEN;
    if (rc != SQLITE_DONE)
        return STORE_AWAY;
    q = store_sql_fresh(s, SQL_CLAIM);
    sqlite3_bind_text(q, 1, r->name, -1, SQLITE_STATIC);
    store_sql_bind_peer(q, 2, &r->peer);
    sqlite3_bind_int(q, 3, NAMES_PER_KEY);
    if (store_sql_done(s, SQL_CLAIM) != STORE_OK)
        return STORE_AWAY;
    return sqlite3_changes(s->db) == 1 ? STORE_OK : STORE_NAMES_SPENT;
}

static enum store_status put(struct store *s, const struct dir_record *r)
{
    enum store_status status = check_fence(s, r);

    if (status == STORE_OK)
        status = claim(s, r);
    if (status != STORE_OK)
        return status;
    sqlite3_stmt *q = store_sql_fresh(s, SQL_PUT);
    store_sql_bind_peer(q, 1, &r->peer);
    sqlite3_bind_text(q, 2, r->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 3, (sqlite3_int64)r->epoch);
    sqlite3_bind_int64(q, 4, (sqlite3_int64)r->seq);
    sqlite3_bind_int(q, 5, r->attached);
    sqlite3_bind_blob(q, 6, &r->profile, sizeof r->profile, SQLITE_STATIC);
    sqlite3_bind_int64(q, 7, r->expires_ms);
    return store_sql_done(s, SQL_PUT);
}

/* Run a write in the batch that is open, or in one of its own. */
enum store_status store_sql_in_batch(struct store *s,
                                     enum store_status (*write)(struct store *, const void *),
                                     const void *what)
{
    bool own = !s->in_batch;

    if (store_begin(s) != STORE_OK)
        return STORE_AWAY;
    enum store_status status = write(s, what);
    if (own && store_commit(s) != STORE_OK)
        return STORE_AWAY;
    return status;
}

static enum store_status write_record(struct store *s, const void *what) { return put(s, what); }

enum store_status store_put(struct store *s, const struct dir_record *r)
{
    return store_sql_in_batch(s, write_record, r);
}

static void read_name(sqlite3_stmt *q, int column, char name[static NAME_MAX_BYTES + 1])
{
    const char *text = (const char *)sqlite3_column_text(q, column);

    if (text)
        msg_text(name, NAME_MAX_BYTES + 1, text);
}

/* The record is gone; the peer is still known by its name or as an enrolled key. */
static enum store_status get_expired(struct store *s, struct dir_record *out)
{
    sqlite3_stmt *q = store_sql_fresh(s, SQL_NAME_OF);

    store_sql_bind_peer(q, 1, &out->peer);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        read_name(q, 0, out->name);
    sqlite3_reset(q);
    if (rc == SQLITE_ROW)
        return STORE_OK;
    return rc == SQLITE_DONE ? store_is_enrolled(s, &out->peer) : STORE_AWAY;
}

enum store_status store_get(struct store *s, const struct peer_id *peer, int64_t wall_ms,
                            struct dir_record *out)
{
    sqlite3_stmt *q = store_sql_fresh(s, SQL_GET);

    memset(out, 0, sizeof *out);
    out->peer = *peer;
    store_sql_bind_peer(q, 1, peer);
    sqlite3_bind_int64(q, 2, wall_ms);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        read_name(q, 0, out->name);
        out->epoch = (uint64_t)sqlite3_column_int64(q, 1);
        out->seq = (uint64_t)sqlite3_column_int64(q, 2);
        out->attached = sqlite3_column_int(q, 3) != 0;
        const void *profile = sqlite3_column_blob(q, 4);
        if (profile && sqlite3_column_bytes(q, 4) == sizeof out->profile)
            memcpy(&out->profile, profile, sizeof out->profile);
        out->expires_ms = sqlite3_column_int64(q, 5);
    }
    sqlite3_reset(q);
    if (rc == SQLITE_ROW)
        return STORE_OK;
    return rc == SQLITE_DONE ? get_expired(s, out) : STORE_AWAY;
}

enum store_status store_get_name(struct store *s, const char *name, int64_t wall_ms,
                                 struct dir_record *out)
{
    sqlite3_stmt *q = store_sql_fresh(s, SQL_OWNER);
    struct peer_id owner;

    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    int rc = sqlite3_step(q);
    bool known = rc == SQLITE_ROW && store_sql_read_peer(q, 0, &owner);
    sqlite3_reset(q);
    if (!known)
        return rc == SQLITE_DONE ? STORE_NOT_FOUND : STORE_AWAY;
    enum store_status status = store_get(s, &owner, wall_ms, out);
    if (status == STORE_OK) /* the one that was asked for, of several that the key may own */
        msg_text(out->name, sizeof out->name, name);
    return status;
}

static enum store_status release(struct store *s, const void *name)
{
    sqlite3_bind_text(store_sql_fresh(s, SQL_RELEASE), 1, name, -1, SQLITE_STATIC);
    if (store_sql_done(s, SQL_RELEASE) != STORE_OK)
        return STORE_AWAY;
    if (sqlite3_changes(s->db) == 0)
        return STORE_NOT_FOUND;
    sqlite3_bind_text(store_sql_fresh(s, SQL_UNNAME), 1, name, -1, SQLITE_STATIC);
    return store_sql_done(s, SQL_UNNAME);
}

enum store_status store_release_name(struct store *s, const char *name)
{
    return store_sql_in_batch(s, release, name);
}

int store_sweep(struct store *s, int64_t wall_ms, int limit)
{
    sqlite3_stmt *q = store_sql_fresh(s, SQL_SWEEP);

    sqlite3_bind_int64(q, 1, wall_ms);
    sqlite3_bind_int(q, 2, limit);
    return store_sql_done(s, SQL_SWEEP) == STORE_OK ? sqlite3_changes(s->db) : -1;
}
