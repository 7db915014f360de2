/* internal.h - what the prober core's files share; not for others. */
#ifndef PROBER_INTERNAL_H
#define PROBER_INTERNAL_H

#include "services/prober/prober.h"

/* A request and where it came from. */
struct request {
    struct stun m;
    size_t len;
    struct addr src;
    uint8_t sock;
};

/* RFC 8489 section 14.8 */
enum { ERROR_BAD_REQUEST = 400, ERROR_UNKNOWN_ATTRIBUTE = 420, ERROR_SERVER = 500 };

/* prober.c */
struct stun prober_response(const struct request *r);
bool prober_within(const struct request *r, size_t len, size_t tenths);
bool prober_send_within(struct prober *p, const struct request *r, uint8_t sock,
                        const struct stun *a, size_t tenths, struct answer *out);
void prober_send_error(struct prober *p, const struct request *r, struct stun *a, uint16_t error,
                       struct answer *out);
bool prober_has_budget(struct prober *p, struct budget *b, const struct request *r);

/* tokens.c: what proves that an address receives, and says so to others. */
bool prober_cookie_valid(const struct prober *p, const struct request *r);
/* By the wall clock; before anything is signed. */
void prober_daykeys_renew(struct prober *p);
void prober_on_token_request(struct prober *p, const struct request *r, struct answer *out);
bool prober_is_claim(const struct request *r); /* of a port mapping at its own ip */
void prober_on_claim(struct prober *p, struct request *r, struct answer *out);

/* vantage.c: addresses lent and borrowed. */
void prober_vantage_tick(struct prober *p);
void prober_vantage_hello(struct prober *p, struct outputs *out);
void prober_vantage_ask(struct prober *p, const struct request *r, uint8_t from, bool proven,
                        struct answer *out);
void prober_on_msg(struct prober *p, const struct input *in, struct answer *answer,
                   struct outputs *out);

#endif
