/*
 * world.h - the whole suite and its peers in virtual time: every real core, the laboratory's NATs and
 * lines between them, and a schedule of loss, duplication, reordering and crashes, all from one seed.
 *
 * What is modelled, and not run for real: the bus (prompt, in order) and the TCP connections of peers to
 * the coordinator (in order; a lost segment costs a retransmission's time; down while either end is).
 * The store is the real one, in memory.
 */
#ifndef WORLD_H
#define WORLD_H

#include "lib/store.h"
#include "services/classifier/classifier.h"
#include "services/coordinator/coordinator.h"
#include "services/executor/executor.h"
#include "services/prober/prober.h"
#include "services/relay/relay.h"
#include "tests/natlab/net.h"

enum {
    WORLD_PEERS_MAX = 16,
    WORLD_HOSTS_MAX = WORLD_PEERS_MAX + 2, /* and the suite's, and the second relay's */
    WORLD_RELAYS_MAX = 2,
    WORLD_EVENTS_MAX = 4096,
    WORLD_SLOTS = 2048, /* UDP packets under way */
    WORLD_RESULTS_MAX = 128,
    WORLD_SOCKETS = SOCKETS_MAX,
};

/* One peer's host. */
struct world_peer_conf {
    struct nat_conf nat;
    bool has_nat;
    struct nat_conf
        carrier; /* around it, with n_external addresses that are chosen here, as nat's are */
    bool has_carrier;
    uint8_t blocks; /* percent of its NAT's block that it opens for a session */
};

struct world_conf {
    uint64_t seed;
    int64_t delay_us; /* one way between any two hosts */
    int64_t jitter_us;
    uint32_t loss_ppm, dup_ppm; /* of each direction of each line */
    bool one_address;           /* of the prober */
    bool two_relays;            /* the second on a host of its own */
    bool raw;                   /* all sessions are */
    size_t n_peers;
    struct world_peer_conf peers[WORLD_PEERS_MAX];
};

/* How an attempt that side 0 began has ended, as its application was told. */
struct world_result {
    size_t from, to;
    uint64_t nonce;
    bool settled, failed_by_crash;
    struct attempt at; /* a copy as of settling */
    int64_t began_us, settled_us;
};

struct world_event {
    int64_t at_us;
    uint64_t order;
    enum world_event_kind {
        WORLD_BUS,      /* msg from service to service */
        WORLD_TO_COORD, /* msg of a peer, by its connection */
        WORLD_TO_PEER,  /* msg of the coordinator */
        WORLD_LINK_UP,
        WORLD_LINK_DOWN,
        WORLD_RESTART, /* of what has crashed */
        WORLD_BOUND,   /* the executor has asked where a socket is bound */
    } kind;
    enum role from, to;
    size_t peer;
    uint32_t life; /* of the connection that it belongs to */
    bool enrolling;
    uint16_t sock;
    struct msg msg;
};

struct world_peer {
    struct executor core;
    struct executor_conf conf;
    bool up;
    bool older; /* it knows nothing of the keys of a day (lib/daykey.h) */
    bool front; /* enrolled once: connects to the front */
    uint32_t life, conn;
    bool linked;
    int64_t to_coord_us, to_peer_us; /* when the last message each way arrives: order is kept */
    size_t host;
    struct addr inside[2],
        outside[2]; /* its own ip, and its line's or NAT's: now, and after a move */
    struct addr sockets[WORLD_SOCKETS]; /* port 0: not open */
    uint64_t received, next_nonce;      /* application datagrams; attempts */
    uint64_t sent;                      /* UDP datagrams */
    uint64_t echo_left;
};

struct world_relay {
    struct relay core;
    struct relay_conf conf;
    void *memory;
    bool up;
    size_t host;
};

struct world {
    struct world_conf conf;
    struct rng rng;
    int64_t now_us, wall_ahead_ms;
    struct net *net;
    struct net_slot *slots;
    struct nat *nats[WORLD_PEERS_MAX], *carriers[WORLD_PEERS_MAX];
    struct store *store;
    struct prober prober;
    struct classifier classifier;
    struct coordinator coordinator;
    struct world_relay relays[WORLD_RELAYS_MAX];
    struct coordinator_conf coordinator_conf;
    void *coordinator_memory, *classifier_memory;
    bool coordinator_up;
    bool wall; /* drops all packets from peer to peer */
    bool walled
        [WORLD_HOSTS_MAX]; /* a firewall that drops all that this host's peer sends to others */
    uint32_t holes_ppm[WORLD_HOSTS_MAX]; /* by host: of what it sends to other peers gets lost */
    uint32_t late_ppm; /* of what goes between peers and coordinator: late by 200 ms, or 400 */
    bool forgets;      /* the store knows of no earlier contact */
    bool prober_deaf;  /* it says hello, and hears nothing */
    uint32_t next_conn;
    size_t suite; /* host of prober and first relay */
    struct world_peer peers[WORLD_PEERS_MAX];
    struct world_event *events; /* a heap */
    size_t n_events;
    uint64_t order;
    uint64_t hash; /* of all that happened */
    struct world_result results[WORLD_RESULTS_MAX];
    size_t n_results;
    struct outputs out;
    /* What the application of a peer gets, when set. */
    void (*on_data)(struct world *w, size_t peer, const uint8_t *data, size_t len);
};

/* All are up, nothing has happened yet.  Asserts what a test can't go on without. */
void world_open(struct world *w, const struct world_conf *conf);
void world_close(struct world *w);

int64_t world_wall_ms(const struct world *w);

/* Let things happen until then. */
void world_run(struct world *w, int64_t until_us);

/* Peer from asks for a path to peer to; returns the index of its result. */
size_t world_connect(struct world *w, size_t from, size_t to, enum policy policy,
                     int64_t timeout_us);

/* The application of one side of a settled attempt sends one datagram. */
void world_send(struct world *w, size_t peer, uint32_t path, const void *data, size_t len);

/* It ends an attempt, in whatever state that is. */
void world_end(struct world *w, size_t peer, uint32_t path, enum app_op op);

/* Kill -9, and start again after down_us. */
void world_crash_coordinator(struct world *w, int64_t down_us);
void world_crash_relay(struct world *w, size_t relay, int64_t down_us);
void world_crash_peer(struct world *w, size_t peer, int64_t down_us);

/* It is in another network from now on, behind a NAT of the same kind: other addresses, other sockets. */
void world_move_peer(struct world *w, size_t peer);

/* Its NAT starts anew: no mapping is left, and its outside is the other address when it has moved. */
void world_reboot_nat(struct world *w, size_t peer, bool moved);

/* From now on its line loses so much each way, by chance and in bursts: of what goes by UDP and by TCP. */
void world_losses(struct world *w, size_t peer, const struct net_link *losses);

/* Two peers behind such NATs, 20 ms from each other. */
struct world_conf world_two(const char *a, const char *b, uint64_t seed);
/* Open it, warm both, connect, and return how it ended, 18 s after the beginning. */
const struct world_result *world_pair(struct world *w, const struct world_conf *c,
                                      enum policy policy);

/* The attempt of this session at a peer, or NULL. */
struct attempt *world_attempt(struct world *w, size_t peer, const struct sid *session);

/* The other side's attempt of this session, or NULL. */
const struct attempt *world_other_side(struct world *w, const struct world_result *r);

/* A NAT in one word for tests: "ei/preserve/apd" and so on, or "open"; "none/preserve/apd" is a host with
 * a public address behind a firewall. */
struct world_peer_conf world_nat(const char *text);

#endif
