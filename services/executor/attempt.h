/*
 * attempt.h - one session as this side has it, from the request or order to its end: where the peer may be, the seals,
 * the two ways to it, and what is under way to open, keep, change or hand over one of them.
 */
#ifndef EXECUTOR_ATTEMPT_H
#define EXECUTOR_ATTEMPT_H

#include "lib/noise.h"
#include "lib/packet.h"
#include "lib/rekey.h"
#include "lib/relaywire.h"
#include "lib/strategy.h"
#include "services/executor/forecast.h"
#include "services/executor/health.h"
#include "services/executor/limits.h"

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

/* A side of an attempt that begins with a look at one NAT or both. */
enum foreseen_phase {
    FORESEEN_NOT,
    FORESEEN_LOOKING,
    FORESEEN_WAITING, /* for the instant */
    FORESEEN_ARMED,
    FORESEEN_FIRED /* until the next round */
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
    int64_t upgrade_soon_us;            /* until when as soon as it can be answered; or 0 */
    int64_t deadline_us;                /* of the state */
    int64_t give_up_us;                 /* of direct techniques: start and span */
    int64_t span_us;                    /* of one that sends by a schedule, else 0 */
    bool peer_is_there;                 /* it has its order too */
    bool waits; /* the span is over, and goes on while there is nothing else */
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
    struct { /* of the flow over it: see hush.c */
        int64_t heard_us, gap_us, next_us;
        uint8_t looks;
    } hush;
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
        /* the sequence of ports: lo + at, then at += stride modulo their number */
        uint32_t tried, at, stride;
        uint16_t lo, hi;
        uint16_t tries;  /* in all ranges */
        uint16_t from;   /* the socket that tries */
        uint8_t range;   /* the next one */
        uint8_t at_once; /* that may still be tried without a pause */
        uint32_t left;   /* scans: mappings that may still be made */
        bool taken_too;  /* scans: what is left of the round are ports that seem to be taken */
        bool met;        /* scans: the peer's packets get in here, and ours there */
        /* of scans, by the port that they went to; some ports share one */
        uint8_t answers[SCAN_ANSWERS];
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
        struct addr seen; /* where a prober saw this host when the path was proven */
    } fault;
    int64_t last_data_us, last_sent_us; /* of the application: either way; out */
    uint64_t data_sent, data_received, data_dropped;
};

#endif
