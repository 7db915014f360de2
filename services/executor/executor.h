/*
 * executor - runs at the peer: probes, punches, keeps the path alive, hands datagrams to the application.
 *
 *   in:    enrolled, attached, detached, nat_profile, punch_coordinate, punch_execute, punch_refused, punch_cancel,
 *          invite; datagrams of probers, relays and peers; APP_CONNECT, APP_SEND, APP_CLOSE; link up and down;
 *          the host's network has changed
 *   state: what is known of the own NAT; one slot per attempt,
 *          requested -> executing -> direct | relayed | failed -> closed
 *          An order that was not asked for is followed when the accept policy says so.
 *   out:   enrol, attach, reflex_report, punch_request, punch_sample, punch_ack, punch_result, punch_cancel;
 *          probes, punches, pongs, relay control and data; APP_ events
 *
 * Socket 0 carries all managed sessions and is the one that probers vouch for; sockets 1.. are samples that show how the
 * NAT allocates ports; a raw session has sockets of its own (spare.c, hand.c).  It talks to its own coordinator only; that
 * one may be lying, so addresses count by the probers' signatures alone and everything else by the peer's seal.
 *
 * attempt.h has one session, own_nat.h what is measured of the NATs here, limits.h the limits, internal.h what the
 * files of the core share.
 */
#ifndef EXECUTOR_H
#define EXECUTOR_H

#include "lib/daykey.h"
#include "lib/fence.h"
#include "lib/join.h"
#include "lib/rng.h"
#include "services/executor/attempt.h"
#include "services/executor/own_nat.h"

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
    uint8_t n_homes;
    struct addr homes[JOIN_COORDINATORS_MAX]; /* these addresses: they need nobody else's word */
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

/* How many ports were tried at an ip: see aim.c. */
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
    struct daykey_list daykeys;       /* which they have signed */
    bool daily;                       /* tokens by them are asked for */
    struct addr places[PLACES_KNOWN]; /* ips that the authority signed, as the coordinator told */
    uint8_t n_places, next_place;
    /* probing */
    struct probe_target targets[TARGETS_MAX + SAMPLES_MAX + 1 + SPARES_MAX * SPARE_TARGETS];
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
    int64_t upgrade_gate_us, upgrade_retry_us; /* until when none is asked for; the last such gap */
    int64_t keep_us;                           /* how long a mapping may be left alone */
    struct attempt attempts[ATTEMPTS_MAX];
    struct sid taken[ATTEMPTS_MAX]; /* invitations that the application took: the last of them */
    uint32_t n_taken;
    uint16_t pool_opened; /* its sockets from POOL_FIRST on */
    struct look look;
    struct sight sight;
    uint32_t measured;      /* packets of the round that measures all: measure.c */
    uint32_t opened;        /* own mappings made beside those of probing: by the pool, */
    uint32_t opened_asking; /* and by early.c, range.c, spare.c: for what others make, see sight */
    uint32_t pool_owner;    /* number of the attempt whose pool is open, or ATTEMPTS_MAX */
    struct guesses guesses[GUESS_IPS_MAX];
    struct knocks knocks[KNOCK_IPS_MAX];
    struct executor_counters n;
};

/* lib/core.h is the contract of these three; conf is copied. */
void executor_init(struct executor *x, const struct executor_conf *conf,
                   const uint8_t rng_key[static 32]);
void executor_step(struct executor *x, const struct input *in, struct outputs *out);
int64_t executor_deadline(const struct executor *x);

/* Is all known of the own NAT that peers are told? */
bool executor_whole(const struct executor *x);
/* The filtering, hairpinning or block is being measured, or the classifier's word on it is due; or what early packets do is. */
bool executor_range_measuring(const struct executor *x);
bool executor_early_pending(const struct executor *x);
bool executor_filter_pending(const struct executor *x);
bool executor_hairpin_pending(const struct executor *x);

/* Why and how an attempt ended, for reports: enum path_kind as DESIGN section 1 counts it. */
enum path_kind executor_path(const struct attempt *a);
/* Where data goes to; len 0 when nowhere. */
struct addr executor_remote(const struct attempt *a);
extern const char *const attempt_state_name[ATTEMPT_STATES];

#endif
