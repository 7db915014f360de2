/*
 * learned.c - what worked before between two peers at their addresses, and what has come of it now.
 *
 * It goes by the pair of keys, so that nobody can spoil it for others by what it reports, and by their public
 * addresses, so that another network begins anew.  Beside it, for pairs that are new to each other, by the two classes
 * of NATs, which is open to lies and so decides little (lib/history.h).
 */
#include "services/coordinator/parts.h"

#include <sodium.h>

/* The key of the two, from the tokens that orders would carry; false when a side has none. */
static bool key_of(const struct coordinator *c, const struct coordinator_session *s,
                   struct history_key *key)
{
    const struct coordinator_peer *p[2] = {&c->peers[s->side[0].peer], &c->peers[s->side[1].peer]};
    bool swap = memcmp(p[0]->id.b, p[1]->id.b, sizeof p[0]->id.b) > 0;
    crypto_generichash_blake2b_state st;

    crypto_generichash_blake2b_init(&st, NULL, 0, sizeof key->b);
    for (unsigned i = 0; i < 2; i++) {
        const struct coordinator_peer *one = p[i ^ (unsigned)swap];
        struct msg_token_list tokens = coordinator_fresh_tokens(c, one);
        struct token t;
        if (tokens.n == 0 || !token_read(&tokens.v[0], &t))
            return false;
        crypto_generichash_blake2b_update(&st, one->id.b, sizeof one->id.b);
        crypto_generichash_blake2b_update(&st, &t.addr.len, sizeof t.addr.len);
        crypto_generichash_blake2b_update(&st, t.addr.ip, t.addr.len);
    }
    crypto_generichash_blake2b_final(&st, key->b, sizeof key->b);
    return true;
}

/* The key of their classes; a port mapping is as good as another class. */
static struct history_key key_of_classes(const struct coordinator *c,
                                         const struct coordinator_session *s)
{
    uint8_t class[2][4] = {{0}};
    struct history_key key;

    for (unsigned i = 0; i < 2; i++) {
        const struct coordinator_peer *p = &c->peers[s->side[i].peer];
        if (p->has_profile) {
            class[i][0] = p->profile.mapping;
            class[i][1] = p->profile.allocation;
            class[i][2] = p->profile.filtering;
            class[i][3] = p->profile.mapped;
        }
    }
    bool swap = memcmp(class[0], class[1], sizeof class[0]) > 0;
    crypto_generichash_blake2b_state st;
    crypto_generichash_blake2b_init(&st, NULL, 0, sizeof key.b);
    crypto_generichash_blake2b_update(&st, class[swap], sizeof class[0]);
    crypto_generichash_blake2b_update(&st, class[!swap], sizeof class[0]);
    crypto_generichash_blake2b_final(&st, key.b, sizeof key.b);
    return key;
}

static void ask(struct coordinator *c, struct coordinator_session *s, const struct history_key *key,
                struct outputs *out)
{
    coordinator_ask_store(c, s, STORE_GET_HISTORY, out)->store.outcome =
        (struct outcome){.key = *key};
}

bool coordinator_recall(struct coordinator *c, struct coordinator_session *s, struct outputs *out)
{
    if (s->recalled || s->redriven || s->policy != POLICY_AUTO)
        return false;
    s->recalled = true;
    s->has_history_key = key_of(c, s, &s->history_key);
    if (!s->has_history_key)
        return false;
    s->classes_key = key_of_classes(c, s);
    ask(c, s, &s->history_key, out);
    return true;
}

/* Has something worked between the two?  Then that is what counts. */
static bool is_proven(const struct history *h)
{
    for (unsigned t = 0; t < TECHNIQUE_COUNT; t++)
        if (h->by[t].hits > 0)
            return true;
    return false;
}

void coordinator_on_recalled(struct coordinator *c, const struct input *in, struct outputs *out)
{
    struct coordinator_session *s = coordinator_session_that_asked(c, in->store.tag);

    if (!s)
        return;
    if (in->store.status == STORE_OK && s->recalls_classes)
        history_prior(&s->history, &in->store.history);
    else if (in->store.status == STORE_OK)
        s->history = in->store.history;
    if (!s->recalls_classes && !is_proven(&s->history)) {
        s->recalls_classes = true;
        ask(c, s, &s->classes_key, out);
        return;
    }
    coordinator_advance(c, s, out);
}

/* Did the technique itself fail, and not something around it? */
static bool missed(enum verdict v)
{
    return v == VERDICT_punch_unanswered || v == VERDICT_birthday_missed ||
           v == VERDICT_prediction_missed || v == VERDICT_block_missed || v == VERDICT_no_hairpin ||
           v == VERDICT_one_way || v == VERDICT_direct_only || v == VERDICT_pool_missed;
}

/* Guessing takes many sockets, which a peer has for one session at a time: then this is none of the pair's. */
static bool stood_aside(const struct coordinator_side *side, uint8_t technique)
{
    if (technique != TECHNIQUE_BIRTHDAY && technique != TECHNIQUE_PREDICTION)
        return false;
    for (unsigned i = 0; i < side->tried.n; i++)
        if (side->tried.v[i].technique == technique)
            return side->tried.v[i].sent == 0;
    return false;
}

static void put(const struct history_key *key, uint8_t technique, bool hit, struct outputs *out)
{
    struct output *o = outputs_add(out, OUT_STORE);

    memset(&o->store, 0, sizeof o->store);
    o->store.op = STORE_PUT_OUTCOME;
    o->store.outcome = (struct outcome){.key = *key, .technique = technique, .hit = hit};
}

void coordinator_learn(struct coordinator *c, struct coordinator_session *s,
                       enum coordinator_state to, struct outputs *out)
{
    bool hit = to == COORD_DIRECT, both = s->side[0].reported && s->side[1].reported;
    uint8_t technique = s->plan.n > 0 ? s->plan.v[0].technique : TECHNIQUE_NONE;

    (void)c;
    if (!s->has_history_key || technique == TECHNIQUE_NONE || technique == TECHNIQUE_RELAYED ||
        (!hit && (s->counted || !both || !missed(s->verdict) ||
                  stood_aside(&s->side[0], technique) || stood_aside(&s->side[1], technique))))
        return;
    put(&s->history_key, technique, hit, out);
    const struct past *before = &s->history.by[technique];
    if (before->hits == 0 && (hit || before->misses == 0)) /* a pair of peers counts once */
        put(&s->classes_key, technique, hit, out);
}
