/* config_file.c - see config_file.h. */
#include "lib/config_file.h"

#include <assert.h>
#include <ctype.h>
#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* All sections there are: a program skips those of others. */
static const char *const sections[] = {"common",     "suite",       "prober",
                                       "classifier", "coordinator", "relay"};
enum { SECTIONS = sizeof sections / sizeof *sections };

/* Brackets may nest this deep: libyaml takes quadratic time for it, 20 s for a file full of them. */
enum { NESTING_MAX = 32 };

struct file {
    const char *path;
    char *err;
    char text[CONFIG_FILE_MAX + 2];
    size_t len;
    char complaint[256]; /* libcyaml's first */
    unsigned line;       /* the first line number in its messages after that */
};

static bool refuse(const struct file *f, const char *why)
{
    snprintf(f->err, CONFIG_ERROR_MAX, "%s: %s", f->path, why);
    return false;
}

/* Counts brackets in quotes too, but not in comments that are lines of their own. */
static bool too_deep(const char *text)
{
    int depth = 0;

    for (const char *c = text; *c; c++) {
        if (c == text || c[-1] == '\n') {
            const char *word = c + strspn(c, " ");
            if (*word == '#')
                c = word + strcspn(word, "\n");
            if (!*c)
                break;
        }
        depth += (*c == '[' || *c == '{') - (*c == ']' || *c == '}');
        if (depth > NESTING_MAX)
            return true;
    }
    return false;
}

static bool read_text(struct file *f)
{
    struct stat st;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not stop us here */
    ssize_t got = 0;

    if (fd < 0)
        return refuse(f, strerror(errno));
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    while (regular && f->len <= CONFIG_FILE_MAX &&
           (got = read(fd, f->text + f->len, CONFIG_FILE_MAX + 1 - f->len)) > 0)
        f->len += (size_t)got;
    close(fd);
    if (!regular)
        return refuse(f, "not a regular file");
    if (got < 0)
        return refuse(f, "can't be read");
    if (f->len > CONFIG_FILE_MAX)
        return refuse(f, "larger than 65536 bytes");
    f->text[f->len] = '\0';
    if (strlen(f->text) != f->len)
        return refuse(f, "holds a byte of value 0");
    return !too_deep(f->text) || refuse(f, "nests brackets deeper than 32");
}

/* ---- where a key is --------------------------------------------------------------------------------- */

static bool names(const char *line, const char *key)
{
    size_t len = strlen(key);

    line += strspn(line, " \"'");
    return strncmp(line, key, len) == 0 && line[len + strspn(line + len, "\"' ")] == ':';
}

/* The first line from `line` on that begins with this key; 0 when none does, as in one-line mappings. */
static unsigned line_with(const struct file *f, unsigned line, const char *key)
{
    unsigned at = 1;

    for (const char *c = f->text; c && *c; at++) {
        if (at >= line && names(c, key))
            return at;
        c = strchr(c, '\n');
        c = c ? c + 1 : NULL;
    }
    return 0;
}

/* ---- libcyaml ------------------------------------------------------------------------------------------ */

static void *allocate(void *ctx, void *p, size_t n)
{
    (void)ctx;
    if (n > 0)
        return realloc(p, n);
    free(p);
    return NULL;
}

/* Its messages: what is wrong, a word, and then from the inside out where, with line numbers. */
static void on_message(cyaml_log_t level, void *ctx, const char *fmt, va_list ap)
{
    struct file *f = ctx;
    char text[sizeof f->complaint];
    const char *line;

    (void)level;
    vsnprintf(text, sizeof text, fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    line = strstr(text, "(line: ");
    if (f->line == 0 && line)
        f->line = (unsigned)strtoul(line + strlen("(line: "), NULL, 10);
    if (!f->complaint[0] && !line && !strstr(text, "Backtrace"))
        snprintf(f->complaint, sizeof f->complaint, "%s",
                 strncmp(text, "Load: ", 6) == 0 ? text + 6 : text);
}

static bool complain(struct file *f, cyaml_err_t status)
{
    static const char unknown[] = "Unexpected key: ";
    const char *why = f->complaint[0] ? f->complaint : cyaml_strerror(status);
    const char *key = strncmp(why, unknown, strlen(unknown)) == 0 ? why + strlen(unknown) : NULL;
    unsigned line = key ? line_with(f, f->line, key) : f->line;

    snprintf(f->err, CONFIG_ERROR_MAX, "%s:%u: %c%s", f->path, line ? line : f->line,
             tolower((unsigned char)why[0]), why + 1);
    return false;
}

/* What libcyaml is to expect: the sections as pointers to arrays of texts. */
struct schema {
    cyaml_schema_field_t top[SECTIONS + 1];
    cyaml_schema_field_t fields[CONFIG_GROUPS_MAX][PARAMS_MAX + 1];
    cyaml_schema_value_t root;
};

static const struct config_group *group_of(const char *section, const struct config_group *groups,
                                           size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(groups[i].section, section) == 0)
            return &groups[i];
    return NULL;
}

static void describe_group(struct schema *s, cyaml_schema_field_t *top,
                           const struct config_group *g, size_t at)
{
    assert(at < CONFIG_GROUPS_MAX && g->n <= PARAMS_MAX);
    for (size_t i = 0; i < g->n; i++)
        s->fields[at][i] = (cyaml_schema_field_t){
            .key = g->table[i].name,
            .data_offset = (uint32_t)(i * sizeof(char *)),
            .value = {.type = CYAML_STRING,
                      .flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                      .data_size = 1,
                      .string = {0, CONFIG_VALUE_MAX}},
        };
    top->data_offset = (uint32_t)(at * sizeof(void *));
    top->value = (cyaml_schema_value_t){
        .type = CYAML_MAPPING,
        .flags =
            CYAML_FLAG_POINTER_NULL_STR | CYAML_FLAG_OPTIONAL, /* "relay:" and no more is fine */
        .data_size = (uint32_t)(g->n * sizeof(char *)),
        .mapping = {s->fields[at]},
    };
}

/* Either the groups that are whole, or those that are partial; other sections are skipped. */
static void describe(struct schema *s, const struct config_group *groups, size_t n, bool partial)
{
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < SECTIONS; i++) {
        const struct config_group *g = group_of(sections[i], groups, n);
        s->top[i].key = sections[i];
        if (g && g->partial == partial)
            describe_group(s, &s->top[i], g, (size_t)(g - groups));
        else
            s->top[i].value =
                (cyaml_schema_value_t){.type = CYAML_IGNORE, .flags = CYAML_FLAG_OPTIONAL};
    }
    s->root = (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                     .flags = CYAML_FLAG_POINTER,
                                     .data_size = CONFIG_GROUPS_MAX * sizeof(void *),
                                     .mapping = {s->top}};
}

/* Take over what was loaded. */
static void collect(const struct file *f, char **const *loaded, const struct config_group *groups,
                    size_t n, struct config_text *out)
{
    for (size_t g = 0; g < n; out += groups[g++].n)
        for (size_t i = 0; loaded[g] && i < groups[g].n; i++)
            if (loaded[g][i]) {
                unsigned section = line_with(f, 1, groups[g].section);
                out[i].text = strdup(loaded[g][i]);
                out[i].line = section ? line_with(f, section, groups[g].table[i].name) : 0;
            }
}

static bool load(struct file *f, const struct config_group *groups, size_t n, bool partial,
                 struct config_text *out)
{
    static struct schema schema; /* static: large, and there is one file at a time */
    const cyaml_config_t how = {
        .log_fn = on_message,
        .log_ctx = f,
        .log_level = CYAML_LOG_WARNING,
        .mem_fn = allocate,
        .flags = CYAML_CFG_NO_ALIAS | (partial ? CYAML_CFG_IGNORE_UNKNOWN_KEYS : 0),
    };
    char ***loaded = NULL;

    describe(&schema, groups, n, partial);
    cyaml_err_t status = cyaml_load_data((const uint8_t *)f->text, f->len, &how, &schema.root,
                                         (cyaml_data_t **)(void *)&loaded, NULL);
    if (status == CYAML_OK && !f->complaint[0] && loaded)
        collect(f, loaded, groups, n, out);
    cyaml_free(&how, &schema.root, loaded, 0);
    return (status == CYAML_OK && !f->complaint[0]) || complain(f, status);
}

bool config_file_read(const char *path, const struct config_group *groups, size_t n,
                      struct config_text *out, char err[static CONFIG_ERROR_MAX])
{
    static struct file f;
    size_t n_out = 0;
    bool partial = false;

    memset(&f, 0, sizeof f);
    f.path = path;
    f.err = err;
    for (size_t i = 0; i < n; i++) {
        n_out += groups[i].n;
        partial = partial || groups[i].partial;
    }
    memset(out, 0, n_out * sizeof *out);
    bool ok = read_text(&f) && load(&f, groups, n, false, out) &&
              (!partial || load(&f, groups, n, true, out));
    for (size_t i = 0; i < n_out && !ok; i++) {
        free(out[i].text);
        out[i] = (struct config_text){0};
    }
    return ok;
}
