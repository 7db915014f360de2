/* command.c - see command.h. */
#include "services/natterjack/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool output_json(const char *o)
{
    if (strcmp(o, "json") == 0)
        return true;
    if (strcmp(o, "text") != 0)
        exit(usage_error("-o takes json or text, not \"%s\"", o));
    return false;
}

static void say(const char *fmt, va_list ap)
{
    fputs("natterjack: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

int usage_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    return EXIT_USAGE;
}

int failure(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    return EXIT_FAILED;
}
