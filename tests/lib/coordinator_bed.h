/*
 * coordinator_bed.h - a coordinator's core on the bench: peers, a prober and a relay with real keys, a
 * store in memory, and a transcript of all that comes out.
 */
#ifndef COORDINATOR_BED_H
#define COORDINATOR_BED_H

#include "services/coordinator/coordinator.h"

enum {
    BED_PEERS = 200,
    BED_CONTACTS = 2000,
    BED_HISTORIES = 8,
    BED_TEXT = 65536,
    BED_WALL_START_MS = 1700000000,
};

struct bed {
    struct coordinator core;
    struct coordinator_conf conf;
    void *memory;
    struct outputs out; /* of the last step, and of the store answers it led to the last */
    int64_t now_us;
    struct addr source; /* of all connections; len 0: not known */
    uint8_t prober_public[32], prober_secret[64], authority_secret[64];
    struct prober_info prober;
    struct msg_relay_hello relay;
    struct { /* the store: records by peer */
        bool away, names_spent;
        size_t n;
        struct dir_record v[BED_PEERS];
        size_t n_contacts;
        struct peer_id contacts[BED_CONTACTS][2];
        bool learns; /* else contacts leave no trace in the next line, and transcripts */
        size_t n_histories;
        struct { /* of the two that met first, then of their classes, and so on */
            struct history_key key;
            struct history is;
        } histories[BED_HISTORIES];
        unsigned puts;
    } store;
    void (*watch)(void *arg, const struct output *o); /* sees every output, when set */
    void *watch_arg;
    struct sid last;     /* of the last punch_coordinate or note */
    struct msg order[2]; /* the last punch_coordinate by side */
    size_t len;
    char text[BED_TEXT];
};

/* A core with tables of these sizes (0: the defaults), a live prober and a live relay; now is 1 s. */
void coordinator_bed_init(struct bed *b, uint32_t peers_max, uint32_t sessions_max);
/* The same just started: no prober and no relay has said hello. */
void coordinator_bed_init_alone(struct bed *b, uint32_t peers_max, uint32_t sessions_max);
void coordinator_bed_fini(struct bed *b);

struct peer_id
coordinator_bed_peer(unsigned i); /* the i-th peer's id; it is called p<i> in the transcript */
uint32_t coordinator_bed_conn(unsigned i); /* its usual connection */
struct msg_token coordinator_bed_token(const struct bed *b, unsigned peer, uint16_t port,
                                       int64_t age_ms);

void coordinator_bed_step(struct bed *b, const struct input *in);
void coordinator_bed_from_peer(struct bed *b, unsigned i,
                               const struct msg *m); /* on its usual connection */
void coordinator_bed_from_conn(struct bed *b, unsigned i, uint32_t conn, const struct msg *m);
void coordinator_bed_from_suite(struct bed *b, enum role from, const struct msg *m);
void coordinator_bed_prober_hello(struct bed *b);
void coordinator_bed_relay_hello(struct bed *b);
void coordinator_bed_hellos(struct bed *b); /* both */

/* Let time pass: every tick that is due until then, with hellos every 2 s. */
void coordinator_bed_pass(struct bed *b, int64_t ms);
/* The same without the prober and the relay. */
void coordinator_bed_pass_alone(struct bed *b, int64_t ms);

void coordinator_bed_attach(struct bed *b, unsigned i, const char *name);
void coordinator_bed_attach_as(struct bed *b, unsigned i, uint32_t conn, const char *name,
                               uint64_t seq, uint16_t accept);
void coordinator_bed_profile(struct bed *b, unsigned i, uint8_t mapping, uint8_t filtering,
                             uint8_t allocation);
void coordinator_bed_report(struct bed *b, unsigned i, uint16_t port); /* with one fresh token */
/* Attached, measured as EI/APD preserving, with a token; the transcript is emptied. */
void coordinator_bed_ready(struct bed *b, unsigned i, const char *name);
struct msg coordinator_bed_request(const char *target, uint64_t nonce);
struct msg coordinator_bed_result(const struct bed *b, enum path_kind path,
                                  enum technique technique, const char *verdict);

void coordinator_bed_ask(struct bed *b, unsigned from, const char *target, uint64_t nonce);
/* What came of the last session, by this side's report: of a synchronous try, when direct. */
void coordinator_bed_tell(struct bed *b, unsigned from, enum path_kind path, const char *verdict);
const struct coordinator_session *coordinator_bed_session(const struct bed *b); /* the last */
/* A and B are here and measured ... */
void coordinator_bed_two(struct bed *b);
/* ... and A has asked for B; the transcript is emptied. */
void coordinator_bed_ordered(struct bed *b);

void coordinator_bed_forget(struct bed *b); /* empties the transcript */
/* coordinator_store.c: what the store says to that output. */
struct input coordinator_bed_answer(struct bed *b, const struct output *o);

/* How the transcript goes on once A may call B, both measured, and both get their orders at once. */
#define COORDINATOR_BED_ORDERS                                                      \
    "inviting -> coordinating: direct-synchronous\n"                                \
    "p0: punch_coordinate side=0 to=bob own=1 theirs=1 plan=synchronous,relayed "   \
    "reason=direct-synchronous relay=yes deadline=15000 warm\n"                     \
    "p1: punch_coordinate side=1 to=alice own=1 theirs=1 plan=synchronous,relayed " \
    "reason=direct-synchronous relay=yes deadline=15000 warm\n"

/* Compare the transcript since the last time, and empty it. */
void coordinator_bed_expect(struct bed *b, const char *text, int line);
#define expect(b, text) coordinator_bed_expect((b), (text), __LINE__)

#endif
