/*
 * hush.c - who only hears is not told by a relay that was started again, since nothing of it arrives there. So when a
 * flow over the relay falls silent, for eight times what lay between its datagrams, it is asked at once and a few
 * times more, and not only with the next KEEP.
 */
#include "lib/relaywire.h"
#include "services/executor/internal.h"

static int64_t patience(const struct attempt *a)
{
    int64_t us = HUSH_GAPS * a->hush.gap_us;

    return us > HUSH_MIN_US ? us : HUSH_MIN_US;
}

/* A datagram of the application has come over the relay. */
void executor_hush_heard(struct executor *x, struct attempt *a)
{
    int64_t gap_us = x->now_us - a->hush.heard_us;

    if (gap_us > RELAY_KEEP_BUSY_US)
        gap_us = RELAY_KEEP_BUSY_US;
    a->hush.gap_us += (gap_us - a->hush.gap_us) / HUSH_GAPS;
    a->hush.heard_us = x->now_us;
    a->hush.looks = 0;
    if (a->hush.next_us > x->now_us + patience(a))
        a->hush.next_us = x->now_us + patience(a);
}

/* A flow so slow that the next KEEP is not later is left to that, and who sends to its own packets. */
void executor_hush_tick(struct executor *x, struct attempt *a, struct outputs *out)
{
    int64_t due_us = a->hush.heard_us + patience(a) * (1 + a->hush.looks);

    a->hush.next_us = NEVER;
    if (a->flow != WAY_RELAY || a->hush.looks == HUSH_LOOKS || patience(a) >= RELAY_KEEP_BUSY_US)
        return;
    a->hush.next_us = due_us;
    if (due_us > x->now_us)
        return;
    a->hush.looks++;
    a->hush.next_us = x->now_us + patience(a);
    if (a->relay.bound && a->relay.ready && a->last_sent_us <= a->hush.heard_us)
        executor_relay_keep(a, out);
}
