/*
 * test_relay_flow.c - a numbered flow of 1,000 packets a second over a relay that drains, and over one that dies:
 * what arrives and what doesn't.  Real processes; what is lost counts, since it is what does not depend on how busy
 * this machine is.  To the microsecond it is in test_sim_relay.c.
 */
#include "tests/lib/ground.h"
#include "tests/lib/lab_bed.h"
#include "tests/lib/second_relay.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct ground ground;

enum {
    PER_S = 1000,
    GAP_MAX = 20, /* packets in a row, which is 20 ms */
    BEFORE = 300, /* numbers sent before it happens */
    AFTER =
        3000, /* and in all: a suite's coordinator settles for up to a second before its relay drains */
    LATE_NS = 1000 * 1000 * 1000,
    LOST_MS = 150, /* later than this is lost, where one at a time is sent */
    GONE_MAX = 60, /* of these: five silent KEEPs, four binds, and a new order take about 4 s */
    OUTAGE_MAX =
        300, /* packets, of a relay that dies and is started again: until the process is there, and one round trip */
};

TestSuite(relay_flow, .timeout = 120);

struct flow {
    int fd;
    bool came[AFTER];
    unsigned in_all;
    int64_t last_ns, gap_ns; /* of arrivals: printed only */
};

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* What has come back within this time. */
static void hear(struct flow *f, int ms)
{
    struct pollfd p = {.fd = f->fd, .events = POLLIN};
    unsigned number;

    while (poll(&p, 1, ms) > 0 && recv(f->fd, &number, sizeof number, 0) == sizeof number) {
        int64_t now = now_ns();
        if (f->last_ns > 0 && now - f->last_ns > f->gap_ns)
            f->gap_ns = now - f->last_ns;
        f->last_ns = now;
        if (number < AFTER && !f->came[number])
            f->in_all += f->came[number] = true;
        ms = 0;
    }
}

/* Numbers from..to at their rate, as far as this machine lets it. */
static void send_numbers(struct flow *f, unsigned from, unsigned to)
{
    struct sockaddr_in at = bed_sockaddr("127.0.0.1:5000");
    int64_t begin = now_ns();

    for (unsigned i = from; i < to; i++) {
        while (now_ns() < begin + (int64_t)(i - from) * (1000000000 / PER_S))
            hear(f, 1);
        cr_assert_eq(sendto(f->fd, &i, sizeof i, 0, (struct sockaddr *)&at, sizeof at), sizeof i);
    }
}

/* One a time, until they come back again; how many were sent for it. */
static unsigned send_until_heard(struct flow *f, unsigned from)
{
    for (unsigned i = from; i < AFTER; i++) {
        send_numbers(f, i, i + 1);
        hear(f, LOST_MS);
        if (f->came[i])
            return i - from;
    }
    return AFTER;
}

static void hear_the_rest(struct flow *f)
{
    for (int64_t end = now_ns() + LATE_NS; f->in_all < AFTER && now_ns() < end;)
        hear(f, 10);
}

static unsigned longest_loss(const struct flow *f)
{
    unsigned longest = 0, run = 0;

    for (unsigned i = 0; i < AFTER; i++) {
        run = f->came[i] ? 0 : run + 1;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/* alice's program to bob, who echoes; the first number has been there and back. */
static struct ground_run open_flow(struct flow *f, const char *mode)
{
    struct ground_run r = ground_start(&ground, "alice", "connect",
                                       ARGS("bob", "--udp", "127.0.0.1:5000", "--mode", mode));
    json_t *line;
    const char *event = "";

    for (; strcmp(event, "forwarding") != 0; json_decref(line)) {
        cr_assert(line = ground_line(&r, GROUND_WAIT_MS));
        event = strcmp(ground_text(line, "event"), "forwarding") == 0 ? "forwarding" : "";
    }
    memset(f, 0, sizeof *f);
    f->fd = lab_socket(&ground.lab, "alice", SOCK_DGRAM, "127.0.0.1", 0);
    cr_assert_geq(f->fd, 0);
    for (int i = 0; i < 100 && !f->came[0]; i++) {
        send_numbers(f, 0, 1);
        hear(f, 100);
    }
    cr_assert(f->came[0]);
    f->last_ns = f->gap_ns = 0;
    return r;
}

static void listen_as(const char *mode)
{
    struct ground_run r =
        ground_start(&ground, "bob", "listen", ARGS("--name", "bob", "--echo", "--mode", mode));
    json_t *line = ground_line(&r, GROUND_WAIT_MS);

    cr_assert(line && strcmp(ground_text(line, "event"), "listening") == 0);
    json_decref(line);
}

static void close_flow(struct flow *f, struct ground_run *r)
{
    int status;

    kill(r->pid, SIGTERM);
    json_t *line = ground_result(r, &status);
    cr_assert_eq(status, 3, "%s", ground_text(line, "verdict"));
    json_decref(line);
    close(f->fd);
}

/* Packets by the first relay. */
static double carried(void)
{
    json_t *state = ground_admin(&ground, "state", "relay");
    double n = ground_number(json_object_get(state, "counters"), "forwarded_packets");

    json_decref(state);
    return n;
}

/* The relay alone. */
static void drain_relay(void) { kill(ground_pid(&ground, "relay"), SIGUSR1); }

/* The whole suite of this host; says whether sessions have where to go. */
static void drain_suite(void)
{
    json_t *answer = ground_admin(&ground, "drain", NULL);
    const json_t *relay = json_object_get(json_object_get(answer, "processes"), "relay");

    cr_assert_eq(ground_number(relay, "sessions"), 1);
    cr_assert(json_is_true(json_object_get(relay, "move")));
    json_decref(answer);
}

/* The first relay is a little nearer, and so the one that is taken until it drains. */
static void expect_drained_without_a_gap(const char *delay, const char *other, const char *mode,
                                         void (*drain)(void))
{
    struct flow f;

    ground_open_lab(&ground,
                    ARGS("--delay", delay, other, "alice=apd/random/apd", "bob=apd/random/apd"));
    second_relay_up(&ground, "", "100");
    listen_as(mode);
    struct ground_run r = open_flow(&f, mode);
    send_numbers(&f, 1, BEFORE);
    cr_assert_geq(carried(), BEFORE);
    drain();
    send_numbers(&f, BEFORE, AFTER);
    hear_the_rest(&f);
    printf("drained: %u of %u lost, %u in a row; longest pause %.1f ms\n", AFTER - f.in_all, AFTER,
           longest_loss(&f), (double)f.gap_ns / 1e6);
    cr_assert_lt(carried(), 2 * AFTER, "it still carries the session");
    cr_assert_leq(longest_loss(&f), GAP_MAX);
    cr_assert(f.came[AFTER - 1]);
    close_flow(&f, &r);
    ground_close(&ground);
}

Test(relay_flow, a_relay_that_drains_hands_its_sessions_over_without_a_gap)
{
    expect_drained_without_a_gap("5ms", "other=open,ip=203.0.113.30,delay=8ms", "managed",
                                 drain_relay);
}

Test(relay_flow, a_whole_suite_that_drains_moves_its_sessions_before_it_ends)
{
    expect_drained_without_a_gap("5ms", "other=open,ip=203.0.113.30,delay=8ms", "managed",
                                 drain_suite);
}

/* What is on its way is lost, in each direction once: the flow goes both. */
Test(relay_flow, a_relay_that_drains_hands_raw_sessions_over_with_no_gap_but_what_is_on_its_way)
{
    expect_drained_without_a_gap("2ms", "other=open,ip=203.0.113.30,delay=4ms", "raw", drain_relay);
}

/* It is nearer, and so the one that is taken; nothing says that it has gone but its silence. */
Test(relay_flow, sessions_of_a_relay_that_dies_for_good_go_on_over_another)
{
    struct flow f;

    ground_open_lab(&ground, ARGS("--delay", "20ms", "other=open,ip=203.0.113.30,delay=1ms",
                                  "alice=apd/random/apd", "bob=apd/random/apd"));
    struct ground_run other = second_relay_up(&ground, "", "100");
    ground_listen(&ground, "bob");
    struct ground_run r = open_flow(&f, "managed");
    send_numbers(&f, 1, BEFORE);
    cr_assert_lt(carried(), BEFORE, "it is not the other relay's");
    kill(ground_program(&other), SIGKILL);
    unsigned lost = send_until_heard(&f, BEFORE);
    printf("dead for good: back after %u tries, every %d ms\n", lost, LOST_MS);
    cr_assert_leq(lost, GONE_MAX);
    close_flow(&f, &r);
    ground_close(&ground);
}

Test(relay_flow, a_relay_that_dies_and_is_started_again_loses_no_session)
{
    struct flow f;

    ground_open_lab(&ground, ARGS("--delay", "5ms", "alice=apd/random/apd", "bob=apd/random/apd"));
    ground_up(&ground, "203.0.113.10,203.0.113.11", "");
    ground_listen(&ground, "bob");
    struct ground_run r = open_flow(&f, "managed");
    send_numbers(&f, 1, BEFORE);
    ground_kill(&ground, "relay");
    send_numbers(&f, BEFORE, AFTER);
    hear_the_rest(&f);
    printf("killed: %u of %u lost, %u in a row; longest pause %.1f ms\n", AFTER - f.in_all, AFTER,
           longest_loss(&f), (double)f.gap_ns / 1e6);
    cr_assert(f.came[AFTER - 1], "the session is lost");
    cr_assert_leq(longest_loss(&f), OUTAGE_MAX);
    close_flow(&f, &r);
    ground_close(&ground);
}
