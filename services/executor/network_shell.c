/* network_shell.c - see network_shell.h. */
#include "services/executor/network_shell.h"
#include "lib/udp.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

int network_watch(void)
{
    struct sockaddr_nl groups = {.nl_family = AF_NETLINK,
                                 .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE |
                                              RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&groups, sizeof groups) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool about_us(const struct nlmsghdr *m)
{
    switch (m->nlmsg_type) {
    case RTM_NEWADDR:
    case RTM_DELADDR:
    case RTM_NEWROUTE:
    case RTM_DELROUTE: return true;
    default: return false;
    }
}

bool network_changed(int fd)
{
    _Alignas(struct nlmsghdr) char buf[8192];
    bool changed = false;
    ssize_t n;

    while ((n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0) {
        const struct nlmsghdr *m = (const struct nlmsghdr *)buf;
        for (size_t left = (size_t)n; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left))
            changed = changed || about_us(m);
    }
    return changed || (n < 0 && errno == ENOBUFS); /* some were lost: who knows */
}

bool network_source(const struct addr *towards, struct addr *local)
{
    struct sockaddr_storage sa, own = {0};
    socklen_t len = addr_to_sockaddr(towards, &sa), own_len = sizeof own;
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&sa, len) == 0 &&
              getsockname(fd, (struct sockaddr *)&own, &own_len) == 0;
    int err = errno;

    if (fd >= 0)
        close(fd);
    errno = err;
    if (!ok)
        return false;
    *local = addr_from_sockaddr(&own);
    local->port = 0;
    return true;
}
