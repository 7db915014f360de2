/*
 * moves.c - sessions of a relay that drains go to others: both sides get their order once more, with another relay.
 *
 * The relay says hello often while it drains, and each hello moves some, so that the others are not met by all
 * binds at once.
 */
#include "services/coordinator/parts.h"

enum { LOOKS = 32768, MOVES = 64 }; /* a hello */

static bool is_movable(const struct coordinator *c, const struct coordinator_session *s,
                       const struct coordinator_relay *from)
{
    return (s->state == COORD_DIRECT || s->state == COORD_HALF || s->state == COORD_RELAYED) &&
           addr_eq(&s->relay, &from->addr) && coordinator_conn(c, s, 0) != 0 &&
           coordinator_conn(c, s, 1) != 0;
}

/* A raw session that is direct has no socket at its relay any more. */
static bool is_carried(const struct coordinator_session *s)
{
    return s->mode == MODE_MANAGED || s->state == COORD_RELAYED;
}

/* Where there is no other with room the session stays. */
bool coordinator_move(struct coordinator *c, struct coordinator_session *s, struct outputs *out)
{
    struct coordinator_relay *to = coordinator_choose_relay(c, s);

    if (!to || !is_carried(s) || addr_eq(&to->addr, &s->relay))
        return false;
    s->relay_before = s->relay;
    s->relay = to->addr;
    to->assigned++;
    c->n.relays_changed++;
    for (unsigned side = 0; side < 2; side++)
        coordinator_send_order(c, s, side, out);
    return true;
}

void coordinator_move_sessions(struct coordinator *c, const struct coordinator_relay *from,
                               struct outputs *out)
{
    uint32_t all = c->sessions_by_id.capacity, moved = 0;

    for (uint32_t looked = 0; looked < LOOKS && looked < all && moved < MOVES; looked++) {
        uint32_t i = c->move_at++ % all;
        if (out->n + 2 > OUTPUTS_MAX)
            return;
        if (table_used(&c->sessions_by_id, i) && is_movable(c, &c->sessions[i], from))
            moved += coordinator_move(c, &c->sessions[i], out);
    }
}
