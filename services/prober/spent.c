/* spent.c - see spent.h. */
#include "services/prober/spent.h"

#include <string.h>

void spent_note(struct spent *s, const struct addr *src, int64_t now_us)
{
    uint32_t ip;

    if (!s || src->len != 4)
        return;
    memcpy(&ip, src->ip, sizeof ip);
    uint64_t cell = (uint64_t)ip << 32 | (uint32_t)(now_us / 1000 + SPENT_MS);
    __atomic_store_n(&s->sources[spent_cell(ip)], cell, __ATOMIC_RELAXED);
}

uint64_t spent_answered(const struct spent *s)
{
    uint64_t n = 0;

    for (unsigned i = 0; s && i < XDP_CPUS; i++)
        n += __atomic_load_n(&s->answered[i].n, __ATOMIC_RELAXED);
    return n;
}
