/*
 * zap.h - who may come in by CURVE (ZeroMQ RFC 27): a process's one handler, and what it is asked.
 *
 * The handler has to stand before any socket is bound that asks it, and those have to be told to refuse
 * everybody when none answers: without zap_enforce CURVE lets all in.
 */
#ifndef ZAP_H
#define ZAP_H

#include "lib/id.h"

#include <czmq.h>

enum { ZAP_FRAME_MAX = 32, ZAP_FROM_MAX = 8 };

struct zap_request {
    uint8_t from_len, from[ZAP_FROM_MAX]; /* the connection within the process that asks */
    char id[ZAP_FRAME_MAX], domain[ZAP_FRAME_MAX], mechanism[ZAP_FRAME_MAX];
    struct peer_id key; /* of who wants to come in */
};

/* The handler's socket; dies with a line on failure. */
zsock_t *zap_open(void);

/* Have this socket ask under a domain, and refuse where nobody answers; dies with a line on failure. */
void zap_enforce(zsock_t *sock, const char *domain);

/* The next request.  False when there is none; malformed ones are answered, and *malformed counts them. */
bool zap_receive(zsock_t *zap, struct zap_request *out, uint64_t *malformed);

/* The answer to it, which may come after those to later ones: who it is, as the User-Id of all that this connection sends; NULL: not admitted. */
void zap_answer(zsock_t *zap, const struct zap_request *r, const char *user);

/*
 * The same for who comes in, and the routing id that its connection has at a ROUTER, whatever it has asked for.  libzmq
 * gives a connection the last id that it reads, and it reads this answer after the peer's handshake.
 */
void zap_admit(zsock_t *zap, const struct zap_request *r, const char *user, const uint8_t *id,
               size_t id_len);

/* The answer for who may be admitted later: the connection ends without a word, and who knocked tries again. */
void zap_put_off(zsock_t *zap, const struct zap_request *r);

#endif
