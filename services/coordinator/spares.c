/*
 * spares.c - the sockets that peers keep for raw hand-over: each is probed and reported, and good for one
 * session, since the application owns it from then on.
 */
#include "services/coordinator/parts.h"

static void take(struct coordinator *c, const struct coordinator_peer *p,
                 struct coordinator_spare *s, uint32_t number, const struct addr *local,
                 const struct msg_token_list *tokens)
{
    *s = (struct coordinator_spare){0};
    bool lost = c->now_us - p->spent_us >= COORD_SPARE_LOST_MS * 1000LL;
    if (number == 0 || (number <= p->spare_spent && !lost)) /* the report has crossed the order */
        return;
    s->number = number;
    s->local = *local;
    for (unsigned i = 0; i < tokens->n && s->n_tokens < COORD_SPARE_TOKENS; i++)
        if (coordinator_token_ok(c, &tokens->v[i], &p->id, &s->tokens[s->n_tokens])) {
            c->n.tokens_taken++;
            s->n_tokens++;
        } else {
            c->n.tokens_refused++;
        }
}

void coordinator_take_spares(struct coordinator *c, struct coordinator_peer *p,
                             const struct msg_reflex_report *m)
{
    take(c, p, &p->spares[0], m->spare, &m->spare_local, &m->spare_tokens);
    take(c, p, &p->spares[1], m->spare2, &m->spare2_local, &m->spare2_tokens);
}

static bool is_fresh(const struct coordinator *c, const struct coordinator_token *t)
{
    return c->now_us - t->born_us <= TOKEN_TTL_MS * 1000LL;
}

/* The one with the lowest number: what was handed out is then known by the highest. */
static struct coordinator_spare *next_spare(const struct coordinator *c, struct coordinator_peer *p)
{
    struct coordinator_spare *next = NULL;

    for (unsigned i = 0; i < COORD_SPARES; i++) {
        struct coordinator_spare *s = &p->spares[i];
        if (s->number != 0 && s->n_tokens > 0 && is_fresh(c, &s->tokens[0]) &&
            (!next || s->number < next->number))
            next = s;
    }
    return next;
}

bool coordinator_has_spare(const struct coordinator *c, struct coordinator_peer *p)
{
    return next_spare(c, p) != NULL;
}

struct msg_token_list coordinator_spend_spare(const struct coordinator *c,
                                              struct coordinator_peer *p,
                                              struct coordinator_side *side)
{
    struct msg_token_list list = {0};
    struct coordinator_spare *s = next_spare(c, p);

    side->spare = 0;
    side->spare_local = (struct addr){0};
    if (!s)
        return list;
    for (unsigned i = 0; i < s->n_tokens; i++)
        if (is_fresh(c, &s->tokens[i]))
            list.v[list.n++] = s->tokens[i].raw;
    side->spare = p->spare_spent = s->number;
    p->spent_us = c->now_us;
    side->spare_local = s->local;
    *s = (struct coordinator_spare){0};
    return list;
}

void coordinator_forget_spares(struct coordinator_peer *p)
{
    memset(p->spares, 0, sizeof p->spares);
    p->spare_spent = 0;
}
