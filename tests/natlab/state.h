/*
 * state.h - the ground truth of a lab as JSON lines.
 *
 *   {"type":"host", host, line addresses and, behind a NAT, its own}
 *   {"type":"mapping", nat, proto, internal (null for a claim: see nat.h), external, remote (null unless
 *    the mapping depends on it), remotes (what the filter lets in; null for all), age_ms, idle_ms}
 *   {"type":"nat", nat, mappings, opened, evicted, and packets by outcome}
 *   {"type":"pair", from, to, sent, sent_udp, delivered, delivered_udp}
 *   {"type":"net", malformed, unwritable, how late packets were handed over, packets by outcome}
 *
 * sent counts what left the sender's NATs for the address of to, lost or not; behind a carrier's NAT what
 * has passed that.  ICMP errors of the model are not counted.
 */
#ifndef NATLAB_STATE_H
#define NATLAB_STATE_H

#include <stdio.h>

struct engine;

void state_print(const struct engine *e, FILE *to);

#endif
