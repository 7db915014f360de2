/* test_prober_doors.c - in which of a port's two queues a request waits, and which is served first, on real sockets. */
#include "tests/lib/prober_host.h"

#include <criterion/criterion.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct prober_host host;

static void open_at(const struct addr *ip)
{
    prober_host_open(&host, ip, 1);
    host.workers.v[0]->core.hello_us = host.workers.v[0]->core.rotate_us = NEVER;
    cr_assert_geq(host.workers.doors.table, 0, "root is needed");
}

static void setup(void)
{
    struct addr local = addr_v4(127, 0, 0, 1, 0);

    open_at(&local);
}

static void teardown(void) { prober_host_close(&host); }

TestSuite(prober_doors, .init = setup, .fini = teardown, .timeout = 20);

/* With a cookie, or one of zeroes, or without a word of it: for the bare address. */
static void ask(int fd, uint16_t number, bool has_peer, const uint8_t *cookie)
{
    uint8_t txid[STUN_TXID_BYTES] = {(uint8_t)(number >> 8), (uint8_t)number}, buf[STUN_MAX];
    struct stun m = stun_request(txid);

    m.has_peer = has_peer;
    m.peer.b[0] = 7;
    m.has_cookie = cookie != NULL;
    if (cookie)
        memcpy(m.cookie, cookie, sizeof m.cookie);
    size_t len = stun_encode(&m, buf);
    cr_assert_eq(send(fd, buf, len, 0), (ssize_t)len);
}

static struct stun answer(int fd)
{
    uint8_t buf[STUN_MAX];
    struct stun a = {0};
    ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);

    cr_assert(n > 0 && stun_parse(buf, (size_t)n, &a));
    return a;
}

/* A deadline in the past makes the loop return after each source that it has looked at. */
static void run(void)
{
    struct input in;

    for (unsigned i = 0; i < 4; i++)
        cr_assert(service_wait(&host.svc, 0, &in));
}

static bool waits_in(int fd)
{
    int n = 0;

    cr_assert_eq(ioctl(fd, FIONREAD, &n), 0);
    return n > 0;
}

/* Does what comes from there wait with those of strangers? */
static bool is_stranger(const struct addr *from)
{
    int fd = prober_host_client(&host, from);

    ask(fd, 0, false, NULL);
    bool strangers = waits_in(host.svc.udp[0]), known = waits_in(host.workers.doors.known[0][0]);
    cr_assert_neq(strangers, known);
    run();
    answer(fd);
    close(fd);
    return strangers;
}

static void return_cookie(const struct addr *from, bool true_one)
{
    int fd = prober_host_client(&host, from);

    ask(fd, 1, true, NULL);
    run();
    struct stun a = answer(fd);
    cr_assert(a.has_cookie);
    a.cookie[0] ^= !true_one;
    ask(fd, 2, true, a.cookie);
    run();
    a = answer(fd);
    cr_assert_eq(a.token.len > 0, true_one);
    close(fd);
}

Test(prober_doors, who_has_returned_a_cookie_waits_apart_from_strangers)
{
    struct addr a = addr_v4(127, 0, 0, 2, 0), b = addr_v4(127, 0, 0, 3, 0);

    cr_assert(is_stranger(&a));
    return_cookie(&a, true);
    cr_assert_not(is_stranger(&a));
    cr_assert(is_stranger(&b));
}

Test(prober_doors, who_has_made_one_up_does_not)
{
    struct addr a = addr_v4(127, 0, 0, 2, 0);

    return_cookie(&a, false);
    cr_assert(is_stranger(&a));
}

Test(prober_doors, of_ipv6_the_same)
{
    struct addr a = {.len = 16, .ip = {[15] = 1}};

    teardown();
    open_at(&a);
    cr_assert(is_stranger(&a));
    return_cookie(&a, true);
    cr_assert_not(is_stranger(&a));
}

/* The first batch of the flood, then the peer, whatever was there before. */
Test(prober_doors, peers_are_answered_between_two_batches_of_strangers)
{
    enum { FLOOD = 3 * BATCH, PEER = FLOOD };
    struct addr a = addr_v4(127, 0, 0, 2, 0);
    int fd = prober_host_client(&host, &a);

    for (uint16_t i = 0; i < FLOOD; i++)
        ask(fd, i, false, NULL);
    familiar_note(&host.workers.doors.familiar, &a);
    ask(fd, PEER, false, NULL);
    while (host.svc.sources[host.svc.next_source].fd != host.svc.udp[0])
        host.svc.next_source++; /* the flood's turn */
    run();
    for (uint16_t i = 0; i < FLOOD + 1; i++) {
        struct stun m = answer(fd);
        unsigned number = (unsigned)m.txid[0] << 8 | m.txid[1];
        cr_assert_eq(number, i < BATCH ? i : i == BATCH ? PEER : i - 1u, "%u: %u", i, number);
    }
    close(fd);
}

Test(prober_doors, strangers_who_fill_their_queue_keep_no_peer_out)
{
    struct addr a = addr_v4(127, 0, 0, 2, 0), b = addr_v4(127, 0, 0, 3, 0);
    int little = 4096, strangers = prober_host_client(&host, &b);

    cr_assert_eq(setsockopt(host.svc.udp[0], SOL_SOCKET, SO_RCVBUF, &little, sizeof little), 0);
    for (uint16_t i = 0; i < 1000; i++)
        ask(strangers, i, false, NULL);
    familiar_note(&host.workers.doors.familiar, &a);
    int fd = prober_host_client(&host, &a);
    ask(fd, 0, false, NULL);
    cr_assert(waits_in(host.workers.doors.known[0][0]));
    close(fd), close(strangers);
}
