/* msg_format.c - messages as one line of text, for logs and test transcripts; see msg.h. */
#include "lib/msg.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct text {
    char *p;
    size_t cap, len;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(t->p + t->len, t->cap - t->len, fmt, ap);
    va_end(ap);
    t->len += (size_t)n < t->cap - t->len ? (size_t)n : t->cap - t->len - 1;
}

static void put_hex(struct text *t, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put(t, "%02x", p[i]);
}

static void format_u16(struct text *t, const msg_u16 *v) { put(t, "%u", *v); }
static void format_u32(struct text *t, const msg_u32 *v) { put(t, "%" PRIu32, *v); }
static void format_u64(struct text *t, const msg_u64 *v) { put(t, "%" PRIu64, *v); }
static void format_bool(struct text *t, const msg_bool *v) { put(t, *v ? "yes" : "no"); }
static void format_sid(struct text *t, const msg_sid *v) { put_hex(t, v->b, sizeof v->b); }

static void format_id(struct text *t, const msg_id *v)
{
    char buf[PEER_ID_TEXT];

    put(t, "%s", peer_id_none(v) ? "-" : peer_id_format(v, buf));
}

static void format_addr(struct text *t, const msg_addr *a)
{
    char buf[ADDR_TEXT_MAX];

    put(t, "%s", addr_format(a, buf, sizeof buf));
}

static void format_tokens(struct text *t, const msg_tokens *l) { put(t, "(%u)", l->n); }

static void format_profile(struct text *t, const msg_profile *p)
{
    put(t, "%s/%s/%s", behaviour_name[p->mapping], allocation_name[p->allocation],
        behaviour_name[p->filtering]);
}

static void format_plan(struct text *t, const msg_plan *p)
{
    put(t, "[");
    for (size_t i = 0; i < p->n; i++)
        put(t, "%s%u:%u", i ? "," : "", p->v[i].technique, p->v[i].role);
    put(t, "]");
}

static void format_probers(struct text *t, const msg_probers *l)
{
    put(t, "[");
    for (size_t i = 0; i < l->n; i++)
        for (size_t j = 0; j < l->v[i].n_addrs; j++) {
            put(t, i + j ? "," : "");
            format_addr(t, &l->v[i].addrs[j]);
        }
    put(t, "]");
}

static void format_places(struct text *t, const msg_places *l)
{
    put(t, "[");
    for (size_t i = 0; i < l->n; i++) {
        put(t, i ? "," : "");
        format_addr(t, &l->v[i].ip);
    }
    put(t, "]");
}

static void format_daykeys(struct text *t, const msg_daykeys *l)
{
    put(t, "[");
    for (size_t i = 0; i < l->n; i++)
        put(t, "%s%02x%02x:%u", i ? "," : "", l->v[i].prober[0], l->v[i].prober[1], l->v[i].day);
    put(t, "]");
}

static void format_observations(struct text *t, const msg_observations *l)
{
    put(t, "[");
    for (size_t i = 0; i < l->n; i++) {
        put(t, "%s%u>", i ? "," : "", l->v[i].sock);
        format_addr(t, &l->v[i].seen);
    }
    put(t, "]");
}

static void format_tried(struct text *t, const msg_tried *l)
{
    put(t, "[");
    for (size_t i = 0; i < l->n; i++)
        put(t, "%s%u:%u/%u", i ? "," : "", l->v[i].technique, l->v[i].sent, l->v[i].received);
    put(t, "]");
}

/* clang-format off */
#define MSG(name, doc)                                                                             \
    static void format_msg_##name(struct text *t, const struct msg_##name *m)                      \
    {                                                                                              \
        put(t, "%s", #name);
#define FIELD(kind, name) put(t, " %s=", #name), format_##kind(t, &m->name);
#define OPT FIELD
#define TEXT(name, max) put(t, " %s=%s", #name, m->name);
#define BLOB(name, max) put(t, " %s=(%u)", #name, m->name.len);
#define END(name) }
#include "schemas/messages.def"
/* clang-format on */

void msg_format(const struct msg *m, char *buf, size_t cap)
{
    struct text t = {buf, cap, 0};

    buf[0] = '\0';
    /* clang-format off */
    switch (m->type) {
#define MSG(name, doc) case MSG_##name: format_msg_##name(&t, &m->name); break;
#include "schemas/messages.def"
    case MSG_TYPE_COUNT: break;
    }
    /* clang-format on */
}
