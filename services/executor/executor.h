/*
 * executor - runs at the peer: probes, punches, keeps the path alive, hands datagrams to the application.
 *
 *   in:    enrolled, attached, detached, nat_profile, punch_coordinate, punch_execute, punch_refused, punch_cancel, invite;
 *          datagrams of probers, relays and peers; APP_CONNECT, APP_SEND, APP_CLOSE; link up and down;
 *          the host's network has changed
 *   state: what is known of the own NAT; one slot per attempt,
 *          requested -> executing -> direct | relayed | failed -> closed
 *          An order that was not asked for is followed when the accept policy says so.
 *   out:   enrol, attach, reflex_report, punch_request, punch_sample, punch_ack, punch_result, punch_cancel;
 *          probes, punches, pongs, relay control and data; APP_ events
 *
 * Socket 0 carries all managed sessions and is the one that probers vouch for; sockets 1.. are samples that
 * show how the NAT allocates ports; a raw session has sockets of its own (spare.c, hand.c).  It talks to its own coordinator only; that one may be lying, so
 * addresses count by the probers' signatures alone and everything else by the peer's seal.
 */
#ifndef EXECUTOR_H
#define EXECUTOR_H

#include "lib/core.h"
#include "lib/effort.h"
#include "lib/fence.h"
#include "lib/join.h"
#include "lib/noise.h"
#include "lib/packet.h"
#include "lib/rekey.h"
#include "lib/relaywire.h"
#include "lib/rng.h"
#include "lib/strategy.h"
#include "services/executor/forecast.h"
#include "services/executor/health.h"

enum {
    ATTEMPTS_MAX = 128,
    RESERVED_ATTEMPTS = 24, /* the last slots, for callers that hold few: */
    RESERVED_BY_KEY = 2,    /* of one key */
    RESERVED_BY_IP = 4,     /* of one ip */
    SAMPLES_MAX = 3,        /* sockets beside the main one */
    TARGETS_MAX = 8,        /* prober addresses probed in one round */
    CANDIDATES_MAX =
        TOKENS_MAX + 3, /* the peer's local address, the vouched ones, two it is heard at */
    PACKETS_MAX = 40,   /* punches and pongs to one address in one attempt, from one socket */
    POOL_FIRST = 16,    /* numbers of the sockets that a birthday attempt opens ... */
    POOL_SOCKETS = EFFORT_SOCKETS_birthday,
    KEPT_FIRST = POOL_FIRST + POOL_SOCKETS, /* ... and of the one it keeps, by attempt */
    RAW_RELAY_FIRST =
        KEPT_FIRST + ATTEMPTS_MAX, /* raw: KEPT.. is the direct way's, this the relay's */
    SOCKETS_MAX = RAW_RELAY_FIRST + ATTEMPTS_MAX,
    SPARE_FIRST = SAMPLES_MAX + 1, /* kept for raw hand-over */
    SPARES_MAX = 2,
    EARLY_FIRST = SPARE_FIRST + SPARES_MAX, /* see early.c */
    EARLY_SOCKETS = 3,
    RANGE_FIRST = EARLY_FIRST + EARLY_SOCKETS, /* see range.c */
    RANGE_SOCKETS = 7,
    RANGE_SAMPLES = 12,                  /* ports to know, and no more */
    RANGE_SPREAD_MAX = 2048,             /* ports further apart are of no block */
    SPARE_TARGETS = 2,                   /* prober addresses that each is probed with */
    GUESSES_MAX = EFFORT_PORTS_birthday, /* ports tried at one ip in GUESS_WINDOW_US */
    GUESS_AT_ONCE = 40,
    SCAN_ANSWERS = 64,
    GUESS_BACK_AT_ONCE = 8, /* answers that run ahead of the pace */
    GUESS_IPS_MAX = 16,
    KNOCKS_MAX =
        40, /* packets at once to what is called a prober or relay, until it answers as one */
    KNOCK_IPS_MAX = 16,
    PLACES_KNOWN = 32,   /* ips of the suite; the oldest are forgotten */
    LOOKS_MAX = 3,       /* sockets that look where the NAT stands; pins are between them */
    LOOK_TRIES = 8,      /* of a look, each with fresh sockets or once more with the same */
    FORESEEN_ROUNDS = 3, /* each begins with a look */
};

_Static_assert((int)RANGE_FIRST + (int)RANGE_SOCKETS <= (int)POOL_FIRST, "numbers of sockets");
enum alive_limits {
    PACKETS_SOON = 10,
    PINGS_SOON = 50,  /* unanswered: then they are fewer */
    PINGS_MISSED = 4, /* for a way to be called silent */
    LEFT_COPIES = 3,
    MOVED_COPIES = 4
};
enum { HAND_GOS = 3 }; /* copies of the last word before a raw hand-over */

enum executor_times {
    PROBE_EVERY_US = 25 * 1000000,  /* under the 30 s mappings that exist, and the 50 s of tokens */
    PROBE_TRIES = 5,                /* at 0, 100, 250, 500 and 1,000 ms */
    PROBE_GIVE_UP_US = 1500 * 1000, /* a round is over: what hasn't answered won't */
    PROBE_LONGEST_US = 4 * 1000000, /* one in which each cookie gives its token as long once more */
    PROBE_SILENT_US = 5 * 1000000,  /* after a round without any answer, when to try again */
    NETWORK_SETTLE_US = 500 * 1000, /* changes of a network come in bursts */
    NETWORK_EVERY_US = 5 * 1000000, /* between rounds that they cause */
    PROFILE_WAIT_US = 1000 * 1000,  /* for the classifier, after the report */
    ENROL_AGAIN_US = 1000 * 1000,   /* half to one and a half of it, when too many enrol at once */
    ATTACH_EVERY_MIN_US = 5 * 1000000, /* whatever the coordinator asks for */
    ATTACH_EVERY_MAX_US = 50 * 1000000,
    ATTACH_RETRY_US = 2 * 1000000, /* while no answer has come */
    ATTACH_AGAIN_US =
        500 * 1000,             /* when the coordinator knows no prober yet, as after its restart */
    FLOW_US = 250 * 1000,       /* after a datagram was sent data flows */
    PING_BUSY_US = 50 * 1000,   /* with data, and ... */
    PING_SOON_US = 20 * 1000,   /* ... after PACKETS_SOON of it */
    PING_IDLE_US = 500 * 1000,  /* until RELAY_BUSY_US after the last datagram */
    PING_DOUBT_US = 10 * 1000,  /* an answer is missing, with data flowing, and ... */
    PING_MISSED_US = 50 * 1000, /* ... without: ten in a row, before a way is left */
    PING_LEAVING_US = 100 * 1000, /* first of all to a way that was left */
    PING_LEFT_FOR_US = 1000 * 1000,
    PING_LEFT_US = 250 * 1000,     /* then, while the session is used, and ... */
    PING_ASLEEP_US = 15 * 1000000, /* ... while it is not */
    PING_HELD_US = 1000 * 1000,
    PING_TRIAL_US = 10 * 1000,
    TRIAL_EASIER_US = 8 * 1000000, /* for so long a way is left, one more answer may be missing */
    LEAVE_BUSY_US = 150 * 1000,    /* beside the round trip */
    LEAVE_IDLE_US = 500 * 1000,
    LEAVE_ANYWAY_US = 3 * 1000000,
    HOLD_LASTED_US = 10 * 1000000, /* a way that was left sooner after it was good again waits */
    HOLD_FIRST_US = 2 * 1000000,
    HOLD_MAX_US = 64 * 1000000,
    ANSWERS_US = 20 * 1000000,     /* a way that was heard no longer ago is there, if bad */
    HALF_AFTER_US = 500 * 1000,    /* heard for so long and without an answer: only half is there */
    HALF_BUSY_US = 200 * 1000,     /* between two questions beside data, and until the next try */
    HALF_IDLE_US = 5 * 1000000,    /* RFC 7675 section 5.1 */
    HALF_SILENT_US = 15 * 1000000, /* not asked for so long: the peer uses it no more */
    HALF_TRIES = 3,
    HALF_WORD = 8,
    MOVED_SPAN_US = 3 * 1000000,
    MOVED_EVERY_US = 2 * 1000000,
    KEEP_US = 15 * 1000000,         /* RFC 8445 section 11, until more is known of the NAT */
    CONSENT_LATE_US = 15 * 1000000, /* for the keepalive that came to nothing */
    CONSENT_US = 30 * 1000000,      /* nothing authentic on any path: the peer is gone */
    BLOCKED_BINDS = 4, /* unanswered after unanswered probes, over 1 s: UDP is blocked here */
    RELAY_OTHER_US = 1000 * 1000,    /* for the coordinator to name another one */
    RELAY_KEEP_BUSY_US = 500 * 1000, /* while data flows over it, to notice a restarted relay */
    RELAY_KEEP_IDLE_US = 15 * 1000000,
    RELAY_BUSY_US = 10 * 1000000,   /* how long after a datagram a path counts as busy */
    ANSWER_US = 500 * 1000,         /* a refusal's way back, of what the application gave */
    RESULT_EVERY_US = 60 * 1000000, /* tells the coordinator that the session still lives */
    GUESS_EVERY_US = 2212,          /* with GUESS_AT_ONCE before and answers: 500 in any second */
    GUESS_WINDOW_US = 600 * 1000000,
    LOOK_RETRY_US = 100 * 1000,    /* or two round trips */
    LOOK_COUNT_US = 100 * 1000,    /* between two looks that count what others take */
    LOOK_KEEP_US = 120 * 1000000,  /* how long ago the earlier of the two may be */
    ROUND_REST_US = 200 * 1000,    /* beside the time that arming took: when a round has missed */
    KNOCK_EVERY_US = 5 * 1000000,  /* one more of KNOCKS_MAX in this time */
    KNOCK_GOOD_US = 600 * 1000000, /* for so long an answer counts */
    POOL_EVERY_US = 1000,          /* between POOL_BATCH openings */
    POOL_AGAIN_US = 50 * 1000,     /* another session has it: when to look again */
    UPGRADE_LASTED_US = 64 * 1000000, /* a direct path that held so long is tried again soon */
    UPGRADE_GATE_US = 2 * 1000000,    /* between two such tries, of whichever sessions */
    EARLY_KILLS_WAIT_US = 250 * 1000, /* the peer opens its NAT first */
    HAND_TIME_US = 1000 * 1000,       /* to agree on a raw hand-over, of the time there is */
    HAND_EVERY_US = 100 * 1000,       /* between two offers */
    HAND_SILENT_US = 500 * 1000,      /* no more offers: the other side has handed over */
    LINGER_CLOSED_US = 2 * 1000000,   /* answers stragglers of a closed session with nothing */
};

struct executor_conf {
    uint8_t secret[32];
    struct peer_id id; /* the public key of secret */
    uint8_t authority[32];
    uint8_t token[16]; /* enrolment */
    char name[NAME_MAX_BYTES + 1];
    uint16_t accept;      /* enum accept */
    uint16_t modes;       /* a bit for each enum mode that calls may have */
    uint8_t blocks;       /* percent of the own NAT's block that a session may open; 0: none */
    struct addr local;    /* of socket 0; a concrete address */
    struct addr override; /* an operator's port mapping to it; len 0: none */
    struct fence fence;   /* around the suite, whose addresses the join string tells */
    struct addr homes
        [JOIN_COORDINATORS_MAX]; /* these: the suite lives there, without anybody else's word */
    uint8_t n_homes;
    uint16_t sample_ports[SAMPLES_MAX];
    uint8_t n_samples;
};

/* What APP_INVITED tells, of a peer whose policy is to ask, and what APP_ANSWER says to it. */
struct invitation {
    struct sid session;
    struct peer_id peer;
    char name[NAME_MAX_BYTES + 1]; /* "" when the caller has none */
    uint32_t timeout_ms;           /* later answers are not waited for */
};
struct invitation_answer {
    struct sid session;
    bool accepted;
};

/* What IN_NETWORK brings when packets leave by another address now: where the sockets are bound. */
struct executor_sockets {
    struct addr local;
    uint16_t sample_ports[SAMPLES_MAX];
};

/* What APP_CONNECT asks for. */
struct connect_args {
    char target[NAME_MAX_BYTES + 1]; /* "" when target_id is given */
    struct peer_id target_id;
    uint16_t mode, policy;
    int64_t deadline_us; /* monotonic: settled by then, one way or another */
};

enum attempt_state {
    ATTEMPT_FREE,
    ATTEMPT_REQUESTED, /* waits for the order (side 0 only) */
    ATTEMPT_EXECUTING, /* ordered: binding, punching */
    ATTEMPT_DIRECT,
    ATTEMPT_RELAYED,
    ATTEMPT_FAILED,
    ATTEMPT_CLOSED,
    ATTEMPT_STATES
};

/* One way to the peer: 0 the relay, 1 direct. */
enum way { WAY_RELAY, WAY_DIRECT, WAYS };

struct way_state {
    uint16_t sock;         /* by which it is reached */
    struct addr remote;    /* where the peer is heard on this way */
    bool heard, confirmed; /* an authentic packet came; and both directions are proven */
    bool peer_confirmed;   /* the peer said that it has both directions */
    uint8_t burst;         /* punches sent so far in the schedule */
    uint8_t again;         /* that follow sooner than it says */
    int64_t next_punch_us; /* NEVER when the schedule is over or not begun */
    int64_t first_heard_us, confirmed_us, last_heard_us;
    int64_t asked_us; /* data came on a way that is not proven: when that was last asked for */
    int64_t next_ping_us;
    struct health health;
    uint64_t punches_sent, punches_received;
};

/* A side of a birthday attempt: the one whose ports are random opens many, the other one tries many. */
enum birthday_part {
    BIRTHDAY_NONE,
    BIRTHDAY_OPENS,
    BIRTHDAY_TRIES,
    BIRTHDAY_SCANS /* both random: see scan.c */
};

/*
 * Where the own NAT stands, if it gives out ports one after the other.  Some sockets of the pool ask a prober at
 * one instant; between each two of them a pin sends to the peer: what it got lies between what they got.
 */
struct look {
    bool pins; /* send some */
    bool
        keeps; /* the NAT gives a fresh socket its own port, once: that is the pin, and nobody is asked */
    uint8_t n; /* sockets that ask; 0: no look is under way */
    uint8_t tries, fresh;
    int64_t at_us, again_us; /* when they were opened; when to ask once more */
    struct {
        uint16_t sock, port; /* port 0: not answered */
        uint8_t txid[12];
        uint32_t opened; /* own mappings before */
    } v[LOOKS_MAX];
    struct addr server, pin_to;
};

/* A mapping that was seen: when, and how many the own sockets had made by then. */
struct sight {
    uint16_t port; /* 0: none */
    int64_t at_us;
    uint32_t opened;
};

/* A side of an attempt that begins with a look at one NAT or both. */
enum foreseen_phase {
    FORESEEN_NOT,
    FORESEEN_LOOKING,
    FORESEEN_WAITING, /* for the instant */
    FORESEEN_ARMED,
    FORESEEN_FIRED /* until the next round */
};

/* How many ports were tried at an ip. */
struct guesses {
    struct addr ip;
    int64_t since_us, next_us;
    uint32_t n;
};

/* What was sent to an ip that the coordinator calls a prober's or relay's: see aim.c. */
struct knocks {
    struct addr ip;
    int64_t full_us; /* when all of KNOCKS_MAX may be sent at once again */
    int64_t good_until_us;
};

/* How a peer's address became a candidate. */
enum candidate_by { BY_TOKEN, BY_LOCAL, BY_FORESIGHT, BY_HEARD };

struct attempt {
    enum attempt_state state;
    enum path_kind path; /* of the last settled state: outlives it in closed */
    bool asked;          /* the request has left (side 0) */
    bool opened;         /* the application knows of it */
    bool warm;
    bool direct_over; /* the direct techniques have had their time, or there are none */
    uint8_t side;
    uint16_t mode, policy;
    uint64_t nonce;
    char target[NAME_MAX_BYTES + 1];
    struct peer_id peer;
    char peer_name[NAME_MAX_BYTES + 1];
    struct addr caller_at; /* the ip that its word names, on side 1 */
    struct sid session;
    struct path_id own_path, peer_path;
    struct profile own_profile, their_profile;
    struct plan plan;
    enum verdict reason;     /* the coordinator's, for the plan */
    enum verdict verdict;    /* of the outcome */
    char kind[32];           /* of a failure */
    uint32_t retry_after_ms; /* when it is that of a limit; 0 when that is not known */
    uint8_t technique;       /* the direct one in force, or TECHNIQUE_NONE */
    uint32_t attempts;       /* orders received */
    uint32_t renewals;       /* the number of the last one for a session that was settled */
    int64_t renewed_us;      /* when it came */
    int64_t upgrade_us, upgrade_gap_us; /* on the relay: when to ask for another */
    int64_t deadline_us;                /* of the state */
    int64_t give_up_us;                 /* of direct techniques: start and span */
    int64_t asked_us, settled_us, result_us;
    struct addr candidates[CANDIDATES_MAX];
    uint8_t candidate_packets[CANDIDATES_MAX], candidate_by[CANDIDATES_MAX];
    struct {
        struct addr to;
        uint64_t echo;
    } owed; /* the pong that had no room among the candidates: for when the address is proven */
    uint8_t n_candidates;
    bool aside, peer_aside; /* it has waited for sockets that another session had */
    bool shares_address;    /* probers see both come from one */
    struct addr own_seen;   /* where the peer saw us */
    /* seals */
    uint8_t punch_key[2][32];  /* by side */
    uint8_t challenge_key[16]; /* of what a punch asks to be returned */
    uint64_t punch_counter;
    struct replay punch_replay;
    struct noise noise;
    bool has_noise_out, has_keys;
    uint8_t noise_out[NOISE_MSG];
    struct rekey_send send; /* once there are data keys */
    struct rekey_receive receive;
    /* ways */
    struct way_state way[WAYS];
    enum way flow; /* where data goes; meaningful when opened */
    struct {
        struct addr addr;
        uint8_t ticket[TICKET_BYTES];
        uint8_t nonce[RELAY_NONCE];
        bool bound, ready, refused;
        bool full;    /* one has said so, or the coordinator of all */
        bool told;    /* the coordinator, that this one is no good */
        bool waiting; /* until next_us for its word on another */
        uint8_t tries;
        int64_t next_us;
    } relay;
    struct half {
        struct addr to; /* own packets arrive there; len 0: nowhere */
        bool hears;     /* the peer's arrive here */
        uint8_t word[HALF_WORD], unanswered;
        int64_t ask_us, heard_us, next_us;
    } half;                  /* one direction only: see half.c */
    struct {                 /* to another relay: see swap.c */
        struct addr to, was; /* len 0: no move is under way; there was none */
        uint8_t ticket[TICKET_BYTES];
        uint8_t nonce[RELAY_NONCE];
        uint8_t tries;
        int64_t next_us;
    } swap;
    struct {
        enum birthday_part part;
        struct addr to; /* what the pool's sockets are opened for */
        struct addr ip; /* where ports are tried */
        uint32_t tried, at,
            stride; /* the sequence of ports: lo + at, then at += stride modulo their number */
        uint16_t lo, hi;
        uint16_t from;   /* the socket that tries */
        uint8_t range;   /* the next one */
        uint8_t at_once; /* that may still be tried without a pause */
        uint32_t left;   /* scans: mappings that may still be made */
        bool met;        /* scans: the peer's packets get in here, and ours there */
        uint8_t answers
            [SCAN_ANSWERS]; /* of scans, by the port that they went to; some ports share one */
        int64_t next_us;
    } birthday;
    struct { /* raw: see hand.c */
        enum { HAND_NONE, HAND_OFFERED, HAND_TAKEN, HAND_DONE } phase;
        enum way way;
        int64_t next_us;
        int64_t reserve_us; /* kept back of the deadline, to agree in */
    } hand;
    struct {
        enum foreseen_phase phase;
        bool looks, pins;
        uint16_t round, rounds; /* the one under way; how many to begin */
        uint16_t pin;           /* the socket that is known to have the port that was told */
        uint16_t sockets;       /* to open for the target */
        struct addr ip, target; /* the peer's; the port that is foreseen there, or len 0 */
        struct forecast own;
        int64_t began_us, own_us; /* the round; when own.port was given out */
        int64_t next_us;
    } foreseen;
    struct {           /* the direct way once it was left: see alive.c and moved.c */
        bool lost;     /* data goes over the relay, and the old address is asked whether it lives */
        bool guarded;  /* a pong from there proves nothing: a trial does */
        uint8_t words; /* copies of LEFT that are yet to be sent */
        uint8_t moves; /* and of MOVED */
        uint32_t times, peer_times; /* that this side has left it, and that the peer said so */
        int64_t left_us, won_us, hold_us, hold_until_us, answer_us;
        int64_t moved_us; /* when the peer's new addresses were last followed */
    } fault;
    int64_t last_data_us, last_sent_us; /* of the application: either way; out */
    uint64_t data_sent, data_received, data_dropped;
};

/* One prober address in the round of probing. */
struct probe_target {
    struct addr addr;
    uint8_t sock;
    uint8_t txid[12];
    uint8_t cookie[16];
    bool has_cookie, answered, done;
    uint8_t tries;
    int64_t sent_us, next_us;
    uint16_t rtt_ms;
    struct addr seen, before; /* and in the round before; len 0 when nowhere */
};

/* A socket for raw hand-over: see spare.c. */
struct spare {
    uint32_t number;                        /* growing; 0: none */
    bool is_new;                            /* not opened yet */
    uint16_t port;                          /* it is bound to */
    struct msg_token tokens[SPARE_TARGETS]; /* by prober address; len 0 until there is one */
};

/* What the NAT lets in: see filter.c. */
enum filter_ask { FILTER_OTHER_IP, FILTER_OTHER_PORT, FILTER_ASKS };
enum {
    FILTER_SOCKETS = 2, /* samples that ask */
    FILTER_TRIES = 4,   /* at 0, 100, 250 and 500 ms */
    FILTER_ROUNDS = 3,  /* of probing in which it may come to nothing, then nobody asks again */
    FILTER_SILENCE_US = 1000 * 1000, /* or three round trips, after the last try */
};
_Static_assert((int)FILTER_SOCKETS <= (int)SAMPLES_MAX, "samples ask");

/* Does the NAT bring back what is sent to its own outside?  See hairpin.c. */
enum {
    HAIRPIN_SOCK =
        SAMPLES_MAX, /* the sample that takes part beside socket 0; it doesn't ask for filtering */
    HAIRPIN_TRIES = 3,                /* at 0, 100 and 250 ms */
    HAIRPIN_SILENCE_US = 1000 * 1000, /* after the last try */
};
_Static_assert((int)HAIRPIN_SOCK > (int)FILTER_SOCKETS,
               "it sends to others, which would open a filter");

struct hairpin_test {
    enum { HAIRPIN_OFF, HAIRPIN_ASKING, HAIRPIN_KNOWN } state;
    enum hairpin is;
    struct addr outside[2]; /* of socket 0 and of the sample: exact words of fresh tokens */
    uint8_t txid[12];
    uint8_t tries;
    int64_t next_us;
    int64_t word_by_us; /* the classifier's, after the report; NEVER when none is waited for */
};

/* Does a packet that comes too early do harm, and with how many hops is the own NAT passed?  See early.c. */
enum {
    EARLY_TRIES = 4,    /* at 0, 100, 250 and 500 ms */
    EARLY_TTL_MAX = 8,  /* own NATs and routers beyond that are not passed on purpose */
    EARLY_WAY_MAX = 32, /* to a prober */
};

struct early_test {
    enum early_state { EARLY_OFF, EARLY_DUE, EARLY_ASKING, EARLY_KNOWN } state;
    enum clash clash;
    bool kills; /* the own NAT gives up a mapping when it is told of a TTL that ran out */
    uint8_t falls_short, reaches; /* TTLs: on the way to the prober */
    struct addr before; /* the control's, there, when packets that fall short are sent after it */
    uint8_t ttl, tried; /* that opens the own NATs and gets no farther than needed, 0: none known */
    int64_t next_us;
    struct addr server[4];
    struct early_socket {
        enum early_phase { EARLY_HERE, EARLY_IN, EARLY_OUT, EARLY_WAY, EARLY_DONE } phase;
        uint8_t ttl; /* 0: the control */
        uint8_t tries;
        bool heard, heard_port; /* from another ip that was not sent to, and from another port */
        bool far;               /* the low TTL arrived there */
        uint8_t txid[12], cookie[16];
        struct addr seen, out[4]; /* by the first address; by each at the end */
        int64_t began_us, rtt_us, next_us;
    } from[EARLY_SOCKETS];
};

/* How long does it keep a mapping?  See lifetime.c. */
enum { LIFETIME_TRIES = 4 };
struct lifetime_test {
    enum lifetime_state {
        LIFETIME_OFF,
        LIFETIME_DUE,
        LIFETIME_OPENING,
        LIFETIME_RESTING,
        LIFETIME_COOKIE, /* for the socket that asks */
        LIFETIME_ASKING,
        LIFETIME_KNOWN
    } state;
    uint8_t rest, fails; /* the one that is tried; how often in vain */
    uint8_t exchanges, tries;
    uint16_t port; /* that the NAT gave the resting socket; 0: not known */
    struct addr server;
    uint8_t txid[12], cookie[16];
    int64_t next_us;
};

/* From how many ports does it draw?  See range.c. */
struct range_test {
    enum { RANGE_OFF, RANGE_ASKING, RANGE_KNOWN } state;
    uint8_t n, tries;
    bool word_due; /* the classifier's, after the report */
    struct addr server;
    int64_t next_us;
    struct {
        uint8_t txid[12];
        struct addr seen; /* len 0 until it is answered */
        uint16_t local_port;
    } v[RANGE_SOCKETS];
};

struct filter_test {
    enum filter_state { FILTER_OFF, FILTER_ASKING, FILTER_KNOWN } state;
    struct addr server[4];
    bool heard[FILTER_ASKS];
    uint8_t rounds;
    int64_t rtt_us;
    int64_t word_by_us; /* the classifier's, after the report; NEVER when none is waited for */
    struct filter_socket {
        bool heard[FILTER_ASKS];
        bool begun, has_cookie;
        uint8_t cookie[16];
        uint8_t txid[FILTER_ASKS][12];
        uint8_t tries;
        int64_t next_us, silent_us;
    } from[FILTER_SOCKETS]; /* by sample */
};

/* A relay, and the way to it: see relays.c. */
struct relay_way {
    struct addr addr;
    struct path_id path; /* asked after, of nobody */
    int64_t sent_us;
    bool asked, answered;
    uint16_t rtt_ms;
};

/* An operator's word that a port of the own public ip leads to socket 0: see override.c. */
enum override_state {
    OVERRIDE_NONE,
    OVERRIDE_WAITING, /* for a round of probing, whose cookies are needed */
    OVERRIDE_ASKING,
    OVERRIDE_PROVEN,
    OVERRIDE_REFUSED, /* asked again after the next round */
    OVERRIDE_STATES
};
extern const char *const override_state_name[OVERRIDE_STATES];

struct override {
    enum override_state state, said; /* said: to the application */
    const char *why;                 /* of a refusal: static */
    struct addr claimed;
    struct addr prober; /* that is asked */
    uint8_t txid[12], cookie[16];
    bool challenged;
    uint8_t tries;
    int64_t next_us;
    struct msg_token token; /* len 0 when there is none */
};

struct executor_counters {
    uint64_t guesses, guesses_refused, looks; /* ports tried; and not, for the limit */
    uint64_t tokens_refused, strangers, knocks_refused, places_refused; /* aim.c */
    uint64_t refused_datagrams, refused_messages, punches_sent, replays, forged, orders_refused,
        upgrades_asked, relays_changed; /* changed: see swap.c */
};

struct executor {
    int64_t now_us; /* of the step in progress */
    struct executor_conf conf;
    struct rng rng;
    struct override override;
    struct relay_way relays[PROBERS_MAX];
    uint8_t n_relays;
    bool relays_due; /* to be measured with the next probes */
    bool link_up, attached, refused;
    bool attach_limited; /* the last answer to an attach: to come again later */
    bool told; /* a report to this coordinator can count: it has named probers since the attach */
    bool admitted; /* once: a coordinator that has no room for a new key now is asked again */
    char refused_kind[32];
    enum verdict refused_verdict;
    uint64_t instance; /* random: this process, not an earlier one with the same key */
    uint64_t attach_seq;
    int64_t next_attach_us, attach_every_us;
    int64_t next_enrol_us; /* NEVER, or when to knock again */
    struct prober_list probers;
    struct addr places[PLACES_KNOWN]; /* ips that the authority signed, as the coordinator told */
    uint8_t n_places, next_place;
    /* probing */
    struct probe_target targets[TARGETS_MAX + SAMPLES_MAX + SPARES_MAX * SPARE_TARGETS];
    uint8_t n_targets;
    uint32_t probe_serial;
    bool probing, profile_known, probed_once;
    bool full_round; /* the one under way, or the last, has samples */
    bool udp_silent; /* the last round had no answer at all, and nothing has come since */
    bool drifted;    /* the NAT shows another address than before: measure it anew */
    int64_t probe_began_us, probe_until_us, next_probe_us, profile_by_us;
    struct filter_test filter;
    struct hairpin_test hairpin;
    struct range_test range;
    struct lifetime_test lifetime;
    struct early_test early;
    struct spare spares[SPARES_MAX];
    uint32_t spare_number;              /* of the newest */
    struct msg_token_list tokens;       /* the newest good ones */
    int64_t token_time_ms, token_at_us; /* of the newest: a prober's clock, and ours then */
    struct profile profile;
    struct addr reflexive;
    int64_t upgrade_gate_us;
    int64_t keep_us; /* how long a mapping may be left alone */
    struct attempt attempts[ATTEMPTS_MAX];
    struct sid taken[ATTEMPTS_MAX]; /* invitations that the application took: the last of them */
    uint32_t n_taken;
    uint16_t pool_opened; /* its sockets from POOL_FIRST on */
    struct look look;
    struct sight sight;
    uint32_t opened;        /* own mappings made beside those of probing: by the pool, */
    uint32_t opened_asking; /* and by early.c and range.c: for what others make, see sight */
    uint32_t pool_owner;    /* number of the attempt whose pool is open, or ATTEMPTS_MAX */
    struct guesses guesses[GUESS_IPS_MAX];
    struct knocks knocks[KNOCK_IPS_MAX];
    struct executor_counters n;
};

void executor_init(struct executor *x, const struct executor_conf *conf,
                   const uint8_t rng_key[static 32]);
void executor_step(struct executor *x, const struct input *in, struct outputs *out);
int64_t executor_deadline(const struct executor *x);

/* The filtering or hairpinning is being measured, or the classifier's word on it is due; or what early packets do is. */
bool executor_early_pending(const struct executor *x);
bool executor_filter_pending(const struct executor *x);
bool executor_hairpin_pending(const struct executor *x);

/* Why and how an attempt ended, for reports: enum path_kind as DESIGN section 1 counts it. */
enum path_kind executor_path(const struct attempt *a);
/* Where data goes to; len 0 when nowhere. */
struct addr executor_remote(const struct attempt *a);
extern const char *const attempt_state_name[ATTEMPT_STATES];

#endif
