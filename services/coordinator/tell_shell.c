/*
 * tell_shell.c - a peer's question about its own session: the core has decided who may know, here the answer
 * is written, in as many messages as it needs.
 */
#include "services/coordinator/admin_shell.h"

#include <stdlib.h>

enum { PARTS_MAX = 16, PART_BYTES = sizeof((struct msg_explained *)0)->json.b };

/* Split text over this message, which is the first part, and more behind the others. */
static void put(struct outputs *out, size_t at, const char *text)
{
    const uint32_t conn = out->v[at].to_conn;
    struct msg_explained *first = &out->v[at].msg.explained;
    size_t len = strlen(text), parts = (len + PART_BYTES - 1) / PART_BYTES;

    if (parts > PARTS_MAX || out->n + parts > OUTPUTS_MAX) {
        msg_text(first->kind, sizeof first->kind, "overloaded");
        return;
    }
    first->parts = (uint16_t)parts;
    for (size_t i = 0; i < parts; i++) {
        struct msg_explained *m = i == 0 ? first : &emit_peer(out, conn, MSG_explained)->explained;
        size_t n = len < PART_BYTES ? len : PART_BYTES;
        m->session = first->session;
        m->part = (uint16_t)i;
        m->parts = (uint16_t)parts;
        m->json.len = (uint16_t)n;
        memcpy(m->json.b, text, n);
        text += n;
        len -= n;
    }
}

void coordinator_tell(const struct coordinator *c, struct outputs *out)
{
    size_t n = out->n; /* what is added are other parts */

    for (size_t i = 0; i < n; i++) {
        struct output *o = &out->v[i];
        if (o->kind != OUT_MSG || o->msg.type != MSG_explained || o->msg.explained.kind[0] != '\0')
            continue;
        const struct coordinator_session *s = coordinator_session(c, &o->msg.explained.session);
        json_t *value = coordinator_explain_json(c, s, c->now_us);
        char *text = json_dumps(value, JSON_COMPACT);
        put(out, i, text ? text : "{}");
        free(text);
        json_decref(value);
    }
}
