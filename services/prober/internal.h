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

/* prober.c */
struct stun prober_response(const struct request *r);
bool prober_within(const struct request *r, size_t len, size_t tenths);
bool prober_send_within(struct prober *p, const struct request *r, uint8_t sock,
                        const struct stun *a, size_t tenths, struct answer *out);
void prober_send_error(struct prober *p, const struct request *r, struct stun *a, uint16_t error,
                       struct answer *out);
bool prober_has_budget(struct prober *p, struct budget *b, const struct request *r);

/* vantage.c: addresses lent and borrowed. */
void prober_vantage_tick(struct prober *p);
void prober_vantage_hello(struct prober *p, struct outputs *out);
void prober_vantage_ask(struct prober *p, const struct request *r, uint8_t from, bool proven,
                        struct answer *out);
void prober_on_msg(struct prober *p, const struct input *in, struct answer *answer,
                   struct outputs *out);

#endif
