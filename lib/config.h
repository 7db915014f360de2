/*
 * config.h - a program's parameters from a file, the environment and flags; read again on request.
 *
 * A parameter NAME of section SECTION is, later ones over earlier ones:
 *
 *   its default
 *   SECTION: {NAME: value} in the YAML file that --config or NATTERJACK_CONFIG names
 *   NATTERJACK_SECTION_NAME in the environment; a PARAM_SECRET's is NATTERJACK_SECTION_NAME_FILE
 *   the flag --NAME
 *
 * All processes of a suite can share one file: each takes its own section and `common`, which every
 * program has.  A key, section or variable that means nothing is an error, as are duplicates, aliases,
 * several documents and a file over CONFIG_FILE_MAX.  Secrets are never values: parameters name the files
 * that hold them, and a file that others may read is refused.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "lib/params.h"

#include <stdio.h>

enum {
    CONFIG_FILE_MAX = 65536,
    CONFIG_VALUE_MAX = 4096,
    CONFIG_GROUPS_MAX = 8,
    CONFIG_ERROR_MAX = 512
};

/* Parameters of one section. */
struct config_group {
    const char *section;
    const char *prefix; /* before the names of their flags: "relay-" or "" */
    const struct param *table;
    size_t n;
    bool partial; /* the section has more of them, which are another program's to check */
};

/*
 * Take what the command line, the environment and the file say.  Returns as params_parse does; prints
 * what is wrong and exits with status 2, or with --help 0.  --print-config prints what would be in force,
 * as a file with comments, and exits with 0, except when a group is partial: see config_print.
 * The tables, and this process's only configuration, live as long as the process.
 */
int config_load(const char *usage, const struct config_group *groups, size_t n, int argc,
                char **argv);

/* What the program was started for: to run; to say what is wrong and end (--check); to print. */
enum config_task { CONFIG_RUN, CONFIG_CHECK, CONFIG_PRINT };
enum config_task config_task(void);

/* The groups that are not partial, `common` first; with --print-own-config without `common`. */
void config_print(FILE *f);

const char *config_path(void); /* of the file, or NULL */

/* Where the parameter with this value has it from. */
enum config_source { CONFIG_DEFAULT, CONFIG_FROM_FILE, CONFIG_FROM_ENVIRONMENT, CONFIG_FROM_FLAG };
enum config_source config_source(const void *value);

/* The parameters of `common`, to hand on what came by flag. */
const struct config_group *config_common(void);

/*
 * Read the file again.  What is PARAM_RELOAD takes its new value; for others that differ a line in the log
 * says that a restart is needed.  False with a sentence in err when the file can't be taken: then
 * nothing has changed.  Logs what came of it.
 */
bool config_reload(char err[static CONFIG_ERROR_MAX]);

/* Is this a file that nobody but its owner may read? */
bool config_is_private(const char *path);

/* common.cage: what lib/cage.h does when the kernel lacks something. */
enum config_cage { CONFIG_CAGE_AUTO, CONFIG_CAGE_REQUIRED, CONFIG_CAGE_OFF };
enum config_cage config_cage(void);

/* common.user and common.admin-group, or NULL. */
const char *config_user(void);
const char *config_admin_group(void);

/* common.drain-limit: a process that is told to drain ends after this at the latest. */
int64_t config_drain_limit_us(void);

/* common.memory-max: what a service may have in memory; 0 is any. */
uint32_t config_memory_max_mib(void);

#endif
