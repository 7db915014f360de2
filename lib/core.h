/*
 * core.h - the contract between a core and whatever drives it.
 *
 *     input -> step(state) -> outputs
 *
 * A core is a plain struct and a step function.  It does no I/O, reads no clock, allocates nothing,
 * logs nothing and touches no global; time and randomness come in, decisions go out as values.  Three
 * drivers run the same cores: the shells (real time), transcript tests, and tests/sim (virtual time).
 *
 * Outputs are carried out in order, except that store rows are persisted before any message leaves.
 */
#ifndef CORE_H
#define CORE_H

#include "lib/history.h"
#include "lib/msg.h"

#include <assert.h>

#define NEVER INT64_MAX

enum { DATAGRAM_MAX = 1472 }; /* payload of one UDP datagram in a 1,500 byte MTU without options */

/* Who sent a message: a service on the bus, or a peer whose id ZAP proved. */
struct sender {
    enum role service;
    struct peer_id peer; /* SERVICE_executor, or of a link: the key that CURVE authenticated */
    uint32_t conn;  /* SERVICE_executor: the connection, to answer on; never reused within 2^32 */
    bool enrolling; /* came in by the enrolment socket, where any key may knock */
    struct addr
        source;   /* SERVICE_executor: the ip that the connection comes from; len 0: not known */
    uint8_t link; /* the service on another host that CURVE authenticated; 0: on this bus */
};

enum input_kind {
    IN_TICK,     /* the deadline that the core asked for has come */
    IN_MSG,      /* a message from another process */
    IN_DATAGRAM, /* a UDP datagram */
    IN_STORE,    /* the store's answer to an OUT_STORE that asks one */
    IN_LINK,     /* executor: the connection to the coordinator came up or went down */
    IN_NETWORK,  /* executor: this host's addresses or routes have changed */
    IN_SOCKET,   /* executor: where one of its sockets is bound */
    IN_APP       /* executor: the local application wants something */
};

enum store_op {
    STORE_PUT,
    STORE_GET_PEER,
    STORE_GET_NAME,
    STORE_PUT_ENROLLED,
    STORE_PUT_CONTACT, /* record.peer and other have a session */
    STORE_GET_CONTACT, /* have they had one? */
    STORE_PUT_OUTCOME, /* of a technique between two peers: outcome */
    STORE_GET_HISTORY  /* of all such, by outcome.key */
};
enum store_status {
    STORE_OK,
    STORE_NOT_FOUND,
    STORE_STALE,
    STORE_NAME_TAKEN,
    STORE_NAMES_SPENT,
    STORE_AWAY
};

/* A directory record: who a peer is and where it is attached.  A later fence wins. */
struct dir_record {
    struct peer_id peer;
    char name[NAME_MAX_BYTES + 1]; /* "" when the peer claims none */
    uint64_t epoch, seq;           /* the fence: coordinator epoch, then attach sequence */
    bool attached;
    struct profile profile;
    int64_t expires_ms; /* wall clock; the record is gone after it, the name stays */
};

/* What came of a technique once. */
struct outcome {
    struct history_key key;
    uint8_t technique;
    bool hit;
};

/* What the application (the command) asks of an executor, and what it is told. */
enum app_op { APP_CONNECT, APP_SEND, APP_CLOSE, APP_CANCEL, APP_ANSWER, APP_OVERRIDE };
enum app_event {
    APP_ENROLLED, /* the key is admitted: connect to the front */
    APP_ATTACHED, /* in the directory, and the probers are known */
    APP_PROFILE,  /* the NAT is classified, or can't be */
    APP_REFUSED,  /* the coordinator does not want this peer; see struct executor */
    APP_OPENED,   /* a path can carry data */
    APP_SETTLED,  /* the attempt has its outcome */
    APP_PATH,     /* data flows over another path than before */
    APP_DATA,     /* a datagram from the peer */
    APP_CLOSED,   /* the path is gone; its number may be used again */
    APP_REFLEX,   /* what is known of the operator's port mapping has changed: struct override */
    APP_MOVED,    /* raw: the application's socket is to lead to another relay */
    APP_INVITED   /* is this call to be taken?  The application says so with APP_ANSWER */
};

struct input {
    enum input_kind kind;
    int64_t now_us;  /* monotonic */
    int64_t wall_ms; /* Unix time, for rows, tickets and tokens; decides nothing else */
    union {
        struct {
            const struct msg *msg; /* borrowed for the duration of the step */
            struct sender from;
        };
        struct {
            const uint8_t *data; /* borrowed */
            size_t len;
            struct addr src;
            uint16_t sock;       /* which of the core's sockets it came in by */
            uint16_t local_port; /* that this is bound to; of an executor */
        } dgram;
        struct {
            enum store_op op;
            enum store_status status;
            uint64_t tag; /* of the OUT_STORE that asked */
            struct dir_record record;
            struct history history; /* of STORE_GET_HISTORY */
        } store;
        struct {
            bool up;
            bool enrolling; /* the connection to the enrolment socket, not the front */
        } link;
        struct {
            uint16_t sock, port; /* port 0: it is not open */
        } socket;
        struct {
            const void *sockets; /* struct executor_sockets, borrowed: bound anew; or NULL */
        } network;
        struct {
            enum app_op op;
            uint32_t path;  /* APP_SEND, APP_CLOSE, APP_CANCEL: the executor's number for it */
            uint64_t nonce; /* APP_CONNECT: names the attempt until it has a path */
            const void *
                args; /* APP_CONNECT: struct connect_args; APP_SEND: the datagram; APP_ANSWER: struct
                          invitation_answer; APP_OVERRIDE: struct addr, len 0 takes it back; borrowed */
            size_t len;
        } app;
    };
};

enum output_kind { OUT_MSG, OUT_DATAGRAM, OUT_STORE, OUT_NOTE, OUT_APP, OUT_SOCKET };

/* Sockets beside those that a core begins with: same local ip as socket 0, a port of the system's choice. */
enum socket_op {
    SOCKET_OPEN,  /* sock */
    SOCKET_CLOSE, /* all from sock to `to`; nothing where none is open */
    SOCKET_MOVE,  /* sock is called `to` from now on */
    SOCKET_ASK,   /* where is sock bound?  Answered by IN_SOCKET */
    SOCKET_BESIDE /* sock, which the application has: one more at its port, for what comes from elsewhere */
};

struct output {
    enum output_kind kind;
    union {
        struct {
            struct msg msg;
            enum role to;     /* set by emit() from the schema */
            uint32_t to_conn; /* to an executor: on which connection */
            bool enrolling;   /* by the enrolment socket */
            uint8_t link; /* to the service at the end of this link; 0: to the one on this bus */
        };
        struct {
            uint16_t sock;
            uint8_t ttl; /* 0: the system's */
            struct addr dst;
            uint16_t len;
            uint8_t data[DATAGRAM_MAX];
        } dgram;
        struct {
            enum store_op op;
            uint64_t tag;
            struct dir_record record;
            struct peer_id other; /* of a contact */
            struct outcome outcome;
        } store;
        struct {
            enum socket_op op;
            uint16_t sock, to;
        } socket;
        struct note { /* a state change: the shell logs it, the tests compare it */
            struct sid session;
            const char *from, *to, *why; /* static strings */
        } note;
        struct {
            enum app_event event;
            uint32_t path;
            uint16_t len;
            uint8_t data[DATAGRAM_MAX]; /* of APP_DATA; of APP_INVITED a struct invitation */
        } app;
    };
};

enum { OUTPUTS_MAX = 256 };

struct outputs {
    size_t n;
    struct output v[OUTPUTS_MAX];
};

/* Append and return the next slot.  A core that overflows this has a bug, not a bad day. */
static inline struct output *outputs_add(struct outputs *o, enum output_kind kind)
{
    assert(o->n < OUTPUTS_MAX);
    struct output *out = &o->v[o->n++];
    out->kind = kind;
    return out;
}

/* Append a message to a service on the bus, or by an executor to its coordinator; fill in the rest. */
static inline struct msg *emit(struct outputs *o, enum role to, enum msg_type type)
{
    struct output *out = outputs_add(o, OUT_MSG);

    memset(&out->msg, 0, sizeof out->msg);
    out->msg.type = type;
    out->to = to;
    out->to_conn = 0;
    out->enrolling = false;
    out->link = 0;
    return &out->msg;
}

/* Append a message to a service on another host, by its link. */
static inline struct msg *emit_link(struct outputs *o, uint8_t link, enum role to,
                                    enum msg_type type)
{
    struct msg *m = emit(o, to, type);

    o->v[o->n - 1].link = link;
    return m;
}

/* Append a message to the executor on connection conn. */
static inline struct msg *emit_peer(struct outputs *o, uint32_t conn, enum msg_type type)
{
    struct msg *m = emit(o, SERVICE_executor, type);

    o->v[o->n - 1].to_conn = conn;
    return m;
}

static inline void emit_note(struct outputs *o, const struct sid *session, const char *from,
                             const char *to, const char *why)
{
    outputs_add(o, OUT_NOTE)->note = (struct note){*session, from, to, why};
}

#endif
