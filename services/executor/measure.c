/*
 * measure.c - how many packets a round that measures all of the own NAT may take, and when it is over.
 *
 * Where many get lost they don't suffice for everything.  What goes without is unknown then, and is measured by a later
 * round where it matters; addresses are asked for before all else, since nobody is reached without.
 */
#include "services/executor/internal.h"

enum { ADDRESS_PACKETS = 2, USUAL_ADDRESSES = 4 }; /* a cookie and a token; of one prober */

/* Where answers take longer than until the first repetition, or none has come, most of those asked for it in vain. */
static bool is_slow(const struct executor *x)
{
    for (size_t i = 0; i < x->n_targets; i++)
        if (x->targets[i].answered && x->targets[i].rtt_ms * 1000u < executor_probe_retry_us[0])
            return false;
    return true;
}

bool executor_may_measure(struct executor *x, enum measure what)
{
    size_t most = is_slow(x) ? MEASURE_PACKETS_SLOW_MAX : MEASURE_PACKETS_MAX, asked = 0, kept = 0;

    if (!x->full_round)
        return true;
    for (size_t i = 0; i < x->n_targets; i++) {
        asked += x->targets[i].sock == 0;
        kept += x->targets[i].sock == 0 && x->probing && !x->targets[i].done ? ADDRESS_PACKETS : 0;
    }
    if (asked > USUAL_ADDRESSES)
        most += (asked - USUAL_ADDRESSES) * MEASURE_PACKETS_EACH;
    if (x->measured + (what == MEASURE_ADDRESS ? 0 : kept) >= most)
        return false;
    x->measured++;
    return true;
}

bool executor_whole(const struct executor *x)
{
    return x->probed_once && !x->probing && x->profile_by_us == NEVER &&
           !executor_filter_pending(x) && !executor_hairpin_pending(x) &&
           !executor_early_pending(x) && !executor_range_measuring(x);
}
