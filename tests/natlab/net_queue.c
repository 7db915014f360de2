/* net_queue.c - see net_queue.h: a heap of slots. */
#include "tests/natlab/net_queue.h"

#include <string.h>

static bool earlier(const struct net *n, uint32_t a, uint32_t b)
{
    const struct net_slot *x = &n->slots[a], *y = &n->slots[b];

    return x->trip.at_us != y->trip.at_us ? x->trip.at_us < y->trip.at_us : x->order < y->order;
}

static void swap(struct net *n, uint32_t i, uint32_t j)
{
    uint32_t t = n->slots[i].heap;

    n->slots[i].heap = n->slots[j].heap;
    n->slots[j].heap = t;
}

/* Entries past n_flying are the free slots, so that the heap is a permutation at all times. */
static void push(struct net *n)
{
    uint32_t i = n->n_flying++;

    while (i > 0 && earlier(n, n->slots[i].heap, n->slots[(i - 1) / 2].heap)) {
        swap(n, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static uint32_t pop(struct net *n)
{
    uint32_t slot = n->slots[0].heap, i = 0;

    swap(n, 0, --n->n_flying);
    for (;;) {
        uint32_t least = i, left = 2 * i + 1;
        if (left < n->n_flying && earlier(n, n->slots[left].heap, n->slots[least].heap))
            least = left;
        if (left + 1 < n->n_flying && earlier(n, n->slots[left + 1].heap, n->slots[least].heap))
            least = left + 1;
        if (least == i)
            return slot;
        swap(n, i, least);
        i = least;
    }
}

bool net_queue_put(struct net *n, const struct net_trip *t)
{
    if (n->n_flying + (n->lent != 0) >= n->n_slots)
        return false;
    /* The slot lent to the caller, whose data may be what is put, is the last of the free ones. */
    struct net_slot *s = &n->slots[n->slots[n->n_flying].heap];
    s->trip = *t;
    s->order = n->order++;
    s->trip.packet.data = s->data;
    memmove(s->data, t->packet.data, t->packet.len);
    push(n);
    return true;
}

struct net_slot *net_queue_take(struct net *n) { return &n->slots[pop(n)]; }

/* Out of the way of the next puts, which take the first free entry. */
void net_queue_lend(struct net *n, const struct net_slot *s)
{
    swap(n, n->n_flying, n->n_slots - 1);
    n->lent = (uint32_t)(s - n->slots) + 1;
}

int64_t net_next_us(const struct net *n)
{
    return n->n_flying > 0 ? n->slots[n->slots[0].heap].trip.at_us : NET_NEVER;
}
