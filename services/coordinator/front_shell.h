/*
 * front_shell.h - the coordinator's two doors for peers: CURVE ROUTERs over TCP, and the ZAP handler that
 * decides who comes in.
 *
 *   front  enrolled keys only       type, body in both directions
 *   enrol  any key, to show a token
 *
 * A message's peer is the key that ZAP put into its User-Id, never a routing id; those the coordinator
 * gives itself (routing.h).
 */
#ifndef FRONT_SHELL_H
#define FRONT_SHELL_H

#include "lib/service.h"

struct front_conf {
    const char *listen_ip;
    uint32_t front_port, enrol_port;      /* 0: any */
    int64_t handshake_us, check_every_us; /* check_shell.h */
    uint8_t secret[32];                   /* X25519: the server key that join strings carry */
    bool (*enrolled)(const struct peer_id *peer);
};

struct front_counters {
    uint64_t taken, malformed; /* messages: what came in is one or the other */
    uint64_t connections, evicted, refused_keys, vanished, full;
    uint64_t
        foreign_ids;  /* connections cut, since they had a routing id that was not given to them */
    uint64_t chasers; /* sent, see lib/chase.h */
};

/* Bind, and hook into the service.  Dies with a line on failure; to be called at start-up. */
void front_open(struct service *svc, const struct front_conf *conf);
void front_close(void);
const struct front_counters *front_counters(void);
void front_ports(uint16_t *front, uint16_t *enrol); /* as bound */

#endif
