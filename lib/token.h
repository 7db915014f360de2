/*
 * token.h - address tokens: a prober's signed word that a peer was seen at an address, and the
 * certificates that make a prober's or relay's key one of this suite.  Ed25519 (RFC 8032).  Pure.
 *
 *   token   kind 1 to 4 | family 4 or 6 | port 2 | ip 16 | peer id 32 | time 8 | prober key id 8 | signature 64
 *           = 132 bytes, integers big-endian, unused ip bytes zero; time in Unix ms of the prober
 *           kind 1: the peer was seen at the address; kind 2: the peer says that a port mapping leads from there to
 *           it, and returned what the prober sent there; 3 and 4: as 1 and 2, signed by the prober's key of that day
 *           (lib/daykey.h), for who asks so; the key id is the long-term key's all the same
 *   cert    signature by the authority over "natterjack-cert-1" | role 1 ('p' or 'r') | key 32
 *   place   signature by the authority over "natterjack-place-1" | family 4 or 6 | ip 16: the suite lives there
 *
 * A place has no end, since it proves nothing: it lets a few small packets out (KNOCKS_MAX), and what answers counts by its
 * certified key.  An end would bound those few, and cost that the authority, which may be kept off line, signs again in
 * time, and that peers trust their clocks.  It names no port, since ports are configuration: relays come and go on a host,
 * which the authority would have to be asked for each time.
 */
#ifndef TOKEN_H
#define TOKEN_H

#include "lib/msg.h"

enum { TOKEN_BYTES = 132, TOKEN_TTL_MS = 120000 };
_Static_assert((int)TOKEN_BYTES <= (int)MSG_TOKEN_MAX, "a token fits its field");

struct token {
    struct addr addr;
    struct peer_id peer;
    int64_t time_ms;
    uint8_t key_id[8]; /* first bytes of the prober's public key */
    bool mapped;       /* kinds 2 and 4 */
    bool daily;        /* kinds 3 and 4 */
};

/* Sign t with the prober's 64-byte Ed25519 secret key; key_id is taken from it, daily doesn't count. */
void token_sign(const struct token *t, const uint8_t secret[static 64], struct msg_token *out);

/* The same with its key of the day, which prober has as its long-term key. */
void token_sign_daily(const struct token *t, const uint8_t day_secret[static 64],
                      const uint8_t prober[static 32], struct msg_token *out);

/* Read without checking the signature.  False when malformed. */
bool token_read(const struct msg_token *raw, struct token *out);

/*
 * Read, and check the signature with the key of one of these probers, or with its key of the day.  False when forged
 * or unknown.  daykeys are verified, or NULL: then no token by a key of a day is good.
 */
bool token_verify(const struct msg_token *raw, const struct prober_list *probers,
                  const struct daykey_list *daykeys, struct token *out);

/*
 * Where a fresh token goes among the n kept ones, of at most TOKENS_MAX: in the place of what the same prober
 * said of the same address, else behind the others; when there is no room, in the place of the oldest of
 * the prober that has most, so that of two probers each keeps its say.  born is when each was signed.
 */
size_t token_place(const struct token *kept, const int64_t *born, size_t n,
                   const struct token *fresh);

/*
 * The authority's word that an Ed25519 key is a prober's ('p') or a relay's ('r'): a signature over a context, the role
 * and the key.  A secret key is seed and public key, as libsodium has it.
 */
void cert_sign(char role, const uint8_t key[static 32], const uint8_t authority_secret[static 64],
               uint8_t cert[static 64]);
bool cert_verify(char role, const uint8_t key[static 32], const uint8_t authority[static 32],
                 const uint8_t cert[static 64]);

/* The port doesn't count, and becomes 0. */
struct place place_sign(const struct addr *ip, const uint8_t authority_secret[static 64]);
bool place_verify(const struct place *p, const uint8_t authority[static 32]);

/* Add a place unless its ip is there; when there is no room it is left out. */
void place_add(struct place_list *l, const struct place *p);

#endif
