/* msg_encode.c - messages become msgpack: one pack function per kind of field and per message, expanded; see msg.h. */
#include "lib/msg.h"

#include <assert.h>
#include <msgpack.h>

static void pack_str(msgpack_packer *pk, const char *s)
{
    size_t n = strlen(s);

    msgpack_pack_str(pk, n);
    msgpack_pack_str_body(pk, s, n);
}

static void pack_bytes(msgpack_packer *pk, const void *p, size_t n)
{
    msgpack_pack_bin(pk, n);
    msgpack_pack_bin_body(pk, p, n);
}

static void pack_u16(msgpack_packer *pk, msg_u16 v) { msgpack_pack_uint16(pk, v); }
static void pack_u32(msgpack_packer *pk, msg_u32 v) { msgpack_pack_uint32(pk, v); }
static void pack_u64(msgpack_packer *pk, msg_u64 v) { msgpack_pack_uint64(pk, v); }
static void pack_bool(msgpack_packer *pk, msg_bool v)
{
    v ? msgpack_pack_true(pk) : msgpack_pack_false(pk);
}
static void pack_id(msgpack_packer *pk, msg_id v) { pack_bytes(pk, v.b, sizeof v.b); }
static void pack_sid(msgpack_packer *pk, msg_sid v) { pack_bytes(pk, v.b, sizeof v.b); }

static void pack_addr(msgpack_packer *pk, msg_addr a) /* ip then port, network order */
{
    uint8_t raw[18];

    memcpy(raw, a.ip, a.len);
    raw[a.len] = (uint8_t)(a.port >> 8);
    raw[a.len + 1] = (uint8_t)a.port;
    pack_bytes(pk, raw, a.len + 2u);
}

static void pack_tokens(msgpack_packer *pk, msg_tokens l)
{
    msgpack_pack_array(pk, l.n);
    for (size_t i = 0; i < l.n; i++)
        pack_bytes(pk, l.v[i].b, l.v[i].len);
}

static void pack_profile(msgpack_packer *pk, msg_profile p)
{
    msgpack_pack_array(pk, 16);
    msgpack_pack_uint8(pk, p.mapping);
    msgpack_pack_uint8(pk, p.filtering);
    msgpack_pack_uint8(pk, p.allocation);
    msgpack_pack_uint8(pk, p.confidence);
    msgpack_pack_uint16(pk, (uint16_t)p.delta); /* two's complement */
    msgpack_pack_uint16(pk, p.port_lo);
    msgpack_pack_uint16(pk, p.port_hi);
    msgpack_pack_uint32(pk, p.age_s);
    msgpack_pack_uint8(pk, p.hairpin);
    pack_bool(pk, p.mapped);
    msgpack_pack_uint8(pk, p.clash);
    msgpack_pack_uint8(pk, p.pool);
    msgpack_pack_uint16(pk, p.block_lo);
    msgpack_pack_uint16(pk, p.block_hi);
    msgpack_pack_uint8(pk, p.share);
    size_t n = profile_taken(&p);
    msgpack_pack_array(pk, n);
    for (size_t i = 0; i < n; i++)
        msgpack_pack_uint16(pk, p.taken[i]);
}

static void pack_plan(msgpack_packer *pk, msg_plan p)
{
    msgpack_pack_array(pk, p.n);
    for (size_t i = 0; i < p.n; i++) {
        msgpack_pack_array(pk, 4);
        msgpack_pack_uint8(pk, p.v[i].technique);
        msgpack_pack_uint8(pk, p.v[i].role);
        msgpack_pack_uint32(pk, p.v[i].start_us);
        msgpack_pack_uint32(pk, p.v[i].span_us);
    }
}

static void pack_probers(msgpack_packer *pk, msg_probers l)
{
    msgpack_pack_array(pk, l.n);
    for (size_t i = 0; i < l.n; i++) {
        const struct prober_info *p = &l.v[i];
        msgpack_pack_array(pk, 2u + p->n_addrs);
        pack_bytes(pk, p->key, sizeof p->key);
        pack_bytes(pk, p->cert, sizeof p->cert);
        for (size_t j = 0; j < p->n_addrs; j++)
            pack_addr(pk, p->addrs[j]);
    }
}

static void pack_places(msgpack_packer *pk, msg_places l)
{
    msgpack_pack_array(pk, l.n);
    for (size_t i = 0; i < l.n; i++) {
        msgpack_pack_array(pk, 2);
        pack_addr(pk, l.v[i].ip);
        pack_bytes(pk, l.v[i].cert, sizeof l.v[i].cert);
    }
}

static void pack_daykeys(msgpack_packer *pk, msg_daykeys l)
{
    msgpack_pack_array(pk, l.n);
    for (size_t i = 0; i < l.n; i++) {
        const struct daykey *k = &l.v[i];
        msgpack_pack_array(pk, 4);
        pack_bytes(pk, k->prober, sizeof k->prober);
        msgpack_pack_uint32(pk, k->day);
        pack_bytes(pk, k->key, sizeof k->key);
        pack_bytes(pk, k->cert, sizeof k->cert);
    }
}

static void pack_observations(msgpack_packer *pk, msg_observations l)
{
    msgpack_pack_array(pk, l.n);
    for (size_t i = 0; i < l.n; i++) {
        msgpack_pack_array(pk, 5);
        msgpack_pack_uint8(pk, l.v[i].sock);
        msgpack_pack_uint16(pk, l.v[i].local_port);
        msgpack_pack_uint16(pk, l.v[i].rtt_ms);
        pack_addr(pk, l.v[i].prober);
        pack_addr(pk, l.v[i].seen);
    }
}

static void pack_tried(msgpack_packer *pk, msg_tried t)
{
    msgpack_pack_array(pk, t.n);
    for (size_t i = 0; i < t.n; i++) {
        msgpack_pack_array(pk, 3);
        msgpack_pack_uint8(pk, t.v[i].technique);
        msgpack_pack_uint32(pk, t.v[i].sent);
        msgpack_pack_uint32(pk, t.v[i].received);
    }
}

/* ---- one function per message ---------------------------------------------------------------- */

/* clang-format off */

/* The largest encoding of every message fits in MSG_SIZE_MAX. */
enum {
    MAX_u16 = 3, MAX_u32 = 5, MAX_u64 = 9, MAX_bool = 1, MAX_addr = 20, MAX_id = 34, MAX_sid = 18,
    MAX_tokens = 1 + TOKENS_MAX * (2 + MSG_TOKEN_MAX), MAX_profile = 3 + 8 * 2 + 5 * 3 + 5 + 1 + 3 + PORTS_TAKEN_MAX * 3,
    MAX_plan = 1 + STEPS_MAX * (1 + 2 * 2 + 2 * 5), MAX_tried = 1 + STEPS_MAX * (1 + 2 + 2 * 5),
    MAX_probers = 1 + PROBERS_MAX * (1 + 34 + 66 + 4 * MAX_addr),
    MAX_places = 1 + PLACES_MAX * (1 + MAX_addr + 66),
    MAX_daykeys = 1 + DAYKEYS_MAX * (1 + 10 + MAX_u32 + 34 + 66),
    MAX_observations = 3 + OBSERVATIONS_MAX * (1 + 2 + 3 + 3 + 2 * MAX_addr),
};
#define MSG(name, doc) _Static_assert(5
#define FIELD(kind, name) + 5 + sizeof #name + MAX_##kind
#define OPT FIELD
#define TEXT(name, max) + 5 + sizeof #name + 5 + (max)
#define BLOB TEXT
#define END(name) <= MSG_SIZE_MAX, #name " may not fit in MSG_SIZE_MAX");
#include "schemas/messages.def"

#define MSG(name, doc) enum { FIELDS_##name = 0
#define FIELD(kind, name) +1
#define OPT(kind, name) +1
#define TEXT(name, max) +1
#define BLOB(name, max) +1
#define END(name) };
#include "schemas/messages.def"

#define MSG(name, doc)                                                                             \
    static void pack_msg_##name(msgpack_packer *pk, const struct msg_##name *m)                    \
    {                                                                                              \
        msgpack_pack_map(pk, FIELDS_##name);
#define FIELD(kind, name) pack_str(pk, #name), pack_##kind(pk, m->name);
#define OPT FIELD
#define TEXT(name, max) pack_str(pk, #name), pack_str(pk, m->name);
#define BLOB(name, max) pack_str(pk, #name), pack_bytes(pk, m->name.b, m->name.len);
#define END(name) }
#include "schemas/messages.def"

/* clang-format on */

struct body {
    char *p;
    size_t len;
};

static int body_write(void *data, const char *src, size_t n)
{
    struct body *b = data;

    assert(n <= MSG_SIZE_MAX - b->len);
    memcpy(b->p + b->len, src, n);
    b->len += n;
    return 0;
}

size_t msg_encode(const struct msg *m, char buf[static MSG_SIZE_MAX])
{
    struct body body = {buf, 0};
    msgpack_packer pk;

    msgpack_packer_init(&pk, &body, body_write);
    /* clang-format off */
    switch (m->type) {
#define MSG(name, doc) case MSG_##name: pack_msg_##name(&pk, &m->name); break;
#include "schemas/messages.def"
    case MSG_TYPE_COUNT: assert(0);
    }
    /* clang-format on */
    return body.len;
}
