/* own_nat.h - what the executor measures of the NATs that it is behind, each with the file that does. */
#ifndef EXECUTOR_OWN_NAT_H
#define EXECUTOR_OWN_NAT_H

#include "services/executor/limits.h"

/* One prober address in the round of probing. */
struct probe_target {
    struct addr addr;
    uint8_t sock;
    bool plain; /* where it is seen is all: no token */
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
enum filter_vote { FILTER_ABSENT, FILTER_OPEN, FILTER_HEARD, FILTER_SILENT }; /* of a socket */
enum {
    FILTER_SOCKETS = 2, /* samples that ask */
    FILTER_TRIES = 4,   /* at 0, 100, 250 and 500 ms */
    FILTER_ROUNDS = 3,  /* of probing in which it may come to nothing, then nobody asks again */
    FILTER_SILENCE_US = 600 * 1000, /* or three round trips, after the last try */
};
_Static_assert((int)FILTER_SOCKETS <= (int)SAMPLES_MAX, "samples ask");

struct filter_test {
    enum filter_state { FILTER_OFF, FILTER_ASKING, FILTER_KNOWN } state;
    struct addr server[4];
    bool heard[FILTER_ASKS];
    uint8_t rounds;
    int64_t rtt_us;
    int64_t word_by_us; /* the classifier's, after the report; NEVER when none is waited for */
    struct filter_socket {
        bool heard[FILTER_ASKS];
        bool ready, begun, over, has_cookie; /* ready: its plain answer has come */
        uint8_t cookie[16];
        uint8_t txid[FILTER_ASKS][12];
        uint8_t tries;
        int64_t next_us, silent_us;
    } from[FILTER_SOCKETS]; /* by sample */
};

/* Does the NAT bring back what is sent to its own outside?  See hairpin.c. */
enum {
    HAIRPIN_SOCK = SAMPLES_MAX,      /* beside socket 0; it doesn't ask for filtering */
    HAIRPIN_TRIES = 3,               /* at 0, 100 and 250 ms */
    HAIRPIN_SILENCE_US = 600 * 1000, /* after the last try */
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
    EARLY_TRIES = 4,                /* at 0, 100, 250 and 500 ms */
    EARLY_TTL_MAX = 8,              /* own NATs and routers beyond that are not passed on purpose */
    EARLY_WAY_MAX = 32,             /* to a prober */
    EARLY_SAMPLE = SAMPLES_MAX + 1, /* to the classifier: the samples' numbers go on */
    EARLY_CONTROL = 0,              /* the first socket sends nothing before its time */
    EARLY_FAR = 3,                  /* of the prober's addresses: another ip and port */
    EARLY_PER_TURN = EARLY_SOCKETS - 1, /* that try a TTL each, beside the control */
};

struct early_test {
    enum early_state { EARLY_OFF, EARLY_DUE, EARLY_ASKING, EARLY_KNOWN } state;
    bool open;        /* its sockets are */
    enum clash clash; /* by the control */
    bool told;        /* the control's is */
    bool cut;         /* packets were not sent, so that silence tells nothing */
    bool ways;        /* TTLs are looked for, or were */
    bool kills;       /* the own NAT gives up a mapping when it is told of a TTL that ran out */
    uint8_t falls_short, reaches; /* TTLs: on the way to the prober, see hops.c */
    struct addr before; /* the control's, there, when packets that fall short are sent after it */
    uint8_t ttl, tried; /* that opens the own NATs and gets no farther than needed, 0: none known */
    int64_t next_us;
    uint32_t opened; /* own mappings before */
    struct addr server[4];
    struct {
        struct addr seen; /* len 0 until it is answered */
        uint16_t local_port, rtt_ms;
    } first[EARLY_SOCKETS]; /* of the first turn, whose mappings are as old as the round's own */
    struct early_socket {
        enum early_phase { EARLY_DONE, EARLY_HERE, EARLY_IN, EARLY_OUT, EARLY_WAY } phase;
        uint8_t ttl; /* 0: the control */
        bool asked;  /* others to send to it */
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
    bool open; /* its sockets are */
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

/*
 * Where does it stand, if it gives out ports one after the other?  Some sockets of the pool ask a prober at
 * one instant; between each two of them a pin sends to the peer: what it got lies between what they got.  See look.c.
 */
struct look {
    bool pins;  /* send some */
    bool keeps; /* the NAT gives a fresh socket its own port, once: that is the pin; nobody asks */
    uint8_t n;  /* sockets that ask; 0: no look is under way */
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

#endif
