/* random_msg.c - see random_msg.h. */
#include "tests/lib/random_msg.h"

#include <assert.h>
#include <stdlib.h>

/* Whose numbers are drawn, and whether everything is to be as large as can be. */
static struct rng *rng;
static bool maximal;

#define R() rng_u64(rng)
#define COUNT(max) (maximal ? (max) : rng_below(rng, (max) + 1))

static void random_u16(msg_u16 *v) { *v = (msg_u16)(maximal ? UINT64_MAX : R() >> R() % 64); }
static void random_u32(msg_u32 *v) { *v = (msg_u32)(maximal ? UINT64_MAX : R() >> R() % 64); }
static void random_u64(msg_u64 *v) { *v = maximal ? UINT64_MAX : R() >> R() % 64; }
static void random_u8(uint8_t *v) { *v = (uint8_t)(maximal ? UINT64_MAX : R() >> R() % 64); }
static void random_bool(msg_bool *v) { *v = R() & 1; }
static void random_id(msg_id *v) { rng_bytes(rng, v->b, sizeof v->b); }
static void random_sid(msg_sid *v) { rng_bytes(rng, v->b, sizeof v->b); }

static void random_addr(msg_addr *v)
{
    v->len = (uint8_t[]){0, 4, 16}[COUNT(2)];
    rng_bytes(rng, v->ip, v->len);
    random_u16(&v->port);
}

static void random_tokens(msg_tokens *l)
{
    l->n = (uint8_t)COUNT(TOKENS_MAX);
    for (size_t i = 0; i < l->n; i++) {
        l->v[i].len = (uint8_t)COUNT(MSG_TOKEN_MAX);
        rng_bytes(rng, l->v[i].b, l->v[i].len);
    }
}

static void random_profile(msg_profile *p)
{
    p->mapping = (uint8_t)rng_below(rng, BEHAVIOUR_COUNT);
    p->filtering = (uint8_t)rng_below(rng, BEHAVIOUR_COUNT);
    p->allocation = (uint8_t)rng_below(rng, ALLOCATION_COUNT);
    p->confidence = (uint8_t)COUNT(100);
    p->delta = (int16_t)(maximal ? -1 : (int64_t)R());
    random_u16(&p->port_hi);
    p->port_lo = (uint16_t)COUNT(p->port_hi);
    random_u32(&p->age_s);
    p->hairpin = (uint8_t)COUNT(HAIRPIN_COUNT - 1);
    p->clash = (uint8_t)COUNT(CLASH_COUNT - 1);
    p->pool = (uint8_t)COUNT(POOL_COUNT - 1);
    random_u16(&p->block_hi);
    p->block_lo = (uint16_t)COUNT(p->block_hi);
    random_u8(&p->share);
    for (size_t i = COUNT(PORTS_TAKEN_MAX); i > 0; i--)
        p->taken[i - 1] = maximal ? UINT16_MAX : (uint16_t)(1 + rng_below(rng, UINT16_MAX));
    p->mapped = maximal || R() % 2;
}

static void random_plan(msg_plan *p)
{
    p->n = (uint8_t)COUNT(STEPS_MAX);
    for (size_t i = 0; i < p->n; i++) {
        random_u8(&p->v[i].technique), random_u8(&p->v[i].role);
        random_u32(&p->v[i].start_us), random_u32(&p->v[i].span_us);
    }
}

static void random_probers(msg_probers *l)
{
    l->n = (uint8_t)COUNT(PROBERS_MAX);
    for (size_t i = 0; i < l->n; i++) {
        rng_bytes(rng, l->v[i].key, sizeof l->v[i].key);
        rng_bytes(rng, l->v[i].cert, sizeof l->v[i].cert);
        l->v[i].n_addrs = (uint8_t)COUNT(4);
        for (size_t j = 0; j < l->v[i].n_addrs; j++)
            random_addr(&l->v[i].addrs[j]);
    }
}

static void random_places(msg_places *l)
{
    l->n = (uint8_t)COUNT(PLACES_MAX);
    for (size_t i = 0; i < l->n; i++) {
        random_addr(&l->v[i].ip);
        rng_bytes(rng, l->v[i].cert, sizeof l->v[i].cert);
    }
}

static void random_daykeys(msg_daykeys *l)
{
    l->n = (uint8_t)COUNT(DAYKEYS_MAX);
    for (size_t i = 0; i < l->n; i++) {
        rng_bytes(rng, l->v[i].prober, sizeof l->v[i].prober);
        random_u32(&l->v[i].day);
        rng_bytes(rng, l->v[i].key, sizeof l->v[i].key);
        rng_bytes(rng, l->v[i].cert, sizeof l->v[i].cert);
    }
}

static void random_observations(msg_observations *l)
{
    l->n = (uint8_t)COUNT(OBSERVATIONS_MAX);
    for (size_t i = 0; i < l->n; i++) {
        random_u8(&l->v[i].sock), random_u16(&l->v[i].local_port), random_u16(&l->v[i].rtt_ms);
        random_addr(&l->v[i].prober), random_addr(&l->v[i].seen);
    }
}

static void random_tried(msg_tried *t)
{
    t->n = (uint8_t)COUNT(STEPS_MAX);
    for (size_t i = 0; i < t->n; i++) {
        random_u8(&t->v[i].technique);
        random_u32(&t->v[i].sent), random_u32(&t->v[i].received);
    }
}

static void random_text(char *s, size_t max)
{
    for (size_t n = COUNT(max); n > 0; n--)
        *s++ = (char)(1 + rng_below(rng, 255)); /* anything but the terminator */
}

static struct msg random_msg(enum msg_type type)
{
    struct msg m;

    memset(&m, 0, sizeof m); /* padding too: messages are compared with memcmp below */
    m.type = type;
    /* clang-format off */
    switch (type) {
#define MSG(name, doc) case MSG_##name: { struct msg_##name *p = &m.name;
#define FIELD(kind, name) random_##kind(&p->name);
#define OPT FIELD
#define TEXT(name, max) random_text(p->name, max);
#define BLOB(name, max) p->name.len = (uint16_t)COUNT(max); rng_bytes(rng, p->name.b, p->name.len);
#define END(name) break; }
#include "schemas/messages.def"
    case MSG_TYPE_COUNT: break;
    }
    /* clang-format on */
    return m;
}

struct msg msg_random(struct rng *r, enum msg_type type)
{
    rng = r;
    maximal = false;
    return random_msg(type);
}

struct msg msg_random_full(struct rng *r, enum msg_type type)
{
    rng = r;
    maximal = true;
    return random_msg(type);
}

enum msg_err msg_decode_exact(struct msg *m, enum msg_type type, const void *body, size_t len,
                              const char **field)
{
    char *exact = malloc(len ? len : 1);

    assert(exact);
    memcpy(exact, body, len);
    enum msg_err err = msg_decode(m, msg_name[type], exact, len, field);
    free(exact);
    return err;
}
