/* allowlist_shell.c - see allowlist_shell.h. */
#include "services/coordinator/allowlist_shell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_FIRST = 64 };

struct list {
    struct peer_id *keys;
    size_t n, room;
};

static int by_bytes(const void *a, const void *b) { return memcmp(a, b, sizeof(struct peer_id)); }

/* A key more, or what is wrong with that. */
static const char *add(struct list *l, const struct peer_id *key)
{
    if (l->n == ALLOWLIST_MAX)
        return "there are too many keys";
    if (l->n == l->room) {
        size_t room = l->room ? 2 * l->room : KEYS_FIRST;
        struct peer_id *more = realloc(l->keys, room * sizeof *more);
        if (!more)
            return "there is no memory for so many keys";
        l->keys = more;
        l->room = room;
    }
    l->keys[l->n++] = *key;
    return NULL;
}

/* One line, with its end; what is wrong with it, or NULL. */
static const char *take_line(struct list *l, char *line, size_t len)
{
    struct peer_id key;
    char *at = line;

    if (strlen(line) != len || (len == ALLOWLIST_LINE_MAX - 1 && line[len - 1] != '\n'))
        return "a line is too long, or no text";
    line[strcspn(line, "#\r\n")] = '\0';
    at += strspn(at, " \t");
    size_t word = strcspn(at, " \t");
    if (at[word + strspn(at + word, " \t")] != '\0')
        return "a line has one peer id";
    at[word] = '\0';
    if (word == 0)
        return NULL;
    return peer_id_parse(at, &key) ? add(l, &key) : "this is no peer id";
}

/* Read line by line; the line that is wrong in *line_no. */
static const char *read_all(struct list *l, FILE *f, unsigned *line_no)
{
    char line[ALLOWLIST_LINE_MAX];
    const char *why = NULL;

    for (*line_no = 1; !why; ++*line_no) {
        memset(line, 'x', sizeof line); /* so that the end is found behind a NUL in the file too */
        if (!fgets(line, sizeof line, f))
            break;
        size_t len = sizeof line;
        while (len > 0 && line[len - 1] != '\0')
            len--;
        why = take_line(l, line, len - 1);
    }
    --*line_no;
    return why ? why : ferror(f) ? strerror(errno) : NULL;
}

bool allowlist_load(const char *path, struct peer_id **keys, size_t *n,
                    char err[static ALLOWLIST_ERROR_MAX])
{
    struct list l = {.keys = NULL};
    unsigned line_no = 0;
    FILE *f = fopen(path, "re");

    if (!f) {
        snprintf(err, ALLOWLIST_ERROR_MAX, "%s: %s", path, strerror(errno));
        return false;
    }
    const char *why = read_all(&l, f, &line_no);
    fclose(f);
    if (why) {
        snprintf(err, ALLOWLIST_ERROR_MAX, "%s:%u: %s", path, line_no, why);
        free(l.keys);
        return false;
    }
    if (l.n > 0)
        qsort(l.keys, l.n, sizeof *l.keys, by_bytes);
    *keys = l.keys;
    *n = l.n;
    return true;
}
