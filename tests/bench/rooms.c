/* rooms.c - see rooms.h. */
#include "tests/bench/rooms.h"

#include "lib/log.h"
#include "lib/udp.h"
#include "tests/natlab/netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

const struct addr room_server = {
    .len = 4, .ip = {10, 77, 0, 1}
};
const struct addr room_left = {
    .len = 4, .ip = {10, 77, 1, 1}
};
const struct addr room_right = {
    .len = 4, .ip = {10, 77, 2, 1}
};

static struct rooms *opened;
static pid_t server_thread;
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
    snprintf(r.arp_dev, sizeof r.arp_dev, ROOM_SERVER_END);
    must(fd >= 0 && ioctl(fd, SIOCSARP, &r) == 0, "neighbour");
    close(fd);
}

/* sysfs shows the namespace that mounts it; the mount is in a mount namespace of our own. */
static void receive_by(const char *name, unsigned cpus)
{
    char path[128], mask[16];
    int len = snprintf(mask, sizeof mask, "%x", cpus);

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

static void receive_on(const char *name, int cpu) { receive_by(name, 1u << cpu); }

/* The kernel there forwards what is for another host, back to where it came from. */
static void forward(void)
{
    static const char *const settings[][2] = {
        {"/proc/sys/net/ipv4/ip_forward",                              "1"},
        {"/proc/sys/net/ipv4/conf/all/send_redirects",                 "0"},
        {"/proc/sys/net/ipv4/conf/" ROOM_SERVER_END "/send_redirects", "0"},
        {"/proc/sys/net/ipv4/conf/all/rp_filter",                      "0"},
        {"/proc/sys/net/ipv4/conf/" ROOM_SERVER_END "/rp_filter",      "0"}
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
    opened = r;
    must(unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0,
         "mount namespace");
    r->server = netns_new();
    must(r->server >= 0, "namespace");
    r->load = netns_new();
    must(r->load >= 0 && netns_veth(ROOM_WIRE, ROOM_SERVER_END, r->server), "veth");
    get_mac(ROOM_WIRE, mac_load);
    must(netns_up(ROOM_WIRE), "link");
    receive_on(ROOM_WIRE, CPU_LOAD);
    must(netns_enter(r->server), "namespace");
    get_mac(ROOM_SERVER_END, mac_server);
    must(netns_address(ROOM_SERVER_END, 0, &room_server, 16) && netns_up(ROOM_SERVER_END),
         "address");
    add_neighbour(&room_left, mac_load);
    add_neighbour(&room_right, mac_load);
    receive_on(ROOM_SERVER_END, CPU_SERVER);
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

static void set_feature(const char *name, uint32_t command, uint32_t value)
{
    struct ethtool_value v = {command, value};
    struct ifreq r = {.ifr_data = (char *)&v};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    must(fd >= 0 && ioctl(fd, SIOCETHTOOL, &r) == 0, "an interface's feature");
    close(fd);
}

void rooms_checksums(bool whole) { set_feature(ROOM_WIRE, ETHTOOL_STXCSUM, !whole); }

/* The kernel's thread of this interface that has come last. */
static pid_t find_thread(const char *name)
{
    char path[300], comm[32], want[32];
    DIR *proc = opendir("/proc");
    struct dirent *e;
    pid_t found = 0;

    snprintf(want, sizeof want, "napi/%s-", name);
    while (proc && (e = readdir(proc)) != NULL) {
        snprintf(path, sizeof path, "/proc/%.20s/comm", e->d_name);
        FILE *f = fopen(path, "re");
        if (!f)
            continue;
        if (fgets(comm, sizeof comm, f) && strncmp(comm, want, strlen(want)) == 0 &&
            atoi(e->d_name) > found)
            found = atoi(e->d_name);
        fclose(f);
    }
    if (proc)
        closedir(proc);
    must(found != 0, "a thread for each end");
    return found;
}

static pid_t thread_of(const char *name, int cpu)
{
    char path[128];
    cpu_set_t set;

    receive_by(name, 0);
    set_feature(name, ETHTOOL_SGRO, 1); /* a veth has something to make a thread of only then */
    must(mount("sysfs", "/sys", "sysfs", 0, NULL) == 0, "sysfs");
    snprintf(path, sizeof path, "/sys/class/net/%s/threaded", name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    must(fd >= 0 && write(fd, "1", 1) == 1, "threads");
    close(fd);
    umount2("/sys", MNT_DETACH);
    pid_t thread = find_thread(name);
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    must(sched_setaffinity(thread, sizeof set, &set) == 0, "a thread's CPU");
    setpriority(PRIO_PROCESS, (id_t)thread, -20);
    return thread;
}

void rooms_threads(void)
{
    thread_of(ROOM_WIRE, CPU_LOAD);
    must(netns_enter(opened->server), "namespace");
    server_thread = thread_of(ROOM_SERVER_END, CPU_SERVER);
    must(netns_enter(opened->load), "namespace");
}

pid_t rooms_server_thread(void) { return server_thread; }
