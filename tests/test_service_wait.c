/* test_service_wait.c - what a service waits for: its deadline, its sources in turn, the end. */
#include "lib/service.h"
#include "tests/lib/child.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static struct service svc;
static struct child child;

static void setup(void) { service_open(&svc, SERVICE_prober, NULL); }
static void teardown(void) { service_close(&svc); }

TestSuite(service_wait, .init = setup, .fini = teardown, .timeout = 30);

Test(service_wait, the_tick_comes_at_the_deadline_and_not_before)
{
    struct input in;

    for (int64_t us = 0; us < 40000; us = us * 2 + 700) {
        int64_t deadline = service_now_us() + us;
        cr_assert(service_wait(&svc, deadline, &in));
        cr_assert_eq(in.kind, IN_TICK);
        cr_assert_geq(in.now_us, deadline);
        cr_assert_lt(in.now_us, deadline + 5000000);
    }
}

Test(service_wait, a_deadline_that_is_over_is_a_tick_at_once)
{
    struct input in;

    for (int64_t deadline = INT64_MIN; deadline <= 1; deadline += INT64_MAX / 2) {
        int64_t began = service_now_us();
        cr_assert(service_wait(&svc, deadline, &in));
        cr_assert_eq(in.kind, IN_TICK);
        cr_assert_lt(in.now_us - began, 1000000);
    }
}

/* ---- sources ------------------------------------------------------------------------------------------- */

struct source {
    int fd[2];
    unsigned taken;
    struct source *drop, *add; /* when taken: forget that one, watch this one */
};

static bool take(struct service *s, void *arg, struct input *in);

static void watch(struct source *x) { service_watch_fd(&svc, x->fd[0], ZMQ_POLLIN, take, x); }

static bool take(struct service *s, void *arg, struct input *in)
{
    struct source *x = arg;

    cr_assert_eq(s, &svc);
    x->taken++;
    if (!x->drop) {
        in->kind = IN_LINK;
        return true;
    }
    char c;
    cr_assert_eq(read(x->fd[0], &c, 1), 1);
    service_unwatch_fd(&svc, x->drop->fd[0]);
    watch(x->add);
    return false;
}

static struct source *new_source(bool readable)
{
    struct source *x = calloc(1, sizeof *x);

    cr_assert(x && pipe(x->fd) == 0);
    cr_assert(!readable || write(x->fd[1], "r", 1) == 1);
    return x;
}

static void free_source(struct source *x)
{
    close(x->fd[0]), close(x->fd[1]);
    free(x);
}

Test(service_wait, busy_sources_take_turns)
{
    struct source *x[5];
    struct input in;

    for (size_t i = 0; i < 5; i++)
        watch(x[i] = new_source(true));
    for (unsigned i = 0; i < 500; i++)
        cr_assert(service_wait(&svc, NEVER, &in) && in.kind == IN_LINK);
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq(x[i]->taken, 100);
        service_unwatch_fd(&svc, x[i]->fd[0]);
        free_source(x[i]);
    }
}

Test(service_wait, a_busy_source_does_not_hold_back_a_deadline)
{
    struct source *x = new_source(true);
    struct input in;
    int64_t deadline = service_now_us() + 3000;

    watch(x);
    do
        cr_assert(service_wait(&svc, deadline, &in));
    while (in.kind != IN_TICK);
    cr_assert_geq(in.now_us, deadline);
    cr_assert_lt(in.now_us, deadline + 5000000);
    free_source(x);
}

Test(service_wait, deadlines_that_are_always_over_do_not_hold_back_a_source)
{
    struct source *x = new_source(true);
    struct input in;
    unsigned ticks = 0;

    watch(x);
    for (int i = 0; i < 100; i++) {
        cr_assert(service_wait(&svc, 0, &in));
        ticks += in.kind == IN_TICK;
    }
    cr_assert_eq(ticks, 50);
    cr_assert_eq(x->taken, 50);
    free_source(x);
}

/* The list changes while it is being walked, and is as long as before: nobody may be taken for another. */
Test(service_wait, only_a_source_that_is_readable_is_taken)
{
    struct source *a = new_source(true), *b = new_source(true), *c = new_source(false),
                  *d = new_source(false);
    struct input in;

    a->drop = b, a->add = d;
    watch(a), watch(b), watch(c);
    cr_assert(service_wait(&svc, service_now_us() + 20000, &in));
    cr_assert_eq(in.kind, IN_TICK);
    cr_assert_eq(a->taken, 1);
    cr_assert_eq(b->taken, 0, "it is watched no more");
    cr_assert_eq(c->taken + d->taken, 0, "they are not readable");
    cr_assert_eq(write(d->fd[1], "r", 1), 1);
    cr_assert(service_wait(&svc, NEVER, &in) && in.kind == IN_LINK);
    cr_assert_eq(d->taken, 1);
    free_source(a), free_source(b), free_source(c), free_source(d);
}

Test(service_wait, forgetting_what_is_not_watched_is_nothing)
{
    size_t n = svc.n_sources;

    service_unwatch_fd(&svc, 12345);
    cr_assert_eq(svc.n_sources, n);
}

/* ---- the beginning and the end ---------------------------------------------------------------------------- */

static void wait_for_the_end(void *arg, int fd)
{
    static struct service own;
    struct input in;
    int64_t deadline = *(int64_t *)arg;

    service_open(&own, SERVICE_relay, NULL);
    cr_assert_eq(write(fd, "r", 1), 1);
    while (service_wait(&own, deadline, &in))
        continue;
    cr_assert_eq(write(fd, &own.stop_signal, sizeof own.stop_signal), sizeof own.stop_signal);
    service_close(&own);
}

static void ends_by(int signal, int64_t deadline)
{
    char ready;
    int told = 0;

    child_start(&child, wait_for_the_end, &deadline);
    cr_assert_eq(read(child.in, &ready, 1), 1);
    kill(child.pid, signal);
    cr_assert_eq(read(child.in, &told, sizeof told), sizeof told);
    cr_assert_eq(told, signal);
    cr_assert_eq(child_wait(&child), 0);
}

/* No service is open where these fork: its threads may be in the middle of something. */
TestSuite(service_ends, .timeout = 30);

Test(service_ends, by_sigterm_and_sigint) { ends_by(SIGTERM, NEVER), ends_by(SIGINT, NEVER); }

Test(service_ends, by_sigterm_however_busy_it_is) { ends_by(SIGTERM, 0); }

Test(service_wait, what_wants_to_stop_stops)
{
    struct input in;

    svc.stop = true;
    cr_assert(!service_wait(&svc, 0, &in));
}

Test(service_wait, readiness_is_a_line_on_the_descriptor_asked_for)
{
    int fd[2];
    char number[16], text[32] = "";

    cr_assert_eq(pipe(fd), 0);
    snprintf(number, sizeof number, "%d", fd[1]);
    setenv("NATTERJACK_READY_FD", number, 1);
    service_ready(&svc);
    cr_assert_eq(read(fd[0], text, sizeof text - 1), 7);
    cr_assert_str_eq(text, "prober\n");
    cr_assert_eq(read(fd[0], text, sizeof text), 0, "and then it is closed");
    cr_assert_null(getenv("NATTERJACK_READY_FD"));

    static const char *const useless[] = {"", "x", "-1", "0", "2", "1024", "99999999999"};
    for (size_t i = 0; i < sizeof useless / sizeof useless[0]; i++) {
        setenv("NATTERJACK_READY_FD", useless[i], 1);
        service_ready(&svc);
        cr_assert_neq(fcntl(2, F_GETFD), -1, "%s", useless[i]);
    }
    close(fd[0]);
}
