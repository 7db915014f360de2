/*
 * stun.h - STUN messages (RFC 8489) with the attributes of RFC 5780 that this suite uses, and its own
 * four.  Encode and parse over the caller's memory.  Pure.
 *
 * Own attributes come from the comprehension-optional range, so that other servers skip them:
 *
 *   0xC0A1 PEER-ID  32 bytes   whom the token shall be made out to (request)
 *   0xC0A2 COOKIE   16 bytes   proof that the source address receives (answer, then request)
 *   0xC0A3 TOKEN    lib/token.h (answer to a request with a valid cookie)
 *   0xC0A4 DAILY    empty      who asks reads tokens by the prober's key of the day (request)
 *
 * Binding requests of RFC 3489, which know no magic cookie, are read too, and answered in their words:
 * MAPPED-ADDRESS, SOURCE-ADDRESS and CHANGED-ADDRESS, no attribute masked.
 *
 * A request with PEER-ID and without a valid COOKIE is answered with a COOKIE; asked again with it,
 * the prober signs a token.  An answer never exceeds the bounds of DESIGN: requests that want a token
 * are padded by the client (PADDING is not used: PEER-ID and COOKIE make them large enough, and a
 * token request carries a COOKIE of zeroes in its first round).
 */
#ifndef STUN_H
#define STUN_H

#include "lib/addr.h"
#include "lib/id.h"
#include "lib/msg.h"

enum { STUN_HEADER = 20, STUN_MAX = 1472, STUN_COOKIE_BYTES = 16, STUN_TXID_BYTES = 12 };
enum { STUN_UNKNOWN_REST = 3 };
#define STUN_MAGIC 0x2112A442u

/* Message types (RFC 8489 section 5): method Binding with the three classes used here. */
enum { STUN_BINDING_REQUEST = 0x0001, STUN_BINDING_RESPONSE = 0x0101, STUN_BINDING_ERROR = 0x0111 };

/* CHANGE-REQUEST, which a server with one address doesn't understand, and its flags (RFC 5780
 * section 7.2). */
enum { STUN_CHANGE_REQUEST = 0x0003 };
enum { STUN_CHANGE_PORT = 2, STUN_CHANGE_IP = 4 };

/* Those that a prober understands from a source with a cookie only (RFC 5780 sections 7.5 and 7.6). */
enum { STUN_PADDING = 0x0026, STUN_RESPONSE_PORT = 0x0027 };

struct stun {
    uint16_t type;
    uint8_t txid[STUN_TXID_BYTES];
    struct addr mapped;        /* XOR-MAPPED-ADDRESS, else MAPPED-ADDRESS; len 0 when absent */
    struct addr other, origin; /* OTHER-ADDRESS, RESPONSE-ORIGIN */
    uint32_t change;           /* CHANGE-REQUEST flags */
    bool has_change;
    uint16_t error; /* ERROR-CODE, 0 when absent */
    bool has_padding;
    uint16_t padding;       /* bytes of it */
    uint16_t response_port; /* 0 when absent */
    bool has_peer, has_cookie, daily;
    struct peer_id peer;
    uint8_t cookie[STUN_COOKIE_BYTES];
    struct msg_token token; /* len 0 when absent */
    /* Parsed: the first unknown comprehension-required attribute, 0 when none, and the next ones.
     * Encoded: what UNKNOWN-ATTRIBUTES lists beside error 420. */
    uint16_t unknown, unknown_rest[STUN_UNKNOWN_REST];
    bool has_fingerprint;
    bool
        classic; /* RFC 3489: these four bytes of the transaction id stand where the cookie would */
    uint8_t classic_id[4];
};

/* Is this datagram STUN?  First byte 0..3, magic cookie, a length field that is a multiple of four and
 * accounts for every byte (RFC 8489 section 5). */
bool stun_is(const uint8_t *data, size_t len);

/* A Binding request of RFC 3489: the same without the magic cookie. */
bool stun_is_classic(const uint8_t *data, size_t len);

/*
 * Parse an untrusted datagram of exactly len bytes.  False when malformed: lengths that don't add up,
 * attributes past the end, a FINGERPRINT that is wrong or not last.  Attributes after
 * MESSAGE-INTEGRITY are ignored (section 14.5); MESSAGE-INTEGRITY itself is not checked, since
 * Binding here is unauthenticated.  Of a repeated attribute the first counts.  UNKNOWN-ATTRIBUTES is
 * skipped: error 420 says enough to a client that knows what it sent.
 */
bool stun_parse(const uint8_t *data, size_t len, struct stun *out);

/* How long stun_encode would make m. */
size_t stun_size(const struct stun *m);

/* Write m into buf and return its length.  Absent fields (see struct stun) are left out. */
size_t stun_encode(const struct stun *m, uint8_t buf[static STUN_MAX]);

/* Zero-initialised request with this transaction id. */
struct stun stun_request(const uint8_t txid[static STUN_TXID_BYTES]);

#endif
