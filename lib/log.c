/* log.c - see log.h. */
#include "lib/log.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LIMITED_PER_S = 10, FORMAT_MAX = 512, TEXT_MAX = 1536, LINE_MAX_BYTES = 4096 };

_Static_assert(LINE_MAX_BYTES <= PIPE_BUF, "a line goes into a pipe whole");

/* What stands in a format between fields, and between a field's name and its value, while it is filled in. */
enum { FIELD = '\x1e', VALUE = '\x1f' };

enum level { DEBUG, INFO, WARN, FATAL };
static const char *const level_name[] = {"debug", "info", "warn", "fatal"};

static const char *svc = "?";
static enum level least = INFO;
static bool json;

/* ---- a format's fields, filled in -------------------------------------------------------------- */

/* Mark in a copy of fmt where fields and values begin; returns how many marks. */
static unsigned mark(const char *fmt, char out[static FORMAT_MAX])
{
    bool quoted = false, named = false;
    unsigned marks = 0;
    size_t n = 0;

    for (; *fmt && n < FORMAT_MAX - 1; fmt++) {
        char c = *fmt;
        if (c == '"') {
            quoted = !quoted;
            continue;
        }
        if (!quoted && (c == ' ' || (c == '=' && !named))) {
            named = c == '=';
            c = named ? VALUE : FIELD;
            marks++;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return marks;
}

static unsigned count_marks(const char *text)
{
    unsigned n = 0;

    for (; *text; text++)
        n += *text == FIELD || *text == VALUE;
    return n;
}

/* ---- the two forms ------------------------------------------------------------------------------ */

static size_t put(char *line, size_t n, char c)
{
    if (n < LINE_MAX_BYTES - 1)
        line[n++] = c;
    return n;
}

static size_t put_value(char *line, size_t n, const char *value)
{
    bool quote = !*value || strpbrk(value, " \"=\\");

    if (quote)
        n = put(line, n, '"');
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            n = put(line, n, '\\');
        n = put(line, n, iscntrl((unsigned char)*value) ? '?' : *value);
    }
    return quote ? put(line, n, '"') : n;
}

static void add_logfmt(void *to, const char *name, const char *value)
{
    char *line = to;
    size_t n = strlen(line);

    if (n > 0)
        n = put(line, n, ' ');
    while (*name)
        n = put(line, n, *name++);
    n = put(line, n, '=');
    line[put_value(line, n, value)] = '\0';
}

static void add_json(void *to, const char *name, const char *value)
{
    char ascii[TEXT_MAX];
    size_t n = 0;

    if (json_object_set_new(to, name, json_string(value)) == 0)
        return;
    for (; *value && n < sizeof ascii - 1; value++) /* it is not UTF-8 */
        ascii[n++] = (unsigned char)*value < 0x80 ? *value : '?';
    ascii[n] = '\0';
    json_object_set_new(to, name, json_string(ascii));
}

/* Take marked text apart. */
static void add_fields(char *text, void (*add)(void *to, const char *, const char *), void *to)
{
    char *rest = text;

    while (rest && *rest) {
        char *name = rest, *end = strchr(rest, FIELD);
        rest = end ? end + 1 : NULL;
        if (end)
            *end = '\0';
        char *value = strchr(name, VALUE);
        if (value)
            *value++ = '\0';
        add(to, value ? name : "text", value ? value : name);
    }
}

static void stamp(char out[static 32])
{
    struct timespec ts;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    size_t n = strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03dZ", (int)(ts.tv_nsec / 1000000));
}

/*
 * Write one line, unless whoever reads the log doesn't: a pipe that is full would stop the process, and with
 * it every session.  What was left out is counted, and said when there is room again.
 */
static void write_line(const char *text)
{
    static unsigned lost;
    struct pollfd p = {STDERR_FILENO, POLLOUT, 0};

    if (poll(&p, 1, 0) ==
        0) { /* a pipe with room takes PIPE_BUF bytes at once: a line is shorter */
        lost++;
        return;
    }
    if (lost > 0)
        fprintf(
            stderr,
            json ? "{\"level\":\"warn\",\"svc\":\"%s\",\"event\":\"log_lost\",\"lines\":\"%u\"}\n"
                 : "level=warn svc=%s event=log_lost lines=%u\n",
            svc, lost);
    lost = 0;
    fprintf(stderr, "%s\n", text);
}

/* One line at a time: a process may have several threads that log. */
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;

static void print(enum level level, char *fields)
{
    void (*add)(void *to, const char *, const char *) = json ? add_json : add_logfmt;
    char time[32], line[LINE_MAX_BYTES] = "";
    json_t *object = json ? json_object() : NULL;
    void *to = json ? (void *)object : line;

    stamp(time);
    add(to, "ts", time);
    add(to, "level", level_name[level]);
    add(to, "svc", svc);
    add_fields(fields, add, to);
    char *text = json ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER) : line;
    pthread_mutex_lock(&writing);
    write_line(text ? text : "{}");
    pthread_mutex_unlock(&writing);
    if (json) {
        free(text);
        json_decref(object);
    }
}

static void say(enum level level, const char *fmt, va_list ap)
{
    int saved_errno = errno;
    char marked[FORMAT_MAX], text[TEXT_MAX];
    va_list again;

    if (level < least)
        return;
    va_copy(again, ap);
    unsigned marks = mark(fmt, marked);
    vsnprintf(text, sizeof text, marked, ap);
    if (count_marks(text) != marks) { /* an argument holds a mark, or is too long: one field */
        size_t n = strcspn(fmt, " ");
        snprintf(text, sizeof text, "%.*s%ctext%c", (int)n, marked, FIELD, VALUE);
        size_t head = strlen(text);
        vsnprintf(text + head, sizeof text - head, fmt, again);
        for (char *c = text + head; *c; c++)
            if (*c == FIELD || *c == VALUE)
                *c = '?';
    }
    va_end(again);
    print(level, text);
    errno = saved_errno;
}

/* ---- in front of it ------------------------------------------------------------------------------ */

void log_init(const char *service) { svc = service; }

bool log_set_level(const char *name)
{
    for (unsigned i = DEBUG; i <= WARN; i++)
        if (strcmp(name, level_name[i]) == 0) {
            least = (enum level)i;
            return true;
        }
    return false;
}

bool log_set_format(const char *name)
{
    if (strcmp(name, "json") != 0 && strcmp(name, "logfmt") != 0)
        return false;
    json = *name == 'j';
    return true;
}

const char *log_level(void) { return level_name[least]; }

void log_debug(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(DEBUG, fmt, ap);
    va_end(ap);
}

void log_info(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(INFO, fmt, ap);
    va_end(ap);
}

void log_warn(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(WARN, fmt, ap);
    va_end(ap);
}

void log_limited(const char *fmt, ...)
{
    static _Thread_local time_t second;
    static _Thread_local unsigned n, suppressed;
    va_list ap;
    time_t now = time(NULL);

    if (now != second) {
        if (suppressed > 0)
            log_warn("event=suppressed lines=%u", suppressed);
        second = now;
        n = suppressed = 0;
    }
    if (n++ >= LIMITED_PER_S) {
        suppressed++;
        return;
    }
    va_start(ap, fmt);
    say(WARN, fmt, ap);
    va_end(ap);
}

void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(FATAL, fmt, ap);
    va_end(ap);
    fflush(NULL);
    _exit(1);
}
