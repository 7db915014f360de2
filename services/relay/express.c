/* express.c - see express.h. */
#include "services/relay/express.h"

#include "lib/bytes.h"
#include "lib/relaywire.h"

#include <string.h>

_Static_assert(sizeof(struct express_cell) == 64, "a line of the cache");
_Static_assert((int)EXPRESS_CONTROL == (int)PACKET_RELAY && (int)EXPRESS_KEEP == (int)RELAY_KEEP &&
                   (int)EXPRESS_KEEP_BYTES == 2 + (int)sizeof(struct path_id),
               "control");
_Static_assert((int)EXPRESS_PUNCH == (int)PACKET_PUNCH && (int)EXPRESS_PONG == (int)PACKET_PONG &&
                   (int)EXPRESS_PUNCH_BYTES == (int)PUNCH_BYTES,
               "punches");
_Static_assert((int)EXPRESS_DATA == (int)PACKET_DATA &&
                   (int)EXPRESS_DATA_MIN == (int)DATA_OVERHEAD &&
                   (int)EXPRESS_DATA_MAX == (int)DATA_BYTES_MAX,
               "data");

unsigned express_bits(uint32_t sessions_max)
{
    unsigned bits = EXPRESS_BITS_MIN;

    while ((UINT64_C(1) << bits) < sessions_max)
        bits++;
    return bits;
}

uint32_t express_take(struct express *e, const uint8_t path[static 8])
{
    uint64_t key = get_u64(path);

    if (!e->sets || key == 0)
        return EXPRESS_NONE;
    uint32_t set = (uint32_t)(key * EXPRESS_MIX >> (64 - e->bits));
    for (uint32_t i = 0; i < EXPRESS_WAYS; i++) {
        uint64_t none = 0;
        if (__atomic_compare_exchange_n(&e->sets[set].path[i], &none, key, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
            e->cells[set * EXPRESS_WAYS + i].packets = 0;
            return set * EXPRESS_WAYS + i;
        }
    }
    return EXPRESS_NONE;
}

/* Odd from here on, until end(). */
static void begin(struct express_cell *c)
{
    __atomic_store_n(&c->version, c->version | 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void express_leave(struct express *e, uint32_t at)
{
    begin(&e->cells[at]);
    __atomic_store_n(&e->cells[at].credit, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&e->sets[at / EXPRESS_WAYS].path[at % EXPRESS_WAYS], 0, __ATOMIC_RELEASE);
}

void express_lead(struct express *e, uint32_t at, uint32_t back, const struct addr *from,
                  const struct addr *to)
{
    struct express_cell *c = &e->cells[at];

    begin(c);
    c->back = back;
    memcpy(&c->from_ip, from->ip, sizeof c->from_ip);
    memcpy(&c->to_ip, to->ip, sizeof c->to_ip);
    put_u16((uint8_t *)&c->from_port, from->port);
    put_u16((uint8_t *)&c->to_port, to->port);
    memset(c->to_mac, 0, sizeof c->to_mac);
    memset(c->from_mac, 0, sizeof c->from_mac);
    c->reachable = 0;
    __atomic_store_n(&c->credit, 0,
                     __ATOMIC_RELAXED); /* one packet's may have come back since it was left */
    __atomic_store_n(&c->version, c->version + 1, __ATOMIC_SEQ_CST);
}

void express_grant(struct express *e, uint32_t at, uint64_t bytes)
{
    __atomic_fetch_add(&e->cells[at].credit, (int64_t)bytes, __ATOMIC_RELAXED);
}

/* The program takes before it looks, and gives back: below zero there is nothing left. */
static uint64_t positive(int64_t credit) { return credit > 0 ? (uint64_t)credit : 0; }

uint64_t express_revoke(struct express *e, uint32_t at)
{
    uint64_t left = express_left(e, at);

    while (left > 0) {
        int64_t was = __atomic_fetch_sub(&e->cells[at].credit, (int64_t)left, __ATOMIC_RELAXED);
        if (was >= (int64_t)left)
            return left;
        express_grant(e, at, left); /* some was spent meanwhile */
        left = express_left(e, at);
    }
    return 0;
}

uint64_t express_left(const struct express *e, uint32_t at)
{
    return positive(__atomic_load_n(&e->cells[at].credit, __ATOMIC_RELAXED));
}

uint64_t express_packets(const struct express *e, uint32_t at)
{
    return __atomic_load_n(&e->cells[at].packets, __ATOMIC_RELAXED);
}
