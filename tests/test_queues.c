/* test_queues.c - in which of a door's two queues a connection waits, on real sockets. */
#include "lib/udp.h"
#include "services/coordinator/queues_shell.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 8, PATIENCE_MS = 5000 };

static struct queues queues;
static int door[QUEUES];
static struct addr at;

static void listen_at(const struct addr *ip)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(ip, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0); /* for a port that is free */

    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    close(fd);
    at = addr_from_sockaddr(&sa);
    cr_assert(queues_listen(&queues, &at, false, BACKLOG, door));
}

static void setup(void) { cr_assert(queues_init(&queues), "root is needed"); }

static void teardown(void)
{
    for (int i = 0; i < QUEUES; i++)
        close(door[i]);
    queues_close(&queues);
}

TestSuite(queues, .init = setup, .fini = teardown, .timeout = 20);

static int call(const struct addr *from)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(from, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
    len = addr_to_sockaddr(&at, &sa);
    (void)!connect(fd, (struct sockaddr *)&sa, len);
    return fd;
}

/* The queue that a connection from there comes to. */
static enum queue queue_of(const struct addr *from)
{
    int fd = call(from);
    struct pollfd p[QUEUES] = {
        {.fd = door[0], .events = POLLIN},
        {.fd = door[1], .events = POLLIN}
    };

    cr_assert_eq(poll(p, QUEUES, PATIENCE_MS), 1);
    enum queue q = p[QUEUE_FAMILIAR].revents ? QUEUE_FAMILIAR : QUEUE_STRANGERS;
    close(accept(door[q], NULL, NULL));
    close(fd);
    return q;
}

Test(queues, who_has_been_here_waits_apart_from_strangers)
{
    struct addr a = addr_v4(127, 0, 0, 2, 0), b = addr_v4(127, 0, 0, 3, 0);

    listen_at(&(struct addr){
        .len = 4, .ip = {127, 0, 0, 1}
    });
    cr_assert_eq(queue_of(&a), QUEUE_STRANGERS);
    familiar_note(&queues.familiar, &a);
    cr_assert_eq(queue_of(&a), QUEUE_FAMILIAR);
    cr_assert_eq(queue_of(&b), QUEUE_STRANGERS);
}

Test(queues, of_ipv6_who_has_been_here_is_known_too)
{
    struct addr a =
                    {
                        .len = 16, .ip = {[15] = 1}
    },
                other = {.len = 16, .ip = {0x20, 1, [15] = 1}};

    listen_at(&a);
    familiar_note(&queues.familiar, &other);
    cr_assert_eq(queue_of(&a), QUEUE_STRANGERS);
    familiar_note(&queues.familiar, &a);
    cr_assert_eq(queue_of(&a), QUEUE_FAMILIAR);
}

Test(queues, strangers_who_fill_their_queue_keep_nobody_else_out)
{
    struct addr a = addr_v4(127, 0, 0, 2, 0), b = addr_v4(127, 0, 0, 3, 0);
    struct pollfd p;
    int strangers[4 * BACKLOG];

    listen_at(&(struct addr){
        .len = 4, .ip = {127, 0, 0, 1}
    });
    familiar_note(&queues.familiar, &a);
    for (int i = 0; i < 4 * BACKLOG; i++)
        strangers[i] = call(&b);
    int fd = call(&a);
    p = (struct pollfd){.fd = door[QUEUE_FAMILIAR], .events = POLLIN};
    cr_assert_eq(poll(&p, 1, PATIENCE_MS), 1);
    close(fd);
    for (int i = 0; i < 4 * BACKLOG; i++)
        close(strangers[i]);
}

Test(queues, a_port_that_somebody_has_is_refused)
{
    int second[QUEUES];

    listen_at(&(struct addr){
        .len = 4, .ip = {127, 0, 0, 1}
    });
    cr_assert_not(queues_listen(&queues, &at, false, BACKLOG, second));
}
