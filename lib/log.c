/* log.c - see log.h. */
#include "lib/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LIMITED_PER_S = 10 };

static const char *svc = "?";
static bool quiet;

static void line(const char *level, const char *fmt, va_list ap)
{
    int saved_errno = errno;
    char text[768];
    struct timespec ts;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    vsnprintf(text, sizeof text, fmt, ap);
    for (char *c = text; *c; c++) /* text may quote a peer; it must not forge a line */
        if (iscntrl((unsigned char)*c))
            *c = '?';
    fprintf(stderr, "ts=%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ level=%s svc=%s %s\n",
            tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
            ts.tv_nsec / 1000000, level, svc, text);
    errno = saved_errno;
}

void log_init(const char *service) { svc = service; }
void log_quiet(void) { quiet = true; }

void log_info(const char *fmt, ...)
{
    va_list ap;

    if (quiet)
        return;
    va_start(ap, fmt);
    line("info", fmt, ap);
    va_end(ap);
}

void log_warn(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    line("warn", fmt, ap);
    va_end(ap);
}

void log_limited(const char *fmt, ...)
{
    static time_t second;
    static unsigned n, suppressed;
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
    line("warn", fmt, ap);
    va_end(ap);
}

void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    line("fatal", fmt, ap);
    va_end(ap);
    exit(1);
}
