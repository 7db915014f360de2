/* test_config_again.c - a configuration printed as a file that means the same, and read again while the program runs. */
#include "lib/log.h"
#include "tests/lib/config_bed.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(config_again, .init = config_bed_open, .fini = config_bed_close, .timeout = 60);

/* ---- printing ----------------------------------------------------------------------------------------- */

static void print(void *arg) { config_bed_load(1, arg); }

Test(config_again, what_is_printed_is_a_file_that_means_the_same)
{
    char first[CHILD_TEXT_MAX];

    cr_assert_eq(
        child_run(&config_bed_child, print,
                  (char[]){"--print-config --ip a\"b\\c#:\x01 --port 7 --open --pause 0.000001"}),
        0, "%s", config_bed_child.err);
    cr_assert(strstr(config_bed_child.out, "common:\n  # debug|info|warn"), "%s",
              config_bed_child.out);
    cr_assert(strstr(config_bed_child.out,
                     "relay:\n  # IP  to listen on\n  ip: \"a\\\"b\\\\c#:\\x01\"\n"),
              "%s", config_bed_child.out);
    cr_assert(strstr(config_bed_child.out, "  pause: 0.000001\n") &&
              strstr(config_bed_child.out, "  open: true\n"));
    cr_assert(strstr(config_bed_child.out, "\n  # FILE  of the key; mode 0600\n  # key:\n"), "%s",
              config_bed_child.out);
    memcpy(first, config_bed_child.out, sizeof first);
    config_bed_write(first);
    cr_assert_eq(
        child_run(&config_bed_child, print, (void *)(uintptr_t)config_bed_line("--print-config")),
        0, "%s", config_bed_child.err);
    cr_assert_str_eq(config_bed_child.out, first);
}

Test(config_again, a_task_is_what_the_program_was_started_for)
{
    config_bed_load(1, "--check");
    cr_assert_eq(config_task(), CONFIG_CHECK);
    config_bed_load(1, "");
    cr_assert_eq(config_task(), CONFIG_RUN);
    config_bed_load(2, "--print-config");
    cr_assert_eq(config_task(), CONFIG_PRINT, "with a partial group the program goes on");
}

/* ---- reading it again ----------------------------------------------------------------------------------- */

Test(config_again, a_reload_takes_what_may_change_and_nothing_else)
{
    char err[CONFIG_ERROR_MAX] = "";

    config_bed_write("relay:\n  port: 7\n  sessions: 8\n  ip: x\ncommon:\n  log-level: warn\n");
    config_bed_load(1, config_bed_line(""));
    config_bed_write(
        "relay:\n  port: 9\n  sessions: 88\n  open: true\n  pause: 3\ncommon:\n  log-level: "
        "debug\n");
    cr_assert(config_reload(err), "%s", err);
    cr_assert(config_bed.sessions == 88 && config_bed.open && config_bed.pause_us == 3000000);
    cr_assert_str_eq(log_level(), "debug");
    cr_assert_eq(config_bed.port, 7);
    cr_assert_str_eq(config_bed.ip, "x");
    config_bed_write("# all gone\n");
    cr_assert(config_reload(err), "%s", err);
    cr_assert(config_bed.sessions == 10 && !config_bed.open && config_bed.pause_us == 1500000,
              "defaults again");
    cr_assert_str_eq(log_level(), "info");
}

Test(config_again, a_reload_that_fails_changes_nothing)
{
    static const char *const bad[] = {
        "relay:\n  sessions: many\n",
        "relay:\n  sessions: 9\n  nope: 1\n",
        "relay:\n  sessions: 9\ncommon:\n  log-level: loud\n",
        "relay:\n  sessions: 9\ncommon:\n  log-level: debug\n  log-format: xml\n",
        "relay: {",
    };
    char err[CONFIG_ERROR_MAX];

    config_bed_write("relay:\n  sessions: 8\ncommon:\n  log-level: warn\n");
    config_bed_load(1, config_bed_line(""));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        config_bed_write(bad[i]);
        err[0] = '\0';
        cr_assert(!config_reload(err), "%s", bad[i]);
        cr_assert(*err);
        cr_assert_eq(config_bed.sessions, 8);
        cr_assert_str_eq(log_level(), "warn");
    }
    unlink(config_bed_file);
    cr_assert(!config_reload(err));
}

Test(config_again, what_flags_and_environment_say_stays_over_a_reload)
{
    char err[CONFIG_ERROR_MAX];

    setenv("NATTERJACK_RELAY_PAUSE", "2", 1);
    config_bed_write("relay:\n  sessions: 8\n  pause: 5\n");
    config_bed_load(1, config_bed_line("--sessions 9"));
    config_bed_write("relay:\n  sessions: 88\n  pause: 6\n");
    cr_assert(config_reload(err));
    cr_assert(config_bed.sessions == 9 && config_bed.pause_us == 2000000);
}
