/* test_chase.c - what goes after a message on a connection that loses some, as transcripts. */
#include "lib/chase_shell.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif

enum { FD = 7, RTT_US = 80000 };

static struct chase chase;

static void setup(void) { chase.n = 0; }

TestSuite(chase, .init = setup, .timeout = 20);

/* Chasers to one connection until it is left alone, as long as nothing comes back before silent_us. */
static unsigned chasers(int64_t silent_us, int64_t *last_us)
{
    unsigned n = 0;

    while (chase_next_us(&chase) != NEVER) {
        int64_t now_us = chase_next_us(&chase);
        struct chased *due = chase_due(&chase, now_us);
        cr_assert_not_null(due);
        cr_assert_null(chase_due(&chase, now_us - 1));
        if (chase_again(&chase, due, now_us < silent_us, now_us)) {
            n++;
            *last_us = now_us;
        }
    }
    return n;
}

Test(chase, one_goes_before_an_acknowledgement_can_be_here_and_no_more_when_it_comes)
{
    int64_t last_us = 0;

    chase_begin(&chase, 1, FD, RTT_US, 0);
    cr_assert_eq(chasers(RTT_US, &last_us), 1);
    cr_assert_lt(last_us, RTT_US / 2);
}

Test(chase, they_follow_while_something_is_late_but_not_for_ever)
{
    int64_t last_us = 0;

    chase_begin(&chase, 1, FD, RTT_US, 0);
    cr_assert_eq(chasers(3 * RTT_US, &last_us), 6);
    cr_assert(last_us > 2 * RTT_US && last_us < 3 * RTT_US);
    chase_begin(&chase, 1, FD, RTT_US, 0);
    cr_assert_eq(chasers(INT64_MAX, &last_us), CHASERS_MAX);
    cr_assert_lt(last_us, 8 * RTT_US);
}

Test(chase, a_connection_is_chased_from_its_last_message_on)
{
    int64_t last_us = 0;

    chase_begin(&chase, 1, FD, RTT_US, 0);
    chase_begin(&chase, 2, FD + 1, RTT_US, 1000);
    chase_begin(&chase, 1, FD, RTT_US, 10000);
    cr_assert_eq(chase.n, 2);
    cr_assert_eq(chase_due(&chase, 1000 + RTT_US / 2)->conn, 1);
    cr_assert_eq(chasers(0, &last_us), 2);
}

Test(chase, there_is_room_for_so_many_and_the_others_go_unchased)
{
    int64_t last_us = 0;

    for (uint32_t conn = 1; conn <= CHASED_MAX + 5; conn++)
        chase_begin(&chase, conn, FD, RTT_US, 0);
    cr_assert_eq(chase.n, CHASED_MAX);
    cr_assert_eq(chasers(0, &last_us), CHASED_MAX);
    chase_begin(&chase, CHASED_MAX + 5, FD, RTT_US, 0);
    cr_assert_eq(chase.n, 1);
}

Test(chase, only_what_a_session_waits_for_is_worth_it)
{
    cr_assert(chase_worth(MSG_punch_request) && chase_worth(MSG_punch_coordinate));
    cr_assert_not(chase_worth(MSG_attach) || chase_worth(MSG_reflex_report));
    cr_assert_not(chase_worth(MSG_chase), "or they would chase each other");
}

Test(chase, a_connection_whose_timeout_comes_as_soon_is_not_chased)
{
    cr_assert(chase_sooner(RTT_US) && chase_sooner(450000));
    cr_assert_not(chase_sooner(CHASED_RTT_US) || chase_sooner(800000));
}

Test(chase, a_timeout_is_bounded_by_a_second_or_a_round_trip_and_a_quarter)
{
    cr_assert_eq(chase_timeout_ms(0), CHASE_TIMEOUT_LEAST_MS);
    cr_assert_eq(chase_timeout_ms(RTT_US), CHASE_TIMEOUT_LEAST_MS);
    cr_assert_eq(chase_timeout_ms(2000000), 2500);
}

static int option(int fd, int name)
{
    int value = -1;

    getsockopt(fd, IPPROTO_TCP, name, &value, &(socklen_t){sizeof value});
    return value;
}

Test(chase, the_kernel_is_told_not_to_wait_ever_longer_on_a_connection_that_is_chased)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct output ask = {.kind = OUT_MSG, .to_conn = 1, .msg.type = MSG_punch_request};
    struct output report = {.kind = OUT_MSG, .to_conn = 1, .msg.type = MSG_reflex_report};
    struct chaser c = {.timer = -1};
    int door = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert(bind(door, (struct sockaddr *)&at, sizeof at) == 0 && listen(door, 1) == 0);
    cr_assert_eq(getsockname(door, (struct sockaddr *)&at, &(socklen_t){sizeof at}), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    int before = option(fd, TCP_RTO_MAX_MS);
    chaser_sent(&c, &report, fd);
    cr_assert_eq(option(fd, TCP_RTO_MAX_MS), before);
    chaser_sent(&c, &ask, fd);
    if (before > 0)
        cr_assert_eq(option(fd, TCP_RTO_MAX_MS), CHASE_TIMEOUT_LEAST_MS);
    else
        cr_assert_eq(option(fd, TCP_THIN_LINEAR_TIMEOUTS), 1);
    close(fd);
    close(door);
}

Test(chase, what_is_no_tcp_socket_any_more_is_left_alone)
{
    struct output ask = {.kind = OUT_MSG, .to_conn = 1, .msg.type = MSG_punch_request};
    struct chaser c = {.timer = -1};
    int other = socket(AF_INET, SOCK_DGRAM, 0);

    chaser_sent(&c, &ask, other);
    chaser_sent(&c, &ask, -1);
    close(other);
    chaser_sent(&c, &ask, other);
    cr_assert_eq(c.chase.n, 0);
}
