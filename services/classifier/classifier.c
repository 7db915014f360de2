/* classifier.c - the pure core; contract in lib/core.h, overview in classifier.h. */
#include "services/classifier/classifier.h"

#include <string.h>

_Static_assert(sizeof(struct finding_key) == 33, "a key without padding");
_Static_assert(sizeof(struct known) % sizeof(int64_t) == 0, "what follows in memory is aligned");

/* ---- what is known ---------------------------------------------------------------------------------- */

/* How much a profile says: what it knows, then how well.  Of a refresh, which shows few ports, there is no block. */
enum { BLOCK_WEIGHT = 500 };
static int weight(const struct profile *p)
{
    int known = (p->mapping != NAT_UNKNOWN) + (p->allocation != ALLOC_UNKNOWN) +
                (p->filtering != NAT_UNKNOWN);

    return known * 1000 + (p->block_hi != 0 ? BLOCK_WEIGHT : 0) + p->confidence;
}

static bool differ(uint8_t a, uint8_t b, uint8_t unknown)
{
    return a != b && a != unknown && b != unknown;
}

static bool contradicts(const struct finding *f, const struct finding *earlier)
{
    const struct profile *p = &f->profile, *e = &earlier->profile;

    if (differ(p->mapping, e->mapping, NAT_UNKNOWN) ||
        differ(p->allocation, e->allocation, ALLOC_UNKNOWN) ||
        differ(p->filtering, e->filtering, NAT_UNKNOWN))
        return true;
    if (p->allocation == ALLOC_CONTIGUOUS && e->allocation == ALLOC_CONTIGUOUS &&
        p->delta != e->delta)
        return true;
    if (e->block_hi != 0 && p->allocation == ALLOC_RANDOM &&
        (p->port_lo < e->block_lo || p->port_hi > e->block_hi))
        return true;
    return f->varies && !earlier->varies && (e->mapping == NAT_NONE || e->mapping == NAT_EI);
}

static bool same_nat(const struct finding *f, const struct addr *local, const struct known *k)
{
    if (!addr_eq(local, &k->local))
        return false;
    bool pool =
        f->profile.pool == POOL_BY_DESTINATION || k->finding.profile.pool == POOL_BY_DESTINATION;
    if (f->reflexive.len != 0 && !pool && !addr_ip_eq(&f->reflexive, &k->finding.reflexive))
        return false;
    return !contradicts(f, &k->finding);
}

static uint32_t make_slot(struct classifier *c, const struct finding_key *key)
{
    uint32_t slot = table_insert(&c->by_peer, key);

    if (slot != TABLE_NONE)
        return slot;
    table_remove(&c->by_peer, deadlines_pop(&c->expiry, DEADLINE_NEVER));
    c->n.evicted++;
    return table_insert(&c->by_peer, key);
}

/* Merge the finding into what is known; what is to be told goes to *tell. */
static void learn(struct classifier *c, const struct finding_key *key, const struct addr *local,
                  const struct finding *f, struct known *tell)
{
    uint32_t slot = table_find(&c->by_peer, key);
    const struct known *k = slot == TABLE_NONE ? NULL : &c->known[slot];
    bool same = k && same_nat(f, local, k);

    *tell = (struct known){*local, *f, c->now_us};
    if (same && f->profile.filtering == NAT_UNKNOWN) /* its measurement takes longer */
        tell->finding.profile.filtering = k->finding.profile.filtering;
    if (same && f->profile.hairpin == HAIRPIN_UNKNOWN) /* so does this one's */
        tell->finding.profile.hairpin = k->finding.profile.hairpin;
    if (same && f->profile.clash == CLASH_UNKNOWN)
        tell->finding.profile.clash = k->finding.profile.clash;
    if (same && f->profile.pool < k->finding.profile.pool) /* fewer mappings were looked at */
        tell->finding.profile.pool = k->finding.profile.pool;
    if (same && weight(&tell->finding.profile) < weight(&k->finding.profile)) {
        c->n.kept++;
        if (f->reflexive.len != 0) /* a mapping made anew may have another port */
            c->known[slot].finding.reflexive = f->reflexive;
        c->known[slot].finding.profile.hairpin = tell->finding.profile.hairpin;
        c->known[slot].finding.profile.clash = tell->finding.profile.clash;
        c->known[slot].finding.profile.pool = tell->finding.profile.pool;
        *tell = c->known[slot];
    } else if (slot != TABLE_NONE || f->used > 0) {
        c->n.replaced++;
        if (slot == TABLE_NONE)
            slot = make_slot(c, key);
        c->known[slot] = *tell;
    } else {
        c->n.empty++;
    }
    if (f->used > 0)
        deadlines_set(&c->expiry, slot, c->now_us + FINDING_TTL_US);
}

/* ---- step --------------------------------------------------------------------------------------------- */

static void on_report(struct classifier *c, const struct msg_reflex_report *r, struct outputs *out)
{
    struct finding f;
    struct known tell;

    c->n.reports++;
    classify(r, &f);
    c->n.observations_ignored += f.ignored;
    learn(c, &(struct finding_key){r->peer, f.family}, &r->local, &f, &tell);

    struct msg_nat_profile *p = &emit(out, SERVICE_coordinator, MSG_nat_profile)->nat_profile;
    p->peer = r->peer;
    p->serial = r->serial;
    p->profile = tell.finding.profile;
    p->profile.age_s = (uint32_t)((c->now_us - tell.measured_us) / 1000000);
    p->reflexive = tell.finding.reflexive;
}

static void on_msg(struct classifier *c, const struct input *in, struct outputs *out)
{
    if (in->msg->type == MSG_prober_hello && in->from.service == SERVICE_prober)
        c->n.hellos++;
    else if (in->msg->type == MSG_reflex_report && in->from.service == SERVICE_coordinator &&
             !peer_id_none(&in->msg->reflex_report.peer))
        on_report(c, &in->msg->reflex_report, out);
    else
        c->n.refused++;
}

static void expire(struct classifier *c)
{
    uint32_t slot;

    while ((slot = deadlines_pop(&c->expiry, c->now_us)) != UINT32_MAX) {
        table_remove(&c->by_peer, slot);
        c->n.expired++;
    }
}

size_t classifier_bytes(uint32_t capacity)
{
    return capacity * sizeof(struct known) + deadlines_bytes(capacity) +
           table_bytes(capacity, sizeof(struct finding_key));
}

void classifier_init(struct classifier *c, uint32_t capacity, const uint8_t rng_key[static 32],
                     void *memory)
{
    uint8_t *p = memory;
    struct rng rng;
    uint8_t secret[16];

    memset(c, 0, sizeof *c);
    rng_init(&rng, rng_key);
    rng_bytes(&rng, secret, sizeof secret);
    c->known = memory;
    p += capacity * sizeof(struct known);
    deadlines_init(&c->expiry, capacity, p);
    p += deadlines_bytes(capacity);
    table_init(&c->by_peer, capacity, sizeof(struct finding_key), secret, p);
}

void classifier_step(struct classifier *c, const struct input *in, struct outputs *out)
{
    assert(in->now_us >= c->now_us);
    c->now_us = in->now_us;
    out->n = 0;
    expire(c);
    if (in->kind == IN_MSG)
        on_msg(c, in, out);
}

int64_t classifier_deadline(const struct classifier *c) { return deadlines_first(&c->expiry); }
