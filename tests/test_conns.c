/* test_conns.c - TCP connections to the coordinator's doors that say nothing, more than there may be. */
#include "tests/lib/child.h"
#include "tests/lib/front_bed.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { MANY = 40, ALL = 20, PER_IP = 5 };

TestSuite(conns, .init = front_bed_setup, .fini = front_bed_teardown, .timeout = 60);

static void restart_with(const char *const *more)
{
    kill(front_bed_pid, SIGKILL);
    child_status(front_bed_pid);
    front_bed_start_with(more);
}

static json_int_t of_front(const char *name)
{
    json_t *state = front_bed_ask("state");
    json_int_t n = json_integer_value(json_object_get(json_object_get(state, "front"), name));

    json_decref(state);
    return n;
}

static void wait_for(const char *name, json_int_t n)
{
    int64_t end_ms = zclock_mono() + FRONT_BED_PATIENCE_MS;

    while (of_front(name) != n)
        cr_assert_lt(zclock_mono(), end_ms, "%s never is %d", name, (int)n);
}

static int dial(uint32_t from, uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(from)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sa.sin_port = htons(port);
    cr_assert_eq(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

/* Until this many of them have seen their end: libzmq greets who is taken, so bytes come first. */
static size_t ended(const int *fd, size_t n, size_t expected)
{
    int64_t end_ms = zclock_mono() + FRONT_BED_PATIENCE_MS;
    size_t got;
    char buf[256];

    do {
        got = 0;
        for (size_t i = 0; i < n; i++) {
            ssize_t len = 1;
            while (len > 0)
                len = recv(fd[i], buf, sizeof buf, MSG_DONTWAIT | (len == 0 ? MSG_PEEK : 0));
            got += len == 0 || (len < 0 && errno != EAGAIN);
        }
    } while (got < expected && zclock_mono() < end_ms);
    return got;
}

Test(conns, those_beyond_the_limit_are_shut_and_there_is_room_again_when_others_leave)
{
    int fd[MANY];
    struct front_peer alice = front_bed_new_peer();

    restart_with((const char *const[]){"--connections", "20", NULL});
    for (int i = 0; i < MANY; i++)
        fd[i] = dial(INADDR_LOOPBACK, i % 2 ? front_bed_port : front_bed_enrol_port);
    wait_for("over_connections", MANY - ALL);
    cr_assert_eq(ended(fd, MANY, MANY - ALL), MANY - ALL);
    wait_for("open_now", ALL);
    for (int i = 0; i < MANY; i++)
        close(fd[i]);
    front_bed_enrol(&alice);
    front_bed_go(&alice, front_bed_port);
    front_bed_attach(&alice, "alice");
    zsock_destroy(&alice.sock);
    wait_for("open_now", 0);
}

Test(conns, one_address_cannot_take_the_room_of_others)
{
    int fd[MANY];

    restart_with((const char *const[]){"--connections-per-ip", "5", NULL});
    for (int i = 0; i < MANY; i++)
        fd[i] = dial(INADDR_LOOPBACK + 1, front_bed_port);
    wait_for("over_connections_per_ip", MANY - PER_IP);
    cr_assert_eq(ended(fd, MANY, MANY - PER_IP), MANY - PER_IP);
    int other = dial(INADDR_LOOPBACK, front_bed_port);
    wait_for("open_now", PER_IP + 1);
    cr_assert_eq(of_front("over_connections"), 0);
    close(other);
    for (int i = 0; i < MANY; i++)
        close(fd[i]);
}

/* Silence ends with the time for a handshake. */
Test(conns, who_says_nothing_is_let_go_of)
{
    restart_with((const char *const[]){"--handshake-limit", "1", NULL});
    int fd = dial(INADDR_LOOPBACK, front_bed_port);

    wait_for("open_now", 1);
    struct timeval patience = {20, 0};
    char buf[256];
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    while (recv(fd, buf, sizeof buf, 0) > 0)
        continue;
    wait_for("open_now", 0);
    close(fd);
}
