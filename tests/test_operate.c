/*
 * test_operate.c - a process as its operator sees it: configuration, signals, logs.  The process is the
 * classifier, which needs the least; what is tested is in all of them.
 */
#include "lib/admin.h"
#include "tests/lib/child.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM BIN_DIR "/natterjack-classifier"

enum { LIMIT_MS = 20000, TEXT_BYTES = 65536 };

static char dir[] = "/tmp/test_operate.XXXXXX", file[64], admin_path[64], log_path[64];
static char text[TEXT_BYTES];
static pid_t pid;

static void setup(void)
{
    cr_assert(tidy_mkdtemp(dir));
    snprintf(file, sizeof file, "%s/natterjack.yml", dir);
    snprintf(admin_path, sizeof admin_path, "%s/admin", dir);
    snprintf(log_path, sizeof log_path, "%s/log", dir);
}

static void teardown(void)
{
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    tidy_remove(dir);
}

TestSuite(operate, .init = setup, .fini = teardown, .timeout = 60);

static void write_file(const char *content)
{
    FILE *f = fopen(file, "w");

    cr_assert(f && fputs(content, f) >= 0 && fclose(f) == 0);
}

/* Start it with up to two more flags; its log and its output go to a file. */
static void start(const char *flag, const char *value)
{
    const char *argv[] = {"natterjack-classifier",
                          "--bus",
                          dir,
                          "--admin",
                          admin_path,
                          "--config",
                          file,
                          flag,
                          value,
                          NULL};

    unlink(log_path); /* of an earlier start */
    pid = fork();
    if (pid == 0) {
        dup2(open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), STDERR_FILENO);
        dup2(STDERR_FILENO, STDOUT_FILENO); /* where czmq complains */
        execv(PROGRAM, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
}

static int end(void)
{
    int status = child_status(pid);

    pid = 0;
    return status;
}

static const char *read_log(void)
{
    FILE *f = fopen(log_path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;

    if (f)
        fclose(f);
    text[n] = '\0';
    return text;
}

static void wait_log(const char *what)
{
    int64_t limit_us = service_now_us() + LIMIT_MS * INT64_C(1000);

    while (!strstr(read_log(), what)) {
        cr_assert_lt(service_now_us(), limit_us, "%s does not come: %s", what, text);
        usleep(2000);
    }
}

/* The answer to an admin verb, as text. */
static const char *ask(const char *request)
{
    static char answer[256];
    char err[128] = "";
    json_t *v = admin_ask(admin_path, request, 10000, err, sizeof err);

    cr_assert(v, "%s", err);
    char *json = json_dumps(v, JSON_COMPACT);
    snprintf(answer, sizeof answer, "%s", json);
    free(json);
    json_decref(v);
    return answer;
}

/* ---- configuration -------------------------------------------------------------------------------------- */

Test(operate, check_says_what_is_wrong_and_leaves_nothing)
{
    write_file("classifier: {}\n");
    start("--check", NULL);
    cr_assert_eq(end(), 0, "%s", read_log());
    cr_assert_str_eq(read_log(), "");
    cr_assert_neq(access(admin_path, F_OK), 0);
    write_file("classifier:\n  buss: x\n");
    start("--check", NULL);
    cr_assert_eq(end(), 2);
    cr_assert(strstr(read_log(), "natterjack.yml:2: unexpected key: buss"), "%s", text);
    start(NULL, NULL);
    cr_assert_eq(end(), 2, "nor does it run with that");
}

Test(operate, hup_reads_the_file_again_and_a_mistake_changes_nothing)
{
    write_file("common:\n  log-level: info\n");
    start(NULL, NULL);
    wait_log("event=ready");
    write_file(
        "common:\n  log-level: debug\n  log-format: json\nclassifier:\n  admin: /elsewhere\n");
    kill(pid, SIGHUP);
    wait_log("\"event\":\"reloaded\"");
    cr_assert(!strstr(text, "needs_restart"), "a flag says where the admin socket is");
    cr_assert_str_eq(ask("loglevel"), "{\"loglevel\":\"debug\"}");
    write_file("common:\n  log-level: info\n  nonsense: 1\n");
    kill(pid, SIGHUP);
    wait_log("\"event\":\"not_reloaded\"");
    cr_assert(strstr(text, "natterjack.yml:3: unexpected key: nonsense"), "%s", text);
    cr_assert_str_eq(ask("loglevel"), "{\"loglevel\":\"debug\"}");
    kill(pid, SIGTERM);
    cr_assert_eq(end(), 0);
}

Test(operate, a_log_level_set_by_hand_lasts_until_the_next_reload)
{
    write_file("common:\n  log-level: warn\n");
    start(NULL, NULL);
    while (access(admin_path, F_OK) != 0)
        usleep(2000);
    cr_assert_str_eq(ask("loglevel debug"), "{\"loglevel\":\"debug\"}");
    cr_assert(strstr(ask("loglevel loud"), "error"));
    cr_assert_str_eq(ask("reload"), "{\"reloaded\":true}");
    cr_assert_str_eq(ask("loglevel"), "{\"loglevel\":\"warn\"}");
    write_file("{");
    cr_assert(strstr(ask("reload"), "natterjack.yml:1: "));
}

/* ---- its end -------------------------------------------------------------------------------------------- */

Test(operate, a_process_with_nothing_to_wait_for_has_drained_at_once)
{
    write_file("");
    start(NULL, NULL);
    wait_log("event=ready");
    kill(pid, SIGUSR1);
    cr_assert_eq(end(), SERVICE_DRAINED);
    cr_assert(strstr(read_log(), "event=drained empty=yes"), "%s", text);
    cr_assert_neq(access(admin_path, F_OK), 0, "it ends in order");
    start(NULL, NULL);
    wait_log("event=ready");
    cr_assert_str_eq(ask("drain"), "{\"draining\":true}");
    cr_assert_eq(end(), SERVICE_DRAINED);
}

Test(operate, a_process_that_has_more_than_it_may_says_so_and_ends_in_order)
{
    write_file("");
    start(NULL, NULL);
    wait_log("event=ready");
    write_file("common:\n  memory-max: 1\n");
    kill(pid, SIGHUP);
    cr_assert_eq(end(), SERVICE_OVER_MEMORY);
    cr_assert(strstr(read_log(), "event=over_memory kib="), "%s", text);
    cr_assert(strstr(text, " max_kib=1024 "), "%s", text);
    cr_assert_neq(access(admin_path, F_OK), 0, "it ends in order");
}

/* Sockets are open by then, of which czmq would complain. */
Test(operate, a_start_that_fails_says_why_in_its_last_line_and_complains_of_nothing_else)
{
    write_file("");
    snprintf(admin_path, sizeof admin_path, "%s/none/admin", dir);
    start(NULL, NULL);
    cr_assert_eq(end(), 1);
    read_log();
    char *fatal = strstr(text, "level=fatal svc=classifier event=no_admin");
    cr_assert(fatal, "%s", text);
    cr_assert_str_eq(strchr(fatal, '\n'), "\n", "%s", text);
    *fatal = '\0';
    cr_assert_not(strstr(text, "level=warn") || strstr(text, "level=error"), "%s", text);
}

/* ---- logs ------------------------------------------------------------------------------------------------ */

Test(operate, json_logs_are_json_from_the_first_line_to_the_last)
{
    write_file("common:\n  log-format: logfmt\n");
    start("--log-format", "json");
    wait_log("\"event\":\"ready\"");
    kill(pid, SIGTERM);
    cr_assert_eq(end(), 0);
    read_log();
    unsigned n = 0;
    for (char *save, *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        json_t *v = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        cr_assert(v, "%s", line);
        cr_assert_str_eq(json_string_value(json_object_get(v, "svc")), "classifier");
        json_decref(v);
        n++;
    }
    cr_assert_geq(n, 2);
}
