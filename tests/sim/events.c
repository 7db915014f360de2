/* events.c - what is to happen in the simulated world: a heap, by time and then in order. */
#include "tests/sim/parts.h"

static bool before(const struct world_event *a, const struct world_event *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}

static void swap(struct world_event *a, struct world_event *b)
{
    struct world_event t = *a;

    *a = *b;
    *b = t;
}

void world_push(struct world *w, struct world_event e)
{
    assert(w->n_events < WORLD_EVENTS_MAX);
    e.order = w->order++;
    size_t i = w->n_events++;
    w->events[i] = e;
    for (; i > 0 && before(&w->events[i], &w->events[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&w->events[i], &w->events[(i - 1) / 2]);
}

struct world_event world_pop(struct world *w)
{
    struct world_event first = w->events[0];
    size_t i = 0;

    w->events[0] = w->events[--w->n_events];
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= w->n_events)
            break;
        if (c + 1 < w->n_events && before(&w->events[c + 1], &w->events[c]))
            c++;
        if (!before(&w->events[c], &w->events[i]))
            break;
        swap(&w->events[c], &w->events[i]);
        i = c;
    }
    return first;
}

void world_mix(struct world *w, uint64_t v) { w->hash = (w->hash ^ v) * UINT64_C(1099511628211); }

int64_t world_wall_ms(const struct world *w)
{
    return WORLD_WALL_MS + w->wall_ahead_ms + w->now_us / 1000;
}

struct input world_input(const struct world *w, enum input_kind kind)
{
    return (struct input){.kind = kind, .now_us = w->now_us, .wall_ms = world_wall_ms(w)};
}
