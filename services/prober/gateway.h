/*
 * gateway.h - does the prober see its clients, or one gateway that puts its own address on all of them,
 * as a container's bridge does?
 *
 * Of every client such a prober would sign and report the gateway's address.  It is suspected when a
 * prober of a public address had its first GATEWAY_REQUESTS requests from one private address; the first
 * request from elsewhere rules it out for good.  Pure.
 */
#ifndef GATEWAY_H
#define GATEWAY_H

#include "lib/addr.h"

enum { GATEWAY_REQUESTS = 16 };

struct gateway {
    struct addr ip;    /* of all requests so far, with some port of theirs */
    uint32_t requests; /* so far, up to GATEWAY_REQUESTS */
    bool ruled_out;
};

/* For a prober that is known by this address. */
void gateway_init(struct gateway *g, const struct addr *known_as);

/* A request came from there. */
void gateway_note(struct gateway *g, const struct addr *src);
bool gateway_suspected(const struct gateway *g);

#endif
