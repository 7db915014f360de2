/* test_ask_hook.c - the command that decides on calls: what it is told, what its end means, its limits. */
#include "services/natterjack/ask_hook.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct service svc;
static char dir[] = "/tmp/test_ask_hook.XXXXXX", path[64], heard[64];
static const struct peer_id caller = {{7}};

static void setup(void)
{
    cr_assert(tidy_mkdtemp(dir));
    snprintf(path, sizeof path, "%s/hook", dir);
    snprintf(heard, sizeof heard, "%s/heard", dir);
    service_open(&svc, SERVICE_executor, NULL);
}

static void teardown(void)
{
    ask_hook_close();
    service_close(&svc);
    unlink(path);
    unlink(heard);
    rmdir(dir);
}

TestSuite(ask_hook, .init = setup, .fini = teardown, .timeout = 20);

static void hook(const char *text)
{
    FILE *f = fopen(path, "w");

    fprintf(f, "#!/bin/sh\n%s\n", text);
    fclose(f);
    cr_assert_eq(chmod(path, 0700), 0);
    ask_hook_open(&svc, path);
}

static void ask(uint8_t session, uint32_t timeout_ms)
{
    struct invitation i = {
        .session = {{session}}, .peer = caller, .name = "alice", .timeout_ms = timeout_ms};

    ask_hook_run(&i);
}

static bool answered(uint8_t session)
{
    struct input in;
    const struct invitation_answer *a;

    do
        cr_assert(service_wait(&svc, NEVER, &in));
    while (in.kind == IN_TICK);
    cr_assert(in.kind == IN_APP && in.app.op == APP_ANSWER && in.app.len == sizeof *a);
    a = in.app.args;
    cr_assert_eq(a->session.b[0], session);
    return a->accepted;
}

Test(ask_hook, its_exit_status_is_the_answer_and_its_arguments_say_who_calls)
{
    char line[128] = "", is[128], id[PEER_ID_TEXT];

    hook("echo \"$1 $2\" > $(dirname $0)/heard; read x && exit 1; echo told; exit 0");
    ask(1, 10000);
    cr_assert(answered(1));
    FILE *f = fopen(heard, "r");
    cr_assert(f && fgets(line, sizeof line, f));
    fclose(f);
    snprintf(is, sizeof is, "%s alice\n", peer_id_format(&caller, id));
    cr_assert_str_eq(line, is);
    hook("exit 3");
    ask(2, 10000);
    cr_assert_not(answered(2));
}

Test(ask_hook, a_program_is_found_by_its_path_or_by_PATH)
{
    hook("true");
    cr_assert(ask_hook_found(path));
    cr_assert(ask_hook_found("sh"));
    cr_assert(!ask_hook_found("hook"));
    cr_assert_eq(setenv("PATH", "/no/such", 1), 0);
    cr_assert(!ask_hook_found("hook"));
    cr_assert_eq(setenv("PATH", "/no/such:/tmp", 1), 0);
    cr_assert(!ask_hook_found(path + strlen("/tmp/")), "it has a slash: PATH is not asked");
    cr_assert_eq(setenv("PATH", dir, 1), 0);
    cr_assert(ask_hook_found("hook"));
    cr_assert_eq(chmod(path, 0600), 0);
    cr_assert(!ask_hook_found(path) && !ask_hook_found("hook"), "it can't be run");
    cr_assert(!ask_hook_found("") && !ask_hook_found("sh true"));
}

Test(ask_hook, what_cannot_be_run_or_dies_is_a_no)
{
    ask_hook_open(&svc, "/no/such/command");
    ask(1, 10000);
    cr_assert_not(answered(1));
    hook("kill -9 $$");
    ask(2, 10000);
    cr_assert_not(answered(2));
}

Test(ask_hook, what_takes_too_long_is_killed_with_all_that_it_started)
{
    cr_assert_eq(mkfifo(heard, 0600), 0);
    int in = open(heard, O_RDONLY | O_NONBLOCK | O_CLOEXEC),
        out = open(heard, O_WRONLY | O_CLOEXEC);
    struct pollfd ended = {.fd = in, .events = POLLIN};

    hook("sleep 1000 > $(dirname $0)/heard & sleep 1000");
    ask(1, 300);
    cr_assert_not(answered(1));
    close(out); /* now it has no writer, unless what the hook started lives on */
    cr_assert_eq(poll(&ended, 1, 10000), 1);
    cr_assert(ended.revents & POLLHUP);
    close(in);
}

Test(ask_hook, so_many_run_at_once_and_no_more)
{
    hook("sleep 1000");
    for (uint8_t i = 0; i <= ASK_HOOKS_MAX; i++)
        ask(i, 10000);
    cr_assert_eq(svc.n_sources, 2 * ASK_HOOKS_MAX + 1); /* and the signals */
}
