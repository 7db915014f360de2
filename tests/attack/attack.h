/*
 * attack.h - attacks on a suite of real programs in natlab, each with the keys that its attacker rightly has.
 *
 * Each returns how often it has succeeded, as the laboratory's counters, the other side's answers or the
 * suite's own records show it; of a suite that keeps its promises never.  `make attack` also runs each
 * against a build without the one defence that it is about (tests/attack/without), where it must succeed.
 */
#ifndef ATTACK_H
#define ATTACK_H

#include "lib/join.h"
#include "lib/msg.h"
#include "lib/rng.h"
#include "tests/lib/ground.h"

#include <czmq.h>
#include <netinet/in.h>

#define SUITE_IP "203.0.113.10"
#define VICTIM_IP "203.0.113.66"
#define MALLORY_IP "203.0.113.77"
#define ALICE_IP "198.51.100.1"
#define BOB_IP "198.51.100.2"
#define CAROL_IP "198.51.100.3"
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { ATTACK_PATIENCE_MS = 10000, PROBER_PORT = 3478, RELAY_PORT = 3480 };

enum { ATTACK_HANDSHAKE_S = 2 }; /* that the coordinator gives a connection */

struct attack {
    const char *name;
    uint64_t (*run)(unsigned n); /* n attempts */
    unsigned few, many;          /* attempts in CI, and in `make attack` */
};
extern const struct attack attack_on_peers[], attack_by_guesses[], attack_by_punches[],
    attack_on_coordinator[], attack_on_names[], attack_on_doors[], attack_on_servers[],
    attack_on_paths[], attack_by_relay[]; /* each ends with a NULL name */

/* What the attacks share: the suite, and what a hostile coordinator or prober knows of it. */
extern struct attack_bed {
    struct ground ground;
    struct join join;
    struct rng rng;
    struct prober_info prober;
    struct place_list places;
    uint8_t prober_secret[64], coordinator_secret[32], relay_key[32];
    uint8_t secret[32];      /* Mallory's */
    struct peer_id mallory;  /* and its public half */
    struct addr victim, own; /* addresses of the victim's and of Mallory's socket udp */
    int udp, raw;            /* on Mallory's host: bound to own; for packets with any source */
} attack;

/* The suite has this environment. */
void attack_open(const char *environment);
void attack_close(void);

/* ---- bed.c: looking and sending ------------------------------------------------------------------- */

/* UDP packets that the laboratory has seen leave one host for another; and those for nobody's address. */
uint64_t attack_sent(const char *from, const char *to);
uint64_t attack_astray(void);

/* Bytes that the kernel of this host has received, without IP and UDP headers of n packets. */
uint64_t attack_received_bytes(const char *host);

/* A program of the suite's on a host that goes on; its output is not read. */
struct ground_run attack_program(const char *host, const char *verb, const char *const *more);

/* A socket of a ZeroMQ type that libzmq's threads serve on Mallory's host. */
zsock_t *attack_zsock(int type);
void attack_bind(zsock_t *s, uint16_t port);

void attack_udp(int fd, const struct addr *to, const void *data, size_t len);
void attack_forge(const struct addr *from, const struct addr *to, const void *data, size_t len);

/* The next datagram within ms; 0 when there is none. */
size_t attack_hear(int fd, void *data, size_t cap, int ms);

/* A session of Carol's with Bob, direct, over which she pings him; and does it live? */
extern struct ground_run attack_caller;
struct sid attack_session_open(void);
bool attack_session_lives(const struct sid *sid);
void attack_session_close(void);

/* A raw socket that gets a copy of each UDP packet that this host receives. */
int attack_tap(const char *host);

/* One more socket of Mallory's. */
int attack_socket(struct addr *own);

#endif
