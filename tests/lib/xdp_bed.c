/* xdp_bed.c - see xdp_bed.h. */
#include "tests/lib/xdp_bed.h"

#include "lib/bytes.h"
#include "tests/natlab/netns.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define WIRE "tester"
enum { CLIENT = 65, UP_WAIT_MS = 5000, LOOK_WAIT_MS = 4000, LOOK_AGAIN_MS = 200 };

static int wire = -1;
static uint8_t mac_server[6], mac_tester[6];

struct addr xdp_bed_server(unsigned i, uint16_t port)
{
    return addr_v4(192, 0, 2, (uint8_t)(1 + i), port);
}

struct addr xdp_bed_client(unsigned i, uint16_t port)
{
    return addr_v4(192, 0, 2, (uint8_t)(CLIENT + i), port);
}

static void get_mac(const char *name, uint8_t mac[static 6])
{
    struct ifreq r = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    cr_assert_eq(ioctl(fd, SIOCGIFHWADDR, &r), 0);
    memcpy(mac, r.ifr_hwaddr.sa_data, 6);
    close(fd);
}

static void set_feature(const char *name, uint32_t command, uint32_t value)
{
    struct ethtool_value v = {command, value};
    struct ifreq r = {.ifr_data = (char *)&v};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    cr_assert_eq(ioctl(fd, SIOCETHTOOL, &r), 0);
    close(fd);
}

static void open_wire(void)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ALL),
                             .sll_ifindex = (int)if_nametoindex(WIRE)};
    int size = 8 << 20;

    wire = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert(wire >= 0 && bind(wire, (struct sockaddr *)&at, sizeof at) == 0);
    setsockopt(wire, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
}

/* The kernel begins to send there only a while after both ends are up. */
static void await_running(const char *name)
{
    struct ifreq r = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    for (unsigned i = 0; i < UP_WAIT_MS && !(r.ifr_flags & IFF_RUNNING); i++) {
        poll(NULL, 0, 1);
        cr_assert_eq(ioctl(fd, SIOCGIFFLAGS, &r), 0);
    }
    cr_assert(r.ifr_flags & IFF_RUNNING);
    close(fd);
}

static void use_one_cpu(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(0, &set);
    cr_assert_eq(sched_setaffinity(0, sizeof set, &set), 0);
}

void xdp_bed_open(void)
{
    use_one_cpu();
    int server = netns_new();
    cr_assert(server >= 0, "root is needed");
    int tester = netns_new();
    cr_assert(tester >= 0 && netns_veth(WIRE, XDP_BED_SERVER, server));
    for (unsigned i = 0; i < XDP_CLIENT_ADDRS; i++) {
        struct addr a = xdp_bed_client(i, 0);
        cr_assert(netns_address(WIRE, i, &a, 24));
    }
    set_feature(WIRE, ETHTOOL_SGRO, 1); /* else it drops what the other end's native hook sends */
    cr_assert(netns_up(WIRE));
    get_mac(WIRE, mac_tester);
    open_wire();
    cr_assert(netns_enter(server));
    for (unsigned i = 0; i < XDP_SERVER_ADDRS; i++) {
        struct addr a = xdp_bed_server(i, 0);
        cr_assert(netns_address(XDP_BED_SERVER, i, &a, 24));
    }
    set_feature(XDP_BED_SERVER, ETHTOOL_STXCSUM,
                0); /* so that frames are as a card would send them */
    cr_assert(netns_up(XDP_BED_SERVER));
    get_mac(XDP_BED_SERVER, mac_server);
    struct addr gateway = xdp_bed_client(0, 0);
    cr_assert(netns_default_route(XDP_BED_SERVER, &gateway));
    await_running(XDP_BED_SERVER);
    cr_assert(netns_enter(tester));
    await_running(WIRE);
    cr_assert(netns_enter(server));
    close(server), close(tester); /* the sockets and we hold them */
}

void xdp_bed_close(void) { close(wire); }

/* ---- frames ------------------------------------------------------------------------------------- */

static uint32_t sum16(const uint8_t *p, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    return sum;
}

static uint16_t fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

void xdp_bed_sum_ip(struct xdp_frame *f)
{
    put_u16(f->b + XDP_IP + 10, 0);
    put_u16(f->b + XDP_IP + 10, (uint16_t)~fold(sum16(f->b + XDP_IP, 20, 0)));
}

static void sum_udp(struct xdp_frame *f, size_t udp, size_t addrs, size_t addrs_len)
{
    size_t len = f->len - udp;

    put_u16(f->b + udp + 6, 0);
    uint32_t sum = sum16(f->b + addrs, addrs_len, IPPROTO_UDP + (uint32_t)len);
    uint16_t check = (uint16_t)~fold(sum16(f->b + udp, len, sum));
    put_u16(f->b + udp + 6, check == 0 ? 0xffff : check);
}

void xdp_bed_sum(struct xdp_frame *f)
{
    xdp_bed_sum_ip(f);
    sum_udp(f, XDP_UDP, XDP_IP + 12, 8);
}

static void put_udp(uint8_t *p, const struct addr *src, const struct addr *dst, const void *data,
                    size_t len)
{
    put_u16(p, src->port);
    put_u16(p + 2, dst->port);
    put_u16(p + 4, (uint16_t)(8 + len));
    memcpy(p + 8, data, len);
}

struct xdp_frame xdp_bed_udp(const struct addr *src, const struct addr *dst, const void *data,
                             size_t len)
{
    struct xdp_frame f = {0};
    uint8_t *ip = f.b + XDP_IP;

    memcpy(f.b, mac_server, 6);
    memcpy(f.b + 6, mac_tester, 6);
    if (src->len == 16) {
        put_u16(f.b + 12, ETHERTYPE_IPV6);
        ip[0] = 0x60;
        put_u16(ip + 4, (uint16_t)(8 + len));
        ip[6] = IPPROTO_UDP;
        ip[7] = 64;
        memcpy(ip + 8, src->ip, 16);
        memcpy(ip + 24, dst->ip, 16);
        put_udp(ip + 40, src, dst, data, len);
        f.len = XDP_IP + 48 + len;
        sum_udp(&f, XDP_IP + 40, XDP_IP + 8, 32);
        return f;
    }
    put_u16(f.b + 12, ETHERTYPE_IP);
    ip[0] = 0x45;
    put_u16(ip + 2, (uint16_t)(28 + len));
    put_u16(ip + 4, 0x1234);
    put_u16(ip + 6, 0x4000);
    ip[8] = 57;
    ip[9] = IPPROTO_UDP;
    memcpy(ip + 12, src->ip, 4);
    memcpy(ip + 16, dst->ip, 4);
    put_udp(ip + 20, src, dst, data, len);
    f.len = XDP_PAYLOAD + len;
    xdp_bed_sum(&f);
    return f;
}

void xdp_bed_send(const struct xdp_frame *f)
{
    cr_assert_eq(send(wire, f->b, f->len, 0), (ssize_t)f->len);
}

/* UDP of either family, not what we have sent ourselves. */
static bool is_answer(const struct xdp_frame *f)
{
    if (f->len < XDP_PAYLOAD || memcmp(f->b + 6, mac_server, 6) != 0)
        return false;
    return (get_u16(f->b + 12) == ETHERTYPE_IP && f->b[XDP_IP + 9] == IPPROTO_UDP) ||
           (get_u16(f->b + 12) == ETHERTYPE_IPV6 && f->b[XDP_IP + 6] == IPPROTO_UDP);
}

bool xdp_bed_next(struct xdp_frame *f, int ms)
{
    struct pollfd p = {.fd = wire, .events = POLLIN};
    struct sockaddr_ll from;
    socklen_t from_len = sizeof from;
    ssize_t n;

    do {
        from_len = sizeof from;
        n = recvfrom(wire, f->b, sizeof f->b, 0, (struct sockaddr *)&from, &from_len);
        if (n < 0 && poll(&p, 1, ms) <= 0)
            return false;
        f->len = n < 0 ? 0 : (size_t)n;
    } while (n < 0 || from.sll_pkttype == PACKET_OUTGOING || !is_answer(f));
    return true;
}

unsigned xdp_bed_look(const struct xdp_frame *f, struct xdp_frame *last, size_t mark_at,
                      void (*run)(void), struct xdp_frame got[static XDP_BED_GOT_MAX])
{
    static uint64_t mark; /* of the last of all */
    struct xdp_frame next;
    unsigned n = 0;

    put_u64(last->b + mark_at, ++mark);
    xdp_bed_sum(last);
    xdp_bed_send(f);
    bool done = false; /* of what came with it a native hook's frames may stand behind it */
    for (unsigned i = 0; !done && i < LOOK_WAIT_MS; i++) {
        if (i % LOOK_AGAIN_MS == 0) /* at first the way may not be there yet */
            xdp_bed_send(last);
        for (run(); xdp_bed_next(&next, done ? 0 : 1);) {
            if (next.len >= mark_at + XDP_BED_MARK && get_u64(next.b + mark_at) == mark) {
                done = true;
                continue;
            }
            cr_assert_lt(n, XDP_BED_GOT_MAX);
            got[n++] = next;
        }
    }
    cr_assert(done, "the answer to what ends the look");
    return n;
}

bool xdp_bed_normal(struct xdp_frame *f)
{
    struct xdp_frame right = *f;

    xdp_bed_sum_ip(&right);
    if (memcmp(right.b, f->b, right.len) != 0)
        return false;
    put_u16(f->b + XDP_IP + 4, 0);
    xdp_bed_sum_ip(f);
    return true;
}
