/* health.c - see health.h. */
#include "services/executor/health.h"
#include "lib/core.h"

#include <string.h>

void health_init(struct health *h)
{
    memset(h, 0, sizeof *h);
    h->first_us = NEVER;
}

void health_restart(struct health *h)
{
    h->answered = h->pings;
    h->first_us = NEVER;
    h->n_marks = 0;
    h->lossy = h->some = false;
    h->trial = TRIAL_NONE;
}

int64_t health_rtt_us(const struct health *h) { return h->rtt_us ? h->rtt_us : RTT_UNKNOWN_US; }

uint32_t health_open(const struct health *h) { return h->pings - h->answered; }

int64_t health_pinged_us(const struct health *h)
{
    return h->pings ? h->at_us[h->pings % HEALTH_PINGS] : 0;
}

/* How long after it has left a ping is missed. */
static int64_t patience_us(const struct health *h)
{
    return health_rtt_us(h) + (2 * h->var_us > OVERDUE_MIN_US ? 2 * h->var_us : OVERDUE_MIN_US);
}

int64_t health_overdue_us(const struct health *h)
{
    return h->first_us == NEVER ? NEVER : h->first_us + patience_us(h);
}

bool health_missed(const struct health *h, int64_t now_us, uint32_t n)
{
    uint32_t open = health_open(h);

    return open >= HEALTH_PINGS || /* their times are forgotten */
           (open >= n && h->at_us[(h->answered + n) % HEALTH_PINGS] + patience_us(h) <= now_us);
}

uint32_t health_ping(struct health *h, int64_t now_us)
{
    h->at_us[++h->pings % HEALTH_PINGS] = now_us;
    h->since = 0;
    if (h->first_us == NEVER)
        h->first_us = now_us;
    return h->pings;
}

/* RFC 6298 section 2. */
static void measure(struct health *h, int64_t took_us)
{
    int64_t off_us = took_us > h->rtt_us ? took_us - h->rtt_us : h->rtt_us - took_us;

    h->var_us = h->rtt_us ? h->var_us + (off_us - h->var_us) / 4 : took_us / 2;
    h->rtt_us = h->rtt_us ? h->rtt_us + (took_us - h->rtt_us) / 8 : took_us;
}

void health_try(struct health *h, uint32_t missed_max)
{
    h->trial = TRIAL_ON;
    h->trial_first = h->pings + 1;
    h->trial_answered = 0;
    h->trial_missed_max = missed_max;
}

static void count_trial(struct health *h, uint32_t number)
{
    if (h->trial != TRIAL_ON || number < h->trial_first)
        return;
    h->trial_answered++;
    uint32_t newest = h->answered - h->trial_first + 1;
    if (newest > h->trial_answered + h->trial_missed_max)
        h->trial = TRIAL_NONE;
    else if (h->trial_answered >= TRIAL_PINGS)
        h->trial = TRIAL_PASSED;
}

bool health_pong(struct health *h, int64_t now_us, uint32_t number)
{
    uint32_t age = h->pings - number;

    if (number == 0 || number > h->pings || number == h->answered || age >= HEALTH_PINGS ||
        h->at_us[number % HEALTH_PINGS] == 0)
        return false;
    measure(h, now_us - h->at_us[number % HEALTH_PINGS]);
    if (number > h->answered) {
        h->answered = number;
        h->first_us = age == 0 ? NEVER : h->at_us[(number + 1) % HEALTH_PINGS];
    }
    if (number != h->pings) /* an answer counts once; the last one's time is still needed */
        h->at_us[number % HEALTH_PINGS] = 0;
    count_trial(h, number);
    return true;
}

/* Is this more than a tenth, and not by chance? */
static bool too_many(uint32_t lost, uint32_t of)
{
    int64_t over = 10 * (int64_t)lost - of;

    return of >= HEALTH_PACKETS_MIN && over > 0 && over * over > 180 * (int64_t)of;
}

void health_arrived(struct health *h, uint32_t sent, uint32_t arrived)
{
    size_t n = h->n_marks < HEALTH_MARKS ? h->n_marks : HEALTH_MARKS;

    h->some = false;
    for (size_t i = 0; i < n; i++) {
        uint32_t of = sent - h->marks[i].sent, came = arrived - h->marks[i].arrived;
        if (of > UINT32_MAX / 2 || came > of) /* an older answer than the mark's */
            continue;
        h->lossy = h->lossy || too_many(of - came, of);
        h->some = h->some || (of - came >= 2 && 10 * (of - came) > of);
    }
    h->marks[h->n_marks % HEALTH_MARKS].sent = sent;
    h->marks[h->n_marks++ % HEALTH_MARKS].arrived = arrived;
}
