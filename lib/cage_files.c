/* cage_files.c - Landlock: which files and TCP ports a process can still open; see cage.h. */
#include "lib/cage_parts.h"
#include "lib/config.h"
#include "lib/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's linux/landlock.h, up to ABI 6; that of Debian 12 knows ABI 2. */
enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_REMOVE_FILE = 1 << 5,
    FS_MAKE_SOCK = 1 << 9,
    FS_ABI_1 = (1 << 13) - 1,
    FS_REFER = 1 << 13,     /* ABI 2 */
    FS_TRUNCATE = 1 << 14,  /* ABI 3 */
    FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
    FS_OF_FILES = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV,
    NET_BIND_TCP = 1 << 0, /* ABI 4 */
    NET_CONNECT_TCP = 1 << 1,
    SCOPE_ABSTRACT_SOCKETS = 1 << 0, /* ABI 6 */
    SCOPE_SIGNALS = 1 << 1,
    CREATE_VERSION = 1 << 0,
    RULE_PATH = 1,
    RULE_PORT = 2,
};

struct ruleset_attr {
    uint64_t fs, net, scoped; /* net since ABI 4, scoped since ABI 6 */
};

struct path_rule {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

struct port_rule {
    uint64_t allowed, port;
};

static void add_path(int ruleset, const char *path, uint64_t allowed)
{
    struct path_rule rule = {.allowed = allowed};
    struct stat st;

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return; /* what isn't there can't be opened either */
    if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed &= FS_OF_FILES;
    if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH, &rule, 0) != 0)
        die("event=no_cage path=%s why=\"%s\"", path, strerror(errno));
    close(rule.parent_fd);
}

/* The directory that a file is in. */
static void add_beside(int ruleset, const char *file, uint64_t allowed)
{
    char copy[PATH_MAX];

    if (strlen(file) >= sizeof copy)
        die("event=no_cage path=%.64s why=\"too long\"", file);
    strcpy(copy, file);
    add_path(ruleset, dirname(copy), allowed);
}

/* Where a file is that is read again: it may be replaced by another of its name, or be a link. */
static void add_read(int ruleset, const char *path)
{
    char real[PATH_MAX];

    add_beside(ruleset, path, FS_READ_FILE);
    if (realpath(path, real))
        add_beside(ruleset, real, FS_READ_FILE);
}

static void add_use(int ruleset, const struct cage_path *p)
{
    if (!p->path)
        return;
    switch (p->use) {
    case CAGE_READS: add_read(ruleset, p->path); break;
    case CAGE_SOCKETS: add_path(ruleset, p->path, FS_MAKE_SOCK | FS_REMOVE_FILE); break;
    case CAGE_SOCKET: add_beside(ruleset, p->path, FS_MAKE_SOCK | FS_REMOVE_FILE); break;
    case CAGE_DATABASE: add_beside(ruleset, p->path, FS_READ_DIR | FS_REMOVE_FILE); break;
    }
}

static void add_ports(int ruleset, uint64_t allowed, const uint16_t *ports, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct port_rule rule = {allowed, ports[i]};
        if (syscall(SYS_landlock_add_rule, ruleset, RULE_PORT, &rule, 0) != 0)
            die("event=no_cage port=%u why=\"%s\"", ports[i], strerror(errno));
    }
}

static int make_ruleset(long abi)
{
    struct ruleset_attr attr = {.fs = FS_ABI_1};
    size_t size = abi < 4 ? sizeof attr.fs : abi < 6 ? 2 * sizeof attr.fs : sizeof attr;

    attr.fs |=
        (abi >= 2 ? FS_REFER : 0U) | (abi >= 3 ? FS_TRUNCATE : 0U) | (abi >= 5 ? FS_IOCTL_DEV : 0U);
    attr.net = NET_BIND_TCP | NET_CONNECT_TCP;
    attr.scoped = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS;
    return (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
}

/* Of those it was too late for, there must be none. */
static bool alone(void)
{
    struct stat st;

    return stat("/proc/self/task", &st) != 0 || st.st_nlink <= 3;
}

void cage_files(const struct cage_plan *plan)
{
    if (!cage_wanted())
        return;
    assert(alone());
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        die("event=no_cage what=no_new_privs why=\"%s\"", strerror(errno));
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    int ruleset = abi < 1 ? -1 : make_ruleset(abi);
    if (ruleset < 0) {
        cage_missing("Landlock", strerror(errno));
        return;
    }
    for (size_t i = 0; i < plan->n_paths; i++)
        add_use(ruleset, &plan->paths[i]);
    if (config_path())
        add_read(ruleset, config_path());
    add_path(ruleset, "/dev/urandom", FS_READ_FILE);
    if (abi >= 4) {
        add_ports(ruleset, NET_BIND_TCP, plan->listens, plan->n_listens);
        add_ports(ruleset, NET_CONNECT_TCP, plan->connects, plan->n_connects);
    }
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
        die("event=no_cage what=landlock why=\"%s\"", strerror(errno));
    close(ruleset);
    log_info("event=caged files=landlock abi=%ld", abi);
}
