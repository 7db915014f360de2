/*
 * test_store.c - the directory in SQLite: what every store does (tests/lib/store_suite.h), what survives
 * being killed, full disks, and files that are old, new, damaged or not to be written.
 */
#include "lib/rng.h"
#include "tests/lib/store_suite.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[32], path[64], err[STORE_ERROR_MAX];
static struct store *s;

static struct store *opened(void)
{
    struct store *store = store_open(path, err);

    cr_assert(store, "%s", err);
    return store;
}

static void setup(void)
{
    strcpy(dir, "/tmp/test_store.XXXXXX");
    cr_assert(tidy_mkdtemp(dir));
    snprintf(path, sizeof path, "%s/db", dir);
}

static void teardown(void)
{
    store_close(s);
    tidy_remove(dir);
}

TestSuite(store, .init = setup, .fini = teardown, .timeout = 60);

/* clang-format off */
#define X(name) Test(store, name) { store_suite_run(#name, opened); }
STORE_SUITE(X)
#undef X
/* clang-format on */

/* ---- numbered writes, of all kinds --------------------------------------------------------------- */

static struct peer_id numbered(uint32_t n)
{
    struct peer_id id = {{9}};

    memcpy(id.b + 4, &n, sizeof n);
    return id;
}

static struct dir_record record(uint32_t n)
{
    struct dir_record r = {.peer = numbered(n), .epoch = 1, .seq = n, .expires_ms = 1000};

    snprintf(r.name, sizeof r.name, "peer-%u", n);
    return r;
}

static enum store_status write_one(struct store *store, uint32_t n)
{
    struct peer_id id = numbered(n), other = numbered(n + 1);
    struct dir_record r = record(n);

    switch (n % 3) {
    case 0: return store_put_enrolled(store, &id);
    case 1: return store_put_contact(store, &id, &other, n);
    default: return store_put(store, &r);
    }
}

static bool is_there(struct store *store, uint32_t n)
{
    struct peer_id id = numbered(n), other = numbered(n + 1);
    struct dir_record is = record(n), r;

    switch (n % 3) {
    case 0: return store_is_enrolled(store, &id) == STORE_OK;
    case 1: return store_is_contact(store, &id, &other) == STORE_OK;
    default:
        return store_get_name(store, is.name, 0, &r) == STORE_OK && r.seq == n &&
               peer_id_eq(&r.peer, &id);
    }
}

/* ---- kill -9 -------------------------------------------------------------------------------------- */

enum { ROUNDS = 40, ACKS_MAX = 60, BATCH_MAX = 8 };

/* Writes from number n on, in groups, and says the last number of each that was acknowledged. */
static void write_for_ever(uint32_t n, struct rng *r, int fd)
{
    struct store *store = store_open(path, err);

    for (; store;) {
        uint64_t batch = rng_below(r, BATCH_MAX);
        bool ok = batch == 0 || store_begin(store) == STORE_OK;
        for (uint64_t i = 0; i <= batch; i++)
            ok = write_one(store, ++n) == STORE_OK && ok;
        if (!ok || store_commit(store) != STORE_OK || write(fd, &n, sizeof n) != sizeof n)
            break;
    }
    _exit(1);
}

/* A child writes until it is killed, after so many acknowledgements; returns the last of them. */
static uint32_t round_from(uint32_t n, struct rng *r)
{
    uint64_t acks = rng_below(r, ACKS_MAX);
    int fd[2];

    cr_assert_eq(pipe(fd), 0);
    pid_t child = fork();
    if (child == 0) {
        close(fd[0]);
        write_for_ever(n, r, fd[1]);
    }
    close(fd[1]);
    for (uint64_t i = 0; i < acks; i++)
        cr_assert_eq(read(fd[0], &n, sizeof n), sizeof n, "the child could not write");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    while (read(fd[0], &n, sizeof n) == sizeof n)
        continue;
    close(fd[0]);
    return n;
}

Test(store, keeps_what_it_acknowledged_however_often_it_is_killed)
{
    struct rng r;
    uint32_t last = 0;
    const char *seed = getenv("SEED");

    rng_seed(&r, seed ? strtoull(seed, NULL, 10) : 1);
    for (int round = 0; round < ROUNDS; round++) {
        /* numbers that were written but not acknowledged are not used again */
        uint32_t from = last, to = round_from(from, &r);
        s = opened();
        for (uint32_t n = from + 1; n <= to; n++)
            cr_assert(is_there(s, n), "round %d: %u of %u to %u is gone", round, n, from + 1, to);
        store_close(s);
        s = NULL;
        last = to;
    }
    cr_assert_gt(last, ROUNDS);
    s = opened();
    for (uint32_t n = 1; n <= last; n++)
        cr_assert(is_there(s, n), "%u of %u is gone", n, last);
}

/* ---- no room -------------------------------------------------------------------------------------- */

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

Test(store, acknowledges_nothing_that_it_has_no_room_for_and_goes_on_when_there_is)
{
    uint32_t last = 0;
    enum store_status status;

    signal(SIGXFSZ, SIG_IGN);
    s = opened();
    limit_files(200000);
    while ((status = write_one(s, last + 1)) == STORE_OK)
        cr_assert_lt(++last, 100000);
    cr_assert_eq(status, STORE_AWAY);
    cr_assert_gt(last, 10);
    store_begin(s);
    for (uint32_t n = 200001; n < 200100; n++)
        write_one(s, n);
    cr_assert_eq(store_commit(s), STORE_AWAY); /* as a group: all of it or nothing */
    for (uint32_t n = 1; n <= last; n++)
        cr_assert(is_there(s, n), "%u of %u is gone", n, last);
    limit_files(RLIM_INFINITY);
    cr_assert_eq(write_one(s, last + 1), STORE_OK);
    store_close(s);
    s = opened();
    for (uint32_t n = 1; n <= last + 1; n++)
        cr_assert(is_there(s, n), "%u of %u is gone", n, last);
}

Test(store, does_not_open_a_new_file_where_there_is_no_room)
{
    signal(SIGXFSZ, SIG_IGN);
    limit_files(1000);
    cr_assert_null(store_open(path, err));
    cr_assert(strstr(err, path), "%s", err);
    limit_files(RLIM_INFINITY);
    s = opened();
}

/* ---- files ---------------------------------------------------------------------------------------- */

static void refuses(const char *file, const char *why)
{
    err[0] = '\0';
    cr_assert_null(store_open(file, err), "%s", file);
    cr_assert(strstr(err, why), "\"%s\" lacks \"%s\"", err, why);
    cr_assert(strstr(err, file));
}

static void run_sql(const char *sql)
{
    sqlite3 *db;

    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

#define ZEROS_31 "00000000000000000000000000000000000000000000000000000000000000"
static const char version_1[] =
    "CREATE TABLE peers (peer BLOB PRIMARY KEY, name TEXT NOT NULL, epoch INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, attached INTEGER NOT NULL, profile BLOB NOT NULL,"
    " expires_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX peers_expire ON peers (expires_ms);"
    "CREATE TABLE names (name TEXT PRIMARY KEY, peer BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX names_peer ON names (peer);"
    "CREATE TABLE enrolled (peer BLOB PRIMARY KEY) WITHOUT ROWID;"
    "INSERT INTO names VALUES ('alice', x'07" ZEROS_31 "');"
    "INSERT INTO enrolled VALUES (x'08" ZEROS_31 "');"
    "PRAGMA user_version = 1;";

Test(store, brings_a_file_of_version_1_to_this_one_with_all_that_is_in_it)
{
    struct peer_id alice = {{7}}, enrolled = {{8}};
    struct dir_record r;

    run_sql(version_1);
    for (int i = 0; i < 2; i++) {
        s = opened();
        cr_assert_eq(store_get_name(s, "alice", 0, &r), STORE_OK);
        cr_assert(peer_id_eq(&r.peer, &alice));
        cr_assert_eq(store_is_enrolled(s, &enrolled), STORE_OK);
        cr_assert_eq(store_is_contact(s, &alice, &enrolled), i == 0 ? STORE_NOT_FOUND : STORE_OK);
        cr_assert_eq(store_put_contact(s, &enrolled, &alice, 1), STORE_OK);
        struct outcome o = {.technique = TECHNIQUE_HOST, .hit = true};
        struct history h;
        cr_assert_eq(store_get_history(s, &o.key, 1, &h), i == 0 ? STORE_NOT_FOUND : STORE_OK);
        cr_assert_eq(store_put_outcome(s, &o, 1), STORE_OK);
        store_close(s);
        s = NULL;
    }
}

/* Keys are hashes: whoever makes many fills all places, and no more. */
Test(store, keeps_so_many_histories_and_a_later_one_takes_the_place_of_an_earlier)
{
    struct outcome o = {.technique = TECHNIQUE_HOST, .hit = true};
    struct history h;
    uint64_t slot[2] = {5, 5 + 7ull * STORE_HISTORIES_MAX};

    s = opened();
    for (int i = 0; i < 2; i++) {
        memcpy(o.key.b, &slot[i], sizeof slot[i]);
        cr_assert_eq(store_put_outcome(s, &o, 1), STORE_OK);
    }
    cr_assert_eq(store_get_history(s, &o.key, 1, &h), STORE_OK);
    cr_assert_eq(h.by[TECHNIQUE_HOST].hits, 1, "nothing of the other's");
    memcpy(o.key.b, &slot[0], sizeof slot[0]);
    cr_assert_eq(store_get_history(s, &o.key, 1, &h), STORE_NOT_FOUND);
}

Test(store, leaves_a_file_as_it_was_when_it_cannot_be_migrated)
{
    run_sql(version_1);
    run_sql("CREATE TABLE contacts (x)");
    refuses(path, "contacts");
    run_sql("DROP TABLE contacts");
    s = opened();
}

Test(store, refuses_a_file_of_a_newer_version)
{
    run_sql("PRAGMA user_version = 99");
    refuses(path, "version 99 is newer than this program's");
}

Test(store, refuses_garbage_and_paths_that_cannot_be)
{
    char other[64];

    snprintf(other, sizeof other, "%s/garbage", dir);
    int fd = open(other, O_WRONLY | O_CREAT, 0600);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(write(fd, "garbage", 7), 7);
    close(fd);
    refuses(other, "not a database");
    refuses(dir, "unable to open");
    snprintf(other, sizeof other, "%s/no/such/folder", dir);
    refuses(other, "unable to open");
}

Test(store, refuses_a_file_whose_tables_are_not_its_own)
{
    run_sql("CREATE TABLE t (x); PRAGMA user_version = 2");
    refuses(path, "no such table");
}

Test(store, refuses_a_damaged_file)
{
    char junk[4096];
    struct stat st;

    s = opened();
    for (uint32_t n = 1; n < 1000; n++)
        write_one(s, n);
    store_close(s); /* all is in the one file now */
    s = NULL;
    memset(junk, 0xa5, sizeof junk);
    int fd = open(path, O_WRONLY);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_eq(pwrite(fd, junk, sizeof junk, st.st_size / 8192 * 4096), (ssize_t)sizeof junk);
    close(fd);
    refuses(path, "damaged");
}

Test(store, refuses_a_file_that_it_may_not_write)
{
    s = opened();
    store_close(s);
    s = NULL;
    cr_assert_eq(chmod(path, 0444), 0);
    cr_assert_eq(chmod(dir, 0755), 0);
    bool root = geteuid() == 0;
    if (root) /* it may write anything */
        cr_assert_eq(seteuid(65534), 0);
    refuses(path, "can't be written");
    if (root)
        cr_assert_eq(seteuid(0), 0);
}
