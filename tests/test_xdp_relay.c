/*
 * test_xdp_relay.c - the relay's program at the hook, over a veth: packets go through it to the byte as through the core,
 * and everything else is left to the core.
 */
#include "lib/bytes.h"
#include "tests/lib/ground.h"
#include "tests/lib/xdp_relay.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

TestSuite(xdp_relay, .init = xdp_relay_open_generic, .fini = xdp_relay_close, .timeout = 240);
TestSuite(xdp_relay_native, .init = xdp_relay_open_native, .fini = xdp_relay_close, .timeout = 240);

static struct xdp_frame with_byte(size_t where, uint8_t value)
{
    struct xdp_frame f = xdp_relay_data('A', 1);

    f.b[where] = value;
    xdp_bed_sum(&f);
    return f;
}

static void a_table_of_packets(void)
{
    static const uint8_t tag[] = {0x81, 0x00, 0x00, 0x05};
    struct xdp_frame f;

    xdp_relay_expect(xdp_relay_data('A', 1), 1, "from A to B");
    xdp_relay_expect(xdp_relay_data('B', 0), 1, "from B to A");
    xdp_relay_expect(xdp_relay_packet('A', 7, 1, PACKET_DATA, DATA_OVERHEAD), 1, "the smallest");
    xdp_relay_expect(xdp_relay_packet('A', 7, 1, PACKET_DATA, DATA_BYTES_MAX), 1, "the largest");
    xdp_relay_expect(xdp_relay_packet('A', 7, 1, PACKET_DATA, DATA_OVERHEAD + 1), 1,
                     "of odd length");
    xdp_relay_expect(xdp_relay_packet('A', 7, 1, PACKET_PUNCH, PUNCH_BYTES), 1, "a punch");
    xdp_relay_expect(xdp_relay_packet('A', 7, 1, PACKET_PONG, PUNCH_BYTES), 1, "a pong");
    xdp_relay_expect(with_byte(XDP_IP + 8, 1), 1, "at the end of its time");
    xdp_relay_expect(with_byte(XDP_IP + 1, 0xb8), 1, "with a class of service");
    f = xdp_relay_data('A', 1);
    put_u16(f.b + XDP_UDP + 6, 0);
    xdp_relay_expect(f, 1, "without a checksum");
    xdp_relay_expect(xdp_relay_packet('A', 7, 1, PACKET_DATA, DATA_OVERHEAD - 1), 0, "too small");
    xdp_relay_expect(xdp_relay_packet('A', 7, 1, PACKET_DATA, DATA_BYTES_MAX + 1), 0, "too large");
    xdp_relay_expect(xdp_relay_packet('A', 7, 1, PACKET_PUNCH, PUNCH_BYTES + 1), 0,
                     "a punch of another length");
    xdp_relay_expect(xdp_relay_packet('A', 7, 1, PACKET_DATA + 1, 200), 0, "of no type");
    xdp_relay_expect(xdp_relay_packet('A', 8, 1, PACKET_DATA, 200), 0, "of no session");
    xdp_relay_expect(xdp_relay_data('A', 0), 0, "to its own end");
    xdp_relay_expect(xdp_relay_data('C', 1), 0, "from a stranger");
    xdp_relay_expect(with_byte(XDP_UDP, 0x10), 0, "from another port");
    xdp_relay_expect(with_byte(XDP_UDP + 3, 1), 0, "to another port");
    xdp_relay_expect(with_byte(XDP_IP + 19, 2), 0, "to another address");
    xdp_relay_expect(with_byte(XDP_IP + 6, 0x20), 0, "the first fragment");
    xdp_relay_expect(with_byte(XDP_IP + 7, 1), 0, "a later fragment");
    xdp_relay_expect(xdp_relay_keep('A', 7, 0), 0, "KEEP");
    f = xdp_relay_data('A', 1);
    f.b[5] ^= 1;
    xdp_relay_expect(f, 0, "to another Ethernet address");
    f = xdp_relay_data('A', 1);
    f.b[XDP_IP + 10] ^= 1;
    xdp_relay_expect(f, 0, "with a wrong checksum of the header");
    f = xdp_relay_data('A', 1);
    memmove(f.b + 16, f.b + 12, f.len - 12);
    memcpy(f.b + 12, tag, sizeof tag);
    f.len += sizeof tag;
    xdp_relay_expect(f, 0, "with a VLAN tag");
}

Test(xdp_relay, forwards_to_the_byte_as_the_process_does)
{
    cr_assert_str_eq(xdp_relay.hook.mode, "skb");
    a_table_of_packets();
}

Test(xdp_relay_native, forwards_to_the_byte_as_the_process_does)
{
    cr_assert_str_eq(xdp_relay.hook.mode, "native");
    a_table_of_packets();
}

Test(xdp_relay, what_is_damaged_stays_so)
{
    struct xdp_frame f = xdp_relay_data('A', 1);

    f.b[XDP_PAYLOAD + 40] ^= 1;
    xdp_relay_expect(f, 1, "damaged on the way");
}

/* As a kernel writes it that leaves the rest to a card. */
Test(xdp_relay, a_checksum_that_is_only_begun_is_the_kernels)
{
    struct xdp_frame f = xdp_relay_data('A', 1), got[XDP_BED_GOT_MAX];
    uint32_t sum = IPPROTO_UDP + (uint32_t)(f.len - XDP_UDP);
    uint64_t before = xdp_relay_by_hook();

    for (unsigned i = 12; i < 20; i += 2)
        sum += get_u16(f.b + XDP_IP + i);
    put_u16(f.b + XDP_UDP + 6, (uint16_t)((sum & 0xffff) + (sum >> 16)));
    xdp_relay_look(&f, got);
    cr_assert_eq(xdp_relay_by_hook(), before);
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
            xdp_relay_packet((r & 1) != 0 ? 'A' : 'B', 7, (r & 1) != 0, type, len < 9 ? 9 : len);
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
        hooked += xdp_relay_same(&f, what);
        xdp_relay.bed.log[0] = '\0';
    }
    cr_assert(hooked > times / 8, "%u of %u by the hook", hooked, times);
}

Test(xdp_relay, and_whatever_comes) { whatever_comes(ground_times("GARBAGE", 3000)); }
Test(xdp_relay_native, and_whatever_comes) { whatever_comes(ground_times("GARBAGE", 3000)); }
