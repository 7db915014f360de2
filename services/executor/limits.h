/*
 * limits.h - how many, how large and how long, of what several files of the executor do or its structs hold; what one file
 * has for itself is there.  _US: microseconds.
 */
#ifndef EXECUTOR_LIMITS_H
#define EXECUTOR_LIMITS_H

#include "lib/core.h"
#include "lib/effort.h"

enum attempt_limits {
    ATTEMPTS_MAX = 128,
    RESERVED_ATTEMPTS = 24,          /* the last slots, for callers that hold few: */
    RESERVED_BY_KEY = 2,             /* of one key */
    RESERVED_BY_IP = 4,              /* of one ip */
    CANDIDATES_MAX = TOKENS_MAX + 3, /* the local address, the vouched ones, two it is heard at */
};

/* Sockets by number: 0 is the main one, and then each kind from its first one on. */
enum socket_numbers {
    SAMPLES_MAX = 3,               /* 1, 2, 3: show how the NAT allocates ports */
    SPARE_FIRST = SAMPLES_MAX + 1, /* kept for raw hand-over: spare.c */
    SPARES_MAX = 2,
    EARLY_FIRST = SPARE_FIRST + SPARES_MAX, /* early.c */
    EARLY_SOCKETS = 3,
    RANGE_FIRST = EARLY_FIRST + EARLY_SOCKETS, /* range.c */
    RANGE_SOCKETS = 7,
    POOL_FIRST = 16, /* that a birthday attempt opens: pool.c */
    POOL_SOCKETS = EFFORT_SOCKETS_birthday,
    KEPT_FIRST = POOL_FIRST + POOL_SOCKETS,      /* the one that it keeps, by attempt; raw: */
    RAW_RELAY_FIRST = KEPT_FIRST + ATTEMPTS_MAX, /* that is the direct way's, this the relay's */
    SOCKETS_MAX = RAW_RELAY_FIRST + ATTEMPTS_MAX,
};
_Static_assert((int)RANGE_FIRST + (int)RANGE_SOCKETS <= (int)POOL_FIRST, "numbers of sockets");

enum aim_limits {
    PACKETS_MAX =
        40, /* punches and pongs to one address in one attempt, from one socket, until it is proven */
    GUESSES_MAX = EFFORT_PORTS_birthday, /* ports tried at one ip in GUESS_WINDOW_US */
    GUESS_WINDOW_US = 600 * 1000000,
    GUESS_EVERY_US = 2212, /* with GUESS_AT_ONCE before and answers: 500 in any second */
    GUESS_AT_ONCE = 40,
    GUESS_BACK_AT_ONCE = 8, /* answers that run ahead of the pace */
    GUESS_IPS_MAX = 16,
    KNOCKS_MAX = 40, /* at once to what is called a prober or relay, until it answers as one */
    KNOCK_EVERY_US = 5 * 1000000,  /* one more of them in this time */
    KNOCK_GOOD_US = 600 * 1000000, /* for so long an answer counts */
    KNOCK_IPS_MAX = 16,
    PLACES_KNOWN = 32, /* ips of the suite; the oldest are forgotten */
};

/* ---- the coordinator ------------------------------------------------------------------------- */

enum attach_times {
    ENROL_AGAIN_US = 1000 * 1000, /* half to one and a half of it, when too many enrol at once */
    ATTACH_EVERY_MIN_US = 5 * 1000000, /* whatever the coordinator asks for */
    ATTACH_EVERY_MAX_US = 50 * 1000000,
    ATTACH_RETRY_US = 2 * 1000000,  /* while no answer has come */
    ATTACH_AGAIN_US = 500 * 1000,   /* it knows no prober yet, as after its restart */
    ANSWER_US = 500 * 1000,         /* a refusal's way back, of what the application gave */
    RESULT_EVERY_US = 60 * 1000000, /* tells it that the session still lives */
};

/* ---- the own NAT ----------------------------------------------------------------------------- */

enum probe_limits {
    TARGETS_MAX = 8,                /* prober addresses in one round */
    SPARE_TARGETS = 2,              /* of these, for each spare */
    PROBE_EVERY_US = 25 * 1000000,  /* under the 30 s mappings that exist, and the 50 s of tokens */
    PROBE_TRIES = 5,                /* at 0, 100, 250, 500 and 1,000 ms */
    PROBE_GIVE_UP_US = 1500 * 1000, /* a round is over: what hasn't answered won't */
    PROBE_LONGEST_US = 4 * 1000000, /* one in which each cookie gives its token as long once more */
    PROBE_SILENT_US = 5 * 1000000,  /* after a round without any answer, when to try again */
    PROFILE_WAIT_US = 1000 * 1000,  /* for the classifier, after the report */
    NETWORK_SETTLE_US = 500 * 1000, /* changes of a network come in bursts */
    NETWORK_EVERY_US = 5 * 1000000, /* between rounds that they cause */
    MEASURE_PACKETS_MAX = 60,       /* until all is known of the own NAT that peers are told */
    MEASURE_PACKETS_SLOW_MAX =
        150,                  /* where a round trip is longer than the first repetition waits */
    MEASURE_PACKETS_EACH = 4, /* and so many more for each address of probers beyond four */
    RANGE_DOUBT_MIN = 3,      /* ports that are to show more than luck */
    RANGE_SAMPLES = 12,       /* ports to know, and no more */
    RANGE_SPREAD_MAX = 2048,  /* ports further apart are of no block */
    BLOCKED_BINDS = 4, /* unanswered after unanswered probes, over 1 s: UDP is blocked here */
};

/* ---- opening a path -------------------------------------------------------------------------- */

enum open_limits {
    POOL_EVERY_US = 1000,      /* between POOL_BATCH openings */
    POOL_AGAIN_US = 50 * 1000, /* another session has it: when to look again */
    SCAN_ANSWERS = 64,
    LOOKS_MAX = 3,              /* sockets that look where the NAT stands; pins are between them */
    LOOK_TRIES = 8,             /* of a look, each with fresh sockets or once more with the same */
    LOOK_RETRY_US = 100 * 1000, /* or two round trips */
    LOOK_COUNT_US = 100 * 1000, /* between two looks that count what others take */
    LOOK_KEEP_US = 120 * 1000000, /* how long ago the earlier of the two may be */
    FORESEEN_ROUNDS = 3,          /* each begins with a look */
    ROUND_REST_US = 200 * 1000,   /* beside the time that arming took: when a round has missed */
    EARLY_KILLS_WAIT_US = 250 * 1000, /* the peer opens its NAT first */
    UPGRADE_LASTED_US = 64 * 1000000, /* a direct path that held so long is tried again soon */
    UPGRADE_SOON_US = 50 * 1000, /* one whose cause is known waits for the coordinator so often, */
    UPGRADE_SOON_FOR_US = 5 * 1000000, /* and so long, */
    UPGRADE_RETRY_US = 500 * 1000, /* and is asked for again so long after one without an answer, */
    UPGRADE_RETRY_MAX_US =
        16 * 1000000,               /* twice as long each time up to this, of whichever session */
    UPGRADE_CALM_US = 60 * 1000000, /* and after so long without any as at first */
    UPGRADE_GATE_US = 2 * 1000000,  /* between two such tries, of whichever sessions */
};

/* ---- keeping it ------------------------------------------------------------------------------ */

enum alive_limits {
    FLOW_US = 250 * 1000,         /* after a datagram was sent data flows */
    PACKETS_SOON = 10,            /* sent, and then */
    PING_SOON_US = 20 * 1000,     /* it is pinged so soon, and ... */
    PING_BUSY_US = 50 * 1000,     /* ... with less data, and ... */
    PING_IDLE_US = 500 * 1000,    /* ... until RELAY_BUSY_US after the last datagram */
    PING_DOUBT_US = 10 * 1000,    /* an answer is missing, with data flowing, and ... */
    PING_MISSED_US = 50 * 1000,   /* ... without: ten in a row, before a way is left */
    PINGS_SOON = 50,              /* unanswered: then they are fewer */
    PINGS_MISSED = 4,             /* for a way to be called silent */
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
    LEFT_COPIES = 3,
    HOLD_LASTED_US = 10 * 1000000, /* a way that was left sooner after it was good again waits */
    HOLD_FIRST_US = 2 * 1000000,
    HOLD_MAX_US = 64 * 1000000,
    ANSWERS_US = 20 * 1000000,      /* a way that was heard no longer ago is there, if bad */
    KEEP_US = 15 * 1000000,         /* RFC 8445 section 11, until more is known of the NAT */
    CONSENT_US = 30 * 1000000,      /* nothing authentic on any path: the peer is gone */
    CONSENT_LATE_US = 15 * 1000000, /* for the keepalive that came to nothing */
    LINGER_CLOSED_US = 2 * 1000000, /* answers stragglers of a closed session with nothing */
};

enum half_limits {
    HALF_AFTER_US = 500 * 1000,    /* heard for so long and without an answer: only half is there */
    HALF_BUSY_US = 200 * 1000,     /* between two questions beside data, and until the next try */
    HALF_IDLE_US = 5 * 1000000,    /* RFC 7675 section 5.1 */
    HALF_SILENT_US = 15 * 1000000, /* not asked for so long: the peer uses it no more */
    HALF_TRIES = 3,
    HALF_WORD = 8,
};

enum moved_limits {
    MOVED_SPAN_US = 3 * 1000000,
    MOVED_EVERY_US = 2 * 1000000,
    MOVED_COPIES = 4,
};

enum relay_limits {
    RELAY_OTHER_US = 1000 * 1000,    /* for the coordinator to name another one */
    RELAY_KEEP_BUSY_US = 500 * 1000, /* while data flows over it, to notice a restarted relay */
    HUSH_GAPS = 8,                   /* times the usual gap is a silence */
    HUSH_MIN_US = 20 * 1000,         /* and this at least */
    HUSH_LOOKS = 10,                 /* at a relay in one silence */
    RELAY_KEEP_IDLE_US = 15 * 1000000,
    RELAY_BUSY_US = 10 * 1000000, /* how long after a datagram a path counts as busy */
};

enum hand_limits {
    HAND_TIME_US = 1000 * 1000,  /* to agree on a raw hand-over, of the time there is */
    HAND_EVERY_US = 100 * 1000,  /* between two offers */
    HAND_SILENT_US = 500 * 1000, /* no more offers: the other side has handed over */
    HAND_GOS = 3,                /* copies of the last word */
};

#endif
