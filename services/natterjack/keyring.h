/*
 * keyring.h - the keys of a suite that runs on one host, as files in one directory (lib/keys.h).
 *
 *   authority     Ed25519 secret 64      certifies; no server process gets to see it
 *   coordinator   X25519 secret 32       CURVE's server key, and what seals tickets
 *   prober        Ed25519 secret 64      signs tokens
 *   relay         X25519 secret 32       tickets are sealed to it
 *   token         16                     admits peers to the enrolment socket
 *   authority.pub, coordinator.pub, prober.pub 32, prober.cert, relay.cert 64    derived, not secret
 *   places        128                    the authority's word on both public addresses (lib/token.h), or on the one twice
 */
#ifndef KEYRING_H
#define KEYRING_H

#include "lib/join.h"

struct keyring {
    uint8_t authority[32], coordinator[32], prober[32], relay[32]; /* public keys */
    uint8_t token[JOIN_TOKEN_BYTES];
};

/*
 * Load what is in dir (which is created, mode 0700) and make what is missing.  False, after a sentence
 * on stderr, when a file is unusable: it is never replaced, since peers may pin what it was.
 */
bool keyring_open(const char *dir, const struct addr *a, const struct addr *b, struct keyring *out);

/*
 * For a prober on another host: load or make its key in `to`, and certify it and its addresses by the authority in dir.  False
 * after a sentence on stderr.
 */
bool keyring_certify_prober(const char *dir, const char *to, const struct addr *a,
                            const struct addr *b, uint8_t prober[static 32]);

/*
 * The same for a relay beside the suite's own, on this host or another; the coordinator's public half is put beside it, which
 * a relay needs as well.
 */
bool keyring_certify_relay(const char *dir, const char *to, const struct addr *a,
                           uint8_t relay[static 32]);

#endif
