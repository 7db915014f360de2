/* rooms.c - see rooms.h. */
#include "tests/bench/rooms.h"

#include "lib/log.h"
#include "lib/udp.h"
#include "tests/natlab/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#define SERVER_END "server"

const struct addr room_server = {
    .len = 4, .ip = {10, 77, 0, 1}
};
const struct addr room_left = {
    .len = 4, .ip = {10, 77, 1, 1}
};
const struct addr room_right = {
    .len = 4, .ip = {10, 77, 2, 1}
};

static uint8_t mac_load[6], mac_server[6];

static void must(bool ok, const char *what)
{
    if (!ok)
        die("event=no_room what=\"%s\" why=\"%s\" hint=\"root is needed\"", what, strerror(errno));
}

static void get_mac(const char *name, uint8_t mac[6])
{
    struct ifreq r = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    must(fd >= 0 && ioctl(fd, SIOCGIFHWADDR, &r) == 0, "hardware address");
    memcpy(mac, r.ifr_hwaddr.sa_data, 6);
    close(fd);
}

/* Nobody answers ARP at the generator's end. */
static void add_neighbour(const struct addr *ip, const uint8_t mac[6])
{
    struct sockaddr_storage sa;
    struct arpreq r = {.arp_flags = ATF_PERM | ATF_COM};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    addr_to_sockaddr(ip, &sa);
    memcpy(&r.arp_pa, &sa, sizeof r.arp_pa);
    r.arp_ha.sa_family = ARPHRD_ETHER;
    memcpy(r.arp_ha.sa_data, mac, 6);
    snprintf(r.arp_dev, sizeof r.arp_dev, SERVER_END);
    must(fd >= 0 && ioctl(fd, SIOCSARP, &r) == 0, "neighbour");
    close(fd);
}

/* sysfs shows the namespace that mounts it; the mount is in a mount namespace of our own. */
static void receive_on(const char *name, int cpu)
{
    char path[128], mask[16];
    int len = snprintf(mask, sizeof mask, "%x", 1u << cpu);

    must(mount("sysfs", "/sys", "sysfs", 0, NULL) == 0, "sysfs");
    for (unsigned queue = 0;; queue++) {
        snprintf(path, sizeof path, "/sys/class/net/%s/queues/rx-%u/rps_cpus", name, queue);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 && queue > 0)
            break;
        must(fd >= 0 && write(fd, mask, (size_t)len) == len, "RPS");
        close(fd);
    }
    umount2("/sys", MNT_DETACH);
}

/* The kernel there forwards what is for another host, back to where it came from. */
static void forward(void)
{
    static const char *const settings[][2] = {
        {"/proc/sys/net/ipv4/ip_forward",                         "1"},
        {"/proc/sys/net/ipv4/conf/all/send_redirects",            "0"},
        {"/proc/sys/net/ipv4/conf/" SERVER_END "/send_redirects", "0"},
        {"/proc/sys/net/ipv4/conf/all/rp_filter",                 "0"},
        {"/proc/sys/net/ipv4/conf/" SERVER_END "/rp_filter",      "0"}
    };

    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        int fd = open(settings[i][0], O_WRONLY | O_CLOEXEC);
        must(fd >= 0 && write(fd, settings[i][1], 1) == 1, settings[i][0]);
        close(fd);
    }
}

/* Ahead of whatever else this machine does: a few seconds at a time. */
static void take_cpu(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    must(sched_setaffinity(0, sizeof set, &set) == 0, "two CPUs");
    setpriority(PRIO_PROCESS, 0, -20);
}

void rooms_open(struct rooms *r)
{
    must(unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0,
         "mount namespace");
    r->server = netns_new();
    must(r->server >= 0, "namespace");
    r->load = netns_new();
    must(r->load >= 0 && netns_veth(ROOM_WIRE, SERVER_END, r->server), "veth");
    get_mac(ROOM_WIRE, mac_load);
    must(netns_up(ROOM_WIRE), "link");
    receive_on(ROOM_WIRE, CPU_LOAD);
    must(netns_enter(r->server), "namespace");
    get_mac(SERVER_END, mac_server);
    must(netns_address(SERVER_END, 0, &room_server, 16) && netns_up(SERVER_END), "address");
    add_neighbour(&room_left, mac_load);
    add_neighbour(&room_right, mac_load);
    receive_on(SERVER_END, CPU_SERVER);
    forward();
    must(netns_enter(r->load), "namespace");
    take_cpu(CPU_LOAD);
}

void rooms_enter_server(const struct rooms *r)
{
    must(netns_enter(r->server), "namespace");
    take_cpu(CPU_SERVER);
}

void rooms_macs(uint8_t load[static 6], uint8_t server[static 6])
{
    memcpy(load, mac_load, 6);
    memcpy(server, mac_server, 6);
}
