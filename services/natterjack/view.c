/* view.c - see view.h. */
#include "services/natterjack/view.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16, COLUMNS_MAX = 32, INDENT = 2, KEY_MAX = 64, CELL_MAX = 4096 };

/* C0, DEL, and C1 in UTF-8 (C2 80 to C2 9F), which terminals take for the beginning of commands. */
static void clean(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (iscntrl(*c))
            *c = '?';
        else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
            c[0] = c[1] = '?';
}

static const char *name_text(const char *key, char buf[KEY_MAX])
{
    snprintf(buf, KEY_MAX, "%s", key);
    clean(buf);
    return buf;
}

/* A value on one line, into buf. */
static const char *cell(json_t *v, char buf[CELL_MAX])
{
    char *dump = NULL;

    switch (json_typeof(v)) {
    case JSON_STRING: snprintf(buf, CELL_MAX, "%s", json_string_value(v)); break;
    case JSON_INTEGER: snprintf(buf, CELL_MAX, "%lld", (long long)json_integer_value(v)); break;
    case JSON_REAL: snprintf(buf, CELL_MAX, "%.3f", json_real_value(v)); break;
    case JSON_TRUE: return "yes";
    case JSON_FALSE: return "no";
    case JSON_NULL: return "-";
    case JSON_OBJECT:
    case JSON_ARRAY:
        dump = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
        snprintf(buf, CELL_MAX, "%s", dump ? dump : "?");
        free(dump);
        break;
    }
    clean(buf);
    return *buf ? buf : "-";
}

static bool table_like(json_t *v)
{
    return json_is_array(v) && json_is_object(json_array_get(v, 0));
}

static void print_table(FILE *f, json_t *rows, int indent)
{
    const char *column[COLUMNS_MAX], *key;
    char name[KEY_MAX];
    size_t width[COLUMNS_MAX], n = 0, i;
    char buf[CELL_MAX];
    json_t *row, *v;

    json_object_foreach(json_array_get(rows, 0), key, v)
    {
        if (n == COLUMNS_MAX)
            break;
        column[n] = key;
        width[n++] = strlen(name_text(key, name));
    }
    json_array_foreach(rows, i, row)
    {
        for (size_t c = 0; c < n; c++) {
            v = json_object_get(row, column[c]);
            size_t len = v ? strlen(cell(v, buf)) : 1;
            width[c] = len > width[c] ? len : width[c];
        }
    }
    /* The last column is not padded: no blanks at line ends. */
    fprintf(f, "%*s", indent, "");
    for (size_t c = 0; c < n; c++)
        fprintf(f, "%-*s%s", c + 1 < n ? (int)width[c] : 0, name_text(column[c], name),
                c + 1 < n ? "  " : "\n");
    json_array_foreach(rows, i, row)
    {
        fprintf(f, "%*s", indent, "");
        for (size_t c = 0; c < n; c++) {
            v = json_object_get(row, column[c]);
            fprintf(f, "%-*s%s", c + 1 < n ? (int)width[c] : 0, v ? cell(v, buf) : "-",
                    c + 1 < n ? "  " : "\n");
        }
    }
}

static void print_value(FILE *f, json_t *value, int depth);

static void print_object(FILE *f, json_t *object, int depth)
{
    const char *key;
    char buf[CELL_MAX], name[KEY_MAX];
    json_t *v;
    int width = 0;

    json_object_foreach(object, key, v)
    {
        int len = (int)strlen(name_text(key, name));
        width = len > width ? len : width;
    }
    json_object_foreach(object, key, v)
    {
        name_text(key, name);
        bool below = (json_is_object(v) && json_object_size(v) > 0) || table_like(v);
        if (below && depth < DEPTH_MAX) {
            fprintf(f, "%*s%s\n", depth * INDENT, "", name);
            print_value(f, v, depth + 1);
        } else {
            fprintf(f, "%*s%-*s  %s\n", depth * INDENT, "", width, name, cell(v, buf));
        }
    }
}

static void print_value(FILE *f, json_t *value, int depth)
{
    char buf[CELL_MAX];
    size_t i;
    json_t *v;

    if (table_like(value))
        print_table(f, value, depth * INDENT);
    else if (json_is_object(value))
        print_object(f, value, depth);
    else if (json_is_array(value)) {
        json_array_foreach(value, i, v) { fprintf(f, "%*s%s\n", depth * INDENT, "", cell(v, buf)); }
        if (json_array_size(value) == 0)
            fprintf(f, "%*snone\n", depth * INDENT, "");
    } else
        fprintf(f, "%*s%s\n", depth * INDENT, "", cell(value, buf));
}

void view_print(FILE *f, json_t *value) { print_value(f, value, 0); }

void view_story(FILE *f, json_t *explanation)
{
    print_value(f, json_object_get(explanation, "story"), 0);
}

void view_sessions(FILE *f, json_t *sessions)
{
    static const char *const shown[] = {"session",   "state",   "initiator", "target",  "path",
                                        "technique", "verdict", "policy",    "attempts"};
    json_t *rows = json_array(), *one;
    size_t i;

    json_array_foreach(sessions, i, one)
    {
        json_t *row = json_object();
        for (size_t k = 0; k < sizeof shown / sizeof *shown; k++)
            json_object_set(row, shown[k], json_object_get(one, shown[k]));
        json_object_set_new(
            row, "age_s", json_integer(json_integer_value(json_object_get(one, "age_ms")) / 1000));
        json_array_append_new(rows, row);
    }
    print_value(f, rows, 0);
    json_decref(rows);
}
