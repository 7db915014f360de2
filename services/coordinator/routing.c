/* routing.c - see routing.h. */
#include "services/coordinator/routing.h"

#include "lib/bytes.h"

#include <sodium.h>
#include <string.h>

enum { COUNT = 8 };
_Static_assert(ROUTING_ID == COUNT + crypto_shorthash_BYTES, "a count and its hash");
_Static_assert(ROUTING_SECRET == crypto_shorthash_KEYBYTES, "the hash's key");

static void put_hash(const struct routing *r, bool enrolling, const struct peer_id *peer,
                     uint8_t id[static ROUTING_ID])
{
    uint8_t in[COUNT + 1 + sizeof peer->b];

    memcpy(in, id, COUNT);
    in[COUNT] = enrolling;
    memcpy(in + COUNT + 1, peer->b, sizeof peer->b);
    crypto_shorthash(id + COUNT, in, sizeof in, r->secret);
}

void routing_give(struct routing *r, bool enrolling, const struct peer_id *peer,
                  uint8_t id[static ROUTING_ID])
{
    put_u64(id, r->given++);
    put_hash(r, enrolling, peer, id);
}

bool routing_is_given(const struct routing *r, bool enrolling, const struct peer_id *peer,
                      const void *id, size_t len)
{
    uint8_t good[ROUTING_ID];

    if (len != sizeof good)
        return false;
    memcpy(good, id, COUNT);
    put_hash(r, enrolling, peer, good);
    return sodium_memcmp(good, id, sizeof good) == 0;
}
