/*
 * xdp_bed.h - two namespaces and an Ethernet between them: a server's, 192.0.2.1 and .2, where a program is
 * at the hook, and the tester's, whose end sends and sees whole frames.
 *
 * The tester's kernel has 192.0.2.65 to .68 there, as relay_bed.h has its peers, so that the server's finds it.  All runs
 * on one CPU, in order.
 */
#ifndef XDP_BED_H
#define XDP_BED_H

#include "lib/addr.h"

enum { XDP_FRAME_MAX = 2048, XDP_SERVER_ADDRS = 2, XDP_CLIENT_ADDRS = 4 };
enum { XDP_ETH = 14, XDP_IP = XDP_ETH, XDP_UDP = XDP_IP + 20, XDP_PAYLOAD = XDP_UDP + 8 };
#define XDP_BED_SERVER "server" /* the interface's name there */

struct xdp_frame {
    size_t len;
    uint8_t b[XDP_FRAME_MAX];
};

/* Make them and stay in the server's; root is needed. */
void xdp_bed_open(void);
void xdp_bed_close(void);

struct addr xdp_bed_server(unsigned i, uint16_t port);
struct addr xdp_bed_client(unsigned i, uint16_t port);

/* A right frame with this datagram, of either IPv4 or, between the same ends, of IPv6. */
struct xdp_frame xdp_bed_udp(const struct addr *src, const struct addr *dst, const void *data,
                             size_t len);

/* Make the IPv4 header's checksum and that of UDP right again, by lengths as they are. */
void xdp_bed_sum(struct xdp_frame *f);
void xdp_bed_sum_ip(struct xdp_frame *f);

void xdp_bed_send(const struct xdp_frame *f);

/* The next UDP frame from the server that has come, within ms. */
bool xdp_bed_next(struct xdp_frame *f, int ms);

/*
 * Send a frame; what comes out before the answer to last, which is the process's in any case: XDP_BED_MARK bytes at mark_at of
 * it, and of its answer, are set here.  run lets the process do what there is to do.
 */
enum { XDP_BED_GOT_MAX = 8, XDP_BED_MARK = 8 };
unsigned xdp_bed_look(const struct xdp_frame *f, struct xdp_frame *last, size_t mark_at,
                      void (*run)(void), struct xdp_frame got[static XDP_BED_GOT_MAX]);

/* For comparing: the identification of a packet that is not to be fragmented means nothing (RFC 6864).  False when its
 * header's checksum is wrong. */
bool xdp_bed_normal(struct xdp_frame *f);

#endif
