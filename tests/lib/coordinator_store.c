/* coordinator_store.c - the store of coordinator_bed.h: rows in memory, away when told. */
#include "tests/lib/coordinator_bed.h"

#include <criterion/criterion.h>

static struct dir_record *row(struct bed *b, const struct peer_id *peer, const char *name)
{
    for (size_t i = 0; i < b->store.n; i++)
        if (peer ? peer_id_eq(&b->store.v[i].peer, peer) : strcmp(b->store.v[i].name, name) == 0)
            return &b->store.v[i];
    return NULL;
}

static enum store_status put(struct bed *b, const struct dir_record *r)
{
    struct dir_record *named = r->name[0] ? row(b, NULL, r->name) : NULL;
    struct dir_record *own = row(b, &r->peer, NULL);

    if (named && !peer_id_eq(&named->peer, &r->peer))
        return STORE_NAME_TAKEN;
    if (r->name[0] && !named && b->store.names_spent)
        return STORE_NAMES_SPENT;
    if (own && (r->epoch < own->epoch || (r->epoch == own->epoch && r->seq < own->seq)))
        return STORE_STALE;
    if (!own) {
        cr_assert_lt(b->store.n, BED_PEERS);
        own = &b->store.v[b->store.n++];
    }
    *own = *r;
    b->store.puts++;
    return STORE_OK;
}

static struct history *history(struct bed *b, const struct history_key *key)
{
    size_t i = 0;

    while (i < b->store.n_histories && memcmp(&b->store.histories[i].key, key, sizeof *key) != 0)
        i++;
    cr_assert_lt(i, BED_HISTORIES);
    if (i == b->store.n_histories)
        b->store.histories[b->store.n_histories++].key = *key;
    return &b->store.histories[i].is;
}

struct input coordinator_bed_answer(struct bed *b, const struct output *o)
{
    struct input in = {.kind = IN_STORE};
    const struct dir_record *found;

    in.store.op = o->store.op;
    in.store.tag = o->store.tag;
    in.store.record = o->store.record;
    if (b->store.away) {
        in.store.status = STORE_AWAY;
    } else if (o->store.op == STORE_PUT) {
        in.store.status = put(b, &o->store.record);
    } else if (o->store.op == STORE_PUT_CONTACT) {
        cr_assert_lt(b->store.n_contacts, BED_CONTACTS);
        b->store.contacts[b->store.n_contacts][0] = o->store.record.peer;
        b->store.contacts[b->store.n_contacts++][1] = o->store.other;
    } else if (o->store.op == STORE_GET_CONTACT) {
        in.store.status = STORE_NOT_FOUND;
        for (size_t i = 0; i < b->store.n_contacts; i++)
            for (int k = 0; k < 2; k++)
                if (peer_id_eq(&b->store.contacts[i][k], &o->store.record.peer) &&
                    peer_id_eq(&b->store.contacts[i][!k], &o->store.other))
                    in.store.status = STORE_OK;
    } else if (o->store.op == STORE_GET_HISTORY && b->store.learns) {
        in.store.history = *history(b, &o->store.outcome.key);
    } else if (o->store.op == STORE_PUT_OUTCOME && b->store.learns) {
        history_add(history(b, &o->store.outcome.key), o->store.outcome.technique,
                    o->store.outcome.hit, BED_WALL_START_MS + b->now_us / 1000);
    } else if (o->store.op != STORE_PUT_ENROLLED && o->store.op != STORE_PUT_OUTCOME &&
               o->store.op != STORE_GET_HISTORY) {
        bool by_name = o->store.op == STORE_GET_NAME;
        found = by_name ? row(b, NULL, o->store.record.name) : row(b, &o->store.record.peer, NULL);
        in.store.status = found ? STORE_OK : STORE_NOT_FOUND;
        if (found)
            in.store.record = *found;
    }
    return in;
}
