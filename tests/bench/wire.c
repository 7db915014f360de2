/* wire.c - see wire.h. */
#include "tests/bench/wire.h"

#include "lib/bytes.h"
#include "lib/log.h"
#include "tests/bench/rooms.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum {
    FRAMES = 32,
    FRAME_MAX = 65000,
    PAYLOAD_MAX_BYTES = 1472,
    BUFFER = 64 << 20,
    GSO_UDP_L4 = 5, /* VIRTIO_NET_HDR_GSO_UDP_L4, which older headers don't have */
};

struct frame {
    struct virtio_net_hdr vnet;
    struct ether_header eth;
    struct iphdr ip;
    struct udphdr udp;
    uint8_t payload[FRAME_MAX];
} __attribute__((packed));
enum { HEADERS = offsetof(struct frame, payload), IP_AT = 14, UDP_AT = 34 };

static int fd;
static uint8_t mac_here[6], mac_there[6];
static struct frame tx[FRAMES];
static struct mmsghdr tx_msg[FRAMES];
static struct iovec tx_iov[FRAMES];
static unsigned n_tx;
static uint8_t rx[FRAMES][HEADERS + WIRE_SEEN];
static struct mmsghdr rx_msg[FRAMES];
static struct iovec rx_iov[FRAMES];
static unsigned n_rx, next_rx;

static void set(int level, int option, int value)
{
    if (setsockopt(fd, level, option, &value, sizeof value) != 0)
        die("event=no_wire option=%d why=\"%s\"", option, strerror(errno));
}

void wire_open(void)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_IP),
                             .sll_ifindex = (int)if_nametoindex(ROOM_WIRE)};

    fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        die("event=no_wire why=\"%s\"", strerror(errno));
    set(SOL_PACKET, PACKET_VNET_HDR, 1);
    set(SOL_PACKET, PACKET_QDISC_BYPASS, 1);
    set(SOL_SOCKET, SO_RCVBUFFORCE, BUFFER);
    set(SOL_SOCKET, SO_SNDBUFFORCE, BUFFER);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0)
        die("event=no_wire why=\"%s\"", strerror(errno));
    rooms_macs(mac_here, mac_there);
    for (unsigned i = 0; i < FRAMES; i++) {
        tx_iov[i].iov_base = &tx[i];
        tx_msg[i].msg_hdr.msg_iov = &tx_iov[i];
        tx_msg[i].msg_hdr.msg_iovlen = 1;
        rx_iov[i] = (struct iovec){rx[i], sizeof rx[i]};
        rx_msg[i].msg_hdr.msg_iov = &rx_iov[i];
        rx_msg[i].msg_hdr.msg_iovlen = 1;
    }
}

/* ---- out ---- */

static uint32_t sum16(const void *data, size_t len, uint32_t sum)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < len; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    return sum;
}

static uint16_t fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* The UDP checksum is left to whoever needs it, which over a veth is nobody. */
static void fill_headers(struct frame *fr, const struct flow *f, size_t len, size_t each)
{
    memset(fr, 0, HEADERS);
    fr->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    fr->vnet.csum_start = UDP_AT;
    fr->vnet.csum_offset = offsetof(struct udphdr, check);
    if (len > each) {
        fr->vnet.gso_type = GSO_UDP_L4;
        fr->vnet.gso_size = (uint16_t)each;
        fr->vnet.hdr_len = HEADERS - sizeof fr->vnet;
    }
    memcpy(fr->eth.ether_shost, mac_here, 6);
    memcpy(fr->eth.ether_dhost, mac_there, 6);
    fr->eth.ether_type = htons(ETHERTYPE_IP);
    fr->ip.version = 4;
    fr->ip.ihl = 5;
    fr->ip.ttl = 64;
    fr->ip.protocol = IPPROTO_UDP;
    fr->ip.frag_off = htons(IP_DF);
    fr->ip.tot_len = htons((uint16_t)(sizeof fr->ip + sizeof fr->udp + len));
    memcpy(&fr->ip.saddr, f->src.ip, 4);
    memcpy(&fr->ip.daddr, f->dst.ip, 4);
    fr->ip.check = htons((uint16_t)~fold(sum16(&fr->ip, sizeof fr->ip, 0)));
    fr->udp.source = htons(f->src.port);
    fr->udp.dest = htons(f->dst.port);
    fr->udp.len = htons((uint16_t)(sizeof fr->udp + len));
    uint32_t pseudo = sum16(&fr->ip.saddr, 8, IPPROTO_UDP) + (uint32_t)(sizeof fr->udp + len);
    fr->udp.check = htons(fold(pseudo));
}

static void queue(size_t len)
{
    tx_iov[n_tx].iov_len = HEADERS + len;
    if (++n_tx == FRAMES)
        wire_flush();
}

void wire_put(const struct flow *f, size_t len, unsigned train, size_t stamp_at, uint64_t stamp)
{
    struct frame *fr = &tx[n_tx];

    assert(train >= 1 && train <= WIRE_TRAIN_MAX && len <= PAYLOAD_MAX_BYTES &&
           len >= f->head_len && stamp_at + 8 <= len);
    fill_headers(fr, f, len * train, len);
    for (unsigned i = 0; i < train; i++) {
        memcpy(fr->payload + i * len, f->head, f->head_len);
        put_u64(fr->payload + i * len + stamp_at, stamp);
    }
    queue(len * train);
}

void wire_say(const struct flow *f)
{
    fill_headers(&tx[n_tx], f, f->head_len, f->head_len);
    memcpy(tx[n_tx].payload, f->head, f->head_len);
    queue(f->head_len);
}

void wire_flush(void)
{
    for (unsigned at = 0; at < n_tx;) {
        int n = sendmmsg(fd, tx_msg + at, n_tx - at, MSG_DONTWAIT);
        at += n > 0 ? (unsigned)n : 1; /* what is refused here shows as lost */
    }
    n_tx = 0;
}

/* ---- in ---- */

static struct addr v4_at(const uint8_t *ip, const uint8_t *port)
{
    return addr_v4(ip[0], ip[1], ip[2], ip[3], get_u16(port));
}

static bool parse(const uint8_t *frame, size_t len, struct seen *out)
{
    struct virtio_net_hdr vnet;
    const uint8_t *ip = frame + sizeof vnet + IP_AT, *udp = frame + sizeof vnet + UDP_AT;

    if (len < HEADERS || ip[0] != 0x45 || ip[9] != IPPROTO_UDP)
        return false;
    memcpy(&vnet, frame, sizeof vnet);
    out->src = v4_at(ip + 12, udp);
    out->dst = v4_at(ip + 16, udp + 2);
    out->payload = frame + HEADERS;
    out->len = get_u16(udp + 4) - sizeof(struct udphdr);
    out->datagrams = 1;
    if (vnet.gso_type == GSO_UDP_L4 && vnet.gso_size > 0) {
        out->len = vnet.gso_size;
        out->datagrams = (unsigned)((len - HEADERS + vnet.gso_size - 1) / vnet.gso_size);
    }
    return true;
}

bool wire_next(struct seen *out)
{
    for (;;) {
        if (next_rx == n_rx) {
            int n = recvmmsg(fd, rx_msg, FRAMES, MSG_DONTWAIT | MSG_TRUNC, NULL);
            n_rx = n > 0 ? (unsigned)n : 0;
            next_rx = 0;
            if (n_rx == 0)
                return false;
        }
        unsigned i = next_rx++;
        if (parse(rx[i], rx_msg[i].msg_len, out))
            return true;
    }
}

bool wire_wait(struct seen *out, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return wire_next(out) || (poll(&p, 1, timeout_ms) > 0 && wire_next(out));
}
