/* test_fence.c - which addresses a packet may be sent to: by their kind, and by where the suite is. */
#include "lib/fence.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(fence, .timeout = 20);

static const char *const addr_kind_name[] = {
    [ADDR_REFUSED] = "refused",       [ADDR_PUBLIC] = "public",   [ADDR_LOOPBACK] = "loopback",
    [ADDR_LINK_LOCAL] = "link-local", [ADDR_PRIVATE] = "private", [ADDR_SHARED] = "shared",
    [ADDR_LABORATORY] = "laboratory",
};

/* What each text is; NULL: no address at all.  The edges of each block, and the ways to write around them. */
/* clang-format off */
static const struct { const char *text, *kind; } table[] = {
#define R "refused"
#define P "public"
#define LO "loopback"
#define LL "link-local"
#define PR "private"
#define SH "shared"
#define LAB "laboratory"
    /* this network */
    {"0.0.0.0:1", R}, {"0.0.0.1:80", R}, {"0.1.2.3:9", R}, {"0.127.0.1:9", R}, {"0.255.255.255:65535", R},
    {"1.0.0.0:1", P}, {"1.1.1.1:53", P}, {"1.2.3.4:5", P}, {"9.255.255.255:1", P},
    /* RFC 1918 */
    {"10.0.0.0:1", PR}, {"10.0.0.1:22", PR}, {"10.128.7.9:1", PR}, {"10.255.255.255:65535", PR}, {"11.0.0.0:1", P},
    {"172.15.255.255:1", P}, {"172.16.0.0:1", PR}, {"172.16.0.1:443", PR}, {"172.24.1.1:1", PR},
    {"172.31.255.255:9", PR}, {"172.32.0.0:1", P}, {"172.0.0.1:1", P}, {"172.255.0.1:1", P},
    {"192.167.255.255:1", P}, {"192.168.0.0:1", PR}, {"192.168.1.1:53", PR}, {"192.168.255.255:1", PR}, {"192.169.0.0:1", P},
    /* RFC 6598 */
    {"100.63.255.255:1", P}, {"100.64.0.0:1", SH}, {"100.64.0.1:5351", SH}, {"100.100.100.100:1", SH},
    {"100.127.255.255:1", SH}, {"100.128.0.0:1", P},
    /* loopback, link-local */
    {"126.255.255.255:1", P}, {"127.0.0.0:1", LO}, {"127.0.0.1:1", LO}, {"127.0.0.1:7440", LO}, {"127.1.2.3:1", LO},
    {"127.255.255.255:1", LO}, {"128.0.0.0:1", P}, {"169.253.255.255:1", P}, {"169.254.0.0:1", LL},
    {"169.254.169.254:80", LL}, {"169.254.255.255:1", LL}, {"169.255.0.0:1", P},
    /* protocols, documentation, 6to4's relays, benchmarks */
    {"191.255.255.255:1", P}, {"192.0.0.0:1", R}, {"192.0.0.1:1", R}, {"192.0.0.8:1", R}, {"192.0.0.9:1", R},
    {"192.0.0.170:1", R}, {"192.0.0.255:1", R}, {"192.0.1.0:1", P}, {"192.0.1.255:1", P}, {"192.0.2.0:1", LAB},
    {"192.0.2.1:3478", LAB}, {"192.0.2.255:1", LAB}, {"192.0.3.0:1", P}, {"192.88.98.255:1", P}, {"192.88.99.0:1", R},
    {"192.88.99.1:1", R}, {"192.88.99.255:1", R}, {"192.88.100.0:1", P}, {"198.17.255.255:1", P}, {"198.18.0.0:1", LAB},
    {"198.19.255.255:1", LAB}, {"198.20.0.0:1", P}, {"198.51.99.255:1", P}, {"198.51.100.0:1", LAB},
    {"198.51.100.255:1", LAB}, {"198.51.101.0:1", P}, {"203.0.112.255:1", P}, {"203.0.113.0:1", LAB},
    {"203.0.113.255:1", LAB}, {"203.0.114.0:1", P},
    /* multicast, reserved, broadcast */
    {"223.255.255.255:1", P}, {"224.0.0.0:1", R}, {"224.0.0.1:1", R}, {"224.0.0.251:5353", R}, {"232.1.1.1:1", R},
    {"239.255.255.250:1900", R}, {"239.255.255.255:1", R}, {"240.0.0.0:1", R}, {"240.0.0.1:1", R}, {"250.1.2.3:1", R},
    {"255.0.0.0:1", R}, {"255.255.255.254:1", R}, {"255.255.255.255:1", R}, {"255.255.255.255:65535", R},
    /* port 0 is nowhere, whatever the ip */
    {"1.1.1.1:0", R}, {"8.8.8.8:0", R}, {"10.0.0.1:0", R}, {"127.0.0.1:0", R}, {"192.0.2.1:0", R}, {"[::1]:0", R},
    {"[2a00::1]:0", R}, {"[2001:db8::1]:0", R}, {"[fe80::1]:0", R}, {"[fc00::1]:0", R},
    /* other ways to write an IPv4 address: octal, hex, short, one number, too large, blanks, signs, widths */
    {"0177.0.0.1:1", NULL}, {"01.2.3.4:1", NULL}, {"010.0.0.1:1", NULL}, {"127.0.0.01:1", NULL}, {"127.00.0.1:1", NULL},
    {"0x7f.0.0.1:1", NULL}, {"0x7f000001:1", NULL}, {"0X7F.1:1", NULL}, {"127.1:1", NULL}, {"127.0.1:1", NULL},
    {"2130706433:1", NULL}, {"017700000001:1", NULL}, {"10.1:1", NULL}, {"1.2.3.256:1", NULL}, {"256.1.1.1:1", NULL},
    {"1.2.3.4294967297:1", NULL}, {"1.2.3.4.5:1", NULL}, {"1.2.3:1", NULL}, {"1.2.3.:1", NULL}, {".1.2.3:1", NULL},
    {"1..2.3:1", NULL}, {" 127.0.0.1:1", NULL}, {"127.0.0.1 :1", NULL}, {"127.0.0.1:1 ", NULL}, {"127.0.0.1:1\n", NULL},
    {"+127.0.0.1:1", NULL}, {"-1.0.0.1:1", NULL}, {"127.0.0.+1:1", NULL}, {"127.0.0.1", NULL}, {"127.0.0.1:", NULL},
    {"127.0.0.1:0x50", NULL}, {"127.0.0.1:080", NULL}, {"127.0.0.1:65536", NULL}, {"127.0.0.1:-1", NULL},
    {"127.0.0.1:1:1", NULL}, {"[127.0.0.1]:1", NULL}, {"127.0.0.1%lo:1", NULL}, {"localhost:1", NULL}, {"", NULL}, {":1", NULL},
    {"\xef\xbc\x91.1.1.1:1", NULL}, {"127\xe3\x80\x82" "0.0.1:1", NULL}, {"1,1,1,1:1", NULL}, {"1.1.1.1/8:1", NULL},
    {"1.1.1.1@8:1", NULL}, {"1.1.1.1#:1", NULL},
    /* IPv6: unspecified, loopback and what it is written as */
    {"[::]:1", R}, {"[0:0:0:0:0:0:0:0]:1", R}, {"[::1]:1", LO}, {"[0:0:0:0:0:0:0:1]:1", LO},
    {"[0000:0000:0000:0000:0000:0000:0000:0001]:1", LO}, {"[::0001]:1", LO}, {"[0::1]:1", LO}, {"[::2]:1", R},
    /* compatible, mapped, translated */
    {"[::7f00:1]:1", R}, {"[::a00:1]:1", R}, {"[::808:808]:53", R}, {"[::ffff:7f00:1]:1", R}, {"[::ffff:a00:1]:1", R},
    {"[::ffff:808:808]:53", R}, {"[::FFFF:c000:201]:1", R}, {"[0:0:0:0:0:ffff:808:808]:1", R}, {"[::ffff:0:808:808]:1", R},
    {"[::ffff:0:7f00:1]:1", R}, {"[64:ff9b::808:808]:1", R}, {"[64:ff9b::7f00:1]:1", R}, {"[64:ff9b:1::a00:1]:1", R},
    {"[64:ff9b:1:ffff::1]:1", R}, {"[2002:7f00:1::1]:1", R}, {"[2002:a00:1::]:1", R}, {"[2002:c0a8:101::1]:1", R},
    {"[2002:808:808::1]:1", R}, {"[2001::1]:1", R}, {"[2001:0:53aa:64c::1]:1", R}, {"[2001:0:7f00:1:0:0:f5ff:fffe]:1", R},
    {"[2a00::5efe:7f00:1]:1", R}, {"[2a00::200:5efe:a00:1]:1", R}, {"[fe80::5efe:c0a8:101]:1", R}, {"[fe80::200:5efe:808:808]:1", R},
    {"[2001:db8::5efe:1:1]:1", R}, {"[fc00::5efe:a00:1]:1", R},
    {"[::ffff:127.0.0.1]:1", NULL}, {"[::127.0.0.1]:1", NULL}, {"[64:ff9b::8.8.8.8]:1", NULL}, {"[::ffff:8.8.8.8]:53", NULL},
    /* special and public */
    {"[100::]:1", R}, {"[100::1]:1", R}, {"[100:0:0:1::1]:1", R}, {"[200::1]:1", R}, {"[1fff:ffff::1]:1", R}, {"[2000::1]:1", P},
    {"[2001:1::1]:1", R}, {"[2001:1::2]:1", R}, {"[2001:2::]:1", LAB}, {"[2001:2:0:ffff::1]:1", LAB}, {"[2001:2:1::]:1", R},
    {"[2001:3::1]:1", R}, {"[2001:4:112::1]:1", R}, {"[2001:10::1]:1", R}, {"[2001:20::1]:1", R}, {"[2001:30::1]:1", R},
    {"[2001:1ff:ffff::1]:1", R}, {"[2001:200::1]:1", P}, {"[2001:4860:4860::8888]:53", P}, {"[2001:db7:ffff::1]:1", P},
    {"[2001:db8::]:1", LAB}, {"[2001:DB8::1]:1", LAB}, {"[2001:0db8::1]:1", LAB}, {"[2001:db8:ffff:ffff::1]:1", LAB},
    {"[2001:db9::]:1", P}, {"[2003::1]:1", P}, {"[2606:4700::1111]:443", P}, {"[2a00:1450::1]:1", P}, {"[3ffe::1]:1", P},
    {"[3fff::1]:1", LAB}, {"[3fff:fff::1]:1", LAB}, {"[3fff:1000::1]:1", P}, {"[3fff:ffff::1]:1", P}, {"[4000::1]:1", R},
    {"[5f00::1]:1", R}, {"[8000::1]:1", R}, {"[e000::1]:1", R}, {"[fbff::1]:1", R}, {"[fc00::1]:1", PR}, {"[fd00::1]:1", PR},
    {"[fdff:ffff::1]:1", PR}, {"[fe00::1]:1", R}, {"[fe7f::1]:1", R}, {"[fe80::1]:1", LL}, {"[fe80::a:b]:1", LL},
    {"[febf:ffff::1]:1", LL}, {"[fec0::1]:1", R}, {"[feff::1]:1", R}, {"[ff00::1]:1", R}, {"[ff02::1]:5353", R},
    {"[ff02::fb]:5353", R}, {"[ff05::1:3]:1", R}, {"[ff0e::1]:1", R}, {"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1", R},
    /* zones, widths, gaps and brackets */
    {"[fe80::1%eth0]:1", NULL}, {"[fe80::1%1]:1", NULL}, {"[fe80::1%25eth0]:1", NULL}, {"[::1%lo]:1", NULL}, {"[00001::1]:1", NULL},
    {"[::00001]:1", NULL}, {"[1::2::3]:1", NULL}, {"[:::1]:1", NULL}, {"[1:2:3:4:5:6:7]:1", NULL}, {"[1:2:3:4:5:6:7:8:9]:1", NULL},
    {"[::g]:1", NULL}, {"[::1]", NULL}, {"[::1]1", NULL}, {"::1:1", NULL}, {"[::1:1", NULL}, {"::1]:1", NULL}, {"[[::1]]:1", NULL},
    {"[]:1", NULL}, {"[ ::1]:1", NULL}, {"[::1]:01", NULL}, {"[::1]:65536", NULL}, {"[0x1::1]:1", NULL}, {"[::-1]:1", NULL},
};
/* clang-format on */
enum { ENCODINGS = sizeof table / sizeof *table, ENCODINGS_LEAST = 200 };
_Static_assert(ENCODINGS >= ENCODINGS_LEAST, "the table is long enough to hold the known tricks");

Test(fence, every_encoding_has_its_kind_or_is_no_address)
{
    for (size_t i = 0; i < ENCODINGS; i++) {
        struct addr a = {0};
        bool ok = addr_parse(table[i].text, &a);
        cr_assert_eq(ok, table[i].kind != NULL, "%s", table[i].text);
        if (ok)
            cr_assert_str_eq(addr_kind_name[addr_kind(&a)], table[i].kind, "%s", table[i].text);
    }
}

Test(fence, no_address_and_one_of_another_length_are_refused)
{
    struct addr a = {.port = 1};

    for (unsigned len = 0; len < 256; len++) {
        a.len = (uint8_t)len;
        a.ip[0] = 8;
        if (len != 4)
            cr_assert_eq(addr_kind(&a), ADDR_REFUSED, "length %u", len);
    }
}

static struct addr at(const char *text)
{
    struct addr a = {0};

    cr_assert(addr_parse(text, &a), "%s", text);
    return a;
}

Test(fence, a_suite_admits_public_addresses_and_those_of_its_own_kind)
{
    static const char *const suites[] = {"8.8.8.8:1", "127.0.0.1:1", "10.1.2.3:1", "100.64.0.1:1",
                                         "203.0.113.1:1"};
    static const char *const kinds[] = {P, LO, PR, SH, LAB};

    for (size_t s = 0; s < sizeof suites / sizeof *suites; s++) {
        struct addr suite = at(suites[s]);
        struct fence f = fence_of(&suite, 1);
        for (size_t i = 0; i < ENCODINGS; i++) {
            if (!table[i].kind)
                continue;
            struct addr a = at(table[i].text);
            bool own = strcmp(table[i].kind, P) == 0 || strcmp(table[i].kind, kinds[s]) == 0;
            cr_assert_eq(fence_admits(f, &a), own, "%s from a suite at %s", table[i].text,
                         suites[s]);
        }
    }
}

Test(fence, without_an_address_of_the_suite_only_public_ones_are_admitted)
{
    struct addr none = {0};
    const char *const refused[] = {"0.0.0.0:1", "127.0.0.1:1", "10.0.0.1:1", "192.0.2.1:1",
                                   "[::ffff:808:808]:1"};

    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct addr a = at(refused[i]);
        cr_assert_not(fence_admits(fence_of(NULL, 0), &a), "%s", refused[i]);
        cr_assert_not(fence_admits(fence_of(&none, 1), &a), "%s", refused[i]);
    }
    struct addr good = at("8.8.8.8:53"), wildcard = at("0.0.0.0:7440");
    cr_assert(fence_admits(fence_of(NULL, 0), &good));
    struct addr zeroes = at("0.1.2.3:9");
    cr_assert_not(fence_admits(fence_of(&wildcard, 1), &zeroes),
                  "the wildcard is nobody's address");
}

Test(fence, local_are_the_addresses_that_stay_on_a_network)
{
    static const char *const yes[] = {"10.0.0.1:1024",   "172.16.0.1:1024",  "192.168.0.1:1024",
                                      "100.64.0.1:1024", "169.254.1.1:1024", "[fe80::1]:1024",
                                      "[fd00::1]:1024"};
    static const char *const no[] = {"8.8.8.8:1024",     "127.0.0.1:1024", "224.0.0.1:1024",
                                     "203.0.113.1:1024", "[2a00::1]:1024", "10.0.0.1:0"};

    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        struct addr a = at(yes[i]);
        cr_assert(addr_is_local(&a), "%s", yes[i]);
    }
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        struct addr a = at(no[i]);
        cr_assert_not(addr_is_local(&a), "%s", no[i]);
    }
}
