/* config_common.c - the section `common`, which every program has; see config.h. */
#include "lib/config_common.h"

#include "lib/log.h"
#include "lib/memory.h"
#include "lib/peercred.h"

#include <string.h>

static struct {
    const char *log_level, *log_format, *cage, *user, *admin_group;
    int64_t drain_limit_us;
    uint32_t memory_max_mib;
} common = {.log_level = "info",
            .log_format = "logfmt",
            .cage = "auto",
            .drain_limit_us = INT64_C(300000000),
            .memory_max_mib = MEMORY_MAX_MIB};

/* clang-format off */
static const struct param common_table[] = {
    {"log-level",   PARAM_TEXT,    &common.log_level,      "debug|info|warn  the least that is logged", PARAM_RELOAD},
    {"log-format",  PARAM_TEXT,    &common.log_format,     "logfmt|json  how it is logged", PARAM_RELOAD},
    {"drain-limit", PARAM_SECONDS, &common.drain_limit_us, "S  when told to drain, end after this at the latest", PARAM_RELOAD},
    {"memory-max",  PARAM_U32,     &common.memory_max_mib, "N  MiB in memory: a service that has more ends, to be started again; 0 is any", PARAM_RELOAD},
    {"cage",        PARAM_TEXT,    &common.cage,           "auto|required|off  Landlock and seccomp: what the kernel has, or no start", 0},
    {"user",        PARAM_TEXT,    &common.user,           "NAME  whom to become when root has started it", 0},
    {"admin-group", PARAM_TEXT,    &common.admin_group,    "NAME  whose members may use admin sockets, beside root and the process's own user", 0},
};
/* clang-format on */

static bool group_known; /* looked up once: a caged process can't read that file */

struct config_group config_common_group(void)
{
    return (struct config_group){"common", "", common_table,
                                 sizeof common_table / sizeof *common_table, false};
}

bool config_common_set(char *err)
{
    if (config_cage() == CONFIG_CAGE_OFF && strcmp(common.cage, "off") != 0) {
        snprintf(err, CONFIG_ERROR_MAX, "common.cage: \"%.64s\" is not auto, required or off",
                 common.cage);
        return false;
    }
    if (!log_set_level(common.log_level)) {
        snprintf(err, CONFIG_ERROR_MAX, "common.log-level: \"%.64s\" is not debug, info or warn",
                 common.log_level);
        return false;
    }
    if (!log_set_format(common.log_format)) {
        snprintf(err, CONFIG_ERROR_MAX, "common.log-format: \"%.64s\" is not logfmt or json",
                 common.log_format);
        return false;
    }
    if (!group_known && !peercred_set_group(config_admin_group())) {
        snprintf(err, CONFIG_ERROR_MAX, "common.admin-group: there is no group \"%.64s\"",
                 config_admin_group());
        return false;
    }
    group_known = true;
    return true;
}

enum config_cage config_cage(void)
{
    return strcmp(common.cage, "auto") == 0       ? CONFIG_CAGE_AUTO
           : strcmp(common.cage, "required") == 0 ? CONFIG_CAGE_REQUIRED
                                                  : CONFIG_CAGE_OFF;
}

const char *config_admin_group(void)
{
    return common.admin_group && *common.admin_group ? common.admin_group : NULL;
}

const char *config_user(void) { return common.user && *common.user ? common.user : NULL; }

int64_t config_drain_limit_us(void) { return common.drain_limit_us; }

uint32_t config_memory_max_mib(void) { return common.memory_max_mib; }
