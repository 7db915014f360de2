/*
 * msg.h - messages as plain values, and their msgpack encoding.
 *
 * Everything here is expanded from schemas/messages.def.  A struct msg owns no memory: it can be
 * copied, compared, queued, replayed and thrown away.
 */
#ifndef MSG_H
#define MSG_H

#include "lib/addr.h"
#include "lib/id.h"
#include "lib/profile.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MSG_SIZE_MAX 4096 /* an encoded body; lib/msg.c proves at compile time that all fit */

/* The processes, by the part they play on the bus. */
enum role {
    SERVICE_none,
    SERVICE_prober,
    SERVICE_classifier,
    SERVICE_coordinator,
    SERVICE_executor,
    SERVICE_relay,
    SERVICE_COUNT
};
extern const char *const service_name[SERVICE_COUNT];

/* The largest address token of lib/token.h; that header asserts that they agree. */
enum {
    MSG_TOKEN_MAX = 136,
    TOKENS_MAX = 4,
    PROBERS_MAX = 4,
    OBSERVATIONS_MAX = 16,
    STEPS_MAX = 6,
    PLACES_MAX = 12,
    DAYKEYS_LIVE = 2, /* of each prober */
    DAYKEYS_MAX = PROBERS_MAX * DAYKEYS_LIVE
};

/* A prober's signed word that a peer was seen at an address; bytes as lib/token.h lays them out. */
struct msg_token {
    uint8_t len;
    uint8_t b[MSG_TOKEN_MAX];
};

struct msg_token_list {
    uint8_t n;
    struct msg_token v[TOKENS_MAX];
};

/* A prober: its Ed25519 key, certified by the suite's authority, and where it listens. */
struct prober_info {
    uint8_t key[32];
    uint8_t cert[64];
    uint8_t n_addrs; /* address 1 port 1, a1p2, a2p1, a2p2; or the first two alone */
    struct addr addrs[4];
};

struct prober_list {
    uint8_t n;
    struct prober_info v[PROBERS_MAX];
};

/* An ip that the authority says the suite lives at (lib/token.h); its port is 0. */
struct place {
    struct addr ip;
    uint8_t cert[64];
};

struct place_list {
    uint8_t n;
    struct place v[PLACES_MAX];
};

/* The key that a prober signs tokens with on a day, and its word on it (lib/daykey.h). */
struct daykey {
    uint8_t prober[8]; /* first bytes of its long-term key */
    uint32_t day;
    uint8_t key[32], cert[64];
};

struct daykey_list {
    uint8_t n;
    struct daykey v[DAYKEYS_MAX];
};

/* One answered probe: from which local socket (0 is the one that punches), by whom, what it saw. */
struct observation {
    uint8_t sock;
    uint16_t local_port;
    uint16_t rtt_ms; /* 65535 when longer */
    struct addr prober, seen;
};

struct observation_list {
    uint8_t n;
    struct observation v[OBSERVATIONS_MAX];
};

/* One technique of a plan (enum technique in lib/strategy.h) and its parameters. */
struct step {
    uint8_t technique;
    uint8_t role;      /* which side dials or sends first: 0, 1, or 2 for both */
    uint32_t start_us; /* after the order's fire_in_us */
    uint32_t span_us;  /* how long it is tried */
};

struct plan {
    uint8_t n;
    struct step v[STEPS_MAX];
};

/* What a technique cost on one side, and what came in. */
struct tried_one {
    uint8_t technique;
    uint32_t sent, received;
};

struct tried {
    uint8_t n;
    struct tried_one v[STEPS_MAX];
};

typedef uint16_t msg_u16;
typedef uint32_t msg_u32;
typedef uint64_t msg_u64;
typedef bool msg_bool;
typedef struct addr msg_addr;
typedef struct peer_id msg_id;
typedef struct sid msg_sid;
typedef struct msg_token_list msg_tokens;
typedef struct profile msg_profile;
typedef struct plan msg_plan;
typedef struct prober_list msg_probers;
typedef struct place_list msg_places;
typedef struct daykey_list msg_daykeys;
typedef struct observation_list msg_observations;
typedef struct tried msg_tried;

/* clang-format off */
enum msg_type {
#define MSG(name, doc) MSG_##name,
#include "schemas/messages.def"
    MSG_TYPE_COUNT
};

#define MSG(name, doc) struct msg_##name {
#define FIELD(kind, name) msg_##kind name;
#define OPT(kind, name) msg_##kind name;
#define TEXT(name, max) char name[(max) + 1];
#define BLOB(name, max) struct { uint16_t len; uint8_t b[max]; } name;
#define END(name) };
#include "schemas/messages.def"

struct msg {
    enum msg_type type;
    union {
#define MSG(name, doc) struct msg_##name name;
#include "schemas/messages.def"
    };
};
/* clang-format on */

enum msg_err { MSG_OK, MSG_UNKNOWN_TYPE, MSG_MALFORMED, MSG_BAD_FIELD };
extern const char *const msg_err_name[];
extern const char *const msg_name[MSG_TYPE_COUNT];

/* Does the schema let this service send this message to that one? */
bool msg_routed(enum msg_type type, enum role from, enum role to);

/* Encode m's body into buf and return its length.  Cannot fail: see MSG_SIZE_MAX. */
size_t msg_encode(const struct msg *m, char buf[static MSG_SIZE_MAX]);

/*
 * Decode an untrusted body.  On failure *m is unspecified, and *field (when not NULL) names the
 * offending field or is NULL.  Bounds are walked before msgpack-c allocates anything.
 */
enum msg_err msg_decode(struct msg *m, const char *type, const char *buf, size_t len,
                        const char **field);

/* Write m as one line of text, for logs and test transcripts.  Always terminated; truncates to fit. */
void msg_format(const struct msg *m, char *buf, size_t cap);

/* For TEXT fields: copy at most cap - 1 bytes, always terminated. */
static inline void msg_text(char *dst, size_t cap, const char *src)
{
    size_t n = strlen(src);

    if (n >= cap)
        n = cap - 1;
    memcpy(dst, src, n);
    memset(dst + n, 0, cap - n); /* the whole field: messages are compared as bytes */
}

#endif
