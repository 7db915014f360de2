/* xdp_place_shell.c - see xdp_place_shell.h. */
#include "lib/xdp_place_shell.h"

#include "lib/udp.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define AUTO "auto"
#define NATIVE "/native"
#define GENERIC "/skb"

static uint32_t ip_of(const struct addr *a)
{
    uint32_t ip = 0;

    if (a->len == sizeof ip)
        memcpy(&ip, a->ip, sizeof ip);
    return ip;
}

/* Keep it among what is there, if there is room. */
static bool keep_ip(struct xdp_place *p, uint32_t ip)
{
    for (unsigned i = 0; i < 2; i++) {
        if (p->ip[i] == 0)
            p->ip[i] = ip;
        if (p->ip[i] == ip)
            return true;
    }
    return false;
}

static bool keep_port(struct xdp_place *p, uint16_t port)
{
    for (unsigned i = 0; i < 2; i++) {
        if (p->port[i] == 0)
            p->port[i] = port;
        if (p->port[i] == port)
            return true;
    }
    return false;
}

/* "auto", "eth0", "eth0/skb", ...: the name, or "" for any. */
static bool parse(const char *text, struct xdp_where *w)
{
    size_t len = strcspn(text, "/");
    const char *mode = text + len;

    w->native = strcmp(mode, GENERIC) != 0;
    w->generic = strcmp(mode, NATIVE) != 0;
    if (len == 0 || len >= sizeof w->name || (*mode != '\0' && w->native == w->generic))
        return false;
    if (len != strlen(AUTO) || memcmp(text, AUTO, len) != 0)
        memcpy(w->name, text, len);
    return true;
}

/* Of this host's addresses that which packets to there leave from; nothing is sent. */
static uint32_t ip_towards(const struct addr *there)
{
    struct sockaddr_storage sa;
    struct addr local = {0};
    socklen_t len = addr_to_sockaddr(there, &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return 0;
    if (connect(fd, (struct sockaddr *)&sa, len) == 0) {
        len = sizeof sa;
        if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
            local = addr_from_sockaddr(&sa);
    }
    close(fd);
    return ip_of(&local);
}

/* An address may have a label, "eth0:1". */
static bool is_of(const struct ifaddrs *i, const char *name)
{
    return strncmp(i->ifa_name, name, strcspn(i->ifa_name, ":")) == 0 &&
           strlen(name) == strcspn(i->ifa_name, ":");
}

static const struct ifaddrs *with_ip(const struct ifaddrs *all, const char *name, uint32_t ip)
{
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
            (name[0] != '\0' && !is_of(i, name)))
            continue;
        struct sockaddr_in sin;
        memcpy(&sin, i->ifa_addr, sizeof sin);
        if (sin.sin_addr.s_addr == ip)
            return i;
    }
    return NULL;
}

static bool is_veth(const char *name)
{
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq r = {.ifr_data = (char *)&info};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(r.ifr_name, name, sizeof r.ifr_name);
    bool veth = fd >= 0 && ioctl(fd, SIOCETHTOOL, &r) == 0 && strcmp(info.driver, "veth") == 0;
    if (fd >= 0)
        close(fd);
    return veth;
}

static bool take_ethernet(const struct ifaddrs *all, struct xdp_where *w)
{
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        struct sockaddr_ll ll;
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_PACKET ||
            strcmp(i->ifa_name, w->name) != 0)
            continue;
        memcpy(&ll, i->ifa_addr, sizeof ll);
        w->index = ll.sll_ifindex;
        memcpy(w->place.mac, ll.sll_addr, sizeof w->place.mac);
        return ll.sll_hatype == ARPHRD_ETHER && ll.sll_halen == sizeof w->place.mac;
    }
    return false;
}

/* The addresses to serve: those bound, for a wildcard the one that leads to where we are known. */
static bool take_addrs(const struct xdp_plan *plan, struct xdp_place *p)
{
    int ttl = 0;
    socklen_t len = sizeof ttl;

    for (size_t i = 0; i < plan->n_addrs; i++) {
        uint32_t ip = ip_of(&plan->addrs[i]);
        if (plan->addrs[i].len == sizeof ip && ip == 0)
            ip = ip_towards(plan->public_addr);
        if (ip == 0 || !keep_ip(p, ip) || !keep_port(p, htons(plan->addrs[i].port)))
            return false;
    }
    getsockopt(plan->socket, IPPROTO_IP, IP_TTL, &ttl, &len);
    p->ttl = (uint8_t)ttl;
    return true;
}

static const char *find(const struct xdp_plan *plan, const struct ifaddrs *all, struct xdp_where *w)
{
    if (!take_addrs(plan, &w->place))
        return "only IPv4 is served at the hook";
    const struct ifaddrs *i = with_ip(all, w->name, w->place.ip[0]);
    if (!i)
        return "no such interface has the address";
    size_t len = strcspn(i->ifa_name, ":");
    memset(w->name, 0, sizeof w->name);
    memcpy(w->name, i->ifa_name, len < sizeof w->name ? len : sizeof w->name - 1);
    if (w->place.ip[1] != 0 && !with_ip(all, w->name, w->place.ip[1]))
        return "the interface has one of two addresses only";
    if (!take_ethernet(all, w))
        return "not an Ethernet";
    if (w->native && w->generic && is_veth(w->name))
        w->native = false;
    return NULL;
}

bool xdp_find_place(const struct xdp_plan *plan, struct xdp_where *w, const char **why)
{
    struct ifaddrs *all;

    *w = (struct xdp_where){0};
    *why = "not off, " AUTO " or INTERFACE, perhaps with " NATIVE " or " GENERIC " behind it";
    if (!parse(plan->where, w))
        return false;
    *why = "the interfaces can't be listed";
    if (getifaddrs(&all) != 0)
        return false;
    *why = find(plan, all, w);
    freeifaddrs(all);
    return *why == NULL;
}
