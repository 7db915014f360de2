/*
 * network.c - this host's network has changed: another NAT may be in front of it now, or the address that
 * its sockets were bound to is gone.
 */
#include "services/executor/internal.h"

#include <string.h>

enum { LOST_OUTPUTS = 6 }; /* of a path that is left */

/* The sockets are as they were, and what is in front of them is measured anew; changes come in bursts. */
static void measure_soon(struct executor *x)
{
    int64_t soon_us = x->now_us + NETWORK_SETTLE_US;

    if (soon_us < x->probe_began_us + NETWORK_EVERY_US)
        soon_us = x->probe_began_us + NETWORK_EVERY_US;
    if (soon_us < x->next_probe_us)
        x->next_probe_us = soon_us;
    x->drifted = true;
}

/*
 * The sockets are new ones.  What was known is about others; the connection to the coordinator was bound
 * to the old address too, and is made anew by the shell.
 */
static void start_over(struct executor *x, const struct executor_sockets *s, struct outputs *out)
{
    x->conf.local = s->local;
    memcpy(x->conf.sample_ports, s->sample_ports, sizeof x->conf.sample_ports);
    x->attached = x->told = x->probing = x->probed_once = x->profile_known = false;
    x->n_targets = 0;
    x->tokens.n = 0;
    executor_override_new_sockets(x, out);
    x->reflexive = (struct addr){0};
    x->sight = (struct sight){0};
    x->profile_by_us = x->next_probe_us = NEVER;
    x->filter = (struct filter_test){.word_by_us = NEVER};
    executor_hairpin_reset(x);
    executor_early_reset(x);
    executor_range_reset(x);
    executor_lifetime_forget(x);
    executor_spares_forget(x);
    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        struct attempt *a = &x->attempts[i];
        if (a->state < ATTEMPT_EXECUTING || a->state >= ATTEMPT_FAILED)
            continue;
        if (a->relay.addr.len != 0)
            executor_relay_start(x, a); /* it knows the old address */
        if (a->state != ATTEMPT_DIRECT || a->mode != MODE_MANAGED)
            continue;
        a->way[WAY_DIRECT].health.rtt_us = 0;
        a->way[WAY_DIRECT].next_ping_us = x->now_us; /* alive still?  Where there is no other way */
        if (a->way[WAY_RELAY].confirmed && out->n + LOST_OUTPUTS <= OUTPUTS_MAX)
            executor_lost_direct(x, a, "this host has another address", out);
    }
    if (x->probers.n > 0) /* those are where they were: needn't wait for the coordinator */
        executor_probe_start(x);
}

void executor_on_network(struct executor *x, const struct executor_sockets *s, struct outputs *out)
{
    if (s)
        start_over(x, s, out);
    else
        measure_soon(x);
}
