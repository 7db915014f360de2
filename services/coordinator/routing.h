/*
 * routing.h - the routing ids of peers' connections: the coordinator gives them.  Pure.
 *
 * Left alone libzmq takes the id that a peer's handshake names, and for who names none it counts on from a random
 * start; it aborts the process when it comes to one that somebody has named.  But what the answer to ZAP says of the id
 * comes after the peer's word, and counts.  So it says one for each connection, which nobody can foresee or has
 * twice: no peer's choice is heard, nobody's place can be taken, and libzmq has nothing to count.
 *
 *   id   how many were given before 8 | keyed hash of that, the door, and the peer's key 8
 */
#ifndef ROUTING_H
#define ROUTING_H

#include "lib/id.h"

#include <stdbool.h>

enum { ROUTING_ID = 16, ROUTING_SECRET = 16 };

struct routing {
    uint8_t secret[ROUTING_SECRET];
    uint64_t given;
};

/* The next one, for this peer at the enrolment door or the front. */
void routing_give(struct routing *r, bool enrolling, const struct peer_id *peer,
                  uint8_t id[static ROUTING_ID]);

/* Is it one that was given to this peer there? */
bool routing_is_given(const struct routing *r, bool enrolling, const struct peer_id *peer,
                      const void *id, size_t len);

#endif
