/* test_log.c - log lines in both forms, with hostile text in their values. */
#include "lib/log.h"
#include "lib/rng.h"
#include "tests/lib/child.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct child child;

TestSuite(logs, .timeout = 30);

struct job {
    const char *format, *level, *text;
};

static void one_line(void *arg)
{
    const struct job *job = arg;

    log_init("test");
    cr_assert(log_set_format(job->format));
    log_warn("event=refused session=%s why=\"it said %s\" n=%d", "00ff", job->text, 7);
}

static const char *line_of(const char *format, const char *text)
{
    struct job job = {format, "info", text};

    cr_assert_eq(child_run(&child, one_line, &job), 0);
    cr_assert_str_eq(child.out, "");
    return child.err;
}

Test(logs, a_logfmt_line_has_the_fields_of_its_format)
{
    const char *line = line_of("logfmt", "no");

    cr_assert_eq(strncmp(line, "ts=20", 5), 0, "%s", line);
    cr_assert(
        strstr(line, "Z level=warn svc=test event=refused session=00ff why=\"it said no\" n=7\n"),
        "%s", line);
}

Test(logs, a_json_line_has_the_same_fields_in_the_same_order)
{
    const char *line = line_of("json", "no");

    cr_assert(strstr(line,
                     "Z\",\"level\":\"warn\",\"svc\":\"test\",\"event\":\"refused\",\"session\":"
                     "\"00ff\",\"why\":\"it said no\",\"n\":\"7\"}\n"),
              "%s", line);
}

static const char *const hostile[] = {
    "\" n=8 event=ready x=\"",
    "a b=c",
    "line\nts=2000 level=fatal",
    "\x1e"
    "event\x1f"
    "forged",
    "\x1f",
    "\x1e\x1e\x1e",
    "\\",
    "\\\"",
    "\xff\xfe",
    "\xc0\xaf",
    "\xed\xa0\x80",
    "\xe2\x82",
    "caf\xc3\xa9",
    "\x7f\x01\x1b[2J",
    "%s%n%d",
    "",
};

/* The line is one, its fields are ours alone, and session and event are what the caller said. */
static void check_json(const char *text)
{
    json_error_t why;
    const char *line = line_of("json", text), *key;
    json_t *v, *o = json_loads(line, JSON_REJECT_DUPLICATES, &why);

    cr_assert(o, "%s: %s", why.text, line);
    cr_assert_str_eq(strchr(line, '\n'), "\n", "one line: %s", line);
    cr_assert_str_eq(json_string_value(json_object_get(o, "event")), "refused");
    json_object_foreach(o, key, v)
    {
        cr_assert(json_is_string(v));
        cr_assert(strstr("ts level svc event session why n text", key), "%s: %s", key, line);
    }
    json_decref(o);
}

static void check_logfmt(const char *text)
{
    const char *line = line_of("logfmt", text);
    bool quoted = false, escaped = false;
    unsigned fields = 1;

    cr_assert_str_eq(strchr(line, '\n'), "\n", "one line: %s", line);
    for (const char *c = line; *c != '\n'; c++) {
        cr_assert((unsigned char)*c >= 0x20 && *c != 0x7f);
        fields += !quoted && *c == ' ';
        quoted ^= *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
    }
    cr_assert(!quoted, "%s", line);
    cr_assert(fields == 7 || (fields == 5 && strstr(line, " text=")), "%u: %s", fields, line);
}

Test(logs, hostile_text_forges_neither_a_line_nor_a_field)
{
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        check_json(hostile[i]);
        check_logfmt(hostile[i]);
    }
}

Test(logs, random_bytes_of_any_length_are_one_well_formed_line)
{
    struct rng r;
    char text[3000];

    rng_seed(&r, 4);
    for (unsigned i = 0; i < 100; i++) {
        uint64_t n = rng_below(&r, i % 4 ? 60 : sizeof text - 1);
        rng_bytes(&r, (uint8_t *)text, n);
        for (uint64_t k = 0; k < n; k++)
            text[k] = text[k] ? text[k] : 'x';
        text[n] = '\0';
        check_json(text);
        check_logfmt(text);
    }
}

static void all_levels(void *arg)
{
    if (!log_set_level(arg))
        exit(3);
    log_debug("event=a");
    log_info("event=b");
    log_warn("event=c");
    die("event=d");
}

Test(logs, a_level_hides_what_is_below_it)
{
    static const struct {
        const char *level, *shown;
    } rows[] = {
        {"debug", "abcd"},
        {"info",  "bcd" },
        {"warn",  "cd"  },
    };

    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(child_run(&child, all_levels, (void *)(uintptr_t)rows[i].level), 1);
        for (char c = 'a'; c <= 'd'; c++) {
            char event[] = "event=?";
            event[6] = c;
            cr_assert_eq(strstr(child.err, event) != NULL, strchr(rows[i].shown, c) != NULL,
                         "%s %c", rows[i].level, c);
        }
    }
    cr_assert_eq(child_run(&child, all_levels, (char[]){"fatal"}), 3);
    cr_assert_eq(child_run(&child, all_levels, (char[]){""}), 3);
    cr_assert(!log_set_format("xml") && !log_set_format(""));
}

static void many_lines(void *arg, int fd)
{
    (void)arg;
    dup2(fd, STDERR_FILENO);
    log_init("test");
    for (int i = 0; i < 20000; i++)
        log_warn("event=noise n=%d", i);
    _exit(0);
}

Test(logs, a_reader_that_stalls_stops_nobody)
{
    child_start(&child, many_lines, NULL);
    siginfo_t info;
    cr_assert_eq(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0,
                 "and nothing was read");
    cr_assert_eq(info.si_status, 0);
    cr_assert_eq(child_wait(&child), 0);
}
