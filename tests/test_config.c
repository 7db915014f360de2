/* test_config.c - parameters from file, environment and flags: who wins, and what is refused. */
#include "lib/config.h"
#include "lib/log.h"
#include "tests/lib/child.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARGS_MAX = 12 };

static char dir[] = "/tmp/test_config.XXXXXX", file[64], secret[64];
static struct child child;

/* What the program under test knows. */
static struct {
    const char *ip, *key, *token_file, *prober_ip;
    uint32_t port, prober_port, sessions;
    bool open;
    int64_t pause_us;
} conf;

/* clang-format off */
static const struct param relay_table[] = {
    {"ip",         PARAM_TEXT,    &conf.ip,         "IP  to listen on", 0},
    {"port",       PARAM_U32,     &conf.port,       "PORT  to listen on", 0},
    {"sessions",   PARAM_U32,     &conf.sessions,   "N  at once", PARAM_RELOAD},
    {"open",       PARAM_FLAG,    &conf.open,       "  for all", PARAM_RELOAD},
    {"pause",      PARAM_SECONDS, &conf.pause_us,   "S  between", PARAM_RELOAD},
    {"key",        PARAM_TEXT,    &conf.key,        "FILE  of the key", PARAM_SECRET},
    {"token-file", PARAM_TEXT,    &conf.token_file, "FILE  of the token", PARAM_SECRET},
};
static const struct param prober_table[] = {
    {"port", PARAM_U32, &conf.prober_port, "PORT  of the prober", PARAM_REQUIRED},
};
/* clang-format on */

static const struct config_group groups[] = {
    {"relay",  "",        relay_table,  sizeof relay_table / sizeof *relay_table, false},
    {"prober", "prober-", prober_table, 1,                                        true },
};

static void setup(void)
{
    cr_assert(tidy_mkdtemp(dir));
    snprintf(file, sizeof file, "%s/natterjack.yml", dir);
    snprintf(secret, sizeof secret, "%s/secret", dir);
}

static void teardown(void)
{
    unlink(file);
    unlink(secret);
    rmdir(dir);
}

TestSuite(config, .init = setup, .fini = teardown, .timeout = 60);

static void write_bytes(const char *path, const char *text, size_t n, mode_t mode)
{
    FILE *f = fopen(path, "w");

    cr_assert(f && fwrite(text, 1, n, f) == n && fclose(f) == 0);
    cr_assert_eq(chmod(path, mode), 0);
}

static void write_file(const char *text) { write_bytes(file, text, strlen(text), 0644); }

/* Load as if the command line were this; the number of groups is 2 with the partial one. */
static int load(size_t n_groups, const char *line)
{
    static char copy[512];
    char *argv[ARGS_MAX + 1] = {(char[]){"prog"}};
    int argc = 1;

    conf.ip = "0.0.0.0";
    conf.port = 1;
    conf.prober_port = 5;
    conf.sessions = 10;
    conf.open = false;
    conf.pause_us = 1500000;
    conf.key = conf.token_file = NULL;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *save, *a = strtok_r(copy, " ", &save); a; a = strtok_r(NULL, " ", &save))
        argv[argc++] = a;
    return config_load("prog", groups, n_groups, argc, argv);
}

static const char *with_file(const char *more)
{
    static char line[256];

    snprintf(line, sizeof line, "--config %s %s", file, more);
    return line;
}

/* ---- who wins ----------------------------------------------------------------------------------------- */

static void one_combination(void *arg)
{
    unsigned given = *(unsigned *)arg;
    static const char *const source[] = {"1", "22", "333", "4444"};
    unsigned winner = given & 4 ? 3 : given & 2 ? 2 : given & 1 ? 1 : 0;

    write_file(given & 1 ? "relay:\n  port: 22\n" : "# nothing\n");
    if (given & 2)
        setenv("NATTERJACK_RELAY_PORT", "333", 1);
    load(1, with_file(given & 4 ? "--port 4444" : ""));
    cr_assert_eq(conf.port, (uint32_t)atoi(source[winner]), "%u: %u", given, conf.port);
    cr_assert_eq(config_source(&conf.port), winner);
    cr_assert_eq(config_source(&conf.ip), CONFIG_DEFAULT);
}

Test(config, a_flag_wins_over_the_environment_over_the_file_over_the_default)
{
    for (unsigned given = 0; given < 8; given++)
        cr_assert_eq(child_run(&child, one_combination, &given), 0, "%u %s", given, child.err);
}

Test(config, every_kind_is_taken_from_the_file)
{
    write_file(
        "# a comment\nrelay:\n  ip: \"::1\"\n  port: 7\n  sessions: 8\n  open: true\n"
        "  pause: 0.25\n  token-file: /nowhere\nprober:\n  port: 9\n  anything: [1, {a: b}]\n"
        "coordinator: {x: y}\n");
    cr_assert_eq(load(2, with_file("")), 1);
    cr_assert_str_eq(conf.ip, "::1");
    cr_assert(conf.port == 7 && conf.sessions == 8 && conf.open && conf.pause_us == 250000);
    cr_assert_str_eq(conf.token_file, "/nowhere");
    cr_assert_eq(conf.prober_port, 9);
}

Test(config, every_kind_is_taken_from_the_environment)
{
    setenv("NATTERJACK_RELAY_IP", "::1", 1);
    setenv("NATTERJACK_RELAY_OPEN", "true", 1);
    setenv("NATTERJACK_RELAY_PAUSE", "2", 1);
    setenv("NATTERJACK_RELAY_TOKEN_FILE", "/nowhere", 1);
    setenv("NATTERJACK_RELAY_KEY_FILE", "/no/key", 1);
    setenv("NATTERJACK_PROBER_PORT", "9", 1);
    setenv("NATTERJACK_COMMON_LOG_LEVEL", "warn", 1);
    load(2, "");
    cr_assert_str_eq(conf.ip, "::1");
    cr_assert(conf.open && conf.pause_us == 2000000 && conf.prober_port == 9);
    cr_assert_str_eq(conf.token_file, "/nowhere");
    cr_assert_str_eq(conf.key, "/no/key");
    cr_assert_str_eq(log_level(), "warn");
}

Test(config, the_environment_may_name_the_file)
{
    write_file("relay:\n  port: 7\n");
    setenv("NATTERJACK_CONFIG", file, 1);
    load(1, "");
    cr_assert_eq(conf.port, 7);
    cr_assert_str_eq(config_path(), file);
}

Test(config, flags_of_another_section_have_a_prefix)
{
    load(2, "--prober-port 77 --port 78 rest");
    cr_assert(conf.prober_port == 77 && conf.port == 78);
}

/* ---- what is refused ---------------------------------------------------------------------------------- */

static void load_file(void *arg) { load(arg ? 2 : 1, with_file("")); }

/* clang-format off */
static const struct {
    const char *text, *says;
} wrong[] = {
    {"relay:\n  port: 7\n  prot: 8\n", "natterjack.yml:3: unexpected key: prot"},
    {"relay: {port: 7, prot: 8}\n", "natterjack.yml:1: unexpected key: prot"},
    {"relay:\n  port: 7\nrealy:\n  port: 8\n", "natterjack.yml:3: unexpected key: realy"},
    {"common:\n  log_level: info\n", "natterjack.yml:2: unexpected key: log_level"},
    {"common:\n  log-level: loud\n", "common.log-level: \"loud\" is not"},
    {"common:\n  log-format: xml\n", "common.log-format: \"xml\" is not"},
    {"relay:\n  ip: x\n  port: seven\n", "natterjack.yml:3: relay.port: \"seven\" is not a usable value"},
    {"relay:\n  port: -1\n", "natterjack.yml:2: relay.port: "},
    {"relay:\n  port: 0x10\n", "relay.port: "},
    {"relay:\n  port: 4294967296\n", "relay.port: "},
    {"relay:\n  port:\n", "relay.port: \"\""},
    {"relay:\n  port: ~\n", "relay.port: "},
    {"relay:\n  open: yes\n", "relay.open: "},
    {"relay:\n  pause: 1e3\n", "relay.pause: "},
    {"relay:\n  port: [1, 2]\n", "natterjack.yml:2: expecting STRING"},
    {"relay:\n  port: {a: b}\n", "natterjack.yml:2: expecting STRING"},
    {"relay: 7\n", "natterjack.yml:1: expecting MAPPING"},
    {"relay:\n- 7\n", "expecting MAPPING"},
    {"- relay\n", "expecting MAPPING"},
    {"relay\n", "expecting MAPPING"},
    {"relay:\n  port: 1\n  port: 2\n", "natterjack.yml:2: mapping field already seen: port"},
    {"relay:\n  port: 1\nrelay:\n  ip: x\n", "already seen: relay"},
    {"relay:\n  port: 1\n---\nrelay:\n  ip: x\n", "documents after first"},
    {"relay: &a\n  port: 1\nprober: *a\n", "alias"},
    {"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n", "unexpected key: a"},
    {"prober:\n  a: &a [x,x,x,x,x]\n  b: &b [*a,*a,*a,*a,*a]\n  c: &c [*b,*b,*b,*b,*b]\n", "alias"},
    {"relay:\n\tport: 1\n", "natterjack.yml:1: "},
    {"relay: {port: 1\n", "natterjack.yml:1: "},
    {"relay: \"\n", "natterjack.yml:1: "},
    {"relay:\n  ip: \xff\xfe\n", "natterjack.yml:"},
    {"relay:\n  ip: \x01\n", "natterjack.yml:"},
    {"%YAML 9.9\n---\nrelay: {}\n", "natterjack.yml:"},
};
/* clang-format on */

Test(config, a_file_that_means_nothing_is_refused_with_file_line_and_key)
{
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_file(wrong[i].text);
        cr_assert_eq(child_run(&child, load_file, NULL), 2, "%s", wrong[i].text);
        cr_assert(strstr(child.err, wrong[i].says), "%s%s", wrong[i].text, child.err);
        cr_assert(strstr(child.err, "usage: prog"), "%s", child.err);
        cr_assert_str_eq(child.out, "");
    }
}

static void load_nothing(void *arg)
{
    (void)arg;
    load(1, with_file(""));
    printf("%u", conf.port);
}

Test(config, an_empty_file_and_an_empty_section_say_nothing)
{
    static const char *const empty[] = {"", "# x\n", "relay:\n", "relay: {}\n",
                                        "relay:\n  # port: 3\n"};

    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        write_file(empty[i]);
        cr_assert_eq(child_run(&child, load_nothing, NULL), 0, "%s%s", empty[i], child.err);
        cr_assert_str_eq(child.out, "1");
    }
}

Test(config, a_file_that_is_too_large_too_deep_or_no_file_is_refused_soon)
{
    size_t large = 10 << 20;
    char *text = malloc(large);

    memset(text, '#', large);
    write_bytes(file, text, large, 0644);
    cr_assert_eq(child_run(&child, load_nothing, NULL), 2);
    cr_assert(strstr(child.err, "larger than 65536 bytes"), "%s", child.err);
    write_bytes(file, text, CONFIG_FILE_MAX, 0644);
    cr_assert_eq(child_run(&child, load_nothing, NULL), 0, "%s", child.err);
    write_bytes(file, text, CONFIG_FILE_MAX + 1, 0644);
    cr_assert_eq(child_run(&child, load_nothing, NULL), 2);
    memcpy(text, "prober: ", 8);
    memset(text + 8, '[', CONFIG_FILE_MAX - 8);
    write_bytes(file, text, CONFIG_FILE_MAX, 0644);
    cr_assert_eq(child_run(&child, load_nothing, NULL), 2);
    cr_assert(strstr(child.err, "nests brackets deeper than 32"), "%s", child.err);
    for (size_t i = 8; i < CONFIG_FILE_MAX; i += 2)
        memcpy(text + i, "- ", 2);
    write_bytes(file, text, CONFIG_FILE_MAX, 0644);
    cr_assert_eq(child_run(&child, load_nothing, NULL), 2);
    memset(text, '#', CONFIG_FILE_MAX); /* a comment is none */
    memset(text + 1, '[', 100);
    write_bytes(file, text, CONFIG_FILE_MAX, 0644);
    cr_assert_eq(child_run(&child, load_nothing, NULL), 0, "%s", child.err);
    memcpy(text, "relay: {ip: ", 12);
    memset(text + 12, 'x', CONFIG_VALUE_MAX + 1);
    memcpy(text + 12 + CONFIG_VALUE_MAX + 1, "}\n", 2);
    write_bytes(file, text, 12 + CONFIG_VALUE_MAX + 3, 0644);
    cr_assert_eq(child_run(&child, load_nothing, NULL), 2);
    write_bytes(file, "relay:\0 {}\n", 11, 0644);
    cr_assert_eq(child_run(&child, load_nothing, NULL), 2);
    cr_assert(strstr(child.err, "byte of value 0"), "%s", child.err);
    free(text);
    unlink(file);
    cr_assert_eq(child_run(&child, load_nothing, NULL), 2);
    cr_assert(strstr(child.err, "No such file"), "%s", child.err);
    cr_assert_eq(mkfifo(file, 0600), 0);
    cr_assert_eq(child_run(&child, load_nothing, NULL), 2);
    cr_assert(strstr(child.err, "not a regular file"), "%s", child.err);
}

static void load_line(void *arg) { load(2, arg); }

static void load_with_variable(void *arg)
{
    putenv(arg);
    load(2, "--prober-port 1");
}

Test(config, a_variable_that_means_nothing_is_refused)
{
    static char bad[][48] = {"NATTERJACK_RELAY_PROT=1",     "NATTERJACK_RELAY_PORT=x",
                             "NATTERJACK_RELAY_PORT=",      "NATTERJACK_RELAY_KEY=/a/path",
                             "NATTERJACK_RELAY_port=1",     "NATTERJACK_COMMON_LOG_LEVEL=x",
                             "NATTERJACK_RELAY_IP_FILE=/x", "NATTERJACK_RELAY_=1"};
    static char good[][48] = {"NATTERJACK_PROBER_KEY_FILE=/x", "NATTERJACK_COORDINATOR_X=1",
                              "NATTERJACK_RELAY_PORT=0", "NATTERJACK_READY_FD=9"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(child_run(&child, load_with_variable, bad[i]), 2, "%s", bad[i]);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert_eq(child_run(&child, load_with_variable, good[i]), 0, "%s%s", good[i], child.err);
}

Test(config, what_is_required_and_nowhere_given_is_refused_in_all_its_spellings)
{
    cr_assert_eq(child_run(&child, load_line, (char[]){"--port 1"}), 2);
    cr_assert(strstr(child.err, "--prober-port, as NATTERJACK_PROBER_PORT, or as prober.port"),
              "%s", child.err);
    cr_assert_eq(child_run(&child, load_line, (char[]){"--prober-port 1"}), 0);
    write_file("prober:\n  port: 6\n");
    cr_assert_eq(child_run(&child, load_file, (char[]){"2"}), 0, "%s", child.err);
}

Test(config, a_file_with_a_secret_is_for_its_owner_alone)
{
    static const struct {
        mode_t mode;
        int status;
    } rows[] = {
        {0600, 0},
        {0400, 0},
        {0640, 2},
        {0604, 2},
        {0620, 2},
        {0601, 2}
    };
    char line[128], variable[128];

    snprintf(line, sizeof line, "--prober-port 1 --key %s", secret);
    snprintf(variable, sizeof variable, "NATTERJACK_RELAY_TOKEN_FILE=%s", secret);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_bytes(secret, "x", 1, rows[i].mode);
        cr_assert_eq(child_run(&child, load_line, line), rows[i].status, "%o", rows[i].mode);
        cr_assert(rows[i].status == 0 || strstr(child.err, "relay.key: "), "%s", child.err);
        cr_assert_eq(child_run(&child, load_with_variable, variable), rows[i].status);
    }
    snprintf(line, sizeof line, "--prober-port 1 --key %s", dir);
    cr_assert_eq(child_run(&child, load_line, line), 2, "a directory is no file");
}

/* ---- printing ----------------------------------------------------------------------------------------- */

static void print(void *arg) { load(1, arg); }

Test(config, what_is_printed_is_a_file_that_means_the_same)
{
    char first[CHILD_TEXT_MAX];

    cr_assert_eq(
        child_run(&child, print,
                  (char[]){"--print-config --ip a\"b\\c#:\x01 --port 7 --open --pause 0.000001"}),
        0, "%s", child.err);
    cr_assert(strstr(child.out, "common:\n  # debug|info|warn"), "%s", child.out);
    cr_assert(strstr(child.out, "relay:\n  # IP  to listen on\n  ip: \"a\\\"b\\\\c#:\\x01\"\n"),
              "%s", child.out);
    cr_assert(strstr(child.out, "  pause: 0.000001\n") && strstr(child.out, "  open: true\n"));
    cr_assert(strstr(child.out, "\n  # FILE  of the key; mode 0600\n  # key:\n"), "%s", child.out);
    memcpy(first, child.out, sizeof first);
    write_file(first);
    cr_assert_eq(child_run(&child, print, (void *)(uintptr_t)with_file("--print-config")), 0, "%s",
                 child.err);
    cr_assert_str_eq(child.out, first);
}

Test(config, a_task_is_what_the_program_was_started_for)
{
    load(1, "--check");
    cr_assert_eq(config_task(), CONFIG_CHECK);
    load(1, "");
    cr_assert_eq(config_task(), CONFIG_RUN);
    load(2, "--print-config");
    cr_assert_eq(config_task(), CONFIG_PRINT, "with a partial group the program goes on");
}

/* ---- reading it again ----------------------------------------------------------------------------------- */

Test(config, a_reload_takes_what_may_change_and_nothing_else)
{
    char err[CONFIG_ERROR_MAX] = "";

    write_file("relay:\n  port: 7\n  sessions: 8\n  ip: x\ncommon:\n  log-level: warn\n");
    load(1, with_file(""));
    write_file("relay:\n  port: 9\n  sessions: 88\n  open: true\n  pause: 3\ncommon:\n  log-level: "
               "debug\n");
    cr_assert(config_reload(err), "%s", err);
    cr_assert(conf.sessions == 88 && conf.open && conf.pause_us == 3000000);
    cr_assert_str_eq(log_level(), "debug");
    cr_assert_eq(conf.port, 7);
    cr_assert_str_eq(conf.ip, "x");
    write_file("# all gone\n");
    cr_assert(config_reload(err), "%s", err);
    cr_assert(conf.sessions == 10 && !conf.open && conf.pause_us == 1500000, "defaults again");
    cr_assert_str_eq(log_level(), "info");
}

Test(config, a_reload_that_fails_changes_nothing)
{
    static const char *const bad[] = {
        "relay:\n  sessions: many\n",
        "relay:\n  sessions: 9\n  nope: 1\n",
        "relay:\n  sessions: 9\ncommon:\n  log-level: loud\n",
        "relay:\n  sessions: 9\ncommon:\n  log-level: debug\n  log-format: xml\n",
        "relay: {",
    };
    char err[CONFIG_ERROR_MAX];

    write_file("relay:\n  sessions: 8\ncommon:\n  log-level: warn\n");
    load(1, with_file(""));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file(bad[i]);
        err[0] = '\0';
        cr_assert(!config_reload(err), "%s", bad[i]);
        cr_assert(*err);
        cr_assert_eq(conf.sessions, 8);
        cr_assert_str_eq(log_level(), "warn");
    }
    unlink(file);
    cr_assert(!config_reload(err));
}

Test(config, what_flags_and_environment_say_stays_over_a_reload)
{
    char err[CONFIG_ERROR_MAX];

    setenv("NATTERJACK_RELAY_PAUSE", "2", 1);
    write_file("relay:\n  sessions: 8\n  pause: 5\n");
    load(1, with_file("--sessions 9"));
    write_file("relay:\n  sessions: 88\n  pause: 6\n");
    cr_assert(config_reload(err));
    cr_assert(conf.sessions == 9 && conf.pause_us == 2000000);
}
