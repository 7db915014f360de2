/*
 * parts.h - what the files of the coordinator's core share: who calls whom.
 *
 *   coordinator.c  dispatches inputs and deadlines
 *   enrol.c        which keys may come in
 *   budgets.c      what a peer, an ip, a target's callers and all may have
 *   peers.c        attachments, names
 *   reflex.c       tokens, reports, profiles
 *   spares.c       sockets that are kept for raw hand-over
 *   requests.c     punch requests, until the target is known
 *   consent.c      accept policies: does the target (and under an operator's request the initiator) take the call?
 *   sessions.c     the state table, enter(), refusals, deadlines
 *   links.c        the lists that sessions are in
 *   orders.c       plans, and the orders that carry them
 *   tickets.c      tickets for relays
 *   moves.c        sessions of a relay that drains, to others
 *   learned.c      what worked before between the two
 *   instants.c     where NATs stand right before an attempt, and the instant for both to begin
 *   results.c      what executors and relays say of a session, and how it settles
 *   fleet.c        probers and relays
 *   operate.c      what an operator changes while it runs
 */
#ifndef COORDINATOR_PARTS_H
#define COORDINATOR_PARTS_H

#include "services/coordinator/coordinator.h"

enum { OTHER_SIDE_UNKNOWN = 2 };

/* A question to the store: unique, and names the slot that asks. */
uint64_t coordinator_tag(struct coordinator *c, uint32_t slot);
uint32_t coordinator_tag_slot(uint64_t tag);
/* The session whose open question the store answers with this tag, or NULL; the question is open no longer. */
struct coordinator_session *coordinator_session_that_asked(struct coordinator *c, uint64_t tag);

/* enrol.c */
void coordinator_on_enrol(struct coordinator *c, const struct input *in, struct outputs *out);
void coordinator_on_enrolment_written(struct coordinator *c, const struct input *in,
                                      struct outputs *out);

/* budgets.c */
void coordinator_unlimited(struct coordinator_peer *p,
                           enum coordinator_limit limit); /* one of those counted was none */
bool coordinator_limited(struct coordinator *c, struct coordinator_peer *p,
                         enum coordinator_limit limit); /* counts one, true when it is too many */
bool coordinator_spent(const struct coordinator *c, const struct coordinator_peer *p,
                       enum coordinator_limit limit); /* one more would be too many */
uint32_t coordinator_retry_ms(const struct coordinator *c,
                              const struct coordinator_peer *p); /* until its minute is over */
/* 0, or how long to wait: until this ip may have one more, or all together; it counts. */
uint32_t coordinator_enrol_source_wait_ms(struct coordinator *c, const struct addr *source);
uint32_t coordinator_enrol_wait_ms(struct coordinator *c);
uint32_t coordinator_join_wait_ms(struct coordinator *c, const struct addr *source);
uint32_t coordinator_request_wait_ms(struct coordinator *c, const struct coordinator_peer *p);
/* Until p may call this target. */
uint32_t coordinator_call_wait_ms(struct coordinator *c, const struct coordinator_peer *p,
                                  struct coordinator_peer *target);

/* peers.c; a slot is an index into c->peers */
void coordinator_on_attach(struct coordinator *c, const struct input *in, struct outputs *out);
void coordinator_on_row_written(struct coordinator *c, const struct input *in, struct outputs *out);
void coordinator_on_detach(struct coordinator *c, struct coordinator_peer *p, struct outputs *out);
void coordinator_peer_due(struct coordinator *c, uint32_t slot, struct outputs *out);
uint32_t coordinator_peer_slot(struct coordinator *c,
                               const struct peer_id *id);           /* finds or makes */
void coordinator_peer_unused(struct coordinator *c, uint32_t slot); /* forget it if it is */
bool coordinator_is_mapped(const struct coordinator *c, const struct coordinator_peer *p);
bool coordinator_peer_present(const struct coordinator_peer *p);
void coordinator_kick(struct coordinator *c,
                      const struct coordinator_peer *p); /* its sessions look again */

/* reflex.c */
void coordinator_on_reflex_report(struct coordinator *c, struct coordinator_peer *p,
                                  const struct msg_reflex_report *m, struct outputs *out);
void coordinator_on_nat_profile(struct coordinator *c, const struct msg_nat_profile *m,
                                struct outputs *out);
void coordinator_take_tokens(struct coordinator *c, struct coordinator_peer *p,
                             const struct msg_token_list *tokens);
struct msg_token_list coordinator_fresh_tokens(const struct coordinator *c,
                                               const struct coordinator_peer *p); /* newest first */

/* spares.c */
void coordinator_take_spares(struct coordinator *c, struct coordinator_peer *p,
                             const struct msg_reflex_report *m);
bool coordinator_has_spare(const struct coordinator *c, struct coordinator_peer *p);
/* The tokens of the peer's next spare, which is this side's from now on; none when there is none. */
struct msg_token_list coordinator_spend_spare(const struct coordinator *c,
                                              struct coordinator_peer *p,
                                              struct coordinator_side *side);
void coordinator_forget_spares(struct coordinator_peer *p); /* another process numbers anew */

/* requests.c */
/* Ask the store about what record says; the answer comes back to this session. */
struct output *coordinator_ask_store(struct coordinator *c, struct coordinator_session *s,
                                     enum store_op op, struct outputs *out);
void coordinator_on_punch_request(struct coordinator *c, struct coordinator_peer *p,
                                  const struct msg_punch_request *m, struct outputs *out);
/* The operator brings two peers together. */
void coordinator_on_operator_request(struct coordinator *c, const struct msg_punch_request *m,
                                     struct outputs *out);
void coordinator_on_looked_up(struct coordinator *c, const struct input *in, struct outputs *out);

/* consent.c */
/* Let the asked side's policy decide.  False when the session was refused. */
bool coordinator_seek_consent(struct coordinator *c, struct coordinator_session *s,
                              struct outputs *out);
/* Put the open question again where it may have been lost. */
void coordinator_repeat_question(struct coordinator *c, struct coordinator_session *s,
                                 struct outputs *out);
void coordinator_on_contact_looked_up(struct coordinator *c, const struct input *in,
                                      struct outputs *out);
void coordinator_on_invite_answer(struct coordinator *c, const struct coordinator_peer *p,
                                  const struct msg_invite_answer *m, struct outputs *out);
/* Its time is over. */
void coordinator_unanswered(struct coordinator *c, struct coordinator_session *s,
                            struct outputs *out);

/* sessions.c */
struct coordinator_session *coordinator_session_open(struct coordinator *c, const struct sid *id,
                                                     uint32_t initiator, struct outputs *out);
void coordinator_enter(struct coordinator *c, struct coordinator_session *s,
                       enum coordinator_state to, const char *why, struct outputs *out);
void coordinator_refuse(struct coordinator *c, struct coordinator_session *s, const char *kind,
                        enum verdict verdict, const char *why, struct outputs *out);
void coordinator_advance(struct coordinator *c, struct coordinator_session *s, struct outputs *out);
/* The connection of a side that is here, else 0: then nothing is sent to it. */
uint32_t coordinator_conn(const struct coordinator *c, const struct coordinator_session *s,
                          unsigned side);

void coordinator_close(struct coordinator *c, struct coordinator_session *s, unsigned by,
                       const char *kind, const char *why, struct outputs *out);
void coordinator_session_due(struct coordinator *c, uint32_t slot, struct outputs *out);
void coordinator_touch(struct coordinator *c, struct coordinator_session *s);
struct coordinator_session *coordinator_find(struct coordinator *c, const struct sid *id);
uint32_t coordinator_session_slot(const struct coordinator *c, const struct coordinator_session *s);

/* links.c */
void coordinator_session_link(struct coordinator *c, struct coordinator_session *s, unsigned side,
                              uint32_t peer);
void coordinator_session_unlink(struct coordinator *c, struct coordinator_session *s,
                                unsigned side);
void coordinator_closed_append(struct coordinator *c, struct coordinator_session *s);
void coordinator_closed_remove(struct coordinator *c, const struct coordinator_session *s);

/* orders.c */
enum { COORD_ADVANCE_OUTPUTS = 8 }; /* what moving one session can emit, at most */
void coordinator_order(struct coordinator *c, struct coordinator_session *s, struct outputs *out);
/* To both sides, which know each other from here on. */
void coordinator_send_orders(struct coordinator *c, struct coordinator_session *s,
                             struct outputs *out);
void coordinator_renew(struct coordinator *c, const struct coordinator_peer *p,
                       const struct sid *id, struct outputs *out);
void coordinator_send_order(struct coordinator *c, struct coordinator_session *s, unsigned side,
                            struct outputs *out);

/* tickets.c */
/* This side's ticket and relay go into its order; nothing when there is no relay. */
void coordinator_put_ticket(struct coordinator *c, struct coordinator_session *s, unsigned side,
                            struct msg_punch_coordinate *m);
/* New tickets for a session that is settled, when it is time; and when a side asks, each COORD_TICKET_AGAIN_MS. */
void coordinator_renew_tickets(struct coordinator *c, struct coordinator_session *s,
                               struct outputs *out);
void coordinator_reseal(struct coordinator *c, struct coordinator_session *s, struct outputs *out);

/* learned.c */
/* Ask for the history of the two; false when there is nothing to ask for, or it was asked. */
bool coordinator_recall(struct coordinator *c, struct coordinator_session *s, struct outputs *out);
void coordinator_on_recalled(struct coordinator *c, const struct input *in, struct outputs *out);
/* The session has come to this state: does that say something of its technique? */
void coordinator_learn(struct coordinator *c, struct coordinator_session *s,
                       enum coordinator_state to, struct outputs *out);
/* instants.c */
enum { COORD_INSTANTS_MAX = 8 }; /* rounds in one order */
void coordinator_on_punch_sample(struct coordinator *c, const struct coordinator_peer *p,
                                 const struct msg_punch_sample *m, struct outputs *out);

/* results.c */
/* Is this a session that the asker takes part in?  What it is told of it the shell puts in. */
void coordinator_on_explain(struct coordinator *c, const struct input *in, struct outputs *out);
/* The session, when it has an order and this peer takes part in it; *side is the peer's. */
struct coordinator_session *coordinator_own_session(struct coordinator *c,
                                                    const struct coordinator_peer *p,
                                                    const struct sid *id, unsigned *side);
void coordinator_on_punch_ack(struct coordinator *c, const struct coordinator_peer *p,
                              const struct msg_punch_ack *m, struct outputs *out);
void coordinator_on_punch_result(struct coordinator *c, const struct coordinator_peer *p,
                                 const struct msg_punch_result *m, struct outputs *out);
void coordinator_on_punch_cancel(struct coordinator *c, const struct coordinator_peer *p,
                                 const struct msg_punch_cancel *m, struct outputs *out);
void coordinator_on_operator_cancel(struct coordinator *c, const struct msg_punch_cancel *m,
                                    struct outputs *out);
void coordinator_on_relay_refused(struct coordinator *c, const struct coordinator_peer *p,
                                  const struct msg_relay_refused *m, struct outputs *out);
void coordinator_on_relay_usage(struct coordinator *c, const struct input *in);
void coordinator_silence(struct coordinator *c, struct coordinator_session *s, struct outputs *out);
void coordinator_settle_by_one(struct coordinator *c, struct coordinator_session *s,
                               struct outputs *out);

/* fleet.c */
void coordinator_on_prober_hello(struct coordinator *c, const struct msg_prober_hello *m);
void coordinator_on_relay_hello(struct coordinator *c, const struct input *in, struct outputs *out);
bool coordinator_relay_expected(const struct coordinator *c);
struct prober_list coordinator_live_probers(const struct coordinator *c);
/* For this session, and not one that it has tried; or NULL. */
struct coordinator_relay *coordinator_choose_relay(struct coordinator *c,
                                                   const struct coordinator_session *s);
struct coordinator_relay *coordinator_relay_at(struct coordinator *c, const struct addr *a);
struct place_list coordinator_places(const struct coordinator *c);
struct prober_list coordinator_near_relays(const struct coordinator *c); /* to be measured */
/* Another relay for a settled session, when there is one. */
bool coordinator_move(struct coordinator *c, struct coordinator_session *s, struct outputs *out);
/* Some of those that this one carries. */
void coordinator_move_sessions(struct coordinator *c, const struct coordinator_relay *from,
                               struct outputs *out);
void coordinator_assign_relay(struct coordinator *c, struct coordinator_session *s);
bool coordinator_token_ok(struct coordinator *c, const struct msg_token *raw,
                          const struct peer_id *peer, struct coordinator_token *out);

#endif
