/* block.c - see block.h. */
#include "services/classifier/block.h"

/* Ports spread over less than this part of a block were not drawn from all of it: once in a thousand. */
enum { SPREAD_MIN_PERCENT = 40 };

/* The block of this size, counted from there, that holds both; false when none does. */
static bool holds(uint32_t from, uint32_t size, uint32_t least, uint32_t most, uint32_t *lo)
{
    if (least < from || (least - from) / size != (most - from) / size)
        return false;
    *lo = least - (least - from) % size;
    return *lo + size - 1 <= UINT16_MAX;
}

static size_t different(const uint16_t *ports, size_t n)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        bool again = false;
        for (size_t j = 0; j < i; j++)
            again = again || ports[j] == ports[i];
        found += !again;
    }
    return found;
}

bool block_of(const uint16_t *ports, size_t n, uint16_t *lo, uint16_t *hi)
{
    uint32_t least = UINT16_MAX, most = 0, at;

    if (different(ports, n) < BLOCK_SAMPLES_MIN)
        return false;
    for (size_t i = 0; i < n; i++) {
        least = ports[i] < least ? ports[i] : least;
        most = ports[i] > most ? ports[i] : most;
    }
    for (uint32_t size = BLOCK_MIN; size <= BLOCK_MAX; size *= 2) {
        if (!holds(1024, size, least, most, &at) && !holds(0, size, least, most, &at))
            continue;
        if ((most - least + 1) * 100 < size * SPREAD_MIN_PERCENT)
            return false;
        *lo = (uint16_t)at;
        *hi = (uint16_t)(at + size - 1);
        return true;
    }
    return false;
}
