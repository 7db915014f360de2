/* test_admin.c - the admin socket with honest, clumsy and hostile clients. */
#include "tests/lib/admin_bed.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(admin, .init = admin_bed_open, .fini = admin_bed_close, .timeout = 60);

Test(admin, a_request_is_answered_in_json_and_the_socket_is_for_its_group_only)
{
    struct stat st;
    char text[64];

    cr_assert_eq(stat(admin_bed.path, &st), 0);
    cr_assert(S_ISSOCK(st.st_mode));
    cr_assert_eq(st.st_mode & 07777, 0660);
    int fd = admin_bed_dial();
    admin_bed_say(fd, "echo a  b \n", 11);
    cr_assert_eq(admin_bed_hear(fd, text, sizeof text), 7);
    cr_assert_eq(memcmp(text, "\"a  b \"", 7), 0);

    json_t *value = admin_bed_ask("state");
    cr_assert(json_is_object(value));
    cr_assert_eq(json_integer_value(json_object_get(value, "admin_answered")), 1);
    cr_assert_eq(json_integer_value(json_object_get(value, "admin_dropped")), 0);
    cr_assert_eq(json_integer_value(json_object_get(value, "messages_in")), 0);
    json_decref(value);
    value = admin_bed_ask("echo");
    cr_assert_str_eq(json_string_value(value), "");
    json_decref(value);
}

Test(admin, an_unknown_verb_is_refused_in_words)
{
    static const char *const requests[] = {"",      " ",      "nope",    "stat", "states",
                                           "State", " state", "echo\tx", "%s%n", "echo \xff\xfe"};

    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        json_t *value = admin_bed_ask(requests[i]);
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
        int fd = admin_bed_dial();
        admin_bed_say(fd, request, n);
        size_t heard = admin_bed_hear(fd, text, sizeof text);
        cr_assert_eq(heard, n <= ADMIN_REQUEST_MAX ? n - 1 - 5 + 2 : 0, "%zu: %zu", n, heard);
    }
    char *flood = malloc(100000);
    memset(flood, 'a', 100000);
    int fd = admin_bed_dial();
    send(fd, flood, 100000, MSG_NOSIGNAL);
    cr_assert_eq(admin_bed_hear(fd, flood, 100000), 0);
    free(flood);
    admin_bed_alive();
}

Test(admin, a_terminator_inside_a_request_is_not_its_end)
{
    char text[64];
    int fd = admin_bed_dial();

    admin_bed_say(fd, "echo a\0b\n", 9);
    cr_assert_eq(admin_bed_hear(fd, text, sizeof text), 0);
    fd = admin_bed_dial();
    admin_bed_say(fd, "\0", 1);
    cr_assert_eq(admin_bed_hear(fd, text, sizeof text), 0);
    admin_bed_alive();
}

Test(admin, a_request_may_come_byte_by_byte_and_what_follows_it_is_ignored)
{
    static const char request[] = "echo slow\n";
    char text[64];
    int fd = admin_bed_dial();

    for (size_t i = 0; i < sizeof request - 1; i++) {
        admin_bed_say(fd, request + i, 1);
        if (i % 4 == 0)
            admin_bed_alive(); /* others are served meanwhile */
    }
    cr_assert_eq(admin_bed_hear(fd, text, sizeof text), 6);
    fd = admin_bed_dial();
    admin_bed_say(fd, "echo one\necho two\n", 18);
    cr_assert_eq(admin_bed_hear(fd, text, sizeof text), 5);
    cr_assert_eq(memcmp(text, "\"one\"", 5), 0);
}

Test(admin, a_large_answer_arrives_whole_and_holds_nobody_back)
{
    int fd = admin_bed_dial();
    char *text = malloc(ADMIN_BED_BIG + 16);

    admin_bed_say(fd, "big\n", 4);
    for (int i = 0; i < 20; i++)
        admin_bed_alive(); /* while the answer fills the socket, and its reader sleeps */
    cr_assert_eq(admin_bed_hear(fd, text, ADMIN_BED_BIG + 16), ADMIN_BED_BIG + 2);
    free(text);
    json_t *value = admin_bed_ask("big");
    cr_assert_eq(json_string_length(value), ADMIN_BED_BIG);
    json_decref(value);
}

Test(admin, clients_that_hang_up_early_leave_nothing_behind)
{
    for (int i = 0; i < 300; i++) {
        int fd = admin_bed_dial();
        switch (i % 4) {
        case 0: break;                                  /* at once */
        case 1: admin_bed_say(fd, "sta", 3); break;     /* in the middle of a request */
        case 2: admin_bed_say(fd, "state\n", 6); break; /* before the answer */
        case 3: admin_bed_say(fd, "big\n", 4); break;   /* before the end of the answer */
        }
        close(fd);
        if (i % 10 == 0)
            admin_bed_alive();
    }
    admin_bed_alive();
}

/* As many as there are places say nothing; after their time is over the next one is served. */
Test(admin, silent_clients_do_not_lock_others_out_for_longer_than_their_time)
{
    int silent[2 * ADMIN_CLIENTS_MAX];
    int64_t began = service_now_us(), took;
    json_t *value;
    unsigned refused = 0;

    for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++)
        silent[i] = admin_bed_dial();
    for (;;) {
        value = admin_bed_ask("echo in");
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
    admin_bed_alive();
}

Test(admin, a_reader_that_never_reads_loses_its_place_too)
{
    int fd[ADMIN_CLIENTS_MAX];
    int64_t began = service_now_us();
    json_t *value = NULL;

    for (size_t i = 0; i < ADMIN_CLIENTS_MAX; i++) {
        fd[i] = admin_bed_dial();
        admin_bed_say(fd[i], "big\n", 4);
    }
    while (!value && service_now_us() - began < 3 * ADMIN_TIMEOUT_MS * INT64_C(1000)) {
        value = admin_bed_ask("echo in");
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

    kill(admin_bed.child.pid, SIGKILL);
    cr_assert_eq(child_wait(&admin_bed.child), -SIGKILL);
    cr_assert_eq(stat(admin_bed.path, &st), 0, "left behind");
    admin_bed_start();
    admin_bed_alive();
    admin_bed_stop();
    cr_assert_neq(stat(admin_bed.path, &st), 0, "gone");
}

static void open_admin(void *arg)
{
    service_open(&admin_bed.svc, SERVICE_prober, NULL);
    admin_open(&admin_bed.svc, arg, admin_bed_verb, &admin_bed.svc);
    admin_close();
}

Test(admin, a_path_that_cannot_be_used_is_fatal_at_the_start_and_no_file_is_lost)
{
    static struct child other;
    char file[256], text[8] = "";
    FILE *f;

    snprintf(file, sizeof file, "%s/file", admin_bed.dir);
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
    snprintf(file, sizeof file, "%s/%0110d", admin_bed.dir, 1);
    cr_assert_eq(child_run(&other, open_admin, file), 1);
    snprintf(file, sizeof file, "%s/none/admin", admin_bed.dir);
    cr_assert_eq(child_run(&other, open_admin, file), 1);
}

/* ---- out of descriptors ---------------------------------------------------------------------- */

static rlim_t lowest_free_descriptor(void)
{
    char fds[64];
    bool used[4096] = {false};
    rlim_t lowest = 0;

    snprintf(fds, sizeof fds, "/proc/%d/fd", (int)admin_bed.child.pid);
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
        cr_assert_eq(prlimit(admin_bed.child.pid, RLIMIT_NOFILE, &none, NULL), 0);
    } while (lowest_free_descriptor() < none.rlim_cur);
}

/* Clock ticks that the process has used. */
static unsigned long used(void)
{
    char stat[64];
    unsigned long user = 0, kernel = 0;

    snprintf(stat, sizeof stat, "/proc/%d/stat", (int)admin_bed.child.pid);
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
    p.fd = admin_bed_dial();
    admin_bed_say(p.fd, "echo later\n", 11);
    cr_assert_eq(poll(&p, 1, 1000), 0);
    cr_assert_lt(used() - before, (unsigned long)sysconf(_SC_CLK_TCK) / 4, "it spins");
    cr_assert_eq(prlimit(admin_bed.child.pid, RLIMIT_NOFILE, &many, NULL), 0);
    size_t n = admin_bed_hear(p.fd, text, sizeof text);
    cr_assert_eq(n, 7);
    cr_assert_eq(memcmp(text, "\"later\"", 7), 0);
}
