/* crowd.c - see crowd.h. */
#include "lib/crowd.h"

void crowd_init(struct crowd *c, size_t full, uint32_t lost)
{
    *c = (struct crowd){.full = full, .room = full, .lost = lost};
}

bool crowd_took(struct crowd *c, size_t bytes, int64_t now_us)
{
    c->taken += bytes;
    return now_us - c->look_us >= CROWD_LOOK_US;
}

/* What is read while one may wait. */
static size_t room_for(const struct crowd *c, int64_t since_us)
{
    uint64_t room = c->taken * CROWD_WAIT_US / (uint64_t)since_us;

    if (room > c->full)
        return c->full;
    return room > CROWD_ROOM_MIN ? (size_t)room : CROWD_ROOM_MIN;
}

size_t crowd_look(struct crowd *c, uint32_t lost, int64_t now_us)
{
    int64_t since_us = now_us - c->look_us;

    if (lost != c->lost) {
        c->calm_us = now_us + CROWD_CALM_US;
        if (since_us > 0 && since_us <= CROWD_IDLE_US)
            c->room = room_for(c, since_us);
    } else if (now_us >= c->calm_us) {
        c->room = c->full;
    }
    c->lost = lost;
    c->taken = 0;
    c->look_us = now_us;
    return c->room;
}
