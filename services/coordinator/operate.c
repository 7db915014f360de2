/* operate.c - what an operator changes while the coordinator runs; coordinator.h says what. */
#include "services/coordinator/coordinator.h"

void coordinator_limit_requests(struct coordinator *c, uint16_t per_min, uint16_t rejected_per_min)
{
    c->limits[COORD_LIMIT_ATTACH] = COORD_ATTACHES_PER_MIN;
    c->limits[COORD_LIMIT_REPORT] = COORD_REPORTS_PER_MIN;
    c->limits[COORD_LIMIT_EXPLAIN] = COORD_EXPLAINS_PER_MIN;
    c->limits[COORD_LIMIT_CALLED] = c->conf.calls_of_target_per_min;
    c->limits[COORD_LIMIT_REQUEST] = per_min ? per_min : COORD_REQUESTS_PER_MIN;
    c->limits[COORD_LIMIT_REJECTED] = rejected_per_min ? rejected_per_min : COORD_REJECTED_PER_MIN;
}

static uint64_t limit_or_none(uint64_t n) { return n > 0 ? n : UINT64_MAX; }

void coordinator_limit_relaying(struct coordinator *c, uint64_t bytes, uint64_t bytes_per_s)
{
    c->relay_bytes_max = limit_or_none(bytes);
    c->relay_bytes_per_s = limit_or_none(bytes_per_s);
}

void coordinator_drain(struct coordinator *c) { c->draining = true; }

bool coordinator_pending(const struct coordinator *c)
{
    for (uint32_t i = 0; i < c->conf.sessions_max; i++)
        if (table_used(&c->sessions_by_id, i) && c->sessions[i].state < COORD_DIRECT)
            return true;
    return false;
}
