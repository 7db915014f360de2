/* xdp_relay.c - see xdp_relay.h. */
#include "tests/lib/xdp_relay.h"
#include "lib/bytes.h"
#include "lib/service.h"
#include "lib/udp.h"
#include "services/relay/fast.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

enum { PORT = 3480, SESSIONS = 100 };

struct xdp_relay xdp_relay = {.sock = -1};

static void fill(void *arg, struct xdp *x)
{
    struct relay_conf *conf = arg;
    struct express_head *head = x->memory[0];

    head->bits = express_bits(SESSIONS);
    conf->express = (struct express){x->memory[1], x->memory[2], head->bits};
}

static void open_relay(const char *where)
{
    uint32_t sets = 1u << express_bits(SESSIONS), cells = sets * EXPRESS_WAYS;
    struct sockaddr_storage sa;

    xdp_bed_open();
    xdp_relay.at = xdp_bed_server(0, PORT);
    socklen_t len = addr_to_sockaddr(&xdp_relay.at, &sa);
    xdp_relay.sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(xdp_relay.sock, (struct sockaddr *)&sa, len), 0);
    const struct xdp_plan plan = {
        .where = where,
        .slot = XDP_RELAY,
        .addrs = &xdp_relay.at,
        .n_addrs = 1,
        .public_addr = &xdp_relay.at,
        .maps = {{.name = "head", .bytes = sizeof(struct express_head)},
                 {.name = "sets", .entries = sets, .bytes = sets * sizeof(struct express_set)},
                 {.name = "cells", .entries = cells, .bytes = cells * sizeof(struct express_cell)}},
        .socket = xdp_relay.sock,
    };
    relay_bed_open(&xdp_relay.bed, SESSIONS, 1);
    cr_assert(xdp_open(&xdp_relay.hook, &plan, fill, &xdp_relay.bed.conf), "the hook at %s", where);
    relay_bed_restart(&xdp_relay.bed, 1);
}

/* ---- the process ----------------------------------------------------------------------------- */

static void say(const struct addr *dst, const uint8_t *data, size_t len)
{
    struct sockaddr_storage sa;
    socklen_t sa_len = addr_to_sockaddr(dst, &sa);

    sendto(xdp_relay.sock, data, len, 0, (struct sockaddr *)&sa, sa_len); /* where there is a way */
}

static void step(const struct addr *src, const uint8_t *data, size_t len)
{
    struct addr peer = relay_bed_peer((char)src->ip[3]);

    if (len == XDP_BED_MARK && src->port == 1) {
        say(src, data, len);
        return;
    }
    if (!addr_eq(&peer, src))
        return;
    relay_bed_datagram(&xdp_relay.bed, (char)src->ip[3], data, len);
    for (size_t i = 0; i < xdp_relay.bed.out.n; i++)
        if (xdp_relay.bed.out.v[i].kind == OUT_DATAGRAM)
            say(&xdp_relay.bed.out.v[i].dgram.dst, xdp_relay.bed.out.v[i].dgram.data,
                xdp_relay.bed.out.v[i].dgram.len);
}

static void run(void)
{
    struct sockaddr_storage sa;
    const struct addr *dst;
    uint8_t data[2048];
    ssize_t n;

    for (;;) {
        socklen_t len = sizeof sa;
        n = recvfrom(xdp_relay.sock, data, sizeof data, 0, (struct sockaddr *)&sa, &len);
        if (n < 0)
            return;
        struct addr src = addr_from_sockaddr(&sa);
        switch (relay_forward(&xdp_relay.bed.r, xdp_relay.bed.now_ms * 1000, &src, data, (size_t)n,
                              &dst)) {
        case RELAY_FORWARD: say(dst, data, (size_t)n); break;
        case RELAY_DROP: break;
        case RELAY_STEP: step(&src, data, (size_t)n); break;
        }
    }
}

uint64_t xdp_relay_by_hook(void)
{
    for (uint32_t i = 0; i < SESSIONS; i++)
        if (table_used(&xdp_relay.bed.r.by_sid, i))
            relay_fast_count(&xdp_relay.bed.r, &xdp_relay.bed.r.sessions[i]);
    return xdp_relay.bed.r.n.by_xdp;
}

unsigned xdp_relay_look(const struct xdp_frame *f, struct xdp_frame got[static XDP_BED_GOT_MAX])
{
    struct addr src = xdp_bed_client(3, 1);
    uint8_t end[XDP_BED_MARK] = {0};

    memset(xdp_relay.bed.r.stranger_us, 0,
           sizeof xdp_relay.bed.r.stranger_us); /* each may be told */
    struct xdp_frame last = xdp_bed_udp(&src, &xdp_relay.at, end, sizeof end);
    return xdp_bed_look(f, &last, XDP_PAYLOAD, run, got);
}

void xdp_relay_alive(bool is)
{
    struct express_head *head = xdp_relay.hook.memory[0];

    head->place.alive_ms = 0;
    if (is)
        xdp_alive(&xdp_relay.hook, service_now_us());
}

/* Without a checksum or with a wrong one the hook leaves it so. */
static bool equal(struct xdp_frame *a, struct xdp_frame *b)
{
    struct xdp_frame *const both[] = {a, b};

    for (unsigned i = 0; i < 2; i++) {
        if (!xdp_bed_normal(both[i]))
            return false;
        if (get_u16(both[i]->b + XDP_UDP + 6) == 0)
            xdp_bed_sum(both[i]);
    }
    return a->len == b->len && memcmp(a->b, b->b, a->len) == 0;
}

static bool sum_right(const struct xdp_frame *f)
{
    struct xdp_frame right = *f;

    xdp_bed_sum(&right);
    return get_u16(f->b + XDP_UDP + 6) == 0 || memcmp(f->b, right.b, f->len) == 0;
}

unsigned xdp_relay_same(const struct xdp_frame *f, const char *what)
{
    static struct xdp_frame with[XDP_BED_GOT_MAX], without[XDP_BED_GOT_MAX];
    uint64_t before = xdp_relay_by_hook();

    xdp_relay_alive(true);
    unsigned n = xdp_relay_look(f, with), hooked = (unsigned)(xdp_relay_by_hook() - before);
    xdp_relay_alive(false);
    unsigned m = xdp_relay_look(f, without);
    if (hooked == 1 && n == 1 && m == 0) { /* it was damaged, and is so still */
        cr_assert(!sum_right(&with[0]) && !sum_right(f), "%s", what);
        return hooked;
    }
    cr_assert_eq(n, m, "%s: %u frames with, %u without", what, n, m);
    for (unsigned i = 0; i < n; i++)
        cr_assert(equal(&with[i], &without[i]), "%s: frame %u differs", what, i);
    return hooked;
}

void xdp_relay_expect(struct xdp_frame f, unsigned hooked, const char *what)
{
    unsigned n = xdp_relay_same(&f, what);

    cr_assert_eq(n, hooked, "%s: %u by the hook", what, n);
}

/* ---- frames ---------------------------------------------------------------------------------- */

struct xdp_frame xdp_relay_packet(char from, uint8_t session, uint8_t to_side, uint8_t type,
                                  size_t len)
{
    uint8_t wire[1500] = {type};
    struct sid sid = relay_bed_sid(session);
    struct path_id to = path_id(&sid, to_side);
    struct addr src = relay_bed_peer(from);

    memcpy(wire + 1, to.b, sizeof to.b);
    for (size_t i = 9; i < len; i++)
        wire[i] = (uint8_t)(i * 7);
    return xdp_bed_udp(&src, &xdp_relay.at, wire, len);
}

struct xdp_frame xdp_relay_data(char from, uint8_t to_side)
{
    return xdp_relay_packet(from, 7, to_side, PACKET_DATA, 200);
}

struct xdp_frame xdp_relay_keep(char from, uint8_t session, uint8_t side)
{
    struct relay_control c = {.op = RELAY_KEEP};
    struct sid sid = relay_bed_sid(session);
    struct addr src = relay_bed_peer(from);
    uint8_t wire[RELAY_CONTROL_MAX];

    c.path = path_id(&sid, side);
    return xdp_bed_udp(&src, &xdp_relay.at, wire, relay_encode(&c, wire));
}

void xdp_relay_session(uint8_t n, const struct ticket t[static 2])
{
    struct xdp_frame got[XDP_BED_GOT_MAX];
    struct xdp_frame a = xdp_relay_keep('A', n, 0), b = xdp_relay_keep('B', n, 1);

    relay_bed_bind(&xdp_relay.bed, 'A', &t[0], 1);
    relay_bed_bind(&xdp_relay.bed, 'B', &t[1], 2);
    xdp_relay_alive(true);
    xdp_relay_look(&a, got);
    xdp_relay_look(&b, got);
}

static void open_seven(void)
{
    struct ticket t[2] = {relay_bed_ticket(&xdp_relay.bed, 7, 0),
                          relay_bed_ticket(&xdp_relay.bed, 7, 1)};

    xdp_relay_session(7, t);
}

void xdp_relay_open_generic(void)
{
    open_relay(XDP_BED_SERVER "/skb");
    open_seven();
}

void xdp_relay_open_native(void)
{
    open_relay(XDP_BED_SERVER "/native");
    open_seven();
}

void xdp_relay_close(void)
{
    xdp_close(&xdp_relay.hook);
    relay_bed_close(&xdp_relay.bed);
    close(xdp_relay.sock);
    xdp_bed_close();
}
