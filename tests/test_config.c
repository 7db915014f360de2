/* test_config.c - parameters from file, environment and flags: who wins, and what is refused. */
#include "lib/log.h"
#include "tests/lib/config_bed.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(config, .init = config_bed_open, .fini = config_bed_close, .timeout = 60);

static void one_combination(void *arg)
{
    unsigned given = *(unsigned *)arg;
    static const char *const source[] = {"1", "22", "333", "4444"};
    unsigned winner = given & 4 ? 3 : given & 2 ? 2 : given & 1 ? 1 : 0;

    config_bed_write(given & 1 ? "relay:\n  port: 22\n" : "# nothing\n");
    if (given & 2)
        setenv("NATTERJACK_RELAY_PORT", "333", 1);
    config_bed_load(1, config_bed_line(given & 4 ? "--port 4444" : ""));
    cr_assert_eq(config_bed.port, (uint32_t)atoi(source[winner]), "%u: %u", given, config_bed.port);
    cr_assert_eq(config_source(&config_bed.port), winner);
    cr_assert_eq(config_source(&config_bed.ip), CONFIG_DEFAULT);
}

Test(config, a_flag_wins_over_the_environment_over_the_file_over_the_default)
{
    for (unsigned given = 0; given < 8; given++)
        cr_assert_eq(child_run(&config_bed_child, one_combination, &given), 0, "%u %s", given,
                     config_bed_child.err);
}

Test(config, every_kind_is_taken_from_the_file)
{
    config_bed_write(
        "# a comment\nrelay:\n  ip: \"::1\"\n  port: 7\n  sessions: 8\n  open: true\n"
        "  pause: 0.25\n  token-file: /nowhere\nprober:\n  port: 9\n  anything: [1, {a: b}]\n"
        "coordinator: {x: y}\n");
    cr_assert_eq(config_bed_load(2, config_bed_line("")), 1);
    cr_assert_str_eq(config_bed.ip, "::1");
    cr_assert(config_bed.port == 7 && config_bed.sessions == 8 && config_bed.open &&
              config_bed.pause_us == 250000);
    cr_assert_str_eq(config_bed.token_file, "/nowhere");
    cr_assert_eq(config_bed.prober_port, 9);
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
    config_bed_load(2, "");
    cr_assert_str_eq(config_bed.ip, "::1");
    cr_assert(config_bed.open && config_bed.pause_us == 2000000 && config_bed.prober_port == 9);
    cr_assert_str_eq(config_bed.token_file, "/nowhere");
    cr_assert_str_eq(config_bed.key, "/no/key");
    cr_assert_str_eq(log_level(), "warn");
}

Test(config, the_environment_may_name_the_file)
{
    config_bed_write("relay:\n  port: 7\n");
    setenv("NATTERJACK_CONFIG", config_bed_file, 1);
    config_bed_load(1, "");
    cr_assert_eq(config_bed.port, 7);
    cr_assert_str_eq(config_path(), config_bed_file);
}

Test(config, flags_of_another_section_have_a_prefix)
{
    config_bed_load(2, "--prober-port 77 --port 78 rest");
    cr_assert(config_bed.prober_port == 77 && config_bed.port == 78);
}

/* ---- what is refused ---------------------------------------------------------------------------------- */

static void load_file(void *arg) { config_bed_load(arg ? 2 : 1, config_bed_line("")); }

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
        config_bed_write(wrong[i].text);
        cr_assert_eq(child_run(&config_bed_child, load_file, NULL), 2, "%s", wrong[i].text);
        cr_assert(strstr(config_bed_child.err, wrong[i].says), "%s%s", wrong[i].text,
                  config_bed_child.err);
        cr_assert(strstr(config_bed_child.err, "usage: prog"), "%s", config_bed_child.err);
        cr_assert_str_eq(config_bed_child.out, "");
    }
}

static void load_nothing(void *arg)
{
    (void)arg;
    config_bed_load(1, config_bed_line(""));
    printf("%u", config_bed.port);
}

Test(config, an_empty_file_and_an_empty_section_say_nothing)
{
    static const char *const empty[] = {"", "# x\n", "relay:\n", "relay: {}\n",
                                        "relay:\n  # port: 3\n"};

    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        config_bed_write(empty[i]);
        cr_assert_eq(child_run(&config_bed_child, load_nothing, NULL), 0, "%s%s", empty[i],
                     config_bed_child.err);
        cr_assert_str_eq(config_bed_child.out, "1");
    }
}

Test(config, a_file_that_is_too_large_too_deep_or_no_file_is_refused_soon)
{
    size_t large = 10 << 20;
    char *text = malloc(large);

    memset(text, '#', large);
    config_bed_write_bytes(config_bed_file, text, large, 0644);
    cr_assert_eq(child_run(&config_bed_child, load_nothing, NULL), 2);
    cr_assert(strstr(config_bed_child.err, "larger than 65536 bytes"), "%s", config_bed_child.err);
    config_bed_write_bytes(config_bed_file, text, CONFIG_FILE_MAX, 0644);
    cr_assert_eq(child_run(&config_bed_child, load_nothing, NULL), 0, "%s", config_bed_child.err);
    config_bed_write_bytes(config_bed_file, text, CONFIG_FILE_MAX + 1, 0644);
    cr_assert_eq(child_run(&config_bed_child, load_nothing, NULL), 2);
    memcpy(text, "prober: ", 8);
    memset(text + 8, '[', CONFIG_FILE_MAX - 8);
    config_bed_write_bytes(config_bed_file, text, CONFIG_FILE_MAX, 0644);
    cr_assert_eq(child_run(&config_bed_child, load_nothing, NULL), 2);
    cr_assert(strstr(config_bed_child.err, "nests brackets deeper than 32"), "%s",
              config_bed_child.err);
    for (size_t i = 8; i < CONFIG_FILE_MAX; i += 2)
        memcpy(text + i, "- ", 2);
    config_bed_write_bytes(config_bed_file, text, CONFIG_FILE_MAX, 0644);
    cr_assert_eq(child_run(&config_bed_child, load_nothing, NULL), 2);
    memset(text, '#', CONFIG_FILE_MAX); /* a comment is none */
    memset(text + 1, '[', 100);
    config_bed_write_bytes(config_bed_file, text, CONFIG_FILE_MAX, 0644);
    cr_assert_eq(child_run(&config_bed_child, load_nothing, NULL), 0, "%s", config_bed_child.err);
    memcpy(text, "relay: {ip: ", 12);
    memset(text + 12, 'x', CONFIG_VALUE_MAX + 1);
    memcpy(text + 12 + CONFIG_VALUE_MAX + 1, "}\n", 2);
    config_bed_write_bytes(config_bed_file, text, 12 + CONFIG_VALUE_MAX + 3, 0644);
    cr_assert_eq(child_run(&config_bed_child, load_nothing, NULL), 2);
    config_bed_write_bytes(config_bed_file, "relay:\0 {}\n", 11, 0644);
    cr_assert_eq(child_run(&config_bed_child, load_nothing, NULL), 2);
    cr_assert(strstr(config_bed_child.err, "byte of value 0"), "%s", config_bed_child.err);
    free(text);
    unlink(config_bed_file);
    cr_assert_eq(child_run(&config_bed_child, load_nothing, NULL), 2);
    cr_assert(strstr(config_bed_child.err, "No such file"), "%s", config_bed_child.err);
    cr_assert_eq(mkfifo(config_bed_file, 0600), 0);
    cr_assert_eq(child_run(&config_bed_child, load_nothing, NULL), 2);
    cr_assert(strstr(config_bed_child.err, "not a regular file"), "%s", config_bed_child.err);
}

static void load_line(void *arg) { config_bed_load(2, arg); }

static void load_with_variable(void *arg)
{
    putenv(arg);
    config_bed_load(2, "--prober-port 1");
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
        cr_assert_eq(child_run(&config_bed_child, load_with_variable, bad[i]), 2, "%s", bad[i]);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert_eq(child_run(&config_bed_child, load_with_variable, good[i]), 0, "%s%s", good[i],
                     config_bed_child.err);
}

Test(config, what_is_required_and_nowhere_given_is_refused_in_all_its_spellings)
{
    cr_assert_eq(child_run(&config_bed_child, load_line, (char[]){"--port 1"}), 2);
    cr_assert(
        strstr(config_bed_child.err, "--prober-port, as NATTERJACK_PROBER_PORT, or as prober.port"),
        "%s", config_bed_child.err);
    cr_assert_eq(child_run(&config_bed_child, load_line, (char[]){"--prober-port 1"}), 0);
    config_bed_write("prober:\n  port: 6\n");
    cr_assert_eq(child_run(&config_bed_child, load_file, (char[]){"2"}), 0, "%s",
                 config_bed_child.err);
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

    snprintf(line, sizeof line, "--prober-port 1 --key %s", config_bed_secret);
    snprintf(variable, sizeof variable, "NATTERJACK_RELAY_TOKEN_FILE=%s", config_bed_secret);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        config_bed_write_bytes(config_bed_secret, "x", 1, rows[i].mode);
        cr_assert_eq(child_run(&config_bed_child, load_line, line), rows[i].status, "%o",
                     rows[i].mode);
        cr_assert(rows[i].status == 0 || strstr(config_bed_child.err, "relay.key: "), "%s",
                  config_bed_child.err);
        cr_assert_eq(child_run(&config_bed_child, load_with_variable, variable), rows[i].status);
    }
    snprintf(line, sizeof line, "--prober-port 1 --key %s", config_bed_dir);
    cr_assert_eq(child_run(&config_bed_child, load_line, line), 2, "a directory is no file");
}
