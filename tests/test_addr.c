/* test_addr.c - transport addresses as text: what is taken, what is refused, what is printed. */
#include "lib/addr.h"
#include "lib/rng.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(addr, .timeout = 20);

/* What addr_parse makes of a text, printed again; NULL: refused. */
/* clang-format off */
static const struct { const char *text, *printed; } table[] = {
    {"192.0.2.1:5", "192.0.2.1:5"},
    {"0.0.0.0:0", "0.0.0.0:0"},
    {"255.255.255.255:65535", "255.255.255.255:65535"},
    {"1.2.3.4:1", "1.2.3.4:1"},
    {"10.0.0.1:10000", "10.0.0.1:10000"},
    {"", NULL},
    {":", NULL},
    {"-", NULL},
    {"1.2.3.4", NULL},
    {"1.2.3.4:", NULL},
    {"1.2.3.4:65536", NULL},
    {"1.2.3.4:4294967297", NULL},
    {"1.2.3.4:18446744073709551617", NULL},
    {"1.2.3.4:-1", NULL},
    {"1.2.3.4:+1", NULL},
    {"1.2.3.4: 1", NULL},
    {"1.2.3.4:1 ", NULL},
    {" 1.2.3.4:1", NULL},
    {"1.2.3.4:01", NULL},
    {"1.2.3.4:00", NULL},
    {"1.2.3.4:0x10", NULL},
    {"1.2.3.4:1a", NULL},
    {"1.2.3.4:1:2", NULL},
    {"1.2.3.4:1\n", NULL},
    {"256.2.3.4:1", NULL},
    {"1.2.3.256:1", NULL},
    {"1.2.3:1", NULL},
    {"1.2.3.4.5:1", NULL},
    {"1..3.4:1", NULL},
    {".1.2.3.4:1", NULL},
    {"1.2.3.4.:1", NULL},
    {"01.2.3.4:1", NULL}, /* octal to some */
    {"1.2.3.04:1", NULL},
    {"0x1.2.3.4:1", NULL},
    {"16909060:1", NULL},
    {"-1.2.3.4:1", NULL},
    {"1.2.3.4294967300:1", NULL},
    {"[1.2.3.4]:1", NULL},
    {"example.org:1", NULL},
    {"[::]:0", "[::]:0"},
    {"[::1]:5", "[::1]:5"},
    {"[1::]:5", "[1::]:5"},
    {"[2001:db8::1]:65535", "[2001:db8::1]:65535"},
    {"[2001:DB8::AbCd]:1", "[2001:db8::abcd]:1"},
    {"[2001:0db8:0000:0000:0000:0000:0000:0001]:1", "[2001:db8::1]:1"},
    {"[1:2:3:4:5:6:7:8]:1", "[1:2:3:4:5:6:7:8]:1"},
    {"[1:2:3:4:5:6:7::]:1", "[1:2:3:4:5:6:7:0]:1"},
    {"[::2:3:4:5:6:7:8]:1", "[0:2:3:4:5:6:7:8]:1"},
    {"[1:2:3::5:6:7:8]:1", "[1:2:3:0:5:6:7:8]:1"},
    {"[1:0:0:2:0:0:0:3]:1", "[1:0:0:2::3]:1"},   /* RFC 5952 section 4.2.3: the longest run */
    {"[1:0:0:2:3:0:0:4]:1", "[1::2:3:0:0:4]:1"}, /* the first of equals */
    {"[0:0:1:2:3:4:0:0]:1", "[::1:2:3:4:0:0]:1"},
    {"[1:2:3:4:5:6:0:0]:1", "[1:2:3:4:5:6::]:1"},
    {"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
    {"[::ffff:102:304]:9", "[::ffff:102:304]:9"},
    {"[fe80::1]:1", "[fe80::1]:1"},
    {"[::1]", NULL},
    {"[::1]:", NULL},
    {"[::1]5", NULL},
    {"[::1:5", NULL},
    {"::1:5", NULL},
    {"::1", NULL},
    {"[]:1", NULL},
    {"[:]:1", NULL},
    {"[:::]:1", NULL},
    {"[1]:1", NULL},
    {"[:1]:1", NULL},
    {"[1:]:1", NULL},
    {"[1:2:3:4:5:6:7]:1", NULL},
    {"[1:2:3:4:5:6:7:8:9]:1", NULL},
    {"[1:2:3:4:5:6:7:8:]:1", NULL},
    {"[:1:2:3:4:5:6:7:8]:1", NULL},
    {"[1:2:3:4:5:6:7:8::]:1", NULL},
    {"[::1:2:3:4:5:6:7:8]:1", NULL},
    {"[1:2:3:4::5:6:7:8]:1", NULL},
    {"[1::2::3]:1", NULL},
    {"[1:::2]:1", NULL},
    {"[::1:]:1", NULL},
    {"[1::2:]:1", NULL},
    {"[12345::]:1", NULL},
    {"[::00001]:1", NULL},
    {"[::g]:1", NULL},
    {"[::-1]:1", NULL},
    {"[::0x1]:1", NULL},
    {"[fe80::1%eth0]:1", NULL},
    {"[::ffff:1.2.3.4]:1", NULL}, /* RFC 4291's form 3 is not taken */
    {"[::1]]:1", NULL},
    {"[[::1]]:1", NULL},
    {"[::1] :1", NULL},
    {"[", NULL},
    {"[:", NULL},
    {"[::", NULL},
};
/* clang-format on */

Test(addr, only_exact_spellings_are_taken)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct addr before, a;
        char text[ADDR_TEXT_MAX];
        char *exact = strdup(table[i].text); /* so that ASan sees a read past the terminator */

        memset(&before, 0x5a, sizeof before);
        memset(&a, 0x5a, sizeof a);
        bool ok = addr_parse(exact, &a);
        free(exact);
        cr_assert_eq(ok, table[i].printed != NULL, "%s", table[i].text);
        if (ok)
            cr_assert_str_eq(addr_format(&a, text, sizeof text), table[i].printed);
        else
            cr_assert_eq(memcmp(&a, &before, sizeof a), 0, "touched by %s", table[i].text);
    }
}

static struct addr random_addr(struct rng *r)
{
    struct addr a = {.len = rng_below(r, 2) ? 4 : 16, .port = (uint16_t)rng_u64(r)};

    for (size_t i = 0; i < a.len; i++)
        a.ip[i] = (uint8_t)(rng_below(r, 3) ? 0 : rng_u64(r)); /* runs of zeroes are likely */
    return a;
}

Test(addr, what_is_printed_is_parsed_back_and_libc_agrees)
{
    struct rng r;

    rng_seed(&r, 1);
    for (int i = 0; i < 10000; i++) {
        struct addr a = random_addr(&r), back;
        char text[ADDR_TEXT_MAX], ip[INET6_ADDRSTRLEN];
        uint8_t theirs[16];

        addr_format(&a, text, sizeof text);
        cr_assert(addr_parse(text, &back), "%s", text);
        cr_assert(addr_eq(&a, &back), "%s", text);

        inet_ntop(a.len == 4 ? AF_INET : AF_INET6, a.ip, ip, sizeof ip);
        if (a.len == 4 || !strchr(ip, '.')) { /* libc prints some in RFC 4291's form 3 */
            cr_assert(addr_parse_ip(ip, a.port, &back), "%s", ip);
            cr_assert(addr_eq(&a, &back), "%s", ip);
        }
        *strrchr(text, ':') = '\0';
        char *bare = text;
        if (a.len == 16)
            bare++, bare[strlen(bare) - 1] = '\0';
        cr_assert_eq(inet_pton(a.len == 4 ? AF_INET : AF_INET6, bare, theirs), 1, "%s", bare);
        cr_assert_eq(memcmp(theirs, a.ip, a.len), 0, "%s", bare);
    }
}

Test(addr, whatever_is_accepted_libc_accepts_too)
{
    static const char alphabet[] = "0123456789abcf:::....]";
    struct rng r;
    unsigned taken = 0;

    rng_seed(&r, 2);
    for (int i = 0; i < 300000; i++) {
        char text[24];
        size_t n = rng_below(&r, sizeof text);
        struct addr a;
        uint8_t theirs[16];
        for (size_t j = 0; j < n; j++)
            text[j] = alphabet[rng_below(&r, sizeof alphabet - 1)];
        text[n] = '\0';
        if (!addr_parse_ip(text, 7, &a))
            continue;
        cr_assert_eq(inet_pton(a.len == 4 ? AF_INET : AF_INET6, text, theirs), 1, "%s", text);
        cr_assert_eq(memcmp(theirs, a.ip, a.len), 0, "%s", text);
        taken++;
    }
    cr_assert_gt(taken, 100, "the generator hardly makes an address");
}

Test(addr, an_ip_alone_takes_neither_port_nor_brackets)
{
    static const char *const bad[] = {"",         "1.2.3.4:5", "[::1]",    "::1]",
                                      "1.2.3.4 ", "::1%lo",    "1.2.3.4]", "1.2.3",
                                      "::1:",     ":::",       "host",     "1::]"};
    struct addr a = {.port = 1};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert(!addr_parse_ip(bad[i], 2, &a) && a.port == 1, "%s", bad[i]);
    cr_assert(addr_parse_ip("192.0.2.9", 2, &a) && a.port == 2 && a.len == 4);
    cr_assert(addr_parse_ip("::", 3, &a) && a.port == 3 && a.len == 16);
}

Test(addr, text_is_cut_to_fit_and_always_ends)
{
    static const struct addr none;
    struct addr all[] = {
        none, addr_v4(255, 255, 255, 255, 65535), {.len = 16, .port = 65535}
    };

    memset(all[2].ip, 0xff, 16);
    for (size_t i = 0; i < 3; i++) {
        char full[ADDR_TEXT_MAX];
        addr_format(&all[i], full, sizeof full);
        for (size_t cap = 0; cap < ADDR_TEXT_MAX; cap++) {
            char *exact = malloc(cap + 1); /* one byte of ours behind it */
            exact[cap] = 'x';
            cr_assert_eq(addr_format(&all[i], exact, cap), exact);
            cr_assert_eq(exact[cap], 'x');
            if (cap > 0) {
                size_t want = strlen(full) < cap ? strlen(full) : cap - 1;
                cr_assert_eq(strlen(exact), want);
                cr_assert_eq(strncmp(exact, full, want), 0);
            }
            free(exact);
        }
    }
}

Test(addr, the_longest_text_fits_its_limit)
{
    struct addr a = {.len = 16, .port = 65535};
    char text[ADDR_TEXT_MAX * 2];

    memset(a.ip, 0xff, 16);
    cr_assert_lt(strlen(addr_format(&a, text, sizeof text)), ADDR_TEXT_MAX);
}

Test(addr, equality_sees_family_ip_and_port)
{
    struct addr a = addr_v4(1, 2, 3, 4, 5), b = a;

    cr_assert(addr_eq(&a, &b));
    b.port = 6;
    cr_assert(!addr_eq(&a, &b) && addr_ip_eq(&a, &b));
    b = a, b.ip[3] = 5;
    cr_assert(!addr_eq(&a, &b) && !addr_ip_eq(&a, &b));
    b = a, b.len = 16;
    cr_assert(!addr_eq(&a, &b) && !addr_ip_eq(&a, &b));
}
