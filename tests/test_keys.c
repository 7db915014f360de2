/* test_keys.c - key files: exactness, modes, replacement, and what is refused. */
#include "lib/keys.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/test_keys.XXXXXX";

static const char *path(const char *name)
{
    static char buf[128];

    snprintf(buf, sizeof buf, "%s/%s", dir, name);
    return buf;
}

static void setup(void) { cr_assert(tidy_mkdtemp(dir)); }

static int entries(void)
{
    DIR *d = opendir(dir);
    int n = 0;

    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void teardown(void)
{
    DIR *d = opendir(dir);

    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(dir);
}

TestSuite(keys, .init = setup, .fini = teardown, .timeout = 20);

static void put(const char *name, const char *text, mode_t mode)
{
    int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
}

static void expect_refused(const char *name, size_t n, int error)
{
    uint8_t out[KEY_FILE_BYTES_MAX + 1];

    errno = 0;
    cr_assert_not(key_load(path(name), out, n));
    cr_assert_eq(errno, error, "%s: %s", name, strerror(errno));
}

Test(keys, a_key_comes_back_as_it_was_saved)
{
    uint8_t key[KEY_FILE_BYTES_MAX], back[KEY_FILE_BYTES_MAX];

    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(i * 7);
    for (size_t n = 1; n <= sizeof key; n++) {
        memset(back, 0, sizeof back);
        cr_assert(key_save(path("k"), key, n, 0600));
        cr_assert(key_load(path("k"), back, n));
        cr_assert_eq(memcmp(key, back, n), 0);
    }
    cr_assert_eq(entries(), 1, "no temporary file stays");
}

Test(keys, is_saved_with_the_mode_asked_for)
{
    struct stat st;

    umask(077);
    cr_assert(key_save(path("k"), "abcd", 4, 0644));
    cr_assert_eq(stat(path("k"), &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0644);
    cr_assert_eq(st.st_size, 9);
}

Test(keys, a_secret_that_others_may_touch_is_refused)
{
    uint8_t out[4];

    for (mode_t bit = 01; bit < 0100; bit <<= 1) {
        put("k", "61626364\n", 0600 | bit);
        expect_refused("k", 4, EACCES);
        cr_assert(key_load_public(path("k"), out, 4));
    }
    put("k", "61626364\n", 0400);
    cr_assert(key_load(path("k"), out, 4));
    cr_assert_eq(memcmp(out, "abcd", 4), 0);
}

Test(keys, only_exactly_n_bytes_of_hex_are_a_key)
{
    static const char *const bad[] = {
        "",           "\n",       "616263",    "6162636",   "616263646",
        "6162636465", "6162636g", " 61626364", "61 626364", "61626364\n61626364\n",
        "0x616263",
    };
    uint8_t out[4];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put("k", bad[i], 0600);
        expect_refused("k", 4, EINVAL);
    }
    put("k", "6162636A\r\n", 0600);
    cr_assert(key_load(path("k"), out, 4));
    put("k", "6162636a", 0600);
    cr_assert(key_load(path("k"), out, 4));
    cr_assert_eq(memcmp(out, "abcj", 4), 0);
}

Test(keys, what_is_no_file_is_refused_without_waiting)
{
    expect_refused("none", 4, ENOENT);
    cr_assert_eq(mkfifo(path("fifo"), 0600), 0);
    expect_refused("fifo", 4, EINVAL);
    cr_assert_eq(mkdir(path("d"), 0700), 0);
    expect_refused("d", 4, EINVAL);
    cr_assert_eq(rmdir(path("d")), 0);
}

Test(keys, a_length_past_the_limit_is_refused)
{
    uint8_t big[KEY_FILE_BYTES_MAX + 1] = {0};

    cr_assert_not(key_save(path("k"), big, sizeof big, 0600));
    cr_assert_not(key_save(path("k"), big, 0, 0600));
    put("k", "00\n", 0600);
    expect_refused("k", sizeof big, EINVAL);
    expect_refused("k", 0, EINVAL);
}

Test(keys, a_failed_save_leaves_the_old_key_and_nothing_else)
{
    uint8_t out[4];

    cr_assert_eq(mkdir(path("k"), 0700), 0);
    cr_assert_not(key_save(path("k"), "abcd", 4, 0600), "a directory is in the way");
    cr_assert_eq(entries(), 1);
    cr_assert_eq(rmdir(path("k")), 0);
    cr_assert(key_save(path("k"), "abcd", 4, 0600));
    cr_assert_not(key_save(path("k/under"), "efgh", 4, 0600));
    cr_assert(key_load(path("k"), out, 4));
    cr_assert_eq(memcmp(out, "abcd", 4), 0);
}

Test(keys, an_x25519_key_is_created_once_and_then_kept)
{
    uint8_t secret[32], public_key[32], again[32], expected[32];
    struct stat st;

    cr_assert(key_create_x25519(path("k"), secret, public_key));
    cr_assert_eq(stat(path("k"), &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(crypto_scalarmult_base(expected, secret), 0);
    cr_assert_eq(memcmp(public_key, expected, 32), 0);
    cr_assert(key_create_x25519(path("k"), again, public_key));
    cr_assert_eq(memcmp(secret, again, 32), 0);
    cr_assert_eq(memcmp(public_key, expected, 32), 0);
}

Test(keys, a_broken_or_open_key_file_is_not_replaced)
{
    uint8_t secret[32], public_key[32];
    struct stat st;

    put("k", "broken\n", 0600);
    cr_assert_not(key_create_x25519(path("k"), secret, public_key));
    cr_assert_eq(errno, EINVAL);
    cr_assert(key_save(path("k"), "abcdefghabcdefghabcdefghabcdefgh", 32, 0640));
    cr_assert_not(key_create_x25519(path("k"), secret, public_key));
    cr_assert_eq(errno, EACCES);
    cr_assert_eq(stat(path("k"), &st), 0);
    cr_assert_eq(st.st_size, 65);
}

Test(keys, of_several_creators_all_get_one_key)
{
    enum { CREATORS = 8, ROUNDS = 20 };

    for (int round = 0; round < ROUNDS; round++) {
        uint8_t first[32], got[32];
        int fd[2], go[2];

        cr_assert(pipe(fd) == 0 && pipe(go) == 0);
        for (int i = 0; i < CREATORS; i++)
            if (fork() == 0) {
                uint8_t secret[32], public_key[32];
                char c;
                bool ok = read(go[0], &c, 1) == 1 &&
                          key_create_x25519(path("k"), secret, public_key) &&
                          write(fd[1], public_key, 32) == 32;
                _exit(!ok);
            }
        cr_assert_eq(write(go[1], "gogogogo", CREATORS), CREATORS);
        for (int i = 0; i < CREATORS; i++) {
            int status;
            cr_assert(wait(&status) > 0 && status == 0);
            cr_assert_eq(read(fd[0], i == 0 ? first : got, 32), 32);
            cr_assert(i == 0 || memcmp(first, got, 32) == 0);
        }
        cr_assert_eq(entries(), 1);
        unlink(path("k"));
        close(fd[0]), close(fd[1]), close(go[0]), close(go[1]);
    }
}
