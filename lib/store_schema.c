/* store_schema.c - see store_schema.h. */
#include "lib/store_schema.h"

#include <stdio.h>
#include <string.h>

/* What makes version i + 1 of version i. */
static const char *const step[STORE_SCHEMA] = {
    "CREATE TABLE peers (peer BLOB PRIMARY KEY, name TEXT NOT NULL, epoch INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, attached INTEGER NOT NULL, profile BLOB NOT NULL,"
    " expires_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX peers_expire ON peers (expires_ms);"
    "CREATE TABLE names (name TEXT PRIMARY KEY, peer BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX names_peer ON names (peer);"
    "CREATE TABLE enrolled (peer BLOB PRIMARY KEY) WITHOUT ROWID;",

    "CREATE TABLE contacts (peer BLOB NOT NULL, other BLOB NOT NULL, met_ms INTEGER NOT NULL,"
    " PRIMARY KEY (peer, other)) WITHOUT ROWID;",

    "CREATE TABLE outcomes (slot INTEGER PRIMARY KEY, key BLOB NOT NULL, past BLOB NOT NULL);",
};

static bool run(sqlite3 *db, const char *text)
{
    return sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK;
}

int store_schema_version(sqlite3 *db)
{
    sqlite3_stmt *q = NULL;
    int version = -1;

    if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &q, NULL) == SQLITE_OK &&
        sqlite3_step(q) == SQLITE_ROW)
        version = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    return version;
}

bool store_schema_migrate(sqlite3 *db, int version)
{
    char set[64];

    if (version == STORE_SCHEMA)
        return true;
    snprintf(set, sizeof set, "PRAGMA user_version = %d", STORE_SCHEMA);
    bool ok = run(db, "BEGIN IMMEDIATE");
    for (int i = version; ok && i < STORE_SCHEMA; i++)
        ok = run(db, step[i]);
    return ok && run(db, set) && run(db, "COMMIT");
}

bool store_schema_sound(sqlite3 *db)
{
    sqlite3_stmt *q = NULL;
    bool sound = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &q, NULL) == SQLITE_OK &&
                 sqlite3_step(q) == SQLITE_ROW &&
                 strcmp((const char *)sqlite3_column_text(q, 0), "ok") == 0;

    sqlite3_finalize(q);
    return sound;
}
