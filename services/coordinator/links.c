/* links.c - the lists that sessions are in: those of each peer by side, and the closed ones by age. */
#include "services/coordinator/parts.h"

void coordinator_session_link(struct coordinator *c, struct coordinator_session *s, unsigned side,
                              uint32_t peer)
{
    struct coordinator_peer *p = &c->peers[peer];
    struct coordinator_side *me = &s->side[side];

    me->id = p->id;
    memcpy(me->name, p->name, sizeof me->name);
    me->peer = peer;
    me->prev = TABLE_NONE;
    me->next = p->sessions[side];
    if (me->next != TABLE_NONE)
        c->sessions[me->next].side[side].prev = coordinator_session_slot(c, s);
    p->sessions[side] = coordinator_session_slot(c, s);
    p->n_sessions++;
}

void coordinator_session_unlink(struct coordinator *c, struct coordinator_session *s, unsigned side)
{
    struct coordinator_side *me = &s->side[side];
    uint32_t peer = me->peer;

    if (peer == TABLE_NONE)
        return;
    if (me->prev != TABLE_NONE)
        c->sessions[me->prev].side[side].next = me->next;
    else
        c->peers[peer].sessions[side] = me->next;
    if (me->next != TABLE_NONE)
        c->sessions[me->next].side[side].prev = me->prev;
    me->peer = TABLE_NONE;
    c->peers[peer].n_sessions--;
    coordinator_peer_unused(c, peer);
}

void coordinator_closed_append(struct coordinator *c, struct coordinator_session *s)
{
    uint32_t slot = coordinator_session_slot(c, s);

    s->older = c->closed_newest;
    s->newer = TABLE_NONE;
    if (s->older != TABLE_NONE)
        c->sessions[s->older].newer = slot;
    else
        c->closed_oldest = slot;
    c->closed_newest = slot;
    c->n_closed++;
}

void coordinator_closed_remove(struct coordinator *c, const struct coordinator_session *s)
{
    if (s->older != TABLE_NONE)
        c->sessions[s->older].newer = s->newer;
    else
        c->closed_oldest = s->newer;
    if (s->newer != TABLE_NONE)
        c->sessions[s->newer].older = s->older;
    else
        c->closed_newest = s->older;
    c->n_closed--;
}
