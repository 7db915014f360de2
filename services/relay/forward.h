/* forward.h - where a packet goes: by source and path id, or for a raw side by its source alone. */
#ifndef RELAY_FORWARD_H
#define RELAY_FORWARD_H

#include "services/relay/relay.h"

static inline bool relay_is_bound(const struct relay_side *side) { return side->addr.len != 0; }

/* This end was bound, perhaps from another address than before; or is so no more. */
void relay_source_set(struct relay *r, uint32_t end);
void relay_source_unset(struct relay *r, uint32_t end);

#endif
