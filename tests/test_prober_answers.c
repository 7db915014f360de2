/* test_prober_answers.c - the prober's data plane on real sockets: who is answered, from where, and no allocation. */
#include "lib/udp.h"
#include "services/prober/answers_shell.h"
#include "tests/lib/heap.h"
#include "tests/lib/sockets.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

static struct service svc;
static struct prober core;
static struct answers answers;
static struct prober_conf conf;
static int client;

static void setup(void)
{
    static const uint8_t rng_key[32] = {7};
    struct sockaddr_storage sa;
    struct addr local = addr_v4(127, 0, 0, 1, 0);
    socklen_t len = addr_to_sockaddr(&local, &sa);

    service_open(&svc, SERVICE_prober, NULL);
    for (uint8_t i = 0; i < PROBER_SOCKETS_MAX; i++) {
        struct addr at = addr_v4(127, 0, 0, 1 + i / 2, 0);
        cr_assert_eq(service_udp(&svc, &at), i);
        conf.info.addrs[i] = service_udp_local(&svc, i);
    }
    conf.info.n_addrs = PROBER_SOCKETS_MAX;
    prober_init(&core, &conf, rng_key);
    core.hello_us = core.rotate_us = NEVER; /* there is no bus to say hello on */
    answers_open(&answers, &svc, &core, (const int[]){-1, -1, -1, -1});
    client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(client, (struct sockaddr *)&sa, len), 0);
}

static void teardown(void)
{
    close(client);
    service_close(&svc);
}

TestSuite(prober_answers, .init = setup, .fini = teardown, .timeout = 20);

/* Let it take all that is there: a deadline in the past makes the loop return after each round. */
static void run(void)
{
    struct input in;

    for (unsigned i = 0; i < 4; i++)
        cr_assert(service_wait(&svc, 0, &in));
}

static void ask(uint8_t sock, uint8_t number, uint32_t change)
{
    uint8_t txid[STUN_TXID_BYTES] = {number}, buf[STUN_MAX];
    struct stun m = stun_request(txid);
    struct sockaddr_storage sa;
    socklen_t sa_len = addr_to_sockaddr(&conf.info.addrs[sock], &sa);

    m.has_change = change != 0;
    m.change = change;
    size_t len = stun_encode(&m, buf);
    cr_assert_eq(sendto(client, buf, len, 0, (struct sockaddr *)&sa, sa_len), (ssize_t)len);
}

/* The next answer is that to this number, and comes from that socket. */
static void expect(uint8_t number, uint8_t from)
{
    uint8_t buf[STUN_MAX];
    struct sockaddr_storage sa;
    socklen_t sa_len = sizeof sa;
    struct stun m;

    ssize_t n = recvfrom(client, buf, sizeof buf, MSG_DONTWAIT, (struct sockaddr *)&sa, &sa_len);
    cr_assert(n > 0 && stun_parse(buf, (size_t)n, &m));
    struct addr src = addr_from_sockaddr(&sa);
    cr_assert(addr_eq(&src, &conf.info.addrs[from]));
    cr_assert(m.type == STUN_BINDING_RESPONSE && m.txid[0] == number);
    struct addr own = sockets_name(client);
    cr_assert(addr_eq(&m.mapped, &own));
}

static void expect_nothing(void)
{
    uint8_t byte;

    cr_assert(recv(client, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
}

Test(prober_answers, answers_more_than_a_batch_in_order)
{
    enum { N = 100 };

    for (uint8_t i = 0; i < N; i++)
        ask(0, i, 0);
    run();
    for (uint8_t i = 0; i < N; i++)
        expect(i, 0);
    expect_nothing();
    cr_assert(svc.n.datagrams_in == N && svc.n.datagrams_out == N);
    cr_assert_eq(core.n.discovery + core.n.plain, N);
}

Test(prober_answers, answers_from_the_socket_asked_for)
{
    ask(0, 1, 0);
    ask(0, 2, STUN_CHANGE_PORT);
    ask(0, 3, STUN_CHANGE_IP);
    ask(0, 4, STUN_CHANGE_PORT | STUN_CHANGE_IP);
    run();
    for (uint8_t i = 0; i < 4; i++)
        expect((uint8_t)(i + 1), i);
    for (uint8_t i = 0; i < 4; i++) {
        ask(i, i, 0);
        run();
        expect(i, i);
    }
    expect_nothing();
}

Test(prober_answers, is_silent_to_what_is_no_request)
{
    static uint8_t long_one[BATCH_SINGLE + 4] = {0, 1, 8, 0, 0x21, 0x12, 0xa4, 0x42};
    struct sockaddr_storage sa;
    socklen_t sa_len = addr_to_sockaddr(&conf.info.addrs[0], &sa);

    for (size_t n = 0; n < 100; n++)
        cr_assert_eq(sendto(client,
                            "nothing that anybody would take for a STUN message, however "
                            "often it comes in, or however much of it there may be",
                            n, 0, (struct sockaddr *)&sa, sa_len),
                     (ssize_t)n);
    cr_assert_eq(sendto(client, long_one, sizeof long_one, 0, (struct sockaddr *)&sa, sa_len),
                 sizeof long_one);
    ask(0, 1, 0);
    run();
    expect(1, 0);
    expect_nothing();
    cr_assert_eq(core.n.not_stun + core.n.malformed, 101);
}

Test(prober_answers, allocates_nothing_for_a_request)
{
    enum { N = 64 };
    uint64_t before = heap_calls;
    void *volatile p = malloc(10); /* it does count */

    free(p);
    cr_assert_gt(heap_calls, before);
    for (unsigned round = 0; round < 20; round++) {
        for (uint8_t i = 0; i < N; i++)
            ask(0, i, 0);
        heap_calls = 0;
        run();
        cr_assert_eq(heap_calls, 0);
        for (uint8_t i = 0; i < N; i++)
            expect(i, 0);
    }
}

Test(prober_answers, of_the_wildcard_come_from_the_address_that_was_asked)
{
    struct addr any = {.len = 4}, client_addr;

    service_close(&svc);
    service_open(&svc, SERVICE_prober, NULL);
    for (uint8_t i = 0; i < 2; i++) {
        cr_assert_eq(service_udp(&svc, &any), i);
        conf.info.addrs[i] = addr_v4(127, 0, 0, 7, service_udp_local(&svc, i).port);
    }
    conf.info.n_addrs = 2;
    prober_init(&core, &conf, (const uint8_t[32]){7});
    core.hello_us = core.rotate_us = NEVER;
    answers_open(&answers, &svc, &core, (const int[]){-1, -1, -1, -1});
    client_addr = sockets_name(client);
    cr_assert_eq(client_addr.ip[3], 1, "which is what the system would choose");
    for (uint8_t i = 0; i < 20; i++)
        ask(i % 2, i, 0);
    run();
    for (uint8_t i = 0; i < 20; i += 2) /* those of one socket, then those of the other one */
        expect(i, 0);
    for (uint8_t i = 1; i < 20; i += 2)
        expect(i, 1);
    expect_nothing();
}
