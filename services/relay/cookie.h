/*
 * cookie.h - the relay's answers to strangers: the stateless cookie that proves an address, and the
 * limiter of UNKNOWN.
 */
#ifndef RELAY_COOKIE_H
#define RELAY_COOKIE_H

#include "services/relay/relay.h"

/* Have the secrets of this time, the same in all workers; first in every step that looks at a cookie. */
void relay_cookie_rotate(struct relay *r);
void relay_cookie_make(const struct relay *r, const struct addr *src,
                       const uint8_t nonce[static RELAY_NONCE],
                       uint8_t cookie[static RELAY_COOKIE]);
bool relay_cookie_good(const struct relay *r, const struct addr *src,
                       const uint8_t nonce[static RELAY_NONCE],
                       const uint8_t cookie[static RELAY_COOKIE]);

/* May this source be told UNKNOWN now?  True at most once in RELAY_STRANGER_US for each. */
bool relay_stranger_may_be_told(struct relay *r, const struct addr *src);

#endif
