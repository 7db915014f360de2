/* test_admin_ask.c - the admin socket's client with servers that do not answer, and who may ask. */
#include "lib/peercred.h"
#include "tests/lib/admin_bed.h"

#include <criterion/criterion.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

TestSuite(admin_ask, .init = admin_bed_open, .fini = admin_bed_close, .timeout = 60);

/* ---- the client's side ----------------------------------------------------------------------- */

static int listen_at(const char *where, int backlog)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", where);
    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    cr_assert_eq(listen(fd, backlog), 0);
    return fd;
}

static void no_answer(const char *where, int timeout_ms, const char *says)
{
    char err[256] = "", tiny[4];
    int64_t began = service_now_us();

    cr_assert_null(admin_ask(where, "state", timeout_ms, err, sizeof err));
    cr_assert(strstr(err, says), "%s", err);
    cr_assert_lt(service_now_us() - began, timeout_ms * INT64_C(1000) + 5000000);
    cr_assert_null(admin_ask(where, "state", timeout_ms, tiny, sizeof tiny));
    cr_assert_lt(strnlen(tiny, sizeof tiny), sizeof tiny);
}

Test(admin_ask, a_process_that_cannot_be_asked_is_named)
{
    char other[256];

    snprintf(other, sizeof other, "%s/none", admin_bed.dir);
    no_answer(other, 100, "cannot reach");
    snprintf(other, sizeof other, "%s/%0150d", admin_bed.dir, 1);
    no_answer(other, 100, "too long");
}

Test(admin_ask, a_process_that_does_not_answer_is_not_waited_for_longer_than_told)
{
    char other[128];

    snprintf(other, sizeof other, "%s/deaf", admin_bed.dir);
    int fd = listen_at(other, 0); /* accepts nobody, and its queue is full after the first */
    for (int i = 0; i < 4; i++)
        no_answer(other, 50, other);
    close(fd);
    unlink(other);
}

static void hang_up(void *arg, int fd)
{
    (void)fd;
    for (int n = 0; n < 40; n++) {
        int client = accept(*(int *)arg, NULL, NULL);
        if (n % 2)
            cr_assert_eq(write(client, "{\"half\":", 8), 8);
        close(client);
    }
}

Test(admin_ask, a_process_that_hangs_up_is_no_answer_and_no_signal)
{
    static struct child other_child;
    char other[128];

    snprintf(other, sizeof other, "%s/rude", admin_bed.dir);
    int fd = listen_at(other, 5);
    child_start(&other_child, hang_up, &fd);
    for (int i = 0; i < 20; i++)
        no_answer(other, 5000, "gave no answer");
    cr_assert_eq(child_wait(&other_child), 0);
    close(fd);
    unlink(other);
}

/* ---- who may ask ----------------------------------------------------------------------------- */

enum { STRANGER = 12345 };
static gid_t stranger_group = STRANGER, stranger_more = STRANGER;

/* As another user, ask; exits with 0 when there was an answer, 1 when it was the refusal. */
static void ask_as_stranger(void *arg)
{
    (void)arg;
    cr_assert_eq(setgroups(1, &stranger_more), 0);
    cr_assert_eq(setgid(stranger_group), 0);
    cr_assert_eq(setuid(STRANGER), 0);
    json_t *value = admin_bed_ask("echo in");
    if (value && json_is_string(value))
        exit(0);
    cr_assert_str_eq(json_string_value(json_object_get(value, "error")), "not-authorized");
    exit(1);
}

static int stranger_gets(void)
{
    struct child c;

    return child_run(&c, ask_as_stranger, NULL);
}

Test(admin_ask, strangers_are_refused_whatever_the_mode_of_the_socket)
{
    if (geteuid() != 0)
        cr_skip_test("only root can become others");
    cr_assert_eq(chmod(admin_bed.dir, 0755), 0);
    cr_assert_eq(chmod(admin_bed.path, 0666), 0);
    cr_assert_eq(stranger_gets(), 1);
    json_t *state = admin_bed_ask("state");
    cr_assert_eq(json_integer_value(json_object_get(state, "admin_refused")), 1);
    json_decref(state);
}

Test(admin_ask, members_of_the_group_that_was_named_may_ask)
{
    struct stat st;
    const struct group *g = getgrnam("daemon");

    if (geteuid() != 0 || !g)
        cr_skip_test("only root can become others");
    gid_t daemon = g->gr_gid;
    admin_bed_stop();
    admin_bed.group = "daemon";
    admin_bed_start();
    cr_assert_eq(chmod(admin_bed.dir, 0755), 0);
    cr_assert_eq(stat(admin_bed.path, &st), 0);
    cr_assert_eq(st.st_gid, daemon);
    cr_assert_eq(st.st_mode & 0777, 0660);
    stranger_group = daemon;
    cr_assert_eq(stranger_gets(), 0, "by its first group");
    stranger_group = STRANGER, stranger_more = daemon;
    cr_assert_eq(stranger_gets(), 0, "by another one");
    cr_assert_eq(chmod(admin_bed.path, 0666), 0);
    stranger_more = STRANGER;
    cr_assert_eq(stranger_gets(), 1);
    cr_assert(!peercred_set_group("no-such-group"));
}
