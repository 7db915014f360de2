/* test_msg_fields.c - the codec, one field at a time: every field of every message, left out and spoilt. */
#include "tests/lib/random_msg.h"

#include <criterion/criterion.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>

static struct rng rng;

static void setup(void) { rng_seed(&rng, 1); }

TestSuite(msg_fields, .init = setup, .timeout = 120);

/* Every field of the schema; a message begins with a row that has no field. */
/* clang-format off */
static const struct field {
    const char *message, *name, *kind;
    size_t max;
    bool optional;
} fields[] = {
#define MSG(m, doc) {#m, NULL, NULL, 0, false},
#define FIELD(k, f) {NULL, #f, #k, 0, false},
#define OPT(k, f) {NULL, #f, #k, 0, true},
#define TEXT(f, n) {NULL, #f, "TEXT", n, false},
#define BLOB(f, n) {NULL, #f, "BLOB", n, false},
#include "schemas/messages.def"
};
/* clang-format on */

/* Calls see(type, field, the map of a maximal message, the field's index in it) for every field. */
static void each_field(void (*see)(enum msg_type type, const struct field *f,
                                   const msgpack_object_map *map, uint32_t at))
{
    unsigned type = 0;
    uint32_t at = 0;
    char body[MSG_SIZE_MAX];
    msgpack_unpacked u;

    msgpack_unpacked_init(&u);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].message) {
            type += i > 0;
            cr_assert_str_eq(fields[i].message, msg_name[type]);
            struct msg in = msg_random_full(&rng, (enum msg_type)type);
            size_t off = 0, len = msg_encode(&in, body);
            cr_assert_eq(msgpack_unpack_next(&u, body, len, &off), MSGPACK_UNPACK_SUCCESS);
            at = 0;
            continue;
        }
        const msgpack_object *key = &u.data.via.map.ptr[at].key;
        cr_assert_eq(key->via.str.size, strlen(fields[i].name));
        cr_assert_eq(memcmp(key->via.str.ptr, fields[i].name, key->via.str.size), 0);
        see((enum msg_type)type, &fields[i], &u.data.via.map, at++);
    }
    cr_assert_eq(type, MSG_TYPE_COUNT - 1);
    msgpack_unpacked_destroy(&u);
}

/* Decode the map with one value replaced, or that field left out when there is no value. */
static enum msg_err decode_with(enum msg_type type, const msgpack_object_map *map, uint32_t at,
                                const msgpack_object *value, struct msg *m, const char **field)
{
    msgpack_sbuffer sb;
    msgpack_packer pk;

    msgpack_sbuffer_init(&sb);
    msgpack_packer_init(&pk, &sb, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, map->size - (value ? 0u : 1u));
    for (uint32_t i = 0; i < map->size; i++) {
        if (i == at && !value)
            continue;
        msgpack_pack_object(&pk, map->ptr[i].key);
        msgpack_pack_object(&pk, i == at ? *value : map->ptr[i].val);
    }
    enum msg_err err = msg_decode_exact(m, type, sb.data, sb.size, field);
    msgpack_sbuffer_destroy(&sb);
    return err;
}

static void refused(enum msg_type type, const struct field *f, const msgpack_object_map *map,
                    uint32_t at, const msgpack_object *value, const char *what)
{
    struct msg m;
    const char *field = NULL;

    cr_assert_eq(decode_with(type, map, at, value, &m, &field), MSG_BAD_FIELD, "%s.%s: %s",
                 msg_name[type], f->name, what);
    cr_assert(field && strcmp(field, f->name) == 0, "%s.%s named %s", msg_name[type], f->name,
              field ? field : "nothing");
}

static void accepted(enum msg_type type, const struct field *f, const msgpack_object_map *map,
                     uint32_t at, const msgpack_object *value, const char *what)
{
    struct msg m;

    cr_assert_eq(decode_with(type, map, at, value, &m, NULL), MSG_OK, "%s.%s: %s", msg_name[type],
                 f->name, what);
}

static bool is(const struct field *f, const char *kind) { return strcmp(f->kind, kind) == 0; }

static void leave_out(enum msg_type type, const struct field *f, const msgpack_object_map *map,
                      uint32_t at)
{
    struct msg m;

    if (!f->optional)
        refused(type, f, map, at, NULL, "missing");
    else
        cr_assert_eq(decode_with(type, map, at, NULL, &m, NULL), MSG_OK);
}

Test(msg_fields, a_missing_field_is_named_and_an_optional_one_is_not_missed)
{
    each_field(leave_out);
}

Test(msg_fields, an_absent_optional_field_is_zero)
{
    static const struct sid none;
    struct msg m;

    memset(&m, 0xff, sizeof m);
    cr_assert_eq(msg_decode_exact(&m, MSG_punch_refused,
                                  "\x83\xa5nonce\x07\xa4kind\xa0\xa7verdict\xa1x", 24, NULL),
                 MSG_OK);
    cr_assert_eq(m.punch_refused.nonce, 7);
    cr_assert_str_eq(m.punch_refused.verdict, "x");
    cr_assert(sid_eq(&m.punch_refused.session, &none));
}

static void wrong_kinds(enum msg_type type, const struct field *f, const msgpack_object_map *map,
                        uint32_t at)
{
    msgpack_object list[20] = {0};
    const msgpack_object values[] = {
        {MSGPACK_OBJECT_NIL,              {0}                    },
        {MSGPACK_OBJECT_BOOLEAN,          {.boolean = true}      },
        {MSGPACK_OBJECT_POSITIVE_INTEGER, {.u64 = 1}             },
        {MSGPACK_OBJECT_NEGATIVE_INTEGER, {.i64 = -1}            },
        {MSGPACK_OBJECT_FLOAT64,          {.f64 = 1}             },
        {MSGPACK_OBJECT_STR,              {.str = {4, "abcd"}}   },
        {MSGPACK_OBJECT_BIN,              {.bin = {3, "abc"}}    },
        {MSGPACK_OBJECT_EXT,              {.ext = {1, 4, "abcd"}}},
        {MSGPACK_OBJECT_MAP,              {.map = {0, NULL}}     },
        {MSGPACK_OBJECT_ARRAY,            {.array = {1, list}}   }, /* of nil */
    };

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        msgpack_object_type t = values[i].type;
        bool fits = (t == MSGPACK_OBJECT_BOOLEAN && is(f, "bool")) ||
                    (t == MSGPACK_OBJECT_POSITIVE_INTEGER && f->kind[0] == 'u') ||
                    (t == MSGPACK_OBJECT_STR && is(f, "TEXT")) ||
                    (t == MSGPACK_OBJECT_BIN && is(f, "BLOB"));
        char what[32];
        snprintf(what, sizeof what, "value %zu", i);
        (fits ? accepted : refused)(type, f, map, at, &values[i], what);
    }
}

Test(msg_fields, a_field_of_the_wrong_kind_is_refused_and_named) { each_field(wrong_kinds); }

static msgpack_object uint_of(uint64_t v)
{
    return (msgpack_object){MSGPACK_OBJECT_POSITIVE_INTEGER, {.u64 = v}};
}

static void too_large(enum msg_type type, const struct field *f, const msgpack_object_map *map,
                      uint32_t at)
{
    static char bytes[512];
    uint64_t max = is(f, "u16")   ? UINT16_MAX
                   : is(f, "u32") ? UINT32_MAX
                   : is(f, "u64") ? UINT64_MAX
                                  : 0;

    memset(bytes, 'y', sizeof bytes);
    if (max > 0) {
        msgpack_object fits = uint_of(max), more = uint_of(max + 1);
        accepted(type, f, map, at, &fits, "largest");
        if (max < UINT64_MAX)
            refused(type, f, map, at, &more, "one more than the largest");
    }
    for (uint32_t n = 0; n < 200; n++) { /* every length of bytes */
        msgpack_object bin = {MSGPACK_OBJECT_BIN, {.bin = {n, bytes}}};
        msgpack_object str = {MSGPACK_OBJECT_STR, {.str = {n, bytes}}};
        bool fits = is(f, "id")     ? n == 32
                    : is(f, "sid")  ? n == 16
                    : is(f, "addr") ? n == 2 || n == 6 || n == 18
                                    : is(f, "BLOB") && n <= f->max;
        (fits ? accepted : refused)(type, f, map, at, &bin, "bytes");
        fits = is(f, "TEXT") && n <= f->max;
        (fits ? accepted : refused)(type, f, map, at, &str, "text");
    }
}

Test(msg_fields, numbers_texts_and_bytes_beyond_their_limit_are_refused) { each_field(too_large); }

static void nul_inside(enum msg_type type, const struct field *f, const msgpack_object_map *map,
                       uint32_t at)
{
    static const char *const texts[] = {"\0abcd", "ab\0cd", "abcd\0"};

    for (size_t i = 0; i < 3 && is(f, "TEXT"); i++) {
        msgpack_object str = {MSGPACK_OBJECT_STR, {.str = {5, texts[i]}}};
        refused(type, f, map, at, &str, "NUL inside");
    }
}

Test(msg_fields, a_text_with_a_terminator_inside_is_refused) { each_field(nul_inside); }

/* The maximal list is full: it is taken, and with one element more it is not. */
static void longer_lists(enum msg_type type, const struct field *f, const msgpack_object_map *map,
                         uint32_t at)
{
    const msgpack_object *full = &map->ptr[at].val;
    msgpack_object list[OBSERVATIONS_MAX + 64], value = *full;

    if (full->type != MSGPACK_OBJECT_ARRAY || is(f, "profile"))
        return;
    uint32_t n = full->via.array.size;
    cr_assert(n == TOKENS_MAX || n == PROBERS_MAX || n == OBSERVATIONS_MAX || n == STEPS_MAX ||
              n == PLACES_MAX || n == DAYKEYS_MAX);
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        list[i] = full->via.array.ptr[0];
    value.via.array.ptr = list;
    for (uint32_t size = 0; size <= n + 1; size++) { /* more would not fit the largest message */
        value.via.array.size = size;
        (size <= n ? accepted : refused)(type, f, map, at, &value, "list");
    }
}

Test(msg_fields, a_list_longer_than_its_array_is_refused) { each_field(longer_lists); }

/* Structures may grow by fields at their end, to a bound; none of the known ones may be missing. */
static void other_structures(enum msg_type type, const struct field *f,
                             const msgpack_object_map *map, uint32_t at)
{
    enum { SEEN = 64 };
    const msgpack_object *full = &map->ptr[at].val;
    msgpack_object inner[SEEN], element, value = *full;
    bool profile = is(f, "profile");

    if (full->type != MSGPACK_OBJECT_ARRAY || is(f, "tokens"))
        return;
    element = profile ? *full : full->via.array.ptr[0];
    uint32_t known = element.via.array.size, low = known, high = known + 8;
    cr_assert_leq(known, 16);
    for (uint32_t i = 0; i < SEEN; i++) /* appended ones are of the last one's kind */
        inner[i] = element.via.array.ptr[i < known ? i : known - 1];
    if (is(f, "probers")) /* which is a key, a certificate and up to four addresses */
        low = 2, high = 6;
    if (profile) /* of which the last eight came later */
        low = 8;
    element.via.array.ptr = inner;
    for (uint32_t size = 0; size < known + 12; size++) {
        element.via.array.size = size;
        value.via.array.size = 1;
        value.via.array.ptr = &element;
        (size >= low && size <= high ? accepted : refused)(
            type, f, map, at, profile ? &element : &value, "structure");
    }
    element.via.array.size = known; /* each known field of a wrong kind */
    for (uint32_t i = 0; i < known; i++) {
        msgpack_object good = inner[i];
        inner[i] = (msgpack_object){MSGPACK_OBJECT_NIL, {0}};
        refused(type, f, map, at, profile ? &element : &value, "nil inside");
        inner[i] = uint_of(UINT64_C(1) << 32);
        refused(type, f, map, at, profile ? &element : &value, "too large inside");
        inner[i] = good;
    }
}

Test(msg_fields, structures_may_only_grow_at_their_end_and_by_little)
{
    each_field(other_structures);
}

static void bad_tokens(enum msg_type type, const struct field *f, const msgpack_object_map *map,
                       uint32_t at)
{
    static const char bytes[256];
    msgpack_object token, value = map->ptr[at].val;

    if (!is(f, "tokens"))
        return;
    value.via.array.size = 1;
    value.via.array.ptr = &token;
    for (uint32_t n = 0; n < sizeof bytes; n++) {
        token = (msgpack_object){MSGPACK_OBJECT_BIN, {.bin = {n, bytes}}};
        (n <= MSG_TOKEN_MAX ? accepted : refused)(type, f, map, at, &value, "token");
    }
}

Test(msg_fields, a_token_longer_than_its_array_is_refused) { each_field(bad_tokens); }

static void bad_profiles(enum msg_type type, const struct field *f, const msgpack_object_map *map,
                         uint32_t at)
{
    static const struct {
        uint8_t at, top;
    } checked[] = {
        {0,  BEHAVIOUR_COUNT - 1 },
        {1,  BEHAVIOUR_COUNT - 1 },
        {2,  ALLOCATION_COUNT - 1},
        {3,  100                 },
        {8,  HAIRPIN_COUNT - 1   },
        {10, CLASH_COUNT - 1     },
        {11, POOL_COUNT - 1      }
    };
    msgpack_object inner[16], ports[2] = {uint_of(5), uint_of(0)}, many[PORTS_TAKEN_MAX + 4],
                              value = map->ptr[at].val;

    if (!is(f, "profile"))
        return;
    memcpy(inner, value.via.array.ptr, sizeof inner);
    value.via.array.ptr = inner;
    for (size_t e = 0; e < sizeof checked / sizeof *checked; e++) {
        size_t i = checked[e].at;
        msgpack_object good = inner[i];
        for (uint64_t v = 0; v < 300; v++) {
            inner[i] = uint_of(v);
            (v <= checked[e].top ? accepted : refused)(type, f, map, at, &value, "enumeration");
        }
        inner[i] = good;
    }
    inner[15] = (msgpack_object){MSGPACK_OBJECT_ARRAY, {.array = {1, ports}}};
    accepted(type, f, map, at, &value, "a taken port");
    inner[15].via.array.size = 2;
    refused(type, f, map, at, &value, "a taken port that is none");
    inner[15].via.array.size = 0;
    inner[5] = uint_of(5), inner[6] = uint_of(4);
    refused(type, f, map, at, &value, "an empty port range");
    inner[5] = uint_of(0), inner[12] = uint_of(5), inner[13] = uint_of(4);
    refused(type, f, map, at, &value, "an empty block");
    inner[12] = uint_of(4);
    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        many[i] = uint_of(4);
    for (uint32_t n = 0; n <= sizeof many / sizeof *many; n++) {
        inner[15] = (msgpack_object){MSGPACK_OBJECT_ARRAY, {.array = {n, many}}};
        (n <= PORTS_TAKEN_MAX ? accepted : refused)(type, f, map, at, &value, "taken ports");
    }
}

Test(msg_fields, a_profile_holds_values_oeits_enumerations_only) { each_field(bad_profiles); }

Test(msg_fields, unknown_fields_are_skipped_whatever_they_hold)
{
    static const struct {
        size_t len;
        const char *value;
    } values[] = {
        {1, "\xc0"                    },
        {1, "\x05"                    },
        {2, "\x91\x01"                },
        {3, "\x81\x01\x02"            },
        {3, "\xd4\x01\x02"            },
        {9, "\xcb\x7f\xf8\0\0\0\0\0\0"},
        {2, "\xa1\xff"                }
    }; /* bad UTF-8 */

    for (unsigned type = 0; type < MSG_TYPE_COUNT; type++)
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            struct msg in = msg_random(&rng, (enum msg_type)type), back;
            char body[MSG_SIZE_MAX], more[MSG_SIZE_MAX + 64];
            size_t len = msg_encode(&in, body), n = 0;
            unsigned n_fields = (uint8_t)body[0] & 15u, header = 1;
            if ((uint8_t)body[0] == 0xde)
                n_fields = (uint8_t)body[2], header = 3;
            more[n++] = (char)0xde, more[n++] = 0, more[n++] = (char)(n_fields + 2);
            memcpy(more + n,
                   "\xa5"
                   "later",
                   6),
                n += 6; /* before the known ones */
            memcpy(more + n, values[v].value, values[v].len), n += values[v].len;
            memcpy(more + n, "\xc0", 1), n += 1; /* and a key that is no text */
            memcpy(more + n, values[v].value, values[v].len), n += values[v].len;
            memcpy(more + n, body + header, len - header), n += len - header;
            cr_assert_eq(msg_decode_exact(&back, in.type, more, n, NULL),
                         n <= MSG_SIZE_MAX ? MSG_OK : MSG_MALFORMED);
            cr_assert(n > MSG_SIZE_MAX || memcmp(&in, &back, sizeof in) == 0);
        }
}

Test(msg_fields, a_body_that_is_no_map_is_refused)
{
    static const char *const bodies[] = {"\xc0", "\x07", "\x90", "\xa0", "\xc2", "\xe0", "\xc1"};
    struct msg m;

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        cr_assert_eq(msg_decode_exact(&m, MSG_detach, bodies[i], 1, NULL), MSG_MALFORMED, "%zu", i);
    cr_assert_eq(msg_decode_exact(&m, MSG_detach, "", 0, NULL), MSG_MALFORMED);
    cr_assert_eq(msg_decode_exact(&m, MSG_detach, "\x80", 1, NULL), MSG_BAD_FIELD);
}
