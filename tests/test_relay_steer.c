/*
 * test_relay_steer.c - which of the relay's queues a packet goes to: what the core keeps for the kernel, and
 * the kernel's program that reads it, on real sockets.
 */
#include "lib/udp.h"
#include "services/relay/steer_shell.h"
#include "tests/lib/relay_bed.h"
#include "tests/lib/sockets.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

enum { SESSIONS_MAX = 100 };

static struct relay_bed bed;
static struct steer steer = {.map = -1, .keys = -1};
static int others = -1; /* the first worker's, and those beside it: */
static int of_sessions = -1, of_tickets = -1;

static void setup(void)
{
    relay_bed_open(&bed, SESSIONS_MAX, 1);
    cr_assert(steer_init(&steer, SESSIONS_MAX), "root is needed");
    bed.conf.marks = steer.table;
    bed.conf.proofs = steer.proofs;
    relay_bed_restart(&bed, 1);
    relay_bed_run(&bed, 1); /* now it has keys */
}

static void teardown(void)
{
    for (unsigned i = STEER_QUEUES; i < steer.n_fds; i += STEER_QUEUES)
        close(steer.fd[i]);
    close(others);
    steer_close(&steer);
    relay_bed_close(&bed);
}

TestSuite(relay_steer, .init = setup, .fini = teardown, .timeout = 20);

/* ---- the kernel's program ---------------------------------------------------------------------- */

static struct addr at; /* of the relay */

enum { WORKERS_MAX = 8 };
static unsigned n_workers = 1;

static void open_at(const struct addr *local)
{
    at = *local;
    others = sockets_udp(&at);
    cr_assert(steer_open(&steer, others, n_workers), "%s", strerror(errno));
    of_sessions = steer_fd(&steer, 0, STEER_SESSIONS);
    of_tickets = steer_fd(&steer, 0, STEER_TICKETS);
}

static int open_source(struct addr *src)
{
    *src = at;
    src->port = 0;
    int fd = sockets_udp(src);
    sockets_connect(fd, &at);
    return fd;
}

static void expect_queue(int queue, int from, const void *data, size_t len)
{
    const int queues[] = {others, of_tickets, of_sessions};
    uint8_t got[2048];

    cr_assert_eq(send(from, data, len, 0), (ssize_t)len);
    cr_assert_eq(recv(queue, got, sizeof got, MSG_DONTWAIT), (ssize_t)len, "%02x, %zu bytes",
                 *(const uint8_t *)data, len);
    for (unsigned i = 0; i < STEER_QUEUES; i++)
        cr_assert(recv(queues[i], got, sizeof got, MSG_DONTWAIT) < 0);
}

static void make(uint8_t wire[static 40], uint8_t type, uint64_t path)
{
    memset(wire, 0, 40);
    wire[0] = type;
    for (unsigned i = 0; i < 8; i++)
        wire[1 + i] = (uint8_t)(path >> (56 - 8 * i));
}

Test(relay_steer, packets_of_sessions_have_a_queue_of_their_own)
{
    struct addr any = addr_v4(127, 0, 0, 1, 0), src;
    uint8_t wire[40], keep[10] = {PACKET_RELAY, RELAY_KEEP}, stun[40] = {0};
    uint64_t path = UINT64_C(0x8899aabbccddeeff);

    open_at(&any);
    int from = open_source(&src);
    marks_add(&steer.table, path & MARKS_KEY);
    make(wire, PACKET_DATA, path);
    expect_queue(of_sessions, from, wire, sizeof wire);
    expect_queue(of_sessions, from, wire, 10);
    expect_queue(others, from, wire, 9);
    expect_queue(others, from, wire, 1);
    make(wire, PACKET_PUNCH, path);
    expect_queue(of_sessions, from, wire, sizeof wire);
    make(wire, PACKET_DATA + 1, path);
    expect_queue(others, from, wire, sizeof wire);
    make(wire, PACKET_DATA, path + 0x100);
    expect_queue(others, from, wire, sizeof wire);
    make(wire, PACKET_DATA, 0); /* a free cell is no session */
    expect_queue(others, from, wire, sizeof wire);
    memcpy(keep + 2, "\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 8);
    expect_queue(of_sessions, from, keep, sizeof keep);
    keep[1] = RELAY_BIND;
    expect_queue(others, from, keep, sizeof keep);
    memcpy(stun + 1, keep + 2, 8);
    expect_queue(others, from, stun, sizeof stun);
    marks_remove(&steer.table, path & MARKS_KEY);
    make(wire, PACKET_DATA, path);
    expect_queue(others, from, wire, sizeof wire);
    close(from);
}

static void expect_raw(const struct addr *any)
{
    struct addr src, other_src;

    open_at(any);
    int from = open_source(&src), other = open_source(&other_src);
    marks_add(&steer.table, marks_source(&src));
    expect_queue(of_sessions, from, "anything", 8);
    expect_queue(of_sessions, from, "a", 1);
    expect_queue(others, other, "anything at all", 15);
    marks_remove(&steer.table, marks_source(&src));
    expect_queue(others, from, "anything", 8);
    close(from), close(other);
}

Test(relay_steer, what_a_raw_side_sends_goes_with_the_sessions)
{
    struct addr any = addr_v4(127, 0, 0, 1, 0);

    expect_raw(&any);
}

Test(relay_steer, and_over_ipv6_too)
{
    struct addr any = {.len = 16, .ip = {[15] = 1}};

    expect_raw(&any);
}

static void expect_ticket(int queue, int from, uint8_t op,
                          const uint8_t ticket[static TICKET_BYTES])
{
    struct relay_control c = {.op = op};
    uint8_t wire[RELAY_CONTROL_MAX];

    memcpy(c.ticket, ticket, TICKET_BYTES);
    expect_queue(queue, from, wire, relay_encode(&c, wire));
}

Test(relay_steer, who_shows_a_ticket_of_this_period_or_the_last_waits_apart_from_strangers)
{
    struct addr any = addr_v4(127, 0, 0, 1, 0), src;
    struct ticket t = relay_bed_ticket(&bed, 7, 0);
    uint8_t ticket[TICKET_BYTES], zero[TICKET_BYTES] = {0};

    open_at(&any);
    int from = open_source(&src);
    for (uint8_t op = RELAY_BIND; op <= RELAY_PROVE; op += RELAY_PROVE - RELAY_BIND) {
        for (unsigned age = 0; age < 3; age++) {
            relay_bed_seal_of(&bed, &t, age, ticket);
            expect_ticket(age < 2 ? of_tickets : others, from, op, ticket);
        }
        expect_ticket(others, from, op, zero);
        for (unsigned i = 1; i < 1 + 24; i++) { /* of its nonce */
            relay_bed_seal(&bed, &t, ticket);
            ticket[i] ^= 1;
            expect_ticket(others, from, op, ticket);
        }
    }
    close(from);
}

Test(relay_steer, before_there_are_keys_nobody_can_show_one)
{
    static const uint8_t key[16];
    struct addr any = addr_v4(127, 0, 0, 1, 0), src;
    uint8_t ticket[TICKET_BYTES] = {1, 2, 3};

    memset(steer.proofs, 0, RELAY_PROOFS * sizeof *steer.proofs);
    crypto_shorthash(ticket + 1 + TICKET_PROVEN, ticket + 1, TICKET_PROVEN, key);
    open_at(&any);
    int from = open_source(&src);
    expect_ticket(others, from, RELAY_BIND, ticket);
    close(from);
}

/* ---- several workers ------------------------------------------------------------------------------ */

/* The one queue that has it: 3 x worker + queue. */
static unsigned queue_of(int from, const void *data, size_t len)
{
    uint8_t got[2048];
    unsigned found = WORKERS_MAX * STEER_QUEUES;

    cr_assert_eq(send(from, data, len, 0), (ssize_t)len);
    for (unsigned i = 0; i < steer.n_fds; i++)
        if (recv(steer.fd[i], got, sizeof got, MSG_DONTWAIT) == (ssize_t)len) {
            cr_assert_eq(found, WORKERS_MAX * STEER_QUEUES, "in two queues");
            found = i;
        }
    cr_assert_lt(found, steer.n_fds);
    return found;
}

static struct marks table_of(unsigned worker)
{
    struct marks k = steer.table;

    k.worker = (uint8_t)worker;
    return k;
}

/* Where the core of another worker would hand it over to. */
static unsigned told_by_core(unsigned asked, const struct addr *src, const void *data, size_t len)
{
    bed.r.n_workers = n_workers;
    bed.r.marks = table_of(asked);
    return relay_worker_of(&bed.r, src, data, len);
}

Test(relay_steer, a_ticket_brings_both_sides_to_one_worker_whatever_they_are_seen_as)
{
    struct addr any = addr_v4(127, 0, 0, 1, 0), src[2];
    unsigned seen[WORKERS_MAX] = {0};

    n_workers = 5;
    open_at(&any);
    int from[] = {open_source(&src[0]), open_source(&src[1])};
    for (uint8_t session = 1; session < 60; session++) {
        unsigned worker = n_workers;
        for (uint8_t i = 0; i < 4; i++) { /* each side's BIND and PROVE */
            struct relay_control c = {.op = i & 1 ? RELAY_BIND : RELAY_PROVE};
            uint8_t wire[RELAY_CONTROL_MAX];
            struct ticket t = relay_bed_ticket(&bed, session, i / 2);
            relay_bed_seal(&bed, &t, c.ticket);
            size_t len = relay_encode(&c, wire);
            unsigned queue = queue_of(from[i / 2], wire, len);
            if (i == 0)
                worker = queue / STEER_QUEUES;
            cr_assert_eq(queue, worker * STEER_QUEUES + STEER_TICKETS);
            cr_assert_eq(told_by_core(0, &src[i / 2], wire, len), worker);
            cr_assert_eq(queue_of(from[i / 2], wire, len - 1) % STEER_QUEUES, STEER_OTHERS);
        }
        seen[worker]++;
    }
    for (unsigned i = 0; i < n_workers; i++)
        cr_assert_gt(seen[i], 0, "worker %u has none", i);
    close(from[0]), close(from[1]);
}

Test(relay_steer, packets_of_a_session_go_to_the_worker_that_marked_it)
{
    struct addr any = addr_v4(127, 0, 0, 1, 0), src;
    uint8_t wire[40], keep[10] = {PACKET_RELAY, RELAY_KEEP};

    n_workers = 3;
    open_at(&any);
    int from = open_source(&src);
    unsigned none = queue_of(from, "anything", 8);
    cr_assert_eq(none % STEER_QUEUES, STEER_OTHERS);
    for (unsigned worker = 0; worker < n_workers; worker++) {
        struct marks k = table_of(worker);
        uint64_t path = UINT64_C(0x8899aabbccddee00) + worker;
        make(wire, PACKET_DATA, path);
        memcpy(keep + 2, wire + 1, 8);
        marks_add(&k, marks_path(wire + 1));
        cr_assert_eq(queue_of(from, wire, sizeof wire), worker * STEER_QUEUES + STEER_SESSIONS);
        cr_assert_eq(queue_of(from, keep, sizeof keep), worker * STEER_QUEUES + STEER_SESSIONS);
        for (unsigned asked = 0; asked < n_workers; asked++) {
            cr_assert_eq(told_by_core(asked, &src, wire, sizeof wire), worker);
            cr_assert_eq(told_by_core(asked, &src, keep, sizeof keep), worker);
        }
        marks_remove(&k, marks_path(wire + 1));
        cr_assert_eq(queue_of(from, wire, sizeof wire), none);
        marks_add(&k, marks_source(&src));
        cr_assert_eq(queue_of(from, "anything", 8), worker * STEER_QUEUES + STEER_SESSIONS);
        cr_assert_eq(told_by_core(0, &src, (const uint8_t *)"anything", 8), worker);
        marks_remove(&k, marks_source(&src));
        cr_assert_eq(queue_of(from, "anything", 8), none);
        cr_assert_eq(told_by_core(worker, &src, (const uint8_t *)"anything", 8), worker);
    }
    close(from);
}

Test(relay_steer, strangers_are_spread_by_their_source)
{
    struct addr any = addr_v4(127, 0, 0, 1, 0), src;
    unsigned seen[WORKERS_MAX] = {0};

    n_workers = 3;
    open_at(&any);
    for (unsigned i = 0; i < 40; i++) {
        int from = open_source(&src);
        unsigned queue = queue_of(from, "anything", 8);
        cr_assert_eq(queue_of(from, "something else", 14), queue);
        seen[queue / STEER_QUEUES]++;
        close(from);
    }
    for (unsigned i = 0; i < n_workers; i++)
        cr_assert_gt(seen[i], 0, "worker %u gets none", i);
}

Test(relay_steer, a_source_that_another_worker_takes_over_stays_with_it)
{
    struct addr src = addr_v4(192, 0, 2, 1, 4000);
    struct marks one = table_of(1), two = table_of(2);
    uint64_t key = marks_source(&src);

    marks_add(&one, key);
    cr_assert_eq(marks_worker(&one, key), 1);
    marks_add(&two, key);
    marks_remove(&one, key); /* it had it no more */
    cr_assert_eq(marks_worker(&one, key), 2);
    cr_assert_eq(relay_bed_marks(&bed), 1);
    marks_remove(&two, key);
    cr_assert_eq(marks_worker(&one, key), -1);
    cr_assert_eq(relay_bed_marks(&bed), 0);
}

Test(relay_steer, another_relay_at_the_same_port_is_still_refused)
{
    struct addr any = addr_v4(127, 0, 0, 1, 0);
    struct sockaddr_storage sa;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    open_at(&any);
    socklen_t len = addr_to_sockaddr(&at, &sa);
    cr_assert(bind(fd, (struct sockaddr *)&sa, len) < 0 && errno == EADDRINUSE);
    close(fd);
}
