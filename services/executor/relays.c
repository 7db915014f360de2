/*
 * relays.c - how far the relays are that the coordinator names: it chooses for a session by what both sides
 * measured.  A KEEP for a path that is nobody's is answered with UNKNOWN, so that one datagram each way tells.
 */
#include "lib/token.h"
#include "services/executor/internal.h"

#include <string.h>

/* Only relays whose key the pinned authority certified count; what was measured of one stays. */
void executor_relays_take(struct executor *x, const struct prober_list *l)
{
    struct relay_way old[PROBERS_MAX];
    uint8_t n_old = x->n_relays;

    memcpy(old, x->relays, sizeof old);
    x->n_relays = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct prober_info *p = &l->v[i];
        struct relay_way *w = &x->relays[x->n_relays];
        if (p->n_addrs == 0 || !executor_admits(x, &p->addrs[0]) ||
            !cert_verify('r', p->key, x->conf.authority, p->cert))
            continue;
        *w = (struct relay_way){.addr = p->addrs[0]};
        for (size_t j = 0; j < n_old; j++)
            if (addr_eq(&old[j].addr, &w->addr))
                *w = old[j];
        x->n_relays++;
    }
}

/* With each round of probing. */
void executor_relays_tick(struct executor *x, struct outputs *out)
{
    if (!x->relays_due)
        return;
    x->relays_due = false;
    for (size_t i = 0; i < x->n_relays; i++) {
        struct relay_way *w = &x->relays[i];
        struct relay_control c = {.op = RELAY_KEEP};
        if (!executor_may_measure(x, MEASURE_REST) || !executor_may_knock(x, &w->addr))
            continue;
        rng_bytes(&x->rng, w->path.b, sizeof w->path.b);
        c.path = w->path;
        w->asked = true;
        w->sent_us = x->now_us;
        struct output *o = executor_datagram(out, 0, &w->addr);
        o->dgram.len = (uint16_t)relay_encode(&c, o->dgram.data);
    }
}

bool executor_relays_datagram(struct executor *x, const struct input *in,
                              const struct relay_control *c)
{
    for (size_t i = 0; i < x->n_relays; i++) {
        struct relay_way *w = &x->relays[i];
        if (!w->asked || in->dgram.sock != 0 || c->op != RELAY_UNKNOWN ||
            memcmp(&c->path, &w->path, sizeof w->path) != 0 || !addr_eq(&in->dgram.src, &w->addr))
            continue;
        int64_t rtt_ms = (x->now_us - w->sent_us + 500) / 1000;
        w->rtt_ms = (uint16_t)(rtt_ms < UINT16_MAX ? rtt_ms : UINT16_MAX);
        executor_knock_answered(x, &w->addr);
        w->asked = false;
        w->answered = true;
        return true;
    }
    return false;
}

void executor_relays_report(const struct executor *x, struct observation_list *l)
{
    for (size_t i = 0; i < x->n_relays; i++)
        if (x->relays[i].answered)
            l->v[l->n++] = (struct observation){.local_port = x->conf.local.port,
                                                .rtt_ms = x->relays[i].rtt_ms,
                                                .prober = x->relays[i].addr};
}
