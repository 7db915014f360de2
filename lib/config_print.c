/* config_print.c - a parameter as it stands in a file: what it is for, its name, its value. */
#include "lib/config_file.h"

#include <ctype.h>
#include <inttypes.h>

static void print_text(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            fprintf(f, "\\%c", *text);
        else if (iscntrl((unsigned char)*text))
            fprintf(f, "\\x%02x", (unsigned char)*text);
        else
            fputc(*text, f);
    fputc('"', f);
}

static void print_seconds(FILE *f, int64_t us)
{
    fprintf(f, "%" PRId64, us / 1000000);
    if (us % 1000000)
        fprintf(f, ".%06d", (int)(us % 1000000));
}

void config_print_param(FILE *f, const struct param *p)
{
    const char *words = p->kind == PARAM_TEXT ? *(const char *const *)p->value : NULL;
    bool unset = p->kind == PARAM_TEXT && !words;

    fprintf(f, "  # %s%s%s%s\n", p->help, p->is & PARAM_REQUIRED ? "; required" : "",
            p->is & PARAM_SECRET ? "; mode 0600" : "", p->is & PARAM_RELOAD ? "; reloads" : "");
    fprintf(f, "  %s%s:", unset ? "# " : "", p->name);
    if (!unset)
        fputc(' ', f);
    switch (p->kind) {
    case PARAM_FLAG: fputs(*(const bool *)p->value ? "true" : "false", f); break;
    case PARAM_TEXT:
        if (words)
            print_text(f, words);
        break;
    case PARAM_U32: fprintf(f, "%" PRIu32, *(const uint32_t *)p->value); break;
    case PARAM_SECONDS: print_seconds(f, *(const int64_t *)p->value); break;
    }
    fputc('\n', f);
}
