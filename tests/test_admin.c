/*
 * test_admin.c - the admin socket with honest, clumsy and hostile clients; and its client's side with
 * servers that do not answer.
 */
#include "lib/admin.h"
#include "lib/peercred.h"
#include "tests/lib/child.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char dir[] = "/tmp/test_admin.XXXXXX", path[64];
static struct service svc;
static struct child child;

enum { BIG = 3 << 20 };

static json_t *verb(void *arg, const char *name, const char *argument)
{
    cr_assert_eq(arg, &svc);
    if (strcmp(name, "echo") == 0)
        return json_string(argument);
    if (strcmp(name, "state") == 0)
        return admin_counters(&svc.n);
    if (strcmp(name, "big") == 0) {
        char *text = malloc(BIG + 1);
        memset(text, 'x', BIG);
        text[BIG] = '\0';
        json_t *value = json_string(text);
        free(text);
        return value;
    }
    return NULL;
}

static const char *group; /* common.admin-group */

static void serve(void *arg, int fd)
{
    struct input in;

    (void)arg;
    cr_assert(peercred_set_group(group));
    service_open(&svc, SERVICE_prober, NULL);
    admin_open(&svc, path, verb, &svc);
    cr_assert_eq(write(fd, "r", 1), 1);
    while (service_wait(&svc, NEVER, &in))
        continue;
    admin_close();
    service_close(&svc);
}

static void start(void)
{
    char ready;

    child_start(&child, serve, NULL);
    cr_assert_eq(read(child.in, &ready, 1), 1);
}

static void setup(void)
{
    signal(SIGPIPE, SIG_DFL); /* so that a write to who has left shows */
    cr_assert(tidy_mkdtemp(dir));
    snprintf(path, sizeof path, "%s/admin", dir);
    start();
}

static void stop(void)
{
    kill(child.pid, SIGTERM);
    cr_assert_eq(child_wait(&child), 0);
    child.pid = 0;
}

static void teardown(void)
{
    if (child.pid > 0)
        stop();
    unlink(path);
    rmdir(dir);
}

TestSuite(admin, .init = setup, .fini = teardown, .timeout = 60);

static json_t *ask(const char *request)
{
    char err[256] = "";

    return admin_ask(path, request, 10000, err, sizeof err);
}

static void alive(void)
{
    json_t *value = ask("echo still here");

    cr_assert(value);
    cr_assert_str_eq(json_string_value(value), "still here");
    json_decref(value);
}

/* A client that does as it likes. */
static int dial(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct timeval limit = {10, 0};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
    cr_assert_eq(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static void say(int fd, const void *data, size_t n)
{
    cr_assert_eq(send(fd, data, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* Everything up to the end; how many bytes there were. */
static size_t hear(int fd, char *text, size_t cap)
{
    size_t n = 0;

    for (ssize_t got; n < cap && (got = recv(fd, text + n, cap - n, 0)) != 0; n += (size_t)got)
        if (got < 0) {
            cr_assert_eq(errno, ECONNRESET, "neither an answer nor an end");
            break;
        }
    close(fd);
    return n;
}

Test(admin, a_request_is_answered_in_json_and_the_socket_is_for_its_group_only)
{
    struct stat st;
    char text[64];

    cr_assert_eq(stat(path, &st), 0);
    cr_assert(S_ISSOCK(st.st_mode));
    cr_assert_eq(st.st_mode & 07777, 0660);
    int fd = dial();
    say(fd, "echo a  b \n", 11);
    cr_assert_eq(hear(fd, text, sizeof text), 7);
    cr_assert_eq(memcmp(text, "\"a  b \"", 7), 0);

    json_t *value = ask("state");
    cr_assert(json_is_object(value));
    cr_assert_eq(json_integer_value(json_object_get(value, "admin_answered")), 1);
    cr_assert_eq(json_integer_value(json_object_get(value, "admin_dropped")), 0);
    cr_assert_eq(json_integer_value(json_object_get(value, "messages_in")), 0);
    json_decref(value);
    value = ask("echo");
    cr_assert_str_eq(json_string_value(value), "");
    json_decref(value);
}

Test(admin, an_unknown_verb_is_refused_in_words)
{
    static const char *const requests[] = {"",      " ",      "nope",    "stat", "states",
                                           "State", " state", "echo\tx", "%s%n", "echo \xff\xfe"};

    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        json_t *value = ask(requests[i]);
        cr_assert(json_is_object(value), "%s", requests[i]);
        cr_assert_str_eq(json_string_value(json_object_get(value, "error")), "unknown verb");
        json_decref(value);
    }
}

Test(admin, a_request_longer_than_its_limit_is_dropped)
{
    for (size_t n = ADMIN_REQUEST_MAX - 3; n < ADMIN_REQUEST_MAX + 3; n++) {
        char request[ADMIN_REQUEST_MAX + 8], text[2 * ADMIN_REQUEST_MAX];
        memset(request, 'e', sizeof request);
        memcpy(request, "echo ", 5);
        request[n - 1] = '\n'; /* n bytes with it */
        int fd = dial();
        say(fd, request, n);
        size_t heard = hear(fd, text, sizeof text);
        cr_assert_eq(heard, n <= ADMIN_REQUEST_MAX ? n - 1 - 5 + 2 : 0, "%zu: %zu", n, heard);
    }
    char *flood = malloc(100000);
    memset(flood, 'a', 100000);
    int fd = dial();
    send(fd, flood, 100000, MSG_NOSIGNAL);
    cr_assert_eq(hear(fd, flood, 100000), 0);
    free(flood);
    alive();
}

Test(admin, a_terminator_inside_a_request_is_not_its_end)
{
    char text[64];
    int fd = dial();

    say(fd, "echo a\0b\n", 9);
    cr_assert_eq(hear(fd, text, sizeof text), 0);
    fd = dial();
    say(fd, "\0", 1);
    cr_assert_eq(hear(fd, text, sizeof text), 0);
    alive();
}

Test(admin, a_request_may_come_byte_by_byte_and_what_follows_it_is_ignored)
{
    static const char request[] = "echo slow\n";
    char text[64];
    int fd = dial();

    for (size_t i = 0; i < sizeof request - 1; i++) {
        say(fd, request + i, 1);
        if (i % 4 == 0)
            alive(); /* others are served meanwhile */
    }
    cr_assert_eq(hear(fd, text, sizeof text), 6);
    fd = dial();
    say(fd, "echo one\necho two\n", 18);
    cr_assert_eq(hear(fd, text, sizeof text), 5);
    cr_assert_eq(memcmp(text, "\"one\"", 5), 0);
}

Test(admin, a_large_answer_arrives_whole_and_holds_nobody_back)
{
    int fd = dial();
    char *text = malloc(BIG + 16);

    say(fd, "big\n", 4);
    for (int i = 0; i < 20; i++)
        alive(); /* while the answer fills the socket, and its reader sleeps */
    cr_assert_eq(hear(fd, text, BIG + 16), BIG + 2);
    free(text);
    json_t *value = ask("big");
    cr_assert_eq(json_string_length(value), BIG);
    json_decref(value);
}

Test(admin, clients_that_hang_up_early_leave_nothing_behind)
{
    for (int i = 0; i < 300; i++) {
        int fd = dial();
        switch (i % 4) {
        case 0: break;                        /* at once */
        case 1: say(fd, "sta", 3); break;     /* in the middle of a request */
        case 2: say(fd, "state\n", 6); break; /* before the answer */
        case 3: say(fd, "big\n", 4); break;   /* before the end of the answer */
        }
        close(fd);
        if (i % 10 == 0)
            alive();
    }
    alive();
}

/* As many as there are places say nothing; after their time is over the next one is served. */
Test(admin, silent_clients_do_not_lock_others_out_for_longer_than_their_time)
{
    int silent[2 * ADMIN_CLIENTS_MAX];
    int64_t began = service_now_us(), took;
    json_t *value;
    unsigned refused = 0;

    for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++)
        silent[i] = dial();
    for (;;) {
        value = ask("echo in");
        took = service_now_us() - began;
        if (value || took > 3 * ADMIN_TIMEOUT_MS * INT64_C(1000))
            break;
        refused++;
        struct pollfd p = {silent[0], POLLIN, 0};
        poll(&p, 1, 100); /* until the first of them is thrown out */
    }
    cr_assert(value, "locked out");
    cr_assert_gt(refused, 0, "the places were taken");
    cr_assert_geq(took, (ADMIN_TIMEOUT_MS - 100) * INT64_C(1000));
    cr_assert_lt(took, (ADMIN_TIMEOUT_MS + 3000) * INT64_C(1000));
    json_decref(value);
    for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++)
        close(silent[i]);
    alive();
}

Test(admin, a_reader_that_never_reads_loses_its_place_too)
{
    int fd[ADMIN_CLIENTS_MAX];
    int64_t began = service_now_us();
    json_t *value = NULL;

    for (size_t i = 0; i < ADMIN_CLIENTS_MAX; i++) {
        fd[i] = dial();
        say(fd[i], "big\n", 4);
    }
    while (!value && service_now_us() - began < 3 * ADMIN_TIMEOUT_MS * INT64_C(1000)) {
        value = ask("echo in");
        struct pollfd p = {fd[0], 0, 0};
        poll(&p, 1, 100);
    }
    cr_assert(value, "locked out");
    json_decref(value);
    for (size_t i = 0; i < ADMIN_CLIENTS_MAX; i++)
        close(fd[i]);
}

Test(admin, a_stale_socket_is_replaced_and_goes_with_its_process)
{
    struct stat st;

    kill(child.pid, SIGKILL);
    cr_assert_eq(child_wait(&child), -SIGKILL);
    cr_assert_eq(stat(path, &st), 0, "left behind");
    start();
    alive();
    stop();
    cr_assert_neq(stat(path, &st), 0, "gone");
}

static void open_admin(void *arg)
{
    service_open(&svc, SERVICE_prober, NULL);
    admin_open(&svc, arg, verb, &svc);
    admin_close();
}

Test(admin, a_path_that_cannot_be_used_is_fatal_at_the_start_and_no_file_is_lost)
{
    static struct child other;
    char file[256], text[8] = "";
    FILE *f;

    snprintf(file, sizeof file, "%s/file", dir);
    f = fopen(file, "w+");
    fputs("data", f), fflush(f);
    cr_assert_eq(child_run(&other, open_admin, file), 1, "%s", other.err);
    cr_assert(strstr(other.err, "event=no_admin"), "%s", other.err);
    fclose(f);
    f = fopen(file, "r");
    cr_assert(f, "a file was deleted");
    cr_assert(fgets(text, sizeof text, f));
    cr_assert_str_eq(text, "data");
    fclose(f);
    unlink(file);
    snprintf(file, sizeof file, "%s/%0110d", dir, 1);
    cr_assert_eq(child_run(&other, open_admin, file), 1);
    snprintf(file, sizeof file, "%s/none/admin", dir);
    cr_assert_eq(child_run(&other, open_admin, file), 1);
}

/* ---- out of descriptors --------------------------------------------------------------------------- */

static rlim_t lowest_free_descriptor(void)
{
    char fds[64];
    bool used[4096] = {false};
    rlim_t lowest = 0;

    snprintf(fds, sizeof fds, "/proc/%d/fd", (int)child.pid);
    DIR *d = opendir(fds);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            used[atoi(e->d_name) % 4096] = true;
    closedir(d);
    while (used[lowest])
        lowest++;
    return lowest;
}

/* It may just be closing one that it had for a moment. */
static void leave_no_descriptor(void)
{
    struct rlimit none = {0, 4096};

    do {
        none.rlim_cur = lowest_free_descriptor();
        cr_assert_eq(prlimit(child.pid, RLIMIT_NOFILE, &none, NULL), 0);
    } while (lowest_free_descriptor() < none.rlim_cur);
}

/* Clock ticks that the process has used. */
static unsigned long used(void)
{
    char stat[64];
    unsigned long user = 0, kernel = 0;

    snprintf(stat, sizeof stat, "/proc/%d/stat", (int)child.pid);
    FILE *f = fopen(stat, "r");
    cr_assert_eq(fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                        &user, &kernel),
                 2);
    fclose(f);
    return user + kernel;
}

Test(admin, without_descriptors_it_neither_answers_nor_spins_and_with_them_it_answers)
{
    const struct rlimit many = {4096, 4096};
    struct pollfd p = {.events = POLLIN};
    char text[32];

    leave_no_descriptor();
    unsigned long before = used();
    p.fd = dial();
    say(p.fd, "echo later\n", 11);
    cr_assert_eq(poll(&p, 1, 1000), 0);
    cr_assert_lt(used() - before, (unsigned long)sysconf(_SC_CLK_TCK) / 4, "it spins");
    cr_assert_eq(prlimit(child.pid, RLIMIT_NOFILE, &many, NULL), 0);
    size_t n = hear(p.fd, text, sizeof text);
    cr_assert_eq(n, 7);
    cr_assert_eq(memcmp(text, "\"later\"", 7), 0);
}

/* ---- the client's side ------------------------------------------------------------------------------ */

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

Test(admin, a_process_that_cannot_be_asked_is_named)
{
    char other[256];

    snprintf(other, sizeof other, "%s/none", dir);
    no_answer(other, 100, "cannot reach");
    snprintf(other, sizeof other, "%s/%0150d", dir, 1);
    no_answer(other, 100, "too long");
}

Test(admin, a_process_that_does_not_answer_is_not_waited_for_longer_than_told)
{
    char other[128];

    snprintf(other, sizeof other, "%s/deaf", dir);
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

Test(admin, a_process_that_hangs_up_is_no_answer_and_no_signal)
{
    static struct child other_child;
    char other[128];

    snprintf(other, sizeof other, "%s/rude", dir);
    int fd = listen_at(other, 5);
    child_start(&other_child, hang_up, &fd);
    for (int i = 0; i < 20; i++)
        no_answer(other, 5000, "gave no answer");
    cr_assert_eq(child_wait(&other_child), 0);
    close(fd);
    unlink(other);
}

/* ---- who may ask -------------------------------------------------------------------------------- */

enum { STRANGER = 12345 };
static gid_t stranger_group = STRANGER, stranger_more = STRANGER;

/* As another user, ask; exits with 0 when there was an answer, 1 when it was the refusal. */
static void ask_as_stranger(void *arg)
{
    (void)arg;
    cr_assert_eq(setgroups(1, &stranger_more), 0);
    cr_assert_eq(setgid(stranger_group), 0);
    cr_assert_eq(setuid(STRANGER), 0);
    json_t *value = ask("echo in");
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

Test(admin, strangers_are_refused_whatever_the_mode_of_the_socket)
{
    if (geteuid() != 0)
        cr_skip_test("only root can become others");
    cr_assert_eq(chmod(dir, 0755), 0);
    cr_assert_eq(chmod(path, 0666), 0);
    cr_assert_eq(stranger_gets(), 1);
    json_t *state = ask("state");
    cr_assert_eq(json_integer_value(json_object_get(state, "admin_refused")), 1);
    json_decref(state);
}

Test(admin, members_of_the_group_that_was_named_may_ask)
{
    struct stat st;
    const struct group *g = getgrnam("daemon");

    if (geteuid() != 0 || !g)
        cr_skip_test("only root can become others");
    gid_t daemon = g->gr_gid;
    stop();
    group = "daemon";
    start();
    cr_assert_eq(chmod(dir, 0755), 0);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_gid, daemon);
    cr_assert_eq(st.st_mode & 0777, 0660);
    stranger_group = daemon;
    cr_assert_eq(stranger_gets(), 0, "by its first group");
    stranger_group = STRANGER, stranger_more = daemon;
    cr_assert_eq(stranger_gets(), 0, "by another one");
    cr_assert_eq(chmod(path, 0666), 0);
    stranger_more = STRANGER;
    cr_assert_eq(stranger_gets(), 1);
    cr_assert(!peercred_set_group("no-such-group"));
}
