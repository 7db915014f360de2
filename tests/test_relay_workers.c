/*
 * test_relay_workers.c - a relay of several workers as a process: each session is one worker's, and nobody
 * outside sees that there are several.
 */
#include "tests/lib/child.h"
#include "tests/lib/relay_host.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <poll.h>
#include <unistd.h>

enum { WORKERS = 4, SESSIONS = 24, EACH = 300, ANSWER_MS = 1000 };

TestSuite(relay_workers, .init = relay_host_setup, .fini = relay_host_teardown, .timeout = 60);

static const char *const four[] = {"--workers", "4", NULL};

static struct sid session_id(uint8_t n)
{
    return (struct sid){
        {n, 7}
    };
}

static void bind_both(int a, int b, uint8_t n)
{
    struct sid sid = session_id(n);
    struct ticket t0 = relay_host_ticket(&sid, 0), t1 = relay_host_ticket(&sid, 1);

    cr_assert_eq(relay_host_bind(a, &t0), RELAY_WAITING);
    cr_assert_eq(relay_host_bind(b, &t1), RELAY_READY);
    cr_assert_eq(relay_host_receive(a).status, RELAY_READY);
}

static void make(uint8_t wire[static EACH], uint8_t session, uint8_t to_side, uint8_t number)
{
    struct sid sid = session_id(session);
    struct path_id to = path_id(&sid, to_side);

    memset(wire, number, EACH);
    wire[0] = PACKET_DATA;
    memcpy(wire + 1, to.b, sizeof to.b);
}

static void expect(int fd, const uint8_t *data)
{
    uint8_t got[DATAGRAM_MAX];

    cr_assert_eq(recv(fd, got, sizeof got, 0), EACH);
    cr_assert_arr_eq(got, data, EACH);
}

static int64_t of_worker(const json_t *state, size_t worker, const char *counter)
{
    const json_t *w = json_array_get(json_object_get(state, "workers"), worker);

    return json_integer_value(json_object_get(json_object_get(w, "counters"), counter));
}

Test(relay_workers, share_the_sessions_and_count_each_for_itself)
{
    int64_t opened = 0, forwarded = 0;
    uint8_t wire[EACH];
    int with_some = 0;

    relay_host_start("127.0.0.1", four);
    for (uint8_t n = 0; n < SESSIONS; n++) {
        int a = relay_host_peer(), b = relay_host_peer();
        bind_both(a, b, n);
        make(wire, n, 1, n);
        cr_assert_eq(send(a, wire, EACH, 0), EACH);
        expect(b, wire);
        make(wire, n, 0, n);
        cr_assert_eq(send(b, wire, EACH, 0), EACH);
        expect(a, wire);
        close(a), close(b);
    }
    json_t *j = relay_host_state();
    cr_assert_eq(json_array_size(json_object_get(j, "workers")), WORKERS);
    for (size_t w = 0; w < WORKERS; w++) {
        opened += of_worker(j, w, "sessions_opened");
        forwarded += of_worker(j, w, "forwarded_packets");
        with_some += of_worker(j, w, "forwarded_packets") > 0;
    }
    cr_assert(opened == SESSIONS && forwarded == 2 * SESSIONS);
    cr_assert_geq(with_some, 3);
    cr_assert_eq(json_integer_value(json_object_get(j, "sessions")), SESSIONS);
    json_decref(j);
    cr_assert_eq(relay_host_counter("forwarded_packets"), 2 * SESSIONS);
}

/* As one message, which the loopback leaves one, so that it comes to one worker. */
static void send_train(int fd, const uint8_t *data, size_t len)
{
    int each = EACH;

    cr_assert_eq(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &each, sizeof each), 0);
    cr_assert_eq(send(fd, data, len, 0), (ssize_t)len);
    each = 0;
    cr_assert_eq(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &each, sizeof each), 0);
}

Test(relay_workers, hand_over_what_the_kernel_merged_for_one_of_them)
{
    uint8_t train[SESSIONS * EACH];
    int64_t handed = 0;
    int b[SESSIONS];

    relay_host_start("127.0.0.1", four);
    int a = relay_host_peer(); /* has all sessions by one socket, as an executor does */
    for (uint8_t n = 0; n < SESSIONS; n++) {
        b[n] = relay_host_peer();
        bind_both(a, b[n], n);
    }
    for (uint8_t round = 0; round < 20; round++) {
        for (uint8_t n = 0; n < SESSIONS; n++)
            make(train + n * EACH, n, 1, round);
        send_train(a, train, sizeof train);
        for (uint8_t n = 0; n < SESSIONS; n++)
            expect(b[n], train + n * EACH);
    }
    json_t *j = relay_host_state();
    for (size_t w = 0; w < WORKERS; w++) {
        const json_t *it = json_array_get(json_object_get(j, "workers"), w);
        handed += json_integer_value(json_object_get(it, "handed_over"));
        cr_assert_eq(json_integer_value(json_object_get(it, "lost")), 0);
        cr_assert_eq(of_worker(j, w, "strangers"), 0);
    }
    cr_assert_gt(handed, 0);
    json_decref(j);
    for (uint8_t n = 0; n < SESSIONS; n++)
        close(b[n]);
    close(a);
}

/* One whom the relay answers: of two that share a cell of its limiter only the first is (RELAY_STRANGERS). */
static int heard_stranger(const uint8_t *wire)
{
    for (int i = 0; i < 5; i++) {
        int fd = relay_host_peer();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        cr_assert_eq(send(fd, wire, EACH, 0), EACH);
        if (poll(&p, 1, ANSWER_MS) > 0)
            return fd;
        close(fd);
    }
    cr_assert_fail("no answer");
    return -1;
}

/* The one that a datagram of an unknown path came to, and the session's own. */
Test(relay_workers, bind_by_each_others_word)
{
    uint8_t wire[EACH];

    relay_host_start("127.0.0.1", four);
    for (uint8_t n = 0; n < SESSIONS; n++) {
        struct sid sid = session_id(n);
        struct ticket t = relay_host_ticket(&sid, 0);
        make(wire, n, 1, n);
        int fd = heard_stranger(wire);
        struct relay_control c = relay_host_receive(fd);
        cr_assert_eq(c.op, RELAY_AGAIN);
        c.op = RELAY_PROVE;
        memcpy(c.nonce, c.path.b, sizeof c.nonce);
        relay_host_seal(&t, c.ticket);
        relay_host_send(fd, &c);
        c = relay_host_receive(fd);
        cr_assert(c.op == RELAY_BOUND && c.status == RELAY_WAITING);
        close(fd);
    }
}

Test(relay_workers, hold_no_more_sessions_together_than_one_relay_may)
{
    static const char *const flags[] = {"--workers", "4", "--sessions", "10", NULL};
    int a = -1;

    relay_host_start("127.0.0.1", flags);
    for (uint8_t n = 0; n < SESSIONS; n++) {
        struct sid sid = session_id(n);
        struct ticket t = relay_host_ticket(&sid, 0);
        a = relay_host_peer();
        cr_assert_eq(relay_host_bind(a, &t), n < 10 ? RELAY_WAITING : RELAY_FULL);
        close(a);
    }
    cr_assert_eq(relay_host_counter("refused_full"), SESSIONS - 10);
}

/* It may tell of fewer for a while. */
static uint32_t wait_hello(uint32_t sessions)
{
    struct msg_relay_hello m;

    do
        m = relay_host_hello();
    while (m.sessions != sessions);
    return m.sessions_max;
}

Test(relay_workers, are_one_relay_to_the_coordinator_until_the_last_session_has_gone)
{
    struct sid sid;

    relay_host_start("127.0.0.1", four);
    for (uint8_t n = 0; n < SESSIONS; n++) {
        int a = relay_host_peer();
        sid = session_id(n);
        struct ticket t = relay_host_ticket(&sid, 0);
        cr_assert_eq(relay_host_bind(a, &t), RELAY_WAITING);
        close(a);
    }
    cr_assert_eq(wait_hello(SESSIONS), 10000);
    kill(relay_host.pid, SIGUSR1);
    cr_assert_eq(wait_hello(SESSIONS), SESSIONS); /* no room */
    int b = relay_host_peer(), status = RELAY_WAITING;
    for (uint8_t n = SESSIONS; n < 2 * SESSIONS; n++) { /* at every worker */
        sid = session_id(n);
        struct ticket t = relay_host_ticket(&sid, 0);
        status = (int)relay_host_bind(b, &t);
        cr_assert_eq(status, RELAY_FULL);
    }
    cr_assert_eq(relay_host_counter("refused_draining"), SESSIONS);
    close(b);
    kill(relay_host.pid, SIGTERM);
    cr_assert_eq(child_status(relay_host.pid), 0);
    relay_host.pid = 0;
}
