/*
 * test_xdp_relay.c - the relay's program at the hook, over a veth: sessions go through it to the byte as through the
 * core, for as long as the core lets them, and everything else is left to the core.
 */
#include "lib/bytes.h"
#include "lib/service.h"
#include "lib/udp.h"
#include "lib/xdp_shell.h"
#include "services/relay/fast.h"
#include "tests/lib/ground.h"
#include "tests/lib/relay_bed.h"
#include "tests/lib/xdp_bed.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PORT = 3480, PEER = 4000, WAIT_MS = 4000, AGAIN_MS = 200, GOT_MAX = 8, SESSIONS = 100 };

static struct relay_bed bed;
static struct xdp hook;
static struct addr at;
static int sock = -1;
static uint64_t mark; /* of the last datagram that ends a look */

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
    at = xdp_bed_server(0, PORT);
    socklen_t len = addr_to_sockaddr(&at, &sa);
    sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(sock, (struct sockaddr *)&sa, len), 0);
    const struct xdp_plan plan = {
        .where = where,
        .slot = XDP_RELAY,
        .addrs = &at,
        .n_addrs = 1,
        .public_addr = &at,
        .maps = {{.name = "head", .bytes = sizeof(struct express_head)},
                 {.name = "sets", .entries = sets, .bytes = sets * sizeof(struct express_set)},
                 {.name = "cells", .entries = cells, .bytes = cells * sizeof(struct express_cell)}},
        .socket = sock,
    };
    relay_bed_open(&bed, SESSIONS, 1);
    cr_assert(xdp_open(&hook, &plan, fill, &bed.conf), "the hook at %s", where);
    relay_bed_restart(&bed, 1);
}

/* ---- the process ----------------------------------------------------------------------------------------- */

static void say(const struct addr *dst, const uint8_t *data, size_t len)
{
    struct sockaddr_storage sa;
    socklen_t sa_len = addr_to_sockaddr(dst, &sa);

    sendto(sock, data, len, 0, (struct sockaddr *)&sa, sa_len); /* where there is a way */
}

static void step(const struct addr *src, const uint8_t *data, size_t len)
{
    struct addr peer = relay_bed_peer((char)src->ip[3]);

    if (len == sizeof mark && src->port == 1) {
        say(src, data, len);
        return;
    }
    if (!addr_eq(&peer, src))
        return;
    relay_bed_datagram(&bed, (char)src->ip[3], data, len);
    for (size_t i = 0; i < bed.out.n; i++)
        if (bed.out.v[i].kind == OUT_DATAGRAM)
            say(&bed.out.v[i].dgram.dst, bed.out.v[i].dgram.data, bed.out.v[i].dgram.len);
}

static void run(void)
{
    struct sockaddr_storage sa;
    const struct addr *dst;
    uint8_t data[2048];
    ssize_t n;

    for (;;) {
        socklen_t len = sizeof sa;
        n = recvfrom(sock, data, sizeof data, 0, (struct sockaddr *)&sa, &len);
        if (n < 0)
            return;
        struct addr src = addr_from_sockaddr(&sa);
        switch (relay_forward(&bed.r, bed.now_ms * 1000, &src, data, (size_t)n, &dst)) {
        case RELAY_FORWARD: say(dst, data, (size_t)n); break;
        case RELAY_DROP: break;
        case RELAY_STEP: step(&src, data, (size_t)n); break;
        }
    }
}

static uint64_t by_hook(void)
{
    for (uint32_t i = 0; i < SESSIONS; i++)
        if (table_used(&bed.r.by_sid, i))
            relay_fast_count(&bed.r, &bed.r.sessions[i]);
    return bed.r.n.by_xdp;
}

/* Send a frame; what comes out before the answer to a datagram that is the process's in any case. */
static unsigned look(const struct xdp_frame *f, struct xdp_frame got[static GOT_MAX])
{
    struct addr src = xdp_bed_client(3, 1);
    struct xdp_frame next;
    uint8_t end[sizeof mark];
    unsigned n = 0;

    memset(bed.r.stranger_us, 0, sizeof bed.r.stranger_us); /* each may be told */
    put_u64(end, ++mark);
    struct xdp_frame last = xdp_bed_udp(&src, &at, end, sizeof end);
    xdp_bed_send(f);
    bool done = false; /* of what came with it a native hook's frames may stand behind it */
    for (unsigned i = 0; !done && i < WAIT_MS; i++) {
        if (i % AGAIN_MS == 0) /* at first the way may not be there yet */
            xdp_bed_send(&last);
        for (run(); xdp_bed_next(&next, done ? 0 : 1);) {
            if (next.len == XDP_PAYLOAD + sizeof mark && get_u64(next.b + XDP_PAYLOAD) == mark) {
                done = true;
                continue;
            }
            cr_assert_lt(n, GOT_MAX);
            got[n++] = next;
        }
    }
    cr_assert(done, "the answer to what ends the look");
    return n;
}

static void alive(bool is)
{
    struct express_head *head = hook.memory[0];

    head->place.alive_ms = 0;
    if (is)
        xdp_alive(&hook, service_now_us());
}

/* The identification means nothing; without a checksum or with a wrong one the hook leaves it so. */
static bool equal(struct xdp_frame *a, struct xdp_frame *b)
{
    struct xdp_frame *const both[] = {a, b};

    for (unsigned i = 0; i < 2; i++) {
        struct xdp_frame right = *both[i];
        xdp_bed_sum_ip(&right);
        if (memcmp(right.b, both[i]->b, right.len) != 0)
            return false;
        put_u16(both[i]->b + XDP_IP + 4, 0);
        if (get_u16(both[i]->b + XDP_UDP + 6) == 0)
            xdp_bed_sum(both[i]);
        xdp_bed_sum_ip(both[i]);
    }
    return a->len == b->len && memcmp(a->b, b->b, a->len) == 0;
}

static bool sum_right(const struct xdp_frame *f)
{
    struct xdp_frame right = *f;

    xdp_bed_sum(&right);
    return get_u16(f->b + XDP_UDP + 6) == 0 || memcmp(f->b, right.b, f->len) == 0;
}

/* The same with the hook and without it; how many packets the hook forwarded. */
static unsigned same_by(const struct xdp_frame *f, const char *what)
{
    static struct xdp_frame with[GOT_MAX], without[GOT_MAX];
    uint64_t before = by_hook();

    alive(true);
    unsigned n = look(f, with), hooked = (unsigned)(by_hook() - before);
    alive(false);
    unsigned m = look(f, without);
    if (hooked == 1 && n == 1 && m == 0) { /* it was damaged, and is so still */
        cr_assert(!sum_right(&with[0]) && !sum_right(f), "%s", what);
        return hooked;
    }
    cr_assert_eq(n, m, "%s: %u frames with, %u without", what, n, m);
    for (unsigned i = 0; i < n; i++)
        cr_assert(equal(&with[i], &without[i]), "%s: frame %u differs", what, i);
    return hooked;
}

static void expect(struct xdp_frame f, unsigned hooked, const char *what)
{
    unsigned n = same_by(&f, what);

    cr_assert_eq(n, hooked, "%s: %u by the hook", what, n);
}

/* ---- frames -------------------------------------------------------------------------------------------- */

static struct xdp_frame packet(char from, uint8_t session, uint8_t to_side, uint8_t type,
                               size_t len)
{
    uint8_t wire[1500] = {type};
    struct sid sid = relay_bed_sid(session);
    struct path_id to = path_id(&sid, to_side);
    struct addr src = relay_bed_peer(from);

    memcpy(wire + 1, to.b, sizeof to.b);
    for (size_t i = 9; i < len; i++)
        wire[i] = (uint8_t)(i * 7);
    return xdp_bed_udp(&src, &at, wire, len);
}

static struct xdp_frame data(char from, uint8_t to_side)
{
    return packet(from, 7, to_side, PACKET_DATA, 200);
}

static struct xdp_frame keep(char from, uint8_t session, uint8_t side)
{
    struct relay_control c = {.op = RELAY_KEEP};
    struct sid sid = relay_bed_sid(session);
    struct addr src = relay_bed_peer(from);
    uint8_t wire[RELAY_CONTROL_MAX];

    c.path = path_id(&sid, side);
    return xdp_bed_udp(&src, &at, wire, relay_encode(&c, wire));
}

static void open_session(uint8_t n, const struct ticket t[static 2])
{
    struct xdp_frame got[GOT_MAX];
    struct xdp_frame a = keep('A', n, 0), b = keep('B', n, 1);

    relay_bed_bind(&bed, 'A', &t[0], 1);
    relay_bed_bind(&bed, 'B', &t[1], 2);
    alive(true);
    look(&a, got);
    look(&b, got);
}

static void open_seven(void)
{
    struct ticket t[2] = {relay_bed_ticket(&bed, 7, 0), relay_bed_ticket(&bed, 7, 1)};

    open_session(7, t);
}

static void open_generic(void)
{
    open_relay(XDP_BED_SERVER "/skb");
    open_seven();
}

static void open_native(void)
{
    open_relay(XDP_BED_SERVER "/native");
    open_seven();
}

static void teardown(void)
{
    xdp_close(&hook);
    relay_bed_close(&bed);
    close(sock);
    xdp_bed_close();
}

TestSuite(xdp_relay, .init = open_generic, .fini = teardown, .timeout = 240);
TestSuite(xdp_relay_native, .init = open_native, .fini = teardown, .timeout = 240);

/* ---- what is forwarded ------------------------------------------------------------------------------- */

static struct xdp_frame with_byte(size_t where, uint8_t value)
{
    struct xdp_frame f = data('A', 1);

    f.b[where] = value;
    xdp_bed_sum(&f);
    return f;
}

static void a_table_of_packets(void)
{
    static const uint8_t tag[] = {0x81, 0x00, 0x00, 0x05};
    struct xdp_frame f;

    expect(data('A', 1), 1, "from A to B");
    expect(data('B', 0), 1, "from B to A");
    expect(packet('A', 7, 1, PACKET_DATA, DATA_OVERHEAD), 1, "the smallest");
    expect(packet('A', 7, 1, PACKET_DATA, DATA_BYTES_MAX), 1, "the largest");
    expect(packet('A', 7, 1, PACKET_DATA, DATA_OVERHEAD + 1), 1, "of odd length");
    expect(packet('A', 7, 1, PACKET_PUNCH, PUNCH_BYTES), 1, "a punch");
    expect(packet('A', 7, 1, PACKET_PONG, PUNCH_BYTES), 1, "a pong");
    expect(with_byte(XDP_IP + 8, 1), 1, "at the end of its time");
    expect(with_byte(XDP_IP + 1, 0xb8), 1, "with a class of service");
    f = data('A', 1);
    put_u16(f.b + XDP_UDP + 6, 0);
    expect(f, 1, "without a checksum");
    expect(packet('A', 7, 1, PACKET_DATA, DATA_OVERHEAD - 1), 0, "too small");
    expect(packet('A', 7, 1, PACKET_DATA, DATA_BYTES_MAX + 1), 0, "too large");
    expect(packet('A', 7, 1, PACKET_PUNCH, PUNCH_BYTES + 1), 0, "a punch of another length");
    expect(packet('A', 7, 1, PACKET_DATA + 1, 200), 0, "of no type");
    expect(packet('A', 8, 1, PACKET_DATA, 200), 0, "of no session");
    expect(data('A', 0), 0, "to its own end");
    expect(data('C', 1), 0, "from a stranger");
    expect(with_byte(XDP_UDP, 0x10), 0, "from another port");
    expect(with_byte(XDP_UDP + 3, 1), 0, "to another port");
    expect(with_byte(XDP_IP + 19, 2), 0, "to another address");
    expect(with_byte(XDP_IP + 6, 0x20), 0, "the first fragment");
    expect(with_byte(XDP_IP + 7, 1), 0, "a later fragment");
    expect(keep('A', 7, 0), 0, "KEEP");
    f = data('A', 1);
    f.b[5] ^= 1;
    expect(f, 0, "to another Ethernet address");
    f = data('A', 1);
    f.b[XDP_IP + 10] ^= 1;
    expect(f, 0, "with a wrong checksum of the header");
    f = data('A', 1);
    memmove(f.b + 16, f.b + 12, f.len - 12);
    memcpy(f.b + 12, tag, sizeof tag);
    f.len += sizeof tag;
    expect(f, 0, "with a VLAN tag");
}

Test(xdp_relay, forwards_to_the_byte_as_the_process_does)
{
    cr_assert_str_eq(hook.mode, "skb");
    a_table_of_packets();
}

Test(xdp_relay_native, forwards_to_the_byte_as_the_process_does)
{
    cr_assert_str_eq(hook.mode, "native");
    a_table_of_packets();
}

Test(xdp_relay, what_is_damaged_stays_so)
{
    struct xdp_frame f = data('A', 1);

    f.b[XDP_PAYLOAD + 40] ^= 1;
    expect(f, 1, "damaged on the way");
}

/* As a kernel writes it that leaves the rest to a card. */
Test(xdp_relay, a_checksum_that_is_only_begun_is_the_kernels)
{
    struct xdp_frame f = data('A', 1), got[GOT_MAX];
    uint32_t sum = IPPROTO_UDP + (uint32_t)(f.len - XDP_UDP);
    uint64_t before = by_hook();

    for (unsigned i = 12; i < 20; i += 2)
        sum += get_u16(f.b + XDP_IP + i);
    put_u16(f.b + XDP_UDP + 6, (uint16_t)((sum & 0xffff) + (sum >> 16)));
    look(&f, got);
    cr_assert_eq(by_hook(), before);
}

static void whatever_comes(unsigned times)
{
    static const uint8_t key[32] = {1};
    struct rng rng;
    unsigned hooked = 0;

    rng_init(&rng, key);
    for (unsigned i = 0; i < times; i++) {
        uint64_t r = rng_u64(&rng);
        size_t len = (r >> 8 & 1) != 0 ? PUNCH_BYTES : r >> 16 & 511;
        uint8_t type = (uint8_t)(PACKET_RELAY + (r >> 32 & 3));
        struct xdp_frame f =
            packet((r & 1) != 0 ? 'A' : 'B', 7, (r & 1) != 0, type, len < 9 ? 9 : len);
        for (unsigned n = (unsigned)(r >> 34 & 3); n > 0; n--) {
            uint64_t m = rng_u64(&rng);
            f.b[XDP_ETH + m % (f.len - XDP_ETH)] = (uint8_t)(m >> 32);
        }
        if (r >> 40 & 1)
            xdp_bed_sum(&f);
        if ((r >> 41 & 15) == 0)
            f.len -= (size_t)(r >> 48) % (f.len - XDP_ETH);
        char what[64];
        snprintf(what, sizeof what, "frame %u", i);
        hooked += same_by(&f, what);
        bed.log[0] = '\0';
    }
    cr_assert(hooked > times / 8, "%u of %u by the hook", hooked, times);
}

Test(xdp_relay, and_whatever_comes) { whatever_comes(ground_times("GARBAGE", 3000)); }
Test(xdp_relay_native, and_whatever_comes) { whatever_comes(ground_times("GARBAGE", 3000)); }

/* ---- for how long ------------------------------------------------------------------------------------------ */

static unsigned hooked(struct xdp_frame f)
{
    struct xdp_frame got[GOT_MAX];
    uint64_t before = by_hook();

    alive(true);
    look(&f, got);
    return (unsigned)(by_hook() - before);
}

static unsigned n_open(void)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < (uint32_t)EXPRESS_WAYS << bed.conf.express.bits; i++)
        n += bed.conf.express.sets[i / EXPRESS_WAYS].path[i % EXPRESS_WAYS] != 0;
    return n;
}

Test(xdp_relay, a_session_ends_there_when_it_ends_here)
{
    cr_assert_eq(n_open(), 2);
    cr_assert_eq(hooked(data('A', 1)), 1);
    relay_bed_run(&bed, 200000);
    cr_assert_eq(bed.r.by_sid.n, 0);
    cr_assert_eq(n_open(), 0);
    cr_assert_eq(hooked(data('A', 1)), 0);
}

Test(xdp_relay, a_side_that_is_dropped_is_sent_nothing)
{
    for (int64_t t = 30000; t <= 120000; t += 30000) { /* B is silent */
        relay_bed_run(&bed, t);
        relay_bed_keep(&bed, 'A', 7, 0);
    }
    cr_assert_eq(bed.r.by_sid.n, 1);
    cr_assert_eq(n_open(), 0);
    expect(data('A', 1), 0, "to nobody");
}

Test(xdp_relay, what_flows_there_keeps_both_sides)
{
    for (int64_t t = 30000; t <= 300000; t += 30000) {
        cr_assert_eq(hooked(data('A', 1)) + hooked(data('B', 0)), 2, "at %d", (int)t);
        relay_bed_run(&bed, t);
    }
    cr_assert_eq(bed.r.by_sid.n, 1);
    cr_assert_eq(bed.r.n.sides_dropped, 0);
}

Test(xdp_relay, a_side_that_moves_is_followed)
{
    struct ticket t = relay_bed_ticket(&bed, 7, 0);

    relay_bed_bind(&bed, 'C', &t, 3);
    expect(data('A', 1), 0, "from where it was");
    cr_assert_eq(hooked(keep('B', 7, 1)), 0);
    expect(data('C', 1), 1, "from where it is");
    expect(data('B', 0), 1, "to where it is");
}

Test(xdp_relay, raw_sides_are_the_processs)
{
    struct ticket t[2] = {relay_bed_ticket(&bed, 9, 0), relay_bed_ticket(&bed, 9, 1)};

    t[0].mode = t[1].mode = MODE_RAW;
    open_session(9, t);
    expect(packet('A', 9, 1, PACKET_DATA, 200), 0, "of a raw side");
}

Test(xdp_relay, who_has_not_been_heard_of_is_reached_by_the_process)
{
    struct ticket t[2] = {relay_bed_ticket(&bed, 9, 0), relay_bed_ticket(&bed, 9, 1)};

    relay_bed_bind(&bed, 'A', &t[0], 1);
    relay_bed_bind(&bed, 'B', &t[1], 2);
    expect(packet('A', 9, 1, PACKET_DATA, 200), 0, "to B, who was silent");
    expect(packet('B', 9, 0, PACKET_DATA, 200), 1, "to A, who was not");
    expect(packet('A', 9, 1, PACKET_DATA, 200), 1, "and now to B");
}

Test(xdp_relay, the_dead_forward_nothing)
{
    struct xdp_frame f = data('A', 1), got[GOT_MAX];
    uint64_t before = by_hook();

    xdp_alive(&hook, service_now_us() - (XDP_DEAD_MS + 1000) * INT64_C(1000));
    look(&f, got);
    cr_assert_eq(by_hook(), before);
    cr_assert_eq(hooked(f), 1);
}

/* ---- account ------------------------------------------------------------------------------------------------- */

Test(xdp_relay, what_flowed_there_is_reported)
{
    relay_bed_forget(&bed);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(hooked(data('A', 1)), 1);
    relay_bed_run(&bed, 10000);
    relay_bed_expect(&bed, "[ 10000] relay_usage session=07550000000000000000000000000000 "
                           "packets=5 bytes=1000 ended=no\n");
    cr_assert_eq(bed.r.n.forwarded_packets, 5);
    cr_assert_eq(bed.r.n.forwarded_bytes, 1000);
}

/* Packets that get through, of so many that are sent at one moment. */
static unsigned through(unsigned sent)
{
    struct xdp_frame got[GOT_MAX], f = packet('A', 9, 1, PACKET_DATA, 1000);
    unsigned n = 0;

    alive(true);
    for (unsigned i = 0; i < sent; i++)
        n += look(&f, got);
    return n;
}

Test(xdp_relay, a_quota_ends_a_flow_to_the_byte)
{
    struct ticket t[2] = {relay_bed_ticket(&bed, 9, 0), relay_bed_ticket(&bed, 9, 1)};

    t[0].bytes_max = 20999;
    open_session(9, t);
    uint64_t before = by_hook();
    cr_assert_eq(through(30), 20);
    cr_assert_eq(by_hook() - before, 20);
    cr_assert_eq(bed.r.n.dropped_quota, 10);
    expect(packet('B', 9, 0, PACKET_DATA, 1000), 1, "the other side has its own");
}

Test(xdp_relay, a_rate_is_held_and_reached)
{
    struct ticket t[2] = {relay_bed_ticket(&bed, 9, 0), relay_bed_ticket(&bed, 9, 1)};

    t[0].bytes_per_s = 20000;
    open_session(9, t);
    cr_assert_eq(through(30), 20);
    cr_assert_gt(by_hook(), 10);
    cr_assert_eq(bed.r.n.dropped_rate, 10);
    for (unsigned s = 1; s <= 20; s++) { /* 19 a second, in two parts */
        relay_bed_run(&bed, s * 1000);
        cr_assert_eq(through(9), 9, "in second %u", s);
        relay_bed_run(&bed, s * 1000 + 500);
        cr_assert_eq(through(10), 10, "in second %u", s);
    }
    relay_bed_run(&bed, 29000);
    cr_assert_leq(through(40), 20);
}
