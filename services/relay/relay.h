/*
 * relay - carries sealed datagrams that cannot go direct.
 *
 *   in:    BIND, PROVE, KEEP and forwarded packets over UDP (lib/relaywire.h, lib/packet.h)
 *   state: one slot per session;  free -> waiting <-> ready -> free
 *   out:   answers and forwarded packets over UDP; relay_hello, relay_usage to the coordinator
 *
 * Nothing is kept for who hasn't proved its address and shown a coordinator's ticket.  A side that is
 * silent for RELAY_IDLE_US or whose ticket has expired is dropped, and its session with the last one;
 * after a restart UNKNOWN makes the peers bind again.  A packet goes only to an address that completed
 * the handshake; other answers go to the source and are not larger than what they answer.
 *
 * Tickets are opened by the secret of this period and that of the one before (lib/ticket.h); coordinators hear at
 * once when there is another, and seal the tickets of their sessions anew.
 *
 * A raw side is known by its source alone, so that its packets can be anything: whatever no path id directs
 * goes to the other end of its session, but BIND, PROVE, and KEEP of its own path id, which are for us.
 *
 * A relay may be several of these, its workers, that share nothing but a count (struct relay_load) and a table of
 * marks.  A session is one worker's: the ticket says whose (lib/ticket.h), and what came to another one
 * relay_worker_of() brings there.
 */
#ifndef RELAY_H
#define RELAY_H

#include "lib/core.h"
#include "lib/deadlines.h"
#include "lib/fence.h"
#include "lib/relaywire.h"
#include "lib/rng.h"
#include "lib/strategy.h"
#include "lib/table.h"
#include "services/relay/express.h"
#include "services/relay/marks.h"
#include "services/relay/quota.h"

enum {
    RELAY_SESSIONS_DEFAULT = 10000,
    RELAY_SESSIONS_MAX = 1000000,
    RELAY_COORDINATORS_MAX = 8,
    RELAY_PROOFS = 2,       /* keys whose tickets the kernel can tell: of one coordinator */
    RELAY_SOURCE_KEY = 19,  /* length, ip and port */
    RELAY_STRANGERS = 4096, /* cells of the limiter of UNKNOWN; so at most as many a second */
    RELAY_HELLO_US = 1000000,
    RELAY_HELLO_DRAIN_US = 50000, /* each moves some of its sessions elsewhere */
    RELAY_USAGE_US = 10000000,    /* between a session's reports, when anything flowed */
    RELAY_IDLE_US = 60000000,
    RELAY_COOKIE_US = 60000000, /* a cookie is good for this long, and at most twice this */
    RELAY_STRANGER_US = 1000000,
};
/* A ticket that lasts longer has to be shown again after this. */
#define RELAY_TICKET_LIFE_MAX_MS (INT64_C(30) * 86400000)

/* Monotonic counters, in the order in which `state` prints them. */
/* clang-format off */
#define RELAY_COUNTERS(X) \
    X(forwarded_packets) X(forwarded_bytes) \
    X(by_xdp)            /* of those packets; counted when their session is looked at */ \
    X(dropped_waiting)   /* the other side is not bound */ \
    X(dropped_rate) X(dropped_quota) \
    X(strangers)         /* packets of ours from where no side is bound */ \
    X(strangers_told)    /* those answered with UNKNOWN */ \
    X(malformed)         /* not a packet of ours at all */ \
    X(challenged) X(bad_cookie) X(bad_ticket) X(expired_ticket) X(refused_full) X(refused_draining) \
    X(bound) X(rebound) X(repeated) /* rebound: a side's address has changed; repeated: nothing has */ \
    X(kept) X(keep_unknown) \
    X(sessions_opened) X(sessions_ended) X(sides_dropped)
struct relay_counters {
#define X(name) uint64_t name;
    RELAY_COUNTERS(X)
#undef X
};
/* clang-format on */

enum relay_state { RELAY_STATE_FREE, RELAY_STATE_WAITING, RELAY_STATE_READY };

struct relay_side {
    struct addr addr; /* proven; len 0 while not bound */
    uint8_t nonce[RELAY_NONCE];
    int64_t seen_us, expires_us;
    int64_t expires_ms; /* of the ticket that the limits are from; a later one replaces it */
    struct quota quota;
    bool raw; /* its packets are whatever its application sends: the source alone tells */
};

struct relay_session {
    enum relay_state state;
    struct sid sid;
    uint32_t end[2]; /* slots in the table of ends, by side */
    struct relay_side side[2];
    uint64_t packets, bytes; /* since the last report */
    struct relay_fast {      /* by the end that packets go to: what the kernel forwards by itself */
        uint32_t at;         /* its cell */
        uint64_t packets;    /* of it, counted so far */
        uint64_t lent;       /* of the sender's quota, less what is counted so far */
    } fast[2];
    int64_t report_us;
};

/* What the workers of a relay have in common. */
struct relay_load {
    uint32_t sessions, sessions_max;
    uint8_t cookie_key[32]; /* one makes a cookie, another one may be shown it */
};

struct relay_conf {
    uint8_t secret[32];       /* X25519: tickets are sealed to its public key */
    uint8_t cert[64];         /* the authority's, for that public key */
    struct place_list places; /* and for public_addr, if it has given one */
    uint8_t coordinators[RELAY_COORDINATORS_MAX][32];
    size_t n_coordinators;
    struct addr public_addr; /* where peers find us */
    uint32_t sessions_max;
    int64_t ticket_period_ms;   /* 0: TICKET_PERIOD_MS */
    struct marks marks;         /* to be kept up to date, all free; without cells there is none */
    struct express express;     /* the same, of what the kernel shall forward by itself */
    uint64_t (*proofs)[2];      /* RELAY_PROOFS, by which the kernel shall tell tickets; or NULL */
    unsigned worker, n_workers; /* this one, and how many there are; n_workers 0 is one */
    struct relay_load *load;    /* of several; sessions_max of the conf is then this one's share */
    uint8_t link; /* by which the coordinator is on another host; 0: it is on this bus */
};

struct relay {
    struct relay_counters n;
    int64_t now_us, wall_ms; /* of the step in progress */
    int64_t hello_us;
    uint64_t epoch; /* random: tells one life of a relay from the next */
    struct rng rng;
    struct addr public_addr;
    uint8_t public_key[32], cert[64];
    struct place_list places;
    uint8_t secret[32], coordinators[RELAY_COORDINATORS_MAX][32];
    size_t n_coordinators;
    int64_t ticket_period_ms;
    uint64_t period;                                      /* its number; 0: there was none yet */
    uint8_t ticket_key[32];                               /* of this period, public */
    uint8_t keys[2 * RELAY_COORDINATORS_MAX][TICKET_KEY]; /* of this period and the one before */
    size_t n_keys;
    uint64_t (*proofs)[2];        /* of the first of these (ticket_proof_key), for the kernel */
    uint64_t cookie_period;       /* its number; 0: there was none yet */
    uint8_t cookie_secret[2][32]; /* of this period and the one before */
    uint8_t stranger_secret[16];
    int64_t stranger_us[RELAY_STRANGERS]; /* no UNKNOWN to sources of this cell before that */
    struct table by_sid;                  /* slot: session */
    struct table by_path;                 /* path id of an end; slot: end */
    uint32_t *end_of;                     /* by end: session << 1 | side */
    struct table by_source;               /* addresses of bound raw ends */
    uint32_t *source_of;                  /* by end: slot in by_source, or TABLE_NONE */
    uint32_t *end_by_source;              /* by slot of by_source */
    struct relay_session *sessions;
    struct deadlines due; /* by session */
    struct marks marks;   /* path ids of sessions and sources of raw sides, for the kernel */
    struct express express;
    unsigned n_workers; /* of which this is marks.worker */
    struct relay_load own, *load;
    bool draining, told_so; /* told_so: in a hello */
    uint8_t link;           /* to the coordinator */
};

/* Of several workers the first one speaks for all. */
static inline void relay_hello_now(struct relay *r)
{
    if (r->hello_us != NEVER)
        r->hello_us = r->now_us;
}

/* The share of a worker in so many sessions: they don't come in equal numbers. */
uint32_t relay_share(uint32_t sessions_max, unsigned n_workers);

/* Bytes of memory that relay_init needs, aligned as for int64_t. */
size_t relay_bytes(const struct relay_conf *conf);

/* False when a coordinator's key has small order. */
bool relay_init(struct relay *r, const struct relay_conf *conf, const uint8_t rng_key[static 32],
                void *memory);
void relay_step(struct relay *r, const struct input *in, struct outputs *out);
int64_t relay_deadline(const struct relay *r); /* when to tick next */

/* From now on no session is opened, and coordinators are told that there is no room. */
void relay_drain(struct relay *r);
bool relay_drained(
    struct relay *r); /* none of the workers carries anything, and coordinators know */

/* Which worker a datagram is for that relay_forward() leaves to the step. */
unsigned relay_worker_of(const struct relay *r, const struct addr *src, const uint8_t *data,
                         size_t len);

/*
 * The data plane, for loops that forward in batches and give the core only what is for it:
 * RELAY_FORWARD: send the datagram, unchanged, to *dst (borrowed until the next call).
 * RELAY_DROP: do nothing.  RELAY_STEP: none of a bound side; relay_step has to see it.
 */
enum relay_fate { RELAY_FORWARD, RELAY_DROP, RELAY_STEP };
enum relay_fate relay_forward(struct relay *r, int64_t now_us, const struct addr *src,
                              const uint8_t *data, size_t len, const struct addr **dst);

#endif
