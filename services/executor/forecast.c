/* forecast.c - see forecast.h. */
#include "services/executor/forecast.h"

enum { PORT_MIN = 1024, COUNT_MAX = 20000, MISCOUNT_MAX = 4 };

/*
 * With k seen in the time T and nothing known before (Jeffreys' prior), n in the time t has the weight
 * w(n + 1) = w(n) * (n + k + 1/2) / (n + 1) * t / (t + T).
 */
uint32_t forecast_most(const struct forecast *f, uint32_t after_us, double probability)
{
    double sum = 0, weight = 1, part = 0;
    double share = (double)after_us / ((double)after_us + (double)f->over_us + 1);
    uint32_t n = 0;

    for (uint32_t i = 0; i < FORECAST_LAW_MAX; i++) {
        sum += weight;
        weight *= (i + f->others + 0.5) / (i + 1.0) * share;
    }
    for (weight = 1; n < FORECAST_LAW_MAX && part + weight < probability * sum; n++) {
        part += weight;
        weight *= (n + f->others + 0.5) / (n + 1.0) * share;
    }
    return n;
}

/* The bulk of the law: outside it lies one of a hundred. */
static uint32_t least(const struct forecast *f, uint32_t after_us)
{
    return forecast_most(f, after_us, 0.005);
}

static uint32_t most(const struct forecast *f, uint32_t after_us)
{
    return forecast_most(f, after_us, 0.995);
}

uint32_t forecast_sockets(const struct forecast *f, uint32_t after_us)
{
    uint32_t n = most(f, after_us) - least(f, after_us) + 1 + 2 * FORECAST_SLACK;

    return n < FORECAST_SOCKETS_MAX ? n : FORECAST_SOCKETS_MAX;
}

/* Where others took the least, the run ends there; where they took the most, it begins there. */
uint16_t forecast_port(const struct forecast *f, uint32_t after_us)
{
    uint32_t steps = least(f, after_us) + (forecast_sockets(f, after_us) + 1) / 2 +
                     (most(f, after_us) - least(f, after_us)) / 2 + 1;
    int64_t port = f->port + (int64_t)f->delta * steps;

    return port >= PORT_MIN && port <= UINT16_MAX ? (uint16_t)port : 0;
}

bool forecast_count(uint16_t before, uint16_t now, int16_t delta, uint32_t own, uint32_t *others)
{
    int64_t way = (int64_t)now - before;

    if (delta == 0 || way % delta != 0 || way / delta > COUNT_MAX)
        return false;
    int64_t count = way / delta - own;
    *others = count > 0 ? (uint32_t)count : 0;
    return count >= -MISCOUNT_MAX;
}
