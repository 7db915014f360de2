/*
 * net_queue.h - the packets under way, by the time at which something becomes of them.
 *
 * Pure.
 */
#ifndef NATLAB_NET_QUEUE_H
#define NATLAB_NET_QUEUE_H

#include "tests/natlab/net.h"

/* Copy the packet into a slot; its data may be in the slot taken last.  False: all are in use. */
bool net_queue_put(struct net *n, const struct net_trip *t);

/* The slot of the earliest, which there must be.  It is good until the next put... */
struct net_slot *net_queue_take(struct net *n);

/* ... or, once lent to the caller of net_deliver, until that is called again. */
void net_queue_lend(struct net *n, const struct net_slot *s);

#endif
