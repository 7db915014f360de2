/*
 * test_xdp_prober.c - the prober's program at the hook, over a veth: what it answers is to the byte what the process
 * would, and what it does not know is left to the process.
 */
#include "lib/bytes.h"
#include "lib/rng.h"
#include "lib/xdp_shell.h"
#include "services/prober/answers_shell.h"
#include "tests/lib/ground.h"
#include "tests/lib/xdp_bed.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { PORT = 3478, SOURCE = 4000, REFUSED = 53 };
enum { TXID_END = XDP_PAYLOAD + STUN_HEADER, SOURCE_BYTE = XDP_IP + 15, CLIENT_BYTE = 65 };

static struct service svc;
static struct prober core;
static struct answers answers;
static struct prober_conf conf;
static struct xdp hook;

static void fill(void *arg, struct xdp *x)
{
    (void)arg;
    conf.spent = x->memory[0];
    memcpy(conf.spent->refused_ports, conf.refused.bits, sizeof conf.refused.bits);
}

static bool open_hook(const char *where)
{
    struct xdp_plan plan = {
        .where = where,
        .slot = XDP_PROBER,
        .addrs = conf.info.addrs,
        .n_addrs = svc.n_udp,
        .public_addr = &conf.info.addrs[0],
        .maps = {{.name = "spent", .bytes = sizeof(struct spent)}},
        .socket = svc.udp[0],
    };

    return xdp_open(&hook, &plan, fill, NULL);
}

/* ---- looking ---------------------------------------------------------------------------------------- */

static void run(void)
{
    struct input in;

    for (unsigned i = 0; i < 3; i++)
        cr_assert(service_wait(&svc, 0, &in));
}

static struct xdp_frame request(unsigned client, uint16_t port, unsigned sock, const void *more,
                                size_t n)
{
    uint8_t m[STUN_HEADER + 64] = {0, 1, 0, (uint8_t)n, 0x21, 0x12, 0xa4, 0x42, 9, 8, 7};
    struct addr src = xdp_bed_client(client, port), dst = conf.info.addrs[sock];

    memcpy(m + STUN_HEADER, more, n);
    return xdp_bed_udp(&src, &dst, m, STUN_HEADER + n);
}

/* No hook answers what has this in it. */
static unsigned look(const struct xdp_frame *f, struct xdp_frame got[static XDP_BED_GOT_MAX])
{
    static const uint8_t software[] = {0x80, 0x22, 0, 4, 't', 'e', 's', 't'};
    struct xdp_frame last = request(3, SOURCE, 0, software, sizeof software);

    return xdp_bed_look(f, &last, TXID_END - XDP_BED_MARK, run, got);
}

/* A prober that has no budget for anybody. */
static void open_prober(const char *where)
{
    static const uint8_t rng_key[32] = {7};

    xdp_bed_open();
    service_open(&svc, SERVICE_prober, NULL);
    for (uint8_t i = 0; i < PROBER_SOCKETS_MAX; i++) {
        struct addr at = xdp_bed_server(i / 2, (uint16_t)(PORT + i % 2));
        cr_assert_eq(service_udp(&svc, &at), i);
        conf.info.addrs[i] = at;
    }
    conf.info.n_addrs = PROBER_SOCKETS_MAX;
    cr_assert(ports_parse("53", &conf.refused));
    cr_assert(open_hook(where), "the hook at %s", where);
    prober_init(&core, &conf, rng_key);
    for (unsigned i = 0; i < BUDGET_SETS * BUDGET_WAYS;
         i++) /* others' have all the places there are */
        core.discovery.buckets[i / BUDGET_WAYS][i % BUDGET_WAYS] =
            (struct bucket){.len = 1, .full_us = NEVER};
    core.hello_us = core.rotate_us = NEVER; /* there is no bus to say hello on */
    answers_open(&answers, &svc, &core, (const int[]){-1, -1, -1, -1});
    struct xdp_frame any = request(0, SOURCE, 0, "", 0), got[XDP_BED_GOT_MAX];
    look(&any, got);
}

static void open_generic(void) { open_prober(XDP_BED_SERVER "/skb"); }
static void open_native(void) { open_prober(XDP_BED_SERVER "/native"); }

static void teardown(void)
{
    xdp_close(&hook);
    service_close(&svc);
    xdp_bed_close();
}

/* The hook knows as well, for as long as a look takes. */
static void spend(void)
{
    for (unsigned i = 0; i < XDP_CLIENT_ADDRS; i++) {
        struct addr src = xdp_bed_client(i, 1);
        spent_note(conf.spent, &src, service_now_us());
    }
    xdp_alive(&hook, service_now_us());
}

static bool equal(struct xdp_frame *a, struct xdp_frame *b)
{
    bool v4 = get_u16(a->b + 12) == 0x0800;

    if (v4 && !(xdp_bed_normal(a) && xdp_bed_normal(b)))
        return false;
    return a->len == b->len && memcmp(a->b, b->b, a->len) == 0;
}

/* The same with the hook and without it; returns how many answers the hook gave. */
static unsigned same_by(const struct xdp_frame *f, const char *what)
{
    static struct xdp_frame with[XDP_BED_GOT_MAX], without[XDP_BED_GOT_MAX];

    spend();
    uint64_t before = spent_answered(conf.spent);
    unsigned n = look(f, with), by_hook = (unsigned)(spent_answered(conf.spent) - before);
    conf.spent->place.alive_ms = 0;
    unsigned m = look(f, without);
    cr_assert_eq(n, m, "%s: %u answers with, %u without", what, n, m);
    for (unsigned i = 0; i < n; i++)
        cr_assert(equal(&with[i], &without[i]), "%s: answer %u differs", what, i);
    return by_hook;
}

static void expect(struct xdp_frame f, unsigned by_hook, const char *what)
{
    cr_assert_eq(same_by(&f, what), by_hook, "%s: by the hook %u", what, by_hook);
}

/* ---- what is told apart --------------------------------------------------------------------------------- */

static struct xdp_frame bare(void) { return request(0, SOURCE, 0, "", 0); }

static struct xdp_frame with_byte(size_t at, uint8_t value)
{
    struct xdp_frame f = bare();

    f.b[at] = value;
    xdp_bed_sum(&f);
    return f;
}

static struct xdp_frame tagged(void)
{
    static const uint8_t tag[] = {0x81, 0x00, 0x00, 0x05};
    struct xdp_frame f = bare();

    memmove(f.b + 16, f.b + 12, f.len - 12);
    memcpy(f.b + 12, tag, sizeof tag);
    f.len += sizeof tag;
    return f;
}

/* With four bytes of IP options: no operation. */
static struct xdp_frame with_options(void)
{
    struct xdp_frame f = bare();

    memmove(f.b + XDP_UDP + 4, f.b + XDP_UDP, f.len - XDP_UDP);
    memset(f.b + XDP_UDP, 1, 4);
    f.len += 4;
    f.b[XDP_IP] = 0x46;
    put_u16(f.b + XDP_IP + 2, (uint16_t)(f.len - XDP_IP));
    put_u16(f.b + XDP_IP + 10, 0);
    uint32_t sum = 0;
    for (size_t i = 0; i < 24; i += 2)
        sum += get_u16(f.b + XDP_IP + i);
    put_u16(f.b + XDP_IP + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
    return f;
}

static struct xdp_frame ipv6(void)
{
    struct addr src =
                    {
                        .len = 16, .ip = {0xfd, [15] = 2},
                             .port = SOURCE
    },
                dst = {.len = 16, .ip = {0xfd, [15] = 1}, .port = PORT};
    static const uint8_t m[STUN_HEADER] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};

    return xdp_bed_udp(&src, &dst, m, sizeof m);
}

static void a_table_of_requests(void)
{
    static const uint8_t change[] = {0, 3, 0, 4, 0, 0, 0, 2}, software[] = {0x80, 0x22, 0, 0},
                         unknown[] = {0, 0x77, 0, 0};
    struct xdp_frame f = bare();

    expect(f, 1, "a bare request");
    for (unsigned sock = 1; sock < PROBER_SOCKETS_MAX; sock++)
        expect(request(1, 1, sock, "", 0), 1, "at another socket");
    put_u16(f.b + XDP_UDP + 6, 0);
    expect(f, 1, "without a checksum");
    expect(with_byte(XDP_IP + 1, 0xb8), 1, "with a class of service");
    expect(with_byte(XDP_IP + 6, 0x00), 1, "that may be fragmented");
    expect(with_byte(XDP_IP + 8, 1), 1, "at the end of its time");
    expect(request(0, SOURCE, 0, software, sizeof software), 0, "with an attribute");
    expect(request(0, SOURCE, 0, unknown, sizeof unknown), 0, "with one that nobody knows");
    expect(request(0, SOURCE, 0, change, sizeof change), 0, "with CHANGE-REQUEST");
    expect(request(0, REFUSED, 0, "", 0), 0, "from a port where servers listen");
    expect(with_byte(XDP_PAYLOAD, 1), 0, "an answer");
    expect(with_byte(XDP_PAYLOAD + 1, 0x11), 0, "an indication");
    expect(with_byte(XDP_PAYLOAD + 3, 4), 0, "of another length than it says");
    expect(with_byte(XDP_PAYLOAD + 4, 0x20), 0, "of RFC 3489");
    expect(with_byte(XDP_UDP + 3, 0x01), 0, "to a port that is not ours");
    expect(with_byte(XDP_IP + 19, 77), 0, "to an address that is not ours");
    f = bare();
    f.b[5] ^= 1;
    expect(f, 0, "to another Ethernet address");
    expect(with_byte(XDP_IP + 6, 0x20), 0, "the first fragment");
    expect(with_byte(XDP_IP + 7, 0x01), 0, "a later fragment");
    expect(with_byte(XDP_IP + 9, 6), 0, "TCP");
    expect(with_byte(XDP_UDP, 0), 1, "a small port");
    expect(with_options(), 0, "with IP options");
    expect(tagged(), 0, "with a VLAN tag");
    expect(ipv6(), 0, "over IPv6");
}

static void what_is_damaged(void)
{
    struct xdp_frame f = bare();

    f.b[XDP_UDP + 6] ^= 1;
    expect(f, 0, "a wrong checksum");
    f = bare();
    f.b[XDP_IP + 10] ^= 1;
    expect(f, 0, "a wrong checksum of the header");
    f = bare();
    put_u16(f.b + XDP_UDP + 4, 27);
    xdp_bed_sum_ip(&f);
    expect(f, 0, "a UDP length below the packet's");
    put_u16(f.b + XDP_UDP + 4, 29);
    expect(f, 0, "a UDP length beyond the packet's");
    f = bare();
    f.len += 7;
    expect(f, 0, "bytes behind the packet");
    for (size_t len = XDP_ETH; len < XDP_PAYLOAD + STUN_HEADER; len++) {
        f = bare();
        f.len = len;
        expect(f, 0, "cut");
    }
}

/* Of right requests and of what mutations make of them, at random. */
static void whatever_comes(unsigned times)
{
    static const uint8_t key[32] = {1};
    static const uint8_t more[] = {0x80, 0x28, 0, 4, 1, 2, 3, 4, 0, 3, 0, 4, 0, 0, 0, 6};
    struct rng rng;
    unsigned by_hook = 0;

    rng_init(&rng, key);
    for (unsigned i = 0; i < times; i++) {
        uint64_t r = rng_u64(&rng);
        struct xdp_frame f = request(r & 1, (uint16_t)(r >> 8), r >> 24 & 3, more, r >> 26 & 8);
        for (unsigned n = (unsigned)(r >> 32 & 3); n > 0; n--) {
            uint64_t m = rng_u64(&rng);
            f.b[XDP_ETH + m % (f.len - XDP_ETH)] = (uint8_t)(m >> 32);
        }
        if (f.b[SOURCE_BYTE] != CLIENT_BYTE && f.b[SOURCE_BYTE] != CLIENT_BYTE + 1)
            f.b[XDP_IP + 12] =
                11; /* a neighbour that is not there would be answered by the hook alone */
        if (r >> 40 & 1)
            xdp_bed_sum(&f);
        if ((r >> 41 & 15) == 0)
            f.len -= (size_t)(r >> 48) % (f.len - XDP_ETH);
        char what[64];
        snprintf(what, sizeof what, "frame %u", i);
        by_hook += same_by(&f, what);
    }
    cr_assert(by_hook > times / 16, "%u of %u by the hook", by_hook, times);
}

TestSuite(xdp_prober, .init = open_generic, .fini = teardown, .timeout = 240);
TestSuite(xdp_prober_native, .init = open_native, .fini = teardown, .timeout = 240);

Test(xdp_prober, answers_to_the_byte_as_the_process_does)
{
    cr_assert_str_eq(hook.mode, "skb");
    a_table_of_requests();
}

Test(xdp_prober_native, answers_to_the_byte_as_the_process_does)
{
    cr_assert_str_eq(hook.mode, "native");
    a_table_of_requests();
}

Test(xdp_prober, leaves_what_is_damaged_to_the_kernel) { what_is_damaged(); }
Test(xdp_prober_native, leaves_what_is_damaged_to_the_kernel) { what_is_damaged(); }

Test(xdp_prober, and_whatever_comes) { whatever_comes(ground_times("GARBAGE", 3000)); }
Test(xdp_prober_native, and_whatever_comes) { whatever_comes(ground_times("GARBAGE", 3000)); }
