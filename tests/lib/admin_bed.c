/* admin_bed.c - see admin_bed.h. */
#include "tests/lib/admin_bed.h"
#include "lib/peercred.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct admin_bed admin_bed = {.dir = "/tmp/test_admin.XXXXXX"};

json_t *admin_bed_verb(void *arg, const char *name, const char *argument)
{
    cr_assert_eq(arg, &admin_bed.svc);
    if (strcmp(name, "echo") == 0)
        return json_string(argument);
    if (strcmp(name, "state") == 0)
        return admin_counters(&admin_bed.svc.n);
    if (strcmp(name, "big") == 0) {
        char *text = malloc(ADMIN_BED_BIG + 1);
        memset(text, 'x', ADMIN_BED_BIG);
        text[ADMIN_BED_BIG] = '\0';
        json_t *value = json_string(text);
        free(text);
        return value;
    }
    return NULL;
}

static void serve(void *arg, int fd)
{
    struct input in;

    (void)arg;
    cr_assert(peercred_set_group(admin_bed.group));
    service_open(&admin_bed.svc, SERVICE_prober, NULL);
    admin_open(&admin_bed.svc, admin_bed.path, admin_bed_verb, &admin_bed.svc);
    cr_assert_eq(write(fd, "r", 1), 1);
    while (service_wait(&admin_bed.svc, NEVER, &in))
        continue;
    admin_close();
    service_close(&admin_bed.svc);
}

void admin_bed_start(void)
{
    char ready;

    child_start(&admin_bed.child, serve, NULL);
    cr_assert_eq(read(admin_bed.child.in, &ready, 1), 1);
}

void admin_bed_open(void)
{
    signal(SIGPIPE, SIG_DFL); /* so that a write to who has left shows */
    cr_assert(tidy_mkdtemp(admin_bed.dir));
    snprintf(admin_bed.path, sizeof admin_bed.path, "%s/admin", admin_bed.dir);
    admin_bed_start();
}

void admin_bed_stop(void)
{
    kill(admin_bed.child.pid, SIGTERM);
    cr_assert_eq(child_wait(&admin_bed.child), 0);
    admin_bed.child.pid = 0;
}

void admin_bed_close(void)
{
    if (admin_bed.child.pid > 0)
        admin_bed_stop();
    unlink(admin_bed.path);
    rmdir(admin_bed.dir);
}

json_t *admin_bed_ask(const char *request)
{
    char err[256] = "";

    return admin_ask(admin_bed.path, request, 10000, err, sizeof err);
}

void admin_bed_alive(void)
{
    json_t *value = admin_bed_ask("echo still here");

    cr_assert(value);
    cr_assert_str_eq(json_string_value(value), "still here");
    json_decref(value);
}

int admin_bed_dial(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct timeval limit = {10, 0};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", admin_bed.path);
    cr_assert_eq(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

void admin_bed_say(int fd, const void *data, size_t n)
{
    cr_assert_eq(send(fd, data, n, MSG_NOSIGNAL), (ssize_t)n);
}

size_t admin_bed_hear(int fd, char *text, size_t cap)
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
