/* test_raw_socket.c - the socket that an application gets: connected, and without a packet of ours, early or late. */
#include "lib/udp.h"
#include "services/executor/raw_shell.h"
#include "tests/lib/sockets.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(raw_socket, .timeout = 20);

static struct service svc;
static struct attempt a;
static int peer, stranger;
static struct addr ours; /* where the executor's socket is */

/* An attempt that has just been handed over, whose socket has the number KEPT_FIRST. */
static void begin(void)
{
    struct addr local = addr_v4(127, 0, 0, 1, 0), unused;
    struct output open = {
        .kind = OUT_SOCKET, .socket = {SOCKET_OPEN, KEPT_FIRST, KEPT_FIRST}
    };

    service_open(&svc, SERVICE_executor, NULL);
    cr_assert_eq(service_udp(&svc, &local), 0);
    service_udp_change(&svc, &open);
    ours = service_udp_local(&svc, KEPT_FIRST);
    memset(&a, 0, sizeof a);
    memset(a.own_path.b, 0x51, sizeof a.own_path.b);
    memset(a.peer_path.b, 0x52, sizeof a.peer_path.b);
    memset(a.relay.nonce, 0x53, sizeof a.relay.nonce);
    a.flow = WAY_DIRECT;
    a.way[WAY_DIRECT].sock = KEPT_FIRST;
    peer = sockets_loopback(&a.way[WAY_DIRECT].remote);
    stranger = sockets_loopback(&unused);
}

static void send_ours(int from, const void *data, size_t len)
{
    struct sockaddr_storage sa;
    socklen_t sa_len = addr_to_sockaddr(&ours, &sa);

    cr_assert_eq(sendto(from, data, len, 0, (struct sockaddr *)&sa, sa_len), (ssize_t)len);
}

/* A packet of this session: data, or what the relay says. */
static void send_packet(uint8_t type, uint8_t id)
{
    uint8_t packet[PACKET_HEADER + 20];

    memset(packet, 0x77, sizeof packet);
    packet[0] = type;
    if (type == PACKET_RELAY)
        packet[1] = RELAY_BOUND;
    memset(packet + (type == PACKET_RELAY ? 2 : 1), id, 8);
    send_ours(peer, packet, sizeof packet);
}

static void expect(int fd, const char *text)
{
    char data[2048];
    struct pollfd p = {.fd = fd, .events = POLLIN};

    cr_assert_eq(poll(&p, 1, 5000), 1, "nothing comes, not %s", text);
    ssize_t n = recv(fd, data, sizeof data, 0);
    cr_assert_eq(n, (ssize_t)strlen(text));
    cr_assert_eq(memcmp(data, text, (size_t)n), 0, "%.*s", (int)n, data);
}

static void expect_nothing(int fd)
{
    char data[16];

    cr_assert_eq(recv(fd, data, sizeof data, MSG_DONTWAIT), -1);
}

Test(raw_socket, is_the_callers_and_connected_and_blocking)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    begin();
    int fd = raw_socket(&svc, &a);
    cr_assert_geq(fd, 0);
    cr_assert_eq(svc.udp[KEPT_FIRST], -1);
    cr_assert_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    cr_assert_eq(getpeername(fd, (struct sockaddr *)&sa, &len), 0);
    struct addr to = addr_from_sockaddr(&sa);
    cr_assert(addr_eq(&to, &a.way[WAY_DIRECT].remote));
    cr_assert_eq(send(fd, "hello", 5, 0), 5);
    expect(peer, "hello");
    service_close(&svc); /* and stays so */
    send_ours(peer, "still", 5);
    expect(fd, "still");
}

Test(raw_socket, keeps_what_is_late_from_the_application_and_nothing_else)
{
    uint8_t any[64];

    begin();
    int fd = raw_socket(&svc, &a);
    for (uint8_t type = PACKET_RELAY; type <= PACKET_DATA; type++)
        for (uint8_t id = 0x51; id <= 0x53; id++)
            send_packet(type, id);
    send_ours(stranger, "stranger", 8);
    send_ours(peer, "", 0);
    expect(fd, "");
    for (unsigned first = 0; first < 256; first++) /* whatever its first byte, and however short */
        for (size_t len = 1; len <= sizeof any; len += 3) {
            memset(any, 0x33, sizeof any);
            any[0] = (uint8_t)first;
            send_ours(peer, any, len);
            uint8_t got[2 * sizeof any];
            cr_assert_eq(recv(fd, got, sizeof got, 0), (ssize_t)len, "%02x %zu", first, len);
            cr_assert_eq(memcmp(got, any, len), 0);
        }
    expect_nothing(fd);
}

Test(raw_socket, takes_out_what_is_early_with_what_lies_before_it)
{
    begin();
    send_packet(PACKET_PUNCH, 0x51);
    send_ours(peer, "lost", 4);
    send_ours(stranger, "stranger", 8);
    send_ours(peer, "one", 3);
    send_ours(peer, "two", 3);
    int fd = raw_socket(&svc, &a);
    expect(fd, "one");
    expect(fd, "two");
    expect_nothing(fd);
}

Test(raw_socket, begins_without_the_error_of_an_earlier_packet)
{
    begin();
    int fd = svc.udp[KEPT_FIRST];
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&a.way[WAY_DIRECT].remote, &sa);
    send_packet(PACKET_PUNCH, 0x51);
    close(peer);
    cr_assert_eq(connect(fd, (struct sockaddr *)&sa, len), 0);
    cr_assert_eq(send(fd, "x", 1, 0), 1); /* to a closed port: the kernel says so at once here */
    fd = raw_socket(&svc, &a);
    cr_assert_geq(fd, 0);
    expect_nothing(fd);
    cr_assert_eq(errno, EAGAIN);
}

Test(raw_socket, that_is_gone_is_none)
{
    begin();
    a.way[WAY_DIRECT].sock = KEPT_FIRST + 1;
    cr_assert_eq(raw_socket(&svc, &a), -1);
}

/* ---- to another relay while the application has it ---- */

Test(raw_socket, one_beside_it_hears_the_others_at_its_port_and_nobody_else_can_share_it)
{
    struct sockaddr_storage sa;
    int on = 1;

    begin();
    socklen_t len = addr_to_sockaddr(&ours, &sa);
    int fd = raw_socket(&svc, &a), beside = raw_beside(fd);
    cr_assert_geq(beside, 0);
    struct addr at = sockets_name(beside);
    cr_assert(addr_eq(&at, &ours));
    send_ours(peer, "peer", 4);
    send_ours(stranger, "stranger", 8);
    expect(fd, "peer");
    expect(beside, "stranger");
    expect_nothing(fd);
    expect_nothing(beside);
    int thief = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(setsockopt(thief, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    cr_assert_eq(bind(thief, (struct sockaddr *)&sa, len), -1);
    close(beside);
    cr_assert_eq(bind(thief, (struct sockaddr *)&sa, len), -1, "afterwards neither");
}

Test(raw_socket, led_elsewhere_it_keeps_what_waits_and_hears_nothing_of_ours_from_there)
{
    begin();
    a.flow = WAY_RELAY;
    a.way[WAY_RELAY].sock = KEPT_FIRST;
    a.relay.addr = a.way[WAY_DIRECT].remote;
    int fd = raw_socket(&svc, &a);
    send_ours(peer, "waits", 5);
    int next = sockets_loopback(&a.relay.addr);
    memset(a.relay.nonce, 0x63, sizeof a.relay.nonce);
    cr_assert(raw_lead(fd, &a));
    send_ours(peer, "late", 4);
    peer = next;
    send_packet(PACKET_RELAY, 0x63);
    send_ours(next, "new", 3);
    expect(fd, "waits");
    expect(fd, "new");
    expect_nothing(fd);
    cr_assert_eq(send(fd, "hello", 5, 0), 5);
    expect(next, "hello");
}
