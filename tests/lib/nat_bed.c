/* nat_bed.c - see nat_bed.h. */
#include "tests/lib/nat_bed.h"

#include <assert.h>

struct nat bed_nat;

void bed_use(struct nat_conf conf)
{
    if (conf.external[0].len == 0)
        conf.external[0] = addr_v4(198, 51, 100, 1, 0);
    nat_init(&bed_nat, &conf, 1);
}

const char *bed_text(enum nat_result r, const struct addr *a)
{
    static char seen[8][ADDR_TEXT_MAX];
    static size_t n_seen;
    char *buf = seen[n_seen++ % 8];

    return r == NAT_PASS ? addr_format(a, buf, ADDR_TEXT_MAX) : nat_result_name(r);
}

struct addr bed_addr(const char *text)
{
    struct addr a;
    bool ok = addr_parse(text, &a);

    assert(ok);
    return a;
}

const char *bed_out_proto(int64_t now_us, uint8_t proto, const char *from, const char *to)
{
    struct addr src = bed_addr(from), dst = bed_addr(to);
    enum nat_result r = nat_out(&bed_nat, now_us, proto, &src, &dst);

    return bed_text(r, &src);
}

const char *bed_in_proto(int64_t now_us, uint8_t proto, const char *from, const char *to)
{
    struct addr src = bed_addr(from), dst = bed_addr(to);
    enum nat_result r = nat_in(&bed_nat, now_us, proto, &src, &dst);

    return bed_text(r, &dst);
}

const char *bed_out(int64_t now_us, const char *from, const char *to)
{
    return bed_out_proto(now_us, NAT_UDP, from, to);
}

const char *bed_in(int64_t now_us, const char *from, const char *to)
{
    return bed_in_proto(now_us, NAT_UDP, from, to);
}

const char *bed_error_out(int64_t now_us, const char *from, const char *to)
{
    struct addr src = bed_addr(from), dst = bed_addr(to);
    enum nat_result r = nat_error_out(&bed_nat, now_us, NAT_UDP, &src, &dst);

    return bed_text(r, &dst);
}

const char *bed_error_in(int64_t now_us, const char *from, const char *to)
{
    struct addr src = bed_addr(from), dst = bed_addr(to);
    enum nat_result r = nat_error_in(&bed_nat, now_us, NAT_UDP, &src, &dst);

    return bed_text(r, &src);
}
