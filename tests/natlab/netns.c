/* netns.c - see netns.h. */
#include "tests/natlab/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <net/route.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int netns_current(void) { return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC); }

bool netns_enter(int fd) { return setns(fd, CLONE_NEWNET) == 0; }

int netns_new(void)
{
    if (unshare(CLONE_NEWNET) != 0 || !netns_up("lo"))
        return -1;
    return netns_current();
}

int netns_tun(const char *name)
{
    struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return -1;
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    if (ioctl(fd, TUNSETIFF, &r) == 0 && netns_up(name))
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* ---- by ioctl ---- */

static bool control(unsigned long request, void *arg)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && ioctl(fd, request, arg) == 0;
    int saved = errno;

    if (fd >= 0)
        close(fd);
    errno = saved;
    return ok;
}

static void set_sockaddr(struct sockaddr *to, const struct addr *ip)
{
    struct sockaddr_in sin = {.sin_family = AF_INET};

    if (ip != NULL)
        memcpy(&sin.sin_addr, ip->ip, sizeof sin.sin_addr);
    memcpy(to, &sin, sizeof sin);
}

bool netns_up(const char *name)
{
    struct ifreq r = {0};

    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    if (!control(SIOCGIFFLAGS, &r))
        return false;
    r.ifr_flags = (short)(r.ifr_flags | IFF_UP);
    return control(SIOCSIFFLAGS, &r);
}

bool netns_address(const char *name, unsigned index, const struct addr *ip, int prefix)
{
    struct ifreq r = {0};
    uint32_t mask = htonl(prefix == 0 ? 0 : UINT32_MAX << (32 - prefix));
    struct addr mask_addr = {.len = 4};

    if (index == 0)
        snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    else
        snprintf(r.ifr_name, sizeof r.ifr_name, "%s:%u", name, index);
    set_sockaddr(&r.ifr_addr, ip);
    if (!control(SIOCSIFADDR, &r))
        return false;
    memcpy(mask_addr.ip, &mask, sizeof mask);
    set_sockaddr(&r.ifr_netmask, &mask_addr);
    return control(SIOCSIFNETMASK, &r);
}

bool netns_default_route(const char *name, const struct addr *gateway)
{
    char device[IFNAMSIZ];
    struct rtentry r = {.rt_flags = RTF_UP, .rt_dev = device};

    snprintf(device, sizeof device, "%s", name);
    set_sockaddr(&r.rt_dst, NULL);
    set_sockaddr(&r.rt_genmask, NULL);
    set_sockaddr(&r.rt_gateway, gateway);
    if (gateway != NULL)
        r.rt_flags |= RTF_GATEWAY;
    return control(SIOCADDRT, &r);
}

bool netns_host_route(const char *name, const struct addr *ip)
{
    char device[IFNAMSIZ];
    struct rtentry r = {.rt_flags = RTF_UP | RTF_HOST, .rt_dev = device};

    snprintf(device, sizeof device, "%s", name);
    set_sockaddr(&r.rt_dst, ip);
    return control(SIOCADDRT, &r);
}

/* ---- by rtnetlink(7) ---- */

struct request {
    struct nlmsghdr header;
    struct ifinfomsg link;
    char attributes[512];
};

static struct rtattr *attribute(struct request *r, unsigned short type, const void *data,
                                size_t len)
{
    struct rtattr *a = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->header.nlmsg_len));

    a->rta_type = type;
    a->rta_len = (unsigned short)RTA_LENGTH(len);
    if (len > 0)
        memcpy(RTA_DATA(a), data, len);
    r->header.nlmsg_len = NLMSG_ALIGN(r->header.nlmsg_len) + (uint32_t)RTA_ALIGN(a->rta_len);
    return a;
}

/* The attribute contains all that was added since it was. */
static void nest_end(struct request *r, struct rtattr *a)
{
    a->rta_len = (unsigned short)((char *)r + r->header.nlmsg_len - (char *)a);
}

static bool talk(struct request *r)
{
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char echo[1024];
    } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd < 0)
        return false;
    ssize_t n = send(fd, r, r->header.nlmsg_len, 0);
    if (n >= 0)
        n = recv(fd, &answer, sizeof answer, 0);
    int saved = n < 0 ? errno : -answer.error.error;
    close(fd);
    errno = saved;
    return saved == 0;
}

static struct request request(unsigned short flags)
{
    return (struct request){
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
                   .nlmsg_type = RTM_NEWLINK,
                   .nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags)}
    };
}

bool netns_veth(const char *here, const char *there, int fd)
{
    struct request r = request(NLM_F_CREATE | NLM_F_EXCL);
    const struct ifinfomsg none = {0};

    attribute(&r, IFLA_IFNAME, here, strlen(here) + 1);
    struct rtattr *info = attribute(&r, IFLA_LINKINFO, NULL, 0);
    attribute(&r, IFLA_INFO_KIND, "veth", 4);
    struct rtattr *data = attribute(&r, IFLA_INFO_DATA, NULL, 0);
    struct rtattr *peer = attribute(&r, VETH_INFO_PEER, &none, sizeof none);
    attribute(&r, IFLA_IFNAME, there, strlen(there) + 1);
    attribute(&r, IFLA_NET_NS_FD, &fd, sizeof fd);
    nest_end(&r, peer);
    nest_end(&r, data);
    nest_end(&r, info);
    return talk(&r);
}

bool netns_forward(const char *name)
{
    struct request r = request(0);
    const uint32_t on = 1;

    r.link.ifi_index = (int)if_nametoindex(name);
    struct rtattr *families = attribute(&r, IFLA_AF_SPEC, NULL, 0);
    struct rtattr *inet = attribute(&r, AF_INET, NULL, 0);
    struct rtattr *conf = attribute(&r, IFLA_INET_CONF, NULL, 0);
    attribute(&r, 1 /* IPV4_DEVCONF_FORWARDING, linux/ip.h */, &on, sizeof on);
    nest_end(&r, conf);
    nest_end(&r, inet);
    nest_end(&r, families);
    return talk(&r);
}

/* ---- by nft(8) ---- */

bool netns_rules(const char *rules)
{
    int in[2];

    if (pipe2(in, O_CLOEXEC) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(in[0], STDIN_FILENO);
        execlp("nft", "nft", "-f", "-", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    /* Rules fit a pipe's buffer, and if nft is gone the exit status says so. */
    ssize_t n = pid < 0 ? -1 : write(in[1], rules, strlen(rules));
    close(in[1]);
    int status = -1;
    if (pid > 0)
        waitpid(pid, &status, 0);
    errno = ENOPKG;
    return n >= 0 && status == 0;
}
