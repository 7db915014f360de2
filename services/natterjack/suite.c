/* suite.c - a suite as its parameters describe it: addresses, ports, directory, keys; see suite.h. */
#include "services/natterjack/suite.h"
#include "lib/cage.h"
#include "lib/config.h"
#include "lib/log.h"
#include "lib/peercred.h"
#include "services/natterjack/command.h"
#include "services/natterjack/keyring.h"
#include "services/natterjack/state_dir.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- addresses and ports -------------------------------------------------------------------- */

static bool usable_ip(const char *text, struct addr *out)
{
    static const uint8_t zero[16];

    return addr_parse_ip(text, 0, out) && memcmp(out->ip, zero, out->len) != 0;
}

int suite_parse_ips(const char *text, struct addr *a, struct addr *b)
{
    char first[64];
    const char *comma = strchr(text, ',');
    size_t len = comma ? (size_t)(comma - text) : strlen(text);

    if (len >= sizeof first)
        return usage_error("--public-ip: %s is not an address", text);
    memcpy(first, text, len);
    first[len] = '\0';
    if (!usable_ip(first, a) || (comma && !usable_ip(comma + 1, b)))
        return usage_error("--public-ip: %s is not A or A,B with IP addresses", text);
    if (comma && (a->len != b->len || addr_ip_eq(a, b)))
        return usage_error("--public-ip: the two must be different, and of one family");
    return EXIT_OK;
}

static int check_ports(const struct suite *s)
{
    const uint32_t udp[] = {s->prober_port, s->prober_alt_port, s->relay_port};
    const uint32_t tcp[] = {s->front_port, s->enrol_port};

    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < i; j++)
            if (udp[i] == udp[j])
                return usage_error("UDP port %u is given twice", udp[i]);
    if (tcp[0] == tcp[1])
        return usage_error("TCP port %u is given twice", tcp[0]);
    for (size_t i = 0; i < 5; i++) {
        uint32_t port = i < 3 ? udp[i] : tcp[i - 3];
        if (port < 1 || port > UINT16_MAX)
            return usage_error("%u is not a port", port);
    }
    return EXIT_OK;
}

/* ---- directory and keys --------------------------------------------------------------------- */

/* A directory that is as it should be may lie in a read-only file system. */
static bool make_dir(const char *path)
{
    struct stat st;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return false;
    if (stat(path, &st) != 0)
        return false;
    errno = ENOTDIR;
    return S_ISDIR(st.st_mode) && ((st.st_mode & 07777) == 0700 || chmod(path, 0700) == 0);
}

/* Its members pass through the directories on the way to admin sockets; the rest is closed as ever. */
static int open_to_group(const struct suite *s)
{
    char admin[PATH_MAX];

    if (!config_admin_group())
        return EXIT_OK;
    if (!state_path(s->dir, "admin", admin) || !peercred_give(s->dir) || !peercred_give(admin) ||
        chmod(s->dir, 0710) != 0 || chmod(admin, 0710) != 0)
        return failure("--admin-group %s: %s: %s", config_admin_group(), s->dir, strerror(errno));
    return EXIT_OK;
}

int suite_make_dirs(const struct suite *s)
{
    static const char *const parts[] = {"bus", "admin"};
    char path[PATH_MAX];

    if (mkdir(s->dir, 0700) != 0 && errno != EEXIST)
        return failure("--state %s: %s", s->dir, strerror(errno));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!state_path(s->dir, parts[i], path) || !make_dir(path))
            return failure("%s: %s", path, strerror(errno));
    return open_to_group(s);
}

static void format_join(struct suite *s, const struct keyring *keys)
{
    struct join j = {.n = 1, .front = {s->a}, .enrol = {s->a}};

    j.front[0].port = (uint16_t)s->front_port;
    j.enrol[0].port = (uint16_t)s->enrol_port;
    memcpy(j.coordinator_key, keys->coordinator, sizeof j.coordinator_key);
    memcpy(j.authority, keys->authority, sizeof j.authority);
    memcpy(j.token, keys->token, sizeof j.token);
    join_format(&j, s->join);
}

int suite_keys(struct suite *s)
{
    struct keyring keys;
    char path[PATH_MAX];

    if (!state_path(s->dir, "keys", path) || !keyring_open(path, &s->a, &s->b, &keys))
        return EXIT_FAILED;
    format_join(s, &keys);
    return EXIT_OK;
}

/* ---- parameters ----------------------------------------------------------------------------- */

/* What the parameters hold; those of other sections are the processes' own, which are told the same. */
static struct {
    const char *dir, *public_ip;
    uint32_t prober_port, prober_alt_port, relay_port, front_port, enrol_port;
} flags = {
    .public_ip = "127.0.0.1",
    .prober_port = 3478,
    .prober_alt_port = 3479,
    .relay_port = 3480,
    .front_port = 7440,
    .enrol_port = 7442,
};

/* clang-format off */
static const struct param suite_table[] = {
    {"state",     PARAM_TEXT, &flags.dir,       "DIR  where keys, store and sockets live", PARAM_REQUIRED},
    {"public-ip", PARAM_TEXT, &flags.public_ip, "A[,B]  addresses (127.0.0.1)", 0},
};
static const struct param prober_table[] = {
    {"port",     PARAM_U32, &flags.prober_port,     "PORT  udp (3478)", 0},
    {"alt-port", PARAM_U32, &flags.prober_alt_port, "PORT  udp (3479)", 0},
};
static const struct param relay_table[] = {
    {"port", PARAM_U32, &flags.relay_port, "PORT  udp (3480)", 0},
};
static const struct param coordinator_table[] = {
    {"front-port", PARAM_U32, &flags.front_port, "PORT  tcp (7440)", 0},
    {"enrol-port", PARAM_U32, &flags.enrol_port, "PORT  tcp (7442)", 0},
};
static const struct config_group groups[] = {
    {"suite",       "",        suite_table,       2, false},
    {"prober",      "prober-", prober_table,      2, true},
    {"relay",       "relay-",  relay_table,       1, true},
    {"coordinator", "",        coordinator_table, 2, true},
};
/* clang-format on */

static int check_flags(struct suite *s)
{
    *s =
        (struct suite){flags.dir,        flags.public_ip,  flags.prober_port, flags.prober_alt_port,
                       flags.relay_port, flags.front_port, flags.enrol_port,  .join = ""};
    if (!*s->dir || strlen(s->dir) > STATE_DIR_MAX)
        return usage_error("--state: %s is too long: sockets in it need names under 108 bytes, so "
                           "the directory's own must have 1 to %d",
                           s->dir, STATE_DIR_MAX);
    int status = suite_parse_ips(s->public_ip, &s->a, &s->b);
    return status == EXIT_OK ? check_ports(s) : status;
}

/* Print the whole file: common and suite, and what each process would have, with our flags if we know them. */
static int print_all(struct suite *s)
{
    static struct child all[SUITE_PROCESSES]; /* static, as what their arguments point at */
    int status = flags.dir ? check_flags(s) : EXIT_OK;

    if (status == EXIT_OK)
        status = flags.dir ? suite_plan(s, all) : suite_plan_bare(all);
    if (status != EXIT_OK)
        return status;
    puts("# The parameters of natterjack; docs/configuration.md says how they are read.");
    config_print(stdout);
    for (size_t i = 0; i < SUITE_PROCESSES && status == EXIT_OK; i++) {
        putchar('\n');
        status = suite_run_with(&all[i], "--print-own-config");
    }
    return fflush(stdout) == 0 ? status : EXIT_FAILED;
}

int suite_parse(struct suite *s, const char *usage, int *argc, char **argv)
{
    *argc = config_load(usage, groups, sizeof groups / sizeof *groups, *argc, argv);
    if (config_task() == CONFIG_PRINT)
        exit(print_all(s));
    int status = check_flags(s);
    if (status == EXIT_OK && config_task() == CONFIG_CHECK)
        exit(suite_check(s));
    log_init(argv[0]);
    cage_become(); /* whoever makes files here is whoever reads them */
    return status;
}
