/*
 * consent.c - accept policies: does the target take the call?  One that the operator asked for needs the
 * initiator's consent as well, after the target's.
 *
 *   anyone   yes
 *   known    when the two have had a session before, whoever called whom; the store remembers
 *   ask      when the target says so, within COORD_ASK_MS
 *   nobody   no
 *
 * Each call to a target that has not accepted counts for its caller's minute, a question from the moment
 * it is put: nobody is rung up more often than that.
 */
#include "services/coordinator/parts.h"

/* Why a side does not take the call. */
static const struct {
    const char *policy, *mode, *unknown, *answer, *silence;
} refusal[2] = {
    {"the initiator does not accept this key", "the initiator does not take this mode",
     "the initiator does not know this key", "the initiator was asked and refused",
     "the initiator did not say that it accepts"},
    {"the target does not accept this key",    "the target does not take this mode",
     "the target does not know this key",    "the target was asked and refused",
     "the target did not say that it accepts"   },
};

static void reject(struct coordinator *c, struct coordinator_session *s, const char *why,
                   struct outputs *out)
{
    c->n.rejections++;
    coordinator_refuse(c, s, "rendezvous-rejected", VERDICT_not_accepted, why, out);
}

void coordinator_unanswered(struct coordinator *c, struct coordinator_session *s,
                            struct outputs *out)
{
    reject(c, s, refusal[s->asked].silence, out);
}

static bool too_many(struct coordinator *c, struct coordinator_session *s, struct outputs *out)
{
    if (s->by_operator || !coordinator_limited(c, &c->peers[s->side[0].peer], COORD_LIMIT_REJECTED))
        return false;
    c->n.rejections++;
    coordinator_refuse(c, s, "rate-limited", VERDICT_rate_limited,
                       "too many calls that were not accepted", out);
    return true;
}

/* It says no, without having been asked anything. */
static void turn_away(struct coordinator *c, struct coordinator_session *s, const char *why,
                      struct outputs *out)
{
    if (!too_many(c, s, out))
        reject(c, s, why, out);
}

/* The asked side takes the call. */
static void give(struct coordinator *c, struct coordinator_session *s, struct outputs *out)
{
    s->consent = CONSENT_GIVEN;
    coordinator_touch(c, s); /* measuring has its own time */
    coordinator_advance(c, s, out);
}

static void look_up(struct coordinator *c, struct coordinator_session *s, struct outputs *out)
{
    struct output *o = coordinator_ask_store(c, s, STORE_GET_CONTACT, out);

    o->store.record.peer = s->side[s->asked].id;
    o->store.other = s->side[!s->asked].id;
}

void coordinator_repeat_question(struct coordinator *c, struct coordinator_session *s,
                                 struct outputs *out)
{
    const struct coordinator_side *caller = &s->side[!s->asked];
    uint32_t conn = coordinator_conn(c, s, s->asked);
    int64_t left_us = s->deadline_us - c->now_us;

    if (s->consent != CONSENT_ASKED || conn == 0 || conn == s->invited_conn || left_us <= 0)
        return;
    struct msg_invite *m = &emit_peer(out, conn, MSG_invite)->invite;
    m->session = s->id;
    m->peer = caller->id;
    memcpy(m->name, caller->name, sizeof m->name);
    m->mode = s->mode;
    m->timeout_ms = (uint32_t)(left_us / 1000);
    s->invited_conn = conn;
}

bool coordinator_seek_consent(struct coordinator *c, struct coordinator_session *s,
                              struct outputs *out)
{
    static const uint8_t first[ACCEPT_COUNT] = {
        [ACCEPT_ANYONE] = CONSENT_GIVEN,
        [ACCEPT_KNOWN] = CONSENT_LOOKED_UP,
        [ACCEPT_ASK] = CONSENT_ASKED,
        [ACCEPT_NOBODY] = CONSENT_UNDECIDED,
    };
    const struct coordinator_peer *asked = &c->peers[s->side[s->asked].peer];

    if (asked->accept == ACCEPT_NOBODY) {
        turn_away(c, s, refusal[s->asked].policy, out);
        return false;
    }
    if (!(asked->modes & 1u << s->mode)) {
        coordinator_refuse(c, s, "bad-request", VERDICT_mode_mismatch, refusal[s->asked].mode, out);
        return false;
    }
    if (asked->accept == ACCEPT_ASK && too_many(c, s, out))
        return false;
    s->consent = first[asked->accept];
    if (s->state == COORD_REQUESTED)
        coordinator_enter(c, s, COORD_INVITING, "both are attached", out);
    if (s->consent == CONSENT_LOOKED_UP)
        look_up(c, s, out);
    return true;
}

void coordinator_on_contact_looked_up(struct coordinator *c, const struct input *in,
                                      struct outputs *out)
{
    struct coordinator_session *s = coordinator_session_that_asked(c, in->store.tag);

    if (!s)
        return;
    if (in->store.status == STORE_OK)
        give(c, s, out);
    else if (in->store.status == STORE_NOT_FOUND)
        turn_away(c, s, refusal[s->asked].unknown, out);
    else
        coordinator_refuse(c, s, "overloaded", VERDICT_overloaded, "the store is away", out);
}

void coordinator_on_invite_answer(struct coordinator *c, const struct coordinator_peer *p,
                                  const struct msg_invite_answer *m, struct outputs *out)
{
    struct coordinator_session *s = coordinator_find(c, &m->session);

    if (!s || s->state != COORD_INVITING || s->consent != CONSENT_ASKED ||
        !peer_id_eq(&s->side[s->asked].id, &p->id)) {
        c->n.ignored++;
        return;
    }
    if (!m->accepted) {
        reject(c, s, refusal[s->asked].answer, out);
        return;
    }
    if (!s->by_operator)
        coordinator_unlimited(&c->peers[s->side[0].peer], COORD_LIMIT_REJECTED);
    give(c, s, out);
}
