/* aim_bed.c - see aim_bed.h. */
#include "tests/lib/aim_bed.h"
#include "tests/lib/executor_bed.h"

const struct addr aim_bed_victim = {
    4, {203, 0, 113, 66},
     53
};

struct msg_token aim_bed_token(const struct addr *where)
{
    return executor_bed_token(&executor_bed_peer, where, AIM_BED_WALL_MS + 80);
}

size_t aim_bed_sent(const struct addr *ip)
{
    size_t n = 0;

    for (size_t i = 0; i < executor_bed_out.n; i++)
        n += executor_bed_out.v[i].kind == OUT_DATAGRAM &&
             addr_ip_eq(&executor_bed_out.v[i].dgram.dst, ip);
    return n;
}

size_t aim_bed_sent_until(int64_t ms, const struct addr *ip)
{
    size_t n = 0;

    while (executor_deadline(&executor_bed) <= ms * 1000) {
        executor_bed_forget();
        executor_bed_tick();
        n += aim_bed_sent(ip);
    }
    return n;
}
