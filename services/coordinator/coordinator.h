/*
 * coordinator - knows who is where, chooses the technique, drives each session to a verdict.
 *
 *   in:    from peers:  enrol; attach, detach, reflex_report, punch_request, punch_ack, punch_result,
 *                       punch_cancel, invite_answer; explain, for which one needs not be attached
 *          from the suite:  nat_profile (classifier), prober_hello, relay_hello, relay_usage; and
 *                       punch_request and punch_cancel from SERVICE_coordinator, which is the operator
 *          from the store:  the answers to STORE_PUT, STORE_GET_PEER, STORE_GET_NAME,
 *                       STORE_GET_CONTACT, STORE_GET_HISTORY and STORE_PUT_ENROLLED, whose tag is the connection to answer
 *   state: peers that are attached, or that a session waits for; sessions:
 *
 *     requested -> inviting -> coordinating -> executing -> direct | half | relayed | failed -> closed
 *
 *   out:   to peers:  enrolled; attached, detached, nat_profile, punch_refused, punch_coordinate,
 *                     punch_cancel, explained;  to the classifier:  reflex_report;  rows of the directory
 *
 * Messages may be lost, duplicated or reordered: every state expires.  What peers send is limited by peer,
 * ip, target and for all (budgets.c), and every table by what coordinator_conf says.
 *
 *   attachment  60 s, refreshed every 20 s; its row in the store lives 180 s and is renewed at half of that
 *   inviting    2 s, for both sides' profile and token, and just after our own start for a relay's hello; not
 *               at all when they are there; before that up to 10 s for the target's consent when its policy
 *               is to ask: until then no address is told to anybody
 *   executing   the order's deadline and 2 s more; then a side that has said nothing is silent
 *   settled     180 s since the last punch_result, which executors repeat every 60 s
 *   closed      kept 600 s, for `explain`; the oldest makes room when the table is full
 */
#ifndef COORDINATOR_H
#define COORDINATOR_H

#include "lib/budget.h"
#include "lib/core.h"
#include "lib/daykey.h"
#include "lib/deadlines.h"
#include "lib/fence.h"
#include "lib/rng.h"
#include "lib/strategy.h"
#include "lib/table.h"
#include "lib/token.h"

enum {
    COORD_PEERS = 10000,    /* default of peers_max */
    COORD_SESSIONS = 10000, /* default of sessions_max */
    COORD_RELAYS_MAX = 16,
    COORD_RELAY_NEAR_MS =
        10, /* relays whose round trips differ by less are as near: the load decides */
    COORD_DRAIN_MS = 3000,     /* for relays on this bus to say that they drain as well */
    COORD_HELLO_TTL_MS = 5000, /* a prober or relay is alive this long after its last hello */
    COORD_UNTRY_MS = 1000,     /* between two looks at all sessions for the same relay */
    COORD_REFRESH_S = 20,
    COORD_ATTACH_TTL_MS = 60000,
    COORD_ROW_TTL_MS = 180000,
    COORD_TICKET_TTL_MS = 24 * 3600 * 1000,
    COORD_TICKET_AGAIN_MS = 60000,    /* between two tickets of a session that lives */
    COORD_TIMEOUT_DEFAULT_MS = 15000, /* of a request that names none */
    COORD_TIMEOUT_MAX_MS = 120000,
    COORD_GRACE_MS = 2000,     /* for a result to travel after the order's deadline */
    COORD_SPARE_MS = 1000,     /* what an order's deadline leaves after its plan's span, at least */
    COORD_ASK_MS = 10000,      /* a target that is asked has so long to answer */
    COORD_TRIES_MAX = 1000000, /* new ones at a direct path, of one session */
    COORD_HISTORY = 12,        /* transitions kept per session */
    COORD_ENROLS_PER_S = 50,
    COORD_ENROLS_OF_SOURCE_PER_MIN = 300, /* of one public ip; many share a carrier's */
    COORD_JOINS_PER_S = 2000,             /* new attachments */
    COORD_JOINS_OF_SOURCE_PER_MIN = 2400,
    COORD_REQUESTS_PER_S = 2000,
    COORD_REQUESTS_OF_SOURCE_PER_MIN = 1200,
    COORD_CALLS_OF_SOURCE_PER_MIN = 120, /* of one target */
    COORD_CALLS_OF_TARGET_PER_MIN = 600, /* by all */
    COORD_WINDOW_US = 60000000,          /* the minute */
    /* Per peer and minute. */
    COORD_ATTACHES_PER_MIN = 60,
    COORD_REPORTS_PER_MIN = 60,
    COORD_REQUESTS_PER_MIN = 60,
    COORD_EXPLAINS_PER_MIN = 60,
    COORD_REJECTED_PER_MIN = 6, /* requests to targets that don't accept; more are rate-limited */
};

struct coordinator_conf {
    uint8_t secret[32];      /* X25519: tickets are sealed with it */
    uint8_t authority[32];   /* Ed25519 public key that certifies probers and relays */
    uint8_t enrol_token[16]; /* what the join string carries */
    uint64_t epoch;          /* of this process, later than any before: Unix ms at its start */
    uint32_t peers_max, sessions_max; /* 0: the defaults; as all below */
    uint32_t requests_per_s;          /* of all peers */
    uint32_t requests_of_source_per_min, calls_of_source_per_min;
    uint16_t calls_of_target_per_min;
};

/* Which keys may come in: see enrol.c. */
enum admission { ADMIT_TOKEN, ADMIT_LISTED, ADMIT_OPEN };
enum { ADMISSION_COUNT = ADMIT_OPEN + 1 };
extern const char *const admission_name[ADMISSION_COUNT];

enum coordinator_state {
    COORD_FREE,
    COORD_REQUESTED,    /* the target is looked up, or waited for */
    COORD_INVITING,     /* both are attached; profiles and tokens are waited for */
    COORD_COORDINATING, /* the orders are out */
    COORD_EXECUTING,    /* a side has answered */
    COORD_DIRECT,
    COORD_HALF,
    COORD_RELAYED,
    COORD_FAILED,
    COORD_CLOSED,
    COORD_STATE_COUNT
};
extern const char *const coordinator_state_name[COORD_STATE_COUNT];

enum coordinator_limit {
    COORD_LIMIT_ATTACH,
    COORD_LIMIT_REPORT,
    COORD_LIMIT_REQUEST,
    COORD_LIMIT_REJECTED,
    COORD_LIMIT_EXPLAIN,
    COORD_LIMIT_CALLED, /* by others */
    COORD_LIMITS
};

/* A token that was verified: the newest for its seen address. */
struct coordinator_token {
    struct msg_token raw;
    struct addr addr;
    int64_t born_us; /* estimated on the monotonic clock */
    bool mapped;     /* by an operator: at most one of a peer is kept */
};

/* A socket that the peer keeps for a raw hand-over: good for one session. */
enum {
    COORD_SPARES = 2,
    COORD_SPARE_TOKENS = 2,
    COORD_SPARE_LOST_MS =
        5000, /* reported still, so long after the order that spent it: it was lost */
};
struct coordinator_spare {
    uint32_t number; /* the executor's, growing; 0: none */
    struct addr local;
    uint8_t n_tokens;
    struct coordinator_token tokens[COORD_SPARE_TOKENS];
};

struct coordinator_peer {
    struct peer_id id;
    char name[NAME_MAX_BYTES + 1];
    bool attached;
    bool joining; /* the store has been asked for the attachment below */
    uint64_t join_tag;
    uint32_t conn;
    struct addr source; /* the ip at its other end; len 0: not known */
    uint64_t instance;  /* of the process that attached: 0 when it does not say */
    uint64_t seq;       /* the executor's: another one means other sockets */
    uint64_t fence; /* ours, of the store's row: peers are not trusted to order their attachments */
    uint16_t accept, modes;
    bool daily;         /* it reads tokens by probers' keys of a day */
    uint8_t blocks;     /* percent; see struct profile's share */
    int64_t expires_us; /* of the attachment */
    int64_t row_us;     /* when the store's row was last written */
    bool has_profile;
    struct profile profile;
    int64_t profile_us; /* when it was measured */
    struct addr reflexive;
    bool
        udp_silent; /* its last report: no prober has answered it, so no token is to be waited for */
    struct addr local; /* as the last report says: told only to who shares a public address */
    struct {           /* its way to relays, of the last report */
        struct addr addr;
        uint16_t rtt_ms;
    } relays[PROBERS_MAX];
    uint8_t n_relays;
    uint32_t rtt_us; /* smallest to a prober, of the last report; 0 when not known */
    uint8_t n_tokens;
    struct coordinator_token tokens[TOKENS_MAX];
    struct coordinator_spare spares[COORD_SPARES];
    uint32_t spare_spent; /* the highest number that an order has named, and when */
    int64_t spent_us;
    int64_t window_us; /* start of the minute that these count in */
    uint16_t used[COORD_LIMITS];
    uint32_t sessions[2]; /* head of the list of live sessions by side, TABLE_NONE when empty */
    uint32_t n_sessions;
    uint32_t name_slot; /* in the index of names, or TABLE_NONE */
};

/* Where a side's NAT stands, right before an attempt; waiting until it goes into a punch_execute. */
struct coordinator_look {
    bool waiting;
    struct msg_punch_sample said;
    int64_t at_us;
};

/* What is known of one side of a session. */
struct coordinator_side {
    struct peer_id id;
    char name[NAME_MAX_BYTES + 1];
    uint32_t peer;       /* slot, TABLE_NONE before the target is known and when closed */
    uint32_t next, prev; /* in the peer's list */
    struct profile profile;
    bool has_profile, has_token;
    struct msg_token_list tokens; /* what both orders say, also when one is sent again */
    struct addr told_local;       /* len 0: the other side is told none */
    uint32_t spare;               /* raw: the socket that the tokens are of; 0: none */
    struct addr spare_local;
    struct coordinator_look look;
    bool acked, reported;
    uint16_t ack_technique;
    uint32_t ack_us;
    uint16_t path, technique; /* of the last punch_result */
    struct addr local, remote;
    char kind[32], verdict[32];
    struct tried tried;
    uint32_t after_us;
};

/* Whether the asked side takes the call: its accept policy decides, at once or after a question. */
enum coordinator_consent {
    CONSENT_UNDECIDED,
    CONSENT_LOOKED_UP, /* known: the store is asked whether they have had a session before */
    CONSENT_ASKED,     /* ask: that side itself is */
    CONSENT_GIVEN      /* by all whose consent is needed */
};

struct coordinator_change {
    uint8_t to; /* enum coordinator_state */
    const char *why;
    int64_t at_us;
};

struct coordinator_session {
    struct sid id;
    uint8_t state; /* enum coordinator_state */
    uint16_t mode, policy;
    uint64_t nonce;
    char target[NAME_MAX_BYTES + 1]; /* as asked for; "" when asked for by id */
    bool warm;                       /* both profiles and tokens were there at the request */
    bool leaving[2];                 /* that side has detached: close at the next tick */
    bool redriven;         /* it lives on the relay; who drove it before has forgotten it */
    bool by_operator;      /* neither side has asked: both must consent */
    uint8_t consent;       /* enum coordinator_consent */
    uint8_t asked;         /* whose consent it is: the target's first */
    uint32_t invited_conn; /* where the question went */
    bool order_owed[2];    /* to a side that is back: send it at the next tick */
    bool attempted,
        counted;        /* an order with a direct technique was sent; its outcome was counted */
    uint64_t store_tag; /* of the question that is open, or 0 */
    int64_t began_us, deadline_us; /* of the request; of the state */
    int64_t created_ms;            /* Unix time of the request */
    int64_t until_us;              /* when the request's time is over */
    struct coordinator_side side[2];
    struct plan plan;
    enum verdict reason;       /* of the plan */
    enum verdict verdict;      /* of the outcome, VERDICT_unknown before it */
    const char *kind;          /* static: of its failure, "" of none */
    uint32_t wait_ms;          /* of a limit, when it is not that of the initiator\'s minute */
    struct addr relay;         /* len 0: none */
    struct addr relay_before;  /* it may say yet what it has carried */
    struct peer_id ticket_key; /* the relay's that its tickets are sealed to, and when */
    int64_t sealed_us;
    uint16_t relays_tried; /* bits, by slot: those that a side could not use */
    bool relays_full;      /* there is one, but none with room */
    bool recalled;         /* the store was asked for the history */
    bool has_history_key;
    struct history_key history_key, classes_key; /* of the two peers; of their NATs' classes */
    bool recalls_classes;                        /* that is what the store is asked for now */
    struct history history;                      /* of earlier contacts of the two */
    uint32_t order_ms;                           /* deadline_ms of the order */
    uint32_t instants;                           /* punch_execute sent for this order */
    uint32_t renewals; /* new tries at a direct path, after it had settled */
    uint64_t relay_packets, relay_bytes;
    bool relay_ended;   /* the relay carries it no more */
    bool fell_back;     /* counted in relay_fallbacks */
    uint32_t n_changes; /* all that happened; the ring keeps the last */
    struct coordinator_change changes[COORD_HISTORY];
    uint32_t older, newer; /* closed sessions, in order */
};

struct coordinator_relay {
    struct peer_id key, ticket_key; /* certified; of this period, which tickets are sealed to */
    uint8_t cert[64];
    struct place_list places; /* the authority's word on addr, at most one */
    struct addr addr;
    uint64_t epoch;
    uint32_t sessions, sessions_max, assigned; /* assigned: by us since its last hello */
    int64_t seen_us, untried_us; /* untried: who could not use it was last told that it can */
    bool used, draining;
    uint8_t link; /* by which it comes from another host; 0: it is on this bus */
};

/*
 * Counters, as `stats` and `state` print them.  All are monotonic but the gauges, which end in _now.
 * sessions = direct + half + relayed + failed + pending_now, each by what came of it first; failed is
 * the sum over kinds, which stand beside them.  Of those that had a direct technique in their order
 * punches_attempted = punches_direct + punches_half + punches_failed + punching_now
 */
/* clang-format off */
#define COORDINATOR_COUNTERS(X) \
    X(enrolled) X(enrol_refused) X(enrols_limited) X(enrols_by_source_limited) X(attached) X(attach_refused) X(replaced) X(expired) X(unknown_conn) \
    X(reports) X(tokens_taken) X(tokens_refused) X(profiles) X(hellos_refused) \
    X(requests) X(sessions) X(refused) X(rejections) X(rate_limited) X(joins_limited) X(joins_by_source_limited) \
    X(requests_limited) X(requests_by_source_limited) X(calls_limited) X(calls_by_source_limited) X(not_found) X(timeouts) X(no_relay) \
    X(overloaded) X(cancelled) X(ignored) \
    X(punches_attempted) X(punches_direct) X(punches_half) X(punches_failed) \
    X(direct) X(half) X(relayed) X(failed) X(upgrades_attempted) X(upgrades_succeeded) \
    X(relay_fallbacks) X(relays_refused) X(relays_changed) X(tickets_renewed) X(relay_packets) X(relay_bytes) \
    X(pending_now) X(punching_now) X(relayed_now) X(attached_now) X(plain_peers_now)
struct coordinator_counters {
#define X(name) uint64_t name;
    COORDINATOR_COUNTERS(X)
#undef X
};
/* clang-format on */

struct coordinator {
    struct coordinator_conf conf;
    int64_t now_us, wall_ms; /* of the step in progress */
    int64_t
        first_us; /* of the first step: for COORD_HELLO_TTL_MS from there relays are waited for */
    bool stepped;
    struct rng rng;
    struct table peers_by_id, peers_by_name, sessions_by_id;
    struct coordinator_peer *peers;       /* peers_max, by slot of peers_by_id */
    uint32_t *named;                      /* peers_max, by slot of peers_by_name: a peer's slot */
    struct coordinator_session *sessions; /* sessions_max, by slot of sessions_by_id */
    struct deadlines deadlines;           /* sessions, then peers */
    uint32_t closed_oldest, closed_newest, n_closed;
    uint64_t last_tag, attachments;
    struct place_list places;   /* that probers showed, verified */
    struct daykey_list daykeys; /* signed by these: */
    struct prober_list probers; /* certified; tokens of those not seen lately are good too */
    int64_t prober_seen_us[PROBERS_MAX];
    int64_t prober_offset_us[PROBERS_MAX]; /* its clock minus ours, as its newest token has it */
    bool prober_has_offset[PROBERS_MAX];
    struct coordinator_relay relays[COORD_RELAYS_MAX];
    uint32_t move_at; /* the session to look at next for one that a draining relay carries */
    enum admission admission;
    const struct peer_id *listed; /* borrowed, sorted */
    size_t n_listed;
    struct budget enrols_by_source, joins_by_source, requests_by_source,
        calls_by_source; /* of the last each target has its own */
    struct coordinator_second {
        int64_t began_us;
        uint32_t used;
    } enrols, joins, requests;
    uint16_t limits[COORD_LIMITS];               /* per peer and minute */
    uint64_t relay_bytes_max, relay_bytes_per_s; /* of a side in a session, on its tickets */
    bool draining;
    struct coordinator_counters n;
    uint64_t kinds[KIND_COUNT]; /* of the sessions that failed, by kind_name */
};

/* Bytes of memory, aligned as malloc aligns, that coordinator_init needs. */
size_t coordinator_bytes(const struct coordinator_conf *conf);
void coordinator_init(struct coordinator *c, const struct coordinator_conf *conf,
                      const uint8_t rng_key[static 32], void *memory);
void coordinator_step(struct coordinator *c, const struct input *in, struct outputs *out);
int64_t coordinator_deadline(const struct coordinator *c); /* us, or NEVER */

/* What an operator changes between two steps: the limits that requests run into (0: the defaults);
 * which keys may come in, listed being sorted as bytes and there until the next call; what a side may send
 * over a relay in a session (0: any); and that no session begins any more.  coordinator_pending: is any not
 * settled? */
void coordinator_limit_requests(struct coordinator *c, uint16_t per_min, uint16_t rejected_per_min);
void coordinator_admission(struct coordinator *c, enum admission how, const struct peer_id *listed,
                           size_t n);
bool coordinator_listed(const struct coordinator *c, const struct peer_id *peer);
void coordinator_limit_relaying(struct coordinator *c, uint64_t bytes, uint64_t bytes_per_s);
void coordinator_drain(struct coordinator *c);
/* Has each relay of this bus that drains nothing left?  Of the others none is waited for any more when waited. */
bool coordinator_relays_done(const struct coordinator *c, bool waited);

/* Is there another one, with room, for the sessions of this one? */
bool coordinator_has_other_relay(const struct coordinator *c, const struct coordinator_relay *than);

bool coordinator_pending(const struct coordinator *c);

/* Views for the admin socket and tests; NULL when there is none. */
const struct coordinator_peer *coordinator_peer(const struct coordinator *c,
                                                const struct peer_id *id);
const struct coordinator_peer *coordinator_named(const struct coordinator *c, const char *name);
const struct coordinator_session *coordinator_session(const struct coordinator *c,
                                                      const struct sid *id);

#endif
