/* sockets.c - see sockets.h. */
#include "tests/lib/sockets.h"
#include "lib/udp.h"

#include <criterion/criterion.h>
#include <sys/socket.h>

struct addr sockets_name(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    cr_assert_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    return addr_from_sockaddr(&sa);
}

int sockets_udp(struct addr *at)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(at, &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
    *at = sockets_name(fd);
    return fd;
}

int sockets_loopback(struct addr *at)
{
    *at = addr_v4(127, 0, 0, 1, 0);
    return sockets_udp(at);
}

void sockets_connect(int fd, const struct addr *to)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(to, &sa);

    cr_assert_eq(connect(fd, (struct sockaddr *)&sa, len), 0);
}
