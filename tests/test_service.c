/*
 * test_service.c - the shell around a core: real sockets, real signals, hostile frames.
 *
 * The service under test is a classifier in a child process that answers each report with a profile of
 * the same serial number; the test plays the coordinator, or the part that somebody else shams.
 */
#include "lib/service.h"
#include "tests/lib/child.h"
#include "tests/lib/random_msg.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/test_service.XXXXXX";
static struct service svc;
static struct outputs out;
static struct child child;
static zsock_t *push, *pull;

static void setup(void) { cr_assert(tidy_mkdtemp(dir)); /* 0700 */ }

static void teardown(void)
{
    zsock_destroy(&push);
    zsock_destroy(&pull);
    if (child.pid > 0)
        kill(child.pid, SIGKILL);
    tidy_remove(dir);
}

TestSuite(service, .init = setup, .fini = teardown, .timeout = 60);

static const char *in_dir(const char *name)
{
    static char path[64];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* ---- the child ------------------------------------------------------------------------------------- */

struct last_words {
    struct service_counters n;
    int stop_signal;
};

/* Answer reports until told to stop; then say what was counted. */
static void serve(void *arg, int fd)
{
    struct input in;

    (void)arg;
    cr_assert(freopen(in_dir("log"), "w", stderr));
    service_open(&svc, SERVICE_classifier, dir);
    service_ready(&svc);
    while (service_wait(&svc, NEVER, &in)) {
        out.n = 0;
        if (in.kind == IN_MSG && in.msg->type == MSG_reflex_report)
            emit(&out, SERVICE_coordinator, MSG_nat_profile)->nat_profile.serial =
                in.msg->reflex_report.serial;
        service_emit(&svc, &out);
    }
    struct last_words words = {svc.n, svc.stop_signal};
    service_close(&svc);
    cr_assert_eq(write(fd, &words, sizeof words), sizeof words);
}

static struct last_words stop_child(int signal)
{
    struct last_words words;

    kill(child.pid, signal);
    cr_assert_eq(read(child.in, &words, sizeof words), sizeof words);
    cr_assert_eq(child_wait(&child), 0);
    child.pid = 0;
    return words;
}

/* ---- the test as the coordinator ------------------------------------------------------------------- */

static zsock_t *new_push(void)
{
    zsock_t *s = zsock_new(ZMQ_PUSH);

    zsock_set_linger(s, 0);
    zsock_set_sndtimeo(s, 10000);
    zsock_set_reconnect_ivl(s, 10);
    cr_assert_eq(zsock_connect(s, "ipc://%s/classifier", dir), 0);
    return s;
}

static void start(void)
{
    child_start(&child, serve, NULL);
    pull = zsock_new(ZMQ_PULL);
    zsock_set_rcvtimeo(pull, 10000);
    cr_assert_eq(zsock_bind(pull, "ipc://%s/coordinator", dir), 0);
    push = new_push();
}

static void report(zsock_t *by, uint32_t serial)
{
    struct msg m = {.type = MSG_reflex_report};
    char body[MSG_SIZE_MAX];

    m.reflex_report.serial = serial;
    size_t len = msg_encode(&m, body);
    cr_assert_eq(zsock_send(by, "ssb", "coordinator", "reflex_report", body, len), 0);
}

/* The next answer's serial number; 0 when none comes in the socket's time. */
static uint32_t next_answer(void)
{
    zmsg_t *raw = zmsg_recv(pull);
    struct msg m;

    if (!raw)
        return 0;
    cr_assert_eq(zmsg_size(raw), 3);
    cr_assert(zframe_streq(zmsg_first(raw), "classifier"));
    cr_assert(zframe_streq(zmsg_next(raw), "nat_profile"));
    zframe_t *body = zmsg_next(raw);
    cr_assert_eq(msg_decode_exact(&m, MSG_nat_profile, zframe_data(body), zframe_size(body), NULL),
                 MSG_OK);
    zmsg_destroy(&raw);
    return m.nat_profile.serial;
}

/* A good message still goes through, and nothing before it was answered. */
static void alive(uint32_t serial)
{
    report(push, serial);
    cr_assert_eq(next_answer(), serial);
}

Test(service, messages_go_both_ways_and_are_counted)
{
    start();
    for (uint32_t i = 1; i <= 100; i++)
        alive(i);
    struct last_words words = stop_child(SIGTERM);
    cr_assert_eq(words.n.messages_in, 100);
    cr_assert_eq(words.n.messages_out, 100);
    cr_assert_eq(words.n.messages_refused + words.n.messages_dropped, 0);
}

Test(service, two_services_understand_each_other)
{
    struct input in;

    child_start(&child, serve, NULL);
    service_open(&svc, SERVICE_coordinator, dir);
    for (uint32_t i = 1; i <= 100; i++) {
        out.n = 0;
        struct msg *m = emit(&out, SERVICE_classifier, MSG_reflex_report);
        *m = (struct msg){.type = MSG_reflex_report, .reflex_report.serial = i};
        service_emit(&svc, &out);
        cr_assert(service_wait(&svc, service_now_us() + 10000000, &in));
        cr_assert(in.kind == IN_MSG && in.msg->type == MSG_nat_profile);
        cr_assert_eq(in.msg->nat_profile.serial, i);
        cr_assert_eq(in.from.service, SERVICE_classifier);
        cr_assert(in.now_us <= service_now_us() && in.wall_ms <= service_wall_ms());
    }
    stop_child(SIGTERM);
    service_close(&svc);
}

Test(service, garbage_is_refused_and_counted_and_the_next_message_arrives)
{
    static const struct {
        const char *picture, *a, *b, *c, *d;
    } garbage[] = {
        {"s",    "coordinator",  "",                                                                  "",                     ""},
        {"s",    "",             "",                                                                  "",                     ""},
        {"ss",   "coordinator",  "reflex_report",                                                     "",                     ""},
        {"ssss", "coordinator",  "reflex_report",                                                     "\x80",                 ""},
        {"sss",  "",             "",                                                                  "",                     ""},
        {"sss",  "coordinator",  "reflex_report",                                                     "",                     ""},
        {"sss",  "coordinator",  "reflex_report",                                                     "\x80",                 ""}, /* a field is missing */
        {"sss",  "coordinator",  "reflex_report",                                                     "\xdd\xff\xff\xff\xff", ""},
        {"sss",  "coordinator",  "no_such_type",                                                      "\x80",                 ""},
        {"sss",  "coordinator",  "",                                                                  "\x80",                 ""},
        {"sss",  "coordinator",  "reflex_report\n",                                                   "\x80",                 ""},
        {"sss",  "coordinator",  "forged\nts=2000 level=fatal svc=x",                                 "\x80",                 ""},
        {"sss",  "coordinator",  "%s%s%s%n",                                                          "\x80",                 ""},
        {"sss",  "prober",       "reflex_report",                                                     "\x80",                 ""},
        {"sss",  "nobody",       "reflex_report",                                                     "\x80",                 ""},
        {"sss",  "none",         "reflex_report",                                                     "\x80",                 ""},
        {"sss",  "coordinato",   "reflex_report",                                                     "\x80",                 ""},
        {"sss",  "coordinators", "reflex_report",                                                     "\x80",                 ""},
        {"sss",  "coordinator",  "a_type_that_is_as_long_as_the_buffer_that_the_receiver_has_for_it",
         "\x80",                                                                                                              ""},
    };
    enum { N = sizeof garbage / sizeof garbage[0] };

    start();
    for (uint32_t i = 0; i < N; i++) {
        cr_assert_eq(zsock_send(push, garbage[i].picture, garbage[i].a, garbage[i].b, garbage[i].c,
                                garbage[i].d),
                     0);
        alive(i + 1);
    }
    struct last_words words = stop_child(SIGTERM);
    cr_assert_eq(words.n.messages_refused, N);
    cr_assert_eq(words.n.messages_in, N);
}

Test(service, only_the_sender_that_the_schema_names_is_heard)
{
    struct msg m = {.type = MSG_reflex_report};
    char body[MSG_SIZE_MAX];
    size_t len = msg_encode(&m, body);
    static const char *const others[] = {"executor", "prober", "relay", "classifier", "none", ""};

    start();
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        zsock_send(push, "ssb", others[i], "reflex_report", body, len);
    zsock_send(push, "sbb", "coordinator", "reflex_report\0x", (size_t)15, body, len);
    zsock_send(push, "bsb", "coordinator\0x", (size_t)13, "reflex_report", body, len);
    zsock_send(push, "ssbs", "coordinator", "reflex_report", body, len, "");
    zsock_send(push, "sssb", "", "coordinator", "reflex_report", body, len);
    m = (struct msg){.type = MSG_nat_profile}; /* ours to send, not to receive */
    len = msg_encode(&m, body);
    zsock_send(push, "ssb", "coordinator", "nat_profile", body, len);
    zsock_send(push, "ssb", "classifier", "nat_profile", body, len);
    alive(1);
    cr_assert_eq(stop_child(SIGTERM).n.messages_refused, 12);
}

static unsigned log_lines(void)
{
    unsigned lines = 0;
    FILE *f = fopen(in_dir("log"), "r");

    cr_assert(f);
    for (int c; (c = getc(f)) != EOF;)
        lines += c == '\n';
    fclose(f);
    return lines;
}

Test(service, ten_thousand_random_messages_do_no_harm_and_do_not_fill_the_log)
{
    struct rng r;
    uint8_t body[600];
    uint64_t refused = 0;
    int64_t began = service_now_us();

    rng_seed(&r, 1);
    start();
    for (uint32_t i = 0; i < 10000; i++) {
        zmsg_t *raw = zmsg_new();
        size_t frames = 1 + rng_below(&r, 5);
        for (size_t f = 0; f < frames; f++) {
            rng_bytes(&r, body, sizeof body);
            size_t len = rng_below(&r, sizeof body);
            if (f == 0 && rng_below(&r, 4))
                zmsg_addstr(raw, "coordinator");
            else if (f == 1 && rng_below(&r, 4))
                zmsg_addstr(raw, "reflex_report");
            else
                zmsg_addmem(raw, body, len);
        }
        refused++;
        cr_assert_eq(zmsg_send(&raw, push), 0);
    }
    alive(1);
    cr_assert_eq(stop_child(SIGTERM).n.messages_refused, refused);
    int64_t seconds = (service_now_us() - began) / 1000000;
    cr_assert_leq(log_lines(), 20 + 11 * (seconds + 1));
}

Test(service, a_huge_body_costs_its_sender_the_connection_and_nobody_else)
{
    char *huge = calloc(1, 1 << 20);
    zsock_t *hostile;

    start();
    alive(1);
    hostile = new_push();
    for (int i = 0; i < 20; i++)
        zsock_send(hostile, "ssb", "coordinator", "reflex_report", huge, (size_t)(1 << 20));
    alive(2);
    zsock_send(hostile, "ssb", "coordinator", "reflex_report", huge, (size_t)MSG_SIZE_MAX + 1);
    alive(3);
    zsock_destroy(&hostile);
    hostile = new_push(); /* and it may come back and behave */
    report(hostile, 4);
    cr_assert_eq(next_answer(), 4);
    zsock_send(hostile, "ssb", "coordinator", "reflex_report", huge, (size_t)MSG_SIZE_MAX);
    report(hostile, 5); /* the largest frame is only refused */
    cr_assert_eq(next_answer(), 5);
    zsock_destroy(&hostile);
    free(huge);
    cr_assert_eq(stop_child(SIGTERM).n.messages_refused, 1);
}

Test(service, a_message_of_ten_thousand_frames_is_one_refused_message)
{
    zmsg_t *raw = zmsg_new();

    start();
    for (int i = 0; i < 10000; i++)
        zmsg_addstr(raw, "coordinator");
    cr_assert_eq(zmsg_send(&raw, push), 0);
    alive(1);
    struct last_words words = stop_child(SIGTERM);
    cr_assert(words.n.messages_refused == 1 && words.n.messages_in == 1);
}

/* ---- the bus directory ------------------------------------------------------------------------------- */

static void open_on(void *arg)
{
    service_open(&svc, SERVICE_relay, arg);
    service_close(&svc);
}

Test(service, a_bus_directory_that_others_may_enter_is_refused)
{
    static const struct {
        mode_t mode;
        bool good;
    } modes[] = {
        {0700,  true },
        {0701,  false},
        {0710,  false},
        {0750,  false},
        {0704,  false},
        {0770,  false},
        {0707,  false},
        {0755,  false},
        {0777,  false},
        {01777, false}
    };

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        cr_assert_eq(chmod(dir, modes[i].mode), 0);
        cr_assert_eq(child_run(&child, open_on, dir), modes[i].good ? 0 : 1, "%o %s", modes[i].mode,
                     child.err);
        cr_assert(modes[i].good || strstr(child.err, "level=fatal"), "%s", child.err);
        cr_assert(modes[i].good || strstr(child.err, "0700"), "%s", child.err);
    }
    chmod(dir, 0700);
    child.pid = 0;
}

Test(service, a_bus_directory_that_is_not_there_is_refused)
{
    char path[200];
    FILE *f = fopen(in_dir("file"), "w");

    fclose(f);
    chmod(in_dir("file"), 0700);
    snprintf(path, sizeof path, "%s", in_dir("file"));
    cr_assert_eq(child_run(&child, open_on, path), 1);
    snprintf(path, sizeof path, "%s", in_dir("none"));
    cr_assert_eq(child_run(&child, open_on, path), 1);
    snprintf(path, sizeof path, "%s/%0150d", dir, 7); /* longer than a socket's path may be */
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(child_run(&child, open_on, path), 1);
    cr_assert(strstr(child.err, "event=no_bus to=coordinator"), "%s", child.err);
    child.pid = 0;
}

/* ---- a queue that can't take more ---------------------------------------------------------------------- */

/* ASan has its own allocator, and its own count. */
__attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes(void);

static size_t allocated(void)
{
    if (__sanitizer_get_current_allocated_bytes)
        return __sanitizer_get_current_allocated_bytes();
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static void send_usage(unsigned n)
{
    while (n-- > 0) {
        out.n = 0;
        emit(&out, SERVICE_coordinator, MSG_relay_usage);
        service_emit(&svc, &out);
    }
}

Test(service, what_a_queue_cannot_take_is_dropped_counted_and_freed)
{
    cr_assert(freopen(in_dir("log"), "w", stderr));
    service_open(&svc, SERVICE_relay, dir); /* nobody listens */
    send_usage(12000);
    cr_assert_gt(svc.n.messages_dropped, 0);
    uint64_t dropped = svc.n.messages_dropped;
    size_t before = allocated();
    int64_t began = service_now_us();
    send_usage(10000);
    cr_assert_eq(svc.n.messages_dropped, dropped + 10000);
    cr_assert_eq(svc.n.messages_out + svc.n.messages_dropped, 22000);
    cr_assert_lt(allocated(), before + 100000, "grew by %zu", allocated() - before);
    cr_assert_lt(service_now_us() - began, 10000000, "nothing waited");
    service_close(&svc);
}
