/* history.c - see history.h. */
#include "lib/history.h"

static void count(uint8_t *n)
{
    if (*n < UINT8_MAX)
        ++*n;
}

void history_add(struct history *h, uint8_t technique, bool hit, int64_t wall_ms)
{
    struct past *p = &h->by[technique];

    p->last_ms = wall_ms;
    if (hit) {
        count(&p->hits);
        p->misses = 0;
    } else {
        count(&p->misses);
    }
}

bool history_expire(struct history *h, int64_t wall_ms)
{
    bool any = false;

    for (unsigned t = 0; t < TECHNIQUE_COUNT; t++) {
        if (wall_ms - h->by[t].last_ms >= HISTORY_TTL_MS)
            h->by[t] = (struct past){0};
        any = any || h->by[t].hits > 0 || h->by[t].misses > 0;
    }
    return any;
}

static bool works(const struct past *p) { return p->hits > 0 && p->misses == 0; }

void history_prior(struct history *h, const struct history *of_classes)
{
    h->doubted = h->favoured = 0;
    for (unsigned t = 0; t < TECHNIQUE_COUNT; t++) {
        const struct past *own = &h->by[t], *others = &of_classes->by[t];
        if (own->hits == 0 && others->misses >= HISTORY_PAIRS_MISSED)
            h->doubted |= (uint16_t)(1u << t);
        if (own->hits == 0 && own->misses == 0 && works(others))
            h->favoured |= (uint16_t)(1u << t);
    }
}

static bool worth_a_try(const struct history *h, uint8_t technique, int64_t wall_ms)
{
    const struct past *p = &h->by[technique];
    unsigned max = p->hits > 0                   ? HISTORY_MISSES_PROVEN_MAX
                   : h->doubted >> technique & 1 ? HISTORY_MISSES_DOUBTED_MAX
                                                 : HISTORY_MISSES_MAX;

    return p->misses < max || wall_ms < p->last_ms || wall_ms - p->last_ms >= HISTORY_AGAIN_MS;
}

/* Let what is at `from` go to `to`, which is before it, and the others make room: each begins when the one
 * before it is over. */
static void move_up(struct plan *plan, unsigned from, unsigned to)
{
    struct step moved = plan->v[from];
    uint32_t start_us = plan->v[to].start_us;

    for (unsigned i = from; i > to; i--)
        plan->v[i] = plan->v[i - 1];
    plan->v[to] = moved;
    for (unsigned i = to; i <= from; i++) {
        plan->v[i].start_us = start_us;
        start_us += plan->v[i].span_us;
    }
}

void history_apply(const struct history *h, int64_t wall_ms, struct plan *plan,
                   enum verdict *reason)
{
    unsigned kept = 0, first = 0, n = plan->n;
    enum verdict why = VERDICT_learned;

    for (unsigned i = 0; i < n; i++) {
        uint8_t technique = plan->v[i].technique;
        if (technique == TECHNIQUE_RELAYED || worth_a_try(h, technique, wall_ms))
            plan->v[kept++] = plan->v[i];
        else if (technique == TECHNIQUE_HOST)
            why = VERDICT_no_hairpin; /* what its failures told; of the others it is not known */
    }
    plan->n = (uint8_t)kept;
    if (kept < n && kept > 0 && plan->v[0].technique == TECHNIQUE_RELAYED)
        *reason = why;
    for (unsigned i = 0; i < kept; i++) {
        uint8_t technique = plan->v[i].technique;
        if (technique != TECHNIQUE_RELAYED &&
            (works(&h->by[technique]) || (h->favoured >> technique & 1)))
            move_up(plan, i, first++);
    }
}
