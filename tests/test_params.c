/* test_params.c - flags as users type them, right and wrong; the exits are taken by a child. */
#include "lib/params.h"
#include "tests/lib/child.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGS_MAX = 12 };

/* What the flags were set to, and what was left over. */
struct given {
    bool verbose;
    const char *name, *output;
    uint32_t port;
    int64_t timeout_us;
    bool needs_name;
    char rest[256];
};

/* Parse a command line without quoting; an argument "~" is the empty text. */
static void parse(struct given *g, const char *line)
{
    static char copy[512];
    char *argv[ARGS_MAX + 1] = {(char[]){"prog"}};
    int argc = 1;
    const struct param table[] = {
        {"verbose", PARAM_FLAG,    &g->verbose,    "say more",        false        },
        {"name",    PARAM_TEXT,    &g->name,       "NAME  who",       g->needs_name},
        {"port",    PARAM_U32,     &g->port,       "PORT  where",     false        },
        {"timeout", PARAM_SECONDS, &g->timeout_us, "S  how long",     false        },
        {"o",       PARAM_TEXT,    &g->output,     "FORMAT  as what", false        },
        {"secret",  PARAM_FLAG,    &g->verbose,    NULL,              false        },
    };

    snprintf(copy, sizeof copy, "%s", line);
    for (char *save, *a = strtok_r(copy, " ", &save); a; a = strtok_r(NULL, " ", &save)) {
        cr_assert_lt(argc, ARGS_MAX);
        argv[argc++] = strcmp(a, "~") == 0 ? a + 1 : a;
    }
    int kept = params_parse("prog [FLAGS] WHAT", table, sizeof table / sizeof table[0], argc, argv);
    size_t len = 0;
    g->rest[0] = '\0';
    for (int i = 1; i < kept; i++)
        len += (size_t)snprintf(g->rest + len, sizeof g->rest - len, "%s%s", i > 1 ? " " : "",
                                argv[i]);
}

TestSuite(params, .timeout = 30);

Test(params, flags_are_taken_in_both_spellings)
{
    struct given g = {.port = 7, .timeout_us = 1};

    parse(&g, "");
    cr_assert(!g.verbose && !g.name && g.port == 7 && g.timeout_us == 1, "defaults stay");
    cr_assert_str_eq(g.rest, "");
    parse(&g, "--name bob --port=3478 --timeout 1.5 --verbose");
    cr_assert(g.verbose && g.port == 3478 && g.timeout_us == 1500000);
    cr_assert_str_eq(g.name, "bob");
    parse(&g, "--name=a=b --port 0 --timeout=0");
    cr_assert_str_eq(g.name, "a=b");
    cr_assert(g.port == 0 && g.timeout_us == 0);
    parse(&g, "--name= --port 4294967295 --timeout 1000000");
    cr_assert_str_eq(g.name, "");
    cr_assert(g.port == UINT32_MAX && g.timeout_us == INT64_C(1000000000000));
    parse(&g, "--port 1 --port 2"); /* the last word counts */
    cr_assert_eq(g.port, 2);
    parse(&g, "--timeout .25");
    cr_assert_eq(g.timeout_us, 250000);
    parse(&g, "--timeout 0.0000005");
    cr_assert_eq(g.timeout_us, 1);
}

Test(params, the_one_short_flag_takes_its_value_from_the_next_argument)
{
    struct given g = {0};

    parse(&g, "-o json x");
    cr_assert_str_eq(g.output, "json");
    cr_assert_str_eq(g.rest, "x");
    parse(&g, "--o text");
    cr_assert_str_eq(g.output, "text");
}

Test(params, what_is_no_flag_stays_in_order)
{
    struct given g = {0};

    parse(&g, "one --port 5 two --verbose three - ~ four");
    cr_assert_str_eq(g.rest, "one two three -  four");
    parse(&g, "a -- --port --help -o b --");
    cr_assert_str_eq(g.rest, "a --port --help -o b --");
    parse(&g, "--name -- --name --port"); /* a value may look like a flag */
    cr_assert_str_eq(g.name, "--port");
}

struct refusal {
    const char *line, *says;
    bool needs_name;
};

static void parse_in_child(void *arg)
{
    const struct refusal *r = arg;
    struct given g = {.needs_name = r->needs_name};

    parse(&g, r->line);
    printf("taken\n");
}

static struct child child;

/* clang-format off */
static const struct refusal refusals[] = {
    {"--nope", "--nope: no such flag", false},
    {"--", "--name: this flag is required", true},
    {"--por 1", "no such flag", false},
    {"--ports 1", "no such flag", false},
    {"--port-x=1", "no such flag", false},
    {"--=1", "no such flag", false},
    {"--Port 1", "no such flag", false},
    {"--port", "--port: needs a value", false},
    {"-o", "-o: needs a value", false},
    {"--verbose=yes", "takes no value", false},
    {"--help=1", "no such flag", false},
    {"--port=", "not a usable value", false},
    {"--port ~", "not a usable value", false},
    {"--port abc", "--port: \"abc\" is not a usable value", false},
    {"--port 1x", "not a usable value", false},
    {"--port 0x10", "not a usable value", false},
    {"--port -1", "not a usable value", false},
    {"--port +1", "not a usable value", false},
    {"--port 1.0", "not a usable value", false},
    {"--port 4294967296", "not a usable value", false},
    {"--port 99999999999999999999999", "not a usable value", false},
    {"--port -18446744073709551615", "not a usable value", false},
    {"--port \t1", "not a usable value", false},
    {"--port \t-18446744073709551615", "not a usable value", false}, /* strtoul makes it 1 */
    {"--timeout=", "--timeout: \"\" is not a usable value", false},
    {"--timeout .", "not a usable value", false},
    {"--timeout 1.2.3", "not a usable value", false},
    {"--timeout -1", "not a usable value", false},
    {"--timeout -0", "not a usable value", false},
    {"--timeout +1", "not a usable value", false},
    {"--timeout 1s", "not a usable value", false},
    {"--timeout 1,5", "not a usable value", false},
    {"--timeout 0x10", "not a usable value", false},
    {"--timeout 1e3", "not a usable value", false},
    {"--timeout inf", "not a usable value", false},
    {"--timeout nan", "not a usable value", false},
    {"--timeout 1000000.1", "not a usable value", false},
    {"--timeout 99999999999999999999", "not a usable value", false},
    {"--port 1", "this flag is required", true},
    {"bob -- --name x", "this flag is required", true},
};
/* clang-format on */

Test(params, wrong_usage_exits_2_with_a_sentence_on_stderr)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct refusal r = refusals[i];
        cr_assert_eq(child_run(&child, parse_in_child, &r), 2, "%s: %s", r.line, child.out);
        cr_assert(strstr(child.err, r.says), "%s: %s", r.line, child.err);
        cr_assert(strstr(child.err, "usage: prog [FLAGS] WHAT\n"), "%s", child.err);
        cr_assert_str_eq(child.out, "", "%s", r.line);
    }
}

Test(params, help_goes_to_stdout_and_exits_0)
{
    static const char *const lines[] = {"--help", "x --port 5 --help", "--help --nope"};

    for (size_t i = 0; i < 3; i++) {
        struct refusal r = {lines[i], "", true}; /* also when what is required is not given */
        cr_assert_eq(child_run(&child, parse_in_child, &r), 0);
        cr_assert_str_eq(child.err, "");
        cr_assert_eq(strncmp(child.out, "usage: prog [FLAGS] WHAT\n", 25), 0);
        cr_assert(strstr(child.out, "--timeout") && strstr(child.out, "S  how long"));
        cr_assert(!strstr(child.out, "secret"), "hidden flags are not shown");
        cr_assert(!strstr(child.out, "taken"));
    }
}

Test(params, a_help_after_the_wrong_flag_is_too_late)
{
    struct refusal r = {"--nope --help", "", false};

    cr_assert_eq(child_run(&child, parse_in_child, &r), 2);
}
