/*
 * tickets.c - what lets a session's sides use its relay, and is renewed while the session lives: with the key that
 * the relay opens tickets by, and before a ticket ends.
 */
#include "services/coordinator/parts.h"

#include "lib/ticket.h"

void coordinator_put_ticket(struct coordinator *c, struct coordinator_session *s, unsigned side,
                            struct msg_punch_coordinate *m)
{
    const struct coordinator_relay *r = coordinator_relay_at(c, &s->relay);
    struct ticket t = {
        .session = s->id,
        .side = (uint8_t)side,
        .mode = (uint8_t)s->mode,
        .expires_ms = c->wall_ms + COORD_TICKET_TTL_MS,
        .bytes_max = c->relay_bytes_max,
        .bytes_per_s = c->relay_bytes_per_s,
    };

    if (!r || !ticket_seal(&t, r->ticket_key.b, c->conf.secret, &c->rng, m->ticket.b))
        return;
    m->ticket.len = TICKET_BYTES;
    m->relay = s->relay;
    m->places = r->places;
    s->ticket_key = r->ticket_key;
    s->sealed_us = c->now_us;
}

void coordinator_reseal(struct coordinator *c, struct coordinator_session *s, struct outputs *out)
{
    if (c->now_us - s->sealed_us < COORD_TICKET_AGAIN_MS * 1000LL || s->mode != MODE_MANAGED ||
        s->relay.len == 0 || coordinator_conn(c, s, 0) == 0 || coordinator_conn(c, s, 1) == 0)
        return;
    c->n.tickets_renewed++;
    s->sealed_us = c->now_us; /* also when there is no relay to seal to: it was tried */
    for (unsigned side = 0; side < 2; side++)
        coordinator_send_order(c, s, side, out);
}

void coordinator_renew_tickets(struct coordinator *c, struct coordinator_session *s,
                               struct outputs *out)
{
    const struct coordinator_relay *r = coordinator_relay_at(c, &s->relay);
    bool settled = s->state == COORD_DIRECT || s->state == COORD_HALF || s->state == COORD_RELAYED;

    if (settled && r &&
        (!peer_id_eq(&s->ticket_key, &r->ticket_key) ||
         c->now_us - s->sealed_us >= COORD_TICKET_TTL_MS * 1000LL / 2))
        coordinator_reseal(c, s, out);
}
