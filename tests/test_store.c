/*
 * test_store.c - the directory in SQLite: records, fences, names, enrolled keys, and what outlives what.
 */
#include "lib/store.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[32], path[64], err[STORE_ERROR_MAX];
static struct store *s;

static void open_store(void)
{
    s = store_open(path, err);
    cr_assert(s, "%s", err);
}

static void reopen(void)
{
    store_close(s);
    open_store();
}

static void setup(void)
{
    strcpy(dir, "/tmp/test_store.XXXXXX");
    cr_assert(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/db", dir);
    open_store();
}

static void teardown(void)
{
    char command[64];

    store_close(s);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(store, .init = setup, .fini = teardown, .timeout = 20);

static struct dir_record record(uint8_t peer, const char *name, uint64_t epoch, uint64_t seq)
{
    struct dir_record r = {
        .peer = {{peer}           },
        .epoch = epoch,
        .seq = seq,
        .attached = true,
        .profile = { .mapping = NAT_EI, .confidence = 90, .port_hi = 65535},
        .expires_ms = 1000,
    };

    msg_text(r.name, sizeof r.name, name);
    return r;
}

static enum store_status put(uint8_t peer, const char *name, uint64_t epoch, uint64_t seq)
{
    struct dir_record r = record(peer, name, epoch, seq);

    return store_put(s, &r);
}

static enum store_status get(uint8_t peer, int64_t wall_ms, struct dir_record *out)
{
    struct peer_id id = {{peer}};

    return store_get(s, &id, wall_ms, out);
}

Test(store, gives_back_what_was_put_and_after_reopening_too)
{
    struct dir_record r;

    cr_assert_eq(put(1, "alice", 5, 2), STORE_OK);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(get(1, 999, &r), STORE_OK);
        cr_assert(strcmp(r.name, "alice") == 0 && r.epoch == 5 && r.seq == 2 && r.attached);
        cr_assert(r.profile.mapping == NAT_EI && r.profile.port_hi == 65535 &&
                  r.expires_ms == 1000);
        cr_assert_eq(store_get_name(s, "alice", 999, &r), STORE_OK);
        cr_assert_eq(r.peer.b[0], 1);
        reopen();
    }
    cr_assert_eq(get(2, 0, &r), STORE_NOT_FOUND);
    cr_assert_eq(store_get_name(s, "bob", 0, &r), STORE_NOT_FOUND);
}

Test(store, lets_a_record_expire_but_not_its_name)
{
    struct dir_record r;

    put(1, "alice", 5, 2);
    put(2, "", 5, 3);
    cr_assert_eq(get(1, 1000, &r), STORE_OK);
    cr_assert(!r.attached && strcmp(r.name, "alice") == 0);
    cr_assert_eq(get(2, 1000, &r), STORE_NOT_FOUND);
    cr_assert_eq(store_sweep(s, 999, 10), 0);
    cr_assert_eq(store_sweep(s, 1000, 1), 1);
    cr_assert_eq(store_sweep(s, 1000, 10), 1);
    cr_assert_eq(store_get_name(s, "alice", 1000, &r), STORE_OK);
    cr_assert(!r.attached && r.peer.b[0] == 1);
    cr_assert_eq(put(3, "alice", 9, 9), STORE_NAME_TAKEN);
}

Test(store, lets_the_later_fence_win_and_refuses_the_older)
{
    struct dir_record r;

    cr_assert_eq(put(1, "", 5, 2), STORE_OK);
    cr_assert_eq(put(1, "", 5, 2), STORE_OK);
    cr_assert_eq(put(1, "", 5, 1), STORE_STALE);
    cr_assert_eq(put(1, "", 4, 9), STORE_STALE);
    cr_assert_eq(put(1, "", 6, 1), STORE_OK);
    cr_assert_eq(put(1, "", UINT64_MAX, 1), STORE_OK);
    cr_assert_eq(put(1, "", UINT64_MAX - 1, 2), STORE_STALE);
    cr_assert_eq(get(1, 0, &r), STORE_OK);
    cr_assert(r.epoch == UINT64_MAX && r.seq == 1);
}

Test(store, gives_a_name_to_the_first_key_that_claims_it)
{
    struct dir_record r;

    cr_assert_eq(put(1, "alice", 1, 1), STORE_OK);
    cr_assert_eq(put(2, "alice", 1, 2), STORE_NAME_TAKEN);
    cr_assert_eq(get(2, 0, &r), STORE_NOT_FOUND); /* nothing of it was written */
    cr_assert_eq(put(1, "alicia", 1, 3), STORE_OK);
    cr_assert_eq(put(2, "alice", 1, 4), STORE_NAME_TAKEN); /* the first one is still its own */
    cr_assert_eq(put(1, "zoe", 0, 1), STORE_STALE);
    cr_assert_eq(store_get_name(s, "zoe", 0, &r), STORE_NOT_FOUND);
}

static bool count(void *arg, const struct peer_id *peer)
{
    unsigned *n = arg;

    return ++*n < 3 && peer;
}

Test(store, remembers_enrolled_keys)
{
    struct dir_record r;
    unsigned n = 0;

    for (uint8_t i = 1; i <= 2; i++)
        for (int twice = 0; twice < 2; twice++)
            cr_assert_eq(store_put_enrolled(s, &(struct peer_id){{i}}), STORE_OK);
    reopen();
    cr_assert_eq(store_is_enrolled(s, &(struct peer_id){{1}}), STORE_OK);
    cr_assert_eq(store_is_enrolled(s, &(struct peer_id){{9}}), STORE_NOT_FOUND);
    cr_assert_eq(store_list_enrolled(s, count, &n), STORE_OK);
    cr_assert_eq(n, 2);
    cr_assert_eq(get(1, 0, &r), STORE_OK); /* known, though it never attached */
    cr_assert(!r.attached);
}

Test(store, writes_a_group_together)
{
    struct dir_record r;

    cr_assert_eq(store_begin(s), STORE_OK);
    for (uint8_t i = 1; i < 100; i++)
        cr_assert_eq(put(i, "", 1, i), STORE_OK);
    cr_assert_eq(put(1, "", 0, 0), STORE_STALE); /* a refusal takes nothing else with it */
    cr_assert_eq(store_commit(s), STORE_OK);
    cr_assert_eq(store_commit(s), STORE_OK); /* nothing is open: nothing to do */
    reopen();
    cr_assert_eq(get(99, 0, &r), STORE_OK);
}

/* A child puts records and says the number of each that was acknowledged, until it is killed. */
static void put_for_ever(int fd)
{
    open_store();
    for (uint32_t i = 1;; i++) {
        struct dir_record r = record(1, "", 1, i);
        memcpy(r.peer.b + 4, &i, sizeof i);
        if (store_put(s, &r) != STORE_OK || write(fd, &i, sizeof i) != sizeof i)
            _exit(1);
    }
}

Test(store, keeps_what_it_acknowledged_through_kill_9)
{
    int fd[2];
    uint32_t last = 0, i;
    struct dir_record r;

    store_close(s);
    s = NULL;
    cr_assert_eq(pipe(fd), 0);
    pid_t child = fork();
    if (child == 0)
        put_for_ever(fd[1]);
    close(fd[1]);
    while (last < 200 && read(fd[0], &i, sizeof i) == sizeof i)
        last = i;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    while (read(fd[0], &i, sizeof i) == sizeof i)
        last = i;
    cr_assert_geq(last, 200);
    open_store();
    for (i = 1; i <= last; i++) {
        struct peer_id id = {{1}};
        memcpy(id.b + 4, &i, sizeof i);
        cr_assert_eq(store_get(s, &id, 0, &r), STORE_OK, "%u of %u is gone", i, last);
        cr_assert_eq(r.seq, i);
    }
}

static void refuses(const char *file, const char *why)
{
    err[0] = '\0';
    cr_assert_null(store_open(file, err), "%s", file);
    cr_assert(strstr(err, why), "\"%s\" lacks \"%s\"", err, why);
    cr_assert(strstr(err, file));
}

Test(store, refuses_a_file_of_a_newer_version)
{
    sqlite3 *db;

    store_close(s);
    s = NULL;
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    refuses(path, "version 99 is newer than this program's, 2");
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
    char other[64];
    sqlite3 *db;

    snprintf(other, sizeof other, "%s/foreign", dir);
    cr_assert_eq(sqlite3_open(other, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, "CREATE TABLE t (x); PRAGMA user_version = 2", NULL, NULL, NULL),
                 SQLITE_OK);
    sqlite3_close(db);
    refuses(other, "no such table");
}
