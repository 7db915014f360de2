/* keys.c - see keys.h. */
#include "lib/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Two hex digits a byte; then room for a line end, and for one byte more so that excess is seen. */
enum { TEXT_MAX = 2 * KEY_FILE_BYTES_MAX + 4 };

static void close_keeping_errno(int fd)
{
    int saved_errno = errno;

    close(fd);
    errno = saved_errno;
}

/* Read all of fd, at most cap bytes; -1 with errno. */
static ssize_t read_all(int fd, char *buf, size_t cap)
{
    size_t len = 0;

    while (len < cap) {
        ssize_t got = read(fd, buf + len, cap - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        len += (size_t)got;
    }
    return (ssize_t)len;
}

static bool parse(const char *text, size_t len, void *out, size_t n)
{
    size_t got;

    while (len > 0 && strchr("\r\n", text[len - 1]) && text[len - 1] != '\0')
        len--;
    if (sodium_hex2bin(out, n, text, len, NULL, &got, NULL) == 0 && got == n)
        return true;
    sodium_memzero(out, n);
    errno = EINVAL;
    return false;
}

const char *key_problem(int error)
{
    switch (error) {
    case EACCES: return "it must be readable by its owner only (mode 0600)";
    case EPERM: return "its owner must be the user that this program runs as, or root";
    case EINVAL: return "it does not hold a key";
    default: return strerror(error);
    }
}

/* Who owns it can change it, and its mode. */
static bool owned_well(const struct stat *st) { return st->st_uid == geteuid() || st->st_uid == 0; }

static bool load(const char *path, void *out, size_t n, mode_t forbidden)
{
    char text[TEXT_MAX];
    struct stat st;
    bool ok = false;

    if (n == 0 || n > KEY_FILE_BYTES_MAX) {
        errno = EINVAL;
        return false;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not stop us here */
    if (fd < 0)
        return false;
    if (fstat(fd, &st) != 0)
        ;
    else if (!S_ISREG(st.st_mode))
        errno = EINVAL;
    else if (st.st_mode & forbidden)
        errno = EACCES;
    else if (forbidden && !owned_well(&st))
        errno = EPERM;
    else {
        ssize_t len = read_all(fd, text, sizeof text);
        ok = len >= 0 && parse(text, (size_t)len, out, n);
        sodium_memzero(text, sizeof text);
    }
    close_keeping_errno(fd);
    return ok;
}

bool key_load(const char *path, void *out, size_t n) { return load(path, out, n, 077); }

bool key_load_public(const char *path, void *out, size_t n) { return load(path, out, n, 0); }

static bool write_all(int fd, const char *buf, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, buf, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        buf += put;
        len -= (size_t)put;
    }
    return true;
}

/* Write the key into a new file beside path, whose name goes to temp, and sync it. */
static bool write_temp(const char *path, const void *key, size_t n, int mode, char temp[PATH_MAX])
{
    char text[TEXT_MAX];
    uint64_t suffix;

    if (n == 0 || n > KEY_FILE_BYTES_MAX) {
        errno = EINVAL;
        return false;
    }
    randombytes_buf(&suffix, sizeof suffix);
    int len = snprintf(temp, PATH_MAX, "%s.%016llx", path, (unsigned long long)suffix);
    if (len >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    sodium_bin2hex(text, sizeof text, key, n);
    text[2 * n] = '\n';
    bool ok = write_all(fd, text, 2 * n + 1) && fchmod(fd, (mode_t)mode) == 0 && fsync(fd) == 0;
    sodium_memzero(text, sizeof text);
    close_keeping_errno(fd);
    if (!ok) {
        int saved_errno = errno;
        unlink(temp);
        errno = saved_errno;
    }
    return ok;
}

/* A new name is on the disk when its directory is. */
static bool sync_directory_of(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;

    memcpy(dir, slash ? path : ".", slash ? len : 1);
    dir[slash ? len : 1] = '\0';
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0 || errno == EINVAL; /* EINVAL: a file system without that notion */
    close_keeping_errno(fd);
    return ok;
}

bool key_save(const char *path, const void *key, size_t n, int mode)
{
    char temp[PATH_MAX];

    if (sodium_init() < 0 || !write_temp(path, key, n, mode, temp))
        return false;
    if (rename(temp, path) == 0)
        return sync_directory_of(path);
    int saved_errno = errno;
    unlink(temp);
    errno = saved_errno;
    return false;
}

/* Like key_save, but an existing file wins: link(2) never replaces one. */
static bool save_unless_there(const char *path, const void *key, size_t n)
{
    char temp[PATH_MAX];

    if (!write_temp(path, key, n, 0600, temp))
        return false;
    bool ok = link(temp, path) == 0 || errno == EEXIST;
    int saved_errno = errno;
    unlink(temp);
    errno = saved_errno;
    return ok && sync_directory_of(path);
}

bool key_create_x25519(const char *path, uint8_t secret[static 32], uint8_t public_key[static 32])
{
    if (sodium_init() < 0)
        return false;
    if (!key_load(path, secret, 32)) {
        uint8_t fresh[32];
        if (errno != ENOENT)
            return false;
        randombytes_buf(fresh, sizeof fresh);
        bool saved = save_unless_there(path, fresh, sizeof fresh);
        sodium_memzero(fresh, sizeof fresh);
        if (!saved || !key_load(path, secret, 32))
            return false;
    }
    return crypto_scalarmult_base(public_key, secret) == 0;
}
