/*
 * msg_decode.c - msgpack becomes messages, whatever it is: bounds first, then one unpack function per kind of field and per
 * message, expanded; see msg.h.
 */
#include "lib/msg.h"

#include <msgpack.h>

static bool unpack_uint(const msgpack_object *o, uint64_t max, uint64_t *v)
{
    if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 > max)
        return false;
    *v = o->via.u64;
    return true;
}

#define UNPACK_UINT(kind, type, max)                              \
    static bool unpack_##kind(const msgpack_object *o, type *out) \
    {                                                             \
        uint64_t v;                                               \
        if (!unpack_uint(o, max, &v))                             \
            return false;                                         \
        *out = (type)v;                                           \
        return true;                                              \
    }
UNPACK_UINT(u8, uint8_t, UINT8_MAX)
UNPACK_UINT(u16, msg_u16, UINT16_MAX)
UNPACK_UINT(u32, msg_u32, UINT32_MAX)
UNPACK_UINT(u64, msg_u64, UINT64_MAX)

static bool unpack_bool(const msgpack_object *o, msg_bool *out)
{
    if (o->type != MSGPACK_OBJECT_BOOLEAN)
        return false;
    *out = o->via.boolean;
    return true;
}

static bool unpack_exact(const msgpack_object *o, void *out, size_t n)
{
    if (o->type != MSGPACK_OBJECT_BIN || o->via.bin.size != n)
        return false;
    memcpy(out, o->via.bin.ptr, n);
    return true;
}

static bool unpack_id(const msgpack_object *o, msg_id *out)
{
    return unpack_exact(o, out->b, sizeof out->b);
}
static bool unpack_sid(const msgpack_object *o, msg_sid *out)
{
    return unpack_exact(o, out->b, sizeof out->b);
}

static bool unpack_addr(const msgpack_object *o, msg_addr *out)
{
    if (o->type != MSGPACK_OBJECT_BIN)
        return false;
    const uint8_t *raw = (const uint8_t *)o->via.bin.ptr;
    size_t len = o->via.bin.size;
    if (len != 2 && len != 6 && len != 18)
        return false;
    out->len = (uint8_t)(len - 2);
    memcpy(out->ip, raw, len - 2);
    out->port = (uint16_t)(raw[len - 2] << 8 | raw[len - 1]);
    return true;
}

/* An array of at least lo and at most hi objects; NULL otherwise. */
static const msgpack_object *unpack_array(const msgpack_object *o, size_t lo, size_t hi, size_t *n)
{
    static const msgpack_object empty;

    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size < lo || o->via.array.size > hi)
        return NULL;
    *n = o->via.array.size;
    return *n ? o->via.array.ptr : &empty;
}

static bool unpack_tokens(const msgpack_object *o, msg_tokens *out)
{
    size_t n;
    const msgpack_object *v = unpack_array(o, 0, TOKENS_MAX, &n);

    if (!v)
        return false;
    for (out->n = 0; out->n < n; out->n++) {
        const msgpack_object *e = &v[out->n];
        struct msg_token *t = &out->v[out->n];
        if (e->type != MSGPACK_OBJECT_BIN || e->via.bin.size > sizeof t->b)
            return false;
        t->len = (uint8_t)e->via.bin.size;
        memcpy(t->b, e->via.bin.ptr, t->len);
    }
    return true;
}

/* Fields may be appended in later versions, so more than are known are fine, up to a bound. */
enum { FIELDS_MORE = 8 };

/* Zero ends the list, so that none in it is zero. */
static bool unpack_taken(const msgpack_object *o, msg_profile *out)
{
    size_t n = 0;
    const msgpack_object *v = unpack_array(o, 0, PORTS_TAKEN_MAX, &n);

    for (size_t i = 0; i < n; i++)
        if (!unpack_u16(&v[i], &out->taken[i]) || out->taken[i] == 0)
            return false;
    return v != NULL;
}

static bool unpack_profile(const msgpack_object *o, msg_profile *out)
{
    size_t n;
    uint16_t delta;
    const msgpack_object *v = unpack_array(o, 8, 16 + FIELDS_MORE, &n);

    if (!v || !unpack_u8(&v[0], &out->mapping) || !unpack_u8(&v[1], &out->filtering) ||
        !unpack_u8(&v[2], &out->allocation) || !unpack_u8(&v[3], &out->confidence) ||
        !unpack_u16(&v[4], &delta) || !unpack_u16(&v[5], &out->port_lo) ||
        !unpack_u16(&v[6], &out->port_hi) || !unpack_u32(&v[7], &out->age_s))
        return false;
    out->delta = (int16_t)delta;
    out->hairpin = HAIRPIN_UNKNOWN; /* of an earlier version */
    out->mapped = false;
    out->clash = CLASH_UNKNOWN;
    out->pool = POOL_UNKNOWN;
    out->block_lo = out->block_hi = 0;
    out->share = 0;
    memset(out->taken, 0, sizeof out->taken);
    if ((n > 8 && !unpack_u8(&v[8], &out->hairpin)) ||
        (n > 9 && !unpack_bool(&v[9], &out->mapped)) ||
        (n > 10 && !unpack_u8(&v[10], &out->clash)) || (n > 11 && !unpack_u8(&v[11], &out->pool)) ||
        (n > 12 && !unpack_u16(&v[12], &out->block_lo)) ||
        (n > 13 && !unpack_u16(&v[13], &out->block_hi)) ||
        (n > 14 && !unpack_u8(&v[14], &out->share)) || (n > 15 && !unpack_taken(&v[15], out)))
        return false;
    if (n < 14) /* half a block is none */
        out->block_lo = 0;
    return profile_valid(out);
}

static bool unpack_plan(const msgpack_object *o, msg_plan *out)
{
    size_t n, m;
    const msgpack_object *v = unpack_array(o, 0, STEPS_MAX, &n);

    if (!v)
        return false;
    for (out->n = 0; out->n < n; out->n++) {
        struct step *s = &out->v[out->n];
        const msgpack_object *f = unpack_array(&v[out->n], 4, 4 + FIELDS_MORE, &m);
        if (!f || !unpack_u8(&f[0], &s->technique) || !unpack_u8(&f[1], &s->role) ||
            !unpack_u32(&f[2], &s->start_us) || !unpack_u32(&f[3], &s->span_us))
            return false;
    }
    return true;
}

static bool unpack_probers(const msgpack_object *o, msg_probers *out)
{
    size_t n, m;
    const msgpack_object *v = unpack_array(o, 0, PROBERS_MAX, &n);

    if (!v)
        return false;
    for (out->n = 0; out->n < n; out->n++) {
        struct prober_info *p = &out->v[out->n];
        const msgpack_object *f = unpack_array(&v[out->n], 2, 6, &m);
        if (!f || !unpack_exact(&f[0], p->key, sizeof p->key) ||
            !unpack_exact(&f[1], p->cert, sizeof p->cert))
            return false;
        for (p->n_addrs = 0; p->n_addrs < m - 2; p->n_addrs++)
            if (!unpack_addr(&f[2 + p->n_addrs], &p->addrs[p->n_addrs]))
                return false;
    }
    return true;
}

static bool unpack_places(const msgpack_object *o, msg_places *out)
{
    size_t n, m;
    const msgpack_object *v = unpack_array(o, 0, PLACES_MAX, &n);

    if (!v)
        return false;
    for (out->n = 0; out->n < n; out->n++) {
        struct place *p = &out->v[out->n];
        const msgpack_object *f = unpack_array(&v[out->n], 2, 2 + FIELDS_MORE, &m);
        if (!f || !unpack_addr(&f[0], &p->ip) || !unpack_exact(&f[1], p->cert, sizeof p->cert))
            return false;
    }
    return true;
}

static bool unpack_daykeys(const msgpack_object *o, msg_daykeys *out)
{
    size_t n, m;
    const msgpack_object *v = unpack_array(o, 0, DAYKEYS_MAX, &n);

    if (!v)
        return false;
    for (out->n = 0; out->n < n; out->n++) {
        struct daykey *k = &out->v[out->n];
        const msgpack_object *f = unpack_array(&v[out->n], 4, 4 + FIELDS_MORE, &m);
        if (!f || !unpack_exact(&f[0], k->prober, sizeof k->prober) ||
            !unpack_u32(&f[1], &k->day) || !unpack_exact(&f[2], k->key, sizeof k->key) ||
            !unpack_exact(&f[3], k->cert, sizeof k->cert))
            return false;
    }
    return true;
}

static bool unpack_observations(const msgpack_object *o, msg_observations *out)
{
    size_t n, m;
    const msgpack_object *v = unpack_array(o, 0, OBSERVATIONS_MAX, &n);

    if (!v)
        return false;
    for (out->n = 0; out->n < n; out->n++) {
        struct observation *b = &out->v[out->n];
        const msgpack_object *f = unpack_array(&v[out->n], 5, 5 + FIELDS_MORE, &m);
        if (!f || !unpack_u8(&f[0], &b->sock) || !unpack_u16(&f[1], &b->local_port) ||
            !unpack_u16(&f[2], &b->rtt_ms) || !unpack_addr(&f[3], &b->prober) ||
            !unpack_addr(&f[4], &b->seen))
            return false;
    }
    return true;
}

static bool unpack_tried(const msgpack_object *o, msg_tried *out)
{
    size_t n, m;
    const msgpack_object *v = unpack_array(o, 0, STEPS_MAX, &n);

    if (!v)
        return false;
    for (out->n = 0; out->n < n; out->n++) {
        struct tried_one *t = &out->v[out->n];
        const msgpack_object *f = unpack_array(&v[out->n], 3, 3 + FIELDS_MORE, &m);
        if (!f || !unpack_u8(&f[0], &t->technique) || !unpack_u32(&f[1], &t->sent) ||
            !unpack_u32(&f[2], &t->received))
            return false;
    }
    return true;
}

static bool unpack_text(const msgpack_object *o, char *out, size_t max)
{
    if (o->type != MSGPACK_OBJECT_STR || o->via.str.size > max ||
        memchr(o->via.str.ptr, '\0', o->via.str.size))
        return false;
    memcpy(out, o->via.str.ptr, o->via.str.size);
    out[o->via.str.size] = '\0';
    return true;
}

static bool unpack_blob(const msgpack_object *o, uint8_t *out, uint16_t *len, size_t max)
{
    if (o->type != MSGPACK_OBJECT_BIN || o->via.bin.size > max)
        return false;
    *len = (uint16_t)o->via.bin.size;
    memcpy(out, o->via.bin.ptr, *len);
    return true;
}

static const msgpack_object *find(const msgpack_object_map *map, const char *key)
{
    size_t n = strlen(key);

    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object *k = &map->ptr[i].key;
        if (k->type == MSGPACK_OBJECT_STR && k->via.str.size == n &&
            memcmp(k->via.str.ptr, key, n) == 0)
            return &map->ptr[i].val;
    }
    return NULL;
}

/* ---- one function per message ---------------------------------------------------------------- */

/* clang-format off */
#define MSG(name, doc)                                                                             \
    static const char *unpack_msg_##name(const msgpack_object_map *map, struct msg_##name *m)      \
    {                                                                                              \
        const msgpack_object *o;
#define FIELD(kind, name) if (!(o = find(map, #name)) || !unpack_##kind(o, &m->name)) return #name;
#define OPT(kind, name) if ((o = find(map, #name)) && !unpack_##kind(o, &m->name)) return #name;
#define TEXT(name, max) if (!(o = find(map, #name)) || !unpack_text(o, m->name, max)) return #name;
#define BLOB(name, max)                                                                            \
    if (!(o = find(map, #name)) || !unpack_blob(o, m->name.b, &m->name.len, max)) return #name;
#define END(name) return NULL; }
#include "schemas/messages.def"

/* clang-format on */
/* ---- bounds ---------------------------------------------------------------------------------- */

/*
 * msgpack-c allocates what an array or map header claims before it has seen the elements: five bytes,
 * dd ff 00 00 00, ask it for over 100 GB.  So walk the headers first, and refuse a body that promises
 * more objects than it has bytes, or nests deeper than any message does (its parser would cope, but
 * nothing here needs it to).
 */
enum { DEPTH_MAX = 8 };

/* Bytes of header after the tag, for tags c0..df (a fixext counts its data as header). */
static const uint8_t header_bytes[32] = {0, 0, 0, 0, 1, 2, 4, 2, 3,  5, 4, 8, 1, 2, 4, 8,
                                         1, 2, 4, 8, 2, 3, 5, 9, 17, 1, 2, 4, 2, 4, 2, 4};

/* Read one object's head: its bytes without the tag, and how many objects it holds. */
static void head(unsigned tag, uint64_t n, uint64_t *bytes, uint64_t *objects)
{
    if ((tag & 0xf0) == 0x80) /* fixmap */
        *objects = 2 * (tag & 15u);
    else if ((tag & 0xf0) == 0x90) /* fixarray */
        *objects = tag & 15u;
    else if ((tag & 0xe0) == 0xa0) /* fixstr */
        *bytes += tag & 31u;
    else if ((tag >= 0xc4 && tag <= 0xc6) || (tag >= 0xd9 && tag <= 0xdb)) /* bin, str */
        *bytes += n;
    else if (tag >= 0xc7 && tag <= 0xc9) /* ext; the low byte of n is its type */
        *bytes += n >> 8;
    else if (tag == 0xdc || tag == 0xdd) /* array */
        *objects = n;
    else if (tag == 0xde || tag == 0xdf) /* map */
        *objects = 2 * n;
}

static bool bounded(const uint8_t *p, size_t left)
{
    uint64_t want[DEPTH_MAX + 1] = {1}; /* objects still to come, by depth */
    uint64_t total = 1;
    int depth = 0;

    while (depth >= 0) {
        if (want[depth] == 0) {
            depth--;
            continue;
        }
        if (total > left) /* an object is at least one byte */
            return false;
        unsigned tag = *p++;
        uint64_t n = 0, objects = 0,
                 bytes = tag >= 0xc0 && tag <= 0xdf ? header_bytes[tag - 0xc0] : 0;
        want[depth]--, total--, left--;
        if (bytes > left)
            return false;
        for (size_t i = 0; i < bytes && i < 8; i++)
            n = n << 8 | p[i];
        head(tag, n, &bytes, &objects);
        if (bytes > left || objects > left)
            return false;
        p += bytes, left -= (size_t)bytes;
        if (objects > 0) {
            if (depth == DEPTH_MAX)
                return false;
            want[++depth] = objects;
            total += objects;
        }
    }
    return left == 0;
}

static const char *unpack(struct msg *m, const msgpack_object_map *map)
{
    /* clang-format off */
    switch (m->type) {
#define MSG(name, doc) case MSG_##name: return unpack_msg_##name(map, &m->name);
#include "schemas/messages.def"
    case MSG_TYPE_COUNT: break;
    }
    /* clang-format on */
    return "type";
}

enum msg_err msg_decode(struct msg *m, const char *type, const char *buf, size_t len,
                        const char **field)
{
    const char *bad = NULL;
    enum msg_err err = MSG_MALFORMED;
    msgpack_unpacked u;
    size_t off = 0;

    if (field)
        *field = NULL;
    memset(m, 0, sizeof *m);
    for (m->type = 0; m->type < MSG_TYPE_COUNT; m->type++)
        if (strcmp(msg_name[m->type], type) == 0)
            break;
    if (m->type == MSG_TYPE_COUNT)
        return MSG_UNKNOWN_TYPE;
    if (len > MSG_SIZE_MAX || !bounded((const uint8_t *)buf, len))
        return MSG_MALFORMED;

    msgpack_unpacked_init(&u);
    if (msgpack_unpack_next(&u, buf, len, &off) == MSGPACK_UNPACK_SUCCESS &&
        u.data.type == MSGPACK_OBJECT_MAP) {
        bad = unpack(m, &u.data.via.map);
        err = bad ? MSG_BAD_FIELD : MSG_OK;
    }
    msgpack_unpacked_destroy(&u);
    if (field)
        *field = bad;
    return err;
}
