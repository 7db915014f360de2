/* effort.c - see effort.h. */
#include "lib/effort.h"

/* clang-format off */
static const struct {
    uint32_t round_trips, span_min_us, span_max_us;
    int64_t again_us, again_max_us;
} efforts[] = {
#define EFFORT(id, when, round_trips, span_min_ms, span_max_ms, sockets, ports, again_ms, again_max_ms) \
    {round_trips, (span_min_ms) * 1000, (span_max_ms) * 1000, (again_ms) * INT64_C(1000), (again_max_ms) * INT64_C(1000)},
#include "schemas/efforts.def"
};
/* clang-format on */

_Static_assert(sizeof efforts / sizeof *efforts == TECHNIQUE_COUNT, "a row for each, in order");

uint32_t effort_span_us(enum technique t, uint32_t rtt_us)
{
    uint32_t min = efforts[t].span_min_us, max = efforts[t].span_max_us;

    if (rtt_us >= max / (efforts[t].round_trips ? efforts[t].round_trips : 1))
        return max;
    uint32_t span_us = efforts[t].round_trips * rtt_us;
    return span_us > min ? span_us : min;
}

int64_t effort_again_us(enum technique t, int64_t gap_us)
{
    int64_t next_us = gap_us == 0 ? efforts[t].again_us : 2 * gap_us;

    if (next_us < efforts[t].again_us) /* another technique was tried before */
        next_us = efforts[t].again_us;
    return next_us < efforts[t].again_max_us ? next_us : efforts[t].again_max_us;
}
