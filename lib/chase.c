/* chase.c - see chase.h. */
#include "lib/chase.h"

enum { SOON_US = 5000, RTT_LEAST_US = 20000 };

bool chase_worth(enum msg_type type)
{
    switch (type) {
    case MSG_punch_request:
    case MSG_punch_coordinate:
    case MSG_punch_sample:
    case MSG_punch_execute:
    case MSG_punch_refused:
    case MSG_invite:
    case MSG_invite_answer: return true;
    default: return false;
    }
}

void chase_begin(struct chase *c, uint32_t conn, int fd, uint32_t rtt_us, int64_t now_us)
{
    uint32_t i = 0;

    while (i < c->n && c->v[i].conn != conn)
        i++;
    if (i == CHASED_MAX)
        return;
    if (i == c->n)
        c->n++;
    if (rtt_us < RTT_LEAST_US)
        rtt_us = RTT_LEAST_US;
    c->v[i] = (struct chased){
        .conn = conn, .fd = fd, .rtt_us = rtt_us, .next_us = now_us + SOON_US + rtt_us / 4};
}

bool chase_sooner(uint32_t rtt_us) { return rtt_us < CHASED_RTT_US; }

uint32_t chase_timeout_ms(uint32_t rtt_us)
{
    uint32_t ms = rtt_us / 1000 + rtt_us / 4000;

    return ms > CHASE_TIMEOUT_LEAST_MS ? ms : CHASE_TIMEOUT_LEAST_MS;
}

int64_t chase_next_us(const struct chase *c)
{
    int64_t next_us = NEVER;

    for (uint32_t i = 0; i < c->n; i++)
        if (c->v[i].next_us < next_us)
            next_us = c->v[i].next_us;
    return next_us;
}

struct chased *chase_due(struct chase *c, int64_t now_us)
{
    for (uint32_t i = 0; i < c->n; i++)
        if (c->v[i].next_us <= now_us)
            return &c->v[i];
    return NULL;
}

bool chase_again(struct chase *c, struct chased *due, bool unacknowledged, int64_t now_us)
{
    bool send = due->sent == 0 || unacknowledged;

    due->sent += send;
    /* The first one goes before an acknowledgement can be here, the others when it is late. */
    due->next_us = now_us + (due->sent == 1 ? due->rtt_us + due->rtt_us / 4 : due->rtt_us / 3);
    if (!send || due->sent == CHASERS_MAX)
        *due = c->v[--c->n];
    return send;
}
