/* test_known.c - the names that a peer remembers, each with the key that it had. */
#include "services/natterjack/known.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/known-XXXXXX", key[64], file[96];
static struct peer_id bob = {{1}}, mallory = {{2}}, before;

static void open_dir(void)
{
    cr_assert_not_null(tidy_mkdtemp(dir));
    snprintf(key, sizeof key, "%s/alice.key", dir);
    snprintf(file, sizeof file, "%s.known_peers", key);
}

static void close_dir(void)
{
    unlink(file);
    rmdir(dir);
}

TestSuite(known, .init = open_dir, .fini = close_dir, .timeout = 20);

static void write_file(const char *text, mode_t mode)
{
    FILE *f = fopen(file, "we");

    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
    cr_assert_eq(chmod(file, mode), 0);
}

Test(known, a_name_is_remembered_with_its_key_and_a_change_is_told_each_time)
{
    struct stat st;

    cr_assert_eq(known_check(key, "bob", &bob, &before), KNOWN_NEW);
    cr_assert_eq(known_check(key, "bob", &bob, &before), KNOWN_SAME);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(known_check(key, "bob", &mallory, &before), KNOWN_CHANGED);
        cr_assert(peer_id_eq(&before, &bob));
    }
    cr_assert_eq(known_check(key, "bob", &bob, &before), KNOWN_SAME);
    cr_assert_eq(known_check(key, "bo", &mallory, &before), KNOWN_NEW, "another name");
    cr_assert_eq(stat(file, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
}

Test(known, a_line_that_is_removed_lets_the_name_be_learned_anew)
{
    known_check(key, "bob", &bob, &before);
    write_file("", 0600);
    cr_assert_eq(known_check(key, "bob", &mallory, &before), KNOWN_NEW);
}

Test(known, without_a_key_file_nothing_is_remembered)
{
    cr_assert_eq(known_check(NULL, "bob", &bob, &before), KNOWN_UNKEPT);
    cr_assert_neq(access(file, F_OK), 0);
}

Test(known, a_file_that_others_may_touch_or_that_is_none_counts_for_nothing)
{
    write_file("", 0644);
    cr_assert_eq(known_check(key, "bob", &bob, &before), KNOWN_UNKEPT);
    unlink(file);
    cr_assert_eq(symlink("/dev/null", file), 0);
    cr_assert_eq(known_check(key, "bob", &bob, &before), KNOWN_UNKEPT);
}

Test(known, lines_that_are_none_are_passed_over)
{
    char id[PEER_ID_TEXT], text[1024];

    snprintf(text, sizeof text, "\n# note\nbob\nbob nothing\n%0300d\nBOB %s\nbob %s", 7,
             peer_id_format(&mallory, id), id);
    write_file(text, 0600);
    cr_assert_eq(known_check(key, "bob", &mallory, &before), KNOWN_SAME,
                 "though its line ends not");
    cr_assert_eq(known_check(key, "carol", &bob, &before), KNOWN_NEW);
    cr_assert_eq(known_check(key, "carol", &bob, &before), KNOWN_SAME);
    cr_assert_eq(known_check(key, "bob", &mallory, &before), KNOWN_SAME);
}

Test(known, beyond_its_limit_no_new_name_is_remembered_and_the_others_are)
{
    char id[PEER_ID_TEXT], name[16];
    FILE *f = fopen(file, "we");

    for (unsigned i = 0; i < KNOWN_PEERS_MAX; i++)
        fprintf(f, "n%u %s\n", i, peer_id_format(&bob, id));
    fclose(f);
    chmod(file, 0600);
    snprintf(name, sizeof name, "n%u", KNOWN_PEERS_MAX - 1);
    cr_assert_eq(known_check(key, name, &mallory, &before), KNOWN_CHANGED);
    cr_assert_eq(known_check(key, "bob", &bob, &before), KNOWN_UNKEPT);
}
