/* config.c - see config.h. */
#include "lib/config.h"

#include "lib/config_common.h"
#include "lib/config_file.h"
#include "lib/log.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_TEXT = 96, OWN_FLAGS = 4 };

union value {
    bool flag;
    const char *text;
    uint32_t u32;
    int64_t us;
};

/* One parameter as it came about. */
struct item {
    const struct config_group *group;
    const struct param *param;
    enum config_source source;
    union value fallback; /* its default */
    char *owned;          /* the text it points to, when that came from the file */
};

/* A process has one configuration. */
static struct {
    const char *usage, *path;
    enum config_task task;
    bool own; /* print without `common`: `up` puts several processes' together */
    struct config_group groups[CONFIG_GROUPS_MAX];
    size_t n_groups;
    struct item items[PARAMS_MAX];
    size_t n;
} config;

__attribute__((format(printf, 1, 2), noreturn)) static void refuse(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nusage: %s\n", config.usage);
    exit(2);
}

/* ---- values ------------------------------------------------------------------------------------------- */

static size_t size_of(enum param_kind kind)
{
    switch (kind) {
    case PARAM_FLAG: return sizeof(bool);
    case PARAM_TEXT: return sizeof(const char *);
    case PARAM_U32: return sizeof(uint32_t);
    case PARAM_SECONDS: return sizeof(int64_t);
    }
    return 0;
}

static union value value_of(const struct param *p)
{
    union value v = {0};

    memcpy(&v, p->value, size_of(p->kind));
    return v;
}

static void put_value(const struct param *p, union value v)
{
    memcpy(p->value, &v, size_of(p->kind));
}

static bool same(enum param_kind kind, union value a, union value b)
{
    if (kind == PARAM_TEXT)
        return a.text && b.text ? strcmp(a.text, b.text) == 0 : a.text == b.text;
    return memcmp(&a, &b, size_of(kind)) == 0;
}

/* What p would be after text; false when text is no value for it. */
static bool parse(const struct param *p, char *text, union value *out)
{
    struct param scratch = *p;

    *out = (union value){0};
    scratch.value = out;
    return param_set(&scratch, text);
}

/* The name of its variable in the environment. */
static const char *variable(const struct item *it, char out[static NAME_TEXT])
{
    const char *name = it->param->name, *last = strrchr(name, '-');
    bool names_file = last && strcmp(last, "-file") == 0;

    snprintf(out, NAME_TEXT, "NATTERJACK_%s_%s%s", it->group->section, name,
             (it->param->is & PARAM_SECRET) && !names_file ? "_FILE" : "");
    for (char *c = out; *c; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    return out;
}

/* ---- flags -------------------------------------------------------------------------------------------- */

static void gather(const struct config_group *groups, size_t n)
{
    assert(n < CONFIG_GROUPS_MAX);
    config.groups[0] = config_common_group();
    memcpy(config.groups + 1, groups, n * sizeof *groups);
    config.n_groups = n + 1;
    config.n = 0;
    for (size_t g = 0; g < config.n_groups; g++)
        for (size_t i = 0; i < config.groups[g].n; i++) {
            const struct param *p = &config.groups[g].table[i];
            assert(config.n < PARAMS_MAX - OWN_FLAGS);
            config.items[config.n++] =
                (struct item){.group = &config.groups[g], .param = p, .fallback = value_of(p)};
        }
}

static int read_flags(int argc, char **argv)
{
    struct param flags[PARAMS_MAX];
    char names[PARAMS_MAX][NAME_TEXT];
    bool given[PARAMS_MAX] = {false}, check = false, print = false;
    size_t n = config.n;

    for (size_t i = 0; i < n; i++) {
        flags[i] = *config.items[i].param;
        snprintf(names[i], NAME_TEXT, "%s%s", config.items[i].group->prefix, flags[i].name);
        flags[i].name = names[i];
    }
    config.path = getenv("NATTERJACK_CONFIG");
    flags[n++] = (struct param){"config", PARAM_TEXT, &config.path,
                                "FILE  take parameters from there ($NATTERJACK_CONFIG)", 0};
    flags[n++] = (struct param){"check", PARAM_FLAG, &check,
                                "  say what is wrong with the parameters, and end", 0};
    flags[n++] = (struct param){"print-config", PARAM_FLAG, &print,
                                "  print what would be in force, as a file, and end", 0};
    flags[n++] = (struct param){"print-own-config", PARAM_FLAG, &config.own, NULL, 0};
    int kept = params_read(config.usage, flags, n, argc, argv, given);
    for (size_t i = 0; i < config.n; i++)
        if (given[i])
            config.items[i].source = CONFIG_FROM_FLAG;
    config.task = print || config.own ? CONFIG_PRINT : check ? CONFIG_CHECK : CONFIG_RUN;
    return kept;
}

/* ---- environment -------------------------------------------------------------------------------------- */

static bool known_variable(const char *name, size_t len)
{
    char known[NAME_TEXT];

    for (size_t i = 0; i < config.n; i++)
        if (strlen(variable(&config.items[i], known)) == len && strncmp(known, name, len) == 0)
            return true;
    return false;
}

/* A variable that begins like one of ours is a mistake when it is none. */
static void refuse_unknown_variables(void)
{
    for (char **e = environ; *e; e++) {
        size_t len = strcspn(*e, "=");
        for (size_t g = 0; g < config.n_groups; g++) {
            char prefix[NAME_TEXT];
            int n = snprintf(prefix, sizeof prefix, "NATTERJACK_%s_", config.groups[g].section);
            if (!config.groups[g].partial && strncasecmp(*e, prefix, (size_t)n) == 0 &&
                !known_variable(*e, len))
                refuse("%.*s: no parameter has this variable", (int)len, *e);
        }
    }
}

static void read_environment(void)
{
    char name[NAME_TEXT];

    refuse_unknown_variables();
    for (size_t i = 0; i < config.n; i++) {
        struct item *it = &config.items[i];
        char *text = getenv(variable(it, name));
        if (!text || it->source == CONFIG_FROM_FLAG)
            continue;
        if (!param_set(it->param, text))
            refuse("%s: \"%s\" is not a usable value", name, text);
        it->source = CONFIG_FROM_ENVIRONMENT;
    }
}

/* ---- the file ----------------------------------------------------------------------------------------- */

static bool wrong(char *err, const struct item *it, const struct config_text *t)
{
    if (t->line)
        snprintf(err, CONFIG_ERROR_MAX, "%s:%u: %s.%s: \"%.64s\" is not a usable value",
                 config.path, t->line, it->group->section, it->param->name, t->text);
    else
        snprintf(err, CONFIG_ERROR_MAX, "%s: %s.%s: \"%.64s\" is not a usable value", config.path,
                 it->group->section, it->param->name, t->text);
    return false;
}

/* What the parameters are by the file, or by default where it is silent. */
static bool read_file(struct config_text *texts, union value *values, char *err)
{
    if (!config_file_read(config.path, config.groups, config.n_groups, texts, err))
        return false;
    for (size_t i = 0; i < config.n; i++) {
        const struct item *it = &config.items[i];
        values[i] = it->fallback;
        if (texts[i].text && !parse(it->param, texts[i].text, &values[i]))
            return wrong(err, it, &texts[i]);
    }
    return true;
}

static void free_texts(struct config_text *texts)
{
    for (size_t i = 0; i < config.n; i++)
        free(texts[i].text);
}

static bool of_the_file(const struct item *it)
{
    return it->source == CONFIG_DEFAULT || it->source == CONFIG_FROM_FILE;
}

/* Make it what the file says; the text goes over to the item. */
static void take(struct item *it, struct config_text *t, union value v)
{
    put_value(it->param, v);
    free(it->owned);
    it->owned = t->text;
    it->source = t->text ? CONFIG_FROM_FILE : CONFIG_DEFAULT;
    t->text = NULL;
}

/* ---- what must hold ------------------------------------------------------------------------------------ */

bool config_is_private(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & 077);
}

/* A file with a secret, where it is there already, is its owner's alone. */
static bool secret_is_safe(const struct item *it, char *err)
{
    const char *path = value_of(it->param).text;

    if (!(it->param->is & PARAM_SECRET) || !path || access(path, F_OK) != 0 ||
        config_is_private(path))
        return true;
    snprintf(err, CONFIG_ERROR_MAX,
             "%s.%s: %s must be a file that only its owner may read (mode 0600)",
             it->group->section, it->param->name, path);
    return false;
}

static void require(void)
{
    char name[NAME_TEXT];

    for (size_t i = 0; i < config.n; i++) {
        const struct item *it = &config.items[i];
        if ((it->param->is & PARAM_REQUIRED) && it->source == CONFIG_DEFAULT)
            refuse("%s is required: as the flag --%s%s, as %s, or as %s.%s in the file",
                   it->param->name, it->group->prefix, it->param->name, variable(it, name),
                   it->group->section, it->param->name);
    }
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

static void load_file(void)
{
    struct config_text texts[PARAMS_MAX];
    union value values[PARAMS_MAX];
    char err[CONFIG_ERROR_MAX];

    if (!config.path)
        return;
    if (!read_file(texts, values, err))
        refuse("%s", err);
    for (size_t i = 0; i < config.n; i++)
        if (of_the_file(&config.items[i]))
            take(&config.items[i], &texts[i], values[i]);
    free_texts(texts);
}

int config_load(const char *usage, const struct config_group *groups, size_t n, int argc,
                char **argv)
{
    char err[CONFIG_ERROR_MAX];
    bool partial = false;

    config.usage = usage;
    gather(groups, n);
    int kept = read_flags(argc, argv);
    read_environment();
    load_file();
    if (!config_common_set(err))
        refuse("%s", err);
    for (size_t i = 0; i < config.n; i++)
        if (!secret_is_safe(&config.items[i], err))
            refuse("%s", err);
    for (size_t i = 0; i < n; i++)
        partial = partial || groups[i].partial;
    if (config.task == CONFIG_PRINT && !partial) {
        config_print(stdout);
        exit(fflush(stdout) == 0 ? 0 : 1);
    }
    if (config.task != CONFIG_PRINT)
        require();
    return kept;
}

static bool reload_file(char *err)
{
    struct config_text texts[PARAMS_MAX];
    union value values[PARAMS_MAX], before[PARAMS_MAX];

    if (!read_file(texts, values, err)) {
        free_texts(texts);
        return false;
    }
    for (size_t i = 0; i < config.n; i++) {
        const struct item *it = &config.items[i];
        before[i] = value_of(it->param);
        if (of_the_file(it) && (it->param->is & PARAM_RELOAD))
            put_value(it->param, values[i]);
    }
    bool ok = config_common_set(err);
    for (size_t i = 0; i < config.n; i++) {
        struct item *it = &config.items[i];
        if (!ok) {
            put_value(it->param, before[i]);
        } else if (!of_the_file(it)) {
            continue;
        } else if (it->param->is & PARAM_RELOAD) {
            take(it, &texts[i], values[i]);
        } else if (!same(it->param->kind, before[i], values[i])) {
            log_warn("event=needs_restart key=%s.%s", it->group->section, it->param->name);
        }
    }
    if (!ok) {
        char again[CONFIG_ERROR_MAX];
        config_common_set(again); /* as it was */
    }
    free_texts(texts);
    return ok;
}

bool config_reload(char err[static CONFIG_ERROR_MAX])
{
    /* Without a file nothing has changed, but for a log level that was set by hand. */
    if (config.path ? !reload_file(err) : !config_common_set(err)) {
        log_warn("event=not_reloaded why=\"%s\"", err);
        return false;
    }
    log_info("event=reloaded file=%s log_level=%s", config.path ? config.path : "-", log_level());
    return true;
}

enum config_task config_task(void) { return config.task; }
const char *config_path(void) { return config.path; }
const struct config_group *config_common(void) { return &config.groups[0]; }

enum config_source config_source(const void *value)
{
    for (size_t i = 0; i < config.n; i++)
        if (config.items[i].param->value == value)
            return config.items[i].source;
    return CONFIG_DEFAULT;
}

void config_print(FILE *f)
{
    const struct config_group *last = NULL;

    for (size_t i = 0; i < config.n; i++) {
        const struct item *it = &config.items[i];
        if (it->group->partial || !it->param->help || (config.own && i < config.groups[0].n))
            continue;
        if (it->group != last)
            fprintf(f, "%s%s:\n", last ? "\n" : "", it->group->section);
        last = it->group;
        config_print_param(f, it->param);
    }
}
