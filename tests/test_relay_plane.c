/*
 * test_relay_plane.c - the relay's data plane on real sockets: merged messages, order, and no allocation.
 *
 * Sessions are bound by the bench's transcripts and then moved to sockets on the loopback.
 */
#include "lib/udp.h"
#include "services/relay/plane_shell.h"
#include "services/relay/steer_shell.h"
#include "tests/lib/heap.h"
#include "tests/lib/relay_bed.h"
#include "tests/lib/sockets.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <unistd.h>

static struct relay_bed bed;
static struct service svc;
static struct plane plane;
static struct steer steer;
static struct plane_door door;
static void *buffers;
static int peer[3]; /* A, B, C */
static struct addr relay;

static int open_peer(struct addr *at)
{
    int fd = sockets_loopback(at);

    sockets_connect(fd, &relay);
    return fd;
}

/* Session n is between A and another. */
static void bind_session(uint8_t n, struct addr addr[static 3], unsigned other)
{
    struct sid sid = relay_bed_sid(n);
    struct ticket t0 = relay_bed_ticket(&bed, n, 0), t1 = relay_bed_ticket(&bed, n, 1);

    relay_bed_bind(&bed, 'A', &t0, 1);
    relay_bed_bind(&bed, (char)('A' + other), &t1, 2);
    struct relay_session *s = &bed.r.sessions[table_find(&bed.r.by_sid, sid.b)];
    s->side[0].addr = addr[0];
    s->side[1].addr = addr[other];
}

static void setup(void)
{
    struct addr any = addr_v4(127, 0, 0, 1, 0), addr[3];

    relay_bed_open(&bed, 300, 1);
    cr_assert(steer_init(&steer, 300), "root is needed");
    bed.conf.marks = steer.table;
    bed.conf.proofs = steer.proofs;
    relay_bed_restart(&bed, 1);
    service_open(&svc, SERVICE_relay, NULL);
    cr_assert_eq(service_udp(&svc, &any), 0);
    relay = service_udp_local(&svc, 0);
    cr_assert(steer_open(&steer, svc.udp[0], 1), "%s", strerror(errno));
    buffers = malloc(BATCH_IN_BYTES(BATCH_MERGED));
    cr_assert(buffers);
    cr_assert(plane_door_open(&door));
    plane_open(&plane, &svc, 0, &steer, &bed.r, &bed.out, buffers, &door);
    for (unsigned i = 0; i < 3; i++)
        peer[i] = open_peer(&addr[i]);
    bind_session(7, addr, 1);
    bind_session(8, addr, 2);
}

static void teardown(void)
{
    for (unsigned i = 0; i < 3; i++)
        close(peer[i]);
    service_close(&svc);
    steer_close(&steer);
    close(door.in), close(door.out);
    free(buffers);
    relay_bed_close(&bed);
}

TestSuite(relay_plane, .init = setup, .fini = teardown, .timeout = 20);

/* Let it take all that is there: a deadline in the past makes the loop return after each round. */
static void run(void)
{
    struct input in;

    for (unsigned i = 0; i < 4; i++)
        cr_assert(service_wait(&svc, 0, &in));
}

static void make(uint8_t *wire, size_t len, uint8_t session, uint8_t to_side, uint8_t number)
{
    struct sid sid = relay_bed_sid(session);
    struct path_id to = path_id(&sid, to_side);

    for (size_t i = 0; i < len; i++)
        wire[i] = (uint8_t)(number + i);
    wire[0] = PACKET_DATA;
    memcpy(wire + 1, to.b, sizeof to.b);
}

/* Send by peer 0 as one message, which the loopback leaves one. */
static void send_train(const uint8_t *data, size_t len, uint16_t each)
{
    struct iovec part = {(void *)(uintptr_t)data, len};
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof each)] = {0};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof each);
    memcpy(CMSG_DATA(c), &each, sizeof each);
    cr_assert_eq(sendmsg(peer[0], &m, 0), (ssize_t)len);
}

static void expect(int fd, const uint8_t *data, size_t len)
{
    uint8_t got[DATAGRAM_MAX];

    cr_assert_eq(recv(fd, got, sizeof got, MSG_DONTWAIT), (ssize_t)len);
    cr_assert_arr_eq(got, data, len);
}

/* Of a path that the relay doesn't know. */
static void expect_again(int fd, const uint8_t *path)
{
    uint8_t got[DATAGRAM_MAX];
    struct relay_control c;

    ssize_t len = recv(fd, got, sizeof got, MSG_DONTWAIT);
    cr_assert(len > 0 && relay_parse(got, (size_t)len, &c) && c.op == RELAY_AGAIN);
    cr_assert_arr_eq(c.path.b, path, sizeof c.path.b);
}

static void expect_nothing(int fd)
{
    uint8_t got[DATAGRAM_MAX];

    cr_assert(recv(fd, got, sizeof got, MSG_DONTWAIT) < 0 && errno == EAGAIN);
}

/* The numbers say to which session; 9 is none, and the last datagram is shorter. */
Test(relay_plane, forwards_each_datagram_of_a_merged_message_by_its_own_path_id)
{
    static const uint8_t order[] = {7, 7, 8, 7, 9, 8, 8, 7, 7, 7, 8};
    enum { EACH = 300, N = sizeof order };
    uint8_t train[N * EACH];
    size_t len = (N - 1) * EACH + DATA_OVERHEAD;
    const uint8_t *unknown = NULL;

    for (uint8_t i = 0; i < N; i++)
        make(train + i * EACH, i < N - 1 ? EACH : DATA_OVERHEAD, order[i], 1, i);
    send_train(train, len, EACH);
    run();
    cr_assert_eq(bed.r.n.forwarded_packets, N - 1);
    cr_assert_eq(svc.n.datagrams_in, N);
    for (uint8_t i = 0; i < N; i++) {
        if (order[i] != 9)
            expect(peer[order[i] == 7 ? 1 : 2], train + i * EACH, i < N - 1 ? EACH : DATA_OVERHEAD);
        else
            unknown = train + i * EACH + 1;
    }
    expect_again(peer[0], unknown);
    for (unsigned i = 0; i < 3; i++)
        expect_nothing(peer[i]);
}

Test(relay_plane, keeps_the_order_of_more_than_a_batch)
{
    enum { N = 100 };
    uint8_t wire[N][DATA_OVERHEAD + 5];

    for (uint8_t i = 0; i < N; i++) {
        make(wire[i], sizeof wire[i], 7, 1, i);
        cr_assert_eq(send(peer[0], wire[i], sizeof wire[i] - i % 3, 0),
                     (ssize_t)(sizeof wire[i] - i % 3));
    }
    run();
    for (uint8_t i = 0; i < N; i++)
        expect(peer[1], wire[i], sizeof wire[i] - i % 3);
    cr_assert(svc.n.datagrams_out == N && svc.n.datagrams_dropped == 0);
}

Test(relay_plane, allocates_nothing_for_a_packet)
{
    enum { EACH = 200, TRAIN = 16, ROUNDS = 100 };
    uint8_t train[TRAIN * EACH];

    for (uint8_t i = 0; i < TRAIN; i++)
        make(train + i * EACH, EACH, 7 + i % 2, 1, i);
    uint64_t before = heap_calls;
    void *volatile p = malloc(10); /* it does count */
    free(p);
    cr_assert_gt(heap_calls, before);
    for (unsigned round = 0; round < ROUNDS; round++) {
        send_train(train, sizeof train, EACH);
        cr_assert_eq(send(peer[0], train, EACH, 0), EACH);
        heap_calls = 0;
        run();
        cr_assert_eq(heap_calls, 0);
        for (unsigned i = 0; i < TRAIN / 2; i++) {
            expect(peer[1], train + (size_t)i * 2 * EACH, EACH);
            expect(peer[2], train + ((size_t)i * 2 + 1) * EACH, EACH);
        }
        expect(peer[1], train, EACH);
    }
}

/* Nothing is read meanwhile, as if there were too much to read it all. */
Test(relay_plane, a_flood_of_strangers_leaves_room_for_sessions)
{
    enum { FLOOD = 5000, OWN = 20 };
    uint8_t flood[DATA_OVERHEAD + 100], own[OWN][DATA_OVERHEAD + 5];
    struct addr at;
    int stranger = open_peer(&at);

    for (unsigned i = 0; i < FLOOD; i++) {
        make(flood, sizeof flood, 9, 1, (uint8_t)i);
        memcpy(flood + 1, &i, sizeof i);
        cr_assert_eq(send(stranger, flood, sizeof flood, 0), (ssize_t)sizeof flood);
    }
    for (uint8_t i = 0; i < OWN; i++) {
        make(own[i], sizeof own[i], 7, 1, i);
        cr_assert_eq(send(peer[0], own[i], sizeof own[i], 0), (ssize_t)sizeof own[i]);
    }
    run();
    for (uint8_t i = 0; i < OWN; i++)
        expect(peer[1], own[i], sizeof own[i]);
    cr_assert_gt(bed.r.n.strangers, 0); /* they are looked at as well */
    close(stranger);
}

static void bind_with(const uint8_t ticket[static TICKET_BYTES], uint8_t nonce)
{
    struct relay_control c = {.op = RELAY_BIND, .nonce = {nonce}};
    uint8_t wire[RELAY_CONTROL_MAX];

    memcpy(c.ticket, ticket, TICKET_BYTES);
    size_t len = relay_encode(&c, wire);
    cr_assert_eq(send(peer[0], wire, len, 0), (ssize_t)len);
}

/* The first batch of the flood, then the ticket, whatever was there before. */
Test(relay_plane, tickets_are_answered_between_two_batches_of_strangers)
{
    enum { FLOOD = 3 * BATCH, OURS = FLOOD };
    struct ticket t = relay_bed_ticket(&bed, 9, 0);
    uint8_t made_up[TICKET_BYTES] = {0}, ticket[TICKET_BYTES], wire[RELAY_CONTROL_MAX];
    struct relay_control c;

    relay_bed_seal(&bed, &t, ticket);
    for (uint8_t i = 0; i < FLOOD; i++)
        bind_with(made_up, i);
    bind_with(ticket, OURS);
    while (svc.sources[svc.next_source].fd != svc.udp[0])
        svc.next_source++; /* the flood's turn */
    run();
    for (unsigned i = 0; i < FLOOD + 1; i++) {
        ssize_t n = recv(peer[0], wire, sizeof wire, MSG_DONTWAIT);
        cr_assert(n > 0 && relay_parse(wire, (size_t)n, &c) && c.op == RELAY_CHALLENGE);
        cr_assert_eq(c.nonce[0], i < BATCH ? i : i == BATCH ? OURS : i - 1);
    }
}
