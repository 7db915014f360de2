/* params.c - see params.h. */
#include "lib/params.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_table(FILE *f, const char *usage, const struct param *table, size_t n)
{
    int width = 12;

    fprintf(f, "usage: %s\n", usage);
    for (size_t i = 0; i < n; i++)
        if (table[i].help && (int)strlen(table[i].name) > width)
            width = (int)strlen(table[i].name);
    for (size_t i = 0; i < n; i++) {
        bool is_o = strcmp(table[i].name, "o") == 0; /* the one short flag */
        if (table[i].help)
            fprintf(f, "  %s%-*s %s\n", is_o ? "-" : "--", is_o ? width + 1 : width, table[i].name,
                    table[i].help);
    }
}

__attribute__((noreturn, format(printf, 2, 3))) static void refuse(const char *usage,
                                                                   const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nusage: %s\n", usage);
    exit(2);
}

static bool set_u32(uint32_t *out, const char *text)
{
    char *end;

    if (*text < '0' || *text > '9') /* strtoul takes spaces and signs, and -1 as a large number */
        return false;
    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    if (errno || *end || v > UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool set_seconds(int64_t *out_us, const char *text)
{
    char *end;

    if (text[strspn(text, "0123456789.")] != '\0') /* strtod takes spaces, hex, "inf" and more */
        return false;
    double v = strtod(text, &end);
    if (end == text || *end || !isfinite(v) || v > 1e6)
        return false;
    *out_us = (int64_t)(v * 1e6 + 0.5);
    return true;
}

static bool set_flag(bool *out, const char *text)
{
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0;
}

bool param_set(const struct param *p, char *text)
{
    switch (p->kind) {
    case PARAM_FLAG: return set_flag(p->value, text);
    case PARAM_TEXT: *(const char **)p->value = text; return true;
    case PARAM_U32: return set_u32(p->value, text);
    case PARAM_SECONDS: return set_seconds(p->value, text);
    }
    return false;
}

static const struct param *find(const struct param *table, size_t n, const char *arg, char **value)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(table[i].name);
        if (strncmp(arg, table[i].name, len) == 0 && (arg[len] == '\0' || arg[len] == '=')) {
            *value = arg[len] == '=' ? (char *)(uintptr_t)arg + len + 1 : NULL;
            return &table[i];
        }
    }
    return NULL;
}

int params_read(const char *usage, const struct param *table, size_t n, int argc, char **argv,
                bool given[static PARAMS_MAX])
{
    static char yes[] = "true";
    int kept = 1;
    bool flags = true;

    assert(n <= PARAMS_MAX);
    for (int i = 1; i < argc; i++) {
        char *value, *arg = argv[i];
        if (flags && strcmp(arg, "--") == 0) {
            flags = false;
            continue;
        }
        bool is_o = flags && strcmp(arg, "-o") == 0; /* the one short flag: as --o VALUE */
        if (!flags || arg[0] != '-' || (arg[1] != '-' && !is_o)) {
            argv[kept++] = arg;
            continue;
        }
        if (strcmp(arg, "--help") == 0) {
            print_table(stdout, usage, table, n);
            exit(0);
        }
        const struct param *p = find(table, n, arg + (is_o ? 1 : 2), &value);
        if (!p)
            refuse(usage, "%s: no such flag", arg);
        if (p->kind == PARAM_FLAG && value)
            refuse(usage, "%s: takes no value", arg);
        if (p->kind != PARAM_FLAG && !value) {
            if (++i == argc)
                refuse(usage, "%s: needs a value", arg);
            value = argv[i];
        }
        if (!param_set(p, p->kind == PARAM_FLAG ? yes : value))
            refuse(usage, "--%s: \"%s\" is not a usable value", p->name, value);
        given[p - table] = true;
    }
    return kept;
}

int params_parse(const char *usage, const struct param *table, size_t n, int argc, char **argv)
{
    bool given[PARAMS_MAX] = {false};
    int kept = params_read(usage, table, n, argc, argv, given);

    for (size_t i = 0; i < n; i++)
        if ((table[i].is & PARAM_REQUIRED) && !given[i])
            refuse(usage, "--%s: this flag is required", table[i].name);
    return kept;
}
