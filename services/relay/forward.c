/* forward.c - the data plane; see forward.h and relay_forward() in relay.h. */
#include "services/relay/forward.h"

#include "lib/bytes.h"
#include "services/relay/fast.h"

#include <string.h>

static struct relay_side *side_of(struct relay *r, uint32_t end)
{
    return &r->sessions[r->end_of[end] >> 1].side[r->end_of[end] & 1];
}

/* ---- sources ------------------------------------------------------------------------------------- */

static void key_of(const struct addr *a, uint8_t key[static RELAY_SOURCE_KEY])
{
    memset(key, 0, RELAY_SOURCE_KEY);
    memcpy(key, a->ip, a->len);
    put_u16(key + 16, a->port);
    key[18] = a->len;
}

static struct addr addr_of(const uint8_t key[static RELAY_SOURCE_KEY])
{
    struct addr a = {.len = key[18], .port = get_u16(key + 16)};

    memcpy(a.ip, key, sizeof a.ip);
    return a;
}

static uint32_t find_source(const struct relay *r, const struct addr *src)
{
    uint8_t key[RELAY_SOURCE_KEY];

    key_of(src, key);
    uint32_t slot = table_find(&r->by_source, key);
    return slot == TABLE_NONE ? TABLE_NONE : r->end_by_source[slot];
}

void relay_source_unset(struct relay *r, uint32_t end)
{
    if (r->source_of[end] != TABLE_NONE) {
        struct addr was = addr_of(table_key(&r->by_source, r->source_of[end]));
        marks_remove(&r->marks, marks_source(&was));
        table_remove(&r->by_source, r->source_of[end]);
    }
    r->source_of[end] = TABLE_NONE;
}

/* A raw socket is one session's: who binds a second one from there has given up the first. */
void relay_source_set(struct relay *r, uint32_t end)
{
    const struct relay_side *side = side_of(r, end);
    uint8_t key[RELAY_SOURCE_KEY];

    relay_source_unset(r, end);
    if (!side->raw)
        return;
    uint32_t other = find_source(r, &side->addr);
    if (other != TABLE_NONE)
        relay_source_unset(r, other);
    key_of(&side->addr, key);
    uint32_t slot = table_insert(&r->by_source, key); /* has room for every end */
    r->source_of[end] = slot;
    r->end_by_source[slot] = end;
    marks_add(&r->marks, marks_source(&side->addr));
}

/* ---- packets --------------------------------------------------------------------------------------- */

/* May this side send len bytes more? */
static bool allowed(struct relay *r, struct relay_side *side, int64_t now_us, size_t len)
{
    switch (quota_spend(&side->quota, len, now_us)) {
    case QUOTA_OK: return true;
    case QUOTA_RATE: r->n.dropped_rate++; break;
    case QUOTA_BYTES: r->n.dropped_quota++; break;
    }
    return false;
}

/* From the other end of its session to this one. */
static enum relay_fate pass(struct relay *r, int64_t now_us, uint32_t end, size_t len,
                            const struct addr **dst)
{
    struct relay_session *s = &r->sessions[r->end_of[end] >> 1];
    struct relay_side *to = side_of(r, end), *from = &s->side[!(r->end_of[end] & 1)];

    from->seen_us = now_us;
    if (!relay_is_bound(to)) {
        r->n.dropped_waiting++;
        return RELAY_DROP;
    }
    unsigned side = !(r->end_of[end] & 1);
    relay_fast_take_back(r, s, side, now_us);
    bool may = allowed(r, from, now_us, len);
    relay_fast_lend(r, s, side, now_us);
    if (!may)
        return RELAY_DROP;
    s->packets++;
    s->bytes += len;
    r->n.forwarded_packets++;
    r->n.forwarded_bytes += len;
    *dst = &to->addr;
    return RELAY_FORWARD;
}

/* The path id names the receiver's end, and only the other end of its session may send to it. */
static uint32_t named_end(const struct relay *r, const struct addr *src, const uint8_t *data,
                          size_t len)
{
    struct packet_head head;
    uint32_t end = TABLE_NONE;

    if (packet_head(data, len, &head))
        end = table_find(&r->by_path, head.path.b);
    if (end == TABLE_NONE)
        return TABLE_NONE;
    const struct relay_session *s = &r->sessions[r->end_of[end] >> 1];
    const struct relay_side *from = &s->side[!(r->end_of[end] & 1)];
    return relay_is_bound(from) && addr_eq(&from->addr, src) ? end : TABLE_NONE;
}

/* Does a raw end say this to us, and not to the other end? */
static bool is_control(const struct relay *r, uint32_t end, const uint8_t *data, size_t len)
{
    struct relay_control c;

    if (!relay_parse(data, len, &c))
        return false;
    return c.op == RELAY_BIND || c.op == RELAY_PROVE ||
           (c.op == RELAY_KEEP && table_find(&r->by_path, c.path.b) == end);
}

enum relay_fate relay_forward(struct relay *r, int64_t now_us, const struct addr *src,
                              const uint8_t *data, size_t len, const struct addr **dst)
{
    uint32_t to = named_end(r, src, data, len);

    if (to != TABLE_NONE)
        return pass(r, now_us, to, len, dst);
    uint32_t from = r->by_source.n > 0 ? find_source(r, src) : TABLE_NONE;
    if (from == TABLE_NONE || len > DATAGRAM_MAX || is_control(r, from, data, len))
        return RELAY_STEP;
    const struct relay_session *s = &r->sessions[r->end_of[from] >> 1];
    return pass(r, now_us, s->end[!(r->end_of[from] & 1)], len, dst);
}

/* By the same rules as the kernel's program in steer_shell.c. */
unsigned relay_worker_of(const struct relay *r, const struct addr *src, const uint8_t *data,
                         size_t len)
{
    struct relay_control c = {0};
    struct packet_head head;
    int worker = -1;

    if (r->n_workers == 1)
        return r->marks.worker;
    if (packet_head(data, len, &head))
        worker = marks_worker(&r->marks, marks_path(head.path.b));
    else if (relay_parse(data, len, &c) && (c.op == RELAY_BIND || c.op == RELAY_PROVE))
        return ticket_worker(c.ticket, r->n_workers);
    else if (c.op == RELAY_KEEP)
        worker = marks_worker(&r->marks, marks_path(c.path.b));
    if (worker < 0)
        worker = marks_worker(&r->marks, marks_source(src));
    return worker < 0 ? r->marks.worker : (unsigned)worker;
}
