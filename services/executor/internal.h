/*
 * internal.h - what the executor core's files share; not for others.
 *
 *   executor.c   who gets which input, and what is due next
 *   attach.c     this peer at its coordinator
 *   app.c        the application: what it asks for and is told
 *   network.c    another network, or another address
 *
 * What the own NAT does:
 *   probe.c      rounds of STUN with signed tokens; what the rest is told of them
 *   filter.c     what it lets in             hairpin.c    what it brings back from its own outside
 *   range.c      which ports it draws from   lifetime.c   how long it keeps a mapping
 *   early.c      what comes too early        override.c   a port mapping that the operator tells of
 *
 * An attempt, from the order to a path:
 *   attempt.c    its states, what is due in which   order.c     a punch_coordinate becomes keys and candidates
 *   settle.c     its outcome and verdict            aim.c       where packets may go
 *   punch.c      punch and pong, on both ways       prime.c     opening the own NAT and no more
 *   pool.c       many sockets                       birthday.c  and many ports
 *   scan.c       in both sides' blocks              guess.c     how these two end
 *   look.c       where the own NAT stands           foresee.c   and will stand: forecast.h
 *
 * A path that lives:
 *   flow.c       data, and which way it goes        alive.c     does that way work?  health.h
 *   relayed.c    the relay's client                 hush.c      a silent flow, perhaps of another relay process
 *   relays.c     how far relays are                 swap.c      from one to another
 *   half.c       one direction directly             upgrade.c   from the relay to direct, later
 *   moved.c      another address on either side
 *
 * Raw hand-over:
 *   spare.c      probed sockets for it              hand.c      agreeing on a way and giving it away
 */
#ifndef EXECUTOR_INTERNAL_H
#define EXECUTOR_INTERNAL_H

#include "lib/stun.h"
#include "lib/token.h"
#include "services/executor/executor.h"

/* attempt.c: the attempt's state machine. */
void executor_enter(struct executor *x, struct attempt *a, enum attempt_state to, const char *why,
                    struct outputs *out);
void executor_fail(struct executor *x, struct attempt *a, const char *kind, enum verdict verdict,
                   struct outputs *out);
struct attempt *executor_new_attempt(struct executor *x);
void executor_ask(struct executor *x, struct attempt *a, struct outputs *out);
void executor_ask_all(struct executor *x, struct outputs *out);
void executor_report(struct executor *x, struct attempt *a, struct outputs *out);
void executor_wipe(struct attempt *a);
void executor_attempt_tick(struct executor *x, struct attempt *a, struct outputs *out);

/* settle.c: its outcome. */
void executor_settle(struct executor *x, struct attempt *a, struct outputs *out);
/* Does no UDP leave this host?  Then the attempt has failed here. */
bool executor_settle_blocked(struct executor *x, struct attempt *a, struct outputs *out);
enum verdict executor_direct_verdict(const struct attempt *a);
enum verdict executor_relayed_verdict(const struct attempt *a);

/* order.c: a punch_coordinate becomes keys, candidates and deadlines. */
void executor_on_order(struct executor *x, const struct msg_punch_coordinate *m,
                       struct outputs *out);

/* aim.c: where packets may go. */
bool executor_admits(const struct executor *x, const struct addr *a);
void executor_aim(struct executor *x, struct attempt *a, const struct msg_token_list *theirs);
/* The peer's local address, first of all candidates, when packets to it stay on a network that both share. */
void executor_aim_local(struct executor *x, struct attempt *a, const struct addr *theirs);
/* May what comes from there, authentic, be answered? */
bool executor_may_answer(const struct executor *x, const struct attempt *a, const struct addr *src);
/* Is there a packet left for this address in this attempt?  Counted when there is. */
bool executor_spend(struct attempt *a, const struct addr *to);
/* What a punch to this address carries and its pong must return: only who receives it there knows it. */
uint64_t executor_challenge(const struct attempt *a, const struct addr *to);
/* May one more port be tried at this ip?  Counted when it may; else perhaps later. */
enum may { MAY_NOT, MAY_LATER, MAY_NOW };
enum { GUESS_PORT_MIN = 1024, FIRE_IN_MAX_US = 5 * 1000000 };
struct addr executor_vouched_ip(const struct attempt *a); /* where ports may be guessed; or len 0 */
/* So many at once, to begin a time without any that is as long as if they were paced. */
bool executor_may_guess_at_once(struct executor *x, const struct addr *ip, uint32_t n);
/* This address is proven both ways, and must not be without room for answers. */
void executor_aim_proven(struct attempt *a, const struct addr *proven);
/* Send there and to no other, on an ip that is vouched for. */
void executor_aim_foreseen(struct attempt *a, const struct addr *at);
enum may executor_may_guess(struct executor *x, const struct addr *ip, int64_t *again_us);
/* What came from there may be answered there, at the cost of the next guesses. */
bool executor_may_guess_back(struct executor *x, const struct addr *ip);
/* May a request be sent to what the coordinator calls a prober or a relay?  Counted when it may. */
bool executor_may_knock(struct executor *x, const struct addr *at);
/* Does the suite live at that ip, by the join string or the authority's signature? */
bool executor_is_place(const struct executor *x, const struct addr *a);
void executor_places_take(struct executor *x, const struct place_list *l);
void executor_knock_answered(struct executor *x, const struct addr *at);

/* probe.c: the own NAT. */
extern const uint32_t executor_probe_retry_us[PROBE_TRIES];
void executor_probe_start(struct executor *x);
void executor_probe_tick(struct executor *x, struct outputs *out);
bool executor_probe_datagram(struct executor *x, const struct input *in, struct outputs *out);
int64_t executor_probe_deadline(const struct executor *x);
bool executor_ready(const struct executor *x); /* a request can say all that is to be known */
void executor_probe_report(struct executor *x, struct outputs *out);
struct msg_token_list executor_tokens(const struct executor *x); /* to tell others */
bool executor_probe_drifted(const struct executor *x);
bool executor_probe_answered(const struct executor *x, const struct addr *addr);

/* Asked for in the round under way, from this socket. */
void executor_probe_target(struct executor *x, const struct addr *addr, uint8_t sock);

/* spare.c: probed sockets for raw hand-over. */
void executor_spares_probe(struct executor *x);
void executor_spares_open(struct executor *x, struct outputs *out);
void executor_spare_token(struct executor *x, const struct probe_target *t,
                          const struct msg_token *raw, uint16_t local_port);
void executor_spares_report(const struct executor *x, struct msg_reflex_report *m);
bool executor_spares_wanted(const struct executor *x);
void executor_spares_forget(struct executor *x);
bool executor_spare_take(struct executor *x, uint32_t number, uint16_t to, struct outputs *out);

/* hand.c: raw hand-over. */
void executor_hand_sockets(struct executor *x, struct attempt *a, uint32_t spare,
                           struct outputs *out);
void executor_hand_offer(struct executor *x, struct attempt *a, enum way way, struct outputs *out);
void executor_hand_tick(struct executor *x, struct attempt *a, struct outputs *out);
bool executor_hand_late(struct executor *x, struct attempt *a, struct outputs *out);
bool executor_hand_word(struct executor *x, struct attempt *a, enum data_kind kind, enum way way,
                        const struct addr *src, struct outputs *out);
void executor_hand_end(struct attempt *a, struct outputs *out);

/* filter.c: what the own NAT lets in. */
const struct addr *executor_filter_server(const struct executor *x); /* its four, or NULL */
bool executor_filter_wanted(const struct executor *x);
void executor_filter_start(struct executor *x);
void executor_filter_begin(struct executor *x, const struct probe_target *t, const struct stun *m,
                           struct outputs *out);
void executor_filter_judge(struct executor *x, struct outputs *out); /* more is known */
void executor_filter_tick(struct executor *x, struct outputs *out);
bool executor_filter_datagram(struct executor *x, const struct input *in, const struct stun *m,
                              struct outputs *out);
int64_t executor_filter_deadline(const struct executor *x);

/* hairpin.c: does the NAT bring back what is sent to its own outside? */
void executor_hairpin_reset(struct executor *x);
void executor_hairpin_token(struct executor *x, const struct token *t);
void executor_hairpin_round_over(struct executor *x, struct outputs *out);
void executor_hairpin_tick(struct executor *x, struct outputs *out);
bool executor_hairpin_datagram(struct executor *x, const struct input *in, const struct stun *m,
                               struct outputs *out);
int64_t executor_hairpin_deadline(const struct executor *x);

/* measure.c: may one more packet be sent in a round that measures all?  Counted when it may. */
enum measure { MEASURE_ADDRESS, MEASURE_REST };
bool executor_may_measure(struct executor *x, enum measure what);

/* range.c: from how many ports the NAT draws. */
void executor_range_reset(struct executor *x);
/* With the round: one more question, to another ip than the samples'. */
void executor_range_second_look(struct executor *x, const struct addr *asked);
void executor_range_want(struct executor *x, struct outputs *out); /* the profile is new */
void executor_range_word(struct executor *x);                      /* it has come */
bool executor_range_pending(const struct executor *x);             /* and calls are to wait */
void executor_range_tick(struct executor *x, struct outputs *out);
bool executor_range_datagram(struct executor *x, const struct input *in, const struct stun *m,
                             struct outputs *out);
void executor_range_report(const struct executor *x, struct observation_list *l);
/* And what the sockets of early.c saw. */
void executor_early_report(const struct executor *x, struct observation_list *l);

/* lifetime.c: how long does the NAT keep a mapping? */
void executor_lifetime_want(struct executor *x);
void executor_lifetime_pause(struct executor *x);
void executor_lifetime_forget(struct executor *x);
void executor_lifetime_tick(struct executor *x, struct outputs *out);
bool executor_lifetime_datagram(struct executor *x, const struct input *in, const struct stun *m,
                                struct outputs *out);

/* early.c: packets that come too early, and which TTL passes the own NATs. */
void executor_early_reset(struct executor *x);
void executor_early_start(struct executor *x);
void executor_early_tick(struct executor *x, struct outputs *out);
bool executor_early_datagram(struct executor *x, const struct input *in, const struct stun *m,
                             struct outputs *out);
void executor_early_enter(struct executor *x, struct early_socket *s, enum early_phase to,
                          struct outputs *out);

/* clash.c: what its first socket shows. */
bool executor_lets_in(const struct executor *x);   /* from an ip that had not been sent to */
bool executor_restricts(const struct executor *x); /* it does not, as far as can be told */
bool executor_moves(const struct executor *x);     /* probers see socket 0 here and there */
bool executor_keeps(const struct executor *x);     /* one port for all */
enum clash executor_clash_seen(const struct executor *x);
enum clash executor_clash(const struct executor *x); /* as far as it is sure */
/* Has it heard from an address that it had not sent to? */
enum filter_vote executor_early_vote(const struct executor *x, enum filter_ask ask);
/* A third word is wanted on what is let in. */
void executor_early_ask(struct executor *x, struct outputs *out);

/* hops.c: is a TTL to be looked for now?  The next step, when all sockets of early.c are done; false: all is known. */
bool executor_hops_due(const struct executor *x);
int64_t executor_early_deadline(const struct executor *x); /* of this and of early.c */
/* No more TTLs are to be tried; and what that has shown is learned. */
bool executor_hops_end(struct early_test *e);
bool executor_hops_next(struct executor *x, struct outputs *out);

/* prime.c: with how many hops is the own NAT to be opened by a socket of the pool, and by the next punch?  0: as all else is sent. */
uint8_t executor_prime_open_ttl(const struct executor *x, const struct attempt *a);
bool executor_prime_waits(const struct executor *x, const struct attempt *a); /* for the peer */
uint8_t executor_prime_punch_ttl(const struct executor *x, const struct attempt *a);

/* override.c: an operator's port mapping. */
void executor_override_set(struct executor *x, const struct addr *claimed, struct outputs *out);
void executor_override_round_over(struct executor *x, struct outputs *out);
void executor_override_tick(struct executor *x, struct outputs *out);
bool executor_override_datagram(struct executor *x, const struct input *in, const struct stun *m,
                                struct outputs *out);
bool executor_override_pending(const struct executor *x);
void executor_override_new_sockets(struct executor *x, struct outputs *out);

/* network.c: sockets is NULL when they are as they were. */
void executor_on_network(struct executor *x, const struct executor_sockets *sockets,
                         struct outputs *out);

/* punch.c: punch and pong on both ways. */
void executor_punch(struct executor *x, struct attempt *a, enum way way, struct outputs *out);
struct output *executor_send_punch(struct executor *x, struct attempt *a, enum way way,
                                   uint8_t type, uint64_t echo, uint16_t sock,
                                   const struct addr *to, struct outputs *out);
void executor_peer_is_there(struct executor *x, struct attempt *a);
void executor_on_punch(struct executor *x, const struct input *in, struct outputs *out);

/* pool.c: sockets beside the first, for one attempt at a time. */
enum { POOL_BATCH = 16 };
bool executor_pool_take(struct executor *x, struct attempt *a); /* false: another one has it */
/* The next one that is not open yet; 0 when all are. */
uint16_t executor_pool_open(struct executor *x, struct outputs *out);
void executor_pool_punch(struct executor *x, struct attempt *a, const struct addr *to,
                         struct outputs *out);                     /* from the next one */
void executor_pool_renew(struct executor *x, struct outputs *out); /* close all, and begin again */
void executor_pool_met(struct executor *x, struct attempt *a, uint16_t sock, struct outputs *out);
void executor_pool_end(struct executor *x, struct attempt *a, struct outputs *out);
bool executor_pool_has(const struct executor *x, const struct attempt *a, uint16_t sock);
bool executor_expects(const struct executor *x, const struct attempt *a, const struct input *in);

/* birthday.c: many sockets on one side, many ports on the other.  foreseen: the port that the first are opened
 * for, or len 0; from: the socket that has it. */
enum { GUESS_BATCH = 8 };
void executor_birthday_arm(struct executor *x, struct attempt *a, const struct addr *foreseen,
                           uint16_t from, int64_t start_us);
void executor_birthday_tick(struct executor *x, struct attempt *a, struct outputs *out);

/* scan.c: both sides try the other one's block. */
void executor_scan_arm(struct executor *x, struct attempt *a, int64_t start_us);
void executor_scan_tick(struct executor *x, struct attempt *a, struct outputs *out);
/* Is what came in by this socket no more than one direction?  Then it is answered there, and that is all. */
bool executor_scan_one_way(struct executor *x, struct attempt *a, const struct input *in,
                           const struct punch *p, struct outputs *out);

/* birthday.c, for both: a walk over the ports of a range that visits each once. */
void executor_walk_start(struct executor *x, struct attempt *a, uint16_t lo, uint16_t hi);
bool executor_walk_over(const struct attempt *a);
uint16_t executor_walk_next(struct attempt *a);

/* look.c: where the own NAT stands. */
void executor_sight(struct executor *x);
/* pin_to: len 0 when nothing may be sent there yet */
void executor_look_start(struct executor *x, const struct attempt *a, const struct addr *pin_to);
void executor_on_socket(struct executor *x, const struct input *in, struct outputs *out);
void executor_look_tick(struct executor *x, struct attempt *a, struct outputs *out);
bool executor_look_datagram(struct executor *x, const struct input *in, const struct stun *m,
                            struct outputs *out);

/* foresee.c: a look, an instant for both sides, a round. */
void executor_foresee_arm(struct executor *x, struct attempt *a, bool looks, uint16_t rounds,
                          int64_t start_us);
void executor_foresee_tick(struct executor *x, struct attempt *a, struct outputs *out);
/* The look is over: this port is pin's, or (pin 0) the newest of all. */
void executor_foresee_seen(struct executor *x, struct attempt *a, const struct addr *seen,
                           uint16_t pin, struct outputs *out);
/* Came this to a row of sockets, and not from where they were opened for?  Answers would not get back. */
bool executor_foresee_stray(const struct executor *x, const struct attempt *a,
                            const struct input *in);
void executor_on_execute(struct executor *x, const struct msg_punch_execute *m,
                         struct outputs *out);

/* guess.c, for both: a packet of the peer came in directly; the attempt is over; all is forgotten for another one. */
void executor_guess_met(struct executor *x, struct attempt *a, uint16_t sock, struct outputs *out);
void executor_guess_end(struct executor *x, struct attempt *a, struct outputs *out);
void executor_guess_forget(struct executor *x, struct attempt *a, struct outputs *out);

/* upgrade.c: from the relay to a direct path, later. */
void executor_upgrade_soon(struct executor *x, struct attempt *a);
void executor_upgrade_later(struct executor *x, struct attempt *a);
void executor_upgrade_tick(struct executor *x, struct attempt *a, struct outputs *out);
bool executor_upgrade_order(struct executor *x, struct attempt *a,
                            const struct msg_punch_coordinate *m, struct outputs *out);

/* half.c: one direction goes directly, the other over the relay. */
bool executor_is_half(const struct attempt *a);
bool executor_half_send(struct executor *x, struct attempt *a, const void *payload, size_t len,
                        struct outputs *out); /* false: not this way */
void executor_half_punched(struct executor *x, struct attempt *a, uint64_t challenge,
                           struct outputs *out);
void executor_on_ask(struct executor *x, struct attempt *a, enum way way, const uint8_t *payload,
                     size_t len, struct outputs *out);
void executor_on_heard(struct executor *x, struct attempt *a, enum way way, const uint8_t *payload,
                       size_t len, struct outputs *out);
void executor_half_tick(struct executor *x, struct attempt *a, struct outputs *out);

/* relays.c: how far relays are. */
void executor_relays_take(struct executor *x, const struct prober_list *l);
void executor_relays_tick(struct executor *x, struct outputs *out);
bool executor_relays_datagram(struct executor *x, const struct input *in,
                              const struct relay_control *c);
void executor_relays_report(const struct executor *x, struct observation_list *l);

/* relayed.c: the relay's client. */
bool executor_relay_order(struct executor *x, struct attempt *a,
                          const struct msg_punch_coordinate *m, struct outputs *out);
bool executor_relay_ticket(struct executor *x, struct attempt *a,
                           const struct msg_punch_coordinate *m, struct outputs *out);
void executor_relay_start(struct executor *x, struct attempt *a);
void executor_relay_tick(struct executor *x, struct attempt *a, struct outputs *out);
void executor_relay_wanted(struct executor *x, struct attempt *a);
void executor_relay_busy(struct executor *x, struct attempt *a);
void executor_relay_keep(struct attempt *a, struct outputs *out);

/* hush.c */
void executor_hush_heard(struct executor *x, struct attempt *a);
void executor_hush_tick(struct executor *x, struct attempt *a, struct outputs *out);
void executor_on_relay(struct executor *x, const struct input *in, struct outputs *out);

/* alive.c: does the way that data takes work?  Leaving it, and coming back. */
void executor_alive_begin(struct executor *x, struct attempt *a);
void executor_alive_sent(struct executor *x, struct attempt *a, enum way way);
void executor_alive_tick(struct executor *x, struct attempt *a, struct outputs *out);
void executor_on_ping(struct executor *x, struct attempt *a, enum way way, const uint8_t *payload,
                      size_t len, struct outputs *out);
void executor_on_pong(struct executor *x, struct attempt *a, enum way way, const uint8_t *payload,
                      size_t len, struct outputs *out);
void executor_on_left(struct executor *x, struct attempt *a, enum way way, const uint8_t *payload,
                      size_t len, struct outputs *out);
void executor_lost_direct(struct executor *x, struct attempt *a, const char *why,
                          struct outputs *out);
/* Does the direct way that was left answer, if badly? */
bool executor_alive_is_new(const struct executor *x, const struct attempt *a);
bool executor_alive_answers(const struct executor *x, const struct attempt *a);

/* moved.c: this host, or the peer, has another address. */
void executor_moved_proven(const struct executor *x, struct attempt *a);
void executor_moved_round_over(struct executor *x, struct outputs *out);
void executor_moved_suspect(struct executor *x, const struct attempt *a);
void executor_moved_tell(struct executor *x, struct attempt *a, struct outputs *out);
void executor_on_moved(struct executor *x, struct attempt *a, enum way way, const uint8_t *payload,
                       size_t len, struct outputs *out);

/* swap.c: to another relay. */
bool executor_from_relay(const struct attempt *a, const struct addr *src);
bool executor_swap_order(struct executor *x, struct attempt *a,
                         const struct msg_punch_coordinate *m, struct outputs *out);
void executor_swap_tick(struct executor *x, struct attempt *a, struct outputs *out);
bool executor_swap_datagram(struct executor *x, const struct input *in,
                            const struct relay_control *c, struct outputs *out);
void executor_swap_end(struct attempt *a);
void executor_swap_close(struct attempt *a, struct outputs *out);

/* flow.c: data, switching. */
void executor_on_data(struct executor *x, const struct input *in, struct outputs *out);
void executor_send(struct executor *x, struct attempt *a, enum data_kind kind, enum way way,
                   const void *payload, size_t len, struct outputs *out);
void executor_choose_flow(struct executor *x, struct attempt *a, struct outputs *out);

/* attach.c: this peer at its coordinator. */
void executor_on_link(struct executor *x, bool up, bool enrolling, struct outputs *out);
void executor_on_enrolled(struct executor *x, const struct msg_enrolled *m, struct outputs *out);
void executor_on_attached(struct executor *x, const struct msg_attached *m, struct outputs *out);
void executor_on_detached(struct executor *x, const struct msg_detached *m, struct outputs *out);
void executor_attach_tick(struct executor *x, struct outputs *out);
int64_t executor_attach_deadline(const struct executor *x);

/* app.c: the application.  a is NULL for what is not of one attempt. */
void executor_app(struct executor *x, const struct attempt *a, enum app_event event,
                  struct outputs *out);
void executor_on_invite(struct executor *x, const struct msg_invite *m, struct outputs *out);
void executor_on_app(struct executor *x, const struct input *in, struct outputs *out);
void executor_cancel(const struct attempt *a, struct outputs *out); /* the coordinator tells */

/* executor.c */
/* Outputs of one attempt's tick: punches on two ways to every candidate, a ping, a relay message, a result. */
enum { TICK_OUTPUTS = CANDIDATES_MAX + 10 + 2 * POOL_BATCH };
struct attempt *executor_find_path(struct executor *x, const struct path_id *own);
struct output *executor_datagram(struct outputs *out, uint16_t sock, const struct addr *dst);
static inline void executor_socket(enum socket_op op, uint16_t sock, uint16_t to,
                                   struct outputs *out)
{
    struct output *o = outputs_add(out, OUT_SOCKET);

    o->socket.op = op;
    o->socket.sock = sock;
    o->socket.to = to;
}
static inline uint32_t executor_number(const struct executor *x, const struct attempt *a)
{
    return (uint32_t)(a - x->attempts);
}

#endif
