/* config_bed.c - see config_bed.h. */
#include "tests/lib/config_bed.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARGS_MAX = 12 };

char config_bed_dir[] = "/tmp/test_config.XXXXXX", config_bed_file[64], config_bed_secret[64];
struct child config_bed_child;
struct config_bed config_bed;

/* clang-format off */
static const struct param relay_table[] = {
    {"ip",         PARAM_TEXT,    &config_bed.ip,         "IP  to listen on", 0},
    {"port",       PARAM_U32,     &config_bed.port,       "PORT  to listen on", 0},
    {"sessions",   PARAM_U32,     &config_bed.sessions,   "N  at once", PARAM_RELOAD},
    {"open",       PARAM_FLAG,    &config_bed.open,       "  for all", PARAM_RELOAD},
    {"pause",      PARAM_SECONDS, &config_bed.pause_us,   "S  between", PARAM_RELOAD},
    {"key",        PARAM_TEXT,    &config_bed.key,        "FILE  of the key", PARAM_SECRET},
    {"token-file", PARAM_TEXT,    &config_bed.token_file, "FILE  of the token", PARAM_SECRET},
};
static const struct param prober_table[] = {
    {"port", PARAM_U32, &config_bed.prober_port, "PORT  of the prober", PARAM_REQUIRED},
};
/* clang-format on */

static const struct config_group groups[] = {
    {"relay",  "",        relay_table,  sizeof relay_table / sizeof *relay_table, false},
    {"prober", "prober-", prober_table, 1,                                        true },
};

void config_bed_open(void)
{
    cr_assert(tidy_mkdtemp(config_bed_dir));
    snprintf(config_bed_file, sizeof config_bed_file, "%s/natterjack.yml", config_bed_dir);
    snprintf(config_bed_secret, sizeof config_bed_secret, "%s/secret", config_bed_dir);
}

void config_bed_close(void)
{
    unlink(config_bed_file);
    unlink(config_bed_secret);
    rmdir(config_bed_dir);
}

void config_bed_write_bytes(const char *path, const char *text, size_t n, mode_t mode)
{
    FILE *f = fopen(path, "w");

    cr_assert(f && fwrite(text, 1, n, f) == n && fclose(f) == 0);
    cr_assert_eq(chmod(path, mode), 0);
}

void config_bed_write(const char *text)
{
    config_bed_write_bytes(config_bed_file, text, strlen(text), 0644);
}

int config_bed_load(size_t n_groups, const char *line)
{
    static char copy[512];
    char *argv[ARGS_MAX + 1] = {(char[]){"prog"}};
    int argc = 1;

    config_bed.ip = "0.0.0.0";
    config_bed.port = 1;
    config_bed.prober_port = 5;
    config_bed.sessions = 10;
    config_bed.open = false;
    config_bed.pause_us = 1500000;
    config_bed.key = config_bed.token_file = NULL;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *save, *a = strtok_r(copy, " ", &save); a; a = strtok_r(NULL, " ", &save))
        argv[argc++] = a;
    return config_load("prog", groups, n_groups, argc, argv);
}

const char *config_bed_line(const char *more)
{
    static char line[256];

    snprintf(line, sizeof line, "--config %s %s", config_bed_file, more);
    return line;
}
