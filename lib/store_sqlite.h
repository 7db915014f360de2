/* store_sqlite.h - what the files of the SQLite store share; not for others. */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include "lib/store.h"

#include <sqlite3.h>

/* clang-format off */
enum statement {
    SQL_BEGIN, SQL_COMMIT, SQL_ROLLBACK, SQL_FENCE, SQL_PUT, SQL_OWNER, SQL_CLAIM, SQL_GET, SQL_NAME_OF,
    SQL_ENROL, SQL_ENROLLED, SQL_LIST, SQL_SWEEP, SQL_RELEASE, SQL_UNNAME,
    SQL_MEET, SQL_TRIM, SQL_MET, SQL_PAST, SQL_PUT_PAST, SQL_COUNT
};
/* clang-format on */

struct store {
    sqlite3 *db;
    sqlite3_stmt *stmt[SQL_COUNT];
    bool in_batch;
};

/* The statement, with nothing bound. */
sqlite3_stmt *store_sql_fresh(struct store *s, enum statement which);
enum store_status store_sql_done(struct store *s, enum statement which);  /* it yields no row */
enum store_status store_sql_found(struct store *s, enum statement which); /* is there a row? */

void store_sql_bind_peer(sqlite3_stmt *q, int at, const struct peer_id *peer);
bool store_sql_read_peer(sqlite3_stmt *q, int column, struct peer_id *out);

/* Run a write in the batch that is open, or in one of its own. */
enum store_status store_sql_in_batch(struct store *s,
                                     enum store_status (*write)(struct store *, const void *),
                                     const void *what);

#endif
